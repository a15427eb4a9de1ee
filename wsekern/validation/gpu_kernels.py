"""Kernels of one framework beside the fitted ones: GEMMs, their best rates and least times, and bus bandwidths of all-reduces.

Rows of aiconfigurator's tables summarise what the kernels were fitted on, and count as fitted.
"""

import re
from collections.abc import Callable

from wsekern.cluster import kernels
from wsekern.cluster.hardware import Cluster, Gpu, load_gpu
from wsekern.cluster.interconnect import collective_seconds
from wsekern.cluster.parameters import gemm_parameters
from wsekern.validation.gpu_rows import Refused, gpu_name, message_bytes, whole_number

FORMATS = {"bfloat16": "bf16", "bf16": "bf16", "fp16": "fp16", "fp8": "fp8", "nvfp4": "fp4"}
"""Arithmetic that a row's precision means."""

BYTES = {"bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "fp4": 0.5625}
"""Per weight and per input, the scales of FP4's blocks of 16 included."""

GROUPS = {"kernel_latency_floor": "kernel gemm floor", "memory_bandwidth_median": "kernel gemm bandwidth"}
"""Groups whose name is not the metric's."""

LARGE = 16384
"""Rows, columns and depth of the GEMM that stands for the best rate of a scan."""

LONG = (25600, 8192)
"""Columns and depth of the weights that stand for those above 200 MB."""


def gemm_seconds(gpu: Gpu, engines: tuple[str, ...], arithmetic: str, m: int, n: int, k: int) -> float:
    """(m, k) x (k, n) in ``arithmetic`` by the first of ``engines`` that was measured."""
    width = BYTES[arithmetic]
    parameters = gemm_parameters(gpu, engines, arithmetic, 0.0, width)
    parts = kernels.gemm(parameters, m, n, k, width, width, gpu.peak_flops(arithmetic), float(gpu.memory.bandwidth))
    return float(sum(parts))


def predict_kernel(row: dict[str, str]) -> tuple[str, float]:
    """(group, prediction in the unit of the row); :class:`Refused` for other kernels."""
    if row["metric"] == "allreduce_busbw":
        return _bus_bandwidth(row)
    if row["metric"] in ("p2p_latency", "p2p_bandwidth"):
        return "kernel send between nodes", _send(row)
    if row["metric"] == "ep_dispatch_plus_combine_latency":
        return "kernel expert exchange", _expert_exchange(row)
    reading = READINGS.get(row["metric"])
    if reading is None:
        raise Refused(f"a kernel of one framework, of which {row['metric']!r} is not predicted")
    arithmetic = FORMATS.get((row.get("precision") or "").lower())
    if arithmetic is None:
        raise Refused(f"a kernel in {row.get('precision')!r}, which is not modelled")
    gpu = load_gpu(gpu_name(row["gpu"], row.get("notes") or ""))
    return GROUPS.get(row["metric"], f"kernel {row['metric'].replace('_', ' ')}"), reading(row, gpu, _engines(row), arithmetic)


def is_fitted_kernel(row: dict[str, str]) -> bool:
    """Whether the kernels were fitted on the table that a row is from, or the network read from it."""
    source = row.get("source") or ""
    return (row["metric"] in READINGS and source.startswith("aiconfigurator gemm_perf")) or (
        row["metric"] in ("p2p_latency", "p2p_bandwidth") and source.startswith("microsoft/vidur"))


def _engines(row: dict[str, str]) -> tuple[str, ...]:
    own = [name for name in ("trtllm", "vllm", "sglang") if f"/{name}/" in (row.get("source") or "")]
    return (*own, *(name for name in ("trtllm", "vllm") if name not in own))


def _shape(row: dict[str, str]) -> tuple[int, int, int]:
    """(m, n, k) that a row states."""
    cube = re.search(r"GEMM (\d+)\^3", row["model"])
    sides = re.search(r"GEMM n?(\d+)(?:x| k)(\d+)", row["model"])
    if cube:
        return (int(cube[1]),) * 3
    if not sides:
        raise Refused(f"a GEMM of a shape that is not stated: {row['model']!r}")
    return whole_number(row.get("batch_or_concurrency"), "rows of the GEMM"), int(sides[1]), int(sides[2])


def _latency(row: dict[str, str], gpu: Gpu, engines: tuple[str, ...], arithmetic: str) -> float:
    return 1e6 * gemm_seconds(gpu, engines, arithmetic, *_shape(row))


def _rate(row: dict[str, str], gpu: Gpu, engines: tuple[str, ...], arithmetic: str) -> float:
    m, n, k = _shape(row)
    return 2e-12 * m * n * k / gemm_seconds(gpu, engines, arithmetic, m, n, k)


def _best_rate(row: dict[str, str], gpu: Gpu, engines: tuple[str, ...], arithmetic: str) -> float:
    return 2e-12 * LARGE**3 / gemm_seconds(gpu, engines, arithmetic, LARGE, LARGE, LARGE)


def _bandwidth(row: dict[str, str], gpu: Gpu, engines: tuple[str, ...], arithmetic: str) -> float:
    n, k = LONG
    return 1e-9 * n * k * BYTES[arithmetic] / gemm_seconds(gpu, engines, arithmetic, 1, n, k)


def _floor(row: dict[str, str], gpu: Gpu, engines: tuple[str, ...], arithmetic: str) -> float:
    return 1e6 * gemm_seconds(gpu, engines, arithmetic, 1, 32, 128)


READINGS: dict[str, Callable[[dict[str, str], Gpu, tuple[str, ...], str], float]] = {
    "gemm_latency": _latency, "gemm_tflops": _rate, "gemm_p95_tflops": _best_rate, "gemm_max_tflops": _best_rate,
    "memory_bandwidth_median": _bandwidth, "kernel_latency_floor": _floor}
"""What each metric of a GEMM means."""


def _bus_bandwidth(row: dict[str, str]) -> tuple[str, float]:
    """(group, GB/s of NCCL's definition: 2 (n - 1) / n of the message over the time)."""
    gpu, ranks = load_gpu(gpu_name(row["gpu"], row.get("notes") or "")), whole_number(row["n_gpus"], "n_gpus")
    message = message_bytes(row)
    seconds = collective_seconds(Cluster(gpu, ranks), ("nccl",), "all_reduce", ranks, message, only=True)
    across = " across nodes" if ranks > int(gpu.link.domain) else ""
    return f"kernel bus bandwidth{across}", 2e-9 * (ranks - 1) / ranks * message / seconds


def _send(row: dict[str, str]) -> float:
    """Microseconds, or GB/s, of a message from GPU to GPU of two nodes."""
    if "across nodes" not in row["model"]:
        raise Refused("a copy between GPUs of a node, which is not modelled")
    gpu = load_gpu(gpu_name(row["gpu"], row.get("notes") or ""))
    rate = float(gpu.link.network_bandwidth) * float(gpu.link.network_efficiency)
    seconds = float(gpu.link.network_latency) + message_bytes(row) / rate
    return 1e6 * seconds if row["metric"] == "p2p_latency" else 1e-9 * message_bytes(row) / seconds


DEEPSEEK = (7168, 8)
"""Hidden size and experts of a token in DeepEP's benchmark."""


def _expert_exchange(row: dict[str, str]) -> float:
    """Microseconds of sending every token of a rank to its experts in 8 bit, and the results back in 16."""
    gpu, ranks = load_gpu(gpu_name(row["gpu"], row.get("notes") or "")), whole_number(row["n_gpus"], "n_gpus")
    if ranks > int(gpu.link.domain):
        raise Refused("spans several NVLink domains")
    hidden, chosen = DEEPSEEK
    each = whole_number(row.get("batch_or_concurrency"), "tokens of a rank") * min(chosen, ranks) * hidden
    cluster = Cluster(gpu, ranks)
    return 1e6 * sum(collective_seconds(cluster, ("nccl",), "alltoall", ranks, width * each) for width in (1.0, 2.0))
