"""The dense feed-forward part: one or two projections, an activation, and one back."""

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from wsekern.inference.activation_numbers import xielu_numbers
from wsekern.inference.blocks.activation import XIELU, activation_room, activation_steps, missing_activation, xielu_steps
from wsekern.inference.blocks.common import add_bias, added_once, feed_sum
from wsekern.inference.blocks.folding import read_steps
from wsekern.inference.blocks.part import BlockWeights, PartOnGrid
from wsekern.inference.blocks.shared import shared_buffers
from wsekern.inference.packed import Matrices, Matrix
from wsekern.inference.steps import LayerStep, Steps, Values
from wsekern.inference.weights import TileCutter
from wsekern.ops import Gemm
from wsekern.ops.local.vector import room_bytes
from wsekern.workload.decoder import FeedForward

_step = partial(LayerStep, "ffn")


@dataclass(frozen=True)
class FeedForwardOnGrid(PartOnGrid[FeedForward]):
    """A feed-forward part on a grid; its width lies along x."""

    label = "ffn"
    readers = ("gate", "up")

    @cached_property
    def width(self) -> int:
        """Elements of the inner vector per column."""
        return -(-self.part.width // self.mapping.width)

    def missing(self) -> str:
        """An activation without steps."""
        missing = "" if self._learned else missing_activation(self.part)
        return f"the activation {missing}" if missing else ""

    @property
    def _learned(self) -> bool:
        """Whether its activation has numbers of its own."""
        return self.part.activation == "xielu" and not self.part.gated

    @property
    def _inner(self) -> int:
        """Elements of what the first projections leave: the gate's and the other's side by side."""
        return (2 if self.part.gated else 1) * self.width

    @property
    def weights(self) -> int:
        """Elements of the matrices and biases."""
        hidden, learned = self.mapping.hidden, len(XIELU) * self.width if self._learned else 0
        return hidden * (self._inner + self.width) + (hidden + self._inner if self.part.bias else 0) + learned

    def matrices(self) -> Matrices:
        """Both projections."""
        hidden = self.mapping.hidden
        return {"gate_up": (Matrix(hidden, self._inner),), "down": (Matrix(self.width, hidden),)}

    def packed_inputs(self, name: str) -> tuple[str, np.ndarray] | None:
        """The residual stream along y, the inner vector along x."""
        if name == "down":
            return "down", self.mapping.index_x(self.part.width)
        return ("gate_up", self.mapping.index_y(self.mapping.config.hidden)) if name in ("gate", "up") else None

    @property
    def buffers(self) -> int:
        """The inner vectors, and what the activation makes of them."""
        m = self.mapping
        shared = 0 if self._learned else -(-shared_buffers(m, m.chunk * self.width, "y") // m.chunk)
        return self._inner + (3 if self._learned else 1) * self.width + shared

    def room(self) -> int:
        """Bytes of the activation."""
        if self._learned:
            return room_bytes("exp", self.mapping.form, self.mapping.precision, self.mapping.chunk * self.width)
        return activation_room(self.mapping, self.part, self.mapping.chunk * self.width)

    def steps(self, tokens: int, slots: int) -> Steps:
        """Projections, activation, projection back."""
        m, width, inner, bias = self.mapping, self.width, self._inner, self.part.bias
        last = add_bias(m, "ffn", f"{self.prefix}down_bias", tokens, m.hidden, "out") if bias else []
        return [
            *read_steps(m, "ffn", "gate_up", tokens, inner, self.named("gate_up"), "gate_up", self.folded),
            *(add_bias(m, "ffn", f"{self.prefix}gate_up_bias", tokens, inner, "gate_up") if bias else []),
            *self._activation(tokens),
            _step("down", Gemm(tokens, width, m.hidden), ("active", self.named("down")), "out"),
            *(last if m.columns == "feeds" else []),
            _step("down_reduce", feed_sum(m, tokens * m.hidden), ("out",), "out"),
            *(last if m.columns != "feeds" else [])]

    def _activation(self, tokens: int) -> Steps:
        if self._learned:
            return xielu_steps(self.mapping, tokens, self.width, "gate_up", "active", [self.named(name) for name in XIELU])
        return activation_steps(self.mapping, self.part, tokens, self.width, "gate_up", "active")

    def tiles(self, weights: BlockWeights, where: str) -> Values:
        """``weights.gate_up`` (hidden, inner), the gate first where there is one, goes from y to x and ``weights.down`` (width,
        hidden) back; ``weights.gate_up_bias`` (1, inner) and :data:`XIELU` lie along x, ``weights.down_bias`` (1, hidden)
        along y."""
        m, cutter, w = self.mapping, TileCutter(self.mapping, where), self.own(weights)
        hidden, width = m.index_y(m.config.hidden), m.index_x(self.part.width)
        inner = ("gate", "up") if self.part.gated else ("up",)
        tiles = {"gate_up": cutter.matrix([w[name] for name in inner], hidden, [width] * len(inner),
                                          name=self.named("gate_up")),
                 "down": cutter.matrix([w["down"]], width, [hidden], transposed=True, name=self.named("down"))}
        if self.part.bias:
            tiles["gate_up_bias"] = cutter.along_x([w[f"{name}_bias"] for name in inner], [width] * len(inner))[:, :, None]
            tiles["down_bias"] = added_once(m, cutter.along_y(w["down_bias"], hidden)[:, :, None])
        if self._learned:
            numbers = (np.full(self.part.width, number, np.float32) for number in xielu_numbers(w)[:len(XIELU)])
            tiles |= {name: cutter.along_x([number], [width])[:, :, None] for name, number in zip(XIELU, numbers, strict=True)}
        return {self.named(name): tile for name, tile in tiles.items()}
