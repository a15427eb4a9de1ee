"""Mixtures of experts on the wafer against the plain reference, on both engines."""


import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inference.test_mapping import with_parts
from wsekern.errors import SimulationError
from wsekern.inference.blocks.expert_crossing import CROSSED, crossing_seconds, returned
from wsekern.inference.blocks.expert_places import ExpertPlaces
from wsekern.inference.blocks.experts import MixtureOnGrid
from wsekern.inference.choice import at_choice, load_of
from wsekern.inference.grid import Grid
from wsekern.inference.mapping import Mapping
from wsekern.inference.programs import Programs
from wsekern.inference.reference import Activations
from wsekern.inference.reference.mixture import ReferenceMixture
from wsekern.inference.step_times import time_layer
from wsekern.inference.steps import View, deal, find, take
from wsekern.machine import load_machine
from wsekern.number_formats import NUMPY_DTYPES, narrow, widen
from wsekern.ops import CycleEngine, FlowEngine
from wsekern.ops.repeated import Repeated
from wsekern.workload import uniform
from wsekern.workload.decoder import FeedForward, Mixture
from wsekern.workload.popularity import ExpertLaw

WSE3 = load_machine("wse3")
HIDDEN, TOKENS = 14, 5
SILU = FeedForward(width=11)
SIGMOID = dict(scores="sigmoid", normalized=True, scale=2.5, correction=True)
MIXTURES = {
    "mixtral": Mixture(experts=5, chosen=2, expert=SILU, normalized=True),
    "olmoe": Mixture(experts=9, chosen=3, expert=SILU),
    "qwen2": Mixture(experts=6, chosen=2, expert=SILU, shared=FeedForward(width=9), shared_gate=True),
    "gpt-oss": Mixture(experts=6, chosen=3, scores="softmax_chosen", router_bias=True,
                       expert=FeedForward(width=11, activation="clamped_silu", bias=True, limit=7.0)),
    "deepseek-v2": Mixture(experts=8, chosen=3, expert=SILU, shared=SILU, scale=1.5, groups=4, groups_chosen=2, group_best=1),
    "deepseek-v3": Mixture(experts=8, chosen=3, expert=SILU, shared=SILU, groups=4, groups_chosen=2, **SIGMOID),
    "glm": Mixture(experts=8, chosen=3, expert=SILU, shared=SILU, **SIGMOID | dict(normalized=False)),
    "llama4": Mixture(experts=4, chosen=1, expert=SILU, shared=SILU, scores="sigmoid", early=True),
    "phimoe": Mixture(experts=7, chosen=3, expert=SILU, scores="sparse_mixer", nearness=0.6, scale=1.5),
    "ernie": Mixture(experts=6, chosen=2, expert=SILU, normalized=True, correction=True),
    "dense-beside": Mixture(experts=4, chosen=2, expert=SILU, dense=FeedForward(width=6, bias=True), shared=SILU),
    "nemotron": Mixture(experts=6, chosen=2, latent=9, expert=FeedForward(width=8, gated=False, activation="relu2"),
                        shared=FeedForward(width=10, gated=False, activation="relu2"), **SIGMOID),
}


def random_weights(part: Mixture, hidden: int = HIDDEN, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights of a mixture, at random."""
    random = np.random.default_rng(seed)
    experts, inner = (part.experts,), part.latent or hidden
    weights = {"router": (hidden, part.experts)}
    if part.router_bias:
        weights["router_bias"] = experts
    if part.correction:
        weights["correction"] = experts
    if part.shared_gate:
        weights["shared_router"] = (hidden, 1)
    if part.latent:
        weights |= {"latent_in": (hidden, inner), "latent_out": (inner, hidden)}
    for name, feed, many, size in (("experts", part.expert, experts, inner), ("shared", part.shared, (), hidden),
                                   ("dense", part.dense, (), hidden)):
        if feed is None:
            continue
        for half in ("gate", "up") if feed.gated else ("up",):
            weights |= {f"{name}_{half}": (*many, size, feed.width), f"{name}_{half}_bias": (*many, feed.width)}
        weights |= {f"{name}_down": (*many, feed.width, size), f"{name}_down_bias": (*many, size)}
        if not feed.bias:
            weights = {key: shape for key, shape in weights.items() if not (key.startswith(name) and key.endswith("_bias"))}
    return {name: random.standard_normal(shape).astype(np.float32) * np.float32(0.6) for name, shape in weights.items()}


def run_steps(placed, tokens: int, slots: int, engine, values) -> None:
    """Run the steps of a part; from the choice of experts on those that are listed for what the fullest block has of it."""
    steps = placed.steps(tokens, slots)
    number, choice = at_choice(steps)
    run_list(steps[:number], engine, values)
    if choice:
        mapping = dataclasses.replace(placed.mapping, expert_load=load_of(choice, values))
        run_list(dataclasses.replace(placed, mapping=mapping).steps(tokens, slots)[number:], engine, values)


def run_list(steps, engine, values) -> None:
    """Run a list of steps on ``values``."""
    for step in steps:
        if isinstance(step, View):
            step.run(values)
        else:
            step.run(engine, values)


def laid(m: Grid, h: np.ndarray) -> np.ndarray:
    """``h`` (tokens, hidden) along y, on all columns."""
    rows = m.index_y(m.config.hidden)
    pieces = narrow(np.where(rows >= 0, h[:, rows], 0).swapaxes(0, 1).astype(np.float32), m.precision, "h")
    return np.ascontiguousarray(np.broadcast_to(pieces[:, None], (m.height, m.width, *pieces.shape[1:])))


def run_chunks(placed, weights, engine, chunks: list[np.ndarray]) -> np.ndarray:
    """``out`` (tokens, hidden) of all chunks, each (tokens, hidden), the cache growing; read from the first column."""
    m, precision, start, found = placed.mapping, placed.mapping.precision, 0, []
    values = placed.tiles(weights, "layer 0") | {
        name: np.zeros((m.height, m.width, *shape), NUMPY_DTYPES[precision]) for name, shape in placed.cache().items()}
    for h in chunks:
        slots = -(-(start + len(h)) // m.height)
        values["h"] = laid(m, h)
        values |= placed.tables(start, len(h), slots)
        run_steps(placed, len(h), slots, engine, values)
        out = Repeated.of(values["out"]).full()
        assert (out == out[:, :1]).all()
        found.append(widen(out[:, 0], precision).swapaxes(0, 1).reshape(len(h), -1)[:, :m.config.hidden])
        start += len(h)
    return np.concatenate(found)


def placed_mixture(part: Mixture, width: int, height: int, precision: str, **options) -> MixtureOnGrid:
    model = uniform(layers=1, hidden=HIDDEN, heads=2, kv_heads=2, head_dim=4, ffn=8, vocab=16, max_context=64)
    return MixtureOnGrid(Grid(model, width, height, precision, **options), part)


def engines(precision: str, width: int, height: int) -> list:
    return [engine(WSE3, width, height, profile="silicon", precision=precision) for engine in (FlowEngine, CycleEngine)]


@settings(max_examples=50, deadline=None)
@given(st.data(), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2))
def test_elements_are_taken_from_where_a_value_says(data, rows, n, m, width, axis):
    """Against the plain definition, PE by PE: along the first axis, along the second one for all rows, or for each row."""
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = random.standard_normal((2, width, rows, n, 2)).astype(np.float32)
    size, lead = ((rows, ()), (n, ()), (n, (rows,)))[axis]
    places = random.integers(-1, size, (2, width, *lead, m))
    values = {"x": x, "places": places}
    take("x", "places", "taken", min(axis, 1)).run(values)
    taken = Repeated.of(values["taken"]).full()
    assert taken.shape == ((2, width, m, n, 2) if axis == 0 else (2, width, rows, m, 2))
    for i, j, k in np.ndindex(2, width, m):
        for row in range(1 if axis == 0 else rows):
            place = places[i, j, row, k] if axis == 2 else places[i, j, k]
            found = taken[i, j, k] if axis == 0 else taken[i, j, row, k]
            there = x[i, j, place] if axis == 0 else x[i, j, row, place]
            np.testing.assert_array_equal(found, there if place >= 0 else np.zeros_like(there))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(-2, 2), min_size=5, max_size=5), min_size=1, max_size=3), st.integers(1, 5))
def test_rounds_of_find_are_a_stable_sort(rows, rounds):
    values = {"x": np.array(rows, np.float16)[None, None]}
    for round in range(rounds):
        values["largest"] = Repeated.of(values["x"]).full().max(axis=-1)
        find("x", "largest", f"place_{round}").run(values)
    found = np.stack([Repeated.of(values[f"place_{round}"]).full()[0, 0] for round in range(rounds)], axis=1)
    np.testing.assert_array_equal(found, np.argsort(-np.array(rows), axis=1, kind="stable")[:, :rounds])


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("grid", [(4, 4), (3, 5), (9, 4)])
def test_a_mixture_is_the_plain_one_on_both_engines(name, grid):
    part, weights = MIXTURES[name], random_weights(MIXTURES[name])
    h = np.random.default_rng(1).standard_normal((TOKENS, HIDDEN)).astype(np.float32)
    placed, (flow, cycle) = placed_mixture(part, *grid, "fp32"), engines("fp32", *grid)
    found = run_chunks(placed, weights, flow, [h])
    np.testing.assert_allclose(found, ReferenceMixture(part, Activations()).forward(h, weights, 0), rtol=1e-4, atol=1e-4)
    assert run_chunks(placed, weights, cycle, [h]).tobytes() == found.tobytes()
    if grid == (4, 4):
        np.testing.assert_array_equal(cycle.clock, flow.clock)
    assert abs(cycle.cycles - flow.cycles) <= 0.0025 * flow.cycles
    timed = FlowEngine(WSE3, *grid, profile="silicon", precision="fp32")
    for step in placed.steps(TOKENS, 1):
        step.time(timed)
    np.testing.assert_array_equal(timed.clock, flow.clock)


@pytest.mark.parametrize(("name", "grid", "blocks", "copies"), [
    *((name, (4, 4), 2, 2) for name in MIXTURES), ("gpt-oss", (9, 4), 4, 3), ("gpt-oss", (5, 3), 3, 4),
    ("olmoe", (7, 3), 3, 7), ("nemotron", (3, 7), 3, 2), ("qwen2", (6, 2), 6, 1), ("deepseek-v3", (4, 3), 1, 3)])
def test_a_mixture_on_blocks_is_the_plain_one_on_both_engines(name, grid, blocks, copies):
    part, weights = MIXTURES[name], random_weights(MIXTURES[name])
    h = np.random.default_rng(1).standard_normal((TOKENS, HIDDEN)).astype(np.float32)
    placed = placed_mixture(part, *grid, "fp32", programs=Programs(expert_blocks=blocks, router_copies=copies))
    expected, (flow, cycle) = ReferenceMixture(part, Activations()).forward(h, weights, 0), engines("fp32", *grid)
    for some in (slice(0, 1), slice(1, 2), slice(TOKENS)):      # one after the other, and together
        found = run_chunks(placed, weights, flow, [h[some]])
        np.testing.assert_allclose(found, expected[some], rtol=1e-4, atol=1e-4)
        assert run_chunks(placed, weights, cycle, [h[some]]).tobytes() == found.tobytes()
    gathered = placed_mixture(part, *grid, "fp32",
                              programs=Programs(expert_blocks=blocks, router_copies=copies, router="gathered"))
    dealt = placed_mixture(part, *grid, "fp32",
                           programs=Programs(expert_blocks=blocks, router_copies=copies, biases="dealt"))
    there = []
    for engine in (flow, cycle):
        assert run_chunks(gathered, weights, engine, [h]).tobytes() == found.tobytes()
        there.append(run_chunks(dealt, weights, engine, [h]))
    np.testing.assert_allclose(there[0], expected, rtol=1e-4, atol=1e-4)
    assert there[0].tobytes() == there[1].tobytes()
    if grid == (4, 4):
        np.testing.assert_array_equal(cycle.clock, flow.clock)
    assert abs(cycle.cycles - flow.cycles) <= 0.0025 * flow.cycles


@pytest.mark.parametrize("precision", ["fp16", "fp16_fp32", "bf16"])
@pytest.mark.parametrize("name", ["olmoe", "gpt-oss", "deepseek-v2", "deepseek-v3", "ernie", "nemotron"])
def test_small_floats_are_the_same_on_both_engines_and_stay_close(name, precision):
    part, weights = MIXTURES[name], random_weights(MIXTURES[name])
    h = np.random.default_rng(1).standard_normal((TOKENS, HIDDEN)).astype(np.float32)
    placed, (flow, cycle) = placed_mixture(part, 4, 4, precision), engines(precision, 4, 4)
    found = run_chunks(placed, weights, flow, [h])
    assert run_chunks(placed, weights, cycle, [h]).tobytes() == found.tobytes()
    np.testing.assert_array_equal(cycle.clock, flow.clock)
    expected = ReferenceMixture(part, Activations()).forward(h, weights, 0)
    close = np.abs(found - expected).max(axis=1) < (0.1 if precision == "bf16" else 0.02) * np.abs(expected).max()
    assert close.sum() >= TOKENS - 1        # a token whose scores are nearly equal may choose otherwise


@pytest.mark.parametrize("form", ["scalar", "vector-fp32"])
@pytest.mark.parametrize("name", ["gpt-oss", "deepseek-v3", "qwen2"])
def test_other_forms_of_functions_give_the_same(name, form):
    part, weights = MIXTURES[name], random_weights(MIXTURES[name])
    h = np.random.default_rng(1).standard_normal((TOKENS, HIDDEN)).astype(np.float32)
    placed, (flow, cycle) = placed_mixture(part, 4, 4, "fp32", activations=form), engines("fp32", 4, 4)
    found = run_chunks(placed, weights, flow, [h])
    np.testing.assert_allclose(found, ReferenceMixture(part, Activations()).forward(h, weights, 0), rtol=1e-4, atol=1e-4)
    assert run_chunks(placed, weights, cycle, [h]).tobytes() == found.tobytes()


def test_of_equal_scores_the_lower_index_is_taken_in_every_precision():
    part = dataclasses.replace(MIXTURES["mixtral"], experts=6, chosen=3)
    weights = random_weights(part)
    weights["router"][:] = weights["router"][:, :1]
    weights["router"][:, 4] += 1
    h = np.ones((2, HIDDEN), np.float32)
    for precision in ("fp32", "fp16", "bf16"):
        placed = placed_mixture(part, 4, 3, precision)
        found = run_chunks(placed, weights, engines(precision, 4, 3)[0], [h])
        expected = ReferenceMixture(part, Activations()).forward(h, weights, 0)
        np.testing.assert_allclose(found, expected, atol=0.1 * np.abs(expected).max())


SPREAD = [dict(), dict(programs=Programs(expert_blocks=2, router_copies=2)),
          dict(programs=Programs(expert_blocks=3, router_copies=4), expert_wafers=2)]


@pytest.mark.parametrize("options", SPREAD, ids=["over all", "on blocks", "on wafers"])
@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("grid", [(4, 4), (3, 5), (9, 4)])
def test_memory_is_what_the_fullest_pe_keeps(name, grid, options):
    """Not less than the weights on any PE, which fill the places of their tiles; not more than padded tiles would take."""
    part = MIXTURES[name]
    placed = placed_mixture(part, *grid, "fp32", **options)
    weights = {key: np.abs(value) + 1 for key, value in random_weights(part).items()}
    tiles = {key: tile for key, tile in placed.tiles(weights, "").items() if not key.endswith(("places", "slots"))}
    there = sum(np.count_nonzero(tile.reshape(*tile.shape[:2], -1), axis=-1) for tile in tiles.values())
    assert there.max() <= placed.weights <= sum(tile[0, 0].size for tile in tiles.values())


def test_what_has_no_steps_is_named():
    softplus = dataclasses.replace(MIXTURES["mixtral"], scores="sqrt_softplus")
    assert "softplus" in placed_mixture(softplus, 4, 4, "fp32").missing()
    assert not any(placed_mixture(part, 4, 4, "fp32").missing() for part in MIXTURES.values())


@pytest.mark.parametrize("name", ["mixtral", "olmoe", "nemotron"])
@pytest.mark.parametrize(("blocks", "wafers"), [(1, 1), (3, 1), (2, 2), (1, 3), (9, 2)])
def test_every_feature_of_every_expert_lies_on_one_line_of_one_wafer(name, blocks, wafers):
    part, lines, found = MIXTURES[name], 7, []
    for wafer in range(wafers):
        places = ExpertPlaces(part.experts, part.expert.width, lines, blocks, wafers, wafer)
        features = np.zeros(lines, int)
        for expert in places.here:
            begin, end = places.lines_of(expert)
            index = places.features_of(expert)
            assert index.shape == (end - begin, places.features)
            assert (places.slots()[begin:end, expert] == places.place_of(expert)).all()
            assert places.place_of(expert) < places.held
            features[begin:end] += (index >= 0).sum(axis=1)
            found += [(expert, feature) for feature in index[index >= 0]]
        assert features.max() <= places.elements
    assert sorted(found) == [(expert, feature) for expert in range(part.experts) for feature in range(part.expert.width)]


def test_steps_for_fewer_experts_than_lie_on_a_block_are_refused():
    part = MIXTURES["olmoe"]
    placed = placed_mixture(part, 4, 3, "fp32", programs=Programs(expert_blocks=2), expert_load=1)
    with pytest.raises(SimulationError, match="more than 1 experts"):
        values = {"chosen": np.array([0, 2, 3])[None, None], "slots": placed.places.slots()[None, :1]}
        deal("chosen", "slots", "own", "ranks", 1, placed.load(1), 2).run(values)


def test_a_layer_takes_as_long_as_between_the_loads_that_its_law_expects():
    config = with_parts(uniform(layers=1, hidden=HIDDEN, heads=2, kv_heads=2, head_dim=4, ffn=8, vocab=16, max_context=64),
                        feed=MIXTURES["deepseek-v3"])
    mapping = Mapping(config, 8, 4, programs=Programs(expert_blocks=4), expert_law=ExpertLaw(0.0))
    block, expected = config.blocks[0], ExpertLaw(0.0).fullest(3, 8, 4)
    low, high = (time_layer(WSE3, dataclasses.replace(mapping, expert_load=load), 1, 1, "silicon", block).cycles
                 for load in (1, 2))
    assert 1 < expected < 2 and low < high
    assert time_layer(WSE3, mapping, 1, 1, "silicon", block).cycles == pytest.approx(low + (expected - 1) * (high - low))
    said, = (line for line in MixtureOnGrid(mapping, block.feed).assumptions() if "blocks" in line)
    assert "8 experts lie on 4 blocks of columns" in said and "all alike" in said and f"{expected:.3g} of the 3" in said


def test_a_crossing_between_wafers_is_two_ways_through_the_links():
    placed = placed_mixture(MIXTURES["olmoe"], 4, 3, "fp16", expert_wafers=3)
    system = WSE3.system
    sent = 2 * 5 * 2 * (2 * HIDDEN + 2 * 3)       # bytes of an element, tokens, other wafers, elements out and back
    assert crossing_seconds(placed.mapping, placed.part, WSE3, 5) == pytest.approx(
        2 * float(system.io_latency) + sent / float(system.io_bandwidth))
    assert not crossing_seconds(dataclasses.replace(placed.mapping, expert_wafers=1), placed.part, WSE3, 5)


def on_wafer(placed: MixtureOnGrid, wafer: int, load: int) -> MixtureOnGrid:
    """The part of a mixture on another wafer, whose steps are listed for ``load`` experts of a token on the fullest block."""
    return dataclasses.replace(placed, mapping=dataclasses.replace(placed.mapping, expert_wafer=wafer, expert_load=load))


def run_over_wafers(placed: MixtureOnGrid, weights, engine, h: np.ndarray) -> dict:
    """Values of the first wafer, where ``engine`` runs the steps of all of them."""
    m, wafers = placed.mapping, range(1, placed.mapping.expert_wafers)
    values = placed.tiles(weights, "layer 0") | {"h": laid(m, h)}
    number, choice = at_choice(steps := placed.steps(len(h), 1))
    run_list(steps[:number], engine, values)
    load = load_of(choice, values)
    for wafer in wafers:
        there = on_wafer(placed, wafer, load)
        own = there.tiles(weights, "layer 0") | {CROSSED: values[CROSSED]}
        run_list(there.steps(len(h), 1), engine, own)
        values[returned(wafer)] = own["out"]
    sent = [Repeated.of(values[returned(wafer)]).full() for wafer in wafers]
    run_list(on_wafer(placed, 0, load).steps(len(h), 1)[number:], engine, values)
    return values | {"sent": sent}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", ["gpt-oss", "nemotron", "llama4"])
def test_wafers_that_share_experts_sum_what_each_makes(name, precision):
    part, weights = MIXTURES[name], random_weights(MIXTURES[name])
    h = np.random.default_rng(1).standard_normal((TOKENS, HIDDEN)).astype(np.float32)
    placed = placed_mixture(part, 4, 4, precision, programs=Programs(expert_blocks=2), expert_wafers=3)
    engine_of = engines(precision, 4, 4)
    flow, cycle = (run_over_wafers(placed, weights, engine, h) for engine in engine_of)
    for name in ("out", "back", *map(returned, (1, 2))):
        assert Repeated.of(flow[name]).full().tobytes() == Repeated.of(cycle[name]).full().tobytes()
    np.testing.assert_array_equal(engine_of[1].clock, engine_of[0].clock)
    first, second = flow["sent"]
    assert Repeated.of(flow["back"]).full().tobytes() == (first + second).tobytes()
    out = widen(Repeated.of(flow["out"]).full()[:, 0], precision).swapaxes(0, 1).reshape(TOKENS, -1)[:, :HIDDEN]
    expected = ReferenceMixture(part, Activations()).forward(h, weights, 0)
    np.testing.assert_allclose(out, expected, atol=(1e-4 if precision == "fp32" else 0.02) * np.abs(expected).max())
