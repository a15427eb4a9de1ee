"""Predictions, validation and the catalogue of machines as tables."""

import os
from collections.abc import Iterator
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from wsekern.cluster import Gpu, bundled_clusters, bundled_gpus, load_gpu
from wsekern.errors import InputError
from wsekern.machine import Machine, bundled_machines, load_machine
from wsekern.report.words import amount, size
from wsekern.workload import bundled_models, load_config


def facts_view(title: str, facts: dict[str, Any]) -> RenderableType:
    """A prediction: one fact a line, nested ones indented; times and rates as ranges where the machine was not measured."""
    factors = facts.get("time_factors") if facts.get("not_measured") else None
    table = Table(title=title, title_justify="left", show_header=False, box=None)
    for key, value in facts.items():
        if isinstance(value, dict):
            table.add_row(key, "")
            for name, item in value.items():
                table.add_row(f"  {name}", _fact(item))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                table.add_row(key if index == 0 else "", _fact(item))
        else:
            table.add_row(key, _fact(value) if factors is None else _ranged(key, value, *factors))
    return table


def _ranged(key: str, value: Any, least: float, most: float) -> str:
    """A predicted time or rate whose machine was not measured, between its bounds; any other fact as it is."""
    if isinstance(value, float) and key.endswith("seconds") and key not in ("roofline_seconds", "think_seconds"):
        return f"{_fact(value * least)} to {_fact(value * most)}"
    if isinstance(value, float) and "_per_second" in key:
        return f"{_fact(value / most)} to {_fact(value / least)}"
    return _fact(value)


def _fact(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_fact(item)}" for name, item in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def validation_view(validation: dict[str, list[dict]], show_rows: bool) -> RenderableType:
    """Errors by group; with ``show_rows`` every row, else those without a prediction counted by their reason."""
    groups = Table(_names("group"), title="Predictions beside measurements", title_justify="left", box=SIMPLE_HEAD,
                   padding=(0, 1, 0, 0))
    for name in ("rows", "predicted", "fitted", "median error", "p90", "worst"):
        groups.add_column(name, justify="right")
    for group in validation["groups"]:
        if not group["predicted"]:
            continue  # counted by reason below
        groups.add_row(group["group"], str(group["count"]), str(group["predicted"]), str(group["fitted"]),
                       _percent(group["median_error"]), _percent(group["p90_error"]), _percent(group["worst_error"]))
    return Group(groups, Text(""), _rows(validation["rows"]) if show_rows else _unpredicted(validation["rows"]))


def families_view(families: list[dict]) -> Table:
    """Errors of GPU rows that set no constant, per kind, GPU and model family."""
    table = Table("kind", "GPU", "family", title="Errors per GPU and model family, fitted rows left out", title_justify="left")
    for name in ("rows", "median error", "p90"):
        table.add_column(name, justify="right")
    for line in families:
        table.add_row(line["kind"], line["gpu"], line["family"], str(line["tested"]), _percent(line["median_error"]),
                      _percent(line["p90_error"]))
    return table


def _names(header: str) -> Column:
    """A column of names: as wide as their longest word on a narrow screen, and never cut."""
    return Column(header, overflow="fold", min_width=16 if header == "group" else 5)


def _rows(rows: list[dict]) -> Table:
    table = Table(_names("id"), _names("group"), box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("measured", "predicted", "unit", "error"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("note", overflow="fold", min_width=8)
    for row in rows:
        predicted = "-" if row["predicted"] is None else amount(row["predicted"])
        note = "fitted" if row["fitted"] else row["note"]
        table.add_row(row["id"], row["group"], amount(row["measured"]), predicted, row["unit"], _percent(row["error"]), note)
    return table


def _unpredicted(rows: list[dict]) -> Table:
    """Rows without a prediction, counted by the reason."""
    reasons: dict[str, int] = {}
    for row in rows:
        if row["predicted"] is None:
            reasons[row["note"]] = reasons.get(row["note"], 0) + 1
    table = Table("rows", "without a prediction, because", box=None)
    for reason, count in sorted(reasons.items(), key=lambda item: -item[1]):
        table.add_row(str(count), reason)
    return table if reasons else Table(box=None)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def machines_data() -> dict[str, Any]:
    """Everything described in the package, every number with unit, source and confidence."""
    import msgspec

    return {"wafers": {name: msgspec.to_builtins(load_machine(name)) for name in bundled_machines()},
            "gpus": {name: msgspec.to_builtins(load_gpu(name)) for name in bundled_gpus()},
            "clusters": bundled_clusters(), "models": {name: load_config(name).parameters for name in bundled_models()}}


def machine_data(name: str) -> dict[str, Any]:
    """One wafer (its name, or the user's own file) or GPU, every number with unit, source and confidence."""
    import msgspec

    if name in bundled_gpus():
        return msgspec.to_builtins(load_gpu(name))
    if name in bundled_machines() or os.path.isfile(name):
        return msgspec.to_builtins(load_machine(name))
    known = ", ".join([*bundled_machines(), *bundled_gpus()])
    raise InputError(f"no machine {name[:80]!r}: use one of {known}, or the TOML file of a wafer")


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
    gpus = [load_gpu(name) for name in bundled_gpus()]
    sources = [f"{wafer.name} clock: {wafer.clock.source} ({wafer.clock.confidence})" for wafer in wafers]
    sources += [f"{gpu.name} bandwidth: {gpu.memory.bandwidth.source} ({gpu.memory.bandwidth.confidence})" for gpu in gpus]
    return Group(_wafers(wafers), _gpus(gpus), Text("clusters: " + ", ".join(bundled_clusters()) + " (any GPU and count)\n"),
                 models, Text("Sources (A primary, B secondary, C marketing or recalled, I inferred)", style="bold"),
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


def _gpus(gpus: list[Gpu]) -> Table:
    table = Table("GPU", "memory", "bandwidth", "bf16", "link", "domain", "power", title="GPUs", title_justify="left")
    for gpu in gpus:
        table.add_row(gpu.name, size(float(gpu.memory.capacity)), f"{float(gpu.memory.bandwidth) / 1e12:.2f} TB/s",
                      f"{float(gpu.peak.bf16) / 1e12:.0f} TF/s", f"{float(gpu.link.bandwidth) / 1e9:.0f} GB/s",
                      f"{int(gpu.link.domain)} GPUs", f"{float(gpu.power.tdp):.0f} W")
    return table
