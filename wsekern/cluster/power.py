"""Power of a cluster under load."""

from wsekern.cluster.gpu import Cluster

SATURATION = 0.3
"""Share of the dense tensor peak at which a GPU draws its most (fitted on a sixth of ML.ENERGY's runs)."""


def gpu_watts(cluster: Cluster, flops_per_second: float, arithmetic: str) -> float:
    """Watts of one GPU that serves: a floor for streaming memory, rising with the work of its tensor cores.

    ``flops_per_second`` is that of one GPU, averaged over decode and prefill. Waiting for the engine saves nothing that
    the measurements would show.
    """
    power = cluster.gpu.power
    low, high = float(power.low_fraction), float(power.high_fraction)
    load = min(1.0, flops_per_second / cluster.gpu.peak_flops(arithmetic) / SATURATION)
    return float(power.tdp) * (low + (high - low) * load)


def cluster_watts(cluster: Cluster, gpus: int, flops_per_second: float, arithmetic: str) -> float:
    """Watts of the GPUs in use with their hosts."""
    return gpus * (gpu_watts(cluster, flops_per_second, arithmetic) + float(cluster.gpu.power.host))
