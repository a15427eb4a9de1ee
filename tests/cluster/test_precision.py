"""Precisions on GPUs that lack the arithmetic: weights stay narrow and are unpacked; what was not measured is never sure."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.cluster import PRECISIONS, bundled_gpus, deploy, load_gpu, predict
from wsekern.cluster.evidence import measured_precisions
from wsekern.cluster.layout import memory_of
from wsekern.cluster.step import decode_step, prefill_step
from wsekern.workload import load_config

LACKING = [("a100-80", "fp8"), ("a100-80", "fp4"), ("h100", "fp4"), ("h200", "fp4"), ("l40s", "fp4")]
MODELS = ("llama3-8b", "mixtral-8x7b", "deepseek-r1")


@pytest.mark.parametrize(("gpu", "precision"), LACKING)
def test_a_missing_arithmetic_is_done_in_16_bits(gpu, precision):
    native = PRECISIONS[precision]
    served = native.on(load_gpu(gpu).arithmetics)
    assert (served.arithmetic, served.activation, served.lacking) == ("bf16", 2.0, precision)
    assert (served.weight, served.cache, served.name) == (native.weight, native.cache, native.name)
    assert served.on(load_gpu(gpu).arithmetics) == served
    assert native.on(load_gpu("b200").arithmetics) == native


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(bundled_gpus()), st.sampled_from(sorted(PRECISIONS)), st.sampled_from(MODELS),
       st.sampled_from([1, 2, 4, 8]))
def test_no_part_is_computed_in_what_the_gpu_lacks(gpu, precision, model, tp):
    deployment = deploy(load_config(model), f"{gpu}x8", context=512, precision=precision, tp=tp)
    for experts in (False, True):
        assert deployment.precision.part(experts)[1] in deployment.gpu.arithmetics


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("gpu", "precision"), LACKING)
def test_unpacked_weights_save_memory_and_time_to_read_but_none_to_compute(model, gpu, precision):
    """One user reads fewer bytes; a long prompt takes the products of 16 bits, whatever the weights."""
    config, cluster = load_config(model), f"{gpu}x8"
    wide, narrow = (deploy(config, cluster, context=4096, precision=name, tp=8) for name in ("bf16", precision))
    assert memory_of(narrow, 4096, 1).weights < memory_of(wide, 4096, 1).weights
    one, sixteen = (decode_step(deployment, 1, 4096) for deployment in (narrow, wide))
    share = PRECISIONS[precision].weight / 2.0
    assert share * sixteen.weights < one.weights < sixteen.weights
    assert prefill_step(narrow, 1, 16384).seconds > 0.75 * prefill_step(wide, 1, 16384).seconds


@pytest.mark.parametrize("precision", ["fp4", "int4"])
def test_four_bits_on_an_a100_gain_less_from_every_further_gpu(precision):
    """Reading is shared, fixed times are not: twice the GPUs, between one and two times the speed, and ever less."""
    times = [predict(load_config("mixtral-8x7b"), "a100x8", context=2048, batch=8, precision=precision, tp=tp).seconds
             for tp in (1, 2, 4, 8)]
    gains = [before / after for before, after in pairwise(times)]
    assert gains == sorted(gains, reverse=True) and 2.0 > gains[0] > gains[-1] > 1.0
    eight_bits = predict(load_config("mixtral-8x7b"), "a100x8", context=2048, batch=8, precision="int8", tp=8).seconds
    assert times[-1] < eight_bits


@pytest.mark.parametrize(("gpu", "precision"), LACKING)
def test_what_is_unpacked_is_said_and_never_sure(gpu, precision):
    done = predict(load_config("llama3-8b"), f"{gpu}x1", context=512, precision=precision)
    assert done.confidence != "high"
    assert f"{load_gpu(gpu).title} has no {precision} arithmetic" in " ".join(done.assumptions)
    plain = predict(load_config("llama3-8b"), f"{gpu}x1", context=512)
    assert "arithmetic: weights" not in " ".join(plain.assumptions)


def test_a_pair_of_gpu_and_precision_without_measured_rows_is_never_sure():
    known = measured_precisions()
    assert ("h100", "fp8") in known and ("b200", "int4") not in known
    for gpu in ("a100-80", "h100", "b200"):
        for precision in ("bf16", "fp16", "fp8", "fp4", "int8", "int4"):
            done = predict(load_config("llama3-8b"), f"{gpu}x1", context=512, precision=precision)
            measured = (gpu, "bf16" if precision == "fp16" else precision) in known
            assert done.confidence in (("high", "medium") if measured else ("medium", "low")), (gpu, precision)


def test_a_format_of_experts_alone_leaves_a_dense_model_in_16_bits_and_says_so():
    done = predict(load_config("llama3-8b"), "h100x1", context=512, precision="mxfp4")
    assert any("narrows experts only" in sentence for sentence in done.assumptions)
    assert done.seconds == predict(load_config("llama3-8b"), "h100x1", context=512).seconds
