"""Bytes of regions that keep the same layers, by numbers: no region is built for any of their sizes."""

from wsekern.inference.code import code_bytes
from wsekern.inference.mapping import Mapping, counted, formulas_of, runs_of
from wsekern.planning._judge import RunBytes
from wsekern.workload.request import PRECISIONS


def region_bytes(sample: Mapping) -> RunBytes:
    """Those of the fullest PE of regions without a head that differ from ``sample`` in their sides, chunk, users and context
    alone; :class:`Mapping` is the reference."""
    return RunBytes(tuple(map(formulas_of, sample.kinds)), tuple(kind.blocks for kind in sample.kinds),
                    counted(runs_of(sample.config, sample.held_layers)), sample.expert_load, PRECISIONS[sample.precision],
                    code_bytes(sample))
