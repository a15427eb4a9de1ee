"""Architectures laid out in a way of their own: what to make of their keys before, instead of or after the common reading."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Block, Norm
from wsekern.workload.parsing.families import Family
from wsekern.workload.parsing.hybrid import falcon_h1, nemotron_h, recurrent_gemma, rwkv, states_only, zamba2
from wsekern.workload.parsing.keys import Keys
from wsekern.workload.parsing.own_dense import (
    falcon,
    gemma_3n,
    gemma_3n_blocks,
    gemma_3n_outer,
    gemma_4_blocks,
    gemma_4_outer,
    gpt_2_blocks,
    gpt_neo_blocks,
    hyperclovax,
    lfm_2,
    minicpm_blocks,
    minicpm_outer,
    mpt,
    nemotron_nas_blocks,
    olmo_hybrid_blocks,
    olmo_hybrid_sizes,
    parallel_by_key,
)
from wsekern.workload.parsing.own_mixture import (
    afmoe,
    dbrx,
    deepseek_v4_blocks,
    deepseek_v4_outer,
    jetmoe_blocks,
    jetmoe_heads,
    kimi_3_blocks,
    laguna_blocks,
    llama_4_blocks,
    longcat_blocks,
    mimo_v2,
    mimo_v2_blocks,
    minimax_m3,
    minimax_m3_blocks,
    step_3,
    step_3_blocks,
)

Prepare = Callable[[Family, Keys], tuple[Family, Keys]]
Blocks = Callable[[Keys, Family, int, Norm], list[Block]]
Change = Callable[[Keys, Family, int, Norm, list[Block]], list[Block]]
Outer = Callable[[Keys, ModelConfig], ModelConfig]


@dataclass(frozen=True, kw_only=True)
class Reader:
    """``prepare`` changes family and keys first; ``blocks`` reads the layers; ``change`` changes them; ``outer`` the rest."""

    prepare: Prepare | None = None
    blocks: Blocks | None = None
    change: Change | None = None
    outer: Outer | None = None


def before_reading(family: Family, keys: Keys) -> tuple[Family, Keys]:
    """The family and the keys as the common reading takes them."""
    reader = READERS.get(family.reader)
    if family.recurrent == "mamba2" and keys.names("position_embedding_type") == ["rope"]:
        family = replace(family, rotates=True)
    return reader.prepare(family, keys) if reader and reader.prepare else (family, keys)


READERS: dict[str, Reader] = {
    "parallel_key": Reader(prepare=parallel_by_key), "falcon": Reader(prepare=falcon), "mpt": Reader(prepare=mpt),
    "dbrx": Reader(prepare=dbrx), "hyperclovax": Reader(prepare=hyperclovax), "afmoe": Reader(prepare=afmoe),
    "gpt2": Reader(change=gpt_2_blocks), "gpt_neo": Reader(change=gpt_neo_blocks), "llama4": Reader(change=llama_4_blocks),
    "gemma3n": Reader(prepare=gemma_3n, change=gemma_3n_blocks, outer=gemma_3n_outer),
    "gemma4": Reader(blocks=gemma_4_blocks, outer=gemma_4_outer),
    "minimax_m3": Reader(prepare=minimax_m3, change=minimax_m3_blocks),
    "mimo_v2": Reader(prepare=mimo_v2, change=mimo_v2_blocks), "step3": Reader(prepare=step_3, change=step_3_blocks),
    "laguna": Reader(change=laguna_blocks), "lfm2": Reader(prepare=lfm_2),
    "jetmoe": Reader(prepare=jetmoe_heads, change=jetmoe_blocks),
    "olmo_hybrid": Reader(prepare=olmo_hybrid_sizes, change=olmo_hybrid_blocks),
    "minicpm3": Reader(change=minicpm_blocks, outer=minicpm_outer), "kimi_k3": Reader(change=kimi_3_blocks),
    "longcat": Reader(blocks=longcat_blocks), "nemotron_nas": Reader(blocks=nemotron_nas_blocks),
    "deepseek_v4": Reader(blocks=deepseek_v4_blocks, outer=deepseek_v4_outer),
    "nemotron_h": Reader(blocks=nemotron_h), "zamba2": Reader(blocks=zamba2), "falcon_h1": Reader(change=falcon_h1),
    "states_only": Reader(blocks=states_only), "recurrent_gemma": Reader(blocks=recurrent_gemma), "rwkv": Reader(blocks=rwkv),
}
