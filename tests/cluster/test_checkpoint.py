"""The precision in which GPUs serve a checkpoint."""

from dataclasses import replace

import pytest

from wsekern.cluster.checkpoint import served_precision, settle, stored_precision
from wsekern.cluster.precision import PRECISIONS
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
