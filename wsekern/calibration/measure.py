"""Measure this machine's GPU for ``python -m wsekern.calibration.kernels``; needs PyTorch and CUDA, and nothing of wsekern.

Run it as ``python -m wsekern.calibration.measure FOLDER``, or copy this one file to the GPU machine and run it there. FOLDER
gets ``gemm.csv`` and ``attention.csv`` (which calibrate reads), ``steps.csv`` (decode steps of a Llama-shaped stack in bf16,
which validate reads) and ``device.json`` (copy bandwidth, kernel launch, gap in a CUDA graph). Takes two to five minutes.
"""

import argparse
import csv
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GEMM_M = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
GEMM_NK = (
    (1024, 1024),
    (1024, 4096),
    (4096, 1024),
    (4096, 4096),
    (6144, 4096),
    (4096, 14336),
    (28672, 4096),
    (8192, 8192),
    (8192, 28672),
    (57344, 8192),
)
"""Output and input widths: projections of 8B to 70B models, whole and split over GPUs."""
DECODE_BATCHES = (1, 4, 16, 64)
DECODE_CONTEXTS = (128, 1024, 4096, 16384, 65536)
HEADS = ((32, 8), (16, 4), (8, 1), (64, 8))
PREFILL_TOKENS = (128, 512, 1024, 2048, 4096, 8192)
STEP_CONTEXTS = (128, 1024, 4096)
STEP_BATCHES = (1, 4, 16, 64)
CACHE_LIMIT = 16e9
"""Bytes of key-value cache beyond which a shape is left out."""

GEMM_COLUMNS = ("system", "framework", "version", "gemm_dtype", "m", "n", "k", "latency_us")
ATTENTION_COLUMNS = (
    "system",
    "framework",
    "version",
    "phase",
    "batch_size",
    "isl",
    "kv_len",
    "num_heads",
    "num_key_value_heads",
    "head_dim",
    "latency_us",
)
STEP_COLUMNS = (
    "id",
    "source",
    "gpu",
    "n_gpus",
    "parallelism",
    "model",
    "precision",
    "isl",
    "osl",
    "batch_or_concurrency",
    "metric",
    "value",
    "unit",
    "confidence",
    "notes",
)


@dataclass(frozen=True)
class Shape:
    """A Llama-shaped model; the defaults are Llama-3-8B."""

    name: str = "Llama-3-8B"
    layers: int = 32
    hidden: int = 4096
    heads: int = 32
    kv_heads: int = 8
    head_dim: int = 128
    ffn: int = 14336
    vocab: int = 128256


def system_name(device: str) -> str:
    """Name of the measured system as calibrate knows it: "NVIDIA H100 80GB HBM3" gives h100_sxm."""
    lower = device.lower()
    for key in ("gb300", "gb200", "gh200", "b300", "b200", "h200", "h100", "h800", "h20", "a100", "l40s"):
        if key in lower:
            return f"{key}_sxm" if key in ("a100", "h100", "h200", "b200") and "pcie" not in lower else key
    return "_".join(lower.replace("nvidia", "").split()) or "gpu"


def decode_shapes() -> Iterator[tuple[int, int, int, int]]:
    """(batch, context, heads, kv heads) of every decode attention that is timed and whose cache fits."""
    for batch in DECODE_BATCHES:
        for context in DECODE_CONTEXTS:
            for heads, kv_heads in HEADS:
                if 4.0 * batch * context * kv_heads * 128 <= CACHE_LIMIT:
                    yield batch, context, heads, kv_heads


def write_table(path: Path, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    """Write ``rows`` as CSV; a row with other columns is a programming error."""
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def graph_seconds(run: Callable[[], Any], torch: Any, repeats: int = 20, rounds: int = 7) -> float:
    """Median seconds of ``run`` when replayed ``repeats`` times from one CUDA graph (no CPU launch in it)."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(repeats):
            run()
    graph.replay()
    return _median_event_seconds(graph.replay, torch, rounds) / repeats


def _median_event_seconds(run: Callable[[], Any], torch: Any, rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) * 1e-3)
    return statistics.median(times)


def rotated(tensors: list[Any], count: int) -> Callable[[], Any]:
    """A function that returns the tensors in turn, so that no product finds its weights in the cache."""
    state = {"next": 0}

    def take() -> Any:
        state["next"] = (state["next"] + 1) % min(count, len(tensors))
        return tensors[state["next"]]

    return take


def measure_gemm(torch: Any, system: str, progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """bf16 products with weights that do not stay in the cache."""
    rows = []
    for n, k in GEMM_NK:
        copies = max(2, min(24, int(4e8 / (2 * n * k)) + 1))
        weights = [torch.randn(n, k, device="cuda", dtype=torch.bfloat16) for _ in range(copies)]
        for m in GEMM_M:
            take, x = rotated(weights, copies), torch.randn(m, k, device="cuda", dtype=torch.bfloat16)
            seconds = graph_seconds(
                lambda take=take, x=x: torch.nn.functional.linear(x, take()), torch, repeats=24 if m <= 512 else 4
            )
            rows.append(
                dict(
                    zip(
                        GEMM_COLUMNS,
                        (system, "torch", torch.__version__, "bfloat16", m, n, k, round(seconds * 1e6, 3)),
                        strict=True,
                    )
                )
            )
        progress(f"gemm n {n} k {k}: m 1 takes {rows[-len(GEMM_M)]['latency_us']} us")
    return rows


def attention(torch: Any, query: Any, keys: Any, values: Any, causal: bool) -> Any:
    """Grouped-query attention; shapes (batch, heads, tokens, head_dim)."""
    return torch.nn.functional.scaled_dot_product_attention(query, keys, values, is_causal=causal, enable_gqa=True)


def measure_attention(torch: Any, system: str, progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """Decode attention over a cache, and causal prefill attention."""
    rows = []

    def add(phase: str, batch: int, tokens: int, context: int, heads: int, kv_heads: int, seconds: float) -> None:
        rows.append(
            dict(
                zip(
                    ATTENTION_COLUMNS,
                    (
                        system,
                        "torch",
                        torch.__version__,
                        phase,
                        batch,
                        tokens,
                        context,
                        heads,
                        kv_heads,
                        128,
                        round(seconds * 1e6, 3),
                    ),
                    strict=True,
                )
            )
        )

    def tensor(*shape: int) -> Any:
        return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)

    for batch, context, heads, kv_heads in decode_shapes():
        q, k, v = tensor(batch, heads, 1, 128), tensor(batch, kv_heads, context, 128), tensor(batch, kv_heads, context, 128)
        seconds = graph_seconds(lambda q=q, k=k, v=v: attention(torch, q, k, v, False), torch, repeats=8)
        add("generation", batch, 1, context, heads, kv_heads, seconds)
    progress("decode attention done")
    for tokens in PREFILL_TOKENS:
        for heads, kv_heads in HEADS:
            for batch in (1, 4):
                q = tensor(batch, heads, tokens, 128)
                k, v = tensor(batch, kv_heads, tokens, 128), tensor(batch, kv_heads, tokens, 128)
                seconds = graph_seconds(lambda q=q, k=k, v=v: attention(torch, q, k, v, True), torch, repeats=4)
                add("context", batch, tokens, tokens, heads, kv_heads, seconds)
    progress("prefill attention done")
    return rows


def make_stack(torch: Any, shape: Shape, device: str, dtype: Any) -> dict[str, Any]:
    """Random weights of a Llama-shaped model."""

    def weight(rows: int, columns: int) -> Any:
        return torch.randn(rows, columns, device=device, dtype=dtype) * columns**-0.5

    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    layers = [
        {
            "qkv": weight(q + 2 * kv, shape.hidden),
            "o": weight(shape.hidden, q),
            "up": weight(2 * shape.ffn, shape.hidden),
            "down": weight(shape.hidden, shape.ffn),
        }
        for _ in range(shape.layers)
    ]
    return {
        "layers": layers,
        "head": weight(shape.vocab, shape.hidden),
        "norm": torch.ones(shape.hidden, device=device, dtype=dtype),
    }


def decode_step(torch: Any, shape: Shape, weights: dict[str, Any], caches: list[tuple[Any, Any]], x: Any) -> Any:
    """Logits of one token for each row of ``x`` (batch, hidden), attending to ``caches`` and writing into their last slot.

    Positions are not rotated: that costs one small kernel and changes no traffic.
    """
    linear, norm = torch.nn.functional.linear, torch.nn.functional.rms_norm
    q_size, kv_size, batch = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim, x.shape[0]
    for layer, (keys, values) in zip(weights["layers"], caches, strict=True):
        mixed = linear(norm(x, (shape.hidden,), weights["norm"]), layer["qkv"])
        q, k, v = mixed.split([q_size, kv_size, kv_size], dim=-1)
        keys[:, :, -1] = k.view(batch, shape.kv_heads, shape.head_dim)
        values[:, :, -1] = v.view(batch, shape.kv_heads, shape.head_dim)
        seen = attention(torch, q.view(batch, shape.heads, 1, shape.head_dim), keys, values, False)
        x = x + linear(seen.reshape(batch, q_size), layer["o"])
        gate, up = linear(norm(x, (shape.hidden,), weights["norm"]), layer["up"]).chunk(2, dim=-1)
        x = x + linear(torch.nn.functional.silu(gate) * up, layer["down"])
    return linear(norm(x, (shape.hidden,), weights["norm"]), weights["head"])


def make_caches(torch: Any, shape: Shape, batch: int, context: int, device: str, dtype: Any) -> list[tuple[Any, Any]]:
    """Keys and values of every layer, (batch, kv heads, context, head_dim) each."""
    size = (batch, shape.kv_heads, context, shape.head_dim)
    return [
        (torch.randn(size, device=device, dtype=dtype), torch.randn(size, device=device, dtype=dtype))
        for _ in range(shape.layers)
    ]


def step_row(shape: Shape, device: str, context: int, batch: int, seconds: float, version: str) -> dict[str, Any]:
    """One decode step as a row of the measurement tables."""
    return dict(
        zip(
            STEP_COLUMNS,
            (
                f"measured-{shape.name}-{batch}-{context}",
                "wsekern.calibration.measure",
                device,
                1,
                "TP1",
                shape.name,
                "bf16",
                context,
                1,
                batch,
                "decode_step",
                round(seconds * 1e3, 4),
                "ms",
                "high",
                f"torch {version} CUDA graph replay, no engine",
            ),
            strict=True,
        )
    )


def measure_steps(torch: Any, device: str, progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """Decode steps of a whole Llama-3-8B, replayed from a CUDA graph."""
    shape, rows = Shape(), []
    weights = make_stack(torch, shape, "cuda", torch.bfloat16)
    for context in STEP_CONTEXTS:
        for batch in STEP_BATCHES:
            caches = make_caches(torch, shape, batch, context, "cuda", torch.bfloat16)
            x = torch.randn(batch, shape.hidden, device="cuda", dtype=torch.bfloat16)
            seconds = graph_seconds(lambda c=caches, x=x: decode_step(torch, shape, weights, c, x), torch, repeats=1, rounds=15)
            rows.append(step_row(shape, device, context, batch, seconds, torch.__version__))
            progress(f"decode step, context {context}, batch {batch}: {seconds * 1e3:.3f} ms")
            del caches
            torch.cuda.empty_cache()
    return rows


def measure_device(torch: Any) -> dict[str, Any]:
    """Copy bandwidth, time of a launch, and of a smallest kernel inside a graph."""
    size = 1 << 30
    source, target = (torch.empty(size, device="cuda", dtype=torch.uint8) for _ in range(2))
    copy = graph_seconds(lambda: target.copy_(source), torch, repeats=4)
    small = torch.zeros(1, device="cuda")
    node = graph_seconds(lambda: small.add_(1.0), torch, repeats=200)
    count = 2000
    eager = _median_event_seconds(lambda: [small.add_(1.0) for _ in range(count)], torch, 5) / count
    return {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "copy_bytes_per_second": 2 * size / copy,
        "graph_kernel_seconds": node,
        "eager_launch_seconds": eager,
    }


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m wsekern.calibration.measure", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the tables go; made if missing")
    parser.add_argument("--system", help="name of the measured system (default: from the device)")
    options = parser.parse_args(arguments)
    try:
        import torch
    except ImportError:
        print("measure: PyTorch is not installed; install torch with CUDA on the GPU machine", file=sys.stderr)
        return 2
    if not torch.cuda.is_available():
        print("measure: no CUDA device is visible; run this on a machine with an NVIDIA GPU", file=sys.stderr)
        return 2
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    with torch.inference_mode():
        found = measure_device(torch)
        system = options.system or system_name(found["device"])
        print(f"{found['device']}: copies at {found['copy_bytes_per_second'] / 1e12:.2f} TB/s", flush=True)

        def progress(line: str) -> None:
            print(line, flush=True)

        (options.folder / "device.json").write_text(json.dumps(found, indent=1) + "\n")
        write_table(options.folder / "gemm.csv", GEMM_COLUMNS, measure_gemm(torch, system, progress))
        write_table(options.folder / "attention.csv", ATTENTION_COLUMNS, measure_attention(torch, system, progress))
        write_table(options.folder / "steps.csv", STEP_COLUMNS, measure_steps(torch, found["device"], progress))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
