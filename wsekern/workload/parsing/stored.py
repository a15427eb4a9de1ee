"""How the weights of a checkpoint are stored, as its ``config.json`` or modelopt's ``hf_quant_config.json`` says."""

from typing import Any

from wsekern.workload.parsing.keys import Keys

_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
MODELOPT = {"FP8": "fp8", "FP8_PB_WO": "fp8", "FP8_PER_CHANNEL_PER_TOKEN": "fp8", "NVFP4": "fp4", "W4A16_NVFP4": "fp4wo",
             "MXFP8": "fp8", "MXFP4": "mxfp4", "INT8_SQ": "int8", "W4A16_AWQ": "int4", "W4A8_AWQ": "int4"}
"""Algorithms of NVIDIA's modelopt -> the number format of the weights."""


def quantization(keys: Keys) -> str:
    """Its method (``fp8``, ``modelopt``, ``gptq``, ...); empty where weights are stored plainly."""
    stored = keys.table("quantization_config")
    return str(stored.get("quant_method") or ("modelopt" if "quant_algo" in stored else ""))


def weight_format(keys: Keys) -> str:
    """Number format of the stored weights: that of the quantisation, else the checkpoint's ``dtype``; empty where neither is
    stated. A quantisation of an unknown kind goes by its own name."""
    stored, method = keys.table("quantization_config"), quantization(keys).lower()
    if not method:
        stated = str(keys.data.get("dtype") or keys.data.get("torch_dtype") or "").removeprefix("torch.")
        return _DTYPES.get(stated, stated)
    if keys.data.get("expert_dtype") == "fp4":  # DeepSeek-V4: its experts, which are most of it
        return "fp4"
    if method == "modelopt" or stored.get("quantized_layers"):
        return _modelopt(stored)
    if method == "compressed-tensors":
        return _of_groups(stored) or method
    if method == "bitsandbytes":
        return "int8" if stored.get("load_in_8bit") else "int4"
    if method in ("awq", "gptq"):
        return _bits(stored.get("bits", 4), False)
    return {"fbgemm_fp8": "fp8"}.get(method, method)


def from_modelopt(data: Any) -> dict[str, Any]:
    """What ``hf_quant_config.json`` says, as a ``quantization_config``; empty where it says nothing."""
    found = data.get("quantization") if isinstance(data, dict) else None
    return {"quant_method": "modelopt", **found} if isinstance(found, dict) else {}


def _modelopt(stored: dict[str, Any]) -> str:
    """One algorithm, or one for each layer (``MIXED_PRECISION``): then the narrowest, which most weights have."""
    algorithm = str(stored.get("quant_algo"))
    layers = stored.get("quantized_layers")
    if algorithm == "MIXED_PRECISION" and isinstance(layers, dict):
        found = {MODELOPT.get(str(layer.get("quant_algo"))) for layer in layers.values() if isinstance(layer, dict)}
        return next((form for form in ("fp4", "fp4wo", "mxfp4", "int4", "fp8", "int8") if form in found), "modelopt")
    return MODELOPT.get(algorithm) or _of_groups(stored) or "modelopt"


def _of_groups(stored: dict[str, Any]) -> str:
    """Number format of the first of ``config_groups``; 4-bit floats without a format of activations are weight-only."""
    groups = stored.get("config_groups")
    group = next(iter(groups.values()), None) if isinstance(groups, dict) else None
    weights = group.get("weights") if isinstance(group, dict) else None
    if not isinstance(group, dict) or not isinstance(weights, dict):
        return ""
    stored = _bits(weights.get("num_bits"), weights.get("type") == "float")
    if stored == "fp4" and not group.get("input_activations"):
        return "mxfp4" if weights.get("group_size") == 32 else "fp4wo"
    return stored


def _bits(count: Any, floating: bool) -> str:
    """Number format of ``count`` bits."""
    return f"{'fp' if floating else 'int'}{count}"
