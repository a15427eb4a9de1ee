"""Collectives by the kind of wires between chips."""

from wsekern.cluster.hardware import Cluster
from wsekern.cluster.kernels import WIRE, collective
from wsekern.cluster.parameters import kernel_fit


def collective_seconds(
    cluster: Cluster, engines: tuple[str, ...], operation: str, ranks: int, message: float, only: bool = False
) -> float:
    """Best of the engine's own kernel and NCCL inside a domain (``only`` the first), and a ring over the network across
    domains."""
    gpu = cluster.gpu
    inside = min(ranks, cluster.domain)
    total = 0.0
    if inside > 1:
        choices = [("nccl",)] if operation != "all_reduce" else [engines] if only else [engines, ("nccl",)]
        fits = [kernel_fit("collective", gpu, names, operation).parameters for names in choices]
        link = float(gpu.link.bandwidth)
        total = min(float(collective(fit, operation, inside, message, link)) for fit in fits)
    nodes = -(-ranks // inside)
    if nodes > 1:
        rounds = WIRE[operation] * (nodes - 1)
        wire = float(gpu.link.network_bandwidth) * float(gpu.link.network_efficiency)
        total += rounds * (float(gpu.link.network_latency) + message / inside / nodes / wire)
    return total
