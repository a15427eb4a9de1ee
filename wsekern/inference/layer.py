"""The mesh operations of a forward pass, in order, with their sizes: executed with values or for their time alone.

A chunk of ``tokens`` (one in decode) passes through every layer; weights stay where they are. Operations follow the
published wafer decode (WaferLLM, OSDI'25: ten all-reduces per layer, axes alternating), with real heads, grouped
queries, a causal mask and a cache that grows.
"""

import math
from dataclasses import dataclass

from wsekern.inference.mapping import Mapping
from wsekern.ops import AllReduce, Broadcast, Gemm, GemmTransposed, Local, Operation


@dataclass(frozen=True)
class Step:
    """One mesh operation and the part of the model that it belongs to."""

    part: str
    name: str
    operation: Operation


def _all_reduce(mapping: Mapping, words: int, axis: str, op: str = "sum", segment: int = 0, dtype: str | None = None):
    """Two-level all-reduce with about as many groups as members, which minimises the stages P / 2g + g / 2."""
    line = segment or (mapping.height if axis == "y" else mapping.width)
    return AllReduce(words, axis, groups=max(1, round(math.sqrt(line))), op=op, segment=segment, dtype=dtype)


def _norm(mapping: Mapping, part: str, tokens: int) -> list[Step]:
    size = mapping.config.hidden
    return [
        Step(part, "norm_squares", Local("sumsq", mapping.hidden, tokens)),
        Step(part, "norm_reduce", _all_reduce(mapping, tokens, "y", dtype="fp32")),
        Step(part, "norm_scale", Local("rownorm", mapping.hidden, tokens, divisor=size, eps=mapping.config.rms_eps)),
    ]


def _head_norms(mapping: Mapping, tokens: int) -> list[Step]:
    """Norm of every query and key head (Qwen 3)."""
    steps = []
    for name, heads in (("q", mapping.heads_per_column * mapping.group), ("k", mapping.heads_per_column)):
        rows = tokens * heads
        steps.append(Step("attention", f"{name}_norm_squares", Local("sumsq", mapping.features, rows)))
        if mapping.segment > 1:
            reduce = _all_reduce(mapping, rows, "x", segment=mapping.segment, dtype="fp32")
            steps.append(Step("attention", f"{name}_norm_reduce", reduce))
        scale = Local("rownorm", mapping.features, rows, divisor=mapping.config.head_dim, eps=mapping.config.rms_eps)
        steps.append(Step("attention", f"{name}_norm_scale", scale))
    return steps


def _attention(mapping: Mapping, tokens: int, slots: int) -> list[Step]:
    heads, group, features = mapping.heads_per_column, mapping.group, mapping.features
    qkv, rows = mapping.q + 2 * mapping.kv, tokens * group

    def step(name: str, operation: Operation) -> Step:
        return Step("attention", name, operation)

    steps = [step("qkv", Gemm(tokens, mapping.hidden, qkv)),
             step("qkv_reduce", _all_reduce(mapping, tokens * qkv, "y"))]
    if mapping.config.attention_bias:
        steps.append(step("qkv_bias", Local("add", qkv, tokens)))
    if mapping.config.qk_norm:
        steps += _head_norms(mapping, tokens)
    steps += [step("rope_q", Local("rope", features, tokens * heads * group, heads=heads * group)),
              step("rope_k", Local("rope", features, tokens * heads, heads=heads)),
              step("append", Local("mov", mapping.kv, 2 * math.ceil(tokens / mapping.height)))]
    steps += [step(f"scores_{head}", GemmTransposed(rows, slots, features)) for head in range(heads)]
    if mapping.segment > 1:
        reduce = _all_reduce(mapping, heads * rows * slots, "x", segment=mapping.segment)
        steps.append(step("scores_reduce", reduce))
    steps += [step("mask", Local("add", slots, heads * rows)),
              step("softmax_max", Local("rowmax", slots, heads * rows)),
              step("softmax_max_reduce", _all_reduce(mapping, heads * rows, "y", op="max")),
              step("softmax_exp", Local("expsub", slots, heads * rows)),
              step("softmax_sum", Local("rowsum", slots, heads * rows)),
              step("softmax_sum_reduce", _all_reduce(mapping, heads * rows, "y", dtype="fp32"))]
    steps += [step(f"values_{head}", Gemm(rows, slots, features)) for head in range(heads)]
    steps += [step("values_reduce", _all_reduce(mapping, tokens * mapping.q, "y")),
              step("softmax_divide", Local("rowdiv", features, heads * rows)),
              step("o", Gemm(tokens, mapping.q, mapping.hidden)),
              step("o_reduce", _all_reduce(mapping, tokens * mapping.hidden, "x"))]
    if mapping.config.output_bias:
        steps.append(step("o_bias", Local("add", mapping.hidden, tokens)))
    return [*steps, step("residual", Local("add", mapping.hidden, tokens))]


def _feed_forward(mapping: Mapping, tokens: int) -> list[Step]:
    bias = mapping.config.mlp_bias
    steps = [("gate_up", Gemm(tokens, mapping.hidden, 2 * mapping.ffn)),
             ("gate_up_reduce", _all_reduce(mapping, 2 * tokens * mapping.ffn, "y")),
             *([("gate_up_bias", Local("add", 2 * mapping.ffn, tokens))] if bias else []),
             ("silu_mul", Local("silu_mul", mapping.ffn, tokens)),
             ("down", Gemm(tokens, mapping.ffn, mapping.hidden)),
             ("down_reduce", _all_reduce(mapping, tokens * mapping.hidden, "x")),
             *([("down_bias", Local("add", mapping.hidden, tokens))] if bias else []),
             ("residual", Local("add", mapping.hidden, tokens))]
    return [Step("ffn", name, operation) for name, operation in steps]


def _choice(mapping: Mapping, tokens: int) -> list[tuple[str, Operation]]:
    """Which experts a token takes, known on every PE: scores, all columns' scores everywhere, the k largest, their weights."""
    experts, chosen = mapping.config.experts, mapping.config.experts_per_token
    return [("router", Gemm(tokens, mapping.hidden, mapping.router)),
            ("router_reduce", _all_reduce(mapping, tokens * mapping.router, "y")),
            ("router_gather", _all_reduce(mapping, tokens * experts, "x", op="max")),
            ("choose", Local("rowmax", experts, tokens * chosen)),
            ("weights_exp", Local("expsub", chosen, tokens)),
            ("weights_sum", Local("rowsum", chosen, tokens)),
            ("weights_divide", Local("rowdiv", chosen, tokens))]


def _experts(mapping: Mapping, tokens: int) -> list[Step]:
    """A mixture of experts: the chosen experts' pieces of every PE, a row of work for each token and expert."""
    rows, shared = tokens * mapping.config.experts_per_token, mapping.shared_expert
    steps = [*_choice(mapping, tokens), ("gate_up", Gemm(rows, mapping.hidden, 2 * mapping.expert))]
    if shared:
        steps.append(("shared_gate_up", Gemm(tokens, mapping.hidden, 2 * shared)))
    steps += [("gate_up_reduce", _all_reduce(mapping, 2 * (rows * mapping.expert + tokens * shared), "y")),
              ("silu_mul", Local("silu_mul", mapping.expert, rows)),
              ("weigh", Local("scale", mapping.expert, rows)),
              ("down", Gemm(rows, mapping.expert, mapping.hidden)),
              ("sum_experts", Local("add", mapping.hidden, rows))]
    if shared:
        steps += [("shared_silu_mul", Local("silu_mul", shared, tokens)),
                  ("shared_down", Gemm(tokens, shared, mapping.hidden)),
                  ("shared_add", Local("add", mapping.hidden, tokens))]
    steps += [("down_reduce", _all_reduce(mapping, tokens * mapping.hidden, "x")),
              ("residual", Local("add", mapping.hidden, tokens))]
    return [Step("ffn", name, operation) for name, operation in steps]


def layer_steps(mapping: Mapping, tokens: int, slots: int, experts: bool = False) -> list[Step]:
    """One layer for a chunk of ``tokens`` while every row keeps ``slots`` positions of the cache; ``experts``: a MoE layer."""
    feed_forward = _experts(mapping, tokens) if experts else _feed_forward(mapping, tokens)
    return [*_norm(mapping, "attention", tokens), *_attention(mapping, tokens, slots),
            *_norm(mapping, "ffn", tokens), *feed_forward]


def embedding_steps(mapping: Mapping, columns: list[int]) -> list[Step]:
    """Fetch one embedding per token: the column that keeps it sends its pieces along the rows."""
    return [Step("embedding", "embed", Broadcast(mapping.hidden, "x", root=column)) for column in columns]


def head_steps(mapping: Mapping) -> list[Step]:
    """Final norm and LM head of one token."""
    return [*_norm(mapping, "head", 1),
            Step("head", "logits", Gemm(1, mapping.hidden, mapping.vocab)),
            Step("head", "logits_reduce", _all_reduce(mapping, mapping.vocab, "y"))]
