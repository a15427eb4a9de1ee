"""What the estimator keeps by heart: the steps of a layer in two parts, and for which contexts they are the same."""

from collections import Counter
from dataclasses import replace

import pytest

from wsekern.inference import step_times
from wsekern.inference.layer import layer_steps, mixer_steps, other_steps
from wsekern.inference.mapping import Mapping
from wsekern.inference.programs import program_set
from wsekern.inference.steps import LayerStep, Steps
from wsekern.machine import load_machine
from wsekern.machine.machine import in_cycles
from wsekern.ops import Broadcast, FlowEngine, RingAllReduce
from wsekern.ops.engines.apart import time_apart
from wsekern.planning.estimator import Estimator
from wsekern.workload import load_config

PROGRAMS = program_set("default").programs


def operations(steps: Steps) -> Counter:
    """How often each operation stands in a list."""
    return Counter(step.operation for step in steps if isinstance(step, LayerStep))


@pytest.mark.parametrize("model", ["llama3-8b", "gemma2-9b", "gpt-oss-120b", "deepseek-v3", "qwen3-next-80b-a3b"])
@pytest.mark.parametrize("blocks", [1, 8])
def test_a_layer_is_its_mixers_and_the_others_whatever_the_context(model, blocks):
    config = load_config(model)
    mapping = Mapping(config, 97, 61, "fp16", context=61 * 12, chunk=8, programs=replace(PROGRAMS, position_blocks=blocks),
                      with_head=False)
    for one, kind in zip(mapping.single_layers, mapping.kinds, strict=True):
        block = kind.block
        for tokens, slots in ((1, 1), (1, 12), (8, 5)):
            whole = operations(layer_steps(one, block, tokens, slots))
            others = other_steps(replace(one, context=1, chunk=1, programs=one.programs.of_others), block, tokens)
            mixers = mixer_steps(replace(one, programs=one.programs.of_mixers), block, tokens, slots)
            assert whole == operations(mixers) + operations(others)
            if kind.looks_back_over_all:
                plainest = replace(one, context=min(one.slots, blocks) * one.height, chunk=1)
                assert operations(layer_steps(plainest, block, tokens, slots)) == whole


@pytest.mark.parametrize(("model", "feed_width"), [("llama3-8b", 0), ("gemma2-9b", 0), ("gpt-oss-20b", 0), ("gpt-oss-20b", 46),
                                                   ("llama4-scout", 0), ("llama4-scout", 30), ("qwen3-next-80b-a3b", 0)])
def test_exact_cycles_are_those_of_the_flow_engine(model, feed_width, monkeypatch):
    """Along each axis alone and by formulas, or all PEs step by step."""
    machine = in_cycles(load_machine("wse3"))
    exact = Estimator(machine, "silicon", "fp16")
    monkeypatch.setattr(step_times, "time_apart", lambda *whatever: None)
    for width, height in ((89, 53), (101, 60)):
        mapping = Mapping(load_config(model), width, height, "fp16", context=height * 12, chunk=8, programs=PROGRAMS,
                          with_head=False, feed_width=feed_width)
        for tokens, slots in ((1, 1), (1, 12), (8, 5)):
            reference = step_times.time_layers(machine, mapping, tokens, slots, "silicon")
            assert exact.exact_layers(mapping, tokens, slots) == reference
        assert exact.handover(mapping, 8) == step_times.time_handover(machine, mapping, 8, "silicon").cycles


def test_operations_that_look_at_both_axes_are_not_timed_apart():
    machine = load_machine("wse3")
    along = (Broadcast(24, "x"), Broadcast(7, "y"), Broadcast(5, "x"))
    engine = FlowEngine(machine, 120, 9, precision="fp16")
    for one in along:
        engine.time(one)
    assert time_apart(machine, 120, 9, "fp16", along, "silicon") == dict(engine.breakdown)
    assert time_apart(machine, 120, 9, "fp16", (*along, RingAllReduce(24, "x")), "silicon") is None
