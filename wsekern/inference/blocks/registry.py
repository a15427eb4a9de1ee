"""Which class places which part of a description: a line for each. What is not here cannot be placed on a wafer."""

from collections.abc import Callable
from typing import Any

from wsekern.errors import InputError
from wsekern.inference.blocks.attention import AttentionOnGrid
from wsekern.inference.blocks.experts import MixtureOnGrid
from wsekern.inference.blocks.feed_forward import FeedForwardOnGrid
from wsekern.inference.blocks.folding import folded
from wsekern.inference.blocks.indexer import IndexedOnGrid
from wsekern.inference.blocks.latent import LatentOnGrid
from wsekern.inference.blocks.part import PartOnGrid
from wsekern.inference.blocks.recurrent_timed import recurrent_on_grid
from wsekern.inference.grid import Grid
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Attention, Block, FeedForward, LatentAttention, Mixture, Norm, Recurrent

ON_GRID: dict[type, Callable[..., PartOnGrid[Any]]] = {
    Attention: AttentionOnGrid,
    LatentAttention: LatentOnGrid,
    FeedForward: FeedForwardOnGrid,
    Mixture: MixtureOnGrid,
    Recurrent: recurrent_on_grid,
}
"""Class of the description -> its class on a grid, or what makes it."""

BESIDE = "beside."
"""Stands before the names of a second mixer's weights."""


def mixers_on_grid(mapping: Grid, block: Block) -> list[PartOnGrid[Any]]:
    """The mixer of ``block`` and what runs beside it; :class:`InputError` names a part that has no steps yet."""
    prefixes = ("", BESIDE) if block.mixer is not None else (BESIDE,)
    norms = (folded(mapping, block.before_mixer), None)     # the second one reads what the first one had scaled
    return [_on_grid(mapping, *named) for named in zip(block.mixers, prefixes, norms, strict=False)]


def feed_on_grid(mapping: Grid, block: Block) -> PartOnGrid[Any] | None:
    """The feed-forward part of ``block``."""
    return None if block.feed is None else _on_grid(mapping, block.feed, "", folded(mapping, block.before_feed))


def _on_grid(mapping: Grid, part: Any, prefix: str, norm: Norm | None) -> PartOnGrid[Any]:
    made = IndexedOnGrid if getattr(part, "indexer", None) else ON_GRID[type(part)]
    placed = made(mapping, part, prefix, norm)
    missing = placed.missing()
    if missing:
        raise _refusal(mapping.config, missing)
    return placed


def _refusal(config: ModelConfig, what: str) -> InputError:
    return InputError(f"{config.name}: a model with {what} cannot be mapped onto a wafer yet; expected grouped-query attention "
                      "(Llama, Qwen, Mistral, Mixtral, gpt-oss, ...)")
