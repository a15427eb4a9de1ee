"""Grouped-query attention with rotary positions, a causal mask and a cache that grows."""

import math
from functools import partial

import numpy as np

from wsekern.inference.blocks.common import add_bias, all_reduce, residual
from wsekern.inference.mapping import Mapping
from wsekern.inference.steps import LayerStep, Steps, Values, append, first, pick, reshape, split, stack, swap
from wsekern.inference.weights import TileCutter
from wsekern.ops import Gemm, GemmTransposed, Local
from wsekern.workload.checkpoint import LayerWeights

_step = partial(LayerStep, "attention")


def attention_steps(mapping: Mapping, tokens: int, slots: int) -> Steps:
    """The block for ``tokens`` tokens while every row keeps ``slots`` positions of the cache."""
    return [*_queries_keys_values(mapping, tokens), *_append(mapping, tokens), *_scores(mapping, tokens, slots),
            *_softmax(mapping, tokens, slots), *_output(mapping, tokens)]


def attention_cache(mapping: Mapping) -> dict[str, tuple[int, ...]]:
    """What a layer keeps between tokens: name -> shape of its tile."""
    shape = (mapping.heads_per_column, mapping.slots, mapping.features)
    return {"cache.keys": shape, "cache.values": shape}


def attention_tiles(mapping: Mapping, w: LayerWeights, where: str) -> Values:
    """Weights of the block; ``where`` names the layer in errors.

    ``weights.qkv`` (hidden, q + 2 kv) goes from y to x and ``weights.o`` (q, hidden) back; ``weights.qkv_bias``
    (1, q + 2 kv) and ``weights.q_norm``, ``weights.k_norm`` (features) lie along x, ``weights.o_bias`` (1, hidden) along y.
    """
    m, cutter = mapping, TileCutter(mapping, where)
    hidden, q, kv = m.index_y(m.config.hidden), m.q_index.reshape(m.width, -1), m.kv_index.reshape(m.width, -1)
    # Scores are divided by sqrt(head_dim) once and for all: in the query weights, or in the query norm.
    scale = np.float32(1 / np.sqrt(m.config.head_dim))
    early = np.float32(1) if w.q_norm is not None else scale
    tiles = {"weights.qkv": cutter.matrix([w.q * early, w.k, w.v], hidden, [q, kv, kv]),
             "weights.o": cutter.matrix([w.o], q, [hidden], transposed=True)}
    if w.o_bias is not None:
        tiles["weights.o_bias"] = cutter.along_y(w.o_bias, hidden)[:, :, None]
    if w.q_bias is not None:
        tiles["weights.qkv_bias"] = cutter.along_x([w.q_bias * early, w.k_bias, w.v_bias], [q, kv, kv])[:, :, None]
    if w.q_norm is not None:
        feature = np.where(m.kv_index[:, 0] >= 0, m.kv_index[:, 0] % m.config.head_dim, -1)
        tiles["weights.q_norm"] = cutter.along_x([w.q_norm * scale], [feature])
        tiles["weights.k_norm"] = cutter.along_x([w.k_norm], [feature])
    return tiles


def _queries_keys_values(mapping: Mapping, tokens: int) -> Steps:
    """``q`` (tokens, heads * group, features), ``k`` and ``v`` (tokens, heads, features), positions turned in."""
    heads, features, qkv = mapping.heads_per_column, mapping.features, mapping.q + 2 * mapping.kv
    queries = heads * mapping.group
    steps: Steps = [_step("qkv", Gemm(tokens, mapping.hidden, qkv), ("h", "weights.qkv"), "qkv"),
                    _step("qkv_reduce", all_reduce(mapping, tokens * qkv, "y"), ("qkv",), "qkv")]
    if mapping.config.attention_bias:
        steps += add_bias(mapping, "attention", "qkv_bias", tokens, qkv, "qkv")
    steps += [split("qkv", "qkv", (mapping.q, mapping.kv, mapping.kv), axis=1), reshape("q", tokens, queries, features),
              reshape("k", tokens, heads, features), reshape("v", tokens, heads, features)]
    if mapping.config.qk_norm:
        steps += [*_head_norm(mapping, "q", tokens, queries), *_head_norm(mapping, "k", tokens, heads)]
    turn = ("table.cos", "table.sin")
    rope = partial(Local, "rope", features, form=mapping.form)
    return [*steps, _step("rope_q", rope(tokens * queries, heads=queries), ("q", *turn), "q"),
            _step("rope_k", rope(tokens * heads, heads=heads), ("k", *turn), "k")]


def _head_norm(mapping: Mapping, x: str, tokens: int, heads: int) -> Steps:
    """Norm of every query or key head (Qwen 3): ``x`` is (tokens, heads, features)."""
    rows, features, squares = tokens * heads, mapping.features, f"{x}_squares"
    steps: Steps = [reshape(x, rows, features), _step(f"{x}_norm_squares", Local("sumsq", features, rows), (x,), squares)]
    if mapping.segment > 1:
        reduce = all_reduce(mapping, rows, "x", segment=mapping.segment, precision="fp32")
        steps.append(_step(f"{x}_norm_reduce", reduce, (squares,), squares))
    scale = Local("rownorm", features, rows, divisor=mapping.config.head_dim, eps=mapping.config.rms_eps)
    return [*steps, _step(f"{x}_norm_scale", scale, (x, squares, f"weights.{x}_norm"), x), reshape(x, tokens, heads, features)]


def _append(mapping: Mapping, tokens: int) -> Steps:
    """Keep keys and values of the tokens, each on its row."""
    return [append("cache.keys", "k"), append("cache.values", "v"),
            _step("append", Local("mov", mapping.kv, 2 * math.ceil(tokens / mapping.height)))]


def _heads(mapping: Mapping, name: str) -> list[str]:
    """Names of the parts of value ``name`` of the key-value heads in a column."""
    return [f"{name}_{head}" for head in range(mapping.heads_per_column)]


def _scores(mapping: Mapping, tokens: int, slots: int) -> Steps:
    """``scores`` (heads * rows, slots), masked; the rows of a key-value head are its tokens * group queries."""
    heads, group, features, rows = mapping.heads_per_column, mapping.group, mapping.features, tokens * mapping.group
    queries, keys, scores = (_heads(mapping, name) for name in ("q", "keys", "scores"))
    steps: Steps = [reshape("q", tokens, heads, group, features), pick("q", queries, 1, range(heads)),
                    first("cache.keys", "keys", 1, slots), pick("keys", keys, 0, range(heads))]
    for query, key, score in zip(queries, keys, scores, strict=True):
        steps += [reshape(query, rows, features), _step(score, GemmTransposed(rows, slots, features), (query, key), score)]
    steps += [stack(scores, "scores", 0), reshape("scores", heads * rows, slots)]
    if mapping.segment > 1:
        reduce = all_reduce(mapping, heads * rows * slots, "x", segment=mapping.segment)
        steps.append(_step("scores_reduce", reduce, ("scores",), "scores"))
    return [*steps, _step("mask", Local("add", slots, heads * rows, form=mapping.form), ("scores", "table.mask"), "scores")]


def _softmax(mapping: Mapping, tokens: int, slots: int) -> Steps:
    """``attended`` (tokens, q): the softmax of ``scores`` over the positions of all rows, times the values."""
    heads, group, features, rows = mapping.heads_per_column, mapping.group, mapping.features, tokens * mapping.group
    parts, values, attended = (_heads(mapping, name) for name in ("shares", "values", "attended"))
    steps: Steps = [
        _step("softmax_max", Local("rowmax", slots, heads * rows), ("scores",), "top"),
        _step("softmax_max_reduce", all_reduce(mapping, heads * rows, "y", op="max"), ("top",), "top"),
        _step("softmax_exp", Local("expsub", slots, heads * rows, form=mapping.form), ("scores", "top"), "shares"),
        _step("softmax_sum", Local("rowsum", slots, heads * rows), ("shares",), "total"),
        _step("softmax_sum_reduce", all_reduce(mapping, heads * rows, "y", precision="fp32"), ("total",), "total"),
        reshape("shares", heads, rows, slots), pick("shares", parts, 0, range(heads)),
        first("cache.values", "values", 1, slots), pick("values", values, 0, range(heads))]
    steps += [_step(f"values_{head}", Gemm(rows, slots, features), (parts[head], values[head]), attended[head])
              for head in range(heads)]
    return [*steps, stack(attended, "attended", 0),
            _step("values_reduce", all_reduce(mapping, tokens * mapping.q, "y"), ("attended",), "attended"),
            reshape("attended", heads * rows, features),
            _step("softmax_divide", Local("rowdiv", features, heads * rows, form=mapping.form), ("attended", "total"),
                  "attended"),
            reshape("attended", heads, tokens, group, features), swap("attended", 0), reshape("attended", tokens, mapping.q)]


def _output(mapping: Mapping, tokens: int) -> Steps:
    """``x`` plus the output projection of ``attended``."""
    steps: Steps = [_step("o", Gemm(tokens, mapping.q, mapping.hidden), ("attended", "weights.o"), "out"),
                    _step("o_reduce", all_reduce(mapping, tokens * mapping.hidden, "x"), ("out",), "out")]
    if mapping.config.output_bias:
        steps += add_bias(mapping, "attention", "o_bias", tokens, mapping.hidden, "out")
    return [*steps, residual(mapping, "attention", tokens, "out")]
