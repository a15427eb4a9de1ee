"""The dense feed-forward part: two projections, a gate of SiLU, and one back."""

from dataclasses import dataclass
from functools import cached_property, partial

from wsekern.inference.blocks.common import add_bias, all_reduce
from wsekern.inference.blocks.part import BlockWeights, PartOnGrid
from wsekern.inference.steps import LayerStep, Steps, Values, split
from wsekern.inference.weights import TileCutter
from wsekern.ops import Gemm, Local
from wsekern.ops.local.vector import room_bytes
from wsekern.workload.decoder import FeedForward

_step = partial(LayerStep, "ffn")


@dataclass(frozen=True)
class FeedForwardOnGrid(PartOnGrid[FeedForward]):
    """A feed-forward part on a grid; its width lies along x."""

    label = "ffn"

    @cached_property
    def width(self) -> int:
        """Elements of the inner vector per column."""
        return -(-self.part.width // self.mapping.width)

    @property
    def weights(self) -> int:
        """Elements of the matrices and biases."""
        return 3 * self.mapping.hidden * self.width + (self.mapping.hidden + 2 * self.width if self.part.bias else 0)

    @property
    def buffers(self) -> int:
        """Both inner vectors, and their product."""
        return 3 * self.width

    def room(self) -> int:
        """Bytes of the activation."""
        m = self.mapping
        return room_bytes("silu_mul", m.form, m.precision, m.chunk * self.width)

    def steps(self, tokens: int, slots: int) -> Steps:
        """Projections, gate, projection back."""
        m, width, bias = self.mapping, self.width, self.part.bias
        return [
            _step("gate_up", Gemm(tokens, m.hidden, 2 * width), ("h", self.named("gate_up")), "gate_up"),
            _step("gate_up_reduce", all_reduce(m, 2 * tokens * width, "y"), ("gate_up",), "gate_up"),
            *(add_bias(m, "ffn", f"{self.prefix}gate_up_bias", tokens, 2 * width, "gate_up") if bias else []),
            split("gate_up", ("gate", "up"), (width, width), axis=1),
            _step("silu_mul", Local("silu_mul", width, tokens, form=m.form), ("gate", "up"), "active"),
            _step("down", Gemm(tokens, width, m.hidden), ("active", self.named("down")), "out"),
            _step("down_reduce", all_reduce(m, tokens * m.hidden, "x"), ("out",), "out"),
            *(add_bias(m, "ffn", f"{self.prefix}down_bias", tokens, m.hidden, "out") if bias else [])]

    def tiles(self, weights: BlockWeights, where: str) -> Values:
        """``weights.gate_up`` (hidden, 2 width) goes from y to x and ``weights.down`` (width, hidden) back;
        ``weights.gate_up_bias`` (1, 2 width) lies along x, ``weights.down_bias`` (1, hidden) along y."""
        m, cutter, w = self.mapping, TileCutter(self.mapping, where), self.own(weights)
        hidden, width = m.index_y(m.config.hidden), m.index_x(self.part.width)
        tiles = {"gate_up": cutter.matrix([w["gate"], w["up"]], hidden, [width, width]),
                 "down": cutter.matrix([w["down"]], width, [hidden], transposed=True)}
        if self.part.bias:
            tiles["gate_up_bias"] = cutter.along_x([w["gate_bias"], w["up_bias"]], [width, width])[:, :, None]
            tiles["down_bias"] = cutter.along_y(w["down_bias"], hidden)[:, :, None]
        return {self.named(name): tile for name, tile in tiles.items()}
