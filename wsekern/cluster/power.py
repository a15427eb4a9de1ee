"""Power of a cluster under load."""

from wsekern.cluster.gpu import Cluster

SATURATION = 0.15
"""Share of the dense tensor peak at which a GPU draws its most (fitted on a sixth of ML.ENERGY's runs)."""


def gpu_watts(cluster: Cluster, flops_per_second: float, arithmetic: str, busy: float = 1.0) -> float:
    """Watts of one GPU that serves: a floor while it waits for the engine or for others, more while it streams memory, and
    most with busy tensor cores.

    ``flops_per_second`` is that of one GPU, averaged over decode and prefill; ``busy`` the share of the time in kernels.
    """
    power = cluster.gpu.power
    wait, low, high = power.waiting, float(power.low_fraction), float(power.high_fraction)
    load = min(1.0, flops_per_second / cluster.gpu.peak_flops(arithmetic) / SATURATION)
    return float(power.tdp) * (wait + (low - wait) * min(1.0, busy) + (high - low) * load)


def cluster_watts(cluster: Cluster, gpus: int, flops_per_second: float, arithmetic: str, busy: float = 1.0) -> float:
    """Watts of the GPUs in use with their hosts."""
    return gpus * (gpu_watts(cluster, flops_per_second, arithmetic, busy) + float(cluster.gpu.power.host))
