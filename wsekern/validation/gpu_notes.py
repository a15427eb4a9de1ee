"""What the words of a row's source and notes say: which engine ran, and whether the row times something else.

The shipped table states both in its columns ``engine`` and ``not_comparable``, which ``python -m wsekern.calibration.columns``
fills by these rules. Here they are read from the words for tables that lack those columns.
"""

import re

from wsekern.cluster.engine import load_engine
from wsekern.validation.gpu_settings import APART, CACHED_PROMPTS, SPECULATIVE, is_eager, is_unchunked, refused_setting, words

SUSPECTED_EAGER = "the source itself suspects eager launches"
UNFINISHED = "a step of an optimisation log: an unfinished build, not an engine that anyone runs"
EAGER_EXCHANGE = "eager launch: the floor is the CPU, not the wire"
OTHER_THINGS = frozenset((SPECULATIVE, CACHED_PROMPTS, APART, SUSPECTED_EAGER, UNFINISHED, EAGER_EXCHANGE))
"""Reasons of rows that time something else than what is predicted, so that no rule may set them beside other rows."""

INFERENCEX = "inferencex run"
"""How a row says that the recipes of SemiAnalysisAI/InferenceX were run (benchmarks/*.sh there)."""

LIBRARIES = ("nccl", "trtllm", "vllm")
"""Libraries whose all-reduce is modelled; a text that names several means the first."""

_TENSORRT = ("trtllm", "trt-llm", "tensorrt", "nim/", "nim ", "_trt")
_OLD = re.compile(r"(?:vllm|tensorrt-llm|trt-llm)\s+20(?:23|24)\b|tensorrt-llm docs.*\bv0\.\d|vllm 0\.[0-6]\.")
"""How a row says that its engine is one of 2023 or 2024: the year after its name, or a version before 1.0 (TensorRT-LLM) or
0.7 (vLLM)."""

_RUN_2025 = re.compile(r"inferencex run 2025")
"""How a row says that a recipe ran in 2025."""

_PAPER = re.compile(r"\b(?:osdi|sosp|asplos|isca|hpca|mlsys|nsdi)'2[45]\b")
"""A paper of 2024 or 2025 measured the engines of the year before."""

_OVERLAPPED = {"tuned": "tuned-overlapped", "stock": "stock-overlapped", "sglang": "sglang-overlapped"}
"""Levels whose host works while the GPU does."""


def is_kernel(row: dict[str, str]) -> bool:
    """Whether a row times a kernel, or one layer, of one framework."""
    return row["model"].startswith("microbench") or "one layer" in row["model"]


def reason_by_words(row: dict[str, str]) -> str:
    """Why a row is not comparable, as its own words say; empty if they say nothing of the kind."""
    notes = row.get("notes") or ""
    text = f"{row.get('source') or ''} {notes}".lower()
    if row["metric"] == "allreduce_latency":
        return EAGER_EXCHANGE if "eager" in f"{row['model']} {text}".lower() else ""
    refused = refused_setting(words(row))
    if refused:
        return refused
    if re.search(r"eager (?:mode |launch\w* )?(?:is |are )?(?:likely|suspected)|suspects? eager", text):
        return SUSPECTED_EAGER
    if notes.startswith("+") or notes.endswith("baseline"):
        return UNFINISHED
    return ""


def is_recipe(row: dict[str, str]) -> bool:
    """Whether a recipe of InferenceX ran; aiconfigurator's gap analysis lists the same runs once more."""
    text = f"{row.get('source') or ''} {row.get('notes') or ''}".lower()
    return INFERENCEX in text or "gap_analysis" in text


def is_asked_by_perf(row: dict[str, str]) -> bool:
    """Whether NVIDIA's client asked (genai-perf, AIPerf: so many users, each with the next request after its answer): in
    aiconfigurator's runs that are not those of InferenceX, and where a row says so."""
    source, notes = row.get("source") or "", (row.get("notes") or "").lower()
    return not is_recipe(row) and (source.startswith("aiconfigurator") or "aiperf" in notes)


def library_by_words(row: dict[str, str]) -> str:
    """The library of an all-reduce; empty if the words name none of :data:`LIBRARIES`."""
    text = f"{row['model']} {row.get('source') or ''} {row.get('notes') or ''}".lower()
    return next((library for library in LIBRARIES if library in text), "")


def level_by_words(row: dict[str, str]) -> str:
    """Engine level of a row: what its source and notes mean, and whether the host of that run works ahead, kernels are launched
    one by one, or prompts are read whole.

    It does in trtllm-bench (no server beside the executor, whose scheduler works ahead; known by a load of "max"), and in
    the recipes of InferenceX (vLLM's asynchronous scheduling, TensorRT-LLM's streaming every 10 to 20 tokens, SGLang's every 10
    to 50); SGLang's kernels in them changed between 2025 and 2026.
    """
    level = engine_of(row.get("source") or "", row.get("notes") or "")
    at_most_load = (row.get("batch_or_concurrency") or "").startswith("max")
    if level == "sglang" and is_recipe(row) and _RUN_2025.search((row.get("notes") or "").lower()):
        return "sglang-2025"
    if is_recipe(row) or (level == "tuned" and at_most_load):
        level = _OVERLAPPED.get(level, level)
    return with_settings(level, row)


def with_settings(level: str, row: dict[str, str]) -> str:
    """``level`` as the words of a row set it, such as stock-eager; that level itself where it is so already."""
    text = words(row)
    for stated, setting in ((is_eager(text), "eager"), (is_unchunked(text), "unchunked")):
        if stated and load_engine(f"{level}-{setting}") != load_engine(level):
            level = f"{level}-{setting}"
    return level


def engine_of(source: str, notes: str) -> str:
    """Engine level that a source means: the generation decides, then the product."""
    text = f"{notes} {source}".lower()
    if "splitwise" in text:
        return "eager"
    if "no engine" in text:
        return "graph"
    if "gpt-fast" in text or "torchao" in text:
        return "compiled"
    if "sglang" in text:
        return "sglang-2024" if _PAPER.search(text) else "sglang"
    old = bool(_OLD.search(f"{source} {notes}".lower()) or _OLD.search(text))
    if any(name in text for name in _TENSORRT):
        return "tuned-2024" if old else "tuned"
    if re.match(r"2023\b", notes):
        return "eager"
    return "stock-2024" if old else "stock"
