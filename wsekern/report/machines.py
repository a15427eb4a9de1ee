"""The catalogue of machines and models: wafers, chips beside them by how their kernels are priced, model shapes."""

import os
import tomllib
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from wsekern.cluster import Gpu, bundled_clusters, bundled_gpus, load_gpu
from wsekern.cluster.hardware import MECHANISMS
from wsekern.errors import InputError
from wsekern.machine import Machine, bundled_machines, load_machine
from wsekern.report.words import amount, size
from wsekern.workload import bundled_models, load_config

TITLES = {"gpu": "GPUs, and boxes with one", "systolic": "Compiled systolic arrays",
          "pipeline": "Pipelines of chips that keep weights in SRAM"}
"""What the chips of a mechanism are called."""

CHIP_HEADER = ("name", "memory", "bandwidth", "bf16", "fp8", "wires", "rate", "domain", "power", "USD/h")
"""Columns of :func:`chip_cells`."""


def machines_data() -> dict[str, Any]:
    """Everything described in the package, every number with unit, source and confidence."""
    import msgspec

    return {"wafers": {name: msgspec.to_builtins(load_machine(name)) for name in bundled_machines()},
            "gpus": {name: msgspec.to_builtins(load_gpu(name)) for name in bundled_gpus()},
            "clusters": bundled_clusters(), "models": {name: load_config(name).parameters for name in bundled_models()}}


def machine_data(name: str) -> dict[str, Any]:
    """One wafer or chip (its name, or the user's own file), every number with unit, source and confidence."""
    import msgspec

    if name in bundled_machines() or _describes_wafer(name):
        return msgspec.to_builtins(load_machine(name))
    try:
        return msgspec.to_builtins(load_gpu(name))
    except InputError:
        if os.path.isfile(name):
            raise
    known = ", ".join([*bundled_machines(), *bundled_gpus()])
    raise InputError(f"no machine {name[:80]!r}: use one of {known}, or a TOML file")


def _describes_wafer(path: str) -> bool:
    """Whether ``path`` is a file that a wafer's loader should read, or refuse: any that does not describe a chip."""
    if not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            return "peak" not in tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return True


def machine_view(name: str, data: dict[str, Any]) -> RenderableType:
    """Every number of one machine, with unit, source and confidence."""
    table = Table("number", "value", "source", title=name, title_justify="left")
    for key, quantity in _quantities(data, ""):
        value = quantity["value"] if "value" in quantity else quantity["values"]
        shown = f"{value:,.6g}" if isinstance(value, float) else str(value)
        table.add_row(key, f"{shown} {quantity['unit']}", f"{quantity['source']} ({quantity['confidence']})")
    return table


def _quantities(data: Any, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, quantity) of every quantity in nested plain data."""
    if isinstance(data, list):
        data = {item["name"]: item for item in data if isinstance(item, dict)}
    if not isinstance(data, dict):
        return
    if "unit" in data and "source" in data:
        yield prefix, data
        return
    for key, value in data.items():
        yield from _quantities(value, f"{prefix}.{key}" if prefix else key)


def machines_view() -> RenderableType:
    """The catalogue: headline numbers, and where the most important one of each comes from."""
    models = Table("model", "parameters", "cache per token (16 bit)", title="Model shapes", title_justify="left")
    for name in bundled_models():
        config = load_config(name)
        models.add_row(name, f"{config.parameters / 1e9:.2f} billion", size(2 * config.kv_elements_per_token))
    wafers = [load_machine(name) for name in bundled_machines()]
    chips = [chip for mechanism in MECHANISMS for chip in chips_of(mechanism)]
    sources = [f"{wafer.name} clock: {wafer.clock.source} ({wafer.clock.confidence})" for wafer in wafers]
    sources += [f"{chip.name} bandwidth: {chip.memory.bandwidth.source} ({chip.memory.bandwidth.confidence})" for chip in chips]
    return Group(_wafers(wafers), *map(_chips, MECHANISMS),
                 Text("clusters: " + ", ".join(bundled_clusters()) + " (any machine and count)\n"), models,
                 Text("Sources (A primary, B secondary, C marketing or recalled, I inferred)", style="bold"),
                 Text("\n".join(sources), style="dim"), Text("every number of one: wsekern machines NAME"))


def _wafers(machines: list[Machine]) -> Table:
    table = Table("wafer", "PEs", "clock", "SRAM", "hop", "power", title="Wafers", title_justify="left")
    for machine in machines:
        fabric = machine.fabric
        hop = int(fabric.hop_latency)
        table.add_row(machine.name, f"{int(fabric.user_width)}x{int(fabric.user_height)}",
                      f"{float(machine.clock) / 1e9:.2f} GHz", size(float(machine.sram_total)),
                      f"{hop} cycle{'s' if hop > 1 else ''}", f"{float(machine.system.power) / 1e3:.0f} kW")
    return table


def chips_of(mechanism: str) -> list[Gpu]:
    """Bundled chips whose kernels are priced by ``mechanism``, by family and name."""
    found = [chip for chip in map(load_gpu, bundled_gpus()) if chip.mechanism == mechanism]
    return sorted(found, key=lambda chip: (chip.family, chip.name))


def _chips(mechanism: str) -> Table:
    """A line for each chip; families apart."""
    columns = [Column(name, no_wrap=name == "name", overflow="fold", min_width=len(name)) for name in CHIP_HEADER]
    table = Table(*columns, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0),
                  title=f"{TITLES[mechanism]} (numbers of a chip; domain: chips that these wires join)")
    for family, chips in groupby(chips_of(mechanism), lambda chip: chip.family):
        table.add_row(Text(family, style="bold"))
        for chip in chips:
            table.add_row(*chip_cells(chip))
    return table


def chip_cells(chip: Gpu) -> tuple[str, ...]:
    """The headline numbers of one chip, under :data:`CHIP_HEADER`."""
    fp8, wires = chip.peak.fp8, chip.interconnect
    axes = "" if wires.axes is None else " " + "x".join(f"{int(length)}" for length in wires.axes.values)
    return (chip.name, size(float(chip.memory.capacity)), f"{float(chip.memory.bandwidth) / 1e12:.3g} TB/s",
            f"{float(chip.peak.bf16) / 1e12:.0f} TF/s", "-" if fp8 is None else f"{float(fp8) / 1e12:.0f} TF/s",
            f"{wires.kind}{axes}", f"{size(float(chip.link.bandwidth))}/s", f"{int(chip.link.domain):,}",
            f"{float(chip.power.tdp):.0f} W", amount(float(chip.price.per_hour)))
