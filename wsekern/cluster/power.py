"""Power of a cluster under load."""

from math import log2

from wsekern.cluster.gpu import Cluster
from wsekern.cluster.step import Step


def gpu_watts(cluster: Cluster, step: Step, batch: float, prefill: bool) -> float:
    """Watts of one GPU: a floor that streaming memory costs, rising with the sequences in flight and with compute.

    Between the fractions measured at small and at large batch (ML.ENERGY) the rise is logarithmic in the batch; time in
    which the GPU waits for the engine is spent at the idle fraction.
    """
    power = cluster.gpu.power
    low, high = float(power.low_fraction), float(power.high_fraction)
    busy = step.device / step.seconds if step.seconds else 0.0
    load = 1.0 if prefill else min(1.0, log2(max(1.0, batch)) / 8.0)
    fraction = low + (high - low) * load
    return float(power.tdp) * (busy * fraction + (1.0 - busy) * float(power.idle_fraction))


def cluster_watts(cluster: Cluster, gpus: int, step: Step, batch: float, prefill: bool) -> float:
    """Watts of the GPUs in use with their hosts."""
    return gpus * (gpu_watts(cluster, step, batch, prefill) + float(cluster.gpu.power.host))
