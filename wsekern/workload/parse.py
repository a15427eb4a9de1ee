"""From the keys of a Hugging Face ``config.json`` to a :class:`ModelConfig`; every key is checked before it is used."""

import sys
from typing import Any

from wsekern.errors import InputError
from wsekern.workload.config import ModelConfig

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "LlamaForCausalLM": {"model_type": "llama"},
    "MistralForCausalLM": {"model_type": "mistral"},
    "Qwen2ForCausalLM": {"model_type": "qwen2", "attention_bias": True, "use_sliding_window": False},
    "Qwen3ForCausalLM": {"model_type": "qwen3", "qk_norm": True, "use_sliding_window": False},
    "MixtralForCausalLM": {"model_type": "mixtral"},
    "Qwen2MoeForCausalLM": {"model_type": "qwen2_moe", "attention_bias": True, "use_sliding_window": False},
    "Qwen3MoeForCausalLM": {"model_type": "qwen3_moe", "qk_norm": True, "use_sliding_window": False},
    "DeepseekV2ForCausalLM": {"model_type": "deepseek_v2"},
    "DeepseekV3ForCausalLM": {"model_type": "deepseek_v3"},
    "GptOssForCausalLM": {"model_type": "gpt_oss", "attention_bias": True},
    "Llama4ForCausalLM": {"model_type": "llama4_text"},
    "Llama4ForConditionalGeneration": {"model_type": "llama4"},
    "Gemma3ForCausalLM": {"model_type": "gemma3_text", "qk_norm": True},
    "Gemma3ForConditionalGeneration": {"model_type": "gemma3", "qk_norm": True},
    "Phi3ForCausalLM": {"model_type": "phi3"},
    "Qwen3NextForCausalLM": {"model_type": "qwen3_next", "qk_norm": True, "attention_gate": True},
    "Qwen3_5MoeForCausalLM": {"model_type": "qwen3_5_moe_text", "qk_norm": True, "attention_gate": True},
    "Qwen3_5MoeForConditionalGeneration": {"model_type": "qwen3_5_moe", "qk_norm": True, "attention_gate": True},
    "GraniteForCausalLM": {"model_type": "granite"},
    "Glm4MoeForCausalLM": {"model_type": "glm4_moe", "attention_bias": True},
    "GlmMoeDsaForCausalLM": {"model_type": "glm_moe_dsa"},
    "KimiK25ForConditionalGeneration": {"model_type": "kimi_k25"},
    "MiniMaxM2ForCausalLM": {"model_type": "minimax_m2", "qk_norm": True},
    "BloomForCausalLM": {"model_type": "bloom", "plain_mlp": True},
    "GPTJForCausalLM": {"model_type": "gptj", "plain_mlp": True},
    "GPT2LMHeadModel": {"model_type": "gpt2", "plain_mlp": True},
    "OPTForCausalLM": {"model_type": "opt", "plain_mlp": True},
    "FalconForCausalLM": {"model_type": "falcon", "plain_mlp": True},
    "NemotronHForCausalLM": {"model_type": "nemotron_h", "plain_mlp": True},
}
"""Hugging Face architecture -> its model_type, and what its config.json leaves implicit. ``plain_mlp``: two matrices and no
gate; counted as a gated one of two thirds of the width, which has as many weights."""

LARGEST = 10**9
"""No size in a config.json is larger; beyond it a typing error is more likely than a model."""


WIDEST_HEAD = 65_536
"""Sanity limit of the features of one attention head."""


class _Keys:
    """The keys of one ``config.json``; ``where`` names it in errors. A null counts as not given."""

    def __init__(self, data: dict[str, Any], where: str):
        self.data, self.where = data, where

    def refuse(self, key: str, expected: str) -> InputError:
        return InputError(f"{self.where}: '{key}' is {_short(self.data.get(key))}, expected {expected}")

    def size(self, key: str, default: int | None = None, minimum: int = 1, maximum: int = LARGEST) -> int:
        value = self.data.get(key)
        value = default if value is None else value
        if value is None:
            raise InputError(f"{self.where}: key '{key}' is missing")
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            raise InputError(f"{self.where}: '{key}' is {_short(value)}, expected a whole number of {minimum} to {maximum:,}")
        return value

    def number(self, key: str, default: float) -> float:
        value = self.data.get(key)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max:
            raise self.refuse(key, "a positive number")
        return float(value)

    def flag(self, key: str, default: bool = False) -> bool:
        value = self.data.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.refuse(key, "true or false")
        return default if value is None else value

    def table(self, key: str) -> dict[str, Any]:
        value = self.data.get(key)
        if value is not None and not isinstance(value, dict):
            raise self.refuse(key, "an object")
        return value or {}

    def names(self, key: str) -> list[str]:
        """A list of names; one name is a list of one."""
        value = self.data.get(key)
        value = [value] if isinstance(value, str) else value or []
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise self.refuse(key, "a list of names")
        return value


def _short(value: Any) -> str:
    """What was found, in at most a few words."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def parse_config(data: Any, name: str, where: str) -> ModelConfig:
    """Turn the keys of a Hugging Face ``config.json`` into a :class:`ModelConfig`; ``where`` names it in errors."""
    if not isinstance(data, dict):
        raise InputError(f"{where}: expected a JSON object")
    architecture = _architecture(_Keys(data, where))
    if isinstance(data.get("text_config"), dict):  # a multimodal model: its text part is what serves tokens
        data = {**data, **data["text_config"]}
    data = _hybrid(data)
    keys, implicit = _Keys(data, where), ARCHITECTURES[architecture]
    heads, hidden, layers = keys.size("num_attention_heads"), keys.size("hidden_size"), keys.size("num_hidden_layers")
    kv_heads = keys.size("num_key_value_heads", heads)
    if heads % kv_heads:
        raise InputError(f"{where}: {heads} attention heads are not a multiple of {kv_heads} key-value heads")
    return ModelConfig(
        name=name, architecture=architecture, layers=layers, hidden=hidden, heads=heads, kv_heads=kv_heads,
        head_dim=keys.size("head_dim", hidden // heads, maximum=WIDEST_HEAD), vocab=keys.size("vocab_size"),
        max_context=keys.size("max_position_embeddings", 4096), tied_embeddings=keys.flag("tie_word_embeddings"),
        rms_eps=keys.number("rms_norm_eps", 1e-6), activation=_activation(keys), **_rope(keys), **_biases(keys, architecture),
        qk_norm=implicit.get("qk_norm", False), attention_gate=implicit.get("attention_gate", False),
        **_linear(keys, layers), **_windows(keys, implicit, layers), **_feed_forward(keys, implicit, layers), **_latent(keys),
        draft_layers=keys.size("num_nextn_predict_layers", keys.size("mtp_num_hidden_layers", 0, 0), 0),
        sorted_sampling=_sorted_sampling(data.get("generation_config")),
        quantization=str(keys.table("quantization_config").get("quant_method", "")), weight_format=_weight_format(keys))


_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}


def _weight_format(keys: _Keys) -> str:
    """Number format of the stored weights: that of the quantisation, else the checkpoint's ``dtype``; empty where neither is
    stated. A quantisation of an unknown kind goes by its own name."""
    stored = keys.table("quantization_config")
    method = str(stored.get("quant_method", "")).lower()
    if not method:
        stated = str(keys.data.get("dtype") or keys.data.get("torch_dtype") or "").removeprefix("torch.")
        return _DTYPES.get(stated, stated)
    if method == "modelopt":
        return {"FP8": "fp8", "NVFP4": "fp4"}.get(str(stored.get("quant_algo")), method)
    if method == "compressed-tensors":
        groups = stored.get("config_groups")
        group = next(iter(groups.values()), None) if isinstance(groups, dict) else None
        weights = group.get("weights") if isinstance(group, dict) else None
        return _bits(weights.get("num_bits"), weights.get("type") == "float") if isinstance(weights, dict) else method
    if method == "bitsandbytes":
        return "int8" if stored.get("load_in_8bit") else "int4"
    if method in ("awq", "gptq"):
        return _bits(stored.get("bits", 4), False)
    return {"fbgemm_fp8": "fp8"}.get(method, method)


def _bits(count: Any, floating: bool) -> str:
    """Number format of ``count`` bits."""
    return f"{'fp' if floating else 'int'}{count}"


def _architecture(keys: _Keys) -> str:
    """The first of ``architectures``; a configuration saved without a model names its ``model_type`` only."""
    names = keys.names("architectures")
    by_type = {implicit["model_type"]: name for name, implicit in ARCHITECTURES.items()}
    found = names[0] if names else by_type.get(str(keys.data.get("model_type")), "(none)")
    if found not in ARCHITECTURES:
        raise InputError(f"{keys.where}: architecture {_short(found)} is not supported; use one of {', '.join(ARCHITECTURES)}")
    return found


def _activation(keys: _Keys) -> str:
    return (keys.names("hidden_act") or keys.names("hidden_activation") or ["silu"])[0]


def _rope(keys: _Keys) -> dict[str, Any]:
    """Base of the angles and how they are scaled: in ``rope_parameters`` (transformers 5) or beside (before)."""
    given = keys.table("rope_parameters")
    theta = _Keys(given, f"{keys.where}: rope_parameters").number("rope_theta", 10000.0)
    scaling = keys.table("rope_scaling") or {key: value for key, value in given.items() if key != "rope_theta"}
    return {"rope_theta": keys.number("rope_theta", theta), "rope_scaling": scaling or None}


def _biases(keys: _Keys, architecture: str) -> dict[str, bool]:
    """Which projections have a bias: in Qwen 2 always queries, keys and values and nothing else; elsewhere as stated."""
    implicit = ARCHITECTURES[architecture].get("attention_bias", False)
    stated = keys.flag("attention_bias")
    return {"attention_bias": implicit or stated, "mlp_bias": keys.flag("mlp_bias"),
            "output_bias": stated and not architecture.startswith("Qwen2")}


def _hybrid(data: dict[str, Any]) -> dict[str, Any]:
    """The keys of a Nemotron-H model, whose pattern lists Mamba (M), attention (*) and MLP (-) layers one by one, as those of
    layers with both a mixer and an MLP: as many as there are mixers, with the MLPs' weights spread over them."""
    pattern = data.get("hybrid_override_pattern")
    if not isinstance(pattern, str):
        return data
    mamba, attention, mlp = (pattern.count(kind) for kind in "M*-")
    return {
        **data, "num_hidden_layers": mamba + attention, "mlp_share": mlp / max(1, mamba + attention),
        "layer_types": ["linear_attention"] * mamba + ["full_attention"] * attention,
        "linear_num_key_heads": data.get("n_groups"), "linear_key_head_dim": data.get("ssm_state_size"),
        "linear_num_value_heads": data.get("mamba_num_heads"), "linear_value_head_dim": data.get("mamba_head_dim"),
    }


def _linear(keys: _Keys, layers: int) -> dict[str, int]:
    """Layers with linear attention: those named so, or all but every n-th; and their sizes."""
    kinds, interval = keys.names("layer_types"), keys.size("full_attention_interval", 1)
    count = kinds.count("linear_attention") if kinds else (layers - layers // interval if interval > 1 else 0)
    if not count:
        return {}
    key, value = keys.size("linear_key_head_dim"), keys.size("linear_value_head_dim")
    key_heads, value_heads = keys.size("linear_num_key_heads"), keys.size("linear_num_value_heads")
    return {"linear_layers": count, "linear_key_size": key_heads * key, "linear_value_size": value_heads * value,
            "linear_state": value_heads * key * value}


def _windows(keys: _Keys, implicit: dict[str, Any], layers: int) -> dict[str, Any]:
    """Which layers look back over a window only: those named so, all from one on, all but every n-th, or all."""
    used = keys.flag("use_sliding_window", implicit.get("use_sliding_window", True))
    window = keys.size("sliding_window", 0, 0) if used else 0
    kinds, pattern = keys.names("layer_types"), keys.size("sliding_window_pattern", 1)
    if kinds and len(kinds) != layers:
        raise InputError(f"{keys.where}: 'layer_types' names {len(kinds)} layers, expected {layers}")
    if not window:
        return {}
    if kinds:
        sliding = [kind in ("sliding_attention", "chunked_attention") for kind in kinds]
    elif pattern > 1:
        sliding = [bool((index + 1) % pattern) for index in range(layers)]
    else:
        first = keys.size("max_window_layers", 0, 0) if "use_sliding_window" in implicit else 0
        sliding = [index >= first for index in range(layers)]
    return {"sliding_window": window, "sliding_layers": sum(sliding),
            "layer_windows": tuple(window if slides else 0 for slides in sliding)}


def _feed_forward(keys: _Keys, implicit: dict[str, Any], layers: int) -> dict[str, int]:
    """Width of the dense layers, and of the experts where there are any."""
    experts = keys.size("n_routed_experts", keys.size("num_local_experts", keys.size("num_experts", 0, 0), 0), 0)
    narrow = keys.size("moe_intermediate_size", 0, 0) if experts else 0
    ffn = keys.size("intermediate_size_mlp", keys.size("intermediate_size", narrow or None))
    if implicit.get("plain_mlp"):
        ffn = round(ffn * 2 / 3 * keys.number("mlp_share", 1.0))
    if not experts:
        return {"ffn": ffn}
    expert = narrow or keys.size("intermediate_size")
    chosen = keys.size("num_experts_per_tok")
    if chosen > experts:
        raise keys.refuse("num_experts_per_tok", f"at most the {experts} experts of a layer")
    # Layers without experts: the first ones (DeepSeek), or all but every n-th (Llama 4).
    first = min(layers, keys.size("first_k_dense_replace", 0, 0))
    dense = max(first, layers - layers // keys.size("interleave_moe_layer_step", 1))
    return {"ffn": ffn, "experts": experts, "experts_per_token": chosen, "expert_ffn": expert,
            "shared_expert_ffn": _shared_ffn(keys, expert), "dense_layers": dense}


def _shared_ffn(keys: _Keys, expert: int) -> int:
    if "interleave_moe_layer_step" in keys.data:  # Llama 4 always has one shared expert of the routed width
        return expert
    return keys.size("shared_expert_intermediate_size", 0, 0) or keys.size("n_shared_experts", 0, 0) * expert


def _latent(keys: _Keys) -> dict[str, int]:
    """Ranks and sizes of multi-head latent attention."""
    if not keys.size("kv_lora_rank", 0, 0):
        return {}
    names = ("q_lora_rank", "kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim")
    return {name: keys.size(name, 0, 0) for name in names}


def _sorted_sampling(generation: Any) -> bool:
    """Whether the model's own sampling sorts logits; assumed where nothing is said."""
    if not isinstance(generation, dict):
        return True
    top_p = generation.get("top_p")
    return (isinstance(top_p, int | float) and top_p < 1.0) or bool(generation.get("top_k", 50))
