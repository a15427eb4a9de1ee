"""The precision in which GPUs serve a checkpoint."""

from dataclasses import replace

import pytest

from wsekern.cluster.checkpoint import served_precision, settle, stored_precision
from wsekern.cluster.engine import load_engine
from wsekern.cluster.evidence import assumptions
from wsekern.cluster.hardware import load_cluster, load_gpu
from wsekern.cluster.layout import Deployment, Layout, weight_bytes
from wsekern.cluster.precision import PRECISIONS
from wsekern.cluster.step import decode_step, prefill_step
from wsekern.errors import InputError
from wsekern.workload import load_config

LLAMA = load_config("llama3-8b")


@pytest.mark.parametrize(("model", "stored"), [
    ("llama3-8b", "bf16"), ("deepseek-v3", "fp8"), ("gpt-oss-120b", "mxfp4"), ("kimi-k2", "fp8"), ("qwen3-8b", "bf16"),
])
def test_a_checkpoint_is_served_as_it_is_stored(model, stored):
    assert stored_precision(load_config(model)) == stored


@pytest.mark.parametrize(("stated", "served"), [("", "bf16"), ("fp32", "fp16"), ("fp16", "fp16"), ("int4", "int4")])
def test_what_is_stated_decides(stated, served):
    assert stored_precision(replace(LLAMA, weight_format=stated)) == served


def test_weights_alone_in_four_bits_meet_16_bit_arithmetic():
    """As FP4 in memory, and no faster than bf16 where tensor cores bound a prompt."""
    kept, whole = (served_precision(replace(LLAMA, weight_format=form), "stock") for form in ("fp4wo", "fp4"))
    assert (kept.weight, kept.arithmetic, kept.activation) == (whole.weight, "bf16", 2.0)
    deployment = Deployment(LLAMA, load_cluster("b200"), Layout(), PRECISIONS["bf16"], load_engine("stock"))
    seconds = [prefill_step(replace(deployment, precision=PRECISIONS[name]), 8, 4096).device
               for name in ("fp4", "bf16", "fp4wo")]
    assert seconds == sorted(seconds)


def test_a_format_that_no_gpu_serves_is_refused_with_the_option_that_helps():
    with pytest.raises(InputError, match=r"'quanto'.*--gpu-precision"):
        stored_precision(replace(LLAMA, weight_format="quanto"))


def test_a_cache_has_the_bytes_of_its_format():
    assert served_precision(LLAMA, "stock", "fp8", "bf16").cache == 2.0
    assert served_precision(LLAMA, "stock", None, "fp8").cache == 1.0
    assert served_precision(LLAMA, "tuned", "fp8").cache == 1.0  # TensorRT-LLM keeps an 8-bit cache beside 8-bit weights
    with pytest.raises(InputError, match="kv-precision 'fp5'"):
        served_precision(LLAMA, "stock", None, "fp5")


def test_parts_of_a_checkpoint_stay_wide():
    assert settle("fp8", load_config("gpt-oss-20b"), "stock") == PRECISIONS["mxfp4"]
    mixed = settle("fp4", load_config("deepseek-v3"), "stock")
    assert mixed.other_weight == 2.0 and mixed.weight == PRECISIONS["fp4"].weight and mixed.cache == 2.0


def test_parts_that_a_checkpoint_keeps_apart_have_their_own_bytes():
    """Kimi K2.5 is 595 GB on the Hub: experts in 4 bits with scales of 32, all else in bf16."""
    kept = (("attention", "bf16"), ("dense", "bf16"), ("shared", "bf16"))
    stored = replace(load_config("kimi-k2"), quantization="compressed-tensors", weight_format="int4", kept=kept)
    precision = served_precision(stored, "stock")
    assert sum(weight_bytes(stored, precision)) == pytest.approx(595e9, rel=0.005)
    deployment = Deployment(stored, load_cluster("h200x8"), Layout(tp=8), precision, load_engine("stock"))
    narrow, whole = (replace(deployment, precision=PRECISIONS[name]) for name in ("int4", "bf16"))
    least, found, most = (decode_step(each, 1, 4096) for each in (narrow, deployment, whole))
    assert least.weights < found.weights < most.weights and found.seconds >= found.roofline
    sentence = next(text for text in assumptions(deployment) if text.startswith("weights"))
    assert sentence == ("weights 0.5625 B, arithmetic bf16 (attention, feed-forward parts, shared experts 2 B, bf16), "
                        "cache 2 B per element")
    assert settle("fp8", stored, "stock") == PRECISIONS["fp8"]  # asked for: all parts


def test_kept_parts_compute_in_what_the_gpu_has():
    stored = replace(load_config("qwen3-next-80b-a3b"), weight_format="fp4", kept=(("recurrent", "fp8"),))
    on = {gpu: served_precision(stored, "stock").on(load_gpu(gpu).arithmetics).kept for gpu in ("a100-80", "b200")}
    assert on == {"a100-80": (("recurrent", (1.0, "bf16", 2.0)),), "b200": (("recurrent", (1.0, "fp8", 1.0)),)}
