"""Reading measured LLM rows (the schema of ``gpu-measurements.csv``): what each says, and which say too little.

Rules look at what a row states (source, notes, parallelism, units), never at which row it is. A rule that refuses a row
says why, and ``validate`` prints that.
"""

import csv
import gzip
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from math import inf, log
from pathlib import Path

from wsekern.cluster.checkpoint import settle
from wsekern.cluster.constants import constants
from wsekern.cluster.engine import level_name, load_engine
from wsekern.cluster.hardware import Cluster, Gpu, load_gpu
from wsekern.cluster.layout import Deployment, Layout
from wsekern.cluster.parts import common_heads
from wsekern.cluster.precision import Precision
from wsekern.errors import InputError, WsekernError
from wsekern.validation.gpu_notes import OTHER_THINGS, is_recipe, level_by_words, reason_by_words, with_settings
from wsekern.validation.gpu_settings import cache_bytes_stated, has_attention_copies, words
from wsekern.workload import ModelConfig, bundled_models, load_config

COLUMNS = ("id", "gpu", "n_gpus", "model", "metric", "value", "unit")
"""Columns by which a file is recognised as GPU measurements."""

TASK_PROMPTS = {"task:lm-arena-chat": 200, "task:gpqa": 300, "task:sourcegraph-fim": 1500}
"""Prompt tokens assumed for the data sets of ML.ENERGY, whose lengths are not in the rows; for code to be filled in read from
the gap between the rows' throughput and their median inter-token latency, which is the time of the prompts."""


@dataclass(frozen=True)
class Case:
    """One measured configuration, understood."""

    model: ModelConfig
    cluster: Cluster
    layout: Layout
    precision: Precision
    engine: str
    prompt: int
    output: int
    batch: float  # sequences in flight; 0 for as many as fit
    sampled: bool = False

    @property
    def deployment(self) -> Deployment:
        """What served it, with the engine level in use."""
        return Deployment(self.model, self.cluster, self.layout, self.precision, load_engine(self.engine))


class Refused(WsekernError):
    """Why a row has no prediction."""


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV (plain or gzip); :class:`InputError` if its columns are not those of GPU measurements.

    A row that ends early has empty values; a column that the table lacks is in no row.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    if not rows or not is_gpu_table(rows[0].keys()):
        raise InputError(f"{path} is not a table of GPU measurements: expected the columns {', '.join(COLUMNS)}")
    return [{key: value or "" for key, value in row.items() if key is not None} for row in rows]


def is_gpu_table(columns: Iterable[object]) -> bool:
    """Whether a file with these columns holds GPU measurements."""
    return set(COLUMNS) <= {str(column) for column in columns}


def understand(row: dict[str, str]) -> Case:
    """The configuration of a row; raise :class:`Refused` with the reason where it does not say enough."""
    reason = reason_against(row)
    if reason in OTHER_THINGS:
        raise Refused(reason)
    gpu = load_gpu(gpu_name(row["gpu"], row.get("notes") or ""))
    count = whole_number(row["n_gpus"], "n_gpus")
    model = model_of(row["model"])
    engine = engine_level(row)
    precision = precision_from(row.get("precision") or "", row["model"], model, engine)
    prompt, output = _prompt(row), _length(row.get("osl"), 1)
    if is_recipe(row):
        precision = _recipe_cache(precision, engine, gpu)
        prompt, output = (max(1, round(length * constants().recipe_lengths.value)) for length in (prompt, output))
    cache = cache_bytes_stated(f"{words(row)} {row.get('precision') or ''}")
    if cache is not None:
        precision = replace(precision, cache=cache)
    parallelism, count = unfolded(row.get("parallelism") or "", count)
    layout = layout_of(parallelism, count, model)
    if has_attention_copies(words(row)) and layout.dp == 1:
        layout = _attention_copies(layout, model)
    batch = _batch(row)
    return Case(model, Cluster(gpu, count), layout, precision, engine, prompt, output, batch, is_sampled(row))


def reason_against(row: dict[str, str]) -> str:
    """Why a row is not comparable: its column ``not_comparable``, or what its words say where the table has no such column."""
    stated = row.get("not_comparable")
    return reason_by_words(row) if stated is None else stated


def engine_level(row: dict[str, str]) -> str:
    """Engine level of a row: its column ``engine``, or what its words say where that is empty or absent; either with the
    settings that the words state."""
    level = level_name(row.get("engine") or level_by_words(row))
    load_engine(level)  # refuses an unknown one
    return with_settings(level, row)


def is_sampled(row: dict[str, str]) -> bool:
    """Task data are answered with the model's own top-p or top-k; synthetic benchmarks take the likeliest token."""
    return (row.get("isl") or "").startswith("task:")


MAX_NUMBER = 10**9
"""Sanity limit of GPUs, tokens and sequences that a row states."""


def whole_number(text: str | None, name: str) -> int:
    """The positive whole number that a text begins with; :class:`Refused` if it has none."""
    match = re.match(r"\s*(\d{1,10})(?!\d)", text or "")
    if not match or not 1 <= int(match[1]) <= MAX_NUMBER:
        raise Refused(f"{name} is {text!r}")
    return int(match[1])


def message_bytes(row: dict[str, str]) -> float:
    """Bytes of the message of a collective; :class:`Refused` if they are no positive number."""
    text = row.get("batch_or_concurrency") or ""
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0.0 < size < inf:
        raise Refused(f"a message of {text!r} bytes: expected a positive number")
    return size


def _length(text: str | None, default: int) -> int:
    """Tokens that a text begins with, at least one."""
    match = re.match(r"\s*(\d+(?:\.\d+)?)", text or "")
    if not match:
        return default
    if float(match[1]) > MAX_NUMBER:
        raise Refused(f"a length is {text!r}: expected at most {MAX_NUMBER} tokens")
    return max(1, round(float(match[1])))


def _prompt(row: dict[str, str]) -> int:
    text = (row.get("isl") or "").strip()
    if text in TASK_PROMPTS:
        return TASK_PROMPTS[text]
    if not text:
        return DEFAULT_PROMPT
    if not re.match(r"(ctx ~)?\d", text):
        raise Refused(f"prompt length is {text!r}: not a number")
    return _length(text.removeprefix("ctx ~"), DEFAULT_PROMPT)


DEFAULT_PROMPT = 128
"""Prompt tokens of a row that states none; in the shipped table, those are pytorch/ao's generations for one user."""


def _batch(row: dict[str, str]) -> float:
    """Sequences in flight: the average that the notes give, else the column; 0 for as many as fit."""
    average = re.search(r"avg batch (\d+(?:\.\d+)?)", row.get("notes") or "")
    text = average[1] if average else (row.get("batch_or_concurrency") or "").strip()
    if text.startswith(("max", "offline")):
        return 0.0
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise Refused(f"batch or concurrency is {text!r}: not a number")
    if float(text) > MAX_NUMBER:
        raise Refused(f"batch or concurrency is {text!r}: expected at most {MAX_NUMBER}")
    return max(1.0, float(text))


_GPUS = (
    ("gb300", "gb300"),
    ("gb200", "gb200"),
    ("gh200", "gh200"),
    ("b300", "b300"),
    ("b200", "b200"),
    ("h200", "h200"),
    ("h800", "h800"),
    ("h100", "h100"),
    ("h20", "h20"),
    ("l40s", "l40s"),
    ("rtx 4090", "rtx-4090"),
    ("l4", "l4"),
    ("rtx pro 6000", "rtx-pro-6000"),
)


@lru_cache(maxsize=1024)
def gpu_name(text: str, notes: str) -> str:
    """Bundled GPU that a label means."""
    lower = text.lower()
    if re.search(r"\bh[12]00.*(\bnvl\b|pcie)|\ba100.*pcie", lower.replace("nvl72", "").replace("_", " ").replace("-", " ")):
        for card in ("h200-nvl", "h100-nvl", "h100-pcie", "a100-pcie"):
            if all(part in lower for part in card.split("-")):
                return card
        raise Refused(f"GPU {text!r} is not described")
    if "a100" in lower:
        small = "40gb" in lower.replace(" ", "") or ("80" not in lower and "40 gb" in notes.lower())
        return "a100-40" if small else "a100-80"
    for label, name in _GPUS:
        if re.search(rf"(?<![a-z0-9]){label}(?![0-9])", lower):
            return name
    raise Refused(f"GPU {text!r} is not described")


_DROP = re.compile(
    r"-(instruct|it|hf|chat|base|thinking|fp8|nvfp4|mxfp4|fp4|awq|gptq|int4|int8|w4a16|w8a8|bf16|dynamic|text|vision|\d{4}|"
    r"v0\.\d|16e|128e|17b|turbo)\b"
)
_SAME = {
    "llama4-scout": "llama4-scout",
    "llama4-maverick": "llama4-maverick",
    "deepseek-v3.1": "deepseek-v3",
    "mistral-nemo": "mistral-nemo-12b",
    "mistral-small-3-24b": "mistral-small-24b",
    "mistral-small-3.1-24b": "mistral-small-24b",
    "mistral-small-3.2-24b": "mistral-small-24b",
    "llama7b": "llama2-7b",
    "llama13b": "llama2-13b",
    "llama33b": "llama-33b",
    "llama30b": "llama-33b",
    "llama65b": "llama-65b",
    "llama70b": "llama2-70b",
    "kimi-k2.5": "kimi-k2",
    "glm-4.6": "glm-4.5",
    "glm-4.7": "glm-4.5",
    "glm-4.6-air": "glm-4.5-air",
    "minimax-m2.1": "minimax-m2",
    "minimax-m2.5": "minimax-m2",
    "bloom": "bloom-176b",
    "deepseek-v3.2": "deepseek-v3",
    "deepseek-v3.2-exp": "deepseek-v3",
    "qwen3-coder-30b-a3b": "qwen3-30b-a3b",
    "deepseek-r1": "deepseek-r1",
    "llama3.1-8b": "llama3.1-8b",
}
"""Published names of shapes that are bundled under another (the same architecture and sizes)."""


@lru_cache(maxsize=1024)
def bundled(name: str) -> ModelConfig:
    """A bundled model, the same object each time: caches compare equal ones block by block."""
    return load_config(name)


@lru_cache(maxsize=1024)
def model_of(text: str) -> ModelConfig:
    """The bundled shape that a published model name means, or a folder or file with a config.json."""
    name = text.split("/")[-1].lower().replace("_", ".").replace(" ", "-")
    name = re.sub(r"\(.*?\)", "", name).strip("-")
    name = name.removeprefix("meta-").removeprefix("nvidia-")
    previous = None
    while previous != name:
        previous, name = name, _DROP.sub("", name)
    name = re.sub(r"^(llama|gemma)-(\d)", r"\1\2", name)
    name = re.sub(r"^codellama-", "codellama-", name).rstrip("-")
    name = re.sub(r"-99(\.9)?$", "", name)
    known = bundled_models()
    for candidate in (name, _SAME.get(name, "")):
        if candidate in known:
            return bundled(candidate)
    if _is_path(text):
        return load_config(text)
    guess = shape_by_size(name)
    if guess is not None:
        return guess
    raise Refused(f"model {text!r} is not bundled")


def _is_path(text: str) -> bool:
    try:
        return bool(text) and Path(text).exists()
    except OSError:  # longer than a name may be
        return False


_SIZE = re.compile(r"(?:^|-)(\d+(?:\.\d+)?)b(?:-a(\d+(?:\.\d+)?)b)?(?=-|$)")
GUESSED = "shape by size"
"""Architecture of a shape that :func:`shape_by_size` made up."""


MAX_BILLIONS = 1e6
"""Sanity limit of the parameters in a model's name, in units of 1e9."""


def shape_by_size(name: str) -> ModelConfig | None:
    """A shape for a model that is not bundled but says its size (8b, or 35b-a3b): that of the bundled model nearest in size,
    with as many layers as give the size. None where no size is said."""
    found = _SIZE.search(name)
    if not found or not 0.0 < float(found[1]) <= MAX_BILLIONS or float(found[2] or 0.0) > MAX_BILLIONS:
        return None
    whole, active = 1e9 * float(found[1]), 1e9 * float(found[2] or 0.0)
    models = [model for model in map(bundled, bundled_models()) if bool(model.mixture) == bool(active)]
    if active:
        near = min(models, key=lambda m: abs(log(m.parameters / whole)) + abs(log(m.active_parameters / active)))
    else:
        near = min((m for m in models if not m.recurrents), key=lambda m: (abs(log(m.parameters / whole)), m.name))
    ends = near.embedding_parameters * (1 if near.tied_embeddings else 2)
    layers = max(1, round(near.layers * max(0.1 * whole, whole - ends) / (near.parameters - ends)))
    return replace(
        near,
        name=name,
        architecture=GUESSED,
        blocks=tuple(near.blocks[int(index * near.layers / layers)] for index in range(layers)),
    )


def _recipe_cache(precision: Precision, engine: str, gpu: Gpu) -> Precision:
    """What the recipes of InferenceX set: an 8-bit cache with TensorRT-LLM, and for 8-bit and narrower checkpoints with vLLM
    and, on Blackwell, SGLang."""
    stock = engine.startswith("stock")
    narrow = precision.weight < 2.0 and (gpu.family == "blackwell" or (stock and precision.weight == 1.0))
    return replace(precision, cache=1.0) if narrow or engine.startswith("tuned") else precision


_PRECISION_NAMES = (
    ("nvfp4 moe + bf16", "nvfp4-experts"),
    ("int8wo", "int8"),
    ("w8a16", "int8"),
    ("w4a16", "int4"),
    ("awq", "int4"),
    ("gptq", "int4"),
    ("int4", "int4"),
    ("fp8wo", "fp8wo"),
    ("mxfp4", "mxfp4"),
    ("nvfp4", "fp4"),
    ("fp4", "fp4"),
    ("fp8", "fp8"),
    ("bf16", "bf16"),
    ("bfloat16", "bf16"),
    ("fp16", "fp16"),
    ("float16", "fp16"),
    ("fp32", "fp32"),
)


def precision_from(text: str, label: str, model: ModelConfig, engine: str) -> Precision:
    """Precision of a row: its own column, the checkpoint's name, and how the checkpoint is quantised."""
    lower = text.lower()
    found = next((name for key, name in _PRECISION_NAMES if key in lower), None)
    if found is None:
        found = "fp8" if "fp8" in label.lower() else "bf16" if not lower else None
    if found is None:
        raise Refused(f"precision {text!r} is unknown")
    return settle(found, model, engine)


def unfolded(text: str, count: int) -> tuple[str, int]:
    """Label and GPUs of a row in which TP is the product of the tensor- and expert-parallel degree (TP64 EP8 for TP8 EP8), as
    in aiconfigurator's sample, where the same runs stand under both labels."""
    found = re.fullmatch(r"TP(\d+) EP(\d+)", text.strip())
    if not found:
        return text, count
    tp, ep = int(found[1]), int(found[2])
    if tp <= 8 or ep == 1 or tp != count or tp % ep or tp // ep > 8:
        return text, count
    return f"TP{tp // ep} EP{ep}", count // ep


def _attention_copies(layout: Layout, model: ModelConfig) -> Layout:
    """``layout`` with a copy of the attention on each GPU of its tensor-parallel group."""
    if not model.mixture:
        raise Refused("attention in data parallel beside split feed-forward layers of a dense model is not modelled")
    return replace(layout, tp=1, dp=layout.tp)


def layout_of(text: str, count: int, model: ModelConfig) -> Layout:
    """Degrees that a label such as "TP8 EP8", "TP1 EP4" or "DEP4" states; what is left over are data-parallel copies."""
    degrees = {name.lower(): int(value) for name, value in re.findall(r"\b(TP|PP|EP|DP|DEP|TEP)(\d+)", text)}
    if not model.mixture:
        degrees.pop("ep", None)
    if 0 in degrees.values():
        raise Refused(f"parallelism {text!r}: a degree is at least 1")
    if "dep" in degrees:
        return Layout(tp=1, dp=degrees["dep"], ep=degrees["dep"] if model.mixture else 1)
    if "tep" in degrees:
        return Layout(tp=degrees["tep"], ep=degrees["tep"] if model.mixture else 1)
    tp, pp = degrees.get("tp", count if not degrees else 1), degrees.get("pp", 1)
    if tp * pp > count or count % (tp * pp):
        raise Refused(f"parallelism {text!r} does not multiply to {count} GPUs")
    dp = count // (tp * pp)
    if "dp" in degrees and degrees["dp"] not in (dp, 1):
        raise Refused(f"parallelism {text!r} does not multiply to {count} GPUs")
    ep = degrees.get("ep", 1)
    heads = common_heads(model)
    if heads % tp:
        raise Refused(f"parallelism {text!r}: {tp} does not divide {heads} heads, so it counts GPUs of several engines")
    if (tp * dp) % ep:
        raise Refused(f"{ep} expert ranks do not divide {tp * dp} GPUs")
    return Layout(tp=tp, pp=pp, dp=dp, ep=ep)
