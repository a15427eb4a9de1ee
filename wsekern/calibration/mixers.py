"""Constants of sparse attention and of recurrent states: ``python -m wsekern.calibration.mixers MEASUREMENTS.csv``.

Uses only the layers that :func:`wsekern.validation.gpu.is_fitted` names, two thirds of them; prints what
``wsekern/cluster/data/model.toml``, ``engines.toml`` and :mod:`wsekern.validation.gpu_layers` should say, and the median
error of the shipped and the fitted numbers on those rows and on the others.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsekern.calibration.engines import changed
from wsekern.calibration.minimise import minimise
from wsekern.cluster.constants import constants
from wsekern.cluster.engine import Engine, engine_levels
from wsekern.output import run_and_exit
from wsekern.validation import gpu as validation
from wsekern.validation.gpu_layers import METRICS, SPARSE_MODULE, predict_layer
from wsekern.validation.gpu_rows import read_rows

BOXES = {
    "sparse_module sglang": (3e-6, 1e-7, 2e-4),
    "sparse_module stock": (3e-5, 1e-7, 2e-4),
    "sparse_module tuned": (3e-5, 1e-7, 2e-4),
    "index_scores": (12.0, 2.0, 64.0),
    "index_walk": (4e-10, 1e-11, 1e-8),
    "linear_fixed": (6e-6, 1e-7, 5e-5),
    "state_passes sglang tuned": (3.0, 1.0, 50.0),
}
"""Start, least and greatest value of each fitted number: a constant, or one of the engine levels that begin with the words
after it."""

FITS = {
    "sparse": ("sparse_module sglang", "sparse_module stock", "sparse_module tuned", "index_scores", "index_walk"),
    "state decode": ("linear_fixed",),
    "state prefill": ("state_passes sglang tuned",),
}
"""Numbers that rows set, by the beginning of their group after "layer "."""

MODULE = "sparse_module"
"""The number that :data:`wsekern.validation.gpu_layers.SPARSE_MODULE` states for a level."""

Values = dict[str, float]
Rows = list[dict[str, str]]


@dataclass(frozen=True)
class MixerFit:
    """Numbers that one of :data:`FITS` found, and median errors (on the fitted rows, on the others) before and after."""

    kind: str
    rows: tuple[int, int]
    values: Values
    shipped: tuple[float, float]
    fitted: tuple[float, float]


def rows_of(rows: Rows, kind: str) -> tuple[Rows, Rows]:
    """(rows that set the numbers of ``kind``, rows of it that test them)."""
    found: tuple[Rows, Rows] = ([], [])
    for row in rows:
        if row["metric"] in METRICS:
            group, _ = predict_layer(row)
            if group.startswith(f"layer {kind}"):
                found[0 if validation.is_fitted(row, group) else 1].append(row)
    return found


def errors(rows: Rows, values: Values) -> np.ndarray:
    """|ln(predicted / measured)| of ``rows``, at most 1, with ``values`` in place of those in use."""
    known = {name: value for name, value in values.items() if " " not in name}
    modules = {level: values.get(f"{MODULE} {level}", shipped) for level, shipped in SPARSE_MODULE.items()}
    with constants.replaced(changed(constants(), known)), engine_levels.replaced(_levels(values)):
        predicted = np.array([predict_layer(row, modules)[1] for row in rows])
    return np.minimum(np.abs(np.log(predicted / np.array([float(row["value"]) for row in rows]))), 1.0)


def _levels(values: Values) -> dict[str, Engine]:
    """The engine levels, with those numbers of ``values`` that are theirs."""
    levels = dict(engine_levels())
    for name, value in values.items():
        number, *products = name.split()
        for level in levels:
            if number != MODULE and products and level.startswith(tuple(products)):
                levels[level] = changed(levels[level], {number: value})
    return levels


def fit_mixers(rows: Rows, kinds: Sequence[str] = tuple(FITS), iterations: int = 300) -> Iterator[MixerFit]:
    """Every fit by least mean error; a third of the rows has no part in it."""
    for kind in kinds:
        names, (chosen, others) = FITS[kind], rows_of(rows, kind)
        if not chosen:
            continue
        start, low, high = (np.array(values) for values in zip(*(BOXES[name] for name in names), strict=True))
        best = minimise(lambda x, names=names, chosen=chosen: float(np.mean(errors(chosen, dict(zip(names, x, strict=True))))),
                        start, low, high, iterations)
        values = {name: float(f"{value:.2g}") for name, value in zip(names, best, strict=True)}
        before, after = ((_median(chosen, numbers), _median(others, numbers)) for numbers in ({}, values))
        yield MixerFit(kind, (len(chosen), len(others)), values, before, after)


def _median(rows: Rows, values: Values) -> float:
    return float(np.median(errors(rows, values))) if rows else float("nan")


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m wsekern.calibration.mixers", description=__doc__)
    parser.add_argument("measurements", type=Path, help="a table of GPU measurements, such as the shipped one")
    parser.add_argument("--kind", action="append", choices=FITS, help="which numbers (default: all)")
    options = parser.parse_args(arguments)
    for fit in fit_mixers(read_rows(options.measurements), options.kind or tuple(FITS)):
        print(f"[{fit.kind}] {fit.rows[0]} rows: median error {fit.fitted[0]:.1%} (shipped numbers {fit.shipped[0]:.1%}); "
              f"{fit.rows[1]} held out: {fit.fitted[1]:.1%} (shipped numbers {fit.shipped[1]:.1%})", flush=True)
        for name, value in fit.values.items():
            print(f"{name} = {value:g}", flush=True)
    return 0


if __name__ == "__main__":
    run_and_exit(main)
