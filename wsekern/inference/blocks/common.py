"""Steps that parts share: reductions, norms, biases, the residual sum."""

import math
from functools import partial

from wsekern.inference.grid import Grid
from wsekern.inference.steps import LayerStep, Steps, repeat
from wsekern.ops import AllReduce, Local
from wsekern.workload.decoder import Norm


def all_reduce(mapping: Grid, elements: int, axis: str, op: str = "sum", segment: int = 0,
               precision: str | None = None) -> AllReduce:
    """Two-level all-reduce with about as many groups as members, which minimises the stages P / 2g + g / 2."""
    line = segment or (mapping.height if axis == "y" else mapping.width)
    return AllReduce(elements, axis, groups=max(1, round(math.sqrt(line))), op=op, segment=segment, precision=precision)


def norm_steps(mapping: Grid, norm: Norm, part: str, tokens: int, gain: str, x: str = "x", output: str = "h") -> Steps:
    """``output`` = ``x`` (tokens, hidden) divided by its root mean square, times ``gain`` (hidden)."""
    step, size = partial(LayerStep, part), mapping.config.hidden
    return [step("norm_squares", Local("sumsq", mapping.hidden, tokens), (x,), "squares"),
            step("norm_reduce", all_reduce(mapping, tokens, "y", precision="fp32"), ("squares",), "squares"),
            step("norm_scale", Local("rownorm", mapping.hidden, tokens, divisor=size, eps=norm.eps), (x, "squares", gain),
                 output)]


def add_bias(mapping: Grid, part: str, name: str, tokens: int, elements: int, x: str) -> Steps:
    """``x`` (tokens, elements) plus ``weights.<name>`` (1, elements)."""
    return [repeat(f"weights.{name}", "bias", 0, tokens),
            LayerStep(part, name, Local("add", elements, tokens, form=mapping.form), (x, "bias"), x)]


def add(mapping: Grid, part: str, name: str, tokens: int, x: str, output: str) -> LayerStep:
    """``x`` = ``x`` + ``output``, both (tokens, hidden)."""
    return LayerStep(part, name, Local("add", mapping.hidden, tokens, form=mapping.form), (x, output), x)
