"""Layers in halves: mixers on some columns of PEs, feed-forward parts on others beside them.

Programs of one half leave PEs more memory than those of both, and each half gets a width that its own matrices fill. Rows are
the same, so that the residual stream is cut alike: it leaves the last of its columns and goes over those of the other half,
twice in every layer. The half that does not have it waits.
"""

from dataclasses import replace
from functools import lru_cache
from typing import TypeVar

from wsekern.inference.grid import Grid
from wsekern.inference.steps import LayerStep, Steps, reshape
from wsekern.ops import Broadcast
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Block

AnyGrid = TypeVar("AnyGrid", bound=Grid)
ARRIVED = "arrived"
"""The residual stream (tokens x hidden) as the border column of the other half has it."""


def mixer_half(block: Block) -> Block:
    """What of a layer lies on the columns of mixers."""
    return replace(block, feed=None, before_feed=None, after_feed=None, scaled=False)


def feed_half(block: Block) -> Block:
    """What lies on the columns of feed-forward parts."""
    return replace(block, mixer=None, beside=None, before_mixer=None, after_mixer=None, extra=0)


def has_halves(config: ModelConfig) -> bool:
    """Whether every layer is a mixer and, behind it, a feed-forward part."""
    return all(block.mixers and block.feed and not block.parallel and not block.repeats for block, _ in config.kinds)


@lru_cache(maxsize=1024)
def mixers_alone(config: ModelConfig) -> ModelConfig:
    """The first halves of all layers."""
    return replace(config, blocks=tuple(map(mixer_half, config.blocks)))


@lru_cache(maxsize=1024)
def feeds_alone(config: ModelConfig) -> ModelConfig:
    """The second halves."""
    return replace(config, blocks=tuple(map(feed_half, config.blocks)))


def mixer_columns(grid: AnyGrid) -> AnyGrid:
    """The columns of mixers (and of embedding and head, where these lie there) as a grid of their own."""
    return replace(grid, config=mixers_alone(grid.config), feed_width=0)


def feed_columns(grid: AnyGrid) -> AnyGrid:
    """Those of feed-forward parts."""
    return replace(grid, config=feeds_alone(grid.config), width=grid.feed_width, feed_width=0, with_head=False)


def arriving_steps(grid: Grid, tokens: int) -> Steps:
    """``x`` (tokens, hidden) on all columns of ``grid`` from :data:`ARRIVED`, which its first column has. (To mixers it comes
    from the other side, which takes as long.)"""
    spread = Broadcast(tokens * grid.hidden, "x")
    return [LayerStep("handover", "to the other half", spread, (ARRIVED,), "x"), reshape("x", tokens, grid.hidden)]
