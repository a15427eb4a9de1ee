"""Recurrent mixers on the wafer: values against the plain reference, clocks of both engines, memory, and laws."""

import dataclasses

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.inference.blocks.registry import mixers_on_grid
from wsekern.inference.mapping import Mapping
from wsekern.inference.reference.model import ReferenceModel
from wsekern.inference.reference.recurrent import EXECUTED
from wsekern.inference.step_times import time_layers
from wsekern.inference.wafer import WaferModel
from wsekern.machine import load_machine
from wsekern.ops.engines.both import BothEngines
from wsekern.ops.repeated import Repeated
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


def test_a_state_cannot_go_back():
    config, weights = model_of(PARTS["delta"])
    wafer = WaferModel(config, weights, WSE3, Mapping(config, 3, 2, "fp32", 16, 3))
    wafer.prefill([3, 1, 4])
    wafer.rewind(3)
    assert not wafer.can_rewind
    with pytest.raises(InputError, match=r"recurrent layers, whose state cannot go back: start anew"):
        wafer.rewind(2)


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


def part_of(kind: str) -> Recurrent:
    """A mixer of each kind, with matrices as configurations give them."""
    narrow = {"kimi_delta": ((0, 144), (0, 12), (12, 48), (0, 4), (0, 12), (12, 48), (48, 0)),
              "lightning": ((0, 144), (0, 48), (48, 0)), "mamba": ((0, 96), (48, 20), (4, 48), (48, 8), (48, 0)),
              "rg_lru": ((0, 96), (48, 0), (48, 24)), "rwkv": ((0, 144), (48, 0))}
    if kind not in narrow:
        return made(kind)
    heads, dim, key = {"mamba": (1, 48, 8), "rg_lru": (4, 12, 1), "rwkv": (1, 48, 4)}.get(kind, (4, 12, 12))
    kernel, convolved = {"lightning": (0, 0), "rwkv": (0, 0), "kimi_delta": (4, 144)}.get(kind, (4, 48))
    return Recurrent(kind=kind, key_heads=heads, key_dim=key, value_heads=heads, value_dim=dim, kernel=kernel,
                     convolved=convolved, matrices=narrow[kind], norm=NORM)


KINDS = ("gated_delta", "kimi_delta", "lightning", "mamba2", "mamba", "short_convolution", "rg_lru", "rwkv")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_time_that_does_not_grow_with_the_context(kind):
    part = part_of(kind)
    config = ModelConfig(name="tiny", architecture="Tiny", hidden=HIDDEN, vocab=VOCAB, max_context=1 << 20, final_norm=NORM,
                         blocks=(Block(mixer=part, before_mixer=NORM),))
    mapping = Mapping(config, 12, 10, context=1 << 16)
    short, long, more = (time_layers(WSE3, mapping, tokens, slots, "silicon").cycles
                         for tokens, slots in ((1, 1), (1, 1 << 12), (4, 1)))
    assert 0 < short == long < more < 4 * short
    users = [Mapping(config, 12, 10, users=count).memory["kv_cache"] for count in (1, 100)]
    assert users[0] > 0 and 10 * users[0] <= users[1] <= 100 * users[0]
    assert mapping.memory["kv_cache"] == Mapping(config, 12, 10, context=16).memory["kv_cache"]
    mixer = mixers_on_grid(mapping, config.blocks[0])[0]
    assert mixer.assumptions() and mixer.sizes == tuple(index.shape[1] for index in mixer.columns)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in EXECUTED])
def test_what_is_timed_only_is_refused_in_one_sentence(kind):
    config = ModelConfig(name="tiny", architecture="Tiny", hidden=HIDDEN, vocab=VOCAB, max_context=64, final_norm=NORM,
                         blocks=(Block(mixer=part_of(kind), before_mixer=NORM),))
    with pytest.raises(InputError, match="tiny cannot be executed yet"):
        WaferModel(config, MemoryWeights({}, [{}]), WSE3, Mapping(config, 12, 10))


def test_what_there_is_no_mixer_for_is_refused():
    config, _ = model_of(PARTS["delta"])
    block = dataclasses.replace(config.blocks[0], mixer=dataclasses.replace(config.blocks[0].mixer, kind="hyena"))
    with pytest.raises(InputError, match="tiny: a hyena mixer cannot be mapped onto a wafer; expected one of gated_delta"):
        Mapping(dataclasses.replace(config, blocks=(block,)), 4, 4)


def test_users_fill_blocks_of_rows_before_any_holds_two():
    config, _ = model_of(made("gated_delta", key_dim=24, value_dim=16), layers=1)
    block, = {part for part, _ in config.kinds}
    one, = mixers_on_grid(Mapping(config, 8, 48), block)
    blocks = 48 // one.rows
    full, more = (mixers_on_grid(Mapping(config, 8, 48, users=users), block)[0].state for users in (blocks, blocks + 1))
    assert blocks > 2 and one.state <= full * blocks < one.state + blocks
    assert 2 * one.state <= more * (blocks + 1) < 2 * one.state + blocks + 1


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("grid", [(3, 2), (9, 5), (26, 7)])
def test_every_weight_and_all_that_is_kept_is_counted(name, grid):
    config, weights = model_of(PARTS[name], layers=1)
    part, = mixers_on_grid(Mapping(config, *grid), config.blocks[0])
    tiles = [Repeated.of(tile).full() for tile in part.tiles(weights.block(0), "here").values()]
    assert sum(tile[0, 0].size for tile in tiles) == part.weights
    assert sum(np.prod(shape) for shape in part.cache().values()) == part.state
