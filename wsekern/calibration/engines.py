"""Fit engine levels and power of GPUs to measurements: ``python -m wsekern.calibration.engines MEASUREMENTS.csv``.

Uses only the rows that :func:`wsekern.validation.gpu.is_fitted` names; prints what ``wsekern/cluster/data/engines.toml`` and
``wsekern/cluster/data/machines`` should say. Levels and constants are tried inside ``with`` blocks, so that the package's own
stay as they are.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from wsekern.calibration.minimise import minimise
from wsekern.cluster.constants import constants
from wsekern.cluster.engine import Engine, engine_levels
from wsekern.cluster.power import power_share
from wsekern.cluster.steady import steady_state
from wsekern.output import run_and_exit
from wsekern.validation import gpu as validation
from wsekern.validation.gpu_rows import Case, Refused, read_rows, understand
from wsekern.validation.gpu_suspects import inconsistent

BOXES = {
    "per_step": (3e-4, 1e-5, 3e-3),
    "per_sequence": (1e-5, 1e-8, 1e-4),
    "per_layer": (3e-6, 1e-7, 4e-5),
    "per_routed": (2e-5, 1e-7, 3e-4),
    "per_routed_prompt": (1e-3, 1e-6, 5e-3),
    "per_rank_prompt": (1.5e-4, 1e-6, 1e-3),
    "per_linear_prompt": (1e-3, 1e-6, 5e-3),
    "per_logit": (3e-10, 1e-12, 1e-9),
    "per_exchange": (5e-5, 1e-6, 1e-3),
    "padded_rows": (240, 1.0, 2000),
    "coarse_tiles": (1e-4, 1e-6, 1e-3),
}
"""Start, least and greatest value of each fitted number."""

STARTS = (1.0, 4.0)
"""Multiples of those starts that are tried: a host that hides behind the GPU gives a start no slope."""

WAY = np.linspace(0.0, 1.0, 21)
"""Shares of the way from the present numbers to those of least mean error that are tried."""

FITTED = {
    "tuned": ("per_step", "per_sequence", "per_layer", "per_routed"),
    "tuned-overlapped": ("per_layer", "per_routed", "per_routed_prompt", "per_rank_prompt"),
    "tuned-2024": ("per_step", "per_sequence", "per_layer"),
    "stock": ("per_sequence", "per_layer", "per_logit", "per_routed", "per_exchange", "padded_rows", "coarse_tiles"),
    "stock-overlapped": ("per_layer", "per_routed_prompt", "per_rank_prompt"),
    "stock-2024": ("per_step", "per_sequence", "per_layer"),
    "sglang": ("per_sequence", "per_layer", "per_routed"),
    "sglang-overlapped": ("per_layer", "per_routed", "per_routed_prompt", "per_rank_prompt", "per_linear_prompt"),
    "sglang-2025": ("per_layer", "per_routed"),
}
"""Numbers of each level that the rows set; vLLM's time per step is from a direct probe, all others are read or defined."""

SAME = {
    "tuned-overlapped": ("tuned", ("per_step", "per_sequence")),
    "sglang-overlapped": ("sglang", ("per_sequence",)),
    "sglang-2025": ("sglang", ("per_sequence",)),
    "stock-overlapped": (
        "stock",
        ("per_sequence", "per_logit", "per_routed", "per_exchange", "padded_rows", "coarse_tiles"),
    ),
}
"""Numbers that a level takes from another, which is fitted before it."""

STAGES = (
    (
        "step",
        ("per_step", "per_sequence", "per_layer", "per_logit", "per_routed",
         "per_exchange", "padded_rows", "coarse_tiles"),
    ),
    ("first token", ("per_routed_prompt", "per_rank_prompt", "per_linear_prompt")),
)
"""Rows, and the numbers they set, one after the other: a step's cost is not read from a queue."""


Description = TypeVar("Description", bound=msgspec.Struct)


def changed(description: Description, values: dict[str, float]) -> Description:
    """An engine level, or the constants, with other numbers."""
    fields = {name: msgspec.structs.replace(getattr(description, name), value=float(value)) for name, value in values.items()}
    return msgspec.structs.replace(description, **fields)


def fitted_rows(rows: list[dict[str, str]]) -> list[tuple[dict[str, str], str, Case]]:
    """(row, group, what it states) of the rows used for fitting engines; layers alone are those of the mixers' command."""
    chosen, suspects = [], inconsistent(rows)
    for row in rows:
        try:
            group, _ = validation.predict_row(row)
            if row["id"] not in suspects and validation.is_fitted(row, group) and not group.startswith("layer"):
                chosen.append((row, group, understand(row)))
        except (Refused, ValueError):
            continue
    return chosen


def of_level(fitted: list[tuple[dict[str, str], str, Case]], level: str, stage: str) -> list[dict[str, str]]:
    """Those of :func:`fitted_rows` that an engine level serves, of one of :data:`STAGES`."""
    first = stage == "first token"
    return [
        row
        for row, group, case in fitted
        if case.engine == level and group.startswith(validation.STEPS) and group.startswith("first token") == first
    ]


def _error(measured: Any, predicted: Any) -> Any:
    """|ln(predicted / measured)|, at most a half: no row counts for more."""
    return np.minimum(np.abs(np.log(predicted / measured)), 0.5)


def fit_level(
    rows: list[dict[str, str]], level: str, names: Sequence[str], levels: Mapping[str, Engine] | None = None
) -> tuple[dict[str, float], float]:
    """(numbers, median error on the fitted rows) of one engine level, tried in place of that of ``levels`` (default: those in
    use): on the way from its present numbers to those of least mean error, the ones of least median error. The mean is flat
    around its least and a few odd rows move it."""
    others = engine_levels() if levels is None else levels
    measured = np.array([float(row["value"]) for row in rows])
    start, low, high = (np.array(values) for values in zip(*(BOXES[name] for name in names), strict=True))

    def errors(x: np.ndarray) -> np.ndarray:
        tried = changed(others[level], dict(zip(names, x, strict=True)))
        with engine_levels.replaced({**others, level: tried}):
            return _error(measured, np.array([validation.predict_row(row)[1] for row in rows]))

    def loss(x: np.ndarray) -> float:
        return float(np.mean(errors(x)))

    least = min((minimise(loss, np.minimum(scale * start, high), low, high, 150) for scale in STARTS), key=loss)
    present = np.array([float(getattr(others[level], name)) for name in names])
    best = min((present + share * (least - present) for share in WAY), key=lambda x: float(np.median(errors(x))))
    return dict(zip(names, best, strict=True)), float(np.median(errors(best)))


@dataclass(frozen=True)
class LevelFit:
    """Numbers of one engine level that rows set in one of :data:`STAGES`."""

    level: str
    stage: str
    rows: int
    error: float  # median on the rows
    values: dict[str, float]
    levels: Mapping[str, Engine]  # every level, with what was fitted up to here


def fit_levels(rows: list[dict[str, str]], names: Sequence[str] = tuple(FITTED)) -> Iterator[LevelFit]:
    """Every fit, each made with the numbers of those before it."""
    levels, fitted = dict(engine_levels()), fitted_rows(rows)
    for level in names:
        origin, same = SAME.get(level, (level, ()))
        known = {name: float(getattr(levels[origin], name)) for name in same}
        levels[level] = changed(levels[level], known)
        for stage, numbers in STAGES:
            wanted = [name for name in numbers if name in FITTED[level]]
            chosen = of_level(fitted, level, stage) if wanted else []
            if chosen:
                values, error = fit_level(chosen, level, wanted, levels)
                levels[level] = changed(levels[level], values)
                yield LevelFit(level, stage, len(chosen), error, {**known, **values}, dict(levels))
                known = {}


EXPONENTS = (0.0, 0.3, 0.6, 0.75, 0.9, 1.05, 1.2)
"""Of the popularity of experts, that ``--popularity`` compares."""


def popularity_errors(rows: list[dict[str, str]], exponent: float) -> tuple[float, float]:
    """(mean error of all fitted rows, of those of experts), every engine level refitted with ``exponent``."""
    with constants.replaced(changed(constants(), {"popularity_exponent": exponent})):
        levels = [engine_levels(), *(fit.levels for fit in fit_levels(rows))][-1]
        with engine_levels.replaced(levels):
            steps = [entry for entry in fitted_rows(rows) if entry[1].startswith(validation.STEPS)]
            steps = [entry for entry in steps if not entry[1].startswith("first token") and entry[2].engine in FITTED]
            errors = [_error(float(row["value"]), validation.predict_row(row)[1]) for row, _, _ in steps]
    routed = [error for error, (_, _, case) in zip(errors, steps, strict=True) if case.model.mixture]
    return float(np.mean(errors)), float(np.mean(routed))


def power_rows(rows: list[dict[str, str]]) -> dict[str, np.ndarray]:
    """Per GPU one line for each measured power used for fitting: shares of the time for latencies, streaming and computing,
    share of the peak FLOP/s, watts over TDP."""
    found: dict[str, list[tuple[float, ...]]] = {}
    for row, _, case in fitted_rows(rows):
        if row["metric"] == "gpu_power_total":
            gpu = case.cluster.gpu
            doing = steady_state(case.deployment, case.prompt, case.output, case.batch, case.sampled).activity
            watts = float(row["value"]) / case.layout.gpus / float(gpu.power.tdp)
            found.setdefault(gpu.name, []).append((doing.latency, doing.streaming, doing.computing, doing.rate, watts))
    return {name: np.array(lines) for name, lines in found.items()}


def fit_power(lines: np.ndarray, saturation: float | None = None) -> tuple[np.ndarray, float]:
    """(waiting, latency, low and high fraction of TDP, mean error) of one GPU."""
    *shares, measured = lines.T

    def loss(x: np.ndarray) -> float:
        disorder = float(np.maximum(0.0, -np.diff(x)).sum())
        return float(np.mean(_error(measured, power_share(x, *shares, saturation)))) + 10.0 * disorder

    box = np.full(4, 0.1), np.ones(4)
    starts = [(waiting, latency, 0.75, 0.95) for waiting in (0.2, 0.3, 0.4, 0.5) for latency in (0.5, 0.6, 0.7)]
    trials = [minimise(loss, np.array(start), *box, 400) for start in starts]
    best = min(trials, key=loss)
    return best, loss(best)


def print_power(rows: list[dict[str, str]]) -> None:
    """The power of each GPU, and how well it fits with other saturations."""
    for name, lines in power_rows(rows).items():
        fractions, error = fit_power(lines)
        print(f"[{name}.power] {len(lines)} rows, mean error {error:.1%}")
        for part, value in zip(("waiting", "latency", "low", "high"), fractions, strict=True):
            print(f"{part}_fraction = {value:.3g}")
        others = ", ".join(f"{share:g} {fit_power(lines, share)[1]:.1%}" for share in SATURATIONS)
        print(f"mean error by power_saturation: {others}")


SATURATIONS = (0.05, 0.08, 0.1, 0.12, 0.15, 0.18, 0.2, 0.25, 0.3)
"""Shares of the tensor peak that :func:`print_power` compares."""


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m wsekern.calibration.engines", description=__doc__)
    parser.add_argument("measurements", type=Path, help="a table of GPU measurements, such as the shipped one")
    parser.add_argument("--level", action="append", choices=FITTED, help="engine level (default: all)")
    parser.add_argument(
        "--popularity", action="store_true", help="only compare exponents of the popularity of experts (minutes)"
    )
    parser.add_argument("--power", action="store_true", help="only fit the power of the GPUs")
    options = parser.parse_args(arguments)
    rows = read_rows(options.measurements)
    if options.power:
        print_power(rows)
        return 0
    if options.popularity:
        for exponent in EXPONENTS:
            error, routed = popularity_errors(rows, exponent)
            print(f"popularity_exponent {exponent:g}: mean error {error:.2%}, of experts {routed:.2%}", flush=True)
        return 0
    for fit in fit_levels(rows, options.level or tuple(FITTED)):
        print(f"[{fit.level}] {fit.rows} rows ({fit.stage}), median error {fit.error:.1%}")
        for name, value in fit.values.items():
            print(f"{name} = {value:.4g}")
    if not options.level:
        print_power(rows)
    return 0


if __name__ == "__main__":
    run_and_exit(main)
