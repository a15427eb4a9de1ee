"""The steps of a forward pass, in order, with their sizes: executed with values or for their time alone.

A chunk of ``tokens`` (one in decode) passes through every layer; weights stay where they are. Operations follow the
published wafer decode (WaferLLM, OSDI'25: ten all-reduces per layer, axes alternating), with real heads, grouped
queries, a causal mask and a cache that grows.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from wsekern.inference.blocks.common import PLACES, add, norm_steps, norm_tiles, places_y
from wsekern.inference.blocks.part import BlockWeights, PartOnGrid
from wsekern.inference.blocks.registry import feed_on_grid, mixers_on_grid
from wsekern.inference.grid import Grid
from wsekern.inference.packed import packed_steps
from wsekern.inference.packed_cache import packed_cache_steps
from wsekern.inference.steps import LayerStep, Steps, Values, repeat, reshape
from wsekern.inference.weights import TileCutter
from wsekern.number_formats import NUMPY_DTYPES
from wsekern.ops import Local
from wsekern.workload.decoder import Block, Norm

NORMS = ("before_mixer", "after_mixer", "before_feed", "after_feed")
"""Norms of a block, by the names that its description and its weights have."""


def parts_on_grid(mapping: Grid, block: Block) -> list[PartOnGrid[Any]]:
    """All parts of ``block``."""
    feed = feed_on_grid(mapping, block)
    return [*mixers_on_grid(mapping, block), *([feed] if feed else [])]


def layer_steps(mapping: Grid, block: Block, tokens: int, slots: int) -> Steps:
    """One layer for a chunk of ``tokens`` while every row keeps ``slots`` positions of the cache.

    It takes ``x`` (tokens, hidden) along y, and leaves it.
    """
    mixers, feed = mixers_on_grid(mapping, block), feed_on_grid(mapping, block)
    steps: Steps = []
    if mixers:
        steps += [*_normed(mapping, block.before_mixer, "before_mixer", mixers[0].label, tokens),
                  *_mixed(mapping, mixers, tokens, slots), *_after(mapping, block, "after_mixer", mixers[0].label, tokens)]
        steps.append(reshape("out", tokens, mapping.hidden, output="mixed") if block.parallel else
                     add(mapping, mixers[0].label, "residual", tokens, "x", "out"))
        steps += _behind_sum(mapping, block, "after_mixer", mixers[0].label, tokens)
    if feed:
        if block.before_feed or not (block.parallel and mixers):
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
    parts = [*mixers, *([feed] if feed else [])]
    if mapping.packs_cache:
        caches = {name: sizes for part in parts for name, sizes in part.packed_cache().items()}
        steps = packed_cache_steps(caches, tokens, steps)
    matrices = {part.named(name): sizes for part in parts for name, sizes in part.matrices().items()}
    return packed_steps(mapping, matrices, steps)


def _normed(mapping: Grid, norm: Norm | None, name: str, label: str, tokens: int) -> Steps:
    """``h``: what a part reads."""
    if norm is None:
        return [reshape("x", tokens, mapping.hidden, output="h")]
    return norm_steps(mapping, norm, label, tokens, f"weights.{name}")


def _mixed(mapping: Grid, mixers: Sequence[PartOnGrid[Any]], tokens: int, slots: int) -> Steps:
    """``out``: the outputs of all mixers, summed."""
    steps = mixers[0].steps(tokens, slots)
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
    """The weights of layer ``index`` on the grid, by the names that its steps read; norms (hidden) lie along y."""
    where = f"layer {index}"
    cutter = TileCutter(mapping, where)
    tiles: Values = {}
    for name in NORMS:
        norm: Norm | None = getattr(block, name)
        tiles |= norm_tiles(cutter, norm, weights, name, f"weights.{name}") if norm else {}
    if block.scaled:
        size = mapping.config.hidden
        everywhere = np.full(size, weights["scalar"][0], np.float32)
        tiles["weights.scalar"] = cutter.along_y(everywhere, mapping.index_y(size))[:, :, None]
    for part in parts_on_grid(mapping, block):
        tiles |= part.tiles(weights, where)
    return tiles


def layer_cache(mapping: Grid, block: Block) -> dict[str, tuple[int, ...]]:
    """What a layer keeps between tokens: name -> shape of its tile."""
    return {name: shape for part in parts_on_grid(mapping, block) for name, shape in part.cache().items()}


def empty_cache(mapping: Grid, block: Block) -> Values:
    """The cache of a layer before the first token: zeros."""
    found: Values = {}
    for part in parts_on_grid(mapping, block):
        packed = part.packed_cache() if mapping.packs_cache else {}
        for name, shape in part.cache().items():
            tile = (*shape[:-1], shape[-1] // 2) if name in packed else shape
            dtype = np.uint16 if name in packed else NUMPY_DTYPES[part.cache_precision(name)]
            found[name] = _zeros((mapping.height, mapping.width, *tile), dtype, part.cache_order(name))
    return found


def _zeros(shape: tuple[int, ...], dtype: type, order: tuple[int, ...]) -> np.ndarray:
    """Zeros of ``shape``, its axes in memory in ``order``."""
    order = order or tuple(range(len(shape)))
    return np.zeros([shape[axis] for axis in order], dtype).transpose(np.argsort(order))


def _centers(norm: Norm | None) -> bool:
    return norm is not None and norm.kind == "layer"


def layer_tables(mapping: Grid, block: Block, start: int, tokens: int, slots: int) -> Values:
    """What the host computes for a layer and ``tokens`` tokens from position ``start`` on."""
    tables: Values = {PLACES: places_y(mapping)} if any(_centers(getattr(block, name)) for name in NORMS) else {}
    for part in parts_on_grid(mapping, block):
        tables |= part.tables(start, tokens, slots)
    return tables


