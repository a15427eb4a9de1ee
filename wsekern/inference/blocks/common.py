"""Steps that blocks share: reductions, norms, biases, the residual sum."""

import math
from functools import partial

from wsekern.inference.mapping import Mapping
from wsekern.inference.steps import LayerStep, Steps, repeat
from wsekern.ops import AllReduce, Local


def all_reduce(mapping: Mapping, elements: int, axis: str, op: str = "sum", segment: int = 0,
               precision: str | None = None) -> AllReduce:
    """Two-level all-reduce with about as many groups as members, which minimises the stages P / 2g + g / 2."""
    line = segment or (mapping.height if axis == "y" else mapping.width)
    return AllReduce(elements, axis, groups=max(1, round(math.sqrt(line))), op=op, segment=segment, precision=precision)


def rms_norm(mapping: Mapping, part: str, tokens: int, gain: str) -> Steps:
    """``h`` = ``x`` (tokens, hidden) divided by its root mean square, times ``gain`` (hidden)."""
    step, size = partial(LayerStep, part), mapping.config.hidden
    return [step("norm_squares", Local("sumsq", mapping.hidden, tokens), ("x",), "squares"),
            step("norm_reduce", all_reduce(mapping, tokens, "y", precision="fp32"), ("squares",), "squares"),
            step("norm_scale", Local("rownorm", mapping.hidden, tokens, divisor=size, eps=mapping.config.rms_eps),
                 ("x", "squares", gain), "h")]


def add_bias(mapping: Mapping, part: str, name: str, tokens: int, elements: int, x: str) -> Steps:
    """``x`` (tokens, elements) plus ``weights.<name>`` (1, elements)."""
    return [repeat(f"weights.{name}", "bias", 0, tokens),
            LayerStep(part, name, Local("add", elements, tokens, form=mapping.form), (x, "bias"), x)]


def residual(mapping: Mapping, part: str, tokens: int, output: str) -> LayerStep:
    """``x`` = ``x`` + ``output``, both (tokens, hidden)."""
    return LayerStep(part, "residual", Local("add", mapping.hidden, tokens, form=mapping.form), ("x", output), "x")
