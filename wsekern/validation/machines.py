"""Predictions beside published measurements of other machines: TPUs, AMD's GPUs, SRAM machines, boxes on a desk."""

import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from importlib.resources import as_file, files
from math import inf
from pathlib import Path
from typing import Any

from wsekern.cluster.benchmark import Benchmark, Scheduling, run_benchmark
from wsekern.cluster.efficiency import Efficiencies, efficiencies
from wsekern.cluster.layout import Deployment
from wsekern.cluster.steady import SteadyState, steady_state
from wsekern.cluster.step import decode_step, prefill_step
from wsekern.errors import WsekernError
from wsekern.validation.gpu_rows import Case, Refused
from wsekern.validation.machine_rows import RANGE, RECIPES, read_rows, understand
from wsekern.validation.rows import Row, fault_note, read_value, summarise

UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6}


def measurements(path: str | Path | None = None) -> list[dict[str, str]]:
    """Rows of the table in ``path``, or of the one that the package ships."""
    if path is not None:
        return read_rows(path)
    with as_file(files("wsekern.validation") / "data" / "machine-measurements.csv") as shipped:
        return read_rows(shipped)


def validate_rows(path: str | Path | None = None) -> dict[str, list[dict[str, Any]]]:
    """``{"rows": [...], "groups": [...]}`` of the measurements in ``path``, or of those the package ships."""
    return summarise(predict_rows(measurements(path)))


def predict_rows(rows: list[dict[str, str]]) -> list[Row]:
    """One :class:`Row` per measurement; what goes wrong with one is its note."""
    return [_row(row) for row in rows]


def is_fitted(row: dict[str, str]) -> bool:
    """Whether constants may be set on the rows of a model: about two models in three, by a hash of the name."""
    return zlib.crc32(f"split {row['model']}".encode()) % 3 != 0


def _row(row: dict[str, str]) -> Row:
    result = Row(id=row["id"], group="machines (not predicted)", measured=0.0, predicted=None, unit=row.get("unit") or "",
                 source=row.get("source") or "")
    try:
        result = replace(result, measured=read_value(row))
        group, predicted = predict_row(row)
        if not 0.0 < predicted < inf:
            raise ArithmeticError(f"the prediction is {predicted}")
        return replace(result, group=group, predicted=predicted, fitted=is_fitted(row))
    except WsekernError as error:
        return replace(result, note=str(error))
    except Exception as error:  # a fault of one row, or of the program at it, never ends a validation
        return replace(result, note=fault_note(error))


def predict_row(row: dict[str, str]) -> tuple[str, float]:
    """(group, prediction in the unit of the row); raise :class:`Refused` where the row has none."""
    kind, predict = METRICS.get(row.get("metric") or "", ("", None))
    if predict is None:
        raise Refused(f"metric {(row.get('metric') or '')[:40]!r} is not predicted")
    case = understand(row)
    vendor = {"tpu": "TPU"}.get(case.cluster.gpu.family, case.cluster.gpu.title.split()[0])
    if kind == "first token" and case.batch > 1:
        kind = "first token under load"
    value = predict(row, case)
    return f"{vendor} {kind}", value * UNITS.get(row.get("unit") or "", 1.0)


def _steady(case: Case) -> SteadyState:
    return _steady_of(efficiencies(), case.deployment, case.prompt, case.output, case.batch)


@lru_cache(maxsize=4096)
def _steady_of(used: Efficiencies, deployment: Deployment, prompt: int, output: int, batch: float) -> SteadyState:
    """Once for all metrics of a run; ``used`` are those in use."""
    return steady_state(deployment, prompt, output, batch)


def _token(row: dict[str, str], case: Case) -> float:
    """Mean time per output token."""
    return _steady(case).token_seconds


def _first(row: dict[str, str], case: Case) -> float:
    """Mean time to the first token of all users of a benchmark, who start at once and take turns."""
    if case.batch <= 1:
        return prefill_step(case.deployment, 1.0, case.prompt).seconds + float(case.deployment.engine.per_request)
    return _first_of(efficiencies(), case.deployment, _benchmark(row, case))


@lru_cache(maxsize=4096)
def _first_of(used: Efficiencies, deployment: Deployment, benchmark: Benchmark) -> float:
    """As :func:`_steady_of`."""
    return float(run_benchmark(deployment, benchmark, Scheduling(ahead_steps=2)).time_to_first_token.mean())


def _benchmark(row: dict[str, str], case: Case) -> Benchmark:
    users = round(case.batch)
    if RECIPES in (row.get("source") or "").lower():
        longest = [max(1, round(length / RANGE)) for length in (case.prompt, case.output)]
        return Benchmark(users=users, prompt=longest[0], output=longest[1], shortest=2.0 * RANGE - 1.0)
    return Benchmark(users=users, prompt=case.prompt, output=case.output)


def _total(row: dict[str, str], case: Case) -> float:
    """Prompt and answer tokens a second of the whole system."""
    return _answers(row, case) * (case.prompt + case.output) / case.output


def _answers(row: dict[str, str], case: Case) -> float:
    """Answer tokens a second of the whole system."""
    if "offline" in (row.get("engine") or ""):
        return case.batch * case.output / _together(case)
    return _steady(case).measure.tokens_per_second


def _together(case: Case) -> float:
    """Seconds of a batch that starts and ends together."""
    step = decode_step(case.deployment, case.batch, case.prompt + 0.5 * case.output)
    return prefill_step(case.deployment, case.batch, case.prompt).seconds + (case.output - 1) * step.seconds


def _request(row: dict[str, str], case: Case) -> float:
    """Seconds of requests that start together, from sending to the last token."""
    return _together(case) + float(case.deployment.engine.per_request)


def _alone(row: dict[str, str], case: Case) -> float:
    """Tokens a second of one user."""
    return 1.0 / decode_step(case.deployment, case.batch, case.prompt + 0.5 * case.output).seconds


def _prompt_seconds(row: dict[str, str], case: Case) -> float:
    return prefill_step(case.deployment, case.batch, case.prompt).seconds


def _prompt_rate(row: dict[str, str], case: Case) -> float:
    return case.batch * case.prompt / _prompt_seconds(row, case)


METRICS: dict[str, tuple[str, Callable[[dict[str, str], Case], float]]] = {
    "tpot_mean": ("decode", _token), "tpot_median": ("decode", _token), "itl_mean": ("decode", _token),
    "decode_tok_s": ("decode", _alone), "ttft_mean": ("first token", _first), "ttft_median": ("first token", _first),
    "prefill_time": ("prefill", _prompt_seconds), "prefill_tok_s": ("prefill", _prompt_rate),
    "throughput_total_tok_s": ("throughput", _total), "throughput_output_tok_s": ("throughput", _answers),
    "latency_e2e": ("request", _request),
}
"""What each metric is called in groups, and how it is predicted."""
