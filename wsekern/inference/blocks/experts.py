"""A mixture of experts. Its steps have a time; what depends on the choice of experts is not executed yet."""

from functools import partial

from wsekern.inference.blocks.common import all_reduce, residual
from wsekern.inference.mapping import Mapping
from wsekern.inference.steps import LayerStep, Steps, join, pick, reshape, split, timed_only
from wsekern.ops import Gemm, Local

_step = partial(LayerStep, "ffn")


def expert_steps(mapping: Mapping, tokens: int) -> Steps:
    """The chosen experts' pieces of every PE, a row of work for each token and expert."""
    hidden, shared, rows = mapping.hidden, mapping.shared_expert, tokens * mapping.config.experts_per_token
    steps = [*_route_tokens(mapping, tokens),
             timed_only("take experts", ("h", "chosen", "weights.experts_gate_up", "weights.experts_down"),
                        ("routed", "chosen_gate_up", "chosen_down")),
             _step("gate_up", Gemm(rows, hidden, 2 * mapping.expert), ("routed", "chosen_gate_up"), "gate_up")]
    if shared:
        steps.append(_step("shared_gate_up", Gemm(tokens, hidden, 2 * shared), ("h", "weights.shared_gate_up"), "shared"))
    steps += [*_reduce_gates(mapping, tokens, rows),
              _step("silu_mul", Local("silu_mul", mapping.expert, rows, form=mapping.form), ("gate", "up"), "active"),
              _step("weigh", Local("scale", mapping.expert, rows), ("active", "shares"), "active"),
              _step("down", Gemm(rows, mapping.expert, hidden), ("active", "chosen_down"), "outputs"),
              _step("sum_experts", Local("add", hidden, rows), ("outputs",), "out")]
    if shared:
        steps += [split("shared", ("shared_gate", "shared_up"), (shared, shared), axis=1),
                  _step("shared_silu_mul", Local("silu_mul", shared, tokens, form=mapping.form), ("shared_gate", "shared_up"),
                        "shared"),
                  _step("shared_down", Gemm(tokens, shared, hidden), ("shared", "weights.shared_down"), "shared"),
                  _step("shared_add", Local("add", hidden, tokens, form=mapping.form), ("out", "shared"), "out")]
    return [*steps, _step("down_reduce", all_reduce(mapping, tokens * hidden, "x"), ("out",), "out"),
            residual(mapping, "ffn", tokens, "out")]


def _route_tokens(mapping: Mapping, tokens: int) -> Steps:
    """``chosen`` (tokens * chosen) experts and their ``shares``, known on every PE.

    The scores of a column, all columns' scores everywhere, the largest of them, and their weights.
    """
    experts, count = mapping.config.experts, mapping.config.experts_per_token
    return [_step("router", Gemm(tokens, mapping.hidden, mapping.router), ("h", "weights.router"), "scores"),
            _step("router_reduce", all_reduce(mapping, tokens * mapping.router, "y"), ("scores",), "scores"),
            timed_only("place scores", ("scores",), ("all_scores",)),
            _step("router_gather", all_reduce(mapping, tokens * experts, "x", op="max"), ("all_scores",), "all_scores"),
            timed_only("rounds", ("all_scores",), ("rounds", "chosen")),
            _step("choose", Local("rowmax", experts, tokens * count), ("rounds",), "largest"),
            reshape("largest", tokens, count), pick("largest", ("top",), 1, (0,)),
            _step("weights_exp", Local("expsub", count, tokens, form=mapping.form), ("largest", "top"), "shares"),
            _step("weights_sum", Local("rowsum", count, tokens), ("shares",), "total"),
            _step("weights_divide", Local("rowdiv", count, tokens, form=mapping.form), ("shares", "total"), "shares")]


def _reduce_gates(mapping: Mapping, tokens: int, rows: int) -> Steps:
    """``gate`` and ``up`` (rows, expert), and ``shared`` (tokens, 2 shared) where there is one: summed over y together."""
    expert, shared = 2 * rows * mapping.expert, 2 * tokens * mapping.shared_expert
    reduce = _step("gate_up_reduce", all_reduce(mapping, expert + shared, "y"), ("gate_up",), "gate_up")
    gates = split("gate_up", ("gate", "up"), (mapping.expert, mapping.expert), axis=1)
    if not shared:
        return [reduce, gates]
    return [reshape("gate_up", expert), reshape("shared", shared), join(("gate_up", "shared"), "gate_up", 0), reduce,
            split("gate_up", ("gate_up", "shared"), (expert, shared), axis=0),
            reshape("gate_up", rows, 2 * mapping.expert), reshape("shared", tokens, 2 * mapping.shared_expert), gates]
