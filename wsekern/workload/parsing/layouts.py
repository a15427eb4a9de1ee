"""Which architecture a ``config.json`` is of, and its keys under one name each, with the defaults of its class."""

import json
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

from wsekern.errors import InputError
from wsekern.workload.parsing.families import FAMILIES
from wsekern.workload.parsing.keys import Keys, short

_NAMES = {
    "hidden_size": ("n_embd", "d_model"),
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("n_head", "n_heads", "attention_heads", "num_heads"),
    "num_key_value_heads": ("num_kv_heads", "n_head_kv", "num_attention_groups"),
    "intermediate_size": ("n_inner", "ffn_dim", "ffn_hidden_size", "block_ff_dim"),
    "max_position_embeddings": ("n_positions", "max_seq_len", "seq_length", "context_length", "model_max_length"),
    "norm_eps": ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "layernorm_epsilon"),
    "hidden_act": ("hidden_activation", "activation_function", "activation", "mlp_hidden_act"),
    "num_experts": ("num_local_experts", "n_routed_experts", "moe_num_experts"),
    "num_experts_per_tok": ("moe_k", "moe_topk", "top_k_experts", "num_experts_per_token", "moe_top_k"),
    "n_shared_experts": ("num_shared_experts", "moe_num_shared_experts", "num_shared_expert"),
    "moe_intermediate_size": ("expert_ffn_hidden_size",),
    "shared_expert_intermediate_size": ("moe_shared_expert_intermediate_size", "shared_intermediate_size", "share_expert_dim",
                                        "share_expert_dims"),
    "norm_topk_prob": ("moe_renormalize", "route_norm"),
    "routed_scaling_factor": ("route_scale", "router_scaling_factor", "moe_router_scaling_factor", "moe_routed_scaling_factor"),
    "n_group": ("num_expert_group",),
    "layer_types": ("layers_block_type",),
    "num_nextn_predict_layers": ("mtp_num_hidden_layers", "num_mtp_layers", "num_mtp_modules"),
    "partial_rotary_factor": ("rotary_pct", "rope_pct"),
    "rope_theta": ("rotary_emb_base",),
    "head_dim": ("kv_channels", "attention_head_dim"),
    "final_logit_softcapping": ("logits_soft_cap",),
    "sliding_window": ("attention_window_size", "window_size"),
    "tie_word_embeddings": ("tie_embedding",),
    "moe_latent_size": ("routed_expert_hidden_size",),
    "mamba_heads": ("mamba_num_heads", "mamba_n_heads", "n_mamba_heads"),
    "mamba_head_size": ("mamba_head_dim", "mamba_d_head", "mamba_headdim"),
    "mamba_groups": ("n_groups", "mamba_n_groups", "mamba_ngroups"),
    "mamba_state": ("ssm_state_size", "mamba_d_state", "state_size"),
    "mamba_kernel": ("conv_kernel", "mamba_d_conv", "conv1d_width"),
    "mamba_expand": ("expand",),
    "mamba_rank": ("mamba_dt_rank", "time_step_rank"),
    "full_attn_idxs": ("attn_layer_indices",),
}
"""One name of a key -> the others that it has."""

_OF_MAMBA_2 = {"num_heads": "mamba_heads", "head_dim": "mamba_head_size"}
_EARLIER = {key: (name, rank) for name, others in _NAMES.items() for rank, key in enumerate((name, *others))}

_TYPES = {
    "Qwen3VLForConditionalGeneration": "qwen3_vl_text", "Qwen3VLMoeForConditionalGeneration": "qwen3_vl_moe_text",
    "Qwen3_5ForConditionalGeneration": "qwen3_5_text", "Qwen3_5MoeForConditionalGeneration": "qwen3_5_moe_text",
    "Qwen2VLForConditionalGeneration": "qwen2_vl_text", "Qwen2_5_VLForConditionalGeneration": "qwen2_5_vl_text",
    "Gemma3ForConditionalGeneration": "gemma3_text", "Gemma3nForConditionalGeneration": "gemma3n_text",
    "Gemma4ForConditionalGeneration": "gemma4_text", "Llama4ForConditionalGeneration": "llama4_text",
    "Mistral3ForConditionalGeneration": "mistral", "MistralLarge3ForCausalLM": "deepseek_v3",
    "LlavaForConditionalGeneration": "llama",
    "KimiK25ForConditionalGeneration": "deepseek_v3", "KimiVLForConditionalGeneration": "deepseek_v3",
    "KimiK3ForConditionalGeneration": "kimi_k3", "MiMoForCausalLM": "mimo",
    "MiniMaxM3ForCausalLM": "minimax_m3_vl_text", "MiniMaxM3SparseForCausalLM": "minimax_m3_vl_text",
    "MiniMaxM3SparseForConditionalGeneration": "minimax_m3_vl_text", "Mistral4ForCausalLM": "mistral4",
    "Step3p5ForCausalLM": "step3p5", "Step3p7FlashForCausalLM": "step3p7_text",
    "Step3p7ForConditionalGeneration": "step3p7_text", "DeciLMForCausalLM": "nemotron-nas",
    "Phi4MMForCausalLM": "phi4_multimodal", "PhiMoEForCausalLM": "phimoe", "ExaoneForCausalLM": "exaone",
    "InternLM3ForCausalLM": "internlm3", "RWForCausalLM": "falcon", "MPTForCausalLM": "mpt",
    "MiniMaxText01ForCausalLM": "minimax",
    "Glm4vForConditionalGeneration": "glm4v_text", "Glm4vMoeForConditionalGeneration": "glm4v_moe_text",
    "SarvamMLAForCausalLM": "sarvam_mla", "SarvamMoEForCausalLM": "sarvam_moe", "HunYuanMoEV1ForCausalLM": "hunyuan_v1_moe",
    "IQuestCoderForCausalLM": "iquestcoder",
}
"""Architectures that transformers does not have, or that hold a text model: the model type of that."""

_LIKE = {"step3p7_text": "step3p5", "mimo": "qwen2", "kimi_k3": "kimi_linear", "nemotron-nas": "llama"}
"""Model types with the defaults of another one."""

_ALSO: dict[str, dict[str, Any]] = {
    "glm4_moe_lite": {"first_k_dense_replace": 1}, "hy_v3": {"first_k_dense_replace": 1},
    "laguna": {"first_k_dense_replace": 1}, "mimo_v2_flash": {"first_k_dense_replace": 1},
    "step3p7_text": {"first_k_dense_replace": 3}, "step3p5": {"first_k_dense_replace": 3},
    "kimi_linear": {"first_k_dense_replace": 1}, "jamba": {"mamba_rank": None}, "bamba": {"partial_rotary_factor": 0.5},
    "bloom": {"hidden_act": "gelu_tanh"}, "mpt": {"hidden_act": "gelu"},
    "nemotron_h": {"layer_types": ["linear_attention", "moe", "full_attention", "mlp"]},
}
"""Defaults that the class derives in its code."""

_OUTER = ("quantization_config", "dtype", "torch_dtype", "tie_word_embeddings", "generation_config")
"""Keys of a multimodal model that hold for its text part as well."""

_LISTED = ("num_experts_per_tok", "n_shared_experts", "moe_intermediate_size")

_TEXT_PARTS = ("text_config", "llm_config", "language_config", "thinker_config")


@cache
def _classes() -> dict[str, dict[str, Any]]:
    """Model type -> the class's name, its names of keys, and the values of keys that are missing, as in transformers 5.24."""
    return json.loads((files("wsekern.workload.parsing") / "class_defaults.json").read_text())


@cache
def architectures() -> dict[str, str]:
    """Every known architecture -> its model type."""
    known: dict[str, str] = {}
    for model_type, row in _classes().items():
        if row["class"]:
            known.setdefault(row["class"], model_type)
    return known | _TYPES


def class_keys(model_type: str) -> dict[str, Any]:
    """What a missing key means in that class, under this package's names."""
    row = _classes().get(_LIKE.get(model_type, model_type), {"keys": {}})
    found = _renamed(row["keys"], model_type)[0] | _ALSO.get(model_type, {})
    table = found.get("rope_parameters", {})
    if "rope_theta" in table:  # one table: a base beside it is the same
        rest = {key: table[key] for key in table if key != "rope_theta"}
        found |= {"rope_theta": table["rope_theta"], "rope_parameters": rest}
    return found


def read_layout(data: dict[str, Any], where: str) -> tuple[str, str, Keys]:
    """(architecture, model type, keys) of a whole ``config.json``."""
    architecture, model_type = _architecture(Keys(data, where))
    text = data
    for name in _TEXT_PARTS:
        while isinstance(text.get(name), dict):
            outer = {key: text[key] for key in _OUTER if text.get(key) is not None}
            text = {**text[name], **outer}
    given, stored = _renamed(text, model_type)
    for key in _LISTED:  # Hunyuan states them for each layer
        value = given.get(key)
        if isinstance(value, list) and value and all(item == value[0] for item in value):
            given[key] = value[0]
    defaults = class_keys(model_type)
    return architecture, model_type, Keys(defaults | given | _rope_tables(defaults, given), where, stored)


def _rope_tables(defaults: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Of a class with a rope table for each kind of layer: its tables with what is given in the earlier layout, where scaling
    and base are those of the layers that see all, and ``rope_local_base_freq`` is the base of the others."""
    tables = defaults.get("rope_parameters", {})
    stated = given.get("rope_parameters")
    if "full_attention" not in tables or (isinstance(stated, dict) and any(isinstance(one, dict) for one in stated.values())):
        return {}
    scaling, found = given.get("rope_scaling"), {kind: dict(table) for kind, table in tables.items()}
    if isinstance(scaling, dict):
        found["full_attention"] |= scaling
    for kind, key in (("full_attention", "rope_theta"), ("sliding_attention", "rope_local_base_freq")):
        if given.get(key) is not None and kind in found:
            found[kind]["rope_theta"] = given[key]
    return {"rope_parameters": found, "rope_scaling": None}


def _architecture(keys: Keys) -> tuple[str, str]:
    """The first of ``architectures`` and its model type; a configuration without a model names its ``model_type`` only."""
    known, names, stated = architectures(), keys.names("architectures"), str(keys.data.get("model_type"))
    inner = next((keys.table(name) for name in _TEXT_PARTS if isinstance(keys.data.get(name), dict)), {})
    inner_type = str(inner.get("model_type"))
    types = [stated, f"{stated}_text", inner_type, f"{inner_type}_text"]
    found = next((model_type for model_type in types if model_type in FAMILIES), "")
    if names and names[0] in known:
        fixed = known[names[0]]
        row = _classes().get(found, {})
        return names[0], found if row.get("class") == names[0] or (inner and found and _generic(names[0])) else fixed
    if found:
        return names[0] if names else _class_of(found), found
    raise _unknown(keys.where, names[0] if names else stated)


def _generic(architecture: str) -> bool:
    """Whether an architecture holds text models of several types."""
    return architecture in ("Mistral3ForConditionalGeneration", "LlavaForConditionalGeneration")


def _class_of(model_type: str) -> str:
    """The architecture of a model type."""
    named = {kind: name for name, kind in reversed(architectures().items())}
    return named.get(model_type, model_type)


def _unknown(where: str, name: str) -> InputError:
    """That an architecture is not known, with the nearest ones that are."""
    known = architectures()
    if name in ("None", ""):
        return InputError(f"{where}: architecture (none): neither 'architectures' nor 'model_type' names one")
    near = get_close_matches(name, [*known, *FAMILIES], n=2, cutoff=0.5)
    hint = f"the nearest known: {' and '.join(near)}" if near else f"docs/models.md lists the {len(known)} that are"
    return InputError(f"{where}: architecture {short(name)} is not known; {hint}")


def _renamed(data: dict[str, Any], model_type: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The keys under one name each (the most usual one given wins), and what each is called in the file."""
    mamba_2 = _OF_MAMBA_2 if model_type == "mamba2" else {}
    given: dict[str, Any] = {}
    ranks: dict[str, int] = {}
    stored: dict[str, str] = {}
    for key, value in data.items():
        name, rank = _EARLIER.get(key, (key, 0))
        if key in mamba_2:
            name, rank = mamba_2[key], 0
        if name not in given or rank < ranks[name]:
            given[name], ranks[name], stored[name] = value, rank, key
    return given, stored
