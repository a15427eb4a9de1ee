"""Time of one kernel on one GPU: a fixed time plus max(bytes / achieved bandwidth, FLOP / achieved rate), smoothed.

Every form takes numbers or numpy arrays (the fit evaluates thousands of shapes at once), bytes, FLOP and counts in, and
returns (fixed, memory, excess) seconds, whose sum is the kernel's time: ``excess`` is what compute adds to streaming.
Parameters come from ``python -m wsekern.calibration.kernels``. Efficiencies are at most one and every other
term is positive, so no kernel is ever faster than the plain roofline, and more bandwidth or FLOP/s never slows one.
"""

from typing import Any

import numpy as np

from wsekern.formulas import smallest

Number = Any
"""A float, or a numpy array of them."""

Parts = tuple[Number, Number, Number]
"""Fixed time, streaming time, and what compute adds to it; seconds."""

MICRO = 1e-6


def smooth_max(a: Number, b: Number, power: Number) -> Number:
    """(a^p + b^p)^(1/p): at least max(a, b), at most their sum (p = 1: no overlap of memory and compute)."""
    top = a + b
    return top * ((a / top) ** power + (b / top) ** power) ** (1.0 / power)


def gemm(
    parameters: dict[str, float], m: Number, n: Number, k: Number, weight_bytes: float, input_bytes: float, flops: float,
    bandwidth: float
) -> Parts:
    """(m, k) x (k, n) with 2-byte results. ``depth`` is the latency of walking k = 8192, in seconds."""
    moved = n * k * weight_bytes + m * k * input_bytes + m * n * 2.0
    memory = moved / (parameters["memory"] * bandwidth)
    compute = 2.0 * m * n * k / (parameters["compute"] * flops)
    body = smooth_max(memory, compute, parameters["overlap"])
    return parameters["fixed"] + parameters["depth"] * k / 8192.0, memory, body - memory


def decode_attention(
    parameters: dict[str, float], sequences: Number, context: Number, heads: Number, moved: Number, work: Number, flops: float,
    bandwidth: float
) -> Parts:
    """One new token of ``sequences`` against ``context`` cached ones; ``moved`` bytes of cache, ``work`` FLOP.

    ``ramp`` is what is lost while loads fill the memory pipeline, all of it where streaming takes much longer than ``fill``.
    """
    memory = moved / (parameters["memory"] * bandwidth)
    compute = work / (parameters["compute"] * flops)
    body = smooth_max(memory, compute, parameters["overlap"])
    spread = parameters["rows"] * sequences * heads / 1024.0 + parameters["length"] * context / 8192.0
    filling = parameters["ramp"] * body / (body + parameters["fill"])
    return parameters["fixed"] + spread, memory + filling, body - memory


def prefill_attention(
    parameters: dict[str, float], tokens: Number, moved: Number, work: Number, flops: float, bandwidth: float
) -> Parts:
    """Causal attention of ``tokens`` new positions per sequence; ``work`` counts the unmasked half only."""
    memory = moved / (parameters["memory"] * bandwidth)
    compute = work / (parameters["compute"] * flops)
    body = smooth_max(memory, compute, parameters["overlap"])
    return parameters["fixed"] + parameters["length"] * tokens / 1024.0, memory, body - memory


def expert_ffn(
    parameters: dict[str, float], rows: Number, active: Number, hidden: Number, inner: Number, matrices: float,
    weight_bytes: float, input_bytes: float, flops: float, bandwidth: float
) -> Parts:
    """Grouped GEMMs of ``active`` experts over ``rows`` rows (a token counts once for each of its experts on this GPU), routing
    included.

    ``inner`` is the width of an expert on this GPU, which has three ``matrices``, or two without a gate. ``pad`` is the number
    of rows by which a group is filled up, ``group`` the time per 128 groups, ``depth`` as in :func:`gemm`, ``route`` the time
    for gathering and scattering 8192 rows of 4096.
    """
    moved = active * matrices * hidden * inner * weight_bytes + rows * (2.0 * hidden + matrices * inner) * input_bytes
    memory = moved / (parameters["memory"] * bandwidth)
    compute = 2.0 * matrices * (rows + active * parameters["pad"]) * hidden * inner / (parameters["compute"] * flops)
    body = smooth_max(memory, compute, parameters["overlap"])
    fixed = (
        parameters["fixed"]
        + parameters["group"] * active / 128.0
        + parameters["depth"] * (hidden + inner) / 8192.0
        + parameters["route"] * rows * hidden / (8192.0 * 4096.0)
    )
    return fixed, memory, body - memory


WIRE = {"all_reduce": 2.0, "all_gather": 1.0, "reduce_scatter": 1.0, "alltoall": 1.0, "send": 1.0}
"""Bytes on the busiest wire over message bytes, times (n - 1) / n."""


def collective(parameters: dict[str, float], operation: str, ranks: Number, message: Number, bandwidth: float) -> Number:
    """Collective over ``ranks`` GPUs of one NVLink domain; ``message`` bytes per rank.

    The faster of one step (every rank reads all others: ``direct``) and two (or a ring: ``extra`` latency, full links).
    ``ramp`` is the loss before links are saturated.
    """
    share = (ranks - 1.0) / ranks
    wire = WIRE[operation] * share * message / (parameters["links"] * bandwidth)
    direct = (ranks - 1.0) * message / (parameters["direct"] * bandwidth)
    ring = parameters["extra"] + wire + parameters["ramp"] * (MICRO * wire) ** 0.5
    return parameters["fixed"] + parameters["rank"] * (ranks - 1.0) + _least(direct, ring)


def _least(one: Number, other: Number) -> Number:
    """The smaller of both, element by element."""
    many = isinstance(one, np.ndarray) or isinstance(other, np.ndarray)
    return np.minimum(one, other) if many else smallest(one, other)


def elementwise(parameters: dict[str, float], moved: Number, bandwidth: float) -> Parts:
    """Normalisation, activation, embedding look-up: one kernel that streams ``moved`` bytes."""
    return parameters["fixed"], moved / (parameters["memory"] * bandwidth), 0.0
