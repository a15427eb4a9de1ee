"""What the clients of published benchmarks send, and what the engines were started with: benchmarks/*.sh of
SemiAnalysisAI/InferenceX at the commits of the runs (2582bce^ of 2025-10-29, e06929c, dcc0f53, 12ba0ae, dd9c285 of
2026-04-17), and aiconfigurator's own client (eval/benchmarks/genai_perf_runner.py).

Rules look at what a row states: engine, model, precision, GPUs, lengths, users, the date of the run.
"""

import re

from wsekern.cluster.benchmark import Benchmark, Scheduling
from wsekern.cluster.constants import constants
from wsekern.validation.gpu_notes import is_recipe
from wsekern.validation.gpu_rows import Case

STEP_TOKENS = 8192
"""Tokens of a step by default: vLLM and TensorRT-LLM on data-centre GPUs, chunks of SGLang on Hopper."""

WARMED = "2026-01-21"
"""Since then the client of InferenceX warms the engine up (d053ae2), and its recipes for DeepSeek changed (64af5a7)."""

RARER_LOOKS_END = "2026-04-17"
"""Since then the recipe for 8-bit Qwen3.5 on B300 is its own (c0f62a2), no more that of B200."""

CAPTURED, CAPTURES = 2048, "2025-12-05"
"""Tokens of vLLM's largest CUDA graph in the recipes for gpt-oss (max-cudagraph-capture-size), and since when (25506e8)."""

PIECES = 10
"""SGLang 0.5.10 and later run prompts as pieces of CUDA graphs by default (sgl-project/sglang #16331)."""

COLD = "the client of this run did not warm the engine up: kernels were compiled while users waited"

SCATTERED = 0.75
"""Shortest over longest answer that stands for users who come out of step although their requests are of equal length: those of
engines that read prompts beside answers, whose prompts fall into different steps. Inferred from the rows marked as fitted, as
are the tokens' times of these runs: with users in step nobody's answer would wait for prompts."""

LAYER_SECONDS = {"tuned": 1.6e-3, "stock": 9e-4}
"""Seconds per layer for which a first token waits in the services that aiconfigurator starts, and other users do not: fitted on
the rows marked; ai-dynamo's front end, and the launches of prompts where every token is streamed."""


def run_date(row: dict[str, str]) -> str:
    """Of a run of InferenceX, as in 2026-03-25; that of the middle of its runs where a row does not say."""
    found = re.search(r"inferencex run (\d{4}-\d\d-\d\d)", (row.get("notes") or "").lower())
    return found[1] if found else "2026-03-01"


def benchmark_of(row: dict[str, str], case: Case) -> Benchmark:
    """Ten prompts for each user, all users at once. Lengths of recipes vary (--random-range-ratio 0.8); aiconfigurator's are
    equal, and its users stay in step where the engine reads prompts before all answers."""
    rounds, users = int(constants().benchmark_rounds), max(1, round(case.batch))
    if is_recipe(row):
        longest = (max(1, round(length / constants().recipe_lengths.value)) for length in (case.prompt, case.output))
        return Benchmark(users=users, prompt=next(longest), output=next(longest), rounds=rounds,
                         shortest=2.0 * constants().recipe_lengths.value - 1.0)
    share = SCATTERED if case.deployment.engine.chunked else 1.0
    return Benchmark(users=users, prompt=case.prompt, output=max(1, round(2.0 * case.output / (1.0 + share))), rounds=rounds,
                     shortest_output=share)


def scheduling_of(row: dict[str, str], case: Case) -> Scheduling:
    """Options of the engine that served a row."""
    if not is_recipe(row):
        return Scheduling(step_tokens=STEP_TOKENS, whole=case.engine.startswith("tuned"), ahead_steps=0,
                          layer_seconds=LAYER_SECONDS.get(case.engine))
    if case.engine.startswith("sglang"):
        return _sglang(row, case)
    if case.engine.startswith("tuned"):
        return _tensorrt(row, case)
    captured = CAPTURED if case.model.mixture and run_date(row) >= CAPTURES else 0
    return Scheduling(step_tokens=STEP_TOKENS, captured_tokens=captured)  # max-num-batched-tokens


def _tensorrt(row: dict[str, str], case: Case) -> Scheduling:
    """max_num_tokens, without enable_chunked_prefill; batch_wait_timeout_iters and batch_wait_max_tokens_ratio."""
    blackwell, even = case.cluster.gpu.family == "blackwell", case.prompt == case.output and case.prompt < 1100
    if not case.model.mixture:
        few = even and case.layout.tp < 8
        return Scheduling(step_tokens=16384, whole=True, hold_steps=20 if few else 0, hold_share=0.9)
    if not case.model.latent:
        return Scheduling(step_tokens=20000, whole=True)
    longest, late = case.prompt / constants().recipe_lengths.value, run_date(row) >= WARMED
    tokens = max(int(case.batch + longest + 127) // 64 * 64, STEP_TOKENS if late else 0)
    pieces = late and blackwell and case.batch >= 64 and case.precision.weight == 1.0  # enable_piecewise_cuda_graph
    return Scheduling(step_tokens=tokens, whole=True, hold_steps=40 if pieces and even else 0, hold_share=0.8,
                      captured_tokens=tokens if pieces else 0)


def _sglang(row: dict[str, str], case: Case) -> Scheduling:
    """--chunked-prefill-size and --scheduler-recv-interval; the tokenizer and the detokenizer are processes of their own."""
    blackwell, eight_bit = case.cluster.gpu.family == "blackwell", case.precision.weight == 1.0
    own = eight_bit and case.cluster.gpu.name == "b300" and run_date(row) >= RARER_LOOKS_END
    looks = 1 if not blackwell else 30 if case.batch >= 16 else 10
    if case.model.latent:
        chunk = 16384 if not eight_bit else 32768 if case.layout.tp >= 8 else 8192
    else:
        chunk, looks = (16384 if own or not blackwell else 32768), 10 if own else looks
    version = re.search(r"sglang 0\.5\.(\d+)", (row.get("notes") or "").lower())
    pieces = version is not None and int(version[1]) >= PIECES
    return Scheduling(step_tokens=chunk, look_steps=looks, ahead_steps=2, captured_tokens=chunk if pieces else 0)
