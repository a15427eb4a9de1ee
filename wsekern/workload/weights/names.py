"""Which tensors of a checkpoint are which weights of a block: one table, and what some architectures name otherwise.

Names are those that the Hub has and ``transformers`` 5 writes (``save_pretrained``), without the place of the block in front. A
module stands for its ``weight`` and its ``bias``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from wsekern.workload.decoder import Mixer


@dataclass(frozen=True)
class Part:
    """Weights that one tensor holds side by side, in order, over its outputs.

    ``groups``: they are repeated for each head of that kind (a field of the mixer), so many times, or, with ``pairs``, element
    by element.
    ``transposed``: the tensor is stored (inputs, outputs), not (outputs, inputs). ``others``: what it is where the description
    has no such weight, or another tensor is it. ``neighbors``: outputs of each head, of that field of the mixer, are stored so
    that those which turn together lie side by side, although the model's do not.
    """

    names: tuple[str, ...]
    groups: str = ""
    transposed: bool = False
    others: tuple[tuple[str, ...], ...] = ()
    neighbors: str = ""


Table = dict[str, Part]
"""Module -> the weights in it. Modules of experts or heads have ``{e}`` where their number stands."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a kind of file names weights: ``blocks`` (a pattern) in front of a block's number, a table of the modules in it, and
    the modules beside the blocks. ``offsets_stored``: gains of norms have their offset added already.
    """

    table: Callable[[str, bool], Table]  # of an architecture, with or without gated queries
    blocks: str
    outer: Mapping[str, tuple[str, ...]]
    heads: tuple[str, ...]
    derived: tuple[str, ...]
    offsets_stored: bool = False
    settings: str = "config.json"  # where the sizes come from, for errors
    restore: "Callable[[str, np.ndarray, Mixer | None], np.ndarray] | None" = None  # what a weight's stored values stand for


def _part(text: str, groups: str = "", transposed: bool = False, neighbors: str = "") -> Part:
    first, *others = (tuple(names.split()) for names in text.split("|"))
    return Part(first, groups, transposed, tuple(others), neighbors)


def modules(names: dict[str, str], prefixes: tuple[str, ...] = ("",), **form: str | bool) -> Table:
    """A table of modules, each below every one of ``prefixes``."""
    return {f"{prefix}{module}": _part(weights, **form)  # type: ignore[arg-type]
            for prefix in prefixes for module, weights in names.items()}


_NORMS = modules({
    "input_layernorm": "before_mixer", "ln_1": "before_mixer", "ln_attn": "before_mixer",
    "self_attn_layer_norm": "before_mixer | after_mixer", "pre_mixer_norm": "before_mixer", "operator_norm": "before_mixer",
    "norm": "before_mixer | before_feed", "pre_feedforward_layernorm": "before_feed", "pre_mlp_layernorm": "before_feed",
    "ln_mlp": "before_feed", "ln_2": "before_feed", "ffn_norm": "before_feed", "final_layer_norm": "before_feed | after_feed",
    "pre_ff_layernorm": "before_feed", "attention_layernorm": "before_mixer", "feedforward_layernorm": "before_feed",
    "layer_scalar": "scalar",
    "post_self_attn_layernorm": "after_mixer", "post_feedforward_layernorm": "after_feed", "post_mlp_layernorm": "after_feed",
    "post_attention_layernorm": "before_feed | after_mixer",
})

_ATTENTION = modules({
    "q_proj": "q", "k_proj": "k", "v_proj": "v", "o_proj": "o", "out_proj": "o", "dense": "o", "q_norm": "q_norm",
    "k_norm": "k_norm", "v_norm": "v_norm", "q_layernorm": "q_norm", "k_layernorm": "k_norm",
    "q_layernorm.norms.{e}": "q_norm", "k_layernorm.norms.{e}": "k_norm", "query_layernorm": "q_norm",
    "key_layernorm": "k_norm", "sinks": "sinks", "qkv_proj": "q k v", "g_proj": "attention_gate",
}, ("self_attn.", "attn.", "attention.", "self_attention.", "mixer."))
_ATTENTION |= modules({"query_key_value": "q k v"}, ("self_attention.", "attention."), groups="kv_heads")

_GATED_QUERIES = modules({"self_attn.q_proj": "q attention_gate"}, groups="heads")
"""Qwen3-Next: each head's queries are followed by its gate."""

_LATENT = modules({
    "q_a_proj": "q_a", "q_a_layernorm": "q_a_norm", "q_b_proj": "q_b", "kv_a_proj_with_mqa": "kv_a",
    "kv_a_layernorm": "kv_a_norm", "kv_b_proj": "kv_b", "indexer.wq_b": "index_q", "indexer.wk": "index_k",
    "indexer.k_norm": "index_k_norm", "indexer.weights_proj": "index_weights",
}, ("self_attn.",))

_FEED = modules({
    "gate_proj": "gate", "up_proj": "up", "down_proj": "down", "gate_up_proj": "gate up", "fc1": "up", "fc2": "down",
    "fc_in": "up", "fc_out": "down", "c_fc": "up", "c_proj": "down", "dense_h_to_4h": "up", "dense_4h_to_h": "down",
    "w1": "gate", "w3": "up", "w2": "down", "act_fn.alpha_p": "alpha_positive", "act_fn.alpha_n": "alpha_negative",
    "act_fn.beta": "beta", "act_fn.eps": "eps",
}, ("mlp.", "feed_forward.", "mixer.", ""))

_MIXTURE = modules({
    "gate": "router", "router": "router", "router.layer": "router", "gate.wg": "router",
    "gate.e_score_correction_bias": "correction", "e_score_correction_bias": "correction",
    "moe_statics.e_score_correction_bias": "correction", "expert_bias": "correction",
    "experts.{e}.gate_proj": "experts_gate", "experts.{e}.up_proj": "experts_up", "experts.{e}.down_proj": "experts_down",
    "experts.{e}.w1": "experts_gate", "experts.{e}.w3": "experts_up", "experts.{e}.w2": "experts_down",
    "experts.gate_up_proj": "experts_gate experts_up", "experts.up_proj": "experts_up", "experts.down_proj": "experts_down",
    "input_linear": "experts_gate experts_up", "output_linear": "experts_down", "shared_expert_gate": "shared_router",
    "fc1_latent_proj": "latent_in", "fc2_latent_proj": "latent_out",
}, ("mlp.", "block_sparse_moe.", "feed_forward.", "mixer."))
_MIXTURE |= modules({"gate_proj": "shared_gate", "up_proj": "shared_up", "down_proj": "shared_down"},
                   tuple(f"{place}{name}." for place in ("mlp.", "feed_forward.", "mixer.")
                         for name in ("shared_experts", "shared_expert", "shared_mlp")))
_MIXTURE |= modules({"input_linear": "shared_gate shared_up", "output_linear": "shared_down"}, ("shared_mlp.",))

_DELTA = modules({"in_proj_qkv": "in_q in_k in_v", "in_proj_z": "in_z", "in_proj_b": "in_b", "in_proj_a": "in_a",
                 "conv1d": "conv", "A_log": "decay", "dt_bias": "dt_bias", "norm": "state_norm",
                 "out_proj": "o"}, ("linear_attn.",))
_DELTA |= modules({"in_proj_qkvz": "in_q in_k in_v in_z", "in_proj_ba": "in_b in_a"}, ("linear_attn.",), groups="key_heads")

_MAMBA = modules({"in_proj": "in_z in_x in_B in_C in_dt", "conv1d": "conv", "A_log": "decay", "dt_bias": "dt_bias", "D": "skip",
                 "norm": "state_norm", "out_proj": "o"}, ("mixer.", "mamba."))

_CONVOLUTION = modules({"in_proj": "in_B in_C in_x", "conv": "conv", "out_proj": "o"}, ("conv.",))

_DECODER: Table = {**_NORMS, **_ATTENTION, **_LATENT, **_FEED, **_MIXTURE, **_DELTA, **_MAMBA, **_CONVOLUTION}

_TRANSPOSED_EXPERTS = modules({"down_proj": "experts_down"}, ("mlp.experts.", "feed_forward.experts."), transposed=True)

_LLAMA_4 = {**modules({"gate_up_proj": "experts_gate experts_up"}, ("feed_forward.experts.",), transposed=True),
            **_TRANSPOSED_EXPERTS}

_OTHERWISE: dict[str, Table] = {
    "GPT2LMHeadModel": {**modules({"attn.c_attn": "q k v", "attn.c_proj": "o", "mlp.c_fc": "up", "mlp.c_proj": "down"},
                                 transposed=True)},
    "CodeGenForCausalLM": modules({"attn.qkv_proj": "q v k"}, groups="4"),
    "GPTBigCodeForCausalLM": modules({"attn.c_attn": "q k v", "attn.c_proj": "o"}),
    "GptOssForCausalLM": {**modules({"mlp.experts.gate_up_proj": "experts_gate experts_up"}, groups="pairs", transposed=True),
                          **_TRANSPOSED_EXPERTS},
    "Llama4ForCausalLM": _LLAMA_4,
    "Llama4ForConditionalGeneration": _LLAMA_4,
}
"""Architectures whose tensors are stored in another form (GPT-2's are those of Conv1D, inputs first; CodeGen's heads as on the
four devices that it was trained on)."""

_OUTER = {
    "embedding": ("embed_tokens", "wte", "embed_in", "word_embeddings", "embeddings", "embedding"),
    "norm": ("norm", "final_layernorm", "ln_f", "final_layer_norm", "norm_f", "embedding_norm"),
    "positions": ("wpe", "embed_positions"),
    "embedding_norm": ("word_embeddings_layernorm", "embedding_layernorm"),
    "project_in": ("project_in",),
    "project_out": ("project_out",),
}
"""Weight outside the blocks -> modules beside the list of blocks that may be it."""

BESIDE = r"(^|\.)(vision|visual|vision_tower|vision_model|vision_embed_tokens|image_newline|img_processor|" \
         r"multi_modal_projector|mm_projector|connector|embed_vision|embed_audio|audio_tower|audio_model|audio_projection|speech|patch_merger|mtp\w*)\."
"""Tensors of parts that serve no text tokens: images, sound, and the prediction of tokens ahead. They are noted, not read."""


def _of_architecture(architecture: str, gated_queries: bool) -> Table:
    return {**_DECODER, **(_GATED_QUERIES if gated_queries else {}), **_OTHERWISE.get(architecture, {})}


HUB = Layout(table=_of_architecture, blocks="layers|h", outer=_OUTER, heads=("lm_head", "embed_out"), derived=(
    "rotary_emb.inv_freq", "attn.bias", "attn.causal_mask", "attn.masked_bias", "attention.bias", "attention.masked_bias"))
"""The names that the Hub has. The head may have any prefix; ``derived`` are the ends of the names of tensors that hold no
weights: angles and causal masks, which the description gives."""
