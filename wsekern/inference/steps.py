"""What a forward pass is made of, as data: a list of steps over named values.

A :class:`LayerStep` is one operation of the mesh, with the names of the values that it reads and of those that it makes. A
:class:`View` cuts, joins or reorders values inside every PE: it sends nothing and takes no time. One list is executed
(:mod:`wsekern.inference.wafer`), timed without values (:mod:`wsekern.inference.step_times`) and printed
(:func:`describe_steps`).

Every value is a tile on each PE, (height, width, ...tile). Names with a dot are given to a list: ``weights.*`` of the layer,
``model.*`` outside the layers, ``cache.*`` what the layer keeps between tokens (given and left), ``table.*`` what the host
computes for the tokens of a pass. ``x`` is the residual stream, given and left. All other names live inside their list.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from wsekern.errors import InputError, SimulationError
from wsekern.number_formats import widen
from wsekern.ops import FlowEngine, Operation
from wsekern.ops.repeated import Repeated, common

Values = dict[str, np.ndarray | Repeated]
"""Named values: tiles (height, width, ...tile) in the engine's number format; ``table.positions`` is (tokens,) int."""


@dataclass(frozen=True)
class LayerStep:
    """One operation of the mesh and the part of the model that it belongs to.

    ``output``: the name of what it makes, or the names of several results. A step without inputs only takes time: what it moves
    inside the PEs is said by the views before it.
    """

    part: str
    name: str
    operation: Operation
    inputs: tuple[str, ...] = ()
    output: str | tuple[str, ...] = ""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names that the step makes."""
        return self.output if isinstance(self.output, tuple) else (self.output,) if self.output else ()

    def time(self, engine: FlowEngine) -> None:
        """Move the clocks of ``engine`` on by this step, without values."""
        engine.time(self.operation)

    def run(self, engine: FlowEngine, values: Values) -> None:
        """Run this step on ``values``, to which its result is added; the clocks of ``engine`` move on."""
        if not (self.inputs and engine.values_take_time):
            self.time(engine)
        self.compute(engine, values)

    def compute(self, engine: FlowEngine, values: Values) -> None:
        """Add the result of this step to ``values``; clocks move only where the engine moves them with values."""
        if self.inputs:
            made = engine.values(self.operation, *(Repeated.of(values[name]) for name in self.inputs))
            values.update(zip(self.outputs, made if isinstance(made, tuple) else (made,), strict=True))


@dataclass(frozen=True)
class View:
    """Values seen otherwise by every PE: nothing is sent and nothing takes time.

    ``kind`` is a key of :data:`VIEWS`. ``axis`` counts the axes of a tile, behind (height, width).
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    axis: int = 0
    sizes: tuple[int, ...] = ()
    factor: float = 1.0

    @property
    def name(self) -> str:
        """What a listing shows."""
        return self.kind

    def time(self, engine: FlowEngine) -> None:
        """A view takes no time."""

    def run(self, values: Values) -> None:
        """Add the outputs to ``values``."""
        if self.kind not in _OF_EACH_TILE:
            made = VIEWS[self.kind](self, *(_full(values[name]) for name in self.inputs))
            return values.update(zip(self.outputs, made, strict=True))
        if len(self.inputs) == 1:
            tile = Repeated.of(values[self.inputs[0]])
            return values.update(zip(self.outputs, map(tile.with_tiles, VIEWS[self.kind](self, tile.tiles)), strict=True))
        tiles = [Repeated.of(values[name]) for name in self.inputs]
        held = common(tiles)
        made = VIEWS[self.kind](self, *(tile.at(*held) for tile in tiles))
        for name, found in zip(self.outputs, made, strict=True):
            values[name] = Repeated(found, tiles[0].height, tiles[0].width, *held)


Steps = list[LayerStep | View]


# -- the views, a closed set -------------------------------------------------------------------------------------------
def split(x: str, outputs: Sequence[str], sizes: Sequence[int], axis: int) -> View:
    """``x`` cut along ``axis`` into pieces of ``sizes``."""
    return View("split", (x,), tuple(outputs), axis, tuple(sizes))


def join(inputs: Sequence[str], output: str, axis: int) -> View:
    """``inputs`` one behind the other along ``axis``."""
    return View("join", tuple(inputs), (output,), axis)


def pick(x: str, outputs: Sequence[str], axis: int, indexes: Sequence[int]) -> View:
    """The slices of ``x`` at ``indexes`` of ``axis``, which they lose."""
    return View("pick", (x,), tuple(outputs), axis, tuple(indexes))


def stack(inputs: Sequence[str], output: str, axis: int) -> View:
    """``inputs`` side by side along a new axis: undoes :func:`pick`."""
    return View("stack", tuple(inputs), (output,), axis)


def reshape(x: str, *sizes: int, output: str | None = None) -> View:
    """The elements of ``x`` in the same order as a tile of ``sizes``."""
    return View("reshape", (x,), (output or x,), 0, sizes)


def swap(x: str, axis: int) -> View:
    """``x`` with ``axis`` and the next one swapped."""
    return View("swap", (x,), (x,), axis)


def repeat(x: str, output: str, axis: int, count: int) -> View:
    """``x``, which has one element along ``axis``, seen ``count`` times."""
    return View("repeat", (x,), (output,), axis, (count,))


def first(x: str, output: str, axis: int, count: int) -> View:
    """The first ``count`` elements of ``x`` along ``axis``."""
    return View("first", (x,), (output,), axis, (count,))


def window(x: str, output: str, axis: int, start: int, count: int) -> View:
    """``count`` elements of ``x`` along ``axis`` from ``start`` on."""
    return View("window", (x,), (output,), axis, (start, count))


def last(x: str, output: str, axis: int) -> View:
    """The last element of ``x`` along ``axis``, which stays with size 1."""
    return View("last", (x,), (output,), axis)


def append(cache: str, x: str, blocks: int = 1, columns: int = 1) -> View:
    """``cache`` (heads, slots, features) with the tokens of ``x`` (tokens, heads, features) put into it.

    The token of position t of the sequence goes to the PEs of row t mod height: its round is t // height. Of ``blocks`` blocks
    of ``columns`` columns each, round mod blocks has it, in slot round // blocks, counted modulo the slots that there are.
    The step that follows takes the time of the move inside the PEs.
    """
    return View("append", (cache, x, "table.positions"), (cache,), sizes=(blocks, columns))


def take(x: str, places: str, output: str, axis: int) -> View:
    """The elements of ``x`` along ``axis`` that lie at ``places``, numbers that differ from PE to PE; 0 where one is -1.

    ``places`` is (height, width, n), or with ``axis`` axes of ``x`` before the last one, where they differ along those too.
    """
    return View("take", (x, places), (output,), axis)


def share(x: str, output: str, size: int, axis: str, segment: int = 0) -> View:
    """``output`` (size,): of the elements of ``x`` in order, which are alike along ``axis``, those of the PE's own place on its
    line, or on its ``segment`` of the line: the first ``size`` of the first PE, and so on; 0 where there are no more."""
    return View("share", (x,), (output,), 0 if axis == "y" else 1, (size, segment))


def find(x: str, largest: str, output: str) -> View:
    """``output`` (rows,) int: where in ``x`` (rows, n) the first element equal to ``largest`` (rows,) stands; in ``x`` it
    becomes minus infinity. The step that follows takes the time."""
    return View("find", (x, largest), (output, x))


def keep(x: str, places: Sequence[str]) -> View:
    """``x`` (rows, n, ...) with minus infinity in all of its n but those that ``places`` (rows,) name."""
    return View("keep", (x, *places), (x,))


def near(x: str, scores: str, largest: str, output: str, factor: float) -> View:
    """``output``: ``x`` (rows, n), scores that are left, with minus infinity for those further below ``largest`` (rows,) than
    ``factor`` times the larger of it and of the score without sign. The steps that follow take the time."""
    return View("near", (x, scores, largest), (output,), factor=factor)


def deal(chosen: str, slots: str, own: str, ranks: str, tokens: int, load: int, blocks: int) -> View:
    """Of ``chosen`` (tokens * chosen) numbers of experts, those that lie where a PE does: as ``slots`` (experts) counts them in
    ``own`` (tokens * load), and by their places among those of the token in ``ranks`` (tokens, load); behind them -1. Expert e
    lies on block e mod ``blocks``, and no block has more than ``load`` of those of a token. The steps that follow take the
    time."""
    return View("deal", (chosen, slots), (own, ranks), sizes=(tokens, load, blocks))


def as_bits(numbers: str, like: str, output: str) -> View:
    """Whole ``numbers`` below 2^15 as bits of elements, of the type of ``like``: to be sent with others."""
    return View("as_bits", (numbers, like), (output,))


def as_numbers(bits: str, output: str) -> View:
    """The numbers of :func:`as_bits`."""
    return View("as_numbers", (bits,), (output,))


def timed_only(kind: str, inputs: Sequence[str], outputs: Sequence[str]) -> View:
    """What the steps behind it need and nothing computes yet: a list with it has a time but no values."""
    return View(kind, tuple(inputs), tuple(outputs))


def _along(axis: int, index: int | slice) -> tuple[int | slice, ...]:
    return (*(slice(None),) * (2 + axis), index)


def _split(view: View, x: np.ndarray) -> list[np.ndarray]:
    return np.split(x, np.cumsum(view.sizes)[:-1], axis=2 + view.axis)


def _join(view: View, *tiles: np.ndarray) -> list[np.ndarray]:
    return [np.concatenate(tiles, axis=2 + view.axis)]


def _pick(view: View, x: np.ndarray) -> list[np.ndarray]:
    return [x[_along(view.axis, index)] for index in view.sizes]


def _stack(view: View, *tiles: np.ndarray) -> list[np.ndarray]:
    return [np.stack(tiles, axis=2 + view.axis) if len(tiles) > 1 else np.expand_dims(tiles[0], 2 + view.axis)]


def _reshape(view: View, x: np.ndarray) -> list[np.ndarray]:
    return [x.reshape(*x.shape[:2], *view.sizes)]


def _swap(view: View, x: np.ndarray) -> list[np.ndarray]:
    return [x.swapaxes(2 + view.axis, 3 + view.axis)]


def _repeat(view: View, x: np.ndarray) -> list[np.ndarray]:
    axis = 2 + view.axis
    return [np.broadcast_to(x, (*x.shape[:axis], *view.sizes, *x.shape[axis + 1:]))]


def _first(view: View, x: np.ndarray) -> list[np.ndarray]:
    return [x[_along(view.axis, slice(*view.sizes))]]


def _window(view: View, x: np.ndarray) -> list[np.ndarray]:
    start, count = view.sizes
    return [x[_along(view.axis, slice(start, start + count))]]


def _last(view: View, x: np.ndarray) -> list[np.ndarray]:
    return [x[_along(view.axis, slice(-1, None))]]


def _append(view: View, cache: np.ndarray, x: np.ndarray, positions: np.ndarray) -> list[np.ndarray]:
    blocks, columns = view.sizes
    block_of = np.arange(cache.shape[1]) // columns % blocks
    for token, position in enumerate(positions):
        turn, row = divmod(int(position), len(cache))
        slot, own = turn // blocks % cache.shape[3], block_of == turn % blocks if blocks > 1 else slice(None)
        cache[row, own, :, slot] = x[row, own, :][:, token]
    return [cache]


def _round(view: View, x: np.ndarray) -> list[np.ndarray]:
    start, stop = view.sizes
    size = x.shape[2 + view.axis]
    if start // size == (stop - 1) // size:
        return [x[_along(view.axis, slice(start % size, (stop - 1) % size + 1))]]
    return [np.take(x, np.arange(start, stop) % size, axis=2 + view.axis)]


def _take(view: View, x: np.ndarray, places: np.ndarray) -> list[np.ndarray]:
    axis, before = 2 + view.axis, places.ndim - 1
    mesh = np.ogrid[tuple(slice(size) for size in x.shape[:before])]
    mesh = [part[..., None] for part in mesh]
    if before < axis:
        taken = np.moveaxis(np.moveaxis(x, axis, 2)[*mesh, places], 2, axis)
        shape = (*places.shape[:2], *(1,) * view.axis, places.shape[-1])
    else:
        taken, shape = x[*mesh, places], places.shape
    if (places < 0).any():
        there = (places >= 0).reshape(*shape, *(1,) * (x.ndim - axis - 1))
        taken = np.where(there, taken, taken.dtype.type(0))
    return [taken]


def _share(view: View, x: np.ndarray) -> list[np.ndarray]:
    line, (size, segment) = x.shape[view.axis], view.sizes
    first = np.arange(line) % (segment or line) * size
    flat = x.reshape(*x.shape[:2], -1)
    flat = np.pad(flat, ((0, 0), (0, 0), (0, max(0, int(first.max()) + size - flat.shape[2]))))
    places = np.expand_dims(first[:, None] + np.arange(size), 1 - view.axis)
    return [np.take_along_axis(flat, np.broadcast_to(places, (*x.shape[:2], size)), axis=2)]


def _find(view: View, x: np.ndarray, largest: np.ndarray) -> list[np.ndarray]:
    places = (x == largest.reshape(*x.shape[:-1], 1)).argmax(axis=-1)
    rest = x.copy()
    np.put_along_axis(rest, places[..., None], _minus_infinity(x.dtype), axis=-1)
    return [places, rest]


def _keep(view: View, x: np.ndarray, *places: np.ndarray) -> list[np.ndarray]:
    kept = np.zeros(x.shape[:4], bool)
    for place in places:
        np.put_along_axis(kept, place[..., None], True, axis=-1)
    return [np.where(kept.reshape(*kept.shape, *(1,) * (x.ndim - 4)), x, _minus_infinity(x.dtype))]


def _near(view: View, x: np.ndarray, scores: np.ndarray, largest: np.ndarray) -> list[np.ndarray]:
    precision = "bf16" if x.dtype == np.uint16 else "fp32"
    left, sizes, best = (widen(values, precision) for values in (x, scores, largest.reshape(*x.shape[:-1], 1)))
    there = best - left <= np.float32(view.factor) * np.maximum(np.abs(sizes), best)
    return [np.where(there, x, _minus_infinity(x.dtype))]


def _deal(view: View, chosen: np.ndarray, slots: np.ndarray) -> list[np.ndarray]:
    tokens, load, _ = view.sizes
    down, across = chosen.shape[:2]
    places = np.take_along_axis(slots, chosen, axis=2).reshape(down, across, tokens, -1)
    order = np.argsort(places < 0, axis=3, kind="stable")           # its own ones first, as they were chosen
    found = np.take_along_axis(places, order, axis=3)
    if (found[..., load:] >= 0).any():
        raise SimulationError(f"more than {load} experts of a token lie on one block, for which these steps are not listed")
    return [found[..., :load].reshape(down, across, -1), np.where(found >= 0, order, -1)[..., :load]]


def _as_bits(view: View, numbers: np.ndarray, like: np.ndarray) -> list[np.ndarray]:
    return [numbers.astype(f"i{like.itemsize}").view(like.dtype)]


def _as_numbers(view: View, bits: np.ndarray) -> list[np.ndarray]:
    return [np.ascontiguousarray(bits).view(f"i{bits.itemsize}").astype(np.int64)]


def _minus_infinity(type: np.dtype) -> np.generic:
    """In the type that stores tiles; 16 whole bits are those of a bf16 number."""
    return np.uint16(0xFF80) if type == np.uint16 else type.type(-np.inf)


VIEWS: dict[str, Callable[..., list[np.ndarray]]] = {
    "split": _split, "join": _join, "pick": _pick, "stack": _stack, "reshape": _reshape, "swap": _swap, "repeat": _repeat,
    "first": _first, "window": _window, "last": _last, "append": _append, "round": _round, "take": _take,
    "find": _find, "keep": _keep, "near": _near, "share": _share, "deal": _deal, "as_bits": _as_bits, "as_numbers": _as_numbers,
}
"""Kind of view -> the function of its tiles. Only ``append`` writes, into the cache."""

TIMED_ONLY = {"recurrence": "the values of its recurrent layers"}
"""What a list may name but nothing computes yet -> what it would give."""

_OF_EACH_TILE = {"split", "join", "pick", "stack", "reshape", "swap", "repeat", "first", "window", "last", "round", "take",
                 "find", "keep", "near", "deal", "as_bits", "as_numbers"}
"""Views that do the same on every PE, and so once for PEs that hold the same."""


def _full(value: np.ndarray | Repeated) -> np.ndarray:
    """What all PEs hold; as it is where nothing was said about it."""
    return value.full() if isinstance(value, Repeated) else value


# -- whole lists -------------------------------------------------------------------------------------------------------
def refuse_timed_only(steps: Steps, model: str) -> None:
    """Raise :class:`InputError` if ``steps`` of ``model`` have a time but no values."""
    for step in steps:
        if step.name in TIMED_ONLY:
            raise InputError(f"{model} cannot be executed yet: its steps have a time, but none gives {TIMED_ONLY[step.name]}")


Uses = list[tuple[LayerStep | View, tuple[str, ...]]]
"""Steps, each with the names of the values that can be dropped behind it."""


def last_uses(steps: Steps, kept: Iterable[str]) -> Uses:
    """Each step with the names that nothing behind it reads and that are not ``kept``: their values can be dropped."""
    live, plan = set(kept), []
    for step in reversed(steps):
        names = dict.fromkeys((*step.inputs, *step.outputs))
        plan.append((step, tuple(name for name in names if name not in live)))
        live = live - set(step.outputs) | set(step.inputs)
    return plan[::-1]


@dataclass(frozen=True)
class Pair:
    """A step and the one that follows, which alone reads what it makes."""

    first: LayerStep
    then: LayerStep

    def compute(self, engine: FlowEngine, values: Values) -> None:
        """Add the result of the second step to ``values``; no clock moves."""
        tiles = (Repeated.of(values[name]) for name in self.first.inputs)
        values[self.then.outputs[0]] = engine.values_of(self.first.operation, self.then.operation, *tiles)


def paired(uses: Uses) -> list[tuple[LayerStep | View | Pair, tuple[str, ...]]]:
    """The steps of :func:`last_uses`, each two that make a pair as one."""
    found: list[tuple[LayerStep | View | Pair, tuple[str, ...]]] = []
    for step, unused in uses:
        if found and isinstance(step, LayerStep) and len(step.outputs) == 1:
            before, earlier = found[-1]
            made = before.outputs if isinstance(before, LayerStep) else ()
            if len(made) == 1 and before.inputs and step.inputs == made and made[0] in (*step.outputs, *unused):
                names = {*earlier} - {*step.outputs} | {*unused} - ({*made} - {*step.outputs})
                found[-1] = Pair(before, step), tuple(names)
                continue
        found.append((step, unused))
    return found


def describe_steps(steps: Steps) -> str:
    """A line for each step: its part, its name, inputs -> output, its operation. Views have no part.

    >>> from wsekern.inference.outer import head_steps
    >>> from wsekern.inference.mapping import Mapping
    >>> from wsekern.workload import load_config
    >>> print(describe_steps(head_steps(Mapping(load_config("llama3-8b"), 64, 64))))  # doctest: +ELLIPSIS
          last           x -> x                       axis 0
    head  norm_squares   x -> squares                 sumsq of 1 rows of 64
    head  norm_reduce    squares -> squares           AllReduce(...)
    head  norm_scale     x, squares, model.norm -> h  rownorm of 1 rows of 64
    head  logits         h, model.head -> logits      Gemm(m=1, k=64, n=2004)
    head  logits_reduce  logits -> logits             AllReduce(...)
    """
    rows = [_describe(step) for step in steps]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def _describe(step: LayerStep | View) -> tuple[str, str, str, str]:
    names = f"{', '.join(step.inputs)} -> {', '.join(step.outputs)}".strip()
    if isinstance(step, LayerStep):
        return step.part, step.name, names.removesuffix("->").strip(), str(step.operation)
    if step.kind in ("append", "find", "keep", "near", "deal", "as_bits", "as_numbers", *TIMED_ONLY):
        return "", step.kind, names, ""
    sizes = [str(size) for size in step.sizes]
    return "", step.kind, names, "x".join(sizes) if step.kind == "reshape" else " ".join(["axis", str(step.axis), *sizes])
