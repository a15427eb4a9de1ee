"""Settings in the words of a row: used, or refused with the reason, never dropped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsekern.cluster import load_cluster, predict
from wsekern.validation import gpu
from wsekern.validation.gpu_notes import level_by_words
from wsekern.validation.gpu_rows import Refused, understand
from wsekern.validation.gpu_settings import (
    APART,
    CACHED_PROMPTS,
    SPECULATIVE,
    cache_bytes_stated,
    is_decode_only,
    is_eager,
    is_static,
    is_unchunked,
    limits_stated,
    refused_setting,
    stated,
)
from wsekern.workload import load_config


def row(**changes):
    base = {"id": "x", "source": "mine", "gpu": "H100-SXM-80GB", "n_gpus": "1", "parallelism": "TP1", "model": "Llama-3.1-8B",
            "precision": "bf16", "isl": "1024", "osl": "128", "batch_or_concurrency": "1", "metric": "tpot_mean",
            "value": "15", "unit": "ms", "notes": "vllm 0.12"}
    return {**base, **changes}


@pytest.mark.parametrize("text", [
    "eager", "vLLM 0.12, enforce_eager", "--enforce-eager", "enforce_eager=True", "eager mode", "no CUDA graphs",
    "without cuda graph", "CUDA graphs disabled", "cuda graphs: off", "--disable-cuda-graph", "cudagraph_mode=NONE",
    "disable_cuda_graph=True"])
def test_words_for_eager_launches(text):
    assert is_eager(text)


@pytest.mark.parametrize("text", [
    "", "vllm 0.12", "not eager", "no enforce-eager", "enforce_eager=False", "enforce_eager: 0", "eager off", "CUDA graphs",
    "FULL_DECODE_ONLY CUDA graphs, no chunked prefill", "pre-CUDA-graph-era comms", "decode step with CUDA graph", "eagerness"])
def test_words_against_eager_launches(text):
    assert not is_eager(text)


SWITCHES = st.sampled_from(["in {} mode", "{}", "{} on", "{}=true", "enabled {}"])
REFUSALS = st.sampled_from(["no {}", "without {}", "{} off", "{}=false", "{}: disabled", "disable_{}", "not {}", "w/o {}"])


@given(st.sampled_from(["eager", "speculative decoding", "prefix caching", "chunked prefill"]), SWITCHES, REFUSALS,
       st.sampled_from(["", "vllm 0.12; ", "H100, 2025; "]))
def test_a_word_is_on_or_off_as_it_is_said(word, switch, refusal, before):
    assert stated(word, before + switch.format(word)) is True
    assert stated(word, before + refusal.format(word)) is False
    assert stated(word, before) is None


@pytest.mark.parametrize(("text", "reason"), [
    ("speculative decoding", SPECULATIVE), ("SPECULATIVE DECODING (MTP) ON", SPECULATIVE), ("TP8 EP4 MTP3", SPECULATIVE),
    ("MTP 2", SPECULATIVE), ("EAGLE-3", SPECULATIVE), ("draft model of 1B", SPECULATIVE), ("prefix caching on", CACHED_PROMPTS),
    ("disaggregated prefill", APART), ("no speculation", ""), ("speculation off", ""), ("without speculative decoding", ""),
    ("no MTP", ""), ("MTP0", ""), ("prefix caching disabled", ""), ("--no-enable-prefix-caching", ""),
    ("no MTP (MTP table)", ""), ("vllm 0.12", "")])
def test_settings_that_refuse_a_row(text, reason):
    assert refused_setting(text) == reason
    if reason:
        with pytest.raises(Refused, match=reason[:20]):
            gpu.predict_row(row(notes=text))
    else:
        assert gpu.predict_row(row(notes=text))[1] > 0.0


@pytest.mark.parametrize(("notes", "level"), [
    ("vllm 0.12; enforce_eager", "stock-eager"), ("sglang, disable-cuda-graph", "sglang-eager"),
    ("vllm 0.12, no chunked prefill", "stock-unchunked"), ("vllm eager, chunked prefill off", "stock-eager-unchunked"),
    ("2023, eager", "eager"), ("sglang, no chunked prefill", "sglang"), ("trtllm 1.0 eager", "tuned-eager"),
    ("vllm; InferenceX run 1, eager", "stock-overlapped-eager")])
def test_levels_with_settings(notes, level):
    assert level_by_words(row(notes=notes)) == level == understand(row(notes=notes)).engine


def test_a_row_that_says_eager_is_predicted_eager_whether_words_or_column_say_so():
    plain = gpu.predict_row(row())[1]
    by_words = gpu.predict_row(row(notes="vllm 0.12, enforce_eager=True"))
    assert by_words == gpu.predict_row(row(engine="stock-eager", notes=""))
    assert by_words == gpu.predict_row(row(engine="stock", notes="enforce-eager")) == gpu.predict_row(row(engine="vllm-eager"))
    assert by_words[0] == "decode batch 1 dense (stock-eager)" and by_words[1] > 1.3 * plain
    same = predict(load_config("llama3.1-8b"), load_cluster("h100x1"), context=1088, engine_level="stock-eager").seconds
    assert by_words[1] == pytest.approx(1e3 * same)


def test_a_launch_takes_what_vllm_was_seen_to_take():
    """NetX-lab/Frontier: 9.37 ms to launch the prompt of Llama-2-7B eagerly, on the host of an H200."""
    found = gpu.predict_row(row(model="Llama-2-7B", gpu="H200-SXM", precision="fp16", isl="1", notes="vllm, eager"))
    assert found[1] == pytest.approx(9.37, rel=0.25)


def test_most_tokens_of_a_step_are_used():
    many = {"batch_or_concurrency": "64", "isl": "8192", "osl": "64"}
    usual, small = (gpu.predict_row(row(notes=notes, **many))[1] for notes in ("vllm", "vllm, max_num_batched_tokens=512"))
    assert small < 0.5 * usual  # answers are delayed less by prompts, which wait instead
    assert gpu.predict_row(row(notes="vllm, max_num_batched_tokens=8192", **many))[1] == usual
    assert gpu.predict_row(row(notes="vllm", **many))[1] == usual  # and nothing is left changed


@pytest.mark.parametrize(("text", "limits"), [
    ("--max-num-batched-tokens 2048", {"step_tokens": 2048}), ("max num tokens: 2048", {"step_tokens": 2048}),
    ("chunked_prefill_size=0", {}), ("2048 tokens", {}), ("max_num_seqs=64", {"scheduled_sequences": 64}),
    ("--max-running-requests 8, gpu_memory_utilization=0.95", {"scheduled_sequences": 8, "memory_share": 0.95}),
    ("mem-fraction-static .8", {"memory_share": 0.8}), ("gpu_memory_utilization 95", {}), ("", {})])
def test_limits_of_an_engine_are_read(text, limits):
    assert limits_stated(text) == limits


def test_most_sequences_and_more_memory_are_used():
    full = {"metric": "output_throughput", "unit": "tok/s", "batch_or_concurrency": "max", "isl": "4096", "value": "1000"}
    usual, few, more = (gpu.predict_row(row(notes=f"vllm; {text}", **full))[1]
                        for text in ("", "max_num_seqs=4", "gpu_memory_utilization=0.98"))
    assert few < 0.5 * usual < 0.5 * more


@pytest.mark.parametrize(("text", "width"), [
    ("kv_cache_dtype=fp8", 1.0), ("--kv-cache-dtype fp8_e4m3", 1.0), ("FP8 KV cache", 1.0), ("8-bit kv", 1.0),
    ("nvfp4, fp16 KV", 2.0), ("KV cache bf16", 2.0), ("fp8", None), ("", None), ("vllm 0.12", None)])
def test_the_width_of_the_cache_is_used(text, width):
    assert cache_bytes_stated(text) == width
    case = understand(row(notes=f"vllm; {text}"))
    assert case.precision.cache == (width or 2.0)


def test_attention_in_data_parallel_is_used_or_refused():
    routed = row(model="DeepSeek-R1", precision="fp8", gpu="H200", n_gpus="8", parallelism="TP8 EP8",
                 notes="trtllm, attention_dp on")
    layout = understand(routed).layout
    assert (layout.tp, layout.dp, layout.ep) == (1, 8, 8)
    assert understand({**routed, "notes": "trtllm, attention_dp off"}).layout.tp == 8
    assert understand({**routed, "parallelism": "DEP8"}).layout == layout
    with pytest.raises(Refused, match="attention in data parallel"):
        understand(row(n_gpus="2", parallelism="TP2", notes="sglang, enable-dp-attention"))


def test_a_static_batch_starts_and_ends_together():
    many = {"metric": "output_throughput", "unit": "tok/s", "batch_or_concurrency": "64", "isl": "2048", "value": "1000"}
    static = gpu.predict_row(row(notes="TensorRT-LLM, static batch", **many))[1]
    case = understand(row(notes="TensorRT-LLM", **many))
    prompts = gpu.prefill_step(case.deployment, 64, 2048).seconds
    steps = 127 * gpu.decode_step(case.deployment, 64, 2112).seconds
    assert static == pytest.approx(64 * 128 / (prompts + steps))
    assert is_static("no in-flight batching") and not is_static("in-flight batching, max load")


def test_runs_that_only_decode_or_read_whole_prompts():
    assert is_decode_only({"notes": "decode only"}) and not is_decode_only({"notes": "FULL_DECODE_ONLY CUDA graphs"})
    assert is_unchunked("enable_chunked_prefill=False") and not is_unchunked("chunked prefill") and not is_unchunked("")
