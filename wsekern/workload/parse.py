"""From the keys of a Hugging Face ``config.json`` to a :class:`ModelConfig`; every key is checked before it is used."""

import sys
from dataclasses import replace
from typing import Any

from wsekern.errors import InputError
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import (
    Attention,
    Block,
    FeedForward,
    LatentAttention,
    Mixer,
    Mixture,
    Norm,
    Recurrent,
    Rotary,
)

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

MOST_LAYERS = 10_000
"""Sanity limit of the layers of a model: each is described."""

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
    keys = _Keys(data, where)
    hidden, eps = keys.size("hidden_size"), keys.number("rms_norm_eps", 1e-6)
    return ModelConfig(
        name=name, architecture=architecture, hidden=hidden, vocab=keys.size("vocab_size"),
        max_context=keys.size("max_position_embeddings", 4096), blocks=_blocks(keys, architecture, hidden, Norm(eps=eps)),
        final_norm=Norm(eps=eps), tied_embeddings=keys.flag("tie_word_embeddings"),
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


def _blocks(keys: _Keys, architecture: str, hidden: int, norm: Norm) -> tuple[Block, ...]:
    """The layers, one by one; equal ones are one object."""
    pattern = keys.data.get("hybrid_override_pattern")
    if isinstance(pattern, str):
        return _hybrid(keys, pattern, hidden, norm)
    implicit, layers = ARCHITECTURES[architecture], keys.size("num_hidden_layers", maximum=MOST_LAYERS)
    pairs = list(zip(_mixers(keys, architecture, hidden, layers, norm), _feeds(keys, implicit, layers), strict=True))
    made = {(mixer, feed): Block(mixer=mixer, feed=feed, before_mixer=norm, before_feed=norm) for mixer, feed in pairs}
    return tuple(made[pair] for pair in pairs)


def _mixers(keys: _Keys, architecture: str, hidden: int, layers: int, norm: Norm) -> list[Mixer]:
    """The mixer of every layer."""
    implicit, heads = ARCHITECTURES[architecture], keys.size("num_attention_heads")
    kv_heads = keys.size("num_key_value_heads", heads)
    if heads % kv_heads:
        raise InputError(f"{keys.where}: {heads} attention heads are not a multiple of {kv_heads} key-value heads")
    if keys.size("kv_lora_rank", 0, 0):
        return [_latent(keys, heads, norm)] * layers
    head_dim = keys.size("head_dim", hidden // heads, maximum=WIDEST_HEAD)
    theta, scaling = _rope(keys)
    rotary = Rotary(size=head_dim, theta=theta, scaling=scaling, context=keys.size("max_position_embeddings", 4096))
    plain = Attention(heads=heads, kv_heads=kv_heads, head_dim=head_dim, rotary=rotary, biases=_biases(keys, architecture),
                      norm=norm if implicit.get("qk_norm") else None, gate=implicit.get("attention_gate", False))
    mixers: list[Mixer] = [replace(plain, window=window) if window else plain for window in _windows(keys, implicit, layers)]
    return [_delta(keys) if recurrent else mixer for mixer, recurrent in zip(mixers, _linear(keys, layers), strict=True)]


def _activation(keys: _Keys) -> Any:
    return (keys.names("hidden_act") or keys.names("hidden_activation") or ["silu"])[0]


def _rope(keys: _Keys) -> tuple[float, tuple[tuple[str, Any], ...]]:
    """Base of the angles and how they are scaled: in ``rope_parameters`` (transformers 5) or beside (before)."""
    given = keys.table("rope_parameters")
    theta = _Keys(given, f"{keys.where}: rope_parameters").number("rope_theta", 10000.0)
    scaling = keys.table("rope_scaling") or {key: value for key, value in given.items() if key != "rope_theta"}
    items = tuple(sorted((key, tuple(value) if isinstance(value, list) else value) for key, value in scaling.items()))
    return keys.number("rope_theta", theta), items


def _biases(keys: _Keys, architecture: str) -> str:
    """Which projections have a bias: in Qwen 2 always queries, keys and values and nothing else; elsewhere as stated."""
    implicit, stated = ARCHITECTURES[architecture].get("attention_bias", False), keys.flag("attention_bias")
    return ("qkv" if implicit or stated else "") + ("o" if stated and not architecture.startswith("Qwen2") else "")


def _hybrid(keys: _Keys, pattern: str, hidden: int, norm: Norm) -> tuple[Block, ...]:
    """A Nemotron-H model: its pattern lists Mamba (M), attention (*) and MLP (-) layers one by one."""
    heads, size = keys.size("mamba_num_heads"), keys.size("mamba_head_dim")
    groups, state = keys.size("n_groups"), keys.size("ssm_state_size")
    inner, convolved = heads * size, heads * size + 2 * groups * state
    mamba = Recurrent(kind="mamba2", key_heads=groups, key_dim=state, value_heads=heads, value_dim=size,
                      matrices=((0, inner + convolved + heads), (inner, 0)), kernel=keys.size("conv_kernel", 4), convolved=convolved)
    queries = keys.size("num_attention_heads")
    attention = Attention(heads=queries, kv_heads=keys.size("num_key_value_heads", queries),
                          head_dim=keys.size("head_dim", hidden // queries, maximum=WIDEST_HEAD))
    feed = FeedForward(width=keys.size("intermediate_size"), gated=False, activation="relu2")
    kinds = {"M": Block(mixer=mamba, before_mixer=norm), "*": Block(mixer=attention, before_mixer=norm),
             "-": Block(feed=feed, before_feed=norm)}
    if not pattern or set(pattern) - kinds.keys():
        raise keys.refuse("hybrid_override_pattern", "letters M, * and -")
    return tuple(kinds[letter] for letter in pattern)


def _linear(keys: _Keys, layers: int) -> list[bool]:
    """Which layers have linear attention: those named so, or all but every n-th."""
    kinds, interval = keys.names("layer_types"), keys.size("full_attention_interval", 1)
    if kinds and len(kinds) == layers:
        return [kind == "linear_attention" for kind in kinds]
    return [bool((index + 1) % interval) for index in range(layers)]


def _delta(keys: _Keys) -> Recurrent:
    """The gated delta rule of Qwen3-Next."""
    key_heads, key = keys.size("linear_num_key_heads"), keys.size("linear_key_head_dim")
    heads, value = keys.size("linear_num_value_heads"), keys.size("linear_value_head_dim")
    convolved = 2 * key_heads * key + heads * value
    return Recurrent(kind="gated_delta", key_heads=key_heads, key_dim=key, value_heads=heads, value_dim=value,
                     matrices=((0, convolved + heads * value), (0, 2 * heads), (heads * value, 0)),
                     kernel=keys.size("linear_conv_kernel_dim", 4), convolved=convolved)


def _windows(keys: _Keys, implicit: dict[str, Any], layers: int) -> list[int]:
    """Tokens that each layer looks back over, 0 for all: a window in those named so, from one on, all but every n-th, or all."""
    used = keys.flag("use_sliding_window", implicit.get("use_sliding_window", True))
    window = keys.size("sliding_window", 0, 0) if used else 0
    kinds, pattern = keys.names("layer_types"), keys.size("sliding_window_pattern", 1)
    if kinds and len(kinds) != layers:
        raise InputError(f"{keys.where}: 'layer_types' names {len(kinds)} layers, expected {layers}")
    if not window:
        return [0] * layers
    if kinds:
        sliding = [kind in ("sliding_attention", "chunked_attention") for kind in kinds]
    elif pattern > 1:
        sliding = [bool((index + 1) % pattern) for index in range(layers)]
    else:
        first = keys.size("max_window_layers", 0, 0) if "use_sliding_window" in implicit else 0
        sliding = [index >= first for index in range(layers)]
    return [window if slides else 0 for slides in sliding]


def _feeds(keys: _Keys, implicit: dict[str, Any], layers: int) -> list[FeedForward | Mixture]:
    """The feed-forward part of every layer."""
    experts = keys.size("n_routed_experts", keys.size("num_local_experts", keys.size("num_experts", 0, 0), 0), 0)
    narrow = keys.size("moe_intermediate_size", 0, 0) if experts else 0
    width = keys.size("intermediate_size_mlp", keys.size("intermediate_size", narrow or None))
    activation = _activation(keys)
    dense = FeedForward(width=width, gated=not implicit.get("plain_mlp"), activation=activation, bias=keys.flag("mlp_bias"))
    if not experts:
        return [dense] * layers
    expert = narrow or keys.size("intermediate_size")
    chosen = keys.size("num_experts_per_tok")
    if chosen > experts:
        raise keys.refuse("num_experts_per_tok", f"at most the {experts} experts of a layer")
    shared = _shared_ffn(keys, expert)
    mixture = Mixture(experts=experts, chosen=chosen, expert=FeedForward(width=expert, activation=activation),
                      shared=FeedForward(width=shared, activation=activation) if shared else None)
    # Layers without experts: the first ones (DeepSeek), or all but every n-th (Llama 4).
    first, step = keys.size("first_k_dense_replace", 0, 0), keys.size("interleave_moe_layer_step", 1)
    return [mixture if index >= first and not (index + 1) % step else dense for index in range(layers)]


def _shared_ffn(keys: _Keys, expert: int) -> int:
    if "interleave_moe_layer_step" in keys.data:  # Llama 4 always has one shared expert of the routed width
        return expert
    return keys.size("shared_expert_intermediate_size", 0, 0) or keys.size("n_shared_experts", 0, 0) * expert


def _latent(keys: _Keys, heads: int, norm: Norm) -> LatentAttention:
    """Multi-head latent attention."""
    rope = keys.size("qk_rope_head_dim", 0, 0)
    theta, scaling = _rope(keys)
    return LatentAttention(heads=heads, q_rank=keys.size("q_lora_rank", 0, 0), kv_rank=keys.size("kv_lora_rank"), rope_dim=rope,
                           nope_dim=keys.size("qk_nope_head_dim", 0, 0), value_dim=keys.size("v_head_dim", 0, 0), norm=norm,
                           rotary=Rotary(size=rope, theta=theta, scaling=scaling, neighbors=True,
                                         context=keys.size("max_position_embeddings", 4096)))


def _sorted_sampling(generation: Any) -> bool:
    """Whether the model's own sampling sorts logits; assumed where nothing is said."""
    if not isinstance(generation, dict):
        return True
    top_p = generation.get("top_p")
    return (isinstance(top_p, int | float) and top_p < 1.0) or bool(generation.get("top_k", 50))
