"""Rules that find measurements which cannot be what they say, from the measurements alone."""

from wsekern.validation.gpu_notes import engine_of
from wsekern.validation.gpu_rows import shape_by_size
from wsekern.validation.gpu_suspects import inconsistent


def row(name, **changes):
    base = {
        "id": name, "source": "mine:a_agg_1", "gpu": "H200-SXM", "n_gpus": "8", "parallelism": "TP8", "model": "DeepSeek-R1",
        "precision": "fp8", "isl": "1024", "osl": "1024", "batch_or_concurrency": "4", "metric": "tpot_mean", "value": "14",
        "unit": "ms", "confidence": "high", "notes": "sglang 0.5",
    }
    return {**base, **changes}


def test_drafted_tokens_are_told_by_a_slower_run_of_the_same_system():
    slow = [row(f"s{b}", batch_or_concurrency=str(b), value=str(10 + b)) for b in (4, 8, 16)]
    quick = [row(f"q{b}", batch_or_concurrency=str(b), value=str((10 + b) / 1.7), source="mine:b_agg_1") for b in (4, 8)]
    alone = row("q64", batch_or_concurrency="64", value="12", source="mine:b_agg_1")  # no partner, but of the quick set
    found = inconsistent([*slow, *quick, alone])
    assert set(found) == {"q4", "q8", "q64"} and "drafted" in found["q4"]
    dense = [{**entry, "model": "Llama-3.1-8B"} for entry in (*slow, *quick)]
    assert not inconsistent(dense)  # a model without draft layers cannot draft


def run(first, token, **changes):
    """The two metrics of one run of 64 users with 8,192 tokens of prompt and 128 of answer."""
    what = {"model": "Llama-3.1-8B", "precision": "bf16", "gpu": "H100", "n_gpus": "1", "parallelism": "TP1", "isl": "8192",
            "osl": "128", "batch_or_concurrency": "64", "notes": "vllm 0.12", **changes}
    return [row("first", metric="ttft_mean", value=str(first), **what), row("token", value=str(token), **what)]


def test_a_run_that_had_no_time_for_its_prompts_is_told_by_both_of_its_rows():
    """64 prompts of 8,192 tokens are 1.3e14 products each: 8.7 s at 989 TFLOP/s, half of it if all start at once and stop."""
    found = inconsistent(run(500, 20))
    assert set(found) == {"first", "token"} and "32 users" in found["token"] and "at the peak" in found["token"]
    assert not inconsistent(run(4000, 20)) and not inconsistent(run(500, 60))
    recipe = {"notes": "vllm; InferenceX run 2026-01-01"}  # ten rounds: nine tenths of the users, prompts a tenth shorter
    assert "58 users" in inconsistent(run(2500, 20, **recipe))["first"]
    assert not inconsistent(run(2500, 20)) and not inconsistent(run(8000, 20, **recipe))
    assert not inconsistent(run(500, 20, notes="vllm, decode only"))  # no prompts were read
    assert not inconsistent(run(500, 20)[1:])  # a time per token alone leaves open how long users waited


def test_a_longer_prompt_in_less_time_is_no_proof_of_a_cache():
    """Splitwise: 256 tokens in 51.7 ms, 128 in 58.2: eight GPUs read both in as much time as they launch kernels."""
    def first(name, prompt, value):
        return row(name, model="llama2-70b", precision="fp16", gpu="H100", metric="ttft", batch_or_concurrency="1",
                   isl=str(prompt), value=str(value), osl="128", notes="2023; splitwise")

    assert not inconsistent([first("a", 128, 58.19), first("b", 256, 51.66), first("c", 8192, 844.89)])


def test_unreadable_values_are_left_alone():
    assert inconsistent([row("x", value="fast"), row("y", model="unheard-of"), row("z", unit="parsec", value="")]) == {}


def test_generations_of_engines():
    assert engine_of("a table", "vLLM 2024; offline") == "stock-2024"
    assert engine_of("a table", "vllm 0.6.3") == "stock-2024" and engine_of("a table", "vllm 0.12.0") == "stock"
    assert engine_of("NVIDIA/TensorRT-LLM docs perf-overview.md v0.14.0", "max load") == "tuned-2024"
    assert engine_of("aiconfigurator", "trtllm 1.2.0rc6") == "tuned"
    assert engine_of("WaferLLM, OSDI'25", "SGLang") == "sglang-2024"
    assert engine_of("pytorch-labs/gpt-fast README", "torch.compile") == "compiled"


def test_shapes_by_size():
    assert shape_by_size("nobody-7b").kv_heads and shape_by_size("nobody") is None and shape_by_size("x-0b") is None
    assert abs(shape_by_size("huge-999b").parameters / 999e9 - 1) < 0.05
    routed = shape_by_size("some-60b-a4b")
    assert routed.mixture and 0 < routed.mixtures <= routed.layers
