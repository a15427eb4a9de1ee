"""Families of machines: kinds of kernel cost by name, as a machine's file states it in ``mechanism``."""

from collections.abc import Hashable, Mapping
from types import MappingProxyType

from wsekern.cluster.efficiency import efficiencies
from wsekern.cluster.families.family import Family
from wsekern.cluster.families.gpu import GpuFamily
from wsekern.cluster.families.pipeline import PipelineFamily, pipeline
from wsekern.cluster.families.systolic import SystolicFamily, systolic
from wsekern.cluster.layout import Deployment

FAMILIES: Mapping[str, type[Family]] = MappingProxyType(
    {"gpu": GpuFamily, "systolic": SystolicFamily, "pipeline": PipelineFamily})
"""By the ``mechanism`` of a machine: its kernels' cost. :data:`wsekern.cluster.hardware.MECHANISMS` are their names."""


def family_of(deployment: Deployment) -> Family:
    """What kernels of ``deployment`` cost."""
    return FAMILIES[deployment.gpu.mechanism](deployment)


def numbers_in_use() -> tuple[Hashable, ...]:
    """What families of machines reach, all numbers that fits replace: a part of the key of caches."""
    return efficiencies(), tuple(systolic().items()), tuple(pipeline().items())
