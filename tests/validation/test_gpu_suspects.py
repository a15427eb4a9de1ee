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


def test_cached_prompts_are_told_by_tokens_beyond_the_peak():
    def first(name, prompt, value):
        return row(name, model="Qwen2.5-72B-Instruct", precision="bf16", n_gpus="2", parallelism="TP2", metric="ttft_mean",
                   batch_or_concurrency="1", isl=str(prompt), value=str(value), osl="128")

    assert not inconsistent([first("a", 128, 40), first("b", 1024, 129), first("c", 2048, 240)])
    found = inconsistent([first("a", 128, 40), first("b", 1024, 129), first("c", 2048, 149)])
    assert set(found) == {"b", "c"} and "cached" in found["b"]


def test_experts_that_were_not_read():
    def whole(value):
        return row("x", model="mistralai/Mixtral-8x7B-v0.1", precision="fp16", gpu="H100", n_gpus="4", parallelism="TP4",
                   isl="128", osl="128", batch_or_concurrency="16", metric="e2e_latency", unit="s", value=str(value),
                   notes="TensorRT-LLM 2024")

    assert "alike" in inconsistent([whole(0.86)])["x"] and not inconsistent([whole(1.1)])


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
    assert routed.experts and 0 < routed.moe_layers <= routed.layers
