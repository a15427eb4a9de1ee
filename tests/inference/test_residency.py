"""Layers that stay in memory and layers that are made anew; lists of steps that are timed once."""

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.inference.clockwork import Clockwork
from wsekern.inference.mapping import Mapping
from wsekern.inference.residency import Layers, bytes_of
from wsekern.inference.wafer import WaferModel
from wsekern.machine import load_machine
from wsekern.ops import FlowEngine
from wsekern.ops.engines.both import BothEngines

WSE3, PROMPT = load_machine("wse3"), [3, 14, 15, 92, 65, 35, 89, 79, 32]


def model(config, weights, **options) -> WaferModel:
    return WaferModel(config, weights, WSE3, Mapping(config, 6, 4, "fp16", context=24, chunk=4), **options)


def test_as_many_layers_stay_as_fit_with_the_one_in_use():
    made = []

    def make(index: int):
        made.append(index)
        return {"weights.w": np.zeros((2, 2, 8, 8), np.float16)}

    size = bytes_of(make(0))
    made.clear()
    assert Layers(make, 5).kept == 5
    assert [Layers(make, 5, room).kept for room in (5 * size, 5 * size - 1, 3 * size, size, 0)] == [5, 3, 2, 0, 0]
    layers = Layers(make, 5, 3 * size)
    made.clear()
    assert len(list(layers)) == 5 and made == [2, 3, 4]


def test_a_model_larger_than_its_memory_gives_the_same(make_model):
    config, weights = make_model(layers=5)
    whole = model(config, weights)
    layer = bytes_of(next(iter(whole.layers)))
    taken = bytes_of(whole._model) + sum(map(bytes_of, whole._caches))
    streamed = model(config, weights, memory=taken + 2 * layer + layer // 2)
    assert whole.layers.kept == 5 and streamed.layers.kept == 1
    np.testing.assert_array_equal(whole.prefill(PROMPT), streamed.prefill(PROMPT))
    np.testing.assert_array_equal(whole.decode(7), streamed.decode(7))
    assert whole.engine.cycles == streamed.engine.cycles
    with pytest.raises(InputError, match="does not hold the embedding, the head and the cache"):
        model(config, weights, memory=taken)


@pytest.mark.parametrize("family", [{}, dict(windows=(0, 5), qk_norm=True), dict(every_bias=True)])
def test_repeated_times_are_those_of_every_step(make_model, monkeypatch, family):
    config, weights = make_model(layers=6, **family)

    def run(repeats: bool) -> WaferModel:
        if not repeats:
            monkeypatch.setattr(FlowEngine, "start", lambda engine: None)
        found = model(config, weights)
        found.prefill(PROMPT)
        for token in (1, 5, 7, 2):
            found.decode(token)
        return found

    timed = []
    plain = Clockwork._time
    monkeypatch.setattr(Clockwork, "_time", lambda clocks, steps: timed.append(1) or plain(clocks, steps))
    quick, counted = run(True), len(timed)
    slow = run(False)
    assert counted < len(timed) - counted
    np.testing.assert_array_equal(quick.engine.clock, slow.engine.clock)
    assert quick.engine.breakdown == slow.engine.breakdown
    assert quick.engine.link_traversals == slow.engine.link_traversals
    assert quick.engine.notes == slow.engine.notes
    assert quick.cycles_by_part == slow.cycles_by_part
    assert sum(quick.cycles_by_part.values()) == quick.engine.cycles == sum(quick.engine.breakdown.values())


def test_both_engines_give_the_values_and_the_clocks_of_the_flow_engine(make_model):
    config, weights = make_model(layers=2)
    flow, both = model(config, weights), model(config, weights, engine=BothEngines)
    np.testing.assert_array_equal(flow.prefill(PROMPT[:3]), both.prefill(PROMPT[:3]))
    np.testing.assert_array_equal(flow.decode(4), both.decode(4))
    np.testing.assert_array_equal(flow.engine.clock, both.engine.clock)
    assert both.engine.operations_by_wavelet > 10 and both.engine.local_work > 10
