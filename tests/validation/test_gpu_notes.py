"""What the words of a row say where its table has no columns for it."""

import pytest

from wsekern.validation.gpu_notes import (
    EAGER_EXCHANGE,
    INFERENCEX,
    SPECULATIVE,
    SUSPECTED_EAGER,
    UNFINISHED,
    engine_of,
    level_by_words,
    library_by_words,
    reason_by_words,
)


def row(**changes):
    return {"model": "Llama-3.1-8B", "metric": "tpot_mean", "source": "mine", **changes}


@pytest.mark.parametrize(("changes", "reason"), [
    ({"notes": "vllm 0.12; Speculative decoding"}, SPECULATIVE), ({"notes": "MTP 2"}, SPECULATIVE),
    ({"parallelism": "TP8 mtp on"}, SPECULATIVE), ({"source": "3.4x slower than expected"}, ""),
    ({"notes": "3.4x the weight-traffic floor: eager mode likely"}, SUSPECTED_EAGER), ({"notes": "+ fused norms"}, UNFINISHED),
    ({"notes": "the baseline"}, UNFINISHED), ({"notes": "vllm 0.12"}, ""), ({}, ""),
    ({"metric": "allreduce_latency", "model": "microbench eager"}, EAGER_EXCHANGE),
    ({"metric": "allreduce_latency", "notes": "Eager"}, EAGER_EXCHANGE),
    ({"metric": "allreduce_latency", "notes": "the baseline"}, "")])
def test_words_that_speak_against_a_row(changes, reason):
    assert reason_by_words(row(**changes)) == reason


@pytest.mark.parametrize(("source", "notes", "level"), [
    ("splitwise-sim", "", "eager"), ("mine", "no engine", "graph"), ("gpt-fast", "", "compiled"), ("mine", "sglang", "sglang"),
    ("SGLang, MLSys'25", "", "sglang-2024"), ("NIM/1.0", "", "tuned"), ("mine", "TRT-LLM 2023", "tuned-2024"),
    ("mine", "2023, HF", "eager"), ("mine", "vllm 0.5.1", "stock-2024"), ("mine", "", "stock")])
def test_products_and_generations(source, notes, level):
    assert engine_of(source, notes) == level == level_by_words(row(source=source, notes=notes))


def test_hosts_that_work_ahead():
    assert level_by_words(row(notes="trtllm 1.0", batch_or_concurrency="max")) == "tuned-overlapped"
    assert level_by_words(row(notes="vllm 1.0", batch_or_concurrency="max")) == "stock"
    for engine, level in (("trtllm", "tuned-overlapped"), ("vllm", "stock-overlapped"), ("sglang", "sglang-overlapped")):
        assert level_by_words(row(notes=f"{engine}; {INFERENCEX} 1", batch_or_concurrency="8")) == level


def test_a_recipe_of_sglang_is_of_the_year_that_it_ran_in():
    recipe = row(notes=f"sglang 0.5.5; {INFERENCEX} 2025-11-10", batch_or_concurrency="8")
    assert level_by_words(recipe) == "sglang-2025"
    assert level_by_words(row(notes=f"sglang 0.5.9; {INFERENCEX} 2026-03-25", batch_or_concurrency="8")) == "sglang-overlapped"
    assert level_by_words(row(notes="sglang 0.5.6", batch_or_concurrency="8")) == "sglang"
    gaps = row(source="aiconfigurator silicon_sample.csv:qwen3_5_397b_gap_analysis_c4", notes="sglang 0.5.9")
    assert level_by_words(gaps) == "sglang-overlapped", "the same runs once more"


def test_libraries_of_all_reduces():
    assert library_by_words(row(source="aiconfigurator comm b200/trtllm", notes="nccl")) == "nccl"
    assert library_by_words(row(source="aiconfigurator comm b200/vllm")) == "vllm"
    assert library_by_words(row(source="DeepEP")) == ""
