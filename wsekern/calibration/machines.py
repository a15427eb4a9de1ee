"""Fit what families of GPUs reach of the kernels that stand in: ``python -m wsekern.calibration.machines [--output FILE]``.

Uses the rows of ``machine-measurements.csv`` whose models :func:`wsekern.validation.machines.is_fitted` names, and prints what
``wsekern/cluster/data/efficiency.toml`` should say. Every number is drawn towards 1, the kernels that stand in, or where an
engine has few rows towards what the family's other engines reach, so that a number no row decides stays there.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from wsekern.calibration.minimise import minimise
from wsekern.cluster.efficiency import SCALES, Efficiency, efficiencies
from wsekern.cluster.engine import load_engine
from wsekern.description import Quantity
from wsekern.errors import WsekernError
from wsekern.validation.gpu_rows import Case
from wsekern.validation.machine_rows import understand
from wsekern.validation.machines import is_fitted, measurements, predict_row
from wsekern.validation.rows import read_value

PULL = 0.03
"""Weight of ln(scale / start) beside the mean error: a factor of e costs as much as 3 % of error."""

BOX = (0.02, 20.0)
"""Least and greatest scale."""

ITERATIONS = 120

SOURCE = "fitted by wsekern.calibration.machines on rows of machine-measurements.csv"


@dataclass(frozen=True)
class Setting:
    """Rows of one family, engine and generation."""

    family: str
    engine: str
    year: str


def settings_of(rows: Sequence[dict[str, str]]) -> dict[Setting, list[tuple[dict[str, str], Case]]]:
    """Fitted rows that have a prediction, by what they set."""
    found: dict[Setting, list[tuple[dict[str, str], Case]]] = defaultdict(list)
    for row in rows:
        if not is_fitted(row):
            continue
        try:
            case = understand(row)
            predict_row(row)
        except WsekernError:
            continue
        level = load_engine(case.engine)
        if case.cluster.gpu.mechanism == "gpu" and not case.cluster.gpu.kernels:
            found[Setting(case.cluster.gpu.family, level.kernels[0], level.year)].append((row, case))
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def fit(setting: Setting, rows: Sequence[tuple[dict[str, str], Case]], start: dict[str, float]) -> Efficiency:
    """The scales of least mean |ln(predicted / measured)|, drawn towards ``start``."""
    others = tuple(entry for entry in efficiencies() if (entry.family, entry.engine, entry.year) != _key(setting))
    middle = np.array([start[name] for name in SCALES])

    def error(scales: np.ndarray) -> float:
        with efficiencies.replaced((*others, _entry(setting, rows, dict(zip(SCALES, scales, strict=True))))):
            ratios = [predict_row(row)[1] / read_value(row) for row, _ in rows]
        return float(np.mean(np.abs(np.log(ratios)))) + PULL * float(np.mean(np.abs(np.log(scales / middle))))

    low, high = np.full(len(middle), BOX[0]), np.full(len(middle), BOX[1])
    found = minimise(error, middle, low, high, ITERATIONS)
    return _entry(setting, rows, {name: float(f"{scale:.3g}") for name, scale in zip(SCALES, found, strict=True)})


def _key(setting: Setting) -> tuple[str, str, str]:
    return setting.family, setting.engine, setting.year


def _entry(setting: Setting, rows: Sequence[tuple[dict[str, str], Case]], scales: dict[str, float]) -> Efficiency:
    numbers: dict[str, Any] = {
        name: Quantity(float(value), "ratio", f"{SOURCE}: {len(rows)}", "B") for name, value in scales.items()}
    precisions = sorted({case.precision.name for _, case in rows})
    kinds = sorted({"MoE" if case.model.mixture else "dense" for _, case in rows})
    last = max(row.get("date") or "" for row, _ in rows)
    return Efficiency(family=setting.family, engine=setting.engine, year=setting.year, until=last, rows=len(rows),
                      precisions=tuple(precisions), kinds=tuple(kinds), **numbers)


def calibrate(rows: Sequence[dict[str, str]]) -> list[Efficiency]:
    """Every family, engine and generation, those of most rows first: later ones start from them."""
    fitted: list[Efficiency] = []
    for setting, own in settings_of(rows).items():
        near = next((entry for entry in fitted if entry.family == setting.family), None)
        start = {name: float(getattr(near, name)) if near else 1.0 for name in SCALES}
        with efficiencies.replaced(tuple(fitted)):
            fitted.append(fit(setting, own, start))
    return fitted


def toml(entries: Sequence[Efficiency]) -> str:
    """The text of ``efficiency.toml``."""
    lines = ["# What kernels of GPUs reach beside those that stand in, by family, engine and year: python -m",
             "# wsekern.calibration.machines writes this file. Numbers are ratios: rates of streaming weights, reading caches,",
             "# products and products of experts; fixed times; times of exchanges, and their links."]
    for entry in entries:
        lines += ["", f"[{entry.name}]", f'family = "{entry.family}"', f'engine = "{entry.engine}"', f'year = "{entry.year}"',
                  f'until = "{entry.until}"', f"precisions = {_list(entry.precisions)}", f"kinds = {_list(entry.kinds)}",
                  f"rows = {entry.rows}"]
        for name in SCALES:
            quantity = msgspec.to_builtins(getattr(entry, name))
            lines.append(f'{name} = {{ value = {quantity["value"]:g}, unit = "ratio", source = "{quantity["source"]}", '
                         f'confidence = "{quantity["confidence"]}" }}')
    return "\n".join(lines) + "\n"


def _list(words: Sequence[str]) -> str:
    return f"[{', '.join(repr(word) for word in words)}]".replace("'", '"')


def main() -> None:
    """Fit, and write or print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("data", nargs="?", help="own measurements, in place of those of the package")
    parser.add_argument("--output", help="file to write; printed otherwise")
    options = parser.parse_args()
    text = toml(calibrate(measurements(options.data)))
    if options.output:
        Path(options.output).write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
