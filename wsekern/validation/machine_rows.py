"""Reading measured rows of machines other than NVIDIA's servers (``machine-measurements.csv``): what each says.

``count`` counts chips; degrees in ``engine`` count the devices that programs see, several a chip on some.
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from wsekern.cluster.checkpoint import settle, stored_precision
from wsekern.cluster.hardware import Cluster, Gpu, load_gpu
from wsekern.cluster.layout import Layout
from wsekern.cluster.parts import common_heads
from wsekern.cluster.precision import Precision
from wsekern.errors import InputError, check_source
from wsekern.validation.gpu_rows import Case, Refused, model_of, precision_from
from wsekern.validation.gpu_settings import APART, SPECULATIVE
from wsekern.workload import ModelConfig

COLUMNS = ("accelerator", "count", "model", "engine", "precision", "batch_or_concurrency", "input_len", "output_len", "metric",
           "value", "unit", "date", "source")
"""Columns by which a file is recognised as measurements of machines."""

RANGE = 0.9
"""Mean length of a recipe's prompts and answers over the stated one: even from 0.8 to 1 of it (SemiAnalysisAI/InferenceX)."""

RECIPES = "inferencex"
"""How a source says that recipes of SemiAnalysisAI/InferenceX ran."""

NO_ANSWER = ("prefill_time", "prefill_tok_s", "decode_tok_s")
"""Metrics for which a row need not say how long the answers are: none, or one token after the prompt."""

MOST = 10**7
"""Sanity limit of chips, tokens and sequences that a row states."""

PRODUCTS = (
    (r"^llama\.cpp", "compiled"), (r"tensorrt|trt-?llm", "tuned"), (r"^atom", "atom"), (r"sglang", "sglang-overlapped"),
    (r"vllm", "stock-overlapped"), (r"jetstream", "compiled"), (r"sambaflow", "compiled"),
)
"""Engine level of a product's newest generation, by what its name begins with or contains."""

GENERATIONS = (
    *(("stock-overlapped", family, "9999", "jax-2024") for family in ("gaudi", "trainium")),
    ("stock-overlapped", "tpu", "2025-12-31", "jax-2024"), ("stock-overlapped", "tpu", "2026-07-07", "jax-padded"),
    ("stock-overlapped", "tpu", "2026-08-31", "jax-inference"),
    ("sglang-overlapped", "", "2024-12-31", "sglang-2024"), ("sglang-overlapped", "", "2025-12-31", "sglang-2025"),
    ("sglang-overlapped", "cdna3", "2026-03-31", "sglang-2025"),
    ("stock-overlapped", "cdna3", "2024-12-31", "stock-2024-eager"), ("stock-overlapped", "", "2024-12-31", "stock-2024"),
    ("stock-overlapped", "", "2025-12-31", "stock"), ("tuned", "", "2024-12-31", "tuned-2024"))
"""(level, family or all, last day, level of runs until then): an engine of last year is another engine. Recipes for the older
AMD parts went on with images of the year before until spring: their steps of February take 1.7 times those of May. vLLM of 2024
launched their kernels one by one: a layer of one user takes as long on four chips as on one, whatever the model's size."""


def is_machine_table(columns: Iterable[object]) -> bool:
    """Whether a file with these columns holds measurements of machines."""
    return set(COLUMNS[:4]) | {"metric", "value", "unit"} <= {str(column) for column in columns}


def header_of(path: str | Path) -> list[str]:
    """The first line of a CSV file; empty where it is none."""
    check_source(path)
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return next(csv.reader(file), [])
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        return []


def read_rows(path: str | Path) -> list[dict[str, str]]:
    """Rows of a CSV with the number of their line as ``id``; :class:`InputError` if its columns are others."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    if rows and not is_machine_table(rows[0].keys()):
        raise InputError(f"{path} is no table of measurements of machines: expected the columns {', '.join(COLUMNS)}")
    return [{"id": f"line {number}", **{key: value or "" for key, value in row.items() if key is not None}}
            for number, row in enumerate(rows, start=2)]


def understand(row: dict[str, str]) -> Case:
    """The configuration of a row; raise :class:`Refused` with the reason where it does not say enough."""
    gpu = machine_of(row["accelerator"])
    engine = row.get("engine") or ""
    _refuse_settings(engine)
    count = _number(row.get("count"), "count")
    model = _model(row["model"])
    level = level_of(engine, row.get("date") or "", gpu.family)
    precision = _precision(row.get("precision") or "", model, row["model"], level)
    layout = layout_of(engine, count, int(gpu.devices or 1), model)
    if gpu.mechanism == "systolic":
        precision, layout = _compiled(precision, layout, engine, model)
    answer = row.get("output_len") or ""
    if row.get("metric") in NO_ANSWER and answer in ("", "0"):
        answer = "1"
    prompt, output = _number(row.get("input_len"), "input_len"), _number(answer, "output_len")
    if RECIPES in (row.get("source") or "").lower():
        prompt, output = (max(1, round(RANGE * length)) for length in (prompt, output))
    batch = _number(row.get("batch_or_concurrency") or "1", "batch or concurrency")
    return Case(model, Cluster(gpu, count), layout, precision, level, prompt, output, float(batch))


def _refuse_settings(engine: str) -> None:
    lower = engine.lower()
    if re.search(r"\bmtp\b|eagle|medusa|speculat", lower):
        raise Refused(SPECULATIVE)
    if re.search(r"disagg|prefill \d+ .*decode \d+", lower):
        raise Refused(APART)
    if "hosted" in lower:
        raise Refused("a hosted service: how many chips serve it, and whom else, is not stated")
    if re.search(r"agentx|trace", lower):
        raise Refused("a trace of an agent: its lengths and cached prompts are not stated")


@lru_cache(maxsize=256)
def machine_of(text: str) -> Gpu:
    """Bundled machine that a label such as "TPU v6e (Trillium)" means."""
    names: list[str] = []
    for part in text.lower().split("("):
        words = [word for word in re.sub(r"[^a-z0-9 ]", " ", part).split() if word not in MAKERS]
        names += ["-".join(words[:end]) for end in range(len(words), 0, -1)] + ["".join(words), *reversed(words)]
    for name in names:
        try:
            return load_gpu(name)
        except InputError:
            continue
    raise Refused(f"machine {text[:80]!r} is not described")


MAKERS = (
    "nvidia", "amd", "google", "aws", "intel", "instinct", "sambanova", "d", "matrix", "agx", "cloud", "card", "64gb", "nvl72")
"""Words of a label that no machine's name has."""


def _number(text: str | None, name: str) -> int:
    match = re.fullmatch(r"\s*(\d{1,9})(?:\.0*)?\s*", text or "")
    if not match or not 1 <= int(match[1]) <= MOST:
        raise Refused(f"{name} is {(text or '')[:40]!r}, expected a whole number from 1 to {MOST}")
    return int(match[1])


def _model(text: str) -> ModelConfig:
    """The bundled shape of a name, with its size left out where that name is bundled without."""
    short = re.sub(r"-\d+(\.\d+)?[bt](-a\d+(\.\d+)?b)?$", "", text, flags=re.IGNORECASE)
    guess = model_of(text)
    if short != text and guess.architecture == "shape by size":
        try:
            return model_of(short)
        except Refused:
            return guess
    return guess


def _precision(text: str, model: ModelConfig, label: str, level: str) -> Precision:
    lower = text.lower()
    if not lower.strip():
        return settle(stored_precision(model), model, level)
    known = {"int4": r"w4\b|q4|int4|awq|gptq", "int8wo": r"int8|w8a16|q8"}
    return precision_from(next((name for name, words in known.items() if re.match(words, lower)), text), label, model, level)


def _compiled(precision: Precision, layout: Layout, engine: str, model: ModelConfig) -> tuple[Precision, Layout]:
    """What goes without saying on compiled machines: whole experts are spread where copies of an attention share them, and
    recipes of vLLM keep caches in 8 bit beside 8-bit weights."""
    if layout.dp > 1 and model.mixture and layout.ep == 1:
        layout = replace(layout, ep=layout.tp * layout.dp)
    narrow = precision.name == "fp8" and "vllm" in engine.lower()
    return replace(precision, cache=1.0) if narrow else precision, layout


def level_of(engine: str, date: str, family: str) -> str:
    """Engine level that a product's name and the date of its run mean; :class:`Refused` for an unknown product."""
    lower = engine.lower()
    level = next((level for pattern, level in PRODUCTS if re.search(pattern, lower)), None)
    if level is None:
        raise Refused(f"engine {engine[:60]!r} is unknown")
    for newest, of, last, older in GENERATIONS:
        if level == newest and of in ("", family) and "" < date <= last:
            return older
    return level


def layout_of(engine: str, count: int, devices: int, model: ModelConfig) -> Layout:
    """Degrees that the name of an engine states, turned from devices to chips; all chips in tensor parallel where it states
    none."""
    found = {name: int(value) for name, value in re.findall(r"\b(tp|dp|ep|pp)(\d+)\b", engine.lower())}
    tp, dp, pp = found.get("tp", 0), found.get("dp", 1), found.get("pp", 1)
    if 0 in found.values():
        raise Refused(f"engine {engine[:60]!r}: a degree is at least 1")
    total = count * devices
    if not tp:
        tp = max(1, total // (dp * pp))
    if re.search(r"dpattn", engine.lower()) or (tp == total and dp > 1 and model.mixture):
        tp = max(1, tp // dp)  # copies of the attention inside the group
    inside = _common(devices, tp)
    layout = Layout(tp=tp // inside, dp=max(1, dp // max(1, devices // inside)), pp=pp)
    spare = count // layout.gpus
    if count % layout.gpus:
        raise Refused(f"degrees of {engine[:60]!r} do not multiply to {count} chips")
    heads = common_heads(model)
    while heads % layout.tp:  # engines repeat heads; each chip then does the work of a narrower group
        raise Refused(f"tp {layout.tp} does not divide the {heads} heads of {model.name}")
    layout = replace(layout, dp=layout.dp * spare)
    stated = found.get("ep", layout.tp * layout.dp if re.search(r"\bep\b", engine.lower()) else 1)
    return replace(layout, ep=_common(stated, layout.tp * layout.dp) if model.mixture else 1)


def _common(a: int, b: int) -> int:
    """The greatest common divisor."""
    while b:
        a, b = b, a % b
    return a
