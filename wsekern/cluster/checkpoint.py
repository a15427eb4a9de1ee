"""The precision in which GPUs serve a checkpoint: how it is stored, unless a user says otherwise."""

from dataclasses import replace
from functools import lru_cache

from wsekern.cluster.precision import PRECISIONS, Precision, precision_of
from wsekern.errors import InputError
from wsekern.workload.config import ModelConfig

CACHES = {"fp32": 4.0, "fp16": 2.0, "bf16": 2.0, "fp8": 1.0}
"""Bytes per cached element of the caches that serving engines offer."""


def served_precision(model: ModelConfig, engine: str, name: str | None = None, cache: str | None = None) -> Precision:
    """Precision ``name`` of ``model``, or the checkpoint's own, under an engine level; ``cache`` replaces that of the cache.

    :class:`InputError` for an unknown one, and where a checkpoint is stored in a format that no GPU here serves.
    """
    chosen = settle(name if name is not None else stored_precision(model), model, engine)
    if cache is None:
        return chosen
    if cache not in CACHES:
        raise InputError(f"kv-precision {cache!r} is unknown; use one of {', '.join(CACHES)}")
    return replace(chosen, cache=CACHES[cache])


def stored_precision(model: ModelConfig) -> str:
    """Name of the precision in which engines serve ``model`` by default: as stored; fp32 as fp16, as vLLM's ``--dtype auto``
    does; bf16 where the configuration says nothing."""
    stored = {"": "bf16", "fp32": "fp16"}.get(model.weight_format, model.weight_format)
    if stored not in PRECISIONS:
        raise InputError(f"{model.name} is stored as {stored!r}, which is no precision of a GPU here; say which one with "
                         f"--gpu-precision: one of {', '.join(PRECISIONS)}")
    return stored


@lru_cache(maxsize=1024)
def settle(name: str, model: ModelConfig, engine: str) -> Precision:
    """Which parts of ``model`` are in ``name``: a checkpoint stored in MXFP4 stays so, parts that it keeps apart do, FP4 of a
    latent-attention model is its experts where it does not say, and TensorRT-LLM keeps an 8-bit cache beside 8-bit weights."""
    if model.kept and name == model.weight_format and model.quantization != "mxfp4":
        kept = tuple((part, PRECISIONS[form].part(experts=True)) for part, form in model.kept if form in PRECISIONS)
        return replace(settle(name, replace(model, kept=()), engine), other_weight=None, other_arithmetic=None, kept=kept)
    if model.quantization == "mxfp4" and name in ("fp4", "mxfp4", "fp8"):
        return PRECISIONS["mxfp4"]
    if name == "fp8wo":
        return PRECISIONS["int8"]
    tuned = engine.startswith("tuned")
    if name == "nvfp4-experts" or (name == "fp4" and model.latent):
        return replace(PRECISIONS["fp4"], cache=1.0 if tuned else 2.0, other_weight=2.0, other_arithmetic="bf16")
    if name == "fp8" and tuned:
        return replace(PRECISIONS["fp8"], cache=1.0)
    return precision_of(name)
