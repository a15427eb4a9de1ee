"""Whole predictions: shapes of the answer, additivity, published orders, refusals."""

import pytest

from wsekern.cluster import load_cluster, predict, serve
from wsekern.cluster.checkpoint import served_precision
from wsekern.cluster.part_assumptions import part_assumptions
from wsekern.errors import BudgetError, InputError
from wsekern.workload import Request, bundled_models, load_config

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
    first, token = result.time_to_first_token_seconds, result.time_per_output_token_seconds
    assert result.request_seconds == pytest.approx(first + 255 * token)
    assert result.requests_per_second == pytest.approx(8 / (first + 255 * token))
    assert result.tokens_per_second == pytest.approx(256 * result.requests_per_second)
    assert result.prompt_tokens_per_second == pytest.approx(1024 * result.requests_per_second)
    assert result.tokens_per_second_per_user == pytest.approx(1 / token)
    assert result.joules_per_request == pytest.approx(256 * result.joules_per_token)
    assert result.usd_per_request == pytest.approx(256e-6 * result.usd_per_million_tokens)
    assert first > result.prefill_seconds > 0
    assert sum(result.breakdown.values()) == pytest.approx(result.time_per_output_token_seconds)
    assert result.watts > 0 and result.assumptions
    alone = serve(LLAMA, Request(1024, 256, 1, "fp16"), "h100x1")
    assert alone.time_per_output_token_seconds < result.time_per_output_token_seconds
    assert result.lone_time_per_output_token_seconds == pytest.approx(alone.time_per_output_token_seconds)
    assert result.lone_time_to_first_token_seconds == pytest.approx(alone.time_to_first_token_seconds)
    assert alone.decoding_users == pytest.approx(1.0 - alone.time_to_first_token_seconds / alone.request_seconds)
    assert 7.0 < result.decoding_users < result.users == 8


def test_users_who_think_are_served_less_often_and_wait_less():
    request = Request(4096, 64, 64, "fp16")
    busy, calm = (serve(LLAMA, request, "h100x1", think_seconds=think, check_memory=False) for think in (0.0, 10.0))
    assert calm.requests_per_second < busy.requests_per_second
    assert calm.requests_per_second == pytest.approx(64 / (calm.request_seconds + 10.0))
    assert calm.time_to_first_token_seconds < busy.time_to_first_token_seconds
    assert calm.time_per_output_token_seconds < busy.time_per_output_token_seconds
    assert calm.watts <= busy.watts


def test_prompts_that_go_first_come_sooner_and_stall_answers():
    request = Request(4096, 64, 64, "fp16")
    cut, whole = (serve(LLAMA, request, "h100x1", engine_level=level, check_memory=False)
                  for level in ("stock", "stock-unchunked"))
    assert whole.time_to_first_token_seconds < cut.time_to_first_token_seconds


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


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_every_bundled_model_is_timed_as_it_is_stored(phase):
    for model in map(load_config, bundled_models()):
        found = predict(model, "gb200x72", phase=phase, context=8192, batch=4, precision=served_precision(model, "stock"))
        assert found.seconds > found.roofline_seconds > 0 and found.memory_used_bytes < found.memory_available_bytes


@pytest.mark.parametrize(("model", "told"), [
    ("deepseek-v3", "latent attention (61 layers): every GPU caches one vector of 576 elements a token"),
    ("qwen3-next-80b-a3b", "gated delta rule (36 layers): a state of 4 B an element instead of a cache"),
    ("nemotron-nano-9b-v2", "timed as the gated delta rule, which was measured"),
])
def test_what_is_beyond_plain_attention_is_told(model, told):
    assert any(told in text for text in predict(load_config(model), "gb200x72", precision="fp8").assumptions)


def test_plain_models_take_nothing_more_for_granted():
    assert part_assumptions(LLAMA) == []
