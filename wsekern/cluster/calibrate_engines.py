"""Fit engine levels and power of GPUs to measurements: ``python -m wsekern.cluster.calibrate_engines MEASUREMENTS.csv``.

Uses only the rows that :func:`wsekern.cluster.validation.is_fitted` names; prints what
``engines.toml`` and the files of the GPUs should say.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from wsekern.cluster import validation
from wsekern.cluster.engine import Engine, engine_levels
from wsekern.cluster.fit import minimise
from wsekern.cluster.power import power_share
from wsekern.cluster.rows import Refused, read_rows, understand
from wsekern.cluster.suspects import inconsistent

BOXES = {
    "per_step": (3e-4, 1e-5, 3e-3),
    "per_sequence": (1e-5, 1e-8, 1e-4),
    "per_layer": (3e-6, 1e-7, 4e-5),
    "per_routed": (2e-5, 1e-7, 3e-4),
    "per_routed_prompt": (1e-3, 1e-6, 5e-3),
    "per_logit": (3e-10, 1e-12, 1e-9),
    "per_exchange": (5e-5, 1e-6, 1e-3),
    "per_quantised_exchange": (1e-4, 1e-6, 1e-3),
}
"""Start, least and greatest value of each fitted number."""

FITTED = {
    "tuned": ("per_step", "per_sequence", "per_layer", "per_routed"),
    "tuned-overlapped": ("per_layer", "per_routed", "per_routed_prompt"),
    "tuned-2024": ("per_step", "per_sequence", "per_layer"),
    "stock": ("per_sequence", "per_layer", "per_logit", "per_routed", "per_exchange", "per_quantised_exchange"),
    "stock-overlapped": ("per_layer",),
    "stock-2024": ("per_step", "per_sequence", "per_layer"),
    "sglang": ("per_step", "per_sequence", "per_layer", "per_routed", "per_routed_prompt"),
}
"""Numbers of each level that the rows set; vLLM's time per step is from a direct probe, all others are read or defined."""

SAME = {
    "tuned-overlapped": ("tuned", ("per_step", "per_sequence")),
    "stock-overlapped": (
        "stock",
        ("per_sequence", "per_logit", "per_routed", "per_exchange", "per_quantised_exchange"),
    ),
}
"""Numbers that a level takes from another, which is fitted before it."""

STAGES = (
    ("step", ("per_step", "per_sequence", "per_layer", "per_logit", "per_routed", "per_exchange", "per_quantised_exchange")),
    ("first token", ("per_routed_prompt",)),
)
"""Rows, and the numbers they set, one after the other: a step's cost is not read from a queue."""


def changed(engine: Engine, values: dict[str, float]) -> Engine:
    """``engine`` with other numbers."""
    fields = {name: msgspec.structs.replace(getattr(engine, name), value=float(value)) for name, value in values.items()}
    return msgspec.structs.replace(engine, **fields)


def fitted_rows(rows: list[dict[str, str]], level: str, stage: str) -> list[dict[str, str]]:
    """Rows used for fitting that this engine level serves, of one of :data:`STAGES`."""
    chosen, suspects = [], inconsistent(rows)
    for row in rows:
        if row["id"] in suspects:
            continue
        try:
            group, _ = validation.predict_row(row)
            wanted = group.startswith(validation.STEPS) and group.startswith("first token") == (stage == "first token")
            if wanted and validation.is_fitted(row, group) and understand(row).engine == level:
                chosen.append(row)
        except (Refused, ValueError):
            continue
    return chosen


def fit_level(rows: list[dict[str, str]], level: str, names: Sequence[str]) -> tuple[dict[str, float], float]:
    """(numbers, median error on the fitted rows) of one engine level."""
    levels = engine_levels()
    original = levels[level]
    measured = np.array([float(row["value"]) for row in rows])
    start, low, high = (np.array(values) for values in zip(*(BOXES[name] for name in names), strict=True))

    def errors(x: np.ndarray) -> np.ndarray:
        levels[level] = changed(original, dict(zip(names, x, strict=True)))
        predicted = np.array([validation.predict_row(row)[1] for row in rows])
        return np.abs(np.log(predicted / measured))

    try:
        best = minimise(lambda x: float(np.mean(np.minimum(errors(x), 0.5))), start, low, high, 150)
        return dict(zip(names, best, strict=True)), float(np.median(errors(best)))
    finally:
        levels[level] = original


def fit_levels(rows: list[dict[str, str]], names: Sequence[str] = tuple(FITTED)) -> Iterator[tuple[str, str, int, float, dict]]:
    """(level, stage, rows, median error, numbers) of every fit, each made with the numbers of those before it."""
    levels = engine_levels()
    for level in names:
        origin, same = SAME.get(level, (level, ()))
        levels[level] = changed(levels[level], {name: float(getattr(levels[origin], name)) for name in same})
        for stage, numbers in STAGES:
            wanted = [name for name in numbers if name in FITTED[level]]
            chosen = fitted_rows(rows, level, stage) if wanted else []
            if chosen:
                values, error = fit_level(chosen, level, wanted)
                levels[level] = changed(levels[level], values)
                yield level, stage, len(chosen), error, values


def power_rows(rows: list[dict[str, str]]) -> dict[str, np.ndarray]:
    """Per GPU one line for each measured power used for fitting: share of the peak FLOP/s, share of the time in kernels, watts
    over TDP."""
    found: dict[str, list[tuple[float, float, float]]] = {}
    suspects = inconsistent(rows)
    for row in rows:
        try:
            if row["metric"] != "gpu_power_total" or row["id"] in suspects:
                continue
            group, _ = validation.predict_row(row)
            case = understand(row)
        except (Refused, ValueError):
            continue
        if validation.is_fitted(row, group):
            gpu, peak = case.cluster.gpu, case.cluster.gpu.peak_flops(case.precision.arithmetic)
            rate, busy = validation.load_of(case)
            watts = float(row["value"]) / case.layout.gpus
            found.setdefault(gpu.name, []).append((rate / peak, busy, watts / float(gpu.power.tdp)))
    return {name: np.array(lines) for name, lines in found.items()}


def fit_power(lines: np.ndarray) -> tuple[np.ndarray, float]:
    """(waiting, low and high fraction of TDP, mean error) of one GPU."""
    rates, busy, measured = lines.T

    def loss(x: np.ndarray) -> float:
        predicted = np.array([power_share(*x, rate, part) for rate, part in zip(rates, busy, strict=True)])
        disorder = max(0.0, x[0] - x[1]) + max(0.0, x[1] - x[2])
        return float(np.mean(np.abs(np.log(predicted / measured)))) + 10.0 * disorder

    best = minimise(loss, np.array([0.4, 0.7, 0.95]), np.array([0.1, 0.2, 0.3]), np.array([0.9, 1.0, 1.0]), 400)
    return best, loss(best)


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m wsekern.cluster.calibrate_engines", description=__doc__)
    parser.add_argument("measurements", type=Path)
    parser.add_argument("--level", action="append", choices=FITTED, help="engine level (default: all)")
    options = parser.parse_args(arguments)
    rows = read_rows(options.measurements)
    for level, stage, count, error, values in fit_levels(rows, options.level or tuple(FITTED)):
        print(f"[{level}] {count} rows ({stage}), median error {error:.1%}")
        for name, value in values.items():
            print(f"{name} = {value:.4g}")
    if not options.level:
        for name, lines in power_rows(rows).items():
            fractions, error = fit_power(lines)
            print(f"[{name}.power] {len(lines)} rows, mean error {error:.1%}")
            for part, value in zip(("waiting", "low", "high"), fractions, strict=True):
                print(f"{part}_fraction = {value:.3g}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
