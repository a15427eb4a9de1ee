"""Fit what families of GPUs reach of the kernels that stand in: ``python -m wsekern.calibration.machines [--output FILE]``.

Uses the rows of ``machine-measurements.csv`` whose models :func:`wsekern.validation.machines.may_fit` names, and prints what
``wsekern/cluster/data/efficiency.toml`` should say. Every number is drawn towards 1, the kernels that stand in, or where an
engine has few rows towards what the family's other engines reach, so that a number no row decides stays there.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from wsekern.cluster.efficiency import SCALES, Efficiency, efficiencies
from wsekern.cluster.engine import load_engine
from wsekern.description import Quantity
from wsekern.errors import WsekernError
from wsekern.output import run_and_exit, write_file
from wsekern.validation.gpu_rows import Case
from wsekern.validation.machine_rows import understand
from wsekern.validation.machines import may_fit, measurements, predict_row
from wsekern.validation.rows import read_value

PULL = 0.03
"""Weight of each |ln(scale / start)| beside the mean error: a factor of e costs as much as 3 % of error, so that numbers which
no row decides stay where they are."""

USUAL = 0.1
"""An error as good as any, a logarithm."""

BOX = (-3.5, 3.0)
"""Least and greatest logarithm of a scale over its start."""

SLOW = 0.1
"""Another start: caches read at a tenth, which no small step finds where products of prompts seem to explain the same rows."""

FEW = 12
"""Rows up to which a fit has both starts: more decide by themselves."""

STEPS = (1.0, 0.4, 0.15, 0.05)
"""Steps of the logarithms, one after the other."""

SOURCE = "fitted by wsekern.calibration.machines on rows of machine-measurements.csv"


@dataclass(frozen=True)
class Setting:
    """Rows of one family, engine and generation."""

    family: str
    engine: str
    year: str
    arithmetic: str

    @property
    def name(self) -> str:
        """As of :class:`Efficiency`."""
        return "-".join(part for part in (self.family, self.engine, self.year, self.arithmetic) if part)


def settings_of(
    rows: Sequence[dict[str, str]], all_rows: bool = False
) -> dict[Setting, list[tuple[dict[str, str], Case]]]:
    """Fitted rows (``all_rows``: also others) that have a prediction, by what they set."""
    found: dict[Setting, list[tuple[dict[str, str], Case]]] = defaultdict(list)
    for row in rows:
        if not (all_rows or may_fit(row)):
            continue
        try:
            case = understand(row)
            predict_row(row)
        except WsekernError:
            continue
        level = load_engine(case.engine)
        if case.cluster.gpu.mechanism == "gpu" and not case.cluster.gpu.kernels:
            engine = next(name for name in level.kernels if name != "nccl")
            found[Setting(case.cluster.gpu.family, engine, level.year,
                          case.deployment.precision.part(experts=True)[1])].append((row, case))
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def fit(setting: Setting, rows: Sequence[tuple[dict[str, str], Case]], near: dict[str, float]) -> Efficiency:
    """The scales of least mean error, drawn towards ``near``: |ln(predicted / measured)|, of which what is well below
    :data:`USUAL` counts by its square, so that rows that disagree meet in the middle."""
    others = tuple(entry for entry in efficiencies() if _key(entry) != _key(setting))
    middle = np.array([near[name] for name in SCALES])

    def error(logs: np.ndarray) -> float:
        scales = middle * np.exp(logs)
        with efficiencies.replaced((*others, _entry(setting, rows, dict(zip(SCALES, scales, strict=True))))):
            ratios = [predict_row(row)[1] / read_value(row) for row, _ in rows]
        missed = np.sqrt(np.log(ratios) ** 2 + USUAL**2) - USUAL
        return float(np.mean(missed)) + PULL * float(np.sum(np.abs(logs)))

    plain, slow = (np.array([share * (name == "reading") for name in SCALES]) for share in (0.0, np.log(SLOW)))
    starts = (plain, slow) if len(rows) <= FEW else (plain,)
    found = middle * np.exp(min((descend(error, start) for start in starts), key=error))
    return _entry(setting, rows, {name: float(f"{scale:.3g}") for name, scale in zip(SCALES, found, strict=True)})


def descend(error: Callable[[np.ndarray], float], start: np.ndarray) -> np.ndarray:
    """Least ``error`` along one coordinate after the other in steps of :data:`STEPS`; numbers that do not matter stay."""
    best, least = start, error(start)
    for step in STEPS:
        better = True
        while better:
            better = False
            for index, sign in product(range(len(best)), (-1.0, 1.0)):
                tried = best.copy()
                tried[index] = np.clip(tried[index] + sign * step, *BOX)
                found = error(tried)
                if found < least - 1e-6:
                    best, least, better = tried, found, True
    return best


def _key(setting: Setting | Efficiency) -> tuple[str, str, str, str]:
    return setting.family, setting.engine, setting.year, setting.arithmetic


def _entry(setting: Setting, rows: Sequence[tuple[dict[str, str], Case]], scales: dict[str, float]) -> Efficiency:
    numbers: dict[str, Any] = {
        name: Quantity(float(value), "ratio", f"{SOURCE}: {len(rows)}", "B") for name, value in scales.items()}
    precisions = sorted({case.precision.name for _, case in rows})
    kinds = sorted({"MoE" if case.model.mixture else "dense" for _, case in rows})
    last = max(row.get("date") or "" for row, _ in rows)
    return Efficiency(family=setting.family, engine=setting.engine, year=setting.year, until=last,
                      arithmetic=setting.arithmetic, rows=len(rows),
                      precisions=tuple(precisions), kinds=tuple(kinds), **numbers)


def calibrate(rows: Sequence[dict[str, str]], only: str = "") -> list[Efficiency]:
    """Every family, engine, generation and arithmetic, those of most rows first: later ones start from them. ``only`` one of
    them by name, beside the shipped ones of more rows."""
    fitted: list[Efficiency] = []
    shipped = {entry.name: entry for entry in efficiencies()}
    for setting, own in settings_of(rows).items():
        if only and setting.name != only:
            fitted += [shipped[setting.name]] if setting.name in shipped else []
            continue
        near = next((entry for entry in fitted if _key(entry)[:3] == _key(setting)[:3]),
                    next((entry for entry in fitted if entry.family == setting.family), None))
        start = {name: float(getattr(near, name)) if near else 1.0 for name in SCALES}
        with efficiencies.replaced(tuple(fitted)):
            fitted.append(fit(setting, own, start))
        if only:
            return fitted[-1:]
    return fitted


def spread(rows: Sequence[dict[str, str]]) -> dict[str, tuple[float, float]]:
    """First and ninth tenth of measured over predicted times of steps of measured rows: where the numbers of the ``family`` are
    not known, so that other kernels stand in as they are; and where those of this ``setting`` are not, but of others of the
    family."""
    found: dict[str, list[float]] = {"family": [], "setting": []}
    for setting, own in settings_of(rows, all_rows=True).items():
        known = tuple(entry for entry in efficiencies() if entry.family == setting.family and _key(entry) != _key(setting))
        for name, entries in (("family", ()), ("setting", known)):
            if name == "setting" and not known:
                continue
            with efficiencies.replaced(entries):
                found[name] += [_slower(row) for row, _ in own if row["metric"].startswith(("tpot", "throughput", "decode"))]
    return {name: (float(np.quantile(each, 0.1)), float(np.quantile(each, 0.9))) for name, each in found.items() if each}


def _slower(row: dict[str, str]) -> float:
    """Measured over predicted time."""
    ratio = read_value(row) / predict_row(row)[1]
    return 1.0 / ratio if (row.get("unit") or "").startswith("tok") else ratio


def toml(entries: Sequence[Efficiency]) -> str:
    """The text of ``efficiency.toml``."""
    lines = ["# What kernels of GPUs reach beside those that stand in, by family, engine and year: python -m",
             "# wsekern.calibration.machines writes this file. Numbers are ratios: rates of streaming weights, reading caches,",
             "# products and products of experts; fixed times; times of exchanges, and their links."]
    for entry in entries:
        lines += ["", f"[{entry.name}]", f'family = "{entry.family}"', f'engine = "{entry.engine}"', f'year = "{entry.year}"',
                  f'arithmetic = "{entry.arithmetic}"',
                  f'until = "{entry.until}"', f"precisions = {_list(entry.precisions)}", f"kinds = {_list(entry.kinds)}",
                  f"rows = {entry.rows}"]
        for name in SCALES:
            quantity = msgspec.to_builtins(getattr(entry, name))
            lines.append(f'{name} = {{ value = {quantity["value"]:g}, unit = "ratio", source = "{quantity["source"]}", '
                         f'confidence = "{quantity["confidence"]}" }}')
    return "\n".join(lines) + "\n"


def _list(words: Sequence[str]) -> str:
    return f"[{', '.join(repr(word) for word in words)}]".replace("'", '"')


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m wsekern.calibration.machines", description=__doc__)
    parser.add_argument("data", nargs="?", help="own measurements, in place of those of the package")
    parser.add_argument("--output", type=Path, help="file to write (default: printed)")
    parser.add_argument("--only", default="", metavar="NAME", help="fit this setting alone, such as cdna4-sglang-fp4")
    parser.add_argument("--spread", action="store_true", help="print how far off predictions of what was not measured are")
    options = parser.parse_args(arguments)
    rows = measurements(options.data)
    if options.spread:
        for name, (least, most) in spread(rows).items():
            print(f"another {name}: {least:.2f} to {most:.2f} times the prediction")
        return 0
    text = toml(calibrate(rows, options.only))
    if options.output:
        write_file(options.output, text)
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    run_and_exit(main)
