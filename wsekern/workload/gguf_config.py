"""The configuration of a model from the metadata of its GGUF file, with the keys that its ``config.json`` would have.

Keys of metadata: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and llama.cpp's ``gguf-py/gguf/constants.py``.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from wsekern.errors import InputError
from wsekern.workload.config import ModelConfig
from wsekern.workload.parsing.keys import LARGEST, short
from wsekern.workload.parsing.parse import parse_config
from wsekern.workload.weights.gguf import GgufFile

ARCHITECTURES = {
    "llama": "LlamaForCausalLM", "mistral3": "MistralForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM",
    "qwen2moe": "Qwen2MoeForCausalLM", "qwen3moe": "Qwen3MoeForCausalLM", "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM", "gemma3": "Gemma3ForCausalLM", "phi2": "PhiForCausalLM", "phi3": "Phi3ForCausalLM",
    "smollm3": "SmolLM3ForCausalLM", "granite": "GraniteForCausalLM", "granitemoe": "GraniteMoeForCausalLM",
    "olmo": "OlmoForCausalLM", "olmo2": "Olmo2ForCausalLM", "olmoe": "OlmoeForCausalLM", "glm4": "Glm4ForCausalLM",
    "gpt2": "GPT2LMHeadModel", "gptneox": "GPTNeoXForCausalLM", "starcoder2": "Starcoder2ForCausalLM",
    "command-r": "CohereForCausalLM", "cohere2": "Cohere2ForCausalLM", "seed_oss": "SeedOssForCausalLM",
    "ernie4_5": "Ernie4_5ForCausalLM", "hunyuan-dense": "HunYuanDenseV1ForCausalLM", "arcee": "ArceeForCausalLM",
    "nemotron": "NemotronForCausalLM", "exaone4": "Exaone4ForCausalLM", "stablelm": "StableLmForCausalLM",
    "gpt-oss": "GptOssForCausalLM", "deepseek2": "DeepseekV3ForCausalLM", "glm4moe": "Glm4MoeForCausalLM",
    "dots1": "Dots1ForCausalLM", "bloom": "BloomForCausalLM", "ernie4_5-moe": "Ernie4_5_MoeForCausalLM",
    "minimax-m2": "MiniMaxM2ForCausalLM", "llama4": "Llama4ForCausalLM",
    "qwen3next": "Qwen3NextForCausalLM", "qwen35": "Qwen3_5ForCausalLM", "qwen35moe": "Qwen3_5MoeForCausalLM",
}
"""``general.architecture`` -> the class of the same shape in ``transformers``."""

_KEYS: dict[str, tuple[str, ...]] = {
    "block_count": ("num_hidden_layers", "n_layer"), "embedding_length": ("hidden_size", "n_embd"),
    "feed_forward_length": ("intermediate_size", "n_inner"), "context_length": ("max_position_embeddings", "n_positions"),
    "attention.head_count": ("num_attention_heads", "n_head"), "attention.head_count_kv": ("num_key_value_heads",),
    "attention.key_length": ("head_dim",), "attention.sliding_window": ("sliding_window",),
    "attention.layer_norm_rms_epsilon": ("rms_norm_eps", "norm_eps"),
    "attention.layer_norm_epsilon": ("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps"),
    "rope.freq_base": ("rope_theta", "rotary_emb_base"), "rope.freq_base_swa": ("rope_local_base_freq",),
    "attn_logit_softcapping": ("attn_logit_softcapping",),
    "final_logit_softcapping": ("final_logit_softcapping",), "attention.scale": ("attention_multiplier",),
    "embedding_scale": ("embedding_multiplier",), "residual_scale": ("residual_multiplier",),
    "expert_count": ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),
    "expert_used_count": ("num_experts_per_tok", "moe_k"), "interleave_moe_layer_step": ("interleave_moe_layer_step",),
    "expert_feed_forward_length": ("moe_intermediate_size",),
    "expert_shared_feed_forward_length": ("shared_expert_intermediate_size",),
    "expert_shared_count": ("n_shared_experts", "moe_num_shared_experts"),
    "leading_dense_block_count": ("first_k_dense_replace", "moe_layer_start_index"), "expert_weights_norm": ("norm_topk_prob",),
    "expert_weights_scale": ("routed_scaling_factor",), "expert_group_count": ("n_group",),
    "expert_group_used_count": ("topk_group",), "attention.q_lora_rank": ("q_lora_rank",),
    "attention.kv_lora_rank": ("kv_lora_rank",), "nextn_predict_layers": ("num_nextn_predict_layers",),
    "full_attention_interval": ("full_attention_interval",), "ssm.conv_kernel": ("linear_conv_kernel_dim",),
    "ssm.state_size": ("linear_key_head_dim",), "ssm.group_count": ("linear_num_key_heads",),
    "ssm.time_step_rank": ("linear_num_value_heads",), "use_parallel_residual": ("use_parallel_residual",),
}
"""Key of metadata, behind the architecture -> keys of a config.json."""

_RECKONED = ("block_count", "nextn_predict_layers", "embedding_length", "attention.head_count", "rope.dimension_count",
             *(f"attention.{part}_length{form}" for part in ("key", "value") for form in ("", "_mla")),
             "ssm.time_step_rank", "ssm.inner_size")
"""Whole numbers that keys of a config.json are reckoned from."""


def gguf_config(file: GgufFile, name: str) -> ModelConfig:
    """Shape of the model in ``file``; :class:`InputError` where its architecture is not read."""
    config = parse_config(config_keys(file), name, str(file.path))
    return replace(config, quantization="" if (stored := _stored(file)) in PLAIN.values() else "gguf", weight_format=stored)


PLAIN = {"F32": "fp32", "F16": "fp16", "BF16": "bf16"}
"""Formats of tensors that are not quantised -> number format."""


def _stored(file: GgufFile) -> str:
    """Number format that most weights have: integers of so many bits go for all of llama.cpp's of that size."""
    elements: dict[str, int] = {}
    for tensor in file.tensors.values():
        kind = PLAIN.get(tensor.format) or ("mxfp4" if tensor.format == "MXFP4" else f"int{_bits(tensor.format)}")
        elements[kind] = elements.get(kind, 0) + math.prod(tensor.shape)
    return max(elements, key=lambda kind: elements[kind], default="")


def _bits(label: str) -> int:
    """Bits of a quantised format, as engines serve them: 4 for all that have fewer than 8."""
    return 8 if "8" in label else 4


def config_keys(file: GgufFile) -> dict[str, Any]:
    """What the config.json of the model in ``file`` would say."""
    kind = file.architecture
    if kind not in ARCHITECTURES:
        raise InputError(f"{file.path}: GGUF files of architecture {kind[:40]!r} are not read; those of "
                         f"{', '.join(ARCHITECTURES)} are")
    given = {key.removeprefix(f"{kind}."): _plain(file, key, value) for key, value in file.metadata.items()
             if key.startswith(f"{kind}.")}
    keys: dict[str, Any] = {"architectures": [_class(kind, given)], "tie_word_embeddings": "output.weight" not in file.tensors}
    for key, names in _KEYS.items():
        if key in given:
            keys |= dict.fromkeys(names, given[key])
    for key in _RECKONED:
        if key in given and (type(given[key]) is not int or not 0 <= given[key] <= LARGEST):
            raise InputError(f"{file.path}: {kind}.{key} is {short(given[key])}, expected a whole number of 0 to {LARGEST:,}")
    ahead = given.get("nextn_predict_layers", 0)
    if ahead and "num_hidden_layers" in keys:
        keys["num_hidden_layers"] -= ahead  # the file counts them among its blocks
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None:
        raise InputError(f"{file.path}: tensor token_embd.weight is missing")
    keys["vocab_size"] = embedding.shape[0]
    sliding = given.get("attention.sliding_window_pattern")
    if isinstance(sliding, list) and "sliding_window" in keys:
        keys["layer_types"] = ["sliding_attention" if slides else "full_attention" for slides in sliding]
    keys |= {"attention_bias": bool({"blk.0.attn_q.bias", "blk.0.attn_qkv.bias"} & file.tensors.keys()),
             "mlp_bias": "blk.0.ffn_up.bias" in file.tensors}
    if kind in ("glm4moe", "command-r"):
        keys["use_qk_norm"] = "blk.0.attn_q_norm.weight" in file.tensors
    corrected = any(".exp_probs_b" in name for name in file.tensors)
    return keys | _rotary(file, given) | (_latent(given, corrected) if kind == "deepseek2" else _own(kind, given, keys))


def _class(kind: str, given: dict[str, Any]) -> str:
    """llama.cpp has one name for some classes."""
    for common, key, found in (("llama", "expert_count", "MixtralForCausalLM"),
                               ("olmo2", "attention.sliding_window", "Olmo3ForCausalLM"),
                               ("granitemoe", "expert_shared_feed_forward_length", "GraniteMoeSharedForCausalLM")):
        if kind == common and given.get(key):
            return found
    return ARCHITECTURES[kind]


def _plain(file: GgufFile, key: str, value: Any) -> Any:
    """A value as JSON has it. What is stated for each layer must be the same for all."""
    if not isinstance(value, np.ndarray):
        return value
    values = value.tolist()
    if key.split(".", 1)[1] not in _KEYS:
        return values
    if len(set(values)) != 1:
        raise InputError(f"{file.path}: {key} differs from layer to layer, which is not read from GGUF files")
    return values[0]


def _rotary(file: GgufFile, given: dict[str, Any]) -> dict[str, Any]:
    """Rotary embedding: the part of a head that turns, and how angles are scaled.

    Factors that divide the frequencies one by one are stored as tensors (Llama 3.1's, and longrope's for both lengths).
    """
    heads = given.get("attention.head_count")
    size = given.get("attention.key_length")
    if not size and heads:
        size = given.get("embedding_length", 0) // heads
    turned, keys = given.get("rope.dimension_count"), {}
    if turned and size and turned < size and "attention.kv_lora_rank" not in given:
        keys = {"partial_rotary_factor": turned / size, "rotary_pct": turned / size}
    kind, context = given.get("rope.scaling.type"), given.get("context_length")
    original = given.get("rope.scaling.original_context_length")
    long, short = (f"rope_factors_{length}.weight" for length in ("long", "short"))
    if "rope_freqs.weight" in file.tensors:
        long = short = "rope_freqs.weight"
    if long in file.tensors and short in file.tensors:
        scaling = {"rope_type": "longrope", "long_factor": file.read(long).tolist(), "short_factor": file.read(short).tolist(),
                   "attention_factor": given.get("rope.scaling.attn_factor", 1.0)}
        keys["original_max_position_embeddings"] = original or context
    elif kind in ("linear", "yarn") and "rope.scaling.factor" in given:
        scaling = {"rope_type": kind, "factor": given["rope.scaling.factor"]}
        stated = {"attention_factor": "attn_factor"} if kind == "linear" else {
            "attention_factor": "attn_factor", "original_max_position_embeddings": "original_context_length",
            "beta_fast": "yarn_beta_fast", "beta_slow": "yarn_beta_slow"}
        scaling |= {name: given[f"rope.scaling.{key}"] for name, key in stated.items() if f"rope.scaling.{key}" in given}
        if file.architecture == "gpt-oss":
            scaling["truncate"] = False
    else:
        return keys
    return keys | {"rope_scaling": scaling}


def _own(kind: str, given: dict[str, Any], keys: dict[str, Any]) -> dict[str, Any]:
    """Keys that one architecture has, or that mean something else in it."""
    if kind in ("granite", "granitemoe"):
        shared = {"shared_intermediate_size": given.get("expert_shared_feed_forward_length", 0)}
        return shared | ({"logits_scaling": given["logit_scale"]} if "logit_scale" in given else {})
    if kind == "llama4":
        # Norms without weights, which the model of 128 experts has not: llama.cpp, too, knows it by that.
        return {"intermediate_size_mlp": keys.get("intermediate_size"), "intermediate_size": keys.get("moe_intermediate_size"),
                "use_qk_norm": given.get("expert_count") != 128}
    if kind in ("command-r", "cohere2"):
        return {"logit_scale": given["logit_scale"]} if "logit_scale" in given else {}
    if kind == "qwen3moe":
        return {"norm_topk_prob": True}
    if kind in ("gemma2", "gemma3") and "head_dim" in keys:
        # The file does not say it: llama.cpp, too, knows the largest of each family by its blocks.
        largest = given.get("block_count") == {"gemma2": 46, "gemma3": 62}[kind]
        spread = given.get("embedding_length", 0) // max(1, given.get("attention.head_count", 1))
        return {"query_pre_attn_scalar": spread if largest else keys["head_dim"]}
    if kind in ("qwen3next", "qwen35", "qwen35moe"):
        heads, inner = given.get("ssm.time_step_rank"), given.get("ssm.inner_size")
        return {"norm_topk_prob": True} | ({"linear_value_head_dim": inner // heads} if heads and inner else {})
    if kind == "stablelm":
        return {"use_qkv_bias": keys["attention_bias"]}
    return {}


def _latent(given: dict[str, Any], corrected: bool) -> dict[str, Any]:
    """Heads of DeepSeek's latent attention: ``..._mla`` where the file states the absorbed sizes beside. Version 3
    ``corrected`` the choice of experts, and chooses them by sigmoid."""
    turned = given.get("rope.dimension_count", 0)
    whole = given.get("attention.key_length_mla", given.get("attention.key_length", 0))
    scores = "sigmoid" if corrected or given.get("expert_gating_func") == 2 else "softmax"
    old = {"architectures": ["DeepseekV2ForCausalLM"]} if scores == "softmax" else {}
    return {"qk_rope_head_dim": turned, "qk_nope_head_dim": whole - turned, "head_dim": turned, "scoring_func": scores,
            "v_head_dim": given.get("attention.value_length_mla", given.get("attention.value_length", 0)), **old}
