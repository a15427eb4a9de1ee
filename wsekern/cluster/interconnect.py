"""Collectives by the kind of wires between chips: measured ones of GPUs, and what wires alone allow."""

from functools import lru_cache

from wsekern.cluster.constants import constants
from wsekern.cluster.hardware import Cluster, Gpu
from wsekern.cluster.kernels import WIRE, collective
from wsekern.cluster.parameters import kernel_fit
from wsekern.cluster.topology import Mesh, Switch, Topology, Torus, ring_seconds, slice_shape
from wsekern.formulas import smallest


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
        if gpu.interconnect.kind == "mesh":  # the wires to chips that take part
            link *= (inside - 1) / max(1, cluster.domain - 1)
        total = smallest(*(collective(fit, operation, inside, message, link) for fit in fits))
    nodes = -(-ranks // inside)
    if nodes > 1:
        rounds = WIRE[operation] * (nodes - 1)
        wire = float(gpu.link.network_bandwidth) * float(gpu.link.network_efficiency)
        total += rounds * (float(gpu.link.network_latency) + message / inside / nodes / wire)
    return total


def wired_seconds(cluster: Cluster, operation: str, ranks: int, message: float, links: float = 1.0) -> float:
    """What wires alone allow, by their kind, where software reaches a share ``links`` of their bandwidth; across domains over
    the network, for which every chip has its own adapter.

    Sums and gathers go around a ring of domains, each chip with its share; exchanges go straight to their chips.
    """
    inside = min(ranks, cluster.domain)
    nodes, link = -(-ranks // inside), cluster.gpu.link
    total = 0.0
    if inside > 1:
        stays = message / nodes if operation == "alltoall" else message
        total = topology_of(cluster.gpu, inside).seconds(operation, stays / links)
    if nodes < 2:
        return total
    wire, latency = float(link.network_bandwidth) * float(link.network_efficiency), float(link.network_latency)
    if operation == "alltoall":
        return total + Switch(nodes, wire, latency).seconds(operation, message)
    return total + ring_seconds(operation, nodes, message / inside, wire, latency)


def network_seconds(gpu: Gpu, message: float) -> float:
    """From a chip of one domain to one of another, through an adapter of each."""
    link = gpu.link
    return float(link.network_latency) + message / (float(link.network_bandwidth) * float(link.network_efficiency))


def topology_of(gpu: Gpu, ranks: int) -> Topology:
    """The wires between ``ranks`` chips of one domain."""
    return _topology(gpu, ranks, constants().wire_hop.value)


@lru_cache(maxsize=1024)
def _topology(gpu: Gpu, ranks: int, usual_hop: float) -> Topology:
    wires, rate, domain = gpu.interconnect, float(gpu.link.bandwidth), int(gpu.link.domain)
    hop = usual_hop if wires.hop is None else float(wires.hop)
    if wires.kind == "mesh":
        return Mesh(ranks, rate / max(1, domain - 1), hop)
    if wires.kind != "torus" or wires.axes is None:
        return Switch(ranks, rate, hop)
    axes = tuple(sorted(wires.axes.values))
    usual = tuple(_sides(shape, len(axes)) for shape in wires.shapes)
    shape = slice_shape(ranks, axes, usual)
    return Torus(shape, _wraps(shape, axes, int(wires.cube) if wires.cube else 0), rate / (2.0 * len(axes)), hop)


def _sides(shape: str, axes: int) -> tuple[int, ...]:
    """Chips along each axis of a slice such as 2x4, shortest first; a missing axis is one chip long."""
    sides = sorted(int(n) for n in shape.split("x"))
    return (1,) * (axes - len(sides)) + tuple(sides)


def _wraps(shape: tuple[int, ...], axes: tuple[int, ...], cube: int) -> tuple[bool, ...]:
    """Axes of a slice that are rings: those as long as an axis of the whole domain, and all of slices of whole ``cube`` chips,
    which lie in cubes."""
    edge = round(cube ** (1.0 / len(shape)))
    if cube and all(n % edge == 0 for n in shape):
        return (True,) * len(shape)
    if len(shape) < len(axes):  # a line through more than a domain's axis
        return (False,) * len(shape)
    return tuple(n == whole for n, whole in zip(shape, axes, strict=True))
