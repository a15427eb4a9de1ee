"""Tables of the machines beside the wafers: what each family is, what its kernels reach, and its errors."""

from collections import defaultdict
from statistics import median

from wsekern.cluster.efficiency import SCALES, efficiencies
from wsekern.cluster.hardware import Gpu, bundled_gpus, load_gpu
from wsekern.docs.markdown import table
from wsekern.validation import machines
from wsekern.validation.rows import Row

MECHANISMS = {
    "gpu": "kernels launched from a graph, timed one by one on the machine or on one that stands in",
    "systolic": "programs compiled for buckets of batch and tokens, products in tiles of the array",
    "pipeline": "stages of chips that keep weights in SRAM, scheduled ahead",
}
"""How kernels are priced, in words."""

WIRES = {"switch": "switched", "torus": "torus", "mesh": "full mesh", "network": "network"}


def machine_families() -> str:
    """A line for every family of machines: how its kernels are priced, its wires, its machines, the rows measured on it."""
    families: dict[tuple[str, str], list[Gpu]] = defaultdict(list)
    for gpu in map(load_gpu, bundled_gpus()):
        families[gpu.mechanism, gpu.family].append(gpu)
    rows = _rows_by_family()
    lines = []
    for (mechanism, family), known in sorted(families.items()):
        wires = ", ".join(sorted({WIRES[gpu.interconnect.kind] for gpu in known}))
        lines.append((f"`{family}`", MECHANISMS[mechanism], wires, ", ".join(f"`{gpu.name}`" for gpu in known),
                      rows.get(family, "-") if not any(gpu.kernels for gpu in known) else "kernel by kernel"))
    return table(("family", "a kernel's time", "wires", "machines", "measured rows"), lines)


def _rows_by_family() -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for row, result in zip(machines.measurements(), _results(), strict=True):
        if result.predicted is not None:
            found[machines.understand(row).cluster.gpu.family] += 1
    return dict(found)


def validation_machines() -> str:
    """Errors of every group of rows of other machines: of models that were kept from the fits, and of those that were not."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for result in _results():
        if result.error is not None:
            groups[result.group].append(result)
    lines = []
    for name, members in sorted(groups.items()):
        kept, fitted = ([abs(row.error or 0.0) for row in members if row.fitted == side] for side in (False, True))
        lines.append((name, len(kept), _percent(kept), len(fitted), _percent(fitted)))
    return table(("group", "rows of models kept back", "median error", "rows of fitted models", "median error of these"), lines)


def _results() -> list[Row]:
    return machines.predict_rows(machines.measurements())


def _percent(errors: list[float]) -> str:
    return f"{100 * median(errors):.1f} %" if errors else "-"


def machine_efficiency() -> str:
    """What kernels of GPUs reach beside those that stand in, by engine, generation and arithmetic."""
    lines = [(f"`{entry.family}`", " ".join(part for part in (entry.engine, entry.year) if part), entry.arithmetic, entry.until,
              entry.rows, *(f"{float(getattr(entry, name)):.2f}" for name in SCALES)) for entry in efficiencies()]
    return table(("family", "engine", "arithmetic", "last run", "rows", *SCALES), lines)
