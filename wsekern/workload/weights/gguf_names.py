"""Names of tensors in GGUF files, as llama.cpp's ``convert_hf_to_gguf.py`` writes them, and what it changes in their values.

https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/constants.py. Matrices are (outputs, inputs) for every model; the
gains of norms have Gemma's 1 added; fused queries, keys and values lie one behind the other. Rotated heads of some models
(:data:`PERMUTED`) are stored so that features which turn together are neighbors.
"""

from functools import partial

import numpy as np

from wsekern.workload.decoder import Mixer, Recurrent
from wsekern.workload.weights.names import Layout, Table, modules

PERMUTED = ("llama", "mistral3", "smollm3", "granite", "granitemoe", "arcee", "olmo", "deci", "minicpm", "deepseek")
"""Architectures whose queries and keys are stored in llama.cpp's order (classes of the converter that permute them)."""

_BLOCK: Table = modules({
    "attn_q": "q", "attn_k": "k", "attn_v": "v", "attn_output": "o", "attn_qkv": "q k v | in_q in_k in_v",
    "attn_norm": "before_mixer",
    "attn_q_norm": "q_norm", "attn_k_norm": "k_norm", "attn_sinks": "sinks", "attn_gate": "attention_gate | in_z",
    "ffn_norm": "before_feed", "post_attention_norm": "after_mixer | before_feed", "post_ffw_norm": "after_feed",
    "attn_post_norm": "after_mixer", "ffn_post_norm": "after_feed",
    "ffn_gate": "gate", "ffn_up": "up", "ffn_down": "down",
    "attn_q_a": "q_a", "attn_q_a_norm": "q_a_norm", "attn_q_b": "q_b", "attn_kv_a_mqa": "kv_a", "attn_kv_a_norm": "kv_a_norm",
    "attn_kv_b": "kv_b",
    "ffn_gate_inp": "router", "exp_probs_b": "correction", "exp_probs_b.bias": "correction",
    "ffn_gate_exps": "experts_gate", "ffn_up_exps": "experts_up", "ffn_down_exps": "experts_down",
    "ffn_gate.{e}": "experts_gate", "ffn_up.{e}": "experts_up", "ffn_down.{e}": "experts_down",
    "ffn_gate_shexp": "shared_gate", "ffn_up_shexp": "shared_up", "ffn_down_shexp": "shared_down",
    "ffn_gate_inp_shexp": "shared_router",
    "ssm_beta": "in_b", "ssm_alpha": "in_a", "ssm_conv1d": "conv", "ssm_a": "decay", "ssm_dt": "dt", "ssm_norm": "state_norm",
    "ssm_out": "o",
})

_NEIGHBORS: Table = {**modules({"attn_q": "q"}, neighbors="heads"), **modules({"attn_k": "k"}, neighbors="kv_heads")}

_FUSED: dict[str, Table] = {
    "phi3": modules({"ffn_up": "gate up"}), "glm4": modules({"ffn_up": "gate up"}),
}
"""Architectures that keep the gate in front of ``ffn_up``."""


def _of_architecture(kind: str, architecture: str, gated_queries: bool) -> Table:
    gated = modules({"attn_q": "q attention_gate"}, groups="heads") if gated_queries else {}
    mixed = modules({"ssm_ba": "in_b in_a"}, groups="key_heads")
    return {**_BLOCK, **gated, **mixed, **(_NEIGHBORS if kind in PERMUTED else {}), **_FUSED.get(kind, {})}


TILED = ("qwen35", "qwen35moe")
"""Architectures whose value heads of linear attention are stored so that those of one key head are ``key_heads`` apart."""


def _restore(tiled: bool, name: str, values: np.ndarray, mixer: Mixer | None) -> np.ndarray:
    """A weight as the models have it: decays by their logarithm, value heads of one key head side by side."""
    if not isinstance(mixer, Recurrent):
        return values
    if name == "decay":
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.log(-values)
    if not tiled or name not in ("in_v", "in_z", "in_b", "in_a", "conv", "decay", "dt_bias", "o"):
        return values
    if name == "conv":
        first = 2 * mixer.key_size
        return np.concatenate([values[:first], _grouped(values[first:], 0, mixer)])
    return _grouped(values, -1 if name.startswith("in_") else 0, mixer)


def _grouped(values: np.ndarray, axis: int, mixer: Recurrent) -> np.ndarray:
    """``values`` whose ``axis`` counts value heads, or their features, in the order of key heads."""
    moved = np.moveaxis(values, axis, 0)
    heads = moved.reshape(mixer.value_heads // mixer.key_heads, mixer.key_heads, -1, *moved.shape[1:])
    return np.moveaxis(heads.swapaxes(0, 1).reshape(moved.shape), 0, axis)


def gguf_layout(kind: str) -> Layout:
    """Names in a file of ``general.architecture`` ``kind``."""
    return Layout(
        table=partial(_of_architecture, kind), blocks="blk", heads=("output",), offsets_stored=True, settings="its metadata",
        restore=partial(_restore, kind in TILED),
        derived=("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"),
        outer={"embedding": ("token_embd",), "norm": ("output_norm",), "positions": ("position_embd",),
               "embedding_norm": ("token_embd_norm",), "project_in": ("project_in",), "project_out": ("project_out",)})
