"""The steps of a forward pass, in order, with their sizes: executed with values or for their time alone.

A chunk of ``tokens`` (one in decode) passes through every layer; weights stay where they are. Operations follow the
published wafer decode (WaferLLM, OSDI'25: ten all-reduces per layer, axes alternating), with real heads, grouped
queries, a causal mask and a cache that grows.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from wsekern.errors import InputError
from wsekern.inference.blocks.common import PLACES, add, all_reduce, norm_steps, norm_tiles, one_side, places_y
from wsekern.inference.blocks.experts import MixtureOnGrid
from wsekern.inference.blocks.folding import folded, gain_in_rows, gain_tile, scaled, unscaled_steps, with_gain
from wsekern.inference.blocks.part import BlockWeights, PartOnGrid
from wsekern.inference.blocks.registry import feed_on_grid, mixers_on_grid
from wsekern.inference.formats import CLASSES, formats_of
from wsekern.inference.grid import Grid
from wsekern.inference.halves import feed_columns, feed_half, mixer_columns, mixer_half
from wsekern.inference.packed import packed_steps
from wsekern.inference.packed_cache import packed_cache_steps
from wsekern.inference.steps import LayerStep, Steps, Values, repeat, reshape
from wsekern.inference.weights import TileCutter
from wsekern.number_formats import NUMPY_DTYPES, narrow
from wsekern.ops import BatchedGemv, Broadcast, Local, Operation
from wsekern.ops.local.gemm import LocalProduct
from wsekern.ops.local.packed import PackedProduct
from wsekern.workload.decoder import Block, Mixture, Norm

ELSEWHERE = "wafer."
"""What names of tiles on other wafers begin with."""

ARRIVED = "arrived"
"""What comes over the border from the other half of a layer: (tokens x hidden) on the columns next to it, else zeros."""

FEEDS = "feeds."
"""What names of tiles on columns for feed-forward parts begin with."""

WORDS = "bf16"
"""A number format whose elements are stored as words of 16 bits, as packed ones are."""

NORMS = ("before_mixer", "after_mixer", "before_feed", "after_feed")
"""Norms of a block, by the names that its description and its weights have."""


def parts_on_grid(mapping: Grid, block: Block) -> list[PartOnGrid[Any]]:
    """All parts of ``block``."""
    feed = feed_on_grid(mapping, block)
    return [*mixers_on_grid(mapping, block), *([feed] if feed else [])]


def check_formats(grid: Grid) -> None:
    """Refuse a ``weight_precision`` that names a class of matrices of which the model has none."""
    if "=" not in grid.weight_precision:
        return
    named = [name for block, _ in grid.config.kinds for part in parts_on_grid(grid, block) for name in part.matrices()]
    there = {CLASSES[name] for name in named if name in CLASSES} | {"head"}
    missing = sorted(set(formats_of(grid.weight_precision, grid.precision)) - there)
    if missing:
        raise InputError(f"weight_precision is {grid.weight_precision!r}, but {grid.config.name} has no matrices of "
                         f"{' and '.join(missing)} that can lie packed: it has those of {', '.join(sorted(there))}")


def layer_steps(mapping: Grid, block: Block, tokens: int, slots: int) -> Steps:
    """One layer for a chunk of ``tokens`` while every row keeps ``slots`` positions of the cache.

    It takes ``x`` (tokens, hidden) along y, and leaves it.
    """
    mixers, feed = mixers_on_grid(mapping, block), feed_on_grid(mapping, block)
    before, behind = _around(mapping, block, tokens, mixers, feed, slots)
    within = _mixed(mapping, block, mixers, tokens, slots) if mixers else []
    return _as_kept(mapping, [*mixers, *([feed] if feed else [])], tokens, [*before, *within, *behind])


def mixer_steps(mapping: Grid, block: Block, tokens: int, slots: int) -> Steps:
    """Those of :func:`layer_steps` whose sizes depend on how much lies in the cache."""
    mixers = mixers_on_grid(mapping, block)
    return _as_kept(mapping, mixers, tokens, _mixed(mapping, block, mixers, tokens, slots)) if mixers else []


def other_steps(mapping: Grid, block: Block, tokens: int) -> Steps:
    """All others, whatever lies in the cache."""
    mixers, feed = mixers_on_grid(mapping, block), feed_on_grid(mapping, block)
    before, behind = _around(mapping, block, tokens, mixers, feed, 1)
    return _as_kept(mapping, [feed] if feed else [], tokens, [*before, *behind])


def _around(mapping: Grid, block: Block, tokens: int, mixers: Sequence[PartOnGrid[Any]], feed: PartOnGrid[Any] | None,
            slots: int) -> tuple[Steps, Steps]:
    """What comes before the mixers and behind them, the feed-forward part among it."""
    before, steps = Steps(), Steps()
    if mixers:
        before += _normed(mapping, block.before_mixer, "before_mixer", mixers[0].label, tokens)
        steps += _after(mapping, block, "after_mixer", mixers[0].label, tokens)
        steps.append(reshape("out", tokens, mapping.hidden, output="mixed") if block.parallel else
                     add(mapping, mixers[0].label, "residual", tokens, "x", "out"))
        steps += _behind_sum(mapping, block, "after_mixer", mixers[0].label, tokens)
    if feed and mapping.columns == "feeds":
        steps += [*_normed(mapping, block.before_feed, "before_feed", feed.label, tokens), *feed.steps(tokens, slots)]
    elif feed:
        if not _feed_reads_mixers(block):
            steps += _normed(mapping, block.before_feed, "before_feed", feed.label, tokens)
        steps += [*feed.steps(tokens, slots), *_after(mapping, block, "after_feed", feed.label, tokens)]
        if block.parallel and mixers:
            steps.append(add(mapping, mixers[0].label, "residual", tokens, "x", "mixed"))
        steps.append(add(mapping, feed.label, "residual", tokens, "x", "out"))
        steps += _behind_sum(mapping, block, "after_feed", feed.label, tokens)
    if block.scaled:
        steps += [repeat("weights.scalar", "scalar", 0, tokens),
                  LayerStep((feed or mixers[0]).label, "scalar", Local("mul", mapping.hidden, tokens, form=mapping.form),
                            ("x", "scalar"), "x")]
    return before, steps


def _as_kept(mapping: Grid, parts: Sequence[PartOnGrid[Any]], tokens: int, steps: Steps) -> Steps:
    """``steps`` of ``tokens`` tokens with caches and products of the matrices of ``parts`` as they are kept."""
    if mapping.packs_cache:
        caches = {name: sizes for part in parts for name, sizes in part.packed_cache().items()}
        steps = packed_cache_steps(caches, tokens, steps)
    matrices = {part.named(name): sizes for part in parts for name, sizes in part.matrices().items()}
    return _rows_together(mapping, packed_steps(mapping, matrices, steps))


def _rows_together(mapping: Grid, steps: Steps) -> Steps:
    """``steps`` with instructions that take several rows and inputs, where the programs of ``mapping`` say so: of products, and
    of sums and maxima of rows."""
    if mapping.programs.products == "rows":
        return steps
    found: Steps = []
    for step in steps:
        other = _together(step.operation) if isinstance(step, LayerStep) else None
        changed = isinstance(step, LayerStep) and other is not None and other is not step.operation
        found.append(LayerStep(step.part, step.name, other, step.inputs, step.output) if changed else step)
    return found


def _together(operation: Operation) -> Operation:
    if isinstance(operation, LocalProduct | BatchedGemv | PackedProduct):
        return replace(operation, together=True)
    by_rows = isinstance(operation, Local) and operation.form == "scalar" and operation.kind in ("rowsum", "sumsq", "rowmax")
    return replace(operation, form="vector") if by_rows else operation


def arriving_steps(mapping: Grid, block: Block, tokens: int) -> Steps:
    """Of a layer in halves: ``x`` (tokens, hidden) on all columns of feed-forward parts from :data:`ARRIVED`, as the column
    next to the border has it, or ``x`` of mixers behind the feed-forward part, of both sides' sums. The hop over the border is
    the first of a way that begins there."""
    n = tokens * mapping.hidden
    if mapping.columns == "feeds":
        return [LayerStep("handover", "to both sides", Broadcast(n, "x", one_side(mapping)), (ARRIVED,), "x"),
                reshape("x", tokens, mapping.hidden)]
    return [LayerStep("ffn", "sum of both sides", all_reduce(mapping, n, "x"), (ARRIVED,), "out"),
            reshape("out", tokens, mapping.hidden), *_after(mapping, block, "after_feed", "ffn", tokens),
            add(mapping, "ffn", "residual", tokens, "x", "out"), *_behind_sum(mapping, block, "after_feed", "ffn", tokens)]


def expected_load(mapping: Grid, block: Block, tokens: int) -> float:
    """Experts on the fullest block of lines, the most of ``tokens`` tokens, as the mapping says, or as its law expects; 0 where
    time depends on no choice."""
    feed = feed_on_grid(mapping, block)
    if not isinstance(feed, MixtureOnGrid) or not feed.dealt:
        return 0
    return mapping.expert_load or feed.fullest(tokens)


def expert_loads(mapping: Grid, block: Block, tokens: int) -> tuple[tuple[int, float], ...]:
    """The whole numbers beside :func:`expected_load`, for which the steps of a layer can be listed, each with its share of the
    time."""
    whole, more = divmod(expected_load(mapping, block, tokens), 1)
    return ((int(whole), 1 - more), (int(whole) + 1, more)) if more else ((int(whole), 1.0),)


def _normed(mapping: Grid, norm: Norm | None, name: str, label: str, tokens: int) -> Steps:
    """``h``: what a part reads."""
    if norm is None:
        return [reshape("x", tokens, mapping.hidden, output="h")]
    if folded(mapping, norm):
        return unscaled_steps(mapping, label, tokens, "" if gain_in_rows(mapping) else f"weights.{name}")
    return norm_steps(mapping, norm, label, tokens, f"weights.{name}")


def _feed_reads_mixers(block: Block) -> bool:
    """Whether the feed-forward part reads the norm that the mixers read."""
    return block.parallel and block.before_feed is None and bool(block.mixers)


def _mixed(mapping: Grid, block: Block, mixers: Sequence[PartOnGrid[Any]], tokens: int, slots: int) -> Steps:
    """``out``: the outputs of all mixers, summed. ``h`` is normed behind the first one where others read it too."""
    steps, norm = mixers[0].steps(tokens, slots), mixers[0].folded
    if norm is not None and (mixers[1:] or _feed_reads_mixers(block)):
        steps.append(scaled(mapping, norm, mixers[0].label, tokens, mapping.hidden, "h"))
    for mixer in mixers[1:]:
        steps += [reshape("out", tokens, mapping.hidden, output="first"), *mixer.steps(tokens, slots),
                  add(mapping, mixer.label, "beside", tokens, "out", "first")]
    return steps


def _after(mapping: Grid, block: Block, name: str, label: str, tokens: int) -> Steps:
    """``out`` as it is added to ``x``: normed, and multiplied."""
    norm: Norm | None = None if block.behind_sum else getattr(block, name)
    steps = norm_steps(mapping, norm, label, tokens, f"weights.{name}", "out", "out") if norm else []
    if block.residual != 1.0:
        scale = Local("scale", mapping.hidden, tokens, factor=block.residual)
        steps.append(LayerStep(label, "multiplier", scale, ("out",), "out"))
    return steps


def _behind_sum(mapping: Grid, block: Block, name: str, label: str, tokens: int) -> Steps:
    """``x``: the norm of the sum, where it stands there."""
    norm: Norm | None = getattr(block, name)
    if not block.behind_sum or norm is None:
        return []
    return norm_steps(mapping, norm, label, tokens, f"weights.{name}", "x", "x")


def layer_tiles(mapping: Grid, block: Block, weights: BlockWeights, index: int) -> Values:
    """The weights of layer ``index`` on the grid, by the names that its steps read; norms (hidden) lie along y. Those on other
    wafers follow, each name behind :data:`ELSEWHERE` and the number of its wafer, or those on other columns, behind
    :data:`FEEDS`."""
    if mapping.feed_width:
        beside = layer_tiles(feed_columns(mapping), feed_half(block), weights, index)
        return layer_tiles(mixer_columns(mapping), mixer_half(block), weights, index) | {
            f"{FEEDS}{name}": tile for name, tile in beside.items()}
    where = f"layer {index}"
    cutter = TileCutter(mapping, where)
    tiles: Values = {}
    for name in NORMS:
        norm: Norm | None = getattr(block, name)
        if name.startswith("before") and folded(mapping, norm):
            gain = weights[name] if norm.gain else None
            if gain_in_rows(mapping):
                weights = with_gain(weights, _readers(mapping, block, name), gain)
            else:
                tiles |= gain_tile(cutter, gain, f"weights.{name}")
        elif norm:
            tiles |= norm_tiles(cutter, norm, weights, name, f"weights.{name}")
    if block.scaled:
        size = mapping.config.hidden
        everywhere = np.full(size, weights["scalar"][0], np.float32)
        tiles["weights.scalar"] = cutter.along_y(everywhere, mapping.index_y(size))[:, :, None]
    for part in parts_on_grid(mapping, block):
        tiles |= part.tiles(weights, where)
    for wafer, feed in experts_elsewhere(mapping, block):
        tiles |= {f"{ELSEWHERE}{wafer}.{name}": tile for name, tile in feed.tiles(weights, where).items()}
    return tiles


def experts_elsewhere(mapping: Grid, block: Block) -> list[tuple[int, MixtureOnGrid]]:
    """(wafer, what lies there) of a layer's experts on other wafers than the first."""
    if not isinstance(block.feed, Mixture):
        return []
    return [(wafer, MixtureOnGrid(replace(mapping, expert_wafer=wafer), block.feed))
            for wafer in range(1, mapping.expert_wafers)]


def steps_elsewhere(mapping: Grid, block: Block, tokens: int) -> list[tuple[int, Steps]]:
    """(wafer, its steps) of a layer's experts on other wafers than the first."""
    return [(wafer, _as_kept(mapping, [feed], tokens, feed.steps(tokens, 1)))
            for wafer, feed in experts_elsewhere(mapping, block)]


def _readers(mapping: Grid, block: Block, name: str) -> list[str]:
    """Names of the matrices of a block that read the norm ``name``."""
    feed = feed_on_grid(mapping, block)
    feeds = [feed] if feed and (name == "before_feed" or _feed_reads_mixers(block)) else []
    parts = feeds if name == "before_feed" else [*mixers_on_grid(mapping, block), *feeds]
    return [part.prefix + reader for part in parts for reader in part.readers]


def layer_cache(mapping: Grid, block: Block) -> dict[str, tuple[int, ...]]:
    """What a layer keeps between tokens: name -> shape of its tile."""
    return {name: shape for part in parts_on_grid(mapping, block) for name, shape in part.cache().items()}


def empty_cache(mapping: Grid, block: Block) -> Values:
    """The cache of a layer before the first token: zeros, where a part says no other number."""
    found: Values = {}
    for part in parts_on_grid(mapping, block):
        packed = part.packed_cache() if part.packs_cache else {}
        for name, shape in part.cache().items():
            tile, precision = ((*shape[:-1], shape[-1] // 2), WORDS) if name in packed else \
                (shape, part.cache_precision(name))
            found[name] = _filled(part.cache_start(name), precision, (mapping.height, mapping.width, *tile),
                                  part.cache_order(name))
    return found


def _filled(start: float, precision: str, shape: tuple[int, ...], order: tuple[int, ...]) -> np.ndarray:
    """An array of ``shape`` full of ``start``, its axes in memory in ``order``."""
    order = order or tuple(range(len(shape)))
    number = narrow(np.full(1, start, np.float32), precision, "cache")[0]
    sizes = [shape[axis] for axis in order]
    made = np.full(sizes, number) if start else np.zeros(sizes, NUMPY_DTYPES[precision])   # zeros take no memory yet
    return made.transpose(np.argsort(order))


def _centers(norm: Norm | None) -> bool:
    return norm is not None and norm.kind == "layer"


def layer_tables(mapping: Grid, block: Block, start: int, tokens: int, slots: int) -> Values:
    """What the host computes for a layer and ``tokens`` tokens from position ``start`` on."""
    tables: Values = {PLACES: places_y(mapping)} if any(_centers(getattr(block, name)) for name in NORMS) else {}
    for part in parts_on_grid(mapping, block):
        tables |= part.tables(start, tokens, slots)
    return tables


