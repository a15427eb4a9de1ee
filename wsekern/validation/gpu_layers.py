"""One mixer of a layer beside what the engines' own modules take, as aiconfigurator timed them: projections and attention.

Rows say so in their model, "one layer: NAME": the metric is the phase, ``isl`` the tokens of a cache or of a prompt, ``notes``
the bits of a cached element. Two thirds of the rows of sparse attention and of states set constants
(:mod:`wsekern.calibration.mixers`); of the other kinds of attention no row does.
"""

import re
import zlib
from collections.abc import Mapping
from dataclasses import replace

import msgspec

from wsekern.cluster.engine import Engine, load_engine
from wsekern.cluster.hardware import Cluster, load_gpu
from wsekern.cluster.layout import Deployment, Layout
from wsekern.cluster.mixers import look_back, projections
from wsekern.cluster.operators import Operators
from wsekern.cluster.parts import parts_of
from wsekern.cluster.precision import PRECISIONS
from wsekern.cluster.step import mixer_block
from wsekern.cluster.work import StepTime, Work
from wsekern.validation.gpu_rows import Refused, bundled, gpu_name, whole_number
from wsekern.workload import bundled_models
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import LatentAttention

LEVELS = {"vllm": "stock", "sglang": "sglang", "trtllm": "tuned"}
"""Engine level by the framework in a source."""

METRICS = ("attention_decode_latency", "attention_prefill_latency", "state_decode_latency", "state_prefill_latency")
"""Of a layer's attention with its projections, or of a state's convolution and update alone."""


SPARSE_MODULE = {"stock": 1.2e-4, "sglang": 0.0, "tuned": 5.6e-5}
"""Seconds that a module of sparse attention takes beside its kernels where aiconfigurator runs it alone, by engine level: set
on the rows of :func:`is_fitted_layer` by :mod:`wsekern.calibration.mixers`. Services have no room for it: vLLM's whole layers
of MiniMax-M3 take 0.14 ms."""


def predict_layer(row: dict[str, str], sparse_module: Mapping[str, float] = SPARSE_MODULE) -> tuple[str, float]:
    """(group, microseconds); :class:`Refused` where the row says too little."""
    if row["metric"] not in METRICS:
        raise Refused(f"a layer of one framework, of which {row['metric']!r} is not predicted")
    model, prefill = _model(row["model"]), "prefill" in row["metric"]
    batch, tokens = whole_number(row.get("batch_or_concurrency"), "batch"), whole_number(row.get("isl"), "isl")
    work = Work(float(batch * tokens), batch, 0.0, True) if prefill else Work(batch, batch, tokens, False)
    ops, step, phase = _operators(row, model), StepTime(), "prefill" if prefill else "decode"
    if row["metric"].startswith("state"):
        states = parts_of(model).recurrents
        if not states:
            raise Refused(f"{model.name} has no state")
        ops.engine = _without_small_kernels(ops.engine)
        projections(ops, step, work, replace(states[0][0], matrices=()))
        return f"layer state {phase}", 1e6 * step.device
    caches = parts_of(model).caches
    if not caches:
        raise Refused(f"{model.name} has no attention")
    mixer = caches[0][0]
    step.add(mixer_block(ops, work, (mixer,), reduced=False))
    look_back(ops, step, work, mixer, 1)
    if mixer.indexer:
        step.fixed += sparse_module[LEVELS[_framework(row)]]
    kind = "sparse" if mixer.indexer else "latent" if isinstance(mixer, LatentAttention) else "grouped"
    return f"layer {kind} attention {phase} ({LEVELS[_framework(row)]})", 1e6 * step.device


FITTED = ("layer sparse", "layer state")
"""Beginnings of the groups of which rows set constants."""


def is_fitted_layer(row: dict[str, str], group: str) -> bool:
    """Whether a row of ``group`` is one of the two thirds, by a hash of what it states, that set constants."""
    stated = ("source", "model", "precision", "parallelism", "isl", "batch_or_concurrency", "metric", "notes")
    return group.startswith(FITTED) and zlib.crc32("|".join(row.get(name) or "" for name in stated).encode()) % 3 != 0


def _without_small_kernels(engine: Engine) -> Engine:
    """``engine`` without the kernels between convolution and state, which rows of states do not hold."""
    return msgspec.structs.replace(engine, linear=msgspec.structs.replace(engine.linear, value=0.0))


def _model(text: str) -> ModelConfig:
    """The bundled model that ``text`` names."""
    name = text.partition("one layer:")[2].strip()
    if name not in bundled_models():
        raise Refused(f"one layer of {name!r}, which is not bundled")
    return bundled(name)


def _framework(row: dict[str, str]) -> str:
    found = next((name for name in LEVELS if f"/{name}/" in (row.get("source") or "")), None)
    if found is None:
        raise Refused(f"a layer of a framework that the source does not name: use one of {', '.join(LEVELS)}")
    return found


def _operators(row: dict[str, str], model: ModelConfig) -> Operators:
    """One of the GPUs that share the heads; 8-bit weights are scaled in blocks, as the modules' are."""
    form, bits = PRECISIONS.get(row.get("precision") or ""), re.search(r"(8|16)-bit cache", row.get("notes") or "")
    degree = re.fullmatch(r"TP(\d{1,3})", row.get("parallelism") or "TP1")
    if form is None or degree is None:
        raise Refused(f"precision {row.get('precision')!r}, parallelism {row.get('parallelism')!r}: not understood")
    precision = replace(form, cache=int(bits[1]) / 8) if bits else form
    gpu, tp = load_gpu(gpu_name(row["gpu"], row.get("notes") or "")), int(degree[1])
    scaled = replace(model, quantization="fp8") if form.name == "fp8" else model
    return Operators(Deployment(scaled, Cluster(gpu, tp), Layout(tp=tp), precision, load_engine(LEVELS[_framework(row)])))
