"""Tables of what the package ships: operations, machines, models, and how far predictions are from measurements."""

import inspect
import json
from importlib.resources import files
from math import inf

from wsekern.cluster import bundled_clusters
from wsekern.docs.markdown import table
from wsekern.machine import bundled_machines, load_machine
from wsekern.ops.lines import scan
from wsekern.ops.local.accuracy import MEASURED, measure, range_of
from wsekern.ops.predict import operation_table
from wsekern.report.machines import CHIP_HEADER, chip_cells, chips_of
from wsekern.report.words import size
from wsekern.validation.tables import markdown
from wsekern.workload import bundled_models, load_config

KERNEL_FAMILIES = {"gemm": "GEMM", "decode_attention": "attention, decode", "prefill_attention": "attention, prefill",
                   "moe": "experts", "collective": "collectives"}
"""Families of fitted GPU kernels, and their names for people."""
FITTED_SYSTEMS = ("a100_sxm", "h100_sxm", "h200_sxm", "b200_sxm", "gb200")
"""Measured systems, the oldest first."""


def operations() -> str:
    """Names that ``wsekern predict op`` knows."""
    return table(("operation", "what it does", "sizes", "number format"),
                 [(f"`{row.name}`", row.summary, row.sizes, row.precision) for row in operation_table()])


def functions() -> str:
    """Errors of the functions in vector instructions, over every number of 16 bits."""
    rows = []
    for stored in ("fp16", "bf16"):
        for work in (stored, "fp32"):
            for name in MEASURED:
                found, (low, high) = measure(name, work, stored), range_of(name, work)
                where = "all" if (low, high) == (-inf, inf) else f"{low:g} to {high:g}"
                rows.append((f"`{name}`", stored, work, found.steps, where, f"{found.max_ulp:.2f}", f"{found.mean_ulp:.2f}",
                             f"{100 * found.max_relative:.2f} %", f"{found.largest_below_normal:.0e}",
                             ", ".join(f"{value:.4g}" for value in found.special)))
    return table(("function", "stored", "steps in", "instructions", "x", "largest error, ulp", "mean, ulp", "largest, relative",
                  "largest of subnormal results", "at 0, -0, inf, -inf, nan"), rows)


def scan_file() -> str:
    """The file of the operation that the guide to extending adds."""
    return f"```python\n{inspect.getsource(scan)}```"


def wafers() -> str:
    """Every wafer: size, clock, memory, latency of a hop, power."""
    rows = []
    for name in bundled_machines():
        wafer = load_machine(name)
        fabric = wafer.fabric
        rows.append((f"`{name}`", wafer.title, f"{int(fabric.user_width)}x{int(fabric.user_height)}",
                     f"{float(wafer.clock) / 1e9:.2f} GHz", size(float(wafer.sram_total)),
                     f"{int(fabric.hop_latency)}", f"{float(wafer.system.power) / 1e3:.0f} kW"))
    return table(("name", "wafer", "PEs", "clock", "SRAM", "cycles a hop", "power"), rows)


def chips(mechanism: str) -> str:
    """Every chip whose kernels are priced by ``mechanism``: memory, peaks, wires, power, price."""
    rows = [(chip.family, f"`{chip.name}`", *chip_cells(chip)[1:]) for chip in chips_of(mechanism)]
    return table(("family", *CHIP_HEADER), rows)


def clusters() -> str:
    """Names of clusters that ship; any GPU and count makes another."""
    return ", ".join(f"`{name}`" for name in bundled_clusters())


def models() -> str:
    """Every bundled model shape: parameters, and cache of a token in 16 bit."""
    rows = []
    for name in bundled_models():
        config = load_config(name)
        rows.append((f"`{name}`", f"{config.parameters / 1e9:,.2f} billion", size(2.0 * config.kv_elements_per_token)))
    return table(("model", "parameters", "cache of a token"), rows)


def validation_wafer() -> str:
    """Errors of every group of wafer measurements."""
    return markdown("wafer")


def validation_gpu() -> str:
    """Errors of every group of GPU measurements, and per GPU and model family."""
    return markdown("gpu")


def kernels() -> str:
    """Median error of fitted GPU kernels on the shapes that were kept back, a line a family of kernels, a column a GPU."""
    fitted = json.loads((files("wsekern.cluster") / "data" / "kernels.json").read_text())
    errors = {(group["family"], group["system"]): group["test_median_error"] for group in fitted["families"]}
    rows = [(name, *(f"{100 * errors[family, system]:.1f} %" for system in FITTED_SYSTEMS))
            for family, name in KERNEL_FAMILIES.items()]
    return table(("kernels", *(system.removesuffix("_sxm") for system in FITTED_SYSTEMS)), rows)
