"""Lists of steps: names are made before they are read, views move nothing, values go after their last use."""

import doctest
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wsekern.inference.steps
from wsekern.errors import InputError
from wsekern.inference.layer import layer_cache, layer_steps, layer_tiles
from wsekern.inference.mapping import Mapping
from wsekern.inference.outer import embedding_steps, head_steps
from wsekern.inference.steps import (
    VIEWS,
    LayerStep,
    Pair,
    View,
    append,
    describe_steps,
    join,
    last_uses,
    paired,
    pick,
    reshape,
    split,
    stack,
    swap,
)
from wsekern.inference.wafer import WaferModel
from wsekern.machine import load_machine
from wsekern.ops import FlowEngine, Local
from wsekern.workload import bundled_models, load_config
from wsekern.workload.decoder import FeedForward, Mixture

WSE3 = load_machine("wse3")
GIVEN = ("x", "table.")
FAMILIES = [{}, dict(bias=True, qk_norm=True, tied=True), dict(every_bias=True), dict(heads=8, kv_heads=8)]
EXPERTS = Mixture(experts=6, chosen=2, expert=FeedForward(width=8))


def unmade(steps, given) -> list[str]:
    """Names that a step reads and neither ``given`` nor a step before it gives."""
    known, missing = set(given), []
    for step in steps:
        missing += [name for name in step.inputs if name not in known and not name.startswith(GIVEN)]
        known |= set(step.outputs)
    return missing


def test_examples_of_the_module():
    result = doctest.testmod(wsekern.inference.steps)
    assert result.attempted and not result.failed


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("grid", [(1, 4), (4, 4), (9, 3)])
def test_every_name_is_made_before_it_is_read_and_every_weight_is_read(make_model, family, grid):
    config, weights = make_model(**family)
    mapping = Mapping(config, *grid)
    tiles, steps = layer_tiles(mapping, config.blocks[0], weights.block(0), 0), layer_steps(mapping, config.blocks[0], 3, 2)
    assert not unmade(steps, [*tiles, *layer_cache(mapping, config.blocks[0])])
    assert set(tiles) <= {name for step in steps for name in step.inputs}
    assert not unmade(embedding_steps(mapping, [5, 6]), ["model.embedding"])
    assert not unmade(head_steps(mapping), ["model.norm", "model.head"])


def can_be_mapped(config):
    try:
        return bool(Mapping(config, 64, 64))
    except InputError:
        return False


@pytest.mark.parametrize("config", [config for config in map(load_config, bundled_models()) if can_be_mapped(config)],
                         ids=lambda config: config.name)
def test_layers_of_all_models_that_can_be_mapped_name_what_they_read(config):
    mapping = Mapping(config, 64, 64)
    for block, _ in config.kinds:
        missing = unmade(layer_steps(mapping, block, 2, 3), layer_cache(mapping, block))
        assert all(name.startswith("weights.") for name in missing), missing


@settings(max_examples=50, deadline=None)
@given(data=st.data(), sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4), rows=st.integers(1, 4))
def test_views_undo_each_other(data, sizes, rows):
    """Cut and joined, taken apart and stacked, swapped twice: the tile that there was, bit for bit."""
    axis = data.draw(st.integers(0, 1))
    shape = (rows, sum(sizes)) if axis else (sum(sizes), rows)
    x = np.random.default_rng(0).standard_normal((2, 3, *shape)).astype(np.float32)
    parts = [f"p{index}" for index in range(len(sizes))]
    slices = [f"s{index}" for index in range(shape[axis])]
    values = {"x": x.copy()}
    for view in (split("x", parts, sizes, axis), join(parts, "x", axis), pick("x", slices, axis, range(shape[axis])),
                 stack(slices, "x", axis), swap("x", 0), swap("x", 0), reshape("x", x[0, 0].size), reshape("x", *shape)):
        view.run(values)
    found = values["x"].full()
    assert found.shape == x.shape and found.tobytes() == x.tobytes()


def test_append_puts_every_token_on_its_row_and_into_its_slot():
    height, width, heads, slots, features = 3, 2, 2, 4, 5
    cache = np.zeros((height, width, heads, slots, features), np.float32)
    positions = np.arange(4, 9)
    tokens = np.arange(1, 6, dtype=np.float32)[:, None, None] * np.ones((height, width, 5, heads, features), np.float32)
    append("c", "k").run({"c": cache, "k": tokens, "table.positions": positions})
    for number, position in enumerate(positions, 1):
        slot, row = divmod(position, height)
        assert (cache[row, :, :, slot] == number).all()
    assert np.count_nonzero(cache) == len(positions) * width * heads * features


def test_views_take_no_time():
    engine = FlowEngine(WSE3, 3, 2)
    for kind in VIEWS:
        View(kind, ("x",), ("x",)).time(engine)
    assert engine.cycles == 0
    LayerStep("part", "move", Local("mov", 4)).time(engine)
    assert engine.cycles > 0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sets(st.sampled_from("abcde"), max_size=3), st.sampled_from("abcde")), max_size=12),
       st.sets(st.sampled_from("abcde")))
def test_a_value_goes_after_its_last_use(program, kept):
    """Against the plain definition: dropped behind a step unless kept or read before it is made anew."""
    steps = [View("any", tuple(sorted(inputs)), (output,)) for inputs, output in program]
    for index, (step, unused) in enumerate(last_uses(steps, kept)):
        assert step == steps[index]
        for name in {*step.inputs, *step.outputs}:
            rest = steps[index + 1:]
            read = next((name in later.inputs for later in rest if name in (*later.inputs, *later.outputs)), name in kept)
            assert (name not in unused) == read


def test_values_of_a_layer_are_gone_before_the_next_one(make_model, monkeypatch):
    """What a layer computes is not kept until the end of the pass: only ``x`` and the caches are left of it."""
    config, weights = make_model()
    model = WaferModel(config, weights, WSE3, Mapping(config, 4, 4, "fp32", 24, 4))
    run, made = FlowEngine.values, []

    def watch(engine, operation, *tiles):
        result = run(engine, operation, *tiles)
        made.append(weakref.ref(result))
        return result

    monkeypatch.setattr(FlowEngine, "values", watch)
    values = model._forward([3, 4, 5])
    alive = [value for value in (reference() for reference in made) if value is not None]
    assert [value is values["x"] for value in alive] == [True]
    assert not [name for name in values if not name.startswith(("x", "model."))]


def test_a_listing_has_a_line_for_each_step_and_every_name():
    config = load_config("qwen3-30b-a3b")
    steps = layer_steps(Mapping(config, 64, 64), config.blocks[0], 2, 3)
    lines = describe_steps(steps).splitlines()
    assert len(lines) == len(steps)
    for step, line in zip(steps, lines, strict=True):
        assert step.name in line and all(name in line for name in (*step.inputs, *step.outputs))
    assert not describe_steps([])


def test_two_steps_are_one_where_only_the_second_reads_what_the_first_makes():
    def local(inputs, output):
        return LayerStep("part", "work", Local("add", 1), inputs, output)

    steps = [local(("x",), "a"), local(("a",), "a"), local(("x",), "b"), local(("b",), "c"), local(("b", "c", "a"), "x")]
    first, *others = paired(last_uses(steps, ["x"]))
    assert first == (Pair(*steps[:2]), ())
    assert others == last_uses(steps, ["x"])[2:]                # b is read again
    (found, dropped), = paired(last_uses([local(("x", "w"), "h"), local(("h",), "x")], ["x"]))
    assert isinstance(found, Pair) and dropped == ("w",)        # h is never there, x is made anew
