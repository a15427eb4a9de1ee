"""Regions of the embedding and the LM head, whole or of a share of the vocabulary."""

from dataclasses import replace
from functools import lru_cache

from wsekern.inference.mapping import Mapping
from wsekern.inference.programs import PLAIN, Programs
from wsekern.ops.local.rows import Form
from wsekern.workload.config import ModelConfig


def head_region(config: ModelConfig, width: int, height: int, precision: str, programs: Programs = PLAIN,
                activations: Form | None = None, weight_precision: str = "") -> Mapping:
    """A region of the embedding and the LM head."""
    return Mapping(config, width, height, precision, context=1, layers=0, programs=of_no_layer(programs),
                   activations=activations, weight_precision=weight_precision)


@lru_cache(maxsize=256)
def of_no_layer(programs: Programs) -> Programs:
    """``programs`` with nothing that layers alone have: heads that differ in that are the same."""
    layers = ("position_blocks", "expert_blocks", "router_copies", "router", "shares", "biases")
    plain = {name: getattr(PLAIN, name) for name in layers}
    return replace(programs, **plain)


@lru_cache(maxsize=1024)
def with_share(config: ModelConfig, wafers: int) -> ModelConfig:
    """``config`` with the tokens of the vocabulary that each of ``wafers`` wafers has, the last one fewer."""
    return config if wafers == 1 else replace(config, vocab=-(-config.vocab // wafers))
