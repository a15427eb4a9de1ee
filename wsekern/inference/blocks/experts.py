"""A mixture of experts. Its steps have a time; what depends on the choice of experts is not executed yet."""

from dataclasses import dataclass
from functools import cached_property, partial

from wsekern.inference.blocks.common import all_reduce
from wsekern.inference.blocks.part import PartOnGrid
from wsekern.inference.steps import LayerStep, Steps, join, pick, reshape, split, timed_only
from wsekern.ops import Gemm, Local
from wsekern.ops.local.vector import room_bytes
from wsekern.workload.decoder import Mixture

_step = partial(LayerStep, "ffn")


@dataclass(frozen=True)
class MixtureOnGrid(PartOnGrid[Mixture]):
    """A mixture of experts on a grid: every expert is spread over all columns, so any of them is equally near."""

    label = "ffn"

    @cached_property
    def expert(self) -> int:
        """Elements of one expert per column."""
        return -(-self.part.expert.width // self.mapping.width)

    @cached_property
    def shared(self) -> int:
        """Elements of the shared expert per column."""
        return -(-self.part.shared.width // self.mapping.width) if self.part.shared else 0

    @cached_property
    def router(self) -> int:
        """Experts whose score one column computes."""
        return -(-self.part.experts // self.mapping.width)

    @property
    def weights(self) -> int:
        """Elements of the router and of all experts."""
        return self.mapping.hidden * (self.router + 3 * (self.part.experts * self.expert + self.shared))

    @property
    def buffers(self) -> int:
        """Inner vectors of the experts of a token and their product; all scores."""
        return 3 * (self.part.chosen * self.expert + self.shared) + self.part.experts

    def room(self) -> int:
        """Bytes of the activation."""
        m = self.mapping
        return room_bytes("silu_mul", m.form, m.precision, m.chunk * self.part.chosen * self.expert)

    def steps(self, tokens: int, slots: int) -> Steps:
        """The chosen experts' pieces of every PE, a row of work for each token and expert."""
        m, hidden, shared, rows = self.mapping, self.mapping.hidden, self.shared, tokens * self.part.chosen
        steps = [*self._route_tokens(tokens),
                 timed_only("take experts", ("h", "chosen", self.named("experts_gate_up"), self.named("experts_down")),
                            ("routed", "chosen_gate_up", "chosen_down")),
                 _step("gate_up", Gemm(rows, hidden, 2 * self.expert), ("routed", "chosen_gate_up"), "gate_up")]
        if shared:
            gemm = Gemm(tokens, hidden, 2 * shared)
            steps.append(_step("shared_gate_up", gemm, ("h", self.named("shared_gate_up")), "shared"))
        steps += [*self._reduce_gates(tokens, rows),
                  _step("silu_mul", Local("silu_mul", self.expert, rows, form=m.form), ("gate", "up"), "active"),
                  _step("weigh", Local("scale", self.expert, rows), ("active", "shares"), "active"),
                  _step("down", Gemm(rows, self.expert, hidden), ("active", "chosen_down"), "outputs"),
                  _step("sum_experts", Local("add", hidden, rows), ("outputs",), "out")]
        if shared:
            steps += [split("shared", ("shared_gate", "shared_up"), (shared, shared), axis=1),
                      _step("shared_silu_mul", Local("silu_mul", shared, tokens, form=m.form), ("shared_gate", "shared_up"),
                            "shared"),
                      _step("shared_down", Gemm(tokens, shared, hidden), ("shared", self.named("shared_down")), "shared"),
                      _step("shared_add", Local("add", hidden, tokens, form=m.form), ("out", "shared"), "out")]
        return [*steps, _step("down_reduce", all_reduce(m, tokens * hidden, "x"), ("out",), "out")]

    def _route_tokens(self, tokens: int) -> Steps:
        """``chosen`` (tokens * chosen) experts and their ``shares``, known on every PE.

        The scores of a column, all columns' scores everywhere, the largest of them, and their weights.
        """
        m, experts, count = self.mapping, self.part.experts, self.part.chosen
        return [_step("router", Gemm(tokens, m.hidden, self.router), ("h", self.named("router")), "scores"),
                _step("router_reduce", all_reduce(m, tokens * self.router, "y"), ("scores",), "scores"),
                timed_only("place scores", ("scores",), ("all_scores",)),
                _step("router_gather", all_reduce(m, tokens * experts, "x", op="max"), ("all_scores",), "all_scores"),
                timed_only("rounds", ("all_scores",), ("rounds", "chosen")),
                _step("choose", Local("rowmax", experts, tokens * count), ("rounds",), "largest"),
                reshape("largest", tokens, count), pick("largest", ("top",), 1, (0,)),
                _step("weights_exp", Local("expsub", count, tokens, form=m.form), ("largest", "top"), "shares"),
                _step("weights_sum", Local("rowsum", count, tokens), ("shares",), "total"),
                _step("weights_divide", Local("rowdiv", count, tokens, form=m.form), ("shares", "total"), "shares")]

    def _reduce_gates(self, tokens: int, rows: int) -> Steps:
        """``gate`` and ``up`` (rows, expert), and ``shared`` (tokens, 2 shared) where there is one: summed over y together."""
        width, expert, shared = self.expert, 2 * rows * self.expert, 2 * tokens * self.shared
        reduce = _step("gate_up_reduce", all_reduce(self.mapping, expert + shared, "y"), ("gate_up",), "gate_up")
        gates = split("gate_up", ("gate", "up"), (width, width), axis=1)
        if not shared:
            return [reduce, gates]
        return [reshape("gate_up", expert), reshape("shared", shared), join(("gate_up", "shared"), "gate_up", 0), reduce,
                split("gate_up", ("gate_up", "shared"), (expert, shared), axis=0),
                reshape("gate_up", rows, 2 * width), reshape("shared", tokens, 2 * self.shared), gates]
