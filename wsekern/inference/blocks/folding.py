"""Norms folded into the products behind them (``programs.norms``): a root-mean-square norm needs no reduction of its own.

The norm of x is x times its gain times one number of the row. The gain is multiplied into the rows of the matrices that read
it, in float32, before these are rounded (where matrices are kept in fewer bits, or are read by others too, x is multiplied by
it instead); products take x as it is; the sum of squares rides in the reduction of the first product, as its tail; and behind
that, every PE multiplies what it has by the number. Other products that read the same take x times the number.

Products of x itself are as many times larger than those of its norm as x is, and fp16 ends at 65,504: gains are divided by
:data:`HEADROOM`, a power of two, by which nothing is rounded, and the number is multiplied by it.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from wsekern.inference.blocks.common import all_reduce, norm_form
from wsekern.inference.blocks.part import BlockWeights
from wsekern.inference.grid import Grid
from wsekern.inference.steps import LayerStep, Steps, Values, join, repeat, reshape, split
from wsekern.inference.weights import TileCutter
from wsekern.ops import Gemm, Local
from wsekern.workload.decoder import Norm

HEADROOM = 8.0
"""What products of x are made smaller by. fp16 has 16 powers of two above 1 and 14 below, sums of products reach over a hundred
times their root mean square, and residual streams go from a hundredth to hundreds: their middle lies 8 times too high."""
SQUARES = "h_squares"
"""Name of the sum of squares of what a norm reads, (tokens,) in fp32."""


def folded(mapping: Grid, norm: Norm | None) -> Norm | None:
    """``norm`` if it is folded into the products that read it."""
    if norm is None or mapping.programs.norms != "folded" or norm.kind != "rms" or norm.bias:
        return None
    return norm


def folding_assumptions(mapping: Grid) -> list[str]:
    """What folded norms take for granted, a sentence."""
    before = [norm for block, _ in mapping.config.kinds for norm in (block.before_mixer, block.before_feed)]
    if not any(folded(mapping, norm) for norm in (*before, mapping.config.final_norm)):
        return []
    limits = ", which must stay below 65,504 in fp16" if mapping.precision.startswith("fp16") else ""
    return [f"root-mean-square norms are factors of the products behind them: these are of the residual stream itself over "
            f"{HEADROOM:.0f}{limits}"]


def gain_in_rows(mapping: Grid) -> bool:
    """Whether gains are multiplied into matrices: not where these are kept in fewer bits, which would round them anew."""
    return mapping.weight_precision in ("", mapping.precision)


def with_gain(weights: BlockWeights, readers: Iterable[str], gain: np.ndarray | None) -> BlockWeights:
    """``weights`` (inputs, outputs) with the rows of ``readers`` times a ``gain`` (inputs,), over :data:`HEADROOM`."""
    factor = np.float32(1 / HEADROOM) if gain is None else (gain / np.float32(HEADROOM))[:, None]
    return weights | {name: weights[name] * factor for name in readers if weights.get(name) is not None}


def gain_tile(cutter: TileCutter, gain: np.ndarray | None, title: str) -> Values:
    """``title`` (hidden) along y: a gain (ones where there is none) over :data:`HEADROOM`."""
    size = cutter.mapping.config.hidden
    gain = np.ones(size, np.float32) if gain is None else gain
    return {title: cutter.along_y(gain / np.float32(HEADROOM), cutter.mapping.index_y(size))}


def unscaled_steps(mapping: Grid, label: str, tokens: int, gain: str = "") -> Steps:
    """``h`` = ``x`` (tokens, hidden), not normed yet; times the tile ``gain`` (hidden) where that is not in the matrices."""
    if not gain:
        return [reshape("x", tokens, mapping.hidden, output="h")]
    return [reshape(gain, 1, mapping.hidden, output="gain"), repeat("gain", "gain", 0, tokens),
            LayerStep(label, "norm_gain", Local("mul", mapping.hidden, tokens, form=mapping.form), ("x", "gain"), "h")]


def read_steps(mapping: Grid, label: str, name: str, tokens: int, n: int, weights: str, output: str,
               norm: Norm | None, with_input: bool = False) -> Steps:
    """``output`` (tokens, n): ``h`` (tokens, hidden) times ``weights``, summed along y. Where ``h`` still lacks ``norm``, the
    squares of ``x`` ride along, ``output`` is scaled, ``with_input`` ``h`` too, and :data:`SQUARES` stay for :func:`scaled`."""
    reduce, title = all_reduce(mapping, tokens * n, "y"), f"{name}_reduce"
    product = LayerStep(label, name, Gemm(tokens, mapping.hidden, n), ("h", weights), output)
    if norm is None:
        return [product, LayerStep(label, title, reduce, (output,), output)]
    both = (output, SQUARES)
    squares = Local("sumsq", mapping.hidden, tokens, form=norm_form(mapping))
    steps: Steps = [LayerStep(label, "norm_squares", squares, ("x",), SQUARES), product,
                    LayerStep(label, title, replace(reduce, tail=tokens), both, both)]
    if not with_input:
        return [*steps, scaled(mapping, norm, label, tokens, n, output)]
    names, sizes = (output, "h"), (n, mapping.hidden)
    return [*steps, join(names, "scaled", 1), scaled(mapping, norm, label, tokens, sum(sizes), "scaled"),
            split("scaled", names, sizes, 1)]


def scaled(mapping: Grid, norm: Norm, label: str, tokens: int, n: int, x: str) -> LayerStep:
    """``x`` (tokens, n), each row times what ``norm`` multiplies it by."""
    room = HEADROOM**2
    work = Local("rowscale", n, tokens, divisor=mapping.config.hidden * room, eps=norm.eps / room)
    return LayerStep(label, "norm_scale", work, (x, SQUARES), x)
