"""What the estimator keeps by heart: the steps of a layer in two parts, and for which contexts they are the same."""

from collections import Counter
from dataclasses import replace

import pytest

from wsekern.inference.layer import layer_steps, mixer_steps, other_steps
from wsekern.inference.mapping import Mapping
from wsekern.inference.programs import program_set
from wsekern.inference.steps import LayerStep, Steps
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
            others = other_steps(replace(one, context=1, chunk=1), block, tokens)
            assert whole == operations(mixer_steps(one, block, tokens, slots)) + operations(others)
            if kind.looks_back_over_all:
                plainest = replace(one, context=min(one.slots, blocks) * one.height, chunk=1)
                assert operations(layer_steps(plainest, block, tokens, slots)) == whole
