"""Norms folded into products: every kind of part against the plain reference, on both engines, in every number format."""

from dataclasses import replace

import numpy as np
import pytest

from wsekern.inference.blocks.folding import HEADROOM
from wsekern.inference.layer import layer_steps, layer_tiles
from wsekern.inference.mapping import Mapping
from wsekern.inference.outer import head_steps
from wsekern.inference.programs import Programs
from wsekern.inference.reference import ReferenceModel
from wsekern.inference.step_times import time_layer
from wsekern.inference.steps import LayerStep
from wsekern.inference.wafer import WaferModel
from wsekern.machine import load_machine
from wsekern.ops import AllReduce, FlowEngine
from wsekern.ops.engines.both import BothEngines
from wsekern.workload import load_config
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Attention, Block, FeedForward, LatentAttention, Mixture, Norm, Recurrent, Rotary
from wsekern.workload.weights.weights import Weights, random_weights

WSE3, FOLDED = load_machine("wse3"), Programs(norms="folded")
PROMPT = [3, 14, 15, 92, 65, 35, 89]
NORM, LAYER = Norm(eps=1e-5), Norm(kind="layer", bias=True)
SELF = Attention(heads=4, kv_heads=2, head_dim=10, rotary=Rotary(size=10))
SILU = FeedForward(width=29)
LATENT = LatentAttention(heads=5, q_rank=9, kv_rank=10, nope_dim=6, rope_dim=4, value_dim=7, norm=NORM,
                         rotary=Rotary(size=4, neighbors=True))
EXPERTS = Mixture(experts=6, chosen=2, expert=FeedForward(width=11), shared=FeedForward(width=9), shared_gate=True)
CONVOLUTION = Recurrent(kind="short_convolution", key_heads=0, key_dim=0, value_heads=0, value_dim=0, kernel=3, convolved=33,
                        matrices=((0, 99), (0, 0)))
MAMBA = Recurrent(kind="mamba2", key_heads=2, key_dim=6, value_heads=4, value_dim=5, norm=NORM, kernel=4, convolved=44,
                  matrices=((0, 68), (20, 0)))


def block(mixer=SELF, feed=SILU, **more) -> Block:
    return Block(mixer=mixer, feed=feed, **dict(before_mixer=NORM, before_feed=NORM) | more)


CASES = {
    "dense": (block(),), "biases": (block(replace(SELF, biases="qkvo", norm=NORM), replace(SILU, bias=True)),),
    "mixture": (block(feed=EXPERTS),), "latent": (block(LATENT),), "convolution": (block(CONVOLUTION),),
    "mixture-of-a-projection": (block(feed=Mixture(experts=6, chosen=2, latent=9, expert=SILU, scores="sigmoid")),),
    "two-mixers": (block(beside=MAMBA),), "one-norm-for-both": (block(before_feed=None, parallel=True, beside=MAMBA),),
    "parallel": (block(parallel=True, residual=0.5),), "norms-around": (block(after_mixer=NORM, after_feed=NORM),),
    "no-gain": (block(replace(SELF, gate=True), before_mixer=Norm(gain=False)),),
    "layer-norm-before-the-mixer": (block(before_mixer=LAYER),),
    "latent-and-mixture": (block(replace(LATENT, biases="qko"), EXPERTS),),
}
OUTER = {"tied": dict(tied_embeddings=True), "narrow": dict(embedding_size=19), "no-final-norm": dict(final_norm=None),
         "final-layer-norm": dict(final_norm=LAYER), "no-final-gain": dict(final_norm=Norm(gain=False))}
CASES |= {name: CASES["dense"] for name in OUTER}


def model(case: str) -> tuple[ModelConfig, Weights]:
    config = ModelConfig(name="tiny", architecture="", hidden=33, vocab=93, max_context=64, blocks=CASES[case],
                         **dict(final_norm=NORM) | OUTER.get(case, {}))
    return config, random_weights(config)


def logits(model: WaferModel | ReferenceModel, prompt: int = len(PROMPT)) -> np.ndarray:
    if isinstance(model, ReferenceModel):
        return np.stack([model.forward(PROMPT[:prompt])[-1], model.forward([5])[-1]])
    return np.stack([model.prefill(PROMPT[:prompt]), model.decode(5)])


@pytest.mark.parametrize("case", CASES)
def test_folded_norms_are_those_of_the_reference(case):
    (config, weights), grid = model(case), ((5, 3), (11, 4))[len(case) % 2]
    expected = logits(ReferenceModel(config, weights))
    wafer = WaferModel(config, weights, WSE3, Mapping(config, *grid, "fp32", 24, 4, programs=FOLDED))
    np.testing.assert_allclose(logits(wafer), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("precision", "cases"), [
    ("fp16", ("dense", "mixture", "latent", "two-mixers", "tied")), ("bf16", ("biases", "one-norm-for-both")),
    ("fp16_fp32", ("latent-and-mixture", "convolution")), ("fp32", ("mixture-of-a-projection", "narrow"))])
def test_both_engines_fold_to_the_same_bits_and_clocks(precision, cases):
    for case in cases:
        config, weights = model(case)
        mapping = Mapping(config, 2, 9, precision, 24, 4, programs=FOLDED)
        both, flow = (WaferModel(config, weights, WSE3, mapping, engine=engine) for engine in (BothEngines, FlowEngine))
        found = logits(both, 3)
        assert found.tobytes() == logits(flow, 3).tobytes()
        assert both.engine.clock_difference == 0 and both.engine.operations_by_wavelet > 12
        apart = logits(WaferModel(config, weights, WSE3, replace(mapping, programs=Programs())), 3)
        expected, close = logits(ReferenceModel(config, weights), 3), {"fp32": 1e-5, "bf16": 0.2}.get(precision, 0.03)
        assert np.abs(found - expected).max() < close * np.abs(expected).max()
        assert np.std(found - expected) < 3 * np.std(apart - expected) + 1e-6, case


@pytest.mark.parametrize("case", CASES)
def test_every_weight_is_counted_and_read_once_folded(case):
    config, weights = model(case)
    mapping = Mapping(config, 5, 3, programs=FOLDED)
    tiles = layer_tiles(mapping, config.blocks[0], weights.block(0), 0)
    read = {name for step in layer_steps(mapping, config.blocks[0], 2, 1) for name in step.inputs}
    assert {name for name in tiles if not name.endswith("places")} <= read
    if not {"mixture", "two", "one"} & set(case.split("-")):
        kept = sum(tile[0, 0].nbytes for name, tile in tiles.items() if not name.endswith("places"))
        assert kept == mapping._sizes[0].weights


def test_a_row_of_reductions_is_two_shorter_for_each_layer():
    def reductions(steps):
        return [step.operation for step in steps if isinstance(step, LayerStep) and isinstance(step.operation, AllReduce)]

    for case, saved, riding in (("dense", 2, 2), ("mixture", 2, 2), ("two-mixers", 2, 2), ("latent", 3, 3), ("biases", 3, 2),
                                ("layer-norm-before-the-mixer", 1, 1)):     # with biases, norms of queries and keys
        config, _ = model(case)
        apart, folded = (Mapping(config, 7, 6, programs=programs) for programs in (Programs(), FOLDED))
        found = [reductions(layer_steps(mapping, config.blocks[0], 3, 1)) for mapping in (apart, folded)]
        assert len(found[0]) - len(found[1]) == saved and sum(bool(reduce.tail) for reduce in found[1]) == riding
        assert len(reductions(head_steps(apart))) - len(reductions(head_steps(folded))) == 1


def test_gains_stay_apart_from_matrices_of_fewer_bits(monkeypatch):
    for case in ("dense", "latent"):
        config, weights = model(case)
        mapping = Mapping(config, 5, 4, "fp32", 24, 4, programs=FOLDED)
        expected = logits(WaferModel(config, weights, WSE3, mapping))
        with monkeypatch.context() as patched:
            for place in ("layer", "outer", "mapping", "blocks.latent"):
                patched.setattr(f"wsekern.inference.{place}.gain_in_rows", lambda mapping: False)
            apart = WaferModel(config, weights, WSE3, mapping)
            np.testing.assert_allclose(logits(apart), expected, rtol=1e-5, atol=1e-5)
            step = next(step for step in layer_steps(mapping, config.blocks[0], 1, 1) if step.name == "norm_gain")
            assert step.inputs == ("x", "gain") and step.outputs == ("h",)


def test_large_residual_streams_leave_room_in_fp16():
    """Where x is so large that products of it would end in infinity, those of x over the headroom do not."""
    config, weights = model("dense")
    weights.outer["embedding"] *= np.float32(2000)
    for part in ("q", "k", "v", "gate", "up"):
        weights.block(0)[part] *= np.float32(4)
    mapping = Mapping(config, 5, 4, "fp16", 24, 4, programs=FOLDED)
    expected, found = logits(ReferenceModel(config, weights)), logits(WaferModel(config, weights, WSE3, mapping))
    assert round(np.log2(HEADROOM)) == np.log2(HEADROOM)
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


@pytest.mark.parametrize(("name", "grid"), [("llama3-8b", (377, 130)), ("llama3-70b", (755, 195))])
def test_folding_saves_both_norms_reductions(name, grid):
    config = load_config(name)
    apart, folded = (time_layer(WSE3, Mapping(config, *grid, context=1152, layers=1, programs=programs), 1,
                                -(-1152 // grid[1]), "silicon", config.blocks[0]).cycles for programs in (Programs(), FOLDED))
    reduce = FlowEngine(WSE3, *grid)
    reduce.time(AllReduce(1, "y", groups=round(grid[1]**0.5), precision="fp32"))
    assert apart - folded > 1.5 * reduce.cycles
