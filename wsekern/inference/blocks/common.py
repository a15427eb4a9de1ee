"""Steps that parts share: reductions, norms, biases, the residual sum."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from wsekern.formulas import largest, opaque
from wsekern.inference.grid import Grid
from wsekern.inference.steps import LayerStep, Steps, Values, join, repeat, split
from wsekern.inference.weights import TileCutter
from wsekern.ops import AllReduce, Local
from wsekern.ops.lines.levels import Groups
from wsekern.ops.local.rows import Form
from wsekern.workload.decoder import Norm

PLACES = "table.places"
"""Name of what a layer norm of the residual stream reads: :func:`places_y`."""


def all_reduce(mapping: Grid, elements: int, axis: str, op: str = "sum", segment: int = 0,
               precision: str | None = None) -> AllReduce:
    """All-reduce in two levels with about as many groups as members, which minimises the stages P / 2g + g / 2, or in the
    levels that are quickest."""
    line = segment or (mapping.height if axis == "y" else mapping.width)
    programs: dict[str, Callable[[int], Groups]] = {"root": root_groups, "odd": odd_groups, "quickest": lambda _: "quickest"}
    groups = programs[mapping.programs.groups](line)
    return AllReduce(elements, axis, groups=groups, op=op, segment=segment, precision=precision)


def feed_sum(mapping: Grid, elements: int) -> AllReduce:
    """The all-reduce over x of what feed-forward parts make: of each side, where they lie on both sides of mixers."""
    return all_reduce(mapping, elements, "x", segment=one_side(mapping) if mapping.columns == "feeds" else 0)


def added_once(mapping: Grid, tile: np.ndarray) -> np.ndarray:
    """A ``tile`` (height, width, ...) that is added to what feed-forward parts make: before :func:`feed_sum` where they lie on
    both sides of mixers, and so on the first column alone."""
    if mapping.columns != "feeds":
        return tile
    found = np.zeros_like(tile)
    found[:, :1] = tile[:, :1]
    return found


def one_side(mapping: Grid) -> int:
    """Columns of feed-forward parts on the left of mixers, of ``mapping`` that are such columns: half of them or a few more, so
    that no copy of a router lies on both sides."""
    copy = columns_of_copy(mapping) if mapping.config.mixtures else 1
    return copy * -(-mapping.width // (2 * copy))


def columns_of_copy(mapping: Grid) -> int:
    """Columns that hold a whole router together: the fewest with which there are no more copies than asked for (two at least,
    on columns on both sides of mixers) and the last block, of what is left, has at least half as many."""
    copies = mapping.programs.router_copies
    copies = largest(2, copies) if mapping.columns == "feeds" else copies
    return _evenly_cut(mapping.width, -(-mapping.width // copies))


@opaque
def _evenly_cut(width: int, fewest: int) -> int:
    """The fewest columns from ``fewest`` on of which ``width`` are a multiple, or half of one or more above it."""
    return next(columns for columns in range(fewest, width + 1) if 2 * (width % columns or columns) >= columns)


@opaque
def root_groups(line: int) -> int:
    """The number of groups nearest to the root of ``line`` PEs."""
    return max(1, round(math.sqrt(line)))


@opaque
def odd_groups(line: int) -> int:
    """The odd number of groups that is nearest to the root of ``line`` PEs: the middle of the middle group, where all sums meet
    and results set out, is the middle of the line then. One group where others would have fewer than three PEs."""
    return 2 * round((math.sqrt(line) - 1) / 2) + 1 if line >= 7 else 1


def norm_form(mapping: Grid) -> Form:
    """Form of what a norm computes: that of other functions, or of library calls where no norm is folded either."""
    return mapping.form if mapping.programs.norms == "folded" else "scalar"


@dataclass(frozen=True)
class NormRows:
    """A norm of ``rows`` rows, whose ``n`` elements on a PE are part of ``size`` in all, by the names of what it reads.

    ``gain``: its gain (n,), ones where it has none; ``bias``: (1, n), read where it has one; ``places``: 1 where the row has an
    element and 0 where it is padded, read by a layer norm.
    """

    mapping: Grid
    norm: Norm
    label: str
    rows: int
    n: int
    size: int
    gain: str
    bias: str = ""
    places: str = PLACES
    axis: str = "y"
    segment: int = 0
    """PEs of a line that share a row; 0: all."""
    name: str = "norm"

    @property
    def _line(self) -> int:
        return self.segment or (self.mapping.height if self.axis == "y" else self.mapping.width)

    @property
    def _form(self) -> Form:
        """Of its sums and roots."""
        return norm_form(self.mapping)

    def own(self, kind: str, x: str, sums: str, step: str) -> LayerStep:
        """``sums`` (rows,): of the elements on each PE, or of their squares."""
        return LayerStep(self.label, f"{self.name}_{step}", Local(kind, self.n, self.rows, form=self._form), (x,), sums)

    def _summed(self, kind: str, x: str, sums: str, step: str) -> Steps:
        """``sums`` (rows,): of the elements of all PEs, or of their squares."""
        work: Steps = [self.own(kind, x, sums, step)]
        if self.segment and self._line == 1:
            return work
        reduce = all_reduce(self.mapping, self.rows, self.axis, segment=self.segment, precision="fp32")
        name = f"{self.name}_reduce" if step == "squares" else f"{self.name}_{step}_reduce"
        return [*work, LayerStep(self.label, name, reduce, (sums,), sums)]

    def steps(self, x: str, output: str, squares: str = "squares") -> Steps:
        """``output`` of ``x``, both (rows, n): a layer norm takes off the mean first."""
        step, steps = partial(LayerStep, self.label), []
        if self.norm.kind == "layer":
            center = Local("rowsub", self.n, self.rows, divisor=self.size)
            steps = [*self._summed("rowsum", x, "sums", "mean"),
                     step(f"{self.name}_center", center, (x, "sums", self.places), output)]
            x = output
        return [*steps, *self._summed("sumsq", x, squares, "squares"), *self.scaled(x, output, squares)]

    def scaled(self, x: str, output: str, squares: str) -> Steps:
        """``output`` of ``x`` (of a layer norm, without its mean), once the sums of all PEs are known."""
        step = partial(LayerStep, self.label)
        scale = Local("rownorm", self.n, self.rows, divisor=self.size, eps=self.norm.eps, form=self._form)
        steps: Steps = [step(f"{self.name}_scale", scale, (x, squares, self.gain), output)]
        if self.norm.bias:
            steps += [repeat(self.bias, "bias", 0, self.rows),
                      step(f"{self.name}_bias", Local("add", self.n, self.rows, form=self.mapping.form), (output, "bias"),
                           output)]
        return steps


def sums_together(norms: Mapping[str, NormRows]) -> Steps:
    """``<x>_squares`` (rows,) of every value ``x`` of ``norms``, which lie on the same PEs, in one reduction."""
    one, names = next(iter(norms.values())), [f"{x}_squares" for x in norms]
    sizes = [norm.rows for norm in norms.values()]
    steps: Steps = [norm.own("sumsq", x, name, "squares") for (x, norm), name in zip(norms.items(), names, strict=True)]
    if one.segment == 1:
        return steps
    reduce = all_reduce(one.mapping, sum(sizes), one.axis, segment=one.segment, precision="fp32")
    return [*steps, join(names, "squares", 0), LayerStep(one.label, "norms_reduce", reduce, ("squares",), "squares"),
            split("squares", names, sizes, 0)]


def norm_steps(mapping: Grid, norm: Norm, part: str, tokens: int, gain: str, x: str = "x", output: str = "h") -> Steps:
    """``output`` = the norm of ``x`` (tokens, hidden), with ``gain`` (hidden) and, where there is one, ``<gain>_bias``."""
    rows = NormRows(mapping, norm, part, tokens, mapping.hidden, mapping.config.hidden, gain, f"{gain}_bias")
    return rows.steps(x, output)


def norm_tiles(cutter: TileCutter, norm: Norm, weights: Mapping[str, np.ndarray], name: str, title: str) -> Values:
    """Gain (hidden) and bias (1, hidden) of a norm of the residual stream along y, as ``title``: ones where it has no gain."""
    size = cutter.mapping.config.hidden
    index = cutter.mapping.index_y(size)
    tiles = {title: cutter.along_y(weights[name] if norm.gain else np.ones(size, np.float32), index)}
    if norm.bias:
        tiles[f"{title}_bias"] = cutter.along_y(weights[f"{name}_bias"], index)[:, :, None]
    return tiles


def places_y(mapping: Grid) -> np.ndarray:
    """1 where a PE has an element of the residual stream, 0 where it is padded: (height, width, hidden)."""
    size = mapping.config.hidden
    return TileCutter(mapping, "places").along_y(np.ones(size, np.float32), mapping.index_y(size))


def add_bias(mapping: Grid, part: str, name: str, tokens: int, elements: int, x: str, where: str = "weights") -> Steps:
    """``x`` (tokens, elements) plus ``<where>.<name>`` (1, elements)."""
    return [repeat(f"{where}.{name}", "bias", 0, tokens),
            LayerStep(part, name, Local("add", elements, tokens, form=mapping.form), (x, "bias"), x)]


def add(mapping: Grid, part: str, name: str, tokens: int, x: str, output: str) -> LayerStep:
    """``x`` = ``x`` + ``output``, both (tokens, hidden)."""
    return LayerStep(part, name, Local("add", mapping.hidden, tokens, form=mapping.form), (x, output), x)
