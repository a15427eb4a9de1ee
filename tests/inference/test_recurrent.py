"""Recurrent mixers on the wafer: values against the plain reference, clocks of both engines, memory, and laws."""

import numpy as np
import pytest

from wsekern.inference.mapping import Mapping
from wsekern.inference.reference.model import ReferenceModel
from wsekern.inference.wafer import WaferModel
from wsekern.machine import load_machine
from wsekern.ops.engines.both import BothEngines
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Block, Norm, Recurrent

WSE3 = load_machine("wse3")
HIDDEN, VOCAB = 20, 30
NORM = Norm(eps=1e-6)


class MemoryWeights:
    """Weights in memory."""

    def __init__(self, outer, blocks):
        self.outer, self.blocks = outer, blocks

    def block(self, index):
        return self.blocks[index]


def made(kind: str, key_heads=2, value_heads=4, key_dim=6, value_dim=5, kernel=4, **more) -> Recurrent:
    """A tiny mixer; ``matrices`` as a configuration's."""
    key, value = key_heads * key_dim, value_heads * value_dim
    if kind == "short_convolution":
        return Recurrent(kind=kind, key_heads=0, key_dim=0, value_heads=0, value_dim=0, kernel=3, convolved=HIDDEN,
                         matrices=((0, 3 * HIDDEN), (0, 0)), **more)
    heads = 2 * value_heads if kind == "gated_delta" else value_heads
    return Recurrent(kind=kind, key_heads=key_heads, key_dim=key_dim, value_heads=value_heads, value_dim=value_dim, norm=NORM,
                     kernel=kernel, convolved=2 * key + value, matrices=((0, 2 * key + 2 * value + heads), (value, 0)), **more)


def model_of(part: Recurrent, layers=2, seed=0) -> tuple[ModelConfig, MemoryWeights]:
    """A model of that mixer alone, with random weights by the names of the description."""
    random = np.random.default_rng(seed)
    key, value = part.key_size, part.value_size

    def matrix(inputs, outputs):
        return (random.standard_normal((inputs, outputs)) / np.sqrt(inputs)).astype(np.float32)

    def vector(size):
        return (random.standard_normal(size) * 0.5).astype(np.float32)

    def block():
        widths = {"gated_delta": dict(in_q=key, in_k=key, in_v=value, in_z=value, in_b=part.value_heads, in_a=part.value_heads),
                  "mamba2": dict(in_z=value, in_x=value, in_B=key, in_C=key, in_dt=part.value_heads),
                  "short_convolution": dict(in_B=HIDDEN, in_C=HIDDEN, in_x=HIDDEN)}[part.kind]
        found = {name: 2 * matrix(HIDDEN, width) for name, width in widths.items()}
        found |= {"before_mixer": 1 + vector(HIDDEN), "o": matrix(value or HIDDEN, HIDDEN),
                  "conv": vector((part.convolved, part.kernel))}
        if value:
            found |= {"decay": vector(part.value_heads), "dt_bias": vector(part.value_heads),
                      "state_norm": 1 + vector(part.value_dim if part.kind == "gated_delta" else value)}
        if part.kind == "mamba2":
            found |= {"conv_bias": vector(part.convolved), "skip": vector(part.value_heads)}
        if part.bias:
            found |= {f"{name}_bias": vector(width) for name, width in (widths | {"o": HIDDEN}).items()}
            found["conv_bias"] = vector(part.convolved)
        return found

    config = ModelConfig(name="tiny", architecture="Tiny", hidden=HIDDEN, vocab=VOCAB, max_context=64, final_norm=NORM,
                         blocks=(Block(mixer=part, before_mixer=NORM),) * layers)
    outer = dict(embedding=5 * matrix(VOCAB, HIDDEN), norm=1 + vector(HIDDEN), head=matrix(HIDDEN, VOCAB))
    return config, MemoryWeights(outer, [block() for _ in range(layers)])


PARTS = {
    "delta": made("gated_delta"), "delta wide": made("gated_delta", key_heads=1, value_heads=1, key_dim=24, value_dim=12),
    "delta equal": made("gated_delta", key_heads=4, value_heads=4), "mamba2": made("mamba2"),
    "mamba2 one group": made("mamba2", key_heads=1, value_heads=6), "mamba2 bias": made("mamba2", bias=True),
    "convolution": made("short_convolution"), "convolution bias": made("short_convolution", bias=True),
}


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("grid", [(1, 1), (3, 2), (9, 5), (26, 7)])
def test_values_are_those_of_the_reference(name, grid):
    config, weights = model_of(PARTS[name])
    tokens = [3, 1, 4, 1, 5, 9, 2, 6]
    wafer = WaferModel(config, weights, WSE3, Mapping(config, *grid, "fp32", 16, 3))
    plain = ReferenceModel(config, weights)
    expected = plain.forward(tokens)[-1]
    np.testing.assert_allclose(wafer.prefill(tokens), expected, rtol=1e-4, atol=1e-4)
    for token in (7, 8):
        np.testing.assert_allclose(wafer.decode(token), plain.forward([token])[-1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("name", ["delta", "mamba2", "convolution bias"])
def test_both_engines_give_the_same_values_and_clocks(name, precision):
    config, weights = model_of(PARTS[name], layers=1)
    wafer = WaferModel(config, weights, WSE3, Mapping(config, 5, 4, precision, 8, 2), engine=BothEngines)
    wafer.prefill([3, 1, 4])
    assert wafer.engine.operations_by_wavelet > 9 and wafer.engine.clock_difference == 0


@pytest.mark.parametrize("form", ["scalar", "vector", "vector-fp32"])
def test_every_form_of_functions_is_executed(form):
    config, weights = model_of(PARTS["delta"])
    wafer = WaferModel(config, weights, WSE3, Mapping(config, 5, 4, "fp32", 8, 2, activations=form))
    np.testing.assert_allclose(wafer.prefill([3, 1, 4]), ReferenceModel(config, weights).forward([3, 1, 4])[-1], atol=1e-4)
