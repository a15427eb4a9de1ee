"""Blocks of every kind that a description can ask for, with made-up weights: the wafer against the plain reference."""

from dataclasses import replace

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.inference.layer import layer_cache, layer_steps, layer_tiles, parts_on_grid
from wsekern.inference.mapping import Mapping
from wsekern.inference.reference import ReferenceModel
from wsekern.inference.steps import LayerStep
from wsekern.inference.wafer import WaferModel
from wsekern.machine import load_machine
from wsekern.ops import CycleEngine, FlowEngine
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Attention, Block, FeedForward, Indexer, Norm, Rotary
from wsekern.workload.weights.weights import Weights, random_weights

WSE3 = load_machine("wse3")
PROMPT = [3, 14, 15, 92, 65, 35, 89, 79, 32]
LAYER = Norm(kind="layer", eps=1e-5, bias=True)
PLAIN = Attention(heads=4, kv_heads=2, head_dim=10, rotary=Rotary(size=10))
FEED = FeedForward(width=29)


def attention(**changes) -> Block:
    return Block(mixer=replace(PLAIN, **changes), feed=FEED, before_mixer=Norm(), before_feed=Norm())


def feed(**changes) -> Block:
    return Block(mixer=PLAIN, feed=replace(FEED, **changes), before_mixer=Norm(), before_feed=Norm())


BLOCKS = {
    "sinks": attention(sinks=True), "gate": attention(gate=True, biases="o"), "values-of-another-size": attention(value_dim=7),
    "values-are-keys": attention(values_are_keys=True, value_norm=Norm(gain=False), norm=Norm()),
    "gated-values-of-another-size": attention(gate=True, value_dim=12, biases="qkvo"),
    "value-bias-alone": attention(biases="v"), "chunks": attention(chunk=4), "window": attention(window=3),
    "sinks-in-a-window": attention(window=3, sinks=True), "alibi": attention(alibi=0.4, rotary=None),
    "late-norm-without-gain": attention(norm=Norm(gain=False), norm_late=True),
    "gains-of-each-head": attention(norm=Norm(kind="layer"), norm_apart=True, scale=0.4),
    "backwards": attention(rotary=Rotary(size=6, backwards=True)),
    "layer-norm-of-heads": attention(norm=LAYER), "layer-norm-of-all-heads": attention(norm=LAYER, norm_whole=True),
    "whole-late-norm": attention(norm=Norm(), norm_whole=True, norm_late=True),
    "temperature-without-rotation": attention(rotary=None, temperature=(0.5, 4, 1)),
    "temperature": attention(temperature=(0.5, 4, 1)), "softcap": attention(softcap=3.0, scale=0.4),
    "clip": attention(clip=0.6), "clip-before-norm": attention(clip=0.6, norm=Norm(), biases="qkv"),
    "neighbors": attention(rotary=Rotary(size=10, neighbors=True)), "odd-heads": attention(rotary=None, head_dim=7),
    "some-neighbors": attention(rotary=Rotary(size=4, neighbors=True)), "one-head": attention(kv_heads=1, heads=6),
    "gelu": feed(activation="gelu"), "gelu-tanh-ungated": feed(activation="gelu_tanh", gated=False, bias=True),
    "quick-gelu": feed(activation="quick_gelu"), "relu": feed(activation="relu", gated=False),
    "relu2": feed(activation="relu2", gated=False), "gated-relu2": feed(activation="relu2"),
    "clamped-silu": feed(activation="clamped_silu", limit=0.7, bias=True), "silu-ungated": feed(activation="silu", gated=False),
    "xielu": feed(activation="xielu", gated=False, bias=True),
    "layer-norms": Block(mixer=PLAIN, feed=FEED, before_mixer=LAYER, before_feed=LAYER),
    "norms-behind": Block(mixer=PLAIN, feed=FEED, after_mixer=Norm(), after_feed=LAYER),
    "norms-around": Block(mixer=PLAIN, feed=FEED, before_mixer=Norm(), after_mixer=Norm(), before_feed=Norm(),
                          after_feed=Norm()),
    "norm-without-gain": Block(mixer=PLAIN, feed=FEED, before_mixer=Norm(kind="layer", gain=False),
                               before_feed=Norm(gain=False)),
    "parallel": Block(mixer=PLAIN, feed=FEED, before_mixer=LAYER, parallel=True),
    "parallel-with-two-norms": Block(mixer=PLAIN, feed=FEED, before_mixer=LAYER, before_feed=LAYER, parallel=True,
                                     residual=0.3),
    "attention-alone": Block(mixer=PLAIN, before_mixer=Norm()), "feed-forward-alone": Block(feed=FEED, before_feed=Norm()),
    "no-norm": Block(mixer=PLAIN, feed=FEED, residual=0.5),
    "scaled": Block(mixer=PLAIN, feed=FEED, before_mixer=Norm(), before_feed=Norm(), scaled=True),
    "norms-behind-the-sums": Block(mixer=PLAIN, feed=FEED, after_mixer=LAYER, after_feed=Norm(), residual=0.5, behind_sum=True),
}
OUTER = {
    "multipliers": dict(embedding_scale=3.0, logits_scale=0.25), "softcap": dict(logits_softcap=2.0),
    "head-bias": dict(head_bias=True), "learned-positions": dict(learned_positions=30),
    "embedding-norm": dict(embedding_norm=LAYER), "layer-norm": dict(final_norm=LAYER), "no-norm": dict(final_norm=None),
    "narrow-embedding": dict(embedding_size=19, head_bias=True, embedding_scale=2.0, logits_scale=0.5),
    "narrow-tied": dict(embedding_size=13, tied_embeddings=True, learned_positions=30),
    "tied": dict(tied_embeddings=True, embedding_scale=0.5, learned_positions=24, embedding_norm=Norm()),
}
CASES = {**{name: ((block,), {}) for name, block in BLOCKS.items()},
         **{f"outer-{name}": ((attention(),), outer) for name, outer in OUTER.items()}}


def model(case: str, hidden: int = 33) -> tuple[ModelConfig, Weights]:
    blocks, outer = CASES[case]
    config = ModelConfig(name="tiny", architecture="", hidden=hidden, vocab=93, max_context=64, blocks=blocks, **outer)
    return config, random_weights(config)


@pytest.mark.parametrize("case", CASES)
def test_the_wafer_computes_what_the_reference_computes(case):
    (config, weights), grid = model(case), ((5, 3), (11, 4))[len(case) % 2]
    reference, wafer = ReferenceModel(config, weights), WaferModel(config, weights, WSE3, Mapping(config, *grid, "fp32", 24, 4))
    np.testing.assert_allclose(wafer.prefill(PROMPT), reference.forward(PROMPT)[-1], atol=2e-5)
    for token in (1, 5):
        np.testing.assert_allclose(wafer.decode(token), reference.forward([token])[-1], atol=2e-5)


@pytest.mark.parametrize(("form", "precision", "cases"), [
    ("vector", "fp16", ("sinks-in-a-window", "gate", "layer-norm-of-all-heads", "temperature", "softcap", "outer-tied")),
    ("scalar", "fp16_fp32", ("gelu", "gated-relu2", "clamped-silu", "clip", "softcap", "gate", "outer-softcap")),
    ("vector", "bf16", ("gelu-tanh-ungated", "quick-gelu", "relu2", "clamped-silu", "layer-norms", "outer-head-bias")),
    ("vector", "fp32", ("alibi", "layer-norm-of-heads", "gains-of-each-head", "xielu", "silu-ungated",
                        "parallel-with-two-norms", "outer-learned-positions")),
])
def test_both_engines_have_the_same_bits_and_clocks(form, precision, cases):
    for case in cases:
        config, weights = model(case, 32)
        mapping = Mapping(config, 4, 4, precision, 24, 4, activations=form)
        flow, cycle = (WaferModel(config, weights, WSE3, mapping, engine=engine) for engine in (FlowEngine, CycleEngine))
        assert flow.prefill(PROMPT[:3]).tobytes() == cycle.prefill(PROMPT[:3]).tobytes()
        np.testing.assert_array_equal(flow.engine.clock, cycle.engine.clock)


@pytest.mark.parametrize("case", CASES)
def test_every_weight_is_counted_and_read(case):
    """The bytes of all tiles are those that memory counts, and every tile has a reader."""
    config, weights = model(case)
    mapping, block = Mapping(config, 5, 3), config.blocks[0]
    tiles = layer_tiles(mapping, block, weights.block(0), 0)
    assert sum(tile[0, 0].nbytes for tile in tiles.values()) == mapping._sizes[0].weights
    steps = layer_steps(mapping, block, 2, 1)
    assert set(tiles) <= {name for step in steps for name in step.inputs}
    kept = sum(np.prod(shape) for shape in layer_cache(mapping, block).values())
    assert kept == sum(mapping.slots * part.slot + part.state for part in parts_on_grid(mapping, block))


def test_what_has_no_steps_is_refused_by_model_and_part():
    indexer = Indexer(heads=1, head_dim=4, chosen=4)
    for block, words in ((attention(q_rank=8), "tiny: a model with compressed queries"),
                         (attention(q_rank=8, indexer=indexer), "compressed queries"),
                         (attention(cache_of=1), "keys and values of another layer"), (feed(activation="xielu"), "xielu")):
        with pytest.raises(InputError, match=words):
            Mapping(ModelConfig(name="tiny", architecture="", hidden=32, vocab=93, max_context=64, blocks=(block,)), 4, 4)


def test_what_only_time_takes_into_account_is_not_executed():
    for changes, words in (({"multipliers": (("ssm_multipliers", 2.0),)}, "ssm_multipliers"), ({"extra": 4}, "further weights"),
                           ({"repeats": True}, "share their weights")):
        config, weights = model("window")
        config = replace(config, blocks=(replace(config.blocks[0], **changes),))
        with pytest.raises(InputError, match=f"tiny cannot be executed yet: its description has .*{words}"):
            WaferModel(config, weights, WSE3, Mapping(config, 4, 4, "fp32", 24, 4))
        with pytest.raises(InputError, match=words):
            ReferenceModel(config, weights)


def test_more_tokens_than_learned_positions_are_refused():
    config, weights = model("outer-tied")
    wafer = WaferModel(config, weights, WSE3, Mapping(config, 4, 4, "fp32", 40, 4))
    with pytest.raises(InputError, match="25 tokens are more than the 24 positions that tiny has learned"):
        wafer.prefill([1] * 25)


def test_a_window_is_read_alone():
    """A layer with a window takes no longer the longer the text before it."""
    short, long = (Mapping(model(case)[0], 4, 4, "fp32", 400, 1) for case in ("window", "odd-heads"))
    steps = [layer_steps(short, short.config.blocks[0], 1, slots) for slots in (2, 50)]
    few, many = ([step.operation for step in one if isinstance(step, LayerStep)] for one in steps)
    assert few == many
    assert short.memory["buffers"] < long.memory["buffers"]
