"""Layers in halves: mixers and feed-forward parts on columns of their own."""

import dataclasses

import msgspec
import numpy as np
import pytest

from wsekern.errors import BudgetError, InputError
from wsekern.inference.execution import ENGINES
from wsekern.inference.mapping import Mapping
from wsekern.inference.operation_times import handover_operations, layer_operations
from wsekern.inference.programs import PLAIN, PROGRAM_SETS
from wsekern.inference.reference import ReferenceModel
from wsekern.inference.step_times import time_handover, time_layer
from wsekern.inference.wafer import WaferModel
from wsekern.machine import load_machine
from wsekern.planning.estimator import Estimator
from wsekern.workload import ModelConfig
from wsekern.workload.decoder import FeedForward, Mixture
from wsekern.workload.weights.weights import Weights

WSE3 = load_machine("wse3")
PROMPT = [3, 14, 15, 92, 65]
DEFAULT = PROGRAM_SETS["default"].programs


def halved(config, weights, grid=(4, 6), feed_width=6, precision="fp32", engine="flow", programs=DEFAULT) -> WaferModel:
    mapping = Mapping(config, *grid, precision, 24, 4, programs=programs, feed_width=feed_width)
    return WaferModel(config, weights, WSE3, mapping, engine=ENGINES[engine])


@pytest.mark.parametrize("programs", [DEFAULT, PLAIN])
@pytest.mark.parametrize(("grid", "feed_width"), [((4, 6), 7), ((7, 3), 2)])
def test_logits_are_those_of_the_reference(make_model, grid, feed_width, programs):
    config, weights = make_model(every_bias=True)
    reference, wafer = ReferenceModel(config, weights), halved(config, weights, grid, feed_width, programs=programs)
    np.testing.assert_allclose(wafer.prefill(PROMPT), reference.forward(PROMPT)[-1], atol=1e-4)
    np.testing.assert_allclose(wafer.decode(5), reference.forward([5])[-1], atol=1e-4)


EXPERT = FeedForward(width=11, activation="clamped_silu", bias=True, limit=7.0)
MIXTURE = Mixture(experts=6, chosen=2, expert=EXPERT, scores="softmax_chosen", router_bias=True,
                  dense=FeedForward(width=6, bias=True))


def mixture_model(make_model) -> tuple[ModelConfig, Weights]:
    """A dense layer and one of a mixture with biases and a part beside it, a norm behind each."""
    config, weights = make_model(every_bias=True)
    random, hidden, experts = np.random.default_rng(1), config.hidden, MIXTURE.experts
    sizes = {"router": (hidden, experts), "router_bias": (experts,), "after_feed": (hidden,), "dense_down": (6, hidden),
             "dense_down_bias": (hidden,), "experts_down": (experts, 11, hidden), "experts_down_bias": (experts, hidden)}
    for half in ("gate", "up"):
        sizes |= {f"experts_{half}": (experts, hidden, 11), f"experts_{half}_bias": (experts, 11),
                  f"dense_{half}": (hidden, 6), f"dense_{half}_bias": (6,)}
    made = {name: random.standard_normal(shape).astype(np.float32) * np.float32(0.6) for name, shape in sizes.items()}
    block = dataclasses.replace(config.blocks[0], feed=MIXTURE, after_feed=config.blocks[0].before_feed)
    return (dataclasses.replace(config, blocks=(config.blocks[0], block)),
            Weights([weights.block(0), weights.block(1) | made], weights.outer))


@pytest.mark.parametrize(("feed_width", "copies", "blocks"), [(1, 1, 1), (2, 1, 1), (5, 1, 2), (6, 3, 1), (11, 4, 3)])
def test_logits_of_mixtures_are_those_of_the_reference(make_model, feed_width, copies, blocks):
    config, weights = mixture_model(make_model)
    programs = dataclasses.replace(DEFAULT, router_copies=copies, expert_blocks=blocks)
    reference, wafer = ReferenceModel(config, weights), halved(config, weights, (3, 4), feed_width, programs=programs)
    np.testing.assert_allclose(wafer.prefill(PROMPT), reference.forward(PROMPT)[-1], atol=1e-4)
    np.testing.assert_allclose(wafer.decode(5), reference.forward([5])[-1], atol=1e-4)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_on_as_many_columns_the_bits_are_those_of_whole_layers_where_one_side_has_all(make_model, precision):
    config, weights = make_model()
    whole = WaferModel(config, weights, WSE3, Mapping(config, 2, 6, precision, 24, 4, programs=PLAIN))
    halves = halved(config, weights, (2, 6), 2, precision, programs=PLAIN)
    for model in (whole, halves):
        model.found = [model.prefill(PROMPT), model.decode(7)]
    np.testing.assert_array_equal(halves.found, whole.found)


@pytest.mark.parametrize("mixture", [False, True])
def test_every_wavelet_of_both_halves_and_of_the_way_between_them_moves_as_the_flow_engine_says(make_model, mixture):
    config, weights = mixture_model(make_model) if mixture else make_model(layers=1)
    flow, both = (halved(config, weights, (3, 4), 4, "fp16", engine) for engine in ENGINES)
    np.testing.assert_array_equal(both.prefill(PROMPT), flow.prefill(PROMPT))
    assert both.cycles == flow.cycles and len(both.engines) == 2
    assert all(engine.operations_by_wavelet and not engine.clock_difference for engine in both.engines)


def test_the_time_is_that_of_both_halves_one_after_the_other(make_model):
    config, weights = make_model(layers=1)
    model = halved(config, weights, (4, 6), 6, "fp16")
    model.prefill(PROMPT[:4])
    before, mapping = model.cycles, model.mapping
    mixed = sum(model.cycles_by_part[part] for part in ("embedding", "head"))
    model.decode(7)
    outside = sum(model.cycles_by_part[part] for part in ("embedding", "head")) - mixed
    timed = time_layer(WSE3, mapping, 1, 1, "silicon", config.blocks[0])
    assert 0 <= timed.cycles - (model.cycles - before - outside) <= 40  # clocks are apart behind the embedding
    assert sum(timed.breakdown.values()) == timed.cycles
    found = layer_operations(WSE3, mapping, 1, 1, "silicon", config.blocks[0])
    assert sum(one.cycles for one in found) == timed.cycles
    assert timed.cycles <= Estimator(WSE3, "silicon", "fp16").layers(mapping, 1, 1) <= 1.02 * timed.cycles
    whole = dataclasses.replace(mapping, width=10, feed_width=0)
    assert time_handover(WSE3, mapping, 1, "silicon") == time_handover(WSE3, whole, 1, "silicon")
    assert handover_operations(WSE3, mapping, 1, "silicon") == handover_operations(WSE3, whole, 1, "silicon")


def test_each_half_has_its_own_programs_and_memory(make_model):
    config, _ = make_model()
    mapping = Mapping(config, 4, 6, "fp16", 24, 4, programs=DEFAULT, feed_width=6, with_head=False)
    mixers, feeds = mapping.halves
    whole = dataclasses.replace(mapping, feed_width=0).memory
    for half in (mixers, feeds):
        assert half.memory["code"] < whole["code"] and half.memory["weights"] < whole["weights"]
    assert feeds.memory["kv_cache"] == 0 < mixers.memory["kv_cache"] and (feeds.width, feeds.height) == (6, 6)
    assert mapping.memory in (mixers.memory, feeds.memory)
    assert mapping.most_slots(WSE3) == mixers.most_slots(WSE3) and mapping.most_users(WSE3) == mixers.most_users(WSE3)


def test_a_saved_model_goes_on_with_the_clocks_of_both(make_model):
    config, weights = make_model(layers=1)
    first, second = halved(config, weights), halved(config, weights)
    first.prefill(PROMPT)
    second.restore(first.saved())
    np.testing.assert_array_equal(first.decode(7), second.decode(7))
    assert first.cycles == second.cycles
    with pytest.raises(InputError, match="without the clocks"):
        second.restore(msgspec.structs.replace(first.saved(), feed_clocks=None))


def test_what_has_no_halves_is_refused(make_model):
    config, weights = make_model()
    parallel = dataclasses.replace(config, blocks=(dataclasses.replace(config.blocks[0], parallel=True),))
    with pytest.raises(InputError, match="not a mixer with a feed-forward part behind it"):
        Mapping(parallel, 4, 4, feed_width=4)
    with pytest.raises(InputError, match="feed_width is -1"):
        Mapping(config, 4, 4, feed_width=-1)
    with pytest.raises(InputError, match="on both sides of 1 column of mixers"):
        Mapping(config, 1, 4, feed_width=4)
    with pytest.raises(BudgetError, match="does not fit"):
        WaferModel(config, weights, WSE3, Mapping(config, 2, 1, feed_width=1, context=10**6))
