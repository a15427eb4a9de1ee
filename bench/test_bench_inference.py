"""One decode layer of a model in our own mapping, as ``wsekern run`` executes it. Results are asserted, times never."""

import dataclasses
import resource
import time
from functools import lru_cache

import numpy as np
import pytest

from wsekern.inference.mapping import Mapping
from wsekern.inference.residency import bytes_of
from wsekern.inference.wafer import WaferModel
from wsekern.machine import load_machine
from wsekern.ops.repeated import Repeated
from wsekern.workload import load_config
from wsekern.workload.config import uniform
from wsekern.workload.weights.weights import random_weights

PES, CACHED, CHUNK = 660, 4000, 64


@lru_cache(maxsize=1)
def one_layer(precision: str) -> WaferModel:
    """Llama-3-8B's first layer on 660 x 660 PEs; one word of vocabulary a column."""
    whole = load_config("llama3-8b")
    config = dataclasses.replace(whole, vocab=PES, blocks=whole.blocks[:1])
    mapping = Mapping(config, PES, PES, precision, context=CACHED + CHUNK, chunk=CHUNK)
    return WaferModel(config, random_weights(config), load_machine("wse3"), mapping)


def bounds(model: WaferModel, seconds: float) -> dict[str, float]:
    """What the time of a layer is to be set beside: bytes of weights and cache, and the rate of memory in the same run."""
    size = sum(map(bytes_of, [*model.layers, *model._caches]))
    rate = memory_rate()
    return {"bytes_read": size, "bytes_per_second": size / seconds, "memory_bytes_per_second": rate,
            "memory_seconds": size / rate}


def test_prefill_chunk_in_our_mapping(benchmark):
    """64 tokens of a prompt through the same layer behind 1,024 others. Bound by rounding every sum to fp16."""
    model = one_layer("fp16")
    model.engine.threads = 2

    def chunk() -> np.ndarray:
        model.length = 1024
        return model.prefill(list(range(CHUNK)))

    logits = benchmark.pedantic(chunk, rounds=1)
    assert np.isfinite(logits).all() and logits.shape == (PES,)
    products = sum(Repeated.of(tiles).tiles.size for layer in model.layers for tiles in layer.values())
    seconds = benchmark.stats.stats.min if benchmark.stats else 1
    benchmark.extra_info.update(width=PES, height=PES, threads=2, dtype="fp16", engine="flow", tokens=CHUNK,
                                mac_per_s=CHUNK * products / seconds, goal="a quarter of commit 9a58329",
                                peak_bytes=1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


@pytest.mark.parametrize(("precision", "threads"), [("fp16", 1), ("fp16", 2), ("fp16_fp32", 2)])
def test_decode_layer_in_our_mapping(benchmark, precision, threads):
    """Llama-3-8B's decode layer after 4,000 tokens on 660 x 660 PEs, with values.

    Bound by memory where sums are fp32 (``memory_seconds``: of one thread), by rounding every sum to fp16 where they are not.
    ``peak_bytes``: of the process, with the weights.
    """
    model = one_layer(precision)
    model.engine.threads = threads

    def token() -> np.ndarray:
        model.length = CACHED
        return model.decode(3)

    logits = benchmark.pedantic(token, warmup_rounds=2, rounds=7)
    assert np.isfinite(logits).all() and logits.shape == (PES,) and model.engine.cycles > 1000
    benchmark.extra_info.update(width=PES, height=PES, threads=threads, dtype=precision, engine="flow", cached_tokens=CACHED,
                                peak_bytes=1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
                                goal="fp16: a fifth of commit 9a58329; two threads 1.8 times one",
                                **bounds(model, benchmark.stats.stats.min if benchmark.stats else 1))


@pytest.mark.parametrize("threads", [1, 2])
def test_token_of_a_small_model(benchmark, threads):
    """A token through four layers of SmolLM2-135M's shape on 96 x 96 PEs, with values.

    Bound by reading the weights once, whose rate stands beside that of memory in the same run; the rest, above
    ``seconds_to_read_weights``, is some 50 steps of a layer, each of some 20 microseconds whatever its size.
    """
    config = uniform(layers=4, hidden=576, heads=9, kv_heads=3, head_dim=64, ffn=1536, vocab=49_152, max_context=2048,
                     tied_embeddings=True)
    mapping = Mapping(config, 96, 96, "fp16", context=512, chunk=32)
    model = WaferModel(config, random_weights(config), load_machine("wse3"), mapping, threads=threads)
    model.prefill(list(range(32)))
    logits = benchmark.pedantic(model.decode, (3,), warmup_rounds=2, rounds=9)
    assert np.isfinite(logits).all() and logits.shape == (49_152,) and model.length > 32
    weights = sum(map(bytes_of, model.layers)) + bytes_of({"head": model._model["model.head"]})
    seconds, rate = benchmark.stats.stats.median if benchmark.stats else 0.0, memory_rate()
    benchmark.extra_info.update(threads=threads, dtype="fp16", weight_bytes=weights, bytes_per_second=weights / (seconds or 1),
                                memory_bytes_per_second=rate, seconds_to_read_weights=weights / rate,
                                goal="<= 2.5 x the time of llama.cpp (bench/peer_llama_cpp.py)")


def memory_rate() -> float:
    """Bytes a second at which one thread of this machine reads memory."""
    memory = np.ones(32_000_000, np.float32)
    start = time.perf_counter()
    memory.max()
    return memory.nbytes / (time.perf_counter() - start)
