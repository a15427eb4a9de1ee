"""Whole predictions: shapes of the answer, additivity, published orders, refusals."""

import pytest

from wsekern.cluster import load_cluster, predict, serve
from wsekern.errors import BudgetError, InputError
from wsekern.workload import Request, load_config

LLAMA = load_config("llama3-8b")


def test_breakdown_adds_up_and_cost_is_positive():
    result = predict(load_config("llama3-70b"), "h100x8", context=4096, batch=16)
    assert sum(result.breakdown.values()) == pytest.approx(result.seconds)
    assert result.seconds > result.roofline_seconds > 0
    assert result.joules_per_token == pytest.approx(result.watts / result.tokens_per_second)
    assert result.usd_per_million_tokens > 0
    assert result.memory_used_bytes < result.memory_available_bytes


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_levels_are_ordered(phase):
    times = [
        predict(LLAMA, "h100x4", phase=phase, context=2048, engine_level=level).seconds
        for level in ("ideal", "tuned", "stock", "eager")
    ]
    assert times[0] == min(times) and times[3] == max(times)
    assert times[0] < 0.9 * times[2]


def test_sixteen_gpus_are_slower_than_eight_for_one_user():
    """OSDI'25 WaferLLM, table 4: LLaMA3-8B decode at 4K on A100 with SGLang: 78.9, 260.4 and 164.6 tokens/s."""
    for level in ("sglang-2024", "stock"):
        speed = {
            n: predict(LLAMA, f"a100x{n}", context=4096, tp=n, engine_level=level).tokens_per_second for n in (1, 8, 16)
        }
        assert speed[1] < speed[16] < speed[8]
        if level == "sglang-2024":  # the engine that was measured
            for count, measured in ((1, 78.9), (8, 260.4), (16, 164.6)):
                assert speed[count] == pytest.approx(measured, rel=0.2)


def test_serve_reports_the_request():
    result = serve(LLAMA, Request(1024, 256, 8, "fp16"), "h100x1")
    assert result.tokens_per_second == pytest.approx(8 / result.time_per_output_token_seconds)
    assert result.time_to_first_token_seconds > result.prefill_seconds > 0
    assert sum(result.breakdown.values()) == pytest.approx(result.time_per_output_token_seconds)
    assert result.watts > 0 and result.assumptions
    alone = serve(LLAMA, Request(1024, 256, 1, "fp16"), "h100x1")
    assert alone.time_per_output_token_seconds < result.time_per_output_token_seconds


def test_refusals_say_what_to_change():
    with pytest.raises(BudgetError, match="narrower precision"):
        predict(load_config("llama3-70b"), "h100x1", context=1024)
    with pytest.raises(BudgetError, match="smaller batch"):
        predict(LLAMA, "h100x1", context=8192, batch=512)
    with pytest.raises(InputError, match="phase"):
        predict(LLAMA, "h100x1", phase="training")
    with pytest.raises(InputError, match="needs 16 GPUs"):
        predict(LLAMA, "h100x8", context=128, tp=16)
    with pytest.raises(InputError, match="no cluster"):
        load_cluster("h101x8")


@pytest.mark.parametrize("precision", ["bf16", "fp8"])
@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_copies_of_a_dense_model_have_no_experts_to_share(phase, precision):
    model = load_config("llama3-8b")
    done = predict(model, "h100x2", phase=phase, context=1024, precision=precision, tp=1, dp=2)
    assert 0 < done.seconds < float("inf") and done.layout.dp == 2
