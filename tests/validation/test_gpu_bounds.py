"""What the peaks forbid: bounds by hand, in numbers, and below every prediction of the model itself."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.cluster.steady import steady_state
from wsekern.cluster.step import decode_step, prefill_step
from wsekern.validation import gpu, gpu_bounds
from wsekern.validation.gpu_rows import Refused, understand


def row(**changes):
    base = {"id": "x", "source": "mine", "gpu": "H100-SXM-80GB", "n_gpus": "2", "parallelism": "TP2", "model": "llama2-70b",
            "precision": "fp16", "isl": "512", "osl": "128", "batch_or_concurrency": "64", "metric": "prefill_time_batch",
            "value": "360.55", "unit": "ms", "notes": "2023; splitwise"}
    return {**base, **changes}


def test_prompts_that_no_gpu_reads_in_that_time():
    """64 x 512 tokens through 68.5e9 weights (one embedding is only looked up) are 4.5e15 products: 2.3 s on two GPUs."""
    with pytest.raises(Refused, match=r"361 ms to the first token, but 64 prompts of 512 tokens need 2,278 ms at the peak"):
        gpu.predict_row(row())
    assert gpu.predict_row(row(value="2400"))[1] > 0.0


def test_prompt_rates_beyond_the_peak():
    """5,383 tokens/s of CodeLlama-34B are 363 TFLOP/s and more; an A100 has 312."""
    fast = row(gpu="A100-SXM-80GB", n_gpus="1", parallelism="TP1", model="codellama/CodeLlama-34b-hf", isl="4096", osl="1",
               batch_or_concurrency="1", metric="prefill_throughput", value="5382.5", unit="tok/s")
    with pytest.raises(Refused, match=r"5,382 tokens/s of prompts, but the peak of the stated GPUs allows 4,\d\d\d"):
        gpu.predict_row(fast)
    assert gpu.predict_row({**fast, "value": "3500"})[1] > 0.0


def test_tokens_faster_than_the_weights_are_read():
    """Llama-3.1-8B in 16 bit: 15.0 GB without the embedding that is looked up, at 3.35 TB/s 4.48 ms, and 10 us of cache."""
    token = row(model="Llama-3.1-8B", precision="bf16", n_gpus="1", parallelism="TP1", metric="tpot_mean",
                batch_or_concurrency="1", notes="vllm 0.12")
    with pytest.raises(Refused, match=r"4 ms a token, but reading the weights and one user's cache for it needs 4\.49 ms"):
        gpu.predict_row({**token, "value": "4.0"})
    assert gpu.predict_row({**token, "value": "4.7"})[0] == "decode batch 1 dense (stock)"
    # waiting users do not decode, so that many users are no reason against a quick token
    assert gpu.predict_row({**token, "value": "6", "batch_or_concurrency": "1024", "isl": "8192"})[1] > 6.0


def test_whole_requests_faster_than_their_weights_are_read():
    whole = row(metric="e2e_latency", unit="s", value="1.0", batch_or_concurrency="16", notes="TensorRT-LLM 2024")
    with pytest.raises(Refused, match=r"1 s a request, but its prompt and the weights for each token need 2\.64 s"):
        gpu.predict_row(whole)
    assert gpu.predict_row({**whole, "value": "4.0"})[1] > 0.0


def test_weights_that_do_not_fit_are_refused_with_their_size():
    with pytest.raises(Refused, match=r"weights of 1[34]\d GB .* do not fit its 8\d GB"):
        gpu.predict_row(row(metric="tpot_mean", n_gpus="1", parallelism="TP1"))


def test_runs_without_prompts_take_the_time_of_a_step():
    only = row(model="Qwen3-30B-A3B-FP8", precision="fp8", gpu="H200-SXM", n_gpus="1", parallelism="TP1", isl="32768",
               osl="100", batch_or_concurrency="10", metric="tpot_mean", value="16.02",
               notes="vLLM DecodeBenchConnector (decode only)")
    group, predicted = gpu.predict_row(only)
    assert group == "decode step MoE (stock)" and predicted == pytest.approx(16.02, rel=0.2)
    case = understand(only)
    assert predicted == pytest.approx(1e3 * decode_step(case.deployment, 10, 32818).seconds)
    _, usual = gpu.predict_row({**only, "notes": "vllm; FULL_DECODE_ONLY CUDA graphs"})  # a kind of graph, not of load
    assert usual > 2.0 * predicted


CASES = st.fixed_dictionaries({
    "model": st.sampled_from(["Llama-3.1-8B", "Mixtral-8x7B", "DeepSeek-R1", "gpt-oss-120b", "gemma3-27b",
                              "qwen3-next-80b-a3b"]),
    "gpu": st.sampled_from(["A100-SXM-80GB", "H100", "H200", "B200"]),
    "precision": st.sampled_from(["bf16", "fp8", "fp4", "int4"]),
    "parallelism": st.sampled_from(["TP8", "TP4 PP2", "TP1 EP8", "DEP8", "TP2 DP4"]),
    "isl": st.sampled_from(["64", "1024", "8192"]),
    "osl": st.sampled_from(["2", "128", "1024"]), "batch_or_concurrency": st.sampled_from(["8", "64", "500"]),
    "engine": st.sampled_from(["ideal", "tuned", "stock", "sglang"])})


@settings(max_examples=60, deadline=None)
@given(CASES)
def test_no_prediction_of_the_model_is_refused(changes):
    """A bound that the model itself breaks would refuse what can be measured."""
    case = understand(row(n_gpus="8", metric="tpot_mean", **changes))
    state = steady_state(case.deployment, case.prompt, case.output, case.batch)
    assert not gpu_bounds.against_token(case, decode_step(case.deployment, 1.0, case.prompt + case.output / 2).seconds)
    assert not gpu_bounds.against_token(case, state.token_seconds)
    assert not gpu_bounds.against_first(case, 1.0, prefill_step(case.deployment, 1.0, case.prompt).seconds)
    assert not gpu_bounds.against_prompt_rate(case, case.prompt / state.prefill.seconds)
    together = prefill_step(case.deployment, case.batch, case.prompt).seconds
    assert not gpu_bounds.against_first(case, case.batch, together)
    steps = (case.output - 1) * decode_step(case.deployment, case.batch, case.prompt + case.output / 2).seconds
    assert not gpu_bounds.against_answers(case, together + steps)
    # all at once, served one after the other: the mean of the waiting is half of all prompts
    first = 0.5 * (case.batch / case.layout.dp + 1.0) * state.prefill.seconds
    assert not gpu_bounds.against_run(case, first, state.decode.seconds, recipe=False)


def test_more_users_than_states_that_fit_say_nothing_of_the_running_batch():
    """SGLang runs as many requests as its pool of states allows; a stated limit, or another engine, is predicted."""
    many = row(model="qwen3.5-35b-a3b", gpu="H200-SXM", n_gpus="1", parallelism="TP1", precision="fp8", isl="8192", osl="1024",
               batch_or_concurrency="1024", metric="tpot_mean", value="27.9", notes="SGLang 0.5.15")
    with pytest.raises(Refused, match=r"1,024 users where \d\d\d fit: .*max_running_requests is not stated"):
        gpu.predict_row(many)
    with pytest.raises(Refused, match="max_running_requests"):
        gpu.predict_row({**many, "metric": "total_throughput_per_gpu", "value": "30201", "unit": "tok/s/GPU"})
    for change in ({"notes": "SGLang 0.5.15, max_running_requests=96"}, {"notes": "vLLM 0.24"}, {"batch_or_concurrency": "64"}):
        assert gpu.predict_row({**many, **change})[1] > 0.0, change
