"""Programs of the softmax and of the cache: relative to a bound, sums that ride, positions cut over blocks, slots that go round."""

from dataclasses import replace

import numpy as np
import pytest

from wsekern.inference.blocks.heads import HeadsOnGrid
from wsekern.inference.mapping import Mapping
from wsekern.inference.programs import Programs
from wsekern.inference.reference import ReferenceModel
from wsekern.inference.wafer import WaferModel
from wsekern.machine import load_machine
from wsekern.ops import CycleEngine, FlowEngine
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Attention, Block, FeedForward, Norm, Rotary
from wsekern.workload.weights.weights import Weights, random_weights

WSE3 = load_machine("wse3")
PROMPT = [3, 14, 15, 92, 65, 35, 89, 79, 32]
PLAIN = Attention(heads=4, kv_heads=2, head_dim=10, rotary=Rotary(size=10))
LAYER = Norm(kind="layer", eps=1e-5, bias=True)
CASES = {
    "grouped": {}, "sinks": dict(sinks=True), "window": dict(window=3), "chunks-with-sinks": dict(chunk=4, sinks=True),
    "alibi": dict(alibi=0.4, rotary=None), "softcap": dict(softcap=3.0, scale=0.4), "late": dict(norm=Norm(), norm_late=True),
    "layer-norm-of-all-heads": dict(norm=LAYER, norm_whole=True), "gate": dict(gate=True, value_dim=7, biases="qkvo"),
    "values-are-keys": dict(values_are_keys=True, value_norm=Norm(gain=False), norm=Norm()), "one-head": dict(kv_heads=1),
    "temperature": dict(temperature=(0.5, 4, 1), clip=0.6), "gains-of-each-head": dict(norm=Norm(), norm_apart=True),
}
VARIANTS = {
    "riding": Programs(softmax_sum="riding"), "bound": Programs(softmax="bound"),
    "bound-riding": Programs(softmax="bound", softmax_sum="riding"), "blocks": Programs(position_blocks=2),
    "blocks-riding": Programs(position_blocks=3, softmax_sum="riding"),
    "all": Programs(softmax="bound", softmax_sum="riding", position_blocks=2),
}


def model(case: str, hidden: int = 32) -> tuple[ModelConfig, Weights]:
    block = Block(mixer=replace(PLAIN, **CASES[case]), feed=FeedForward(width=29), before_mixer=Norm(), before_feed=Norm())
    config = ModelConfig(name="tiny", architecture="", hidden=hidden, vocab=93, max_context=64, blocks=(block,))
    return config, random_weights(config)


def wafer(case: str, grid=(8, 4), precision="fp32", **options) -> WaferModel:
    config, weights = model(case)
    engine = options.pop("engine", FlowEngine)
    return WaferModel(config, weights, WSE3, Mapping(config, *grid, precision, 28, 4, **options), engine=engine)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("case", CASES)
def test_every_program_computes_what_the_reference_computes(case, variant):
    grid = ((8, 4), (13, 3), (3, 5), (9, 1))[(len(case) + len(variant)) % 4]
    reference, found = ReferenceModel(*model(case)), wafer(case, grid, programs=VARIANTS[variant])
    np.testing.assert_allclose(found.prefill(PROMPT), reference.forward(PROMPT)[-1], atol=2e-5)
    for token in (1, 5, 7):
        np.testing.assert_allclose(found.decode(token), reference.forward([token])[-1], atol=2e-5)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("precision", "form"), [("fp16", "vector"), ("bf16", "vector-fp32"), ("fp16_fp32", "scalar")])
def test_every_program_has_the_same_bits_and_clocks_on_both_engines(variant, precision, form):
    for case in ("chunks-with-sinks", "softcap"):
        flow, cycle = (wafer(case, (8, 4), precision, programs=VARIANTS[variant], activations=form, engine=engine)
                       for engine in (FlowEngine, CycleEngine))
        assert flow.prefill(PROMPT[:5]).tobytes() == cycle.prefill(PROMPT[:5]).tobytes()
        assert flow.decode(7).tobytes() == cycle.decode(7).tobytes()
        np.testing.assert_array_equal(flow.engine.clock, cycle.engine.clock)
