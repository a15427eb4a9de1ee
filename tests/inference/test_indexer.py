"""Sparse indexers on the wafer: where chosen positions lie, and what a choice costs and saves."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import InputError
from wsekern.inference.blocks.indexer import fullest_row
from wsekern.inference.blocks.registry import mixers_on_grid
from wsekern.inference.mapping import Mapping
from wsekern.inference.step_times import time_steps
from wsekern.machine import load_machine
from wsekern.workload import load_config, uniform
from wsekern.workload.decoder import Indexer, LatentAttention, Norm

WSE3 = load_machine("wse3")
INDEXER = Indexer(heads=8, head_dim=16, chosen=64)
LATENT = LatentAttention(heads=8, q_rank=24, kv_rank=32, nope_dim=8, rope_dim=4, value_dim=8, norm=Norm())


def cycles(mixer, indexer, slots, tokens=1):
    config = uniform(layers=1, hidden=64, heads=8, kv_heads=2, head_dim=8, ffn=64, vocab=64, max_context=1 << 16)
    mixer = dataclasses.replace(mixer or config.blocks[0].mixer, indexer=indexer)
    block = dataclasses.replace(config.blocks[0], mixer=mixer)
    config = dataclasses.replace(config, blocks=(block,))
    mapping = Mapping(config, 40, 16, context=1 << 14)
    part, = mixers_on_grid(mapping, block)
    return time_steps(WSE3, mapping, part.steps(tokens, slots), "silicon").cycles, part


@settings(deadline=None)
@given(chosen=st.integers(1, 5000), slots=st.integers(1, 200), rows=st.integers(1, 200))
def test_the_fullest_row_holds_at_least_the_mean_and_no_more_than_it_has(chosen, slots, rows):
    found = fullest_row(chosen, slots, rows)
    assert min(chosen / rows, slots) <= found <= slots
    assert fullest_row(chosen + 1, slots, rows) >= found


def test_the_fullest_row_is_that_of_random_choices():
    random = np.random.default_rng(0)
    largest = [np.bincount(random.choice(64 * 100, 512, replace=False) % 64, minlength=64).max() for _ in range(300)]
    assert fullest_row(512, 100, 64) == pytest.approx(np.mean(largest), abs=1)


def test_a_choice_costs_little_where_all_is_read_and_saves_most_of_a_long_context():
    """DeepSeek-V3's attention on 700 x 700 PEs: up to ``chosen`` positions index keys alone are added; far beyond, a position
    more costs a fifth of what it does without a choice."""
    deepseek = load_config("deepseek-v3")
    block, indexer = deepseek.blocks[0], Indexer(heads=64, head_dim=128, chosen=2048, query_rank=1536)
    times = []
    for chosen in (None, indexer):
        indexed = dataclasses.replace(block, mixer=dataclasses.replace(block.mixer, indexer=chosen))
        mapping = Mapping(dataclasses.replace(deepseek, blocks=(indexed,)), 700, 700)
        part, = mixers_on_grid(mapping, indexed)
        times.append([time_steps(WSE3, mapping, part.steps(1, slots), "silicon").cycles for slots in (2, 200, 400)])
    plain, indexed = times
    assert plain[0] < indexed[0] < 1.2 * plain[0]
    assert indexed[1] < plain[1] / 2 and indexed[2] - indexed[1] < (plain[2] - plain[1]) / 5


def test_grouped_attention_has_an_indexer_too():
    assert 0 < cycles(None, None, 4)[0] < cycles(None, INDEXER, 4)[0] < cycles(None, INDEXER, 20)[0]


def test_index_keys_are_kept_beside_the_cache_and_the_choice_is_an_assumption():
    (_, plain), (_, indexed) = (cycles(LATENT, indexer, 8) for indexer in (None, INDEXER))
    assert indexed.slot == plain.slot + 1 and indexed.weights > plain.weights
    assert any("its best 64 are read" in line for line in indexed.assumptions())
    with pytest.raises(InputError, match="65 tokens, of which an indexer chooses 64"):
        indexed.tables(64, 1, 5)
