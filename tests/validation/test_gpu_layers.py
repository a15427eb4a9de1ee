"""Mixers of one layer beside the modules of engines."""

import pytest

from wsekern.validation.gpu_layers import is_fitted_layer, predict_layer
from wsekern.validation.gpu_rows import Refused

ROW = {"id": "x", "source": "aiconfigurator-core 0.12.0 mla_generation_module_perf h200_sxm/trtllm/1.3.0rc20",
       "gpu": "H200-SXM", "n_gpus": "1", "parallelism": "TP8", "model": "one layer: deepseek-v3", "precision": "fp8",
       "isl": "8192", "batch_or_concurrency": "16", "metric": "attention_decode_latency", "value": "100", "unit": "us",
       "notes": "8-bit cache"}
STATE = {**ROW, "source": "aiconfigurator-core 0.12.0 gdn_perf h200_sxm/vllm/0.24.0", "parallelism": "TP1",
         "model": "one layer: qwen3.5-397b-a17b", "precision": "bf16", "isl": "1", "metric": "state_decode_latency",
         "notes": ""}


def test_groups_say_the_kind_the_phase_and_the_engine():
    assert predict_layer(ROW)[0] == "layer latent attention decode (tuned)"
    assert predict_layer({**ROW, "metric": "attention_prefill_latency"})[0] == "layer latent attention prefill (tuned)"
    plain = predict_layer({**ROW, "model": "one layer: llama3-8b", "source": "x/vllm/1"})
    assert plain[0] == "layer grouped attention decode (stock)"
    assert predict_layer(STATE)[0] == "layer state decode"


def test_what_a_row_states_counts():
    base = predict_layer(ROW)[1]
    for key, more in (("isl", "65536"), ("batch_or_concurrency", "128"), ("parallelism", "TP1"), ("notes", "16-bit cache"),
                      ("precision", "bf16")):
        assert predict_layer({**ROW, key: more})[1] > base, key
    assert predict_layer({**STATE, "batch_or_concurrency": "512"})[1] > predict_layer(STATE)[1]


@pytest.mark.parametrize("change", [
    {"metric": "attention_backward_latency"}, {"model": "one layer: nobody"}, {"source": "a blog"}, {"precision": "fp7"},
    {"parallelism": "EP8"}, {"isl": ""}, {"model": "one layer: llama3-8b", "metric": "state_decode_latency"},
])
def test_rows_that_say_too_little_are_refused(change):
    with pytest.raises(Refused):
        predict_layer({**ROW, **change})


def test_two_thirds_of_sparse_attention_and_states_are_fitted_and_nothing_else():
    tokens = [str(100 * n) for n in range(1, 301)]
    for group in ("layer sparse attention decode (stock)", "layer state prefill"):
        fitted = [is_fitted_layer({**ROW, "isl": isl}, group) for isl in tokens]
        assert sum(fitted) == pytest.approx(200, abs=30), group
    assert not any(is_fitted_layer({**ROW, "isl": isl}, "layer latent attention decode (stock)") for isl in tokens)


def test_a_row_of_a_state_holds_no_kernels_beside_it():
    """SGLang launches more small kernels around a state than vLLM; the row is of the convolution and the update alone."""
    other = {**STATE, "source": STATE["source"].replace("vllm", "sglang")}
    assert predict_layer(other)[1] == pytest.approx(predict_layer(STATE)[1], rel=0.05)


def test_prompts_of_kernels_that_spill_states_take_longer():
    prompt = {**STATE, "isl": "8192", "metric": "state_prefill_latency"}
    other = {**prompt, "source": STATE["source"].replace("vllm", "sglang")}
    assert predict_layer(other)[1] > 1.5 * predict_layer(prompt)[1]
