"""Layers in halves: mixers on some columns of PEs, feed-forward parts on others on both sides of them.

Programs of one half leave PEs more memory than those of both, and each half gets a width that its own matrices fill. Rows are
the same, so that the residual stream is cut alike. In every layer it leaves the mixers over both borders and goes over half of
the other columns each way; each side sums what its columns make of it, and both sums come back over the borders and are added
over the columns of mixers. The half that does not have the stream waits.
"""

from dataclasses import replace
from functools import lru_cache
from typing import TypeVar

from wsekern.inference.grid import Grid
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Block, Mixture

AnyGrid = TypeVar("AnyGrid", bound=Grid)


def mixer_half(block: Block) -> Block:
    """What of a layer lies on the columns of mixers: the norm behind the feed-forward part too, whose sums come there."""
    return replace(block, feed=None, before_feed=None)


def feed_half(block: Block) -> Block:
    """What lies on the columns of feed-forward parts."""
    return replace(block, mixer=None, beside=None, before_mixer=None, after_mixer=None, after_feed=None, extra=0)


def has_halves(config: ModelConfig) -> bool:
    """Whether every layer is a mixer and, behind it, a feed-forward part, in which nothing but its output is summed along x."""
    return all(block.mixers and block.feed and not (block.parallel or block.repeats or block.scaled)
               and not (isinstance(block.feed, Mixture) and block.feed.latent) for block, _ in config.kinds)


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
    return replace(grid, config=mixers_alone(grid.config), feed_width=0, columns="mixers")


def feed_columns(grid: AnyGrid) -> AnyGrid:
    """Those of feed-forward parts."""
    return replace(grid, config=feeds_alone(grid.config), width=grid.feed_width, feed_width=0, columns="feeds",
                   with_head=False)
