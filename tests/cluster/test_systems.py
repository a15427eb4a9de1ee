"""Other ways of serving: chunks of prompts, prefill and decode apart, drafted tokens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.cluster import deploy, disaggregate, serve, speculate
from wsekern.cluster.step import prefill_step
from wsekern.cluster.systems import chunked_prefill
from wsekern.errors import InputError
from wsekern.workload import Request, load_config

LLAMA = load_config("llama3-70b")


def test_chunks_cost_more_in_all_and_less_at_once():
    deployment = deploy(LLAMA, "h100x8", context=8192, tp=8)
    whole = prefill_step(deployment, 1, 8192).seconds
    total, longest = chunked_prefill(deployment, 8192, 1024)
    assert longest < whole < total
    one, same = chunked_prefill(deployment, 8192, 8192)
    assert one == same == pytest.approx(whole)
    assert chunked_prefill(deployment, 8192, 1024, decoding=32)[0] > total


def test_disaggregation_moves_prefill_out_of_the_way():
    request = Request(4096, 128, 32, "fp8")
    apart = disaggregate(LLAMA, request, "h100x4", "h100x4")
    together = serve(LLAMA, request, "h100x4")
    assert apart.time_per_output_token_seconds < together.time_per_output_token_seconds
    assert apart.transfer_seconds > 0 and apart.prefill_engines_per_decode_engine > 0


def test_speculation_pays_with_acceptance():
    none = speculate(LLAMA, "h100x8", drafted=3, acceptance=0.0, context=2048)
    some = speculate(LLAMA, "h100x8", drafted=3, acceptance=0.7, context=2048)
    every = speculate(LLAMA, "h100x8", drafted=3, acceptance=1.0, context=2048)
    assert none.tokens_per_step == 1.0 and every.tokens_per_step == 4.0
    assert some.tokens_per_step == pytest.approx(1 + 0.7 + 0.49 + 0.343)
    assert none.speedup < 1.0 < some.speedup < every.speedup
    drafted = speculate(LLAMA, "h100x8", drafted=3, acceptance=0.7, context=2048, draft=load_config("llama3.2-1b"))
    assert drafted.step_seconds > some.step_seconds
    with pytest.raises(InputError, match="acceptance"):
        speculate(LLAMA, "h100x8", drafted=3, acceptance=1.5, context=64)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 16384), st.integers(1, 4096))
def test_every_chunk_is_read_once(prompt, chunk):
    deployment = deploy(LLAMA, "h100x8", context=prompt, tp=8, engine_level="ideal")
    total, longest = chunked_prefill(deployment, prompt, max(chunk, prompt // 50))
    assert 0.0 < longest <= total
    assert total >= prefill_step(deployment, 1, prompt).roofline * (1 - 1e-9)


def test_a_longer_prompt_is_sent_longer_and_needs_more_prefill():
    short, long = (disaggregate(LLAMA, Request(prompt, 128, 8, "fp8"), "h100x4", "h200x8") for prompt in (512, 8192))
    assert (short.prefill_gpus, short.decode_gpus) == (4, 8)
    assert short.transfer_seconds < long.transfer_seconds
    assert short.prefill_engines_per_decode_engine < long.prefill_engines_per_decode_engine
    assert long.tokens_per_second_per_gpu < short.tokens_per_second_per_gpu


def test_precision_and_degrees_are_the_callers():
    request = Request(1024, 128, 8, "bf16")
    narrow = disaggregate(LLAMA, request, "h100x8", "h100x8", precision="fp8")
    assert narrow.time_per_output_token_seconds < disaggregate(LLAMA, request, "h100x8", "h100x8").time_per_output_token_seconds
    few, many = (speculate(LLAMA, "h200x8", drafted=2, acceptance=0.5, context=512, tp=tp) for tp in (2, 8))
    assert many.step_seconds < few.step_seconds


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="chunk is 0"):
        chunked_prefill(deploy(LLAMA, "h100x8", context=64), 64, 0)
    with pytest.raises(InputError, match="drafted is 0"):
        speculate(LLAMA, "h100x8", drafted=0, acceptance=0.5, context=64)
    with pytest.raises(InputError, match="no cluster 'h101x8'"):
        disaggregate(LLAMA, Request(64, 64, 1, "bf16"), "h101x8", "h100x8")
