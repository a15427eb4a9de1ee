"""Power of a cluster under load: what GPUs do with their time, and what each draws."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from wsekern.cluster.constants import constants
from wsekern.cluster.hardware import Cluster, Power
from wsekern.cluster.work import StepTime


@dataclass(frozen=True, kw_only=True)
class Activity:
    """Shares of the time of one GPU, which add up to at most one; the rest it waits for software or for other GPUs.

    ``latency``: kernels that take as long with less to do (their fixed times, all-reduces); ``streaming``: memory is read;
    ``computing``: tensor cores take longer than memory, or weights are unpacked. ``rate``: FLOP/s over the dense peak, averaged
    over all the time.
    """

    latency: float
    streaming: float
    computing: float
    rate: float


def activity(steps: Iterable[tuple[float, StepTime]], seconds: float, peak: float) -> Activity:
    """What a GPU does in ``seconds`` with so many of each of ``steps``; ``peak`` FLOP/s.

    Where steps share kernels (prompts that ride along with decoding), they take less than their sum: all shares, and the rate,
    are then those of the sum. No rate exceeds the peak, since no step is faster than its own roofline.
    """
    done = StepTime()
    for times, step in steps:
        done.add(step, times)
    scale = 1.0 / max(seconds, done.device)
    return Activity(
        latency=scale * (done.fixed + done.all_reduce),
        streaming=scale * max(0.0, done.weights + done.kv - done.idle - done.unpacking),
        computing=scale * (done.compute + min(done.unpacking, max(0.0, done.weights - done.idle))),
        rate=scale * done.flops / peak,
    )


def power_share(levels: Any, latency: Any, streaming: Any, computing: Any, rate: Any, saturation: float | None = None) -> Any:
    """Power over TDP of a GPU whose time is parted as in :class:`Activity` (numbers or arrays).

    ``levels``: fractions of TDP while it waits, while kernels wait for latencies, streaming, and with busy tensor cores, in
    that order. Each share of the time draws its own; beyond that the arithmetic done while streaming draws up to the last
    level, all of it at ``saturation`` of the peak (default: the constant ``power_saturation``). Never below the first level,
    nor above the last.
    """
    most = constants().power_saturation.value if saturation is None else saturation
    waiting, idling, low, high = levels
    share = waiting + (idling - waiting) * latency + (low - waiting) * streaming + (high - waiting) * computing
    return share + np.maximum(0.0, high - share) * np.minimum(1.0, rate / most)


def levels(power: Power) -> tuple[float, float, float, float]:
    """The levels of a GPU, as :func:`power_share` takes them."""
    return power.waiting, power.latency, float(power.low_fraction), float(power.high_fraction)


def gpu_watts(cluster: Cluster, doing: Activity) -> float:
    """Watts of one GPU."""
    power = cluster.gpu.power
    share = power_share(levels(power), doing.latency, doing.streaming, doing.computing, doing.rate)
    return float(power.tdp) * float(share)


def cluster_watts(cluster: Cluster, gpus: int, doing: Activity) -> float:
    """Watts of the GPUs in use with their hosts: never above :attr:`Cluster.power_max` of as many."""
    return gpus * (gpu_watts(cluster, doing) + float(cluster.gpu.power.host))
