"""Model shapes, read from a Hugging Face ``config.json``."""

import json
import os
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

from wsekern.errors import InputError

# Hugging Face architecture -> extra settings that its config.json leaves implicit.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "LlamaForCausalLM": {},
    "MistralForCausalLM": {},
    "Qwen2ForCausalLM": {"attention_bias": True},
    "Qwen3ForCausalLM": {"qk_norm": True},
    "MixtralForCausalLM": {},
    "Qwen2MoeForCausalLM": {"attention_bias": True},
    "Qwen3MoeForCausalLM": {"qk_norm": True},
    "DeepseekV2ForCausalLM": {},
    "DeepseekV3ForCausalLM": {},
    "GptOssForCausalLM": {"attention_bias": True},
    "Llama4ForCausalLM": {},
    "Llama4ForConditionalGeneration": {},
    "Gemma3ForCausalLM": {"qk_norm": True},
    "Gemma3ForConditionalGeneration": {"qk_norm": True},
    "Phi3ForCausalLM": {},
    "Qwen3NextForCausalLM": {"qk_norm": True, "attention_gate": True},
    "Qwen3_5MoeForCausalLM": {"qk_norm": True, "attention_gate": True},
    "Qwen3_5MoeForConditionalGeneration": {"qk_norm": True, "attention_gate": True},
    "GraniteForCausalLM": {},
    "Glm4MoeForCausalLM": {"attention_bias": True},
    "GlmMoeDsaForCausalLM": {},
    "KimiK25ForConditionalGeneration": {},
    "MiniMaxM2ForCausalLM": {"qk_norm": True},
    "BloomForCausalLM": {"plain_mlp": True},
    "GPTJForCausalLM": {"plain_mlp": True},
    "GPT2LMHeadModel": {"plain_mlp": True},
    "OPTForCausalLM": {"plain_mlp": True},
    "FalconForCausalLM": {"plain_mlp": True},
    "NemotronHForCausalLM": {"plain_mlp": True},
}
"""``plain_mlp``: two matrices and no gate; counted as a gated one of two thirds of the width, which has as many weights."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape of a decoder-only transformer. All sizes are element counts.

    Dense models leave the expert fields at zero; models without latent attention leave the MLA ranks at zero.
    """

    name: str
    architecture: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    max_context: int
    tied_embeddings: bool = False
    rms_eps: float = 1e-5
    rope_theta: float = 10000.0
    rope_scaling: dict[str, Any] | None = field(default=None, hash=False)
    attention_bias: bool = False
    qk_norm: bool = False
    sliding_window: int = 0
    sliding_layers: int = 0  # layers that look back over sliding_window tokens only
    attention_gate: bool = False  # a gate of the width of the queries
    # linear attention (gated delta rule): some layers keep a state instead of a cache
    linear_layers: int = 0
    linear_key_size: int = 0
    linear_value_size: int = 0
    linear_state: int = 0
    # mixture of experts
    experts: int = 0
    experts_per_token: int = 0
    expert_ffn: int = 0
    shared_expert_ffn: int = 0
    dense_layers: int = 0
    # multi-head latent attention (DeepSeek)
    q_lora_rank: int = 0
    kv_lora_rank: int = 0
    qk_rope_head_dim: int = 0
    qk_nope_head_dim: int = 0
    v_head_dim: int = 0
    sorted_sampling: bool = True  # its generation_config truncates by top-p or top-k, which sorts the logits
    draft_layers: int = 0  # layers that predict tokens ahead (multi-token prediction), not counted in layers
    quantization: str = ""  # how the checkpoint is stored, where config.json says so (fp8, mxfp4, ...)

    @property
    def q_size(self) -> int:
        """Width of all query heads."""
        return self.heads * self.head_dim

    @property
    def kv_size(self) -> int:
        """Width of all key (or value) heads."""
        return self.kv_heads * self.head_dim

    @property
    def moe_layers(self) -> int:
        """Number of layers whose feed-forward part is a mixture of experts."""
        return self.layers - self.dense_layers if self.experts else 0

    @property
    def kv_elements_per_token(self) -> int:
        """Cached elements per token over all layers."""
        per_layer = self.kv_lora_rank + self.qk_rope_head_dim if self.kv_lora_rank else 2 * self.kv_size
        return (self.layers - self.linear_layers) * per_layer

    @property
    def attention_parameters(self) -> int:
        """Weights of the attention projections of one layer."""
        if not self.kv_lora_rank:
            query = self.q_size * (2 if self.attention_gate else 1)
            return self.hidden * (query + 2 * self.kv_size) + self.q_size * self.hidden
        qk = self.qk_nope_head_dim + self.qk_rope_head_dim
        query = (self.hidden * self.q_lora_rank + self.q_lora_rank * self.heads * qk if self.q_lora_rank
                 else self.hidden * self.heads * qk)
        latent = self.hidden * (self.kv_lora_rank + self.qk_rope_head_dim)
        expand = self.kv_lora_rank * self.heads * (self.qk_nope_head_dim + self.v_head_dim)
        return query + latent + expand + self.heads * self.v_head_dim * self.hidden

    @property
    def linear_parameters(self) -> int:
        """Weights of the projections of one layer with linear attention: queries, keys, values, gate, and the output."""
        return self.hidden * (2 * self.linear_key_size + 3 * self.linear_value_size)

    @property
    def mixer_parameters(self) -> int:
        """Weights of all layers' attention, linear or not."""
        full = self.layers - self.linear_layers
        return full * self.attention_parameters + self.linear_layers * self.linear_parameters

    def ffn_parameters(self, moe: bool) -> int:
        """Weights of the feed-forward part of one layer, all experts included."""
        if not moe:
            return 3 * self.hidden * self.ffn
        router = self.hidden * self.experts
        return router + 3 * self.hidden * (self.experts * self.expert_ffn + self.shared_expert_ffn)

    @property
    def embedding_parameters(self) -> int:
        """Weights of the token embedding (and of the LM head, which has the same shape)."""
        return self.vocab * self.hidden

    @property
    def parameters(self) -> int:
        """All matrix weights (norm gains and biases left out: under 0.1 %)."""
        dense = self.layers - self.moe_layers
        total = self.mixer_parameters
        total += dense * self.ffn_parameters(False) + self.moe_layers * self.ffn_parameters(True)
        return total + self.embedding_parameters * (1 if self.tied_embeddings else 2)

    @property
    def active_parameters(self) -> int:
        """Weights used for one token (chosen and shared experts only; the LM head, not the embedding)."""
        dense = self.layers - self.moe_layers
        expert = 3 * self.hidden * (self.experts_per_token * self.expert_ffn + self.shared_expert_ffn)
        total = self.mixer_parameters + dense * self.ffn_parameters(False)
        return total + self.moe_layers * (expert + self.hidden * self.experts) + self.embedding_parameters


def bundled_models() -> list[str]:
    """Names of the model shapes shipped with the package."""
    folder = files("wsekern.workload") / "models"
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))


def load_config(model: str | os.PathLike[str]) -> ModelConfig:
    """Shape of ``model``: a bundled name, a ``config.json``, or a folder that holds one."""
    if str(model) in bundled_models():
        resource = files("wsekern.workload") / "models" / f"{model}.json"
        return parse_config(json.loads(resource.read_text()), str(model), str(resource))
    path = Path(model)
    if path.is_dir():
        path = path / "config.json"
    if not path.exists():
        near = get_close_matches(str(model), bundled_models())
        raise InputError(f"no model {str(model)!r}: it is neither a folder or file with a Hugging Face config.json nor one of "
                         f"the {len(bundled_models())} that `wsekern machines` lists"
                         + (f"; did you mean {' or '.join(near)}?" if near else ""))
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON: {error}") from None
    name = path.parent.name if path.name == "config.json" else path.stem
    return parse_config(data, name or "model", str(path))


def parse_config(data: Any, name: str, where: str) -> ModelConfig:
    """Turn the keys of a Hugging Face ``config.json`` into a :class:`ModelConfig`; ``where`` names it in errors."""
    if not isinstance(data, dict):
        raise InputError(f"{where}: expected a JSON object")
    architecture = (data.get("architectures") or ["(none)"])[0]
    if isinstance(data.get("text_config"), dict):  # a multimodal model: its text part is what serves tokens
        data = {**data, **data["text_config"]}
    data = _hybrid(data)
    if architecture not in ARCHITECTURES:
        raise InputError(f"{where}: architecture {architecture} is not supported; use one of "
                         f"{', '.join(ARCHITECTURES)}")

    def size(key: str, default: int | None = None, minimum: int = 1) -> int:
        value = data.get(key)
        if value is None:
            value = default
        if value is None:
            raise InputError(f"{where}: key '{key}' is missing")
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise InputError(f"{where}: '{key}' is {value!r}, expected a whole number of at least {minimum}")
        return value

    def number(key: str, default: float) -> float:
        value = data.get(key)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise InputError(f"{where}: '{key}' is {value!r}, expected a positive number")
        return float(value)

    heads, hidden, layers = size("num_attention_heads"), size("hidden_size"), size("num_hidden_layers")
    experts = size("n_routed_experts", size("num_local_experts", size("num_experts", 0, 0), 0), 0)
    kv_heads = size("num_key_value_heads", heads)
    mla = size("kv_lora_rank", 0, 0)
    if heads % kv_heads:
        raise InputError(f"{where}: {heads} attention heads are not a multiple of {kv_heads} key-value heads")
    narrow = size("moe_intermediate_size", 0, 0) if experts else 0
    ffn = size("intermediate_size_mlp", size("intermediate_size", narrow or None))
    if ARCHITECTURES[architecture].get("plain_mlp"):
        ffn = round(ffn * 2 / 3 * data.get("mlp_share", 1.0))
    expert_ffn = narrow or (size("intermediate_size") if experts else 0)
    linear = _linear_layers(data, layers)
    window = size("sliding_window", 0, 0) if data.get("use_sliding_window", True) else 0
    rope = data.get("rope_parameters") or {}
    scaling = data.get("rope_scaling") or ({k: v for k, v in rope.items() if k != "rope_theta"} or None)
    implicit = ARCHITECTURES[architecture]
    return ModelConfig(
        name=name, architecture=architecture, layers=layers, hidden=hidden, heads=heads, kv_heads=kv_heads,
        head_dim=size("head_dim", hidden // heads), ffn=ffn, vocab=size("vocab_size"),
        max_context=size("max_position_embeddings", 4096),
        tied_embeddings=bool(data.get("tie_word_embeddings", False)),
        rms_eps=number("rms_norm_eps", 1e-6), rope_theta=number("rope_theta", rope.get("rope_theta", 10000.0)),
        rope_scaling=scaling, attention_bias=bool(data.get("attention_bias", implicit.get("attention_bias", False))),
        qk_norm=bool(implicit.get("qk_norm", False)),
        attention_gate=bool(implicit.get("attention_gate", False)), linear_layers=linear,
        linear_key_size=size("linear_num_key_heads") * size("linear_key_head_dim") if linear else 0,
        linear_value_size=size("linear_num_value_heads") * size("linear_value_head_dim") if linear else 0,
        linear_state=size("linear_num_value_heads") * size("linear_key_head_dim") * size("linear_value_head_dim")
        if linear else 0,
        sliding_window=window, sliding_layers=_sliding_layers(data, layers) if window else 0,
        experts=experts, experts_per_token=size("num_experts_per_tok", 0, 0) if experts else 0,
        expert_ffn=expert_ffn if experts else 0,
        shared_expert_ffn=_shared_ffn(data, expert_ffn) if experts else 0,
        dense_layers=_dense_layers(size("first_k_dense_replace", 0, 0), size("interleave_moe_layer_step", 1), layers)
        if experts else 0,
        q_lora_rank=size("q_lora_rank", 0, 0), kv_lora_rank=mla,
        qk_rope_head_dim=size("qk_rope_head_dim", 0, 0) if mla else 0,
        qk_nope_head_dim=size("qk_nope_head_dim", 0, 0) if mla else 0,
        v_head_dim=size("v_head_dim", 0, 0) if mla else 0,
        draft_layers=size("num_nextn_predict_layers", size("mtp_num_hidden_layers", 0, 0), 0),
        sorted_sampling=_sorted_sampling(data.get("generation_config")),
        quantization=str((data.get("quantization_config") or {}).get("quant_method", "")),
    )


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


def _linear_layers(data: dict[str, Any], layers: int) -> int:
    """Layers with linear attention: those named so, or all but every n-th."""
    if data.get("layer_types"):
        return sum(kind == "linear_attention" for kind in data["layer_types"])
    interval = data.get("full_attention_interval")
    return layers - layers // interval if isinstance(interval, int) and interval > 1 else 0


def _sorted_sampling(generation: Any) -> bool:
    """Whether the model's own sampling sorts logits; assumed where nothing is said."""
    if not isinstance(generation, dict):
        return True
    return generation.get("top_p", 1.0) < 1.0 or bool(generation.get("top_k", 50))


def _sliding_layers(data: dict[str, Any], layers: int) -> int:
    """How many layers use the sliding window: those named so, all but every n-th, or all."""
    if data.get("layer_types"):
        return sum(kind in ("sliding_attention", "chunked_attention") for kind in data["layer_types"])
    pattern = data.get("sliding_window_pattern")
    return layers - layers // pattern if isinstance(pattern, int) and pattern > 1 else layers


def _dense_layers(first: int, step: int, layers: int) -> int:
    """Layers without experts: the first ones (DeepSeek), or all but every n-th (Llama 4)."""
    return max(first, layers - layers // step)


def _shared_ffn(data: dict[str, Any], expert_ffn: int) -> int:
    if "interleave_moe_layer_step" in data:  # Llama 4 always has one shared expert of the routed width
        return expert_ffn
    if data.get("shared_expert_intermediate_size"):
        return int(data["shared_expert_intermediate_size"])
    return int(data.get("n_shared_experts") or 0) * expert_ffn
