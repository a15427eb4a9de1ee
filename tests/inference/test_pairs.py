"""Every two choices of programs together, in a layer with attention and a mixture, on both engines."""

from itertools import combinations

import numpy as np
import pytest

from wsekern.inference.mapping import Mapping
from wsekern.inference.programs import Programs
from wsekern.inference.reference import ReferenceModel
from wsekern.inference.wafer import WaferModel
from wsekern.machine import load_machine
from wsekern.ops.engines.both import BothEngines
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Attention, Block, FeedForward, Mixture, Norm, Rotary
from wsekern.workload.weights.weights import random_weights

WSE3, PROMPT = load_machine("wse3"), [3, 1, 4]
CHOICES = (("norms", "folded"), ("softmax", "bound"), ("softmax_sum", "riding"), ("local", "shared"), ("products", "together"),
           ("router", "gathered"), ("shares", "together"), ("biases", "dealt"), ("groups", "odd"), ("position_blocks", 2),
           ("expert_blocks", 2), ("router_copies", 2))
QUICKEST = ("groups", "quickest")
PAIRS = list(combinations(CHOICES, 2))
QUICK = PAIRS[::6]
PAIRS += [(other, QUICKEST) for other in CHOICES if other[0] != "groups"]
CONFIG = ModelConfig(name="tiny", architecture="", hidden=32, vocab=64, max_context=32, final_norm=Norm(), blocks=(Block(
    mixer=Attention(heads=4, kv_heads=2, head_dim=8, rotary=Rotary(size=8)), before_mixer=Norm(), before_feed=Norm(),
    feed=Mixture(experts=6, chosen=2, expert=FeedForward(width=12, bias=True), shared=FeedForward(width=8))),))


def _title(choice: tuple[str, str | int]) -> str:
    return "quickest" if choice == QUICKEST else choice[0]


@pytest.mark.parametrize("pair", [pytest.param(pair, id="-".join(map(_title, pair)),
                                               marks=() if pair in QUICK else pytest.mark.slow) for pair in PAIRS])
def test_two_choices_together_give_the_same_bits_and_clocks_on_both_engines(pair):
    config, weights = CONFIG, random_weights(CONFIG)
    mapping = Mapping(config, 4, 8, "fp16", 16, 3, programs=Programs(**dict(pair)))
    wafer, reference = WaferModel(config, weights, WSE3, mapping, engine=BothEngines), ReferenceModel(config, weights)
    for found, tokens in ((wafer.prefill(PROMPT), PROMPT), (wafer.decode(7), [7])):
        expected = reference.forward(tokens)[-1]
        np.testing.assert_allclose(found, expected, atol=0.03 * np.abs(expected).max())
    assert wafer.engine.clock_difference == 0 and wafer.engine.operations_by_wavelet > 12
