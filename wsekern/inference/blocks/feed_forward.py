"""The dense feed-forward block: two projections, a gate of SiLU, and one back."""

from functools import partial

from wsekern.inference.blocks.common import add_bias, all_reduce, residual
from wsekern.inference.mapping import Mapping
from wsekern.inference.steps import LayerStep, Steps, Values, split
from wsekern.inference.weights import TileCutter
from wsekern.ops import Gemm, Local
from wsekern.workload.checkpoint import LayerWeights

_step = partial(LayerStep, "ffn")


def feed_forward_steps(mapping: Mapping, tokens: int) -> Steps:
    """The block for ``tokens`` tokens."""
    ffn, hidden, bias = mapping.ffn, mapping.hidden, mapping.config.mlp_bias
    return [
        _step("gate_up", Gemm(tokens, hidden, 2 * ffn), ("h", "weights.gate_up"), "gate_up"),
        _step("gate_up_reduce", all_reduce(mapping, 2 * tokens * ffn, "y"), ("gate_up",), "gate_up"),
        *(add_bias(mapping, "ffn", "gate_up_bias", tokens, 2 * ffn, "gate_up") if bias else []),
        split("gate_up", ("gate", "up"), (ffn, ffn), axis=1),
        _step("silu_mul", Local("silu_mul", ffn, tokens, form=mapping.form), ("gate", "up"), "active"),
        _step("down", Gemm(tokens, ffn, hidden), ("active", "weights.down"), "out"),
        _step("down_reduce", all_reduce(mapping, tokens * hidden, "x"), ("out",), "out"),
        *(add_bias(mapping, "ffn", "down_bias", tokens, hidden, "out") if bias else []),
        residual(mapping, "ffn", tokens, "out")]


def feed_forward_tiles(mapping: Mapping, w: LayerWeights, where: str) -> Values:
    """Weights of the block; ``where`` names the layer in errors.

    ``weights.gate_up`` (hidden, 2 ffn) goes from y to x and ``weights.down`` (ffn, hidden) back; ``weights.gate_up_bias``
    (1, 2 ffn) lies along x, ``weights.down_bias`` (1, hidden) along y.
    """
    cutter = TileCutter(mapping, where)
    hidden, ffn = mapping.index_y(mapping.config.hidden), mapping.index_x(mapping.config.ffn)
    tiles = {"weights.gate_up": cutter.matrix([w.gate, w.up], hidden, [ffn, ffn]),
             "weights.down": cutter.matrix([w.down], ffn, [hidden], transposed=True)}
    if w.gate_bias is not None:
        tiles["weights.gate_up_bias"] = cutter.along_x([w.gate_bias, w.up_bias], [ffn, ffn])[:, :, None]
    if w.down_bias is not None:
        tiles["weights.down_bias"] = cutter.along_y(w.down_bias, hidden)[:, :, None]
    return tiles
