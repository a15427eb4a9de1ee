"""Predictions beside published GPU measurements, row by row, with the traps of the data handled by rule."""

import re
import zlib
from dataclasses import replace
from functools import lru_cache
from importlib.resources import as_file, files
from math import inf
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import msgspec

from wsekern.cluster.benchmark import run_benchmark
from wsekern.cluster.constants import Constants, constants
from wsekern.cluster.engine import load_engine
from wsekern.cluster.hardware import Cluster, load_gpu
from wsekern.cluster.interconnect import collective_seconds
from wsekern.cluster.layout import memory_of
from wsekern.cluster.parameters import Fits, fits
from wsekern.cluster.power import gpu_watts
from wsekern.cluster.steady import SteadyState, steady_state
from wsekern.cluster.step import decode_step, prefill_step
from wsekern.cluster.work import StepTime
from wsekern.errors import WsekernError
from wsekern.validation.gpu_bounds import (
    against_answers,
    against_first,
    against_memory,
    against_prompt_rate,
    against_states,
    against_token,
)
from wsekern.validation.gpu_kernels import is_fitted_kernel, predict_kernel
from wsekern.validation.gpu_layers import is_fitted_layer, predict_layer
from wsekern.validation.gpu_mlperf import predict_mlperf
from wsekern.validation.gpu_notes import LIBRARIES, is_asked_by_perf, is_kernel, is_recipe, library_by_words
from wsekern.validation.gpu_recipes import COLD, benchmark_of, scheduling_of
from wsekern.validation.gpu_rows import (
    GUESSED,
    Case,
    Refused,
    gpu_name,
    message_bytes,
    read_rows,
    reason_against,
    understand,
    whole_number,
)
from wsekern.validation.gpu_settings import is_decode_only, is_static, limits_stated, words
from wsekern.validation.gpu_suspects import inconsistent
from wsekern.validation.rows import Row, fault_note, ninetieth, read_value, stated_fitted, summarise

SCALE = {"s": 1.0, "ms": 1e3, "us": 1e6}
DECODE = ("tpot", "tpot_mean", "tpot_median", "itl_mean", "itl_median", "itl_p50", "decode_step")
FIRST = ("ttft", "ttft_mean", "ttft_p50", "prefill_time_batch")
THROUGHPUT = (
    "output_throughput",
    "output_throughput_per_gpu",
    "total_throughput_per_gpu",
    "decode_throughput",
    "tokens_per_s_user",
)

ENERGY = ("gpu_energy_per_output_token", "gpu_power_total")
PREDICTED = (*DECODE, *FIRST, *THROUGHPUT, *ENERGY, "e2e_latency", "prefill_throughput")


def measurements(path: str | Path | None = None) -> list[dict[str, str]]:
    """Rows of the table in ``path``, or of the one that the package ships."""
    if path is not None:
        return read_rows(Path(path))
    with as_file(files("wsekern.validation") / "data" / "gpu-measurements.csv.gz") as shipped:
        return read_rows(shipped)


def validate_rows(path: str | Path | None = None) -> dict[str, list[dict[str, Any]]]:
    """``{"rows": [...], "groups": [...]}`` of the measurements in ``path``, or of those the package ships."""
    return summarise(predict_rows(measurements(path)))


FAMILY_KINDS = ("decode", "prefill", "first", "request", "throughput", "energy")
"""First words of the groups that :func:`family_table` splits."""


def family_table(path: str | Path | None = None) -> list[dict[str, Any]]:
    """Errors of rows of :data:`FAMILY_KINDS` per GPU and model family; rows used for fitting are left out."""
    rows = measurements(path)
    return families_of(rows, predict_rows(rows))


def families_of(rows: list[dict[str, str]], results: list[Row]) -> list[dict[str, Any]]:
    """:func:`family_table` of rows that are predicted already."""
    errors: dict[tuple[str, str, str], list[float]] = {}
    for row, result in zip(rows, results, strict=True):
        kind = result.group.split()[0]
        if result.error is None or result.fitted or kind not in FAMILY_KINDS:
            continue
        case = understand(row)
        family = re.split(r"[-\d.]*-|\d", case.model.name)[0] + (" MoE" if case.model.mixture else "")
        errors.setdefault((kind, case.cluster.gpu.name, family), []).append(abs(result.error))
    return [
        {
            "kind": kind,
            "gpu": gpu,
            "family": family,
            "tested": len(found),
            "median_error": median(found),
            "p90_error": ninetieth(found),
        }
        for (kind, gpu, family), found in sorted(errors.items())
    ]


def predict_rows(rows: list[dict[str, str]]) -> list[Row]:
    """One :class:`Row` per measurement."""
    suspects = inconsistent(rows)
    return [_row(row, suspects.get(row["id"], "")) for row in rows]


def _row(row: dict[str, str], suspect: str) -> Row:
    """The measurement beside its prediction, which a row that is suspect does not get.

    Whatever goes wrong with one row is the note of that row: an error of the program is named with its type, so that it is
    seen, and the other rows are predicted all the same.
    """
    source, unit = row.get("source") or "", row.get("unit") or ""
    result = Row(id=row["id"], group="other", measured=0.0, predicted=None, unit=unit, note=suspect, source=source)
    try:
        result = replace(result, measured=read_value(row))
    except WsekernError as error:
        return replace(result, note=str(error))
    try:
        group, predicted = predict_row(row)
        if not 0.0 < predicted < inf:
            raise ArithmeticError(f"the prediction is {predicted}")
        if suspect:
            return replace(result, group=group)
        return replace(result, group=group, predicted=predicted, fitted=is_fitted(row, group))
    except WsekernError as error:
        return replace(result, group=_group_of(row), note=suspect or str(error))
    except Exception as error:  # a fault of one row, or of the program at it, never ends a validation
        return replace(result, group=_group_of(row), note=fault_note(error))


INFERRED_PROMPTS = ("task:sourcegraph-fim",)
"""Data sets whose prompt length was read from the rows themselves."""

STEPS = ("decode", "request", "throughput at most load", "first token under")
"""Groups on a sixth of which engine levels are set."""


def is_fitted(row: dict[str, str], group: str) -> bool:
    """Rows on which a constant was set, as the column ``fitted`` states or :func:`fitted_by_rule` says in a table without it; a
    group's statistics never count them."""
    stated = stated_fitted(row)
    return fitted_by_rule(row, group) if stated is None else stated


def fitted_by_rule(row: dict[str, str], group: str) -> bool:
    """One in six configurations of decode, requests, full load, first tokens of expert models and power, by a hash of what they
    state; all decode and all batched prompts of the eager level; weight-only rows of pytorch/ao; throughput and energy of data
    sets whose prompts were inferred; layers of sparse attention and states (:func:`is_fitted_layer`).
    """
    if is_fitted_kernel(row) or is_fitted_layer(row, group):
        return True
    if row["metric"] == "prefill_time_batch" and "(eager)" in group:
        return True  # from which size on old engines stage all-reduces through PCIe
    if group.startswith(("throughput", "energy")) and (row.get("isl") or "") in INFERRED_PROMPTS:
        return True  # how long the prompts of this data set are
    if group.startswith("decode") and "(eager)" in group:
        return True  # what the cost of a launch was read from
    power = group.startswith(("power", "energy"))
    if not power and (not group.startswith(STEPS) or "batch 1 MoE" in group):
        return False
    if (row.get("source") or "").startswith("pytorch/ao") and "wo" in (row.get("precision") or ""):
        return True  # what the cost of unpacking weights was set on
    key = "|".join(
        row.get(name) or "" for name in ("gpu", "model", "precision", "n_gpus", "parallelism", "isl", "batch_or_concurrency")
    )
    return zlib.crc32(key.encode()) % 6 == 0


def _group_of(row: dict[str, str]) -> str:
    metric = row["metric"]
    if row["model"].startswith("microbench"):
        return f"kernel {metric}"
    for names, group in ((DECODE, "decode"), (FIRST, "prefill"), (THROUGHPUT, "throughput")):
        if metric in names:
            return f"{group} (not predicted)"
    return f"{metric} (not predicted)"


def predict_row(row: dict[str, str]) -> tuple[str, float]:
    """(group, prediction in the unit of the row); raise :class:`Refused` where the row has none."""
    limits, known = limits_stated(words(row)), constants()
    if not limits:
        return _predict_row(row)
    stated = {name: msgspec.structs.replace(getattr(known, name), value=value) for name, value in limits.items()}
    with constants.replaced(msgspec.structs.replace(known, **stated)):
        return _predict_row(row)


def _predict_row(row: dict[str, str]) -> tuple[str, float]:
    """:func:`predict_row` with the constants in use."""
    metric = row["metric"]
    if metric in (*DECODE, *FIRST, "e2e_latency", "allreduce_latency") and row.get("unit") not in SCALE:
        raise Refused(f"unit {row.get('unit')!r} is unknown: a time is in {', '.join(SCALE)}")
    if metric == "allreduce_latency":
        return _all_reduce(row)
    if is_kernel(row):
        return predict_layer(row) if row["model"].startswith("one layer:") else predict_kernel(row)
    if metric == "mlperf_throughput":
        return predict_mlperf(row)
    if metric not in PREDICTED:
        raise Refused(f"metric {metric!r} is not predicted")
    case = understand(row)
    kind = "MoE" if case.model.mixture else "dense"
    if case.model.architecture == GUESSED:
        kind += f" {GUESSED}"
    if metric in DECODE:
        return _decode(row, case, kind)
    if metric == "prefill_throughput":
        return _prompt_rate(row, case, kind)
    if metric in FIRST:
        return _first(row, case, kind)
    if metric in ENERGY:
        return _energy(metric, case, kind)
    if metric == "e2e_latency":
        return _request(row, case, kind)
    return _throughput(row, case, kind)


def _steady(case: Case, batch: float) -> SteadyState:
    return _steady_of(constants(), fits(), case.deployment, case.prompt, case.output, batch, case.sampled)


@lru_cache(maxsize=4096)
def _steady_of(used: Constants, known: Fits, *load: Any) -> SteadyState:
    """Once for all metrics of a run; ``used`` and ``known`` are those in use."""
    return steady_state(*load)


class RunTimes(NamedTuple):
    """Seconds of a benchmark's requests."""

    mean_first: float
    median_first: float
    mean_token: float


def _run(row: dict[str, str], case: Case) -> RunTimes:
    """The benchmark of a row, request by request."""
    return _times_of(constants(), fits(), case.deployment, benchmark_of(row, case), scheduling_of(row, case), case.sampled)


@lru_cache(maxsize=4096)
def _times_of(used: Constants, known: Fits, *benchmark: Any) -> RunTimes:
    """As :func:`_steady_of`."""
    outcome = run_benchmark(*benchmark)
    first, token = outcome.time_to_first_token, outcome.time_per_output_token
    return RunTimes(float(first.mean()), float(median(first)), float(token.mean()) if len(token) else 0.0)


def _plain_step(case: Case) -> StepTime:
    return decode_step(case.deployment, case.batch, case.prompt + case.output / 2, case.sampled)


def _decode(row: dict[str, str], case: Case, kind: str) -> tuple[str, float]:
    if not case.batch:
        raise Refused("decode at an unstated batch")
    _refuse(against_memory(case, case.prompt + 0.5 * case.output))
    _refuse("" if "scheduled_sequences" in limits_stated(words(row)) else against_states(case))
    scale = SCALE[row["unit"]]
    _refuse(against_token(case, float(row["value"]) / scale))
    if row["metric"] == "decode_step" or is_decode_only(row):
        return f"decode step {kind} ({case.engine})", scale * _plain_step(case).seconds
    if case.batch == 1:
        return f"decode batch 1 {kind} ({case.engine})", scale * _plain_step(case).seconds
    if row["metric"] in ("itl_median", "itl_p50", "tpot_median", "tpot") and not _prefills_in_most_steps(case):
        return f"decode {kind} inter-token median ({case.engine})", scale * _plain_step(case).seconds
    label = "inter-token median" if row["metric"] == "itl_median" else "mean TPOT"
    # Users who start at once with requests of equal length stay in step for ever, and a tenth of any run is not steady; where
    # prompts go before all answers, half of those of a round then delay no token.
    if is_asked_by_perf(row) or not case.deployment.engine.chunked:
        seconds = _run(row, case).mean_token
    else:
        seconds = _steady(case, case.batch).token_seconds
    return f"decode {kind} {label} ({case.engine})", scale * seconds


def _refuse(reason: str) -> None:
    """Refuse a row for a reason that is not empty."""
    if reason:
        raise Refused(reason)


def _prefills_in_most_steps(case: Case) -> bool:
    """Whether a median step carries the prefill of a new request: in steady state batch / output begin in each."""
    return case.batch / case.layout.dp > constants().arrivals_in_most_steps.value * case.output


def _prompt_rate(row: dict[str, str], case: Case, kind: str) -> tuple[str, float]:
    engine = load_engine(case.engine)
    _refuse(against_prompt_rate(case, float(row["value"])))
    step = prefill_step(case.deployment, 1.0, case.prompt)
    return f"prefill {kind} ({case.engine})", case.prompt / (step.seconds + float(engine.per_request))


def _first(row: dict[str, str], case: Case, kind: str) -> tuple[str, float]:
    engine = load_engine(case.engine)
    batch = case.batch or 1.0
    if batch > 1 and row["metric"] != "prefill_time_batch":
        return _first_under_load(row, case, kind)
    _refuse(against_first(case, batch, float(row["value"]) / SCALE[row["unit"]]))
    step = prefill_step(case.deployment, batch, case.prompt)
    seconds = step.seconds + (float(engine.per_request) if row["metric"] != "prefill_time_batch" else 0.0)
    return f"prefill {kind} ({case.engine})", SCALE[row["unit"]] * seconds


def _first_under_load(row: dict[str, str], case: Case, kind: str) -> tuple[str, float]:
    """Time to the first token of a benchmark run request by request; how users arrive is known of two clients."""
    stated = is_recipe(row)
    if not (stated or is_asked_by_perf(row)):
        raise Refused("time to first token under load, and how users arrive is not stated")
    if case.engine == "sglang-2025":
        raise Refused(COLD)
    _refuse(against_memory(case, case.prompt + 0.5 * case.output))
    if not stated and not case.deployment.engine.chunked:
        wave = 0.5 * case.batch / case.layout.dp * prefill_step(case.deployment, 1.0, case.prompt).roofline
        if float(row["value"]) < SCALE[row["unit"]] * wave:
            raise Refused("sooner than waves of all prompts allow at the peaks: users did not stay in step")
    times = _run(row, case)
    seconds = times.median_first if row["metric"] == "ttft_p50" else times.mean_first
    return f"first token under {'' if stated else 'assumed '}load {kind} ({case.engine})", SCALE[row["unit"]] * seconds


def _energy(metric: str, case: Case, kind: str) -> tuple[str, float]:
    if not case.batch:
        raise Refused("energy at an unstated batch")
    state = _steady(case, case.batch)
    watts = case.layout.gpus * gpu_watts(case.cluster, state.activity)
    if metric == "gpu_power_total":
        return f"power {kind}", watts
    return f"energy per token {kind}", state.measure.joules_per_token(watts)


def _request(row: dict[str, str], case: Case, kind: str) -> tuple[str, float]:
    if not case.batch:
        raise Refused("latency at an unstated batch")
    _refuse(against_answers(case, float(row["value"]) / SCALE[row["unit"]]))
    prefill = prefill_step(case.deployment, case.batch, case.prompt)
    total = prefill.seconds + (case.output - 1) * _plain_step(case).seconds
    return f"request latency {kind} ({case.engine})", SCALE[row["unit"]] * total


def _throughput(row: dict[str, str], case: Case, kind: str) -> tuple[str, float]:
    metric = row["metric"]
    if metric in ("tokens_per_s_user", "decode_throughput") and case.batch in (0.0, 1.0):
        return f"decode batch 1 {kind} ({case.engine})", 1.0 / _plain_step(case).seconds
    batch = case.batch
    if not batch:
        _refuse(against_memory(case, case.prompt + case.output))
        fits = max(case.layout.dp, memory_of(case.deployment, case.prompt + case.output, 1).sequences)
        batch = min(constants().scheduled_sequences.value * case.layout.dp, fits)
    _refuse("" if "scheduled_sequences" in limits_stated(words(row)) else against_states(case))
    measure = _steady(case, batch).measure
    rate, token = measure.tokens_per_second, measure.time_per_output_token_seconds
    if is_static(words(row)):
        token = _static(case, batch)
        rate = batch / token
    if metric in ("tokens_per_s_user", "decode_throughput"):  # of answers alone
        rate = (batch if metric == "decode_throughput" else 1.0) / token
    if metric == "total_throughput_per_gpu":
        rate *= (case.prompt + case.output) / case.output
    if metric.endswith("per_gpu"):
        rate /= case.layout.gpus
    label = "throughput at most load" if not case.batch else "throughput"
    return f"{label} {kind} ({case.engine})", rate


def _static(case: Case, batch: float) -> float:
    """Seconds per token of each of ``batch`` that start and end together, their prompts included."""
    whole = replace(case, batch=batch)
    steps = (case.output - 1) * _plain_step(whole).seconds
    return (prefill_step(case.deployment, batch, case.prompt).seconds + steps) / case.output


def _all_reduce(row: dict[str, str]) -> tuple[str, float]:
    reason = reason_against(row)
    if reason:
        raise Refused(reason)
    gpu = load_gpu(gpu_name(row["gpu"], row.get("notes") or ""))
    ranks, message = whole_number(row["n_gpus"], "n_gpus"), message_bytes(row)
    if ranks > int(gpu.link.domain):
        raise Refused("spans several NVLink domains")
    library = row.get("engine") or library_by_words(row)
    if library not in LIBRARIES:
        raise Refused("an all-reduce kernel that is not modelled")
    seconds = one_collective(Cluster(gpu, ranks), (library,), ranks, message)
    return f"kernel all-reduce ({library})", SCALE[row["unit"]] * seconds


def one_collective(cluster: Cluster, engines: tuple[str, ...], ranks: int, message: float) -> float:
    """Seconds of exactly this library's all-reduce."""
    return collective_seconds(cluster, engines, "all_reduce", ranks, message, only=True)
