"""Power of a cluster under load."""

from typing import Any

import numpy as np

from wsekern.cluster.constants import constants
from wsekern.cluster.hardware import Cluster


def power_share(waiting: float, low: float, high: float, rate: Any, busy: Any, saturation: float | None = None) -> Any:
    """Power over TDP at ``rate`` (FLOP/s over the dense peak), kernels running for a ``busy`` share of the time; ``waiting``,
    ``low`` and ``high`` as in :class:`wsekern.cluster.hardware.Power`. ``saturation`` is the rate at which a GPU draws its most
    (default: the constant ``power_saturation``)."""
    most = constants().power_saturation.value if saturation is None else saturation
    return waiting + (low - waiting) * np.minimum(1.0, busy) + (high - low) * np.minimum(1.0, rate / most)


def gpu_watts(cluster: Cluster, flops_per_second: float, arithmetic: str, busy: float = 1.0) -> float:
    """Watts of one GPU that serves: a floor while it waits for the engine or for others, more while it streams memory, and
    most with busy tensor cores.

    ``flops_per_second`` is that of one GPU, averaged over decode and prefill; ``busy`` the share of the time in kernels.
    """
    power = cluster.gpu.power
    rate = flops_per_second / cluster.gpu.peak_flops(arithmetic)
    return float(power.tdp) * float(
        power_share(power.waiting, float(power.low_fraction), float(power.high_fraction), rate, busy)
    )


def cluster_watts(cluster: Cluster, gpus: int, flops_per_second: float, arithmetic: str, busy: float = 1.0) -> float:
    """Watts of the GPUs in use with their hosts."""
    return gpus * (gpu_watts(cluster, flops_per_second, arithmetic, busy) + float(cluster.gpu.power.host))
