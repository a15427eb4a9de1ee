"""Which generated part is made by which function."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from wsekern.cluster.hardware import MECHANISMS
from wsekern.docs.buckets import PICTURE as BUCKETS
from wsekern.docs.commands import command_reference
from wsekern.docs.contract import contract
from wsekern.docs.families import families
from wsekern.docs.hosts import hosts
from wsekern.docs.journey import PICTURE as JOURNEY
from wsekern.docs.machines import machine_efficiency, machine_families, validation_machines
from wsekern.docs.pages import Picture
from wsekern.docs.performance import performance
from wsekern.docs.picture import draw_overview, labels_of
from wsekern.docs.planning import PICTURES as FLOORS
from wsekern.docs.planning import bounds, floor_dense, floor_mixture, lever_table, service_front
from wsekern.docs.reliability import reliability
from wsekern.docs.results import comparison_of_one_model, comparison_of_several, speeds_of_models
from wsekern.docs.sweeps import sweep_inputs, sweep_printed
from wsekern.docs.tables import (
    chips,
    clusters,
    functions,
    kernels,
    models,
    operations,
    scan_file,
    validation_gpu,
    validation_wafer,
    wafers,
)
from wsekern.docs.worked import worked_request

PARTS: dict[str, Callable[[], str]] = {
    "results": speeds_of_models,
    "comparison": comparison_of_one_model,
    "several": comparison_of_several,
    "worked-request": worked_request,
    "contract": contract,
    "floor-dense": floor_dense,
    "floor-mixture": floor_mixture,
    "bounds": bounds,
    "service": service_front,
    "sweep": sweep_printed,
    "sweep-inputs": sweep_inputs,
    "levers": lever_table,
    "operations": operations,
    "functions": functions,
    "scan": scan_file,
    "wafers": wafers,
    **{f"chips-{mechanism}": partial(chips, mechanism) for mechanism in MECHANISMS},
    "clusters": clusters,
    "models": models,
    "families": families,
    "commands": command_reference,
    "kernels": kernels,
    "validation-wafer": validation_wafer,
    "validation-gpu": validation_gpu,
    "machine-families": machine_families,
    "machine-efficiency": machine_efficiency,
    "validation-machines": validation_machines,
}


def parts_of(root: Path) -> dict[str, Callable[[], str]]:
    """All parts of the pages of the source folder ``root``: those of the package, and of what lies in the folder."""
    return {**PARTS, **hosts(root), **reliability(root), **performance(root)}


SLOW = ("levers", "contract")
"""Parts that take longer than the tests of these pages should."""
PICTURES = [Picture("docs/overview.svg", draw_overview, labels_of), *FLOORS, BUCKETS, JOURNEY]
