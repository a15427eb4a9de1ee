"""Latent attention on the wafer, in its absorbed form, against the plain one, on both engines."""

import dataclasses

import numpy as np
import pytest

from tests.inference.test_experts import WSE3, engines, run_chunks
from wsekern.errors import InputError
from wsekern.inference.blocks import latent_places
from wsekern.inference.blocks.latent import LatentOnGrid
from wsekern.inference.grid import Grid
from wsekern.inference.reference import Activations
from wsekern.inference.reference.latent import ReferenceLatentAttention
from wsekern.ops import FlowEngine
from wsekern.workload import uniform
from wsekern.workload.decoder import Indexer, LatentAttention, Norm, Rotary

HIDDEN = 14
PART = LatentAttention(heads=5, q_rank=9, kv_rank=10, nope_dim=6, rope_dim=4, value_dim=7, norm=Norm(eps=1e-6), scale=0.4,
                       rotary=Rotary(size=4, neighbors=True))
PARTS = {
    "deepseek": PART,
    "queries-not-compressed": dataclasses.replace(PART, q_rank=0),
    "halves": dataclasses.replace(PART, rotary=Rotary(size=4), scale=0.0),
    "biases": dataclasses.replace(PART, biases="qko"),
    "window": dataclasses.replace(PART, window=3, heads=2),
    "odd-rank": dataclasses.replace(PART, kv_rank=11, heads=3, q_rank=0, biases="qko"),
}


def random_weights(part: LatentAttention, hidden: int = HIDDEN, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights of latent attention, at random."""
    random, queries = np.random.default_rng(seed), part.heads * part.query_dim
    shapes = {"kv_a": (hidden, part.latent), "kv_a_norm": (part.kv_rank,), "o": (part.heads * part.value_dim, hidden),
              "kv_b": (part.kv_rank, part.heads * (part.nope_dim + part.value_dim))}
    shapes |= {"q_a": (hidden, part.q_rank), "q_a_norm": (part.q_rank,), "q_b": (part.q_rank, queries)} if part.q_rank else {
        "q": (hidden, queries)}
    if part.biases:
        shapes |= {"kv_a_bias": (part.latent,), "o_bias": (hidden,)}
        shapes |= {"q_a_bias": (part.q_rank,)} if part.q_rank else {"q_bias": (queries,)}
    return {name: random.standard_normal(shape).astype(np.float32) * np.float32(0.6) for name, shape in shapes.items()}


def placed_latent(part, width, height, precision) -> LatentOnGrid:
    model = uniform(layers=1, hidden=HIDDEN, heads=2, kv_heads=2, head_dim=4, ffn=8, vocab=16, max_context=64)
    return LatentOnGrid(Grid(model, width, height, precision, context=16), part)


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("grid", [(4, 4), (3, 5), (16, 11), (9, 2)])
def test_absorbed_attention_is_the_plain_one_on_both_engines(name, grid):
    part, weights = PARTS[name], random_weights(PARTS[name])
    h = np.random.default_rng(1).standard_normal((8, HIDDEN)).astype(np.float32)
    chunks = [h[:5], h[5:6], h[6:]]
    placed, (flow, cycle) = placed_latent(part, *grid, "fp32"), engines("fp32", *grid)
    found, plain = run_chunks(placed, weights, flow, chunks), ReferenceLatentAttention(part, Activations())
    expected = [plain.forward(chunk, weights, start) for chunk, start in zip(chunks, (0, 5, 6), strict=True)]
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-4, atol=1e-4)
    assert run_chunks(placed, weights, cycle, chunks).tobytes() == found.tobytes()
    if grid == (4, 4):
        np.testing.assert_array_equal(cycle.clock, flow.clock)
    assert abs(cycle.cycles - flow.cycles) <= 0.0025 * flow.cycles
    timed = FlowEngine(WSE3, *grid, profile="silicon", precision="fp32")
    for tokens, slots in ((5, -(-5 // grid[1])), (1, -(-6 // grid[1])), (2, -(-8 // grid[1]))):
        for step in placed.steps(tokens, slots):
            step.time(timed)
    np.testing.assert_array_equal(timed.clock, flow.clock)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("most", [1, 5, 12])
def test_heads_in_turns_attend_to_the_same(monkeypatch, most, precision):
    weights, h = random_weights(PART), np.random.default_rng(1).standard_normal((8, HIDDEN)).astype(np.float32)
    monkeypatch.setattr(latent_places, "MOST_SCORES", most)
    placed, (flow, cycle) = placed_latent(PART, 4, 4, precision), engines(precision, 4, 4)
    assert placed.turns == {1: 5, 5: 4, 12: 2}[most] and placed.heads // placed.turns == placed.scores // 4
    found = run_chunks(placed, weights, flow, [h[:5], h[5:]])
    assert run_chunks(placed, weights, cycle, [h[:5], h[5:]]).tobytes() == found.tobytes()
    np.testing.assert_array_equal(cycle.clock, flow.clock)
    expected = ReferenceLatentAttention(PART, Activations()).forward(h, weights, 0)
    assert np.abs(found - expected).max() < {"fp32": 1e-4, "fp16": 0.05, "bf16": 0.2}[precision] * np.abs(expected).max()


@pytest.mark.parametrize("precision", ["fp16", "fp16_fp32", "bf16"])
def test_small_floats_are_the_same_on_both_engines_and_stay_close(precision):
    weights = random_weights(PART)
    h = np.random.default_rng(1).standard_normal((8, HIDDEN)).astype(np.float32)
    placed, (flow, cycle) = placed_latent(PART, 4, 4, precision), engines(precision, 4, 4)
    found = run_chunks(placed, weights, flow, [h[:5], h[5:]])
    assert run_chunks(placed, weights, cycle, [h[:5], h[5:]]).tobytes() == found.tobytes()
    np.testing.assert_array_equal(cycle.clock, flow.clock)
    expected = ReferenceLatentAttention(PART, Activations()).forward(h, weights, 0)
    assert np.abs(found - expected).max() < (0.2 if precision == "bf16" else 0.05) * np.abs(expected).max()


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("grid", [(4, 4), (3, 5), (16, 11), (9, 2)])
def test_memory_is_what_the_fullest_pe_keeps(name, grid):
    part, placed = PARTS[name], placed_latent(PARTS[name], *grid, "fp32")
    weights = {key: np.abs(value) + 1 for key, value in random_weights(part).items()}
    tiles = {key: tile for key, tile in placed.tiles(weights, "").items() if not key.endswith("places")}
    assert placed.weights == sum(tile[0, 0].size for tile in tiles.values())
    assert placed.slot * placed.mapping.slots == sum(np.prod(shape) for shape in placed.cache().values())


def test_columns_beyond_one_cache_hold_copies_for_other_heads():
    one, three = (placed_latent(PART, width, 4, "fp32") for width in (7, 21))
    assert (one.copies, one.heads, one.features) == (1, 5, 2) and (three.copies, three.heads, three.features) == (3, 2, 2)
    assert three.weights < one.weights and three.slot == one.slot


def test_an_indexer_is_left_out_while_it_chooses_all_tokens():
    part, weights = dataclasses.replace(PART, indexer=Indexer(heads=2, head_dim=4, chosen=7)), random_weights(PART)
    h = np.random.default_rng(1).standard_normal((8, HIDDEN)).astype(np.float32)
    placed, plain = placed_latent(part, 4, 4, "fp32"), ReferenceLatentAttention(part, Activations())
    assert any("choose 7 of them, is left out" in line for line in placed.assumptions())
    found = run_chunks(placed, weights, engines("fp32", 4, 4)[0], [h[:5], h[5:7]])
    np.testing.assert_allclose(found, plain.forward(h[:7], weights, 0), rtol=1e-4, atol=1e-4)
    for refused in (lambda: plain.forward(h[7:], weights, 7), lambda: placed.tables(7, 1, 2)):
        with pytest.raises(InputError, match="8 tokens, of which an indexer chooses 7: the choice is not computed yet"):
            refused()
