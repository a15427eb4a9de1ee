"""Models with weights of 8 and 4 bits on the wafer: against the plain reference with the weights as PEs keep them, on both
engines."""

import dataclasses

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.inference.blocks.experts import MixtureOnGrid
from wsekern.inference.kept_weights import KeptWeights, share_rounded
from wsekern.inference.mapping import Mapping
from wsekern.inference.packed import Matrix, kept_matrix
from wsekern.inference.programs import PLAIN, PROGRAM_SETS, Programs
from wsekern.inference.reference import Activations, ReferenceModel
from wsekern.inference.wafer import WaferModel
from wsekern.machine import load_machine
from wsekern.ops import CycleEngine, FlowEngine
from wsekern.ops.local.packing import PACKINGS, packing
from wsekern.workload import uniform
from wsekern.workload.decoder import FeedForward, Mixture
from wsekern.workload.weights.weights import random_weights

TODAY = dataclasses.replace(PROGRAM_SETS["default"].programs, local="redundant")
"""Without gathers, where words wait for busy cores and clocks part by a cycle, packed or not."""
WSE3 = load_machine("wse3")
PROMPT = [3, 14, 15, 92, 65]
MIXTURE = Mixture(experts=5, chosen=2, expert=FeedForward(width=11, bias=True), normalized=True, shared=FeedForward(width=9))


def mixture_model():
    config = uniform(name="mixed", layers=1, hidden=36, heads=4, kv_heads=2, head_dim=8, ffn=8, vocab=96, max_context=64)
    config = dataclasses.replace(config, blocks=tuple(dataclasses.replace(block, feed=MIXTURE) for block in config.blocks))
    return config, random_weights(config, 1)


@pytest.mark.parametrize(("kind", "form", "precision", "programs"), [
    ("dense", "int8", "fp16", PLAIN), ("dense", "mxfp4", "fp16", TODAY), ("dense", "fp8", "bf16", PLAIN),
    ("mixture", "fp8", "fp16", PLAIN), ("mixture", "int4", "fp16", TODAY),
    ("mixture", "experts=mxfp4,attention=int8,head=int4", "fp16_fp32", Programs(expert_blocks=2, router_copies=2)),
    ("dense-tied", "feed=int4,head=fp8", "fp16", TODAY)])
def test_a_model_of_packed_weights_is_that_of_its_kept_weights_on_both_engines(make_model, kind, form, precision, programs):
    config, weights = mixture_model() if kind == "mixture" else make_model(qk_norm=True, every_bias=True, layers=1,
                                                                           tied=kind == "dense-tied")
    mapping = Mapping(config, 4, 4, precision, 16, 4, weight_precision=form, programs=programs)
    model, cycle = (WaferModel(config, weights, WSE3, mapping, engine=engine) for engine in (FlowEngine, CycleEngine))
    reference = ReferenceModel(config, KeptWeights(weights, mapping), Activations.of(mapping.form, precision))
    exact = ReferenceModel(config, weights, Activations.of(mapping.form, precision))
    bound = 0.25 if precision == "bf16" else 0.03
    found, kept = model.prefill(PROMPT), reference.forward(PROMPT)[-1]
    np.testing.assert_allclose(found, kept, atol=bound)
    assert np.abs(found - kept).mean() < np.abs(found - exact.forward(PROMPT)[-1]).mean() / 2
    assert cycle.prefill(PROMPT).tobytes() == found.tobytes()
    found = model.decode(7)
    np.testing.assert_allclose(found, reference.forward([7])[-1], atol=bound)
    assert cycle.decode(7).tobytes() == found.tobytes()
    np.testing.assert_array_equal(cycle.engine.clock, model.engine.clock)


def test_classes_of_matrices_have_formats_of_their_own_and_take_the_bytes_of_their_words():
    config, _ = mixture_model()
    plain = Mapping(config, 4, 4, "fp16", 16, 4)
    own = Mapping(config, 4, 4, "fp16", 16, 4, weight_precision="experts=mxfp4")
    all_of_it = Mapping(config, 4, 4, "fp16", 16, 4, weight_precision="mxfp4")
    assert own.form_of("weights.experts_down").name == "mxfp4" and own.form_of("weights.qkv") is None
    assert all_of_it.memory["weights"] < own.memory["weights"] < plain.memory["weights"]
    matrix = Matrix(9, 5, 3)                       # 45 elements in 12 words, 5 scales in 3
    assert matrix.bytes(packing("mxfp4")) == 3 * 2 * (12 + 3) and matrix.bytes(packing("int8")) == 3 * 2 * (23 + 5)
    head = Mapping(config, 4, 4, "fp16", 16, 4, weight_precision="head=int8")
    assert plain.memory["weights"] - head.memory["weights"] == 2 * 9 * 24 - Matrix(9, 24).bytes(packing("int8"))
    saved = plain.memory["weights"] - own.memory["weights"]
    sizes = [size for name in ("experts_gate_up", "experts_down") for size in MixtureOnGrid(plain, MIXTURE).matrices()[name]]
    assert saved == sum(2 * size.elements - size.bytes(packing("mxfp4")) for size in sizes)


def test_formats_that_no_core_unpacks_are_refused(make_model):
    config, _ = make_model()
    for text, precision, told in (("fp4", "fp16", "in fp16 or in fp8, int8, int4, mxfp4"),
                                  ("norms=fp8", "fp16", "names 'norms'"), ("feed=fp8,feed=int4", "fp16", "twice"),
                                  ("int8", "fp32", "cores unpack weights into fp16, fp16_fp32, bf16")):
        with pytest.raises(InputError, match=told):
            Mapping(config, 4, 4, precision, weight_precision=text)


def test_it_is_told_how_many_weights_are_rounded_anew(make_model):
    config, weights = make_model(layers=1)
    mapping = Mapping(config, 4, 4, "fp16", weight_precision="int8")
    assert share_rounded(weights, mapping) > 0.5 and share_rounded(KeptWeights(weights, mapping), mapping) == 0.0


def test_weights_that_a_format_holds_lie_as_they_are_stored():
    """A scale is that of the largest of all inputs of an output, so what was rounded once is not rounded again."""
    matrix = np.random.default_rng(0).standard_normal((64, 7)).astype(np.float32)
    for name in PACKINGS:
        once = kept_matrix(packing(name), "fp16", matrix, np.arange(64).reshape(2, 32))
        for lines in (2, 4, 8):                     # groups of 32 whole, or parts of them on a PE
            again = kept_matrix(packing(name), "fp16", once, np.arange(64).reshape(lines, -1))
            if name != "int4" or lines == 2:        # a part of a group of whole numbers has a largest one of its own
                np.testing.assert_allclose(again, once, rtol=2e-3 if name == "fp8" else 1e-6)


@pytest.mark.parametrize(("family", "precision", "weights_in", "programs"), [
    ({}, "fp16", "", PLAIN), (dict(windows=(0, 3), heads=8, kv_heads=8, head_dim=6), "bf16", "", PLAIN),
    (dict(layers=1), "fp16_fp32", "fp8", TODAY), (dict(layers=1), "fp16", "", Programs(position_blocks=2))])
def test_a_cache_of_fp8_is_the_same_on_both_engines_and_close_to_the_reference(make_model, family, precision, weights_in,
                                                                               programs):
    config, weights = make_model(**family)
    mapping = Mapping(config, 4, 4, precision, 16, 4, weight_precision=weights_in, cache_precision="fp8",
                      programs=programs)
    model, cycle = (WaferModel(config, weights, WSE3, mapping, engine=engine) for engine in (FlowEngine, CycleEngine))
    reference = ReferenceModel(config, KeptWeights(weights, mapping))
    for step, tokens in enumerate((PROMPT, [7])):
        found = model.decode(*tokens) if step else model.prefill(tokens)
        assert (cycle.decode(*tokens) if step else cycle.prefill(tokens)).tobytes() == found.tobytes()
        np.testing.assert_allclose(found, reference.forward(tokens)[-1], atol=0.5)
    np.testing.assert_array_equal(cycle.engine.clock, model.engine.clock)
    plain = Mapping(config, 4, 4, precision, 16, 4, programs=dataclasses.replace(programs, softmax="maximum"))
    assert mapping.memory["kv_cache"] * 2 == plain.memory["kv_cache"]


def test_caches_that_cannot_be_kept_in_fp8_are_refused(make_model):
    config, _ = make_model()
    with pytest.raises(InputError, match="or in fp8, which needs no scale"):
        Mapping(config, 4, 4, "fp16", cache_precision="int8")
    with pytest.raises(InputError, match="unpack it into"):
        Mapping(config, 4, 4, "fp32", cache_precision="fp8")
