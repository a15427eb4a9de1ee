"""Predictions beside published measurements of other machines: TPUs, AMD's GPUs, SRAM machines, boxes on a desk."""

import zlib
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import lru_cache
from importlib.resources import as_file, files
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wsekern.cluster.benchmark import Benchmark, Scheduling, run_benchmark
from wsekern.cluster.families import numbers_in_use
from wsekern.cluster.layout import Deployment
from wsekern.cluster.load import engines_of
from wsekern.cluster.steady import SteadyState, steady_state
from wsekern.cluster.step import decode_step, prefill_step
from wsekern.errors import WsekernError
from wsekern.validation.gpu_rows import Case, Refused
from wsekern.validation.machine_rows import COLUMNS, RANGE, RECIPES, read_rows, understand
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
    """Whether constants were set on a row: one that the package ships, of a model that may set them."""
    return may_fit(row) and _configuration(row) in _shipped()


def may_fit(row: dict[str, str]) -> bool:
    """Whether constants may be set on the rows of a model: about two models in three, by a hash of the name."""
    return zlib.crc32(f"split {row['model']}".encode()) % 3 != 0


@lru_cache(maxsize=1)
def _shipped() -> frozenset[tuple[str, ...]]:
    return frozenset(map(_configuration, measurements()))


def _configuration(row: dict[str, str]) -> tuple[str, ...]:
    """All that a row says but what was measured."""
    return tuple(row.get(name) or "" for name in COLUMNS if name not in ("value", "unit"))


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
    _refuse_impossible(row, case, kind)
    value = predict(row, case)
    return f"{vendor} {kind}", value * UNITS.get(row.get("unit") or "", 1.0)


def _refuse_impossible(row: dict[str, str], case: Case, kind: str) -> None:
    """Refuse steps and rates beyond the peaks of what a row states: its weights were narrower, or its users more."""
    if kind not in ("decode", "throughput"):
        return
    least = decode_step(case.deployment, case.batch, case.prompt + 0.5 * case.output).roofline
    measured, rate = read_value(row), (row.get("unit") or "").startswith("tok")
    tokens = (case.prompt + case.output) / case.output if "total" in row["metric"] else 1.0
    seconds = case.batch * tokens / max(measured, 1e-9) if rate else measured / UNITS.get(row.get("unit") or "", 1.0)
    if 0.0 < seconds < least:
        raise Refused(f"a step takes at least {least * 1e3:.3g} ms at the peaks of what the row states: it was quicker")


def _steady(case: Case) -> SteadyState:
    return _steady_of(numbers_in_use(), case.deployment, case.prompt, case.output, case.batch)


@lru_cache(maxsize=4096)
def _steady_of(used: tuple[Hashable, ...], deployment: Deployment, prompt: int, output: int, batch: float) -> SteadyState:
    """Once for all metrics of a run; ``used`` are those in use."""
    return steady_state(deployment, prompt, output, batch)


def _token(row: dict[str, str], case: Case) -> float:
    """Mean time per output token."""
    run = _in_step(row, case)
    return _steady(case).token_seconds if run is None else run.token_seconds


def _first(row: dict[str, str], case: Case) -> float:
    """Mean time to the first token of all users of a benchmark, who start at once and take turns."""
    if case.batch <= 1:
        return prefill_step(case.deployment, 1.0, case.prompt).seconds + float(case.deployment.engine.per_request)
    return _run(numbers_in_use(), case.deployment, _benchmark(row, case)).first_seconds


def _in_step(row: dict[str, str], case: Case) -> "Run | None":
    """Of users whose requests are all alike, where an engine reads prompts before it decodes: they start and end together for
    ever, which no steady state of a queue tells; None for others."""
    benchmark = _benchmark(row, case)
    if benchmark.shortest < 1.0 or case.batch <= 1 or case.output < 2 or case.deployment.engine.chunked:
        return None
    return _run(numbers_in_use(), case.deployment, benchmark)


def _prompts_alone(row: dict[str, str], case: Case) -> float:
    """The same of answers of a single token: prompts alone."""
    benchmark = Benchmark(users=round(case.batch), prompt=case.prompt, output=1)
    return _run(numbers_in_use(), case.deployment, benchmark).first_seconds


class Run(NamedTuple):
    """Means of a benchmark that was run request by request, and the answer tokens a second of the whole deployment."""

    first_seconds: float
    token_seconds: float
    tokens_per_second: float


@lru_cache(maxsize=4096)
def _run(used: tuple[Hashable, ...], deployment: Deployment, benchmark: Benchmark) -> Run:
    """As :func:`_steady_of`."""
    outcome = run_benchmark(deployment, benchmark, Scheduling(ahead_steps=2))
    later = np.maximum(1.0, outcome.traffic.output - 1.0)
    token = float(((outcome.finish_seconds - outcome.first_token_seconds) / later).mean())
    rate = outcome.output_tokens / outcome.seconds * engines_of(deployment)
    return Run(float(outcome.time_to_first_token.mean()), token, rate)


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
    run = _in_step(row, case)
    return _steady(case).measure.tokens_per_second if run is None else run.tokens_per_second


def _together(case: Case) -> float:
    """Seconds of a batch that starts and ends together."""
    step = decode_step(case.deployment, case.batch, case.prompt + 0.5 * case.output)
    return prefill_step(case.deployment, case.batch, case.prompt).seconds + (case.output - 1) * step.seconds


def _request(row: dict[str, str], case: Case) -> float:
    """Seconds of requests that start together, from sending to the last token."""
    return _together(case) + float(case.deployment.engine.per_request)


def _alone(row: dict[str, str], case: Case) -> float:
    """Tokens a second of a batch that decodes, without prompts."""
    return case.batch / decode_step(case.deployment, case.batch, case.prompt + 0.5 * case.output).seconds


def _prompt_seconds(row: dict[str, str], case: Case) -> float:
    return prefill_step(case.deployment, case.batch, case.prompt).seconds


def _prompt_rate(row: dict[str, str], case: Case) -> float:
    return case.batch * case.prompt / _prompt_seconds(row, case)


METRICS: dict[str, tuple[str, Callable[[dict[str, str], Case], float]]] = {
    "tpot_mean": ("decode", _token), "tpot_median": ("decode", _token), "itl_mean": ("decode", _token),
    "decode_tok_s": ("decode", _alone), "ttft_mean": ("first token", _first), "ttft_median": ("first token", _first),
    "ttft_at_output_1": ("first token", _prompts_alone),
    "prefill_time": ("prefill", _prompt_seconds), "prefill_tok_s": ("prefill", _prompt_rate),
    "throughput_total_tok_s": ("throughput", _total), "throughput_output_tok_s": ("throughput", _answers),
    "latency_e2e": ("request", _request),
}
"""What each metric is called in groups, and how it is predicted."""
