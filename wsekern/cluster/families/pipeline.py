"""Pipelines of chips that are scheduled ahead of time (Groq, d-Matrix, SambaNova): weights stay where they are, tokens pass by.

Layers lie on stages of a few chips each, weights in SRAM as far as it goes. A token takes the sum of all stages and the hops
between them; tokens of as many sequences as there are stages are on their way together, at the pace of the slowest stage. The
memory sets how many chips that takes. What it does not hold lies a tier below, where one is, and streams at the rate of that
tier: the cliff at the end of the capacity. Nothing waits for a host, and nothing misses a cache.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from math import ceil
from typing import Annotated

import msgspec

from wsekern.cluster.constants import constants
from wsekern.cluster.families.family import ExpertShape, filled, numbers_by_family
from wsekern.cluster.hardware import Memory
from wsekern.cluster.interconnect import topology_of, wired_seconds
from wsekern.cluster.kernels import Parts
from wsekern.cluster.layout import Deployment, Layout, memory_of
from wsekern.cluster.parts import common_heads
from wsekern.cluster.precision import Format
from wsekern.cluster.scoped import Scoped
from wsekern.cluster.work import AttentionShape, Work
from wsekern.description import Quantity, Unit

Ratio = Annotated[Quantity, Unit("ratio", 0.001, 1)]


class Pipeline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What scheduled pipelines reach; ``pipeline.toml`` says what each number means."""

    stage: Annotated[Quantity, Unit("s")]
    memory: Ratio
    cache: Ratio
    context: Annotated[Quantity, Unit("tokens", 1, whole=True)]
    compute: Ratio
    links: Ratio


pipeline: Scoped[Mapping[str, Pipeline]] = Scoped("pipeline", partial(numbers_by_family, "pipeline.toml", Pipeline))
"""The numbers in use by family of machines; ``pipeline.replaced`` uses others inside a ``with`` block."""

USUAL = "rdu"
"""The family whose numbers stand in for one that was never measured."""


def streaming_rate(memory: Memory, kept: float, share: float) -> float:
    """Bytes per second of reading all of ``kept`` bytes once, when ``share`` of the main memory may be filled and the rest lies
    in the tiers behind it."""
    left, seconds = kept, 0.0
    for capacity, rate in ((memory.capacity, memory.bandwidth), *((tier.capacity, tier.bandwidth) for tier in memory.behind)):
        here = min(left, share * float(capacity))
        seconds += here / float(rate)
        left -= here
    return kept / seconds if seconds and left <= 0.0 else float(memory.bandwidth)


class PipelineFamily:
    """:class:`wsekern.cluster.families.family.Family` of scheduled pipelines."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment, self.gpu = deployment, deployment.gpu
        self.known = pipeline().get(self.gpu.family) or pipeline()[USUAL]
        self.bandwidth, self.skew = float(self.gpu.memory.bandwidth), 1.0

    @classmethod
    def layout(cls, deployment: Deployment, context: float, batch: int) -> Layout | None:
        """The most chips in a stage first, which shortens it, then the fewest stages that hold weights and caches in the main
        memory; where no number of stages does, all that there are."""
        model, count = deployment.model, deployment.cluster.count
        heads = common_heads(model)
        widths = [tp for tp in range(min(heads, count, deployment.cluster.domain), 0, -1) if heads % tp == 0]
        best = None
        for tp in widths:
            most = min(model.layers, count // tp)
            found = _stages(deployment, tp, most, context, batch)
            if found is not None:
                return found
            if best is None or tp * most > best.gpus:
                best = Layout(tp=tp, pp=most)
        return best

    @classmethod
    def buckets(cls, deployment: Deployment, most: float) -> list[float]:
        """None."""
        return []

    def step(self, work: Work) -> Work:
        """Itself; what the chips keep meanwhile says from which memory they stream, and stages that are all busy go at the pace
        of the slowest."""
        memory = memory_of(self.deployment, work.context + work.tokens / work.sequences, self._sequences(work))
        kept = memory.weights + memory.cache
        self.skew = _skew(self.deployment) if work.sequences > 1.0 else 1.0
        self.bandwidth = streaming_rate(self.gpu.memory, kept, constants().memory_share.value)
        return work

    def _sequences(self, work: Work) -> int:
        """Of all stages and copies."""
        layout = self.deployment.layout
        return ceil(work.sequences * layout.dp * layout.pp)

    def gemm(self, form: Format, m: float, n: float, k: float) -> Parts:
        """Weights pass the arithmetic at the rate of their memory."""
        weight, arithmetic, _ = form
        return self._kernel(n * k * weight, 2.0 * m * n * k, arithmetic)

    def decode_attention(self, work: Work, shape: AttentionShape, moved: float, flops: float) -> Parts:
        """Caches beside the weights of their layer, read to the end of their compiled length."""
        seen, most = shape.seen(work.context), shape.seen(filled(work.context + 1.0, float(self.known.context)))
        return self._kernel(moved * most / seen if seen else 0.0, flops, "bf16", self.known.cache)

    def prefill_attention(self, work: Work, shape: AttentionShape, moved: float, flops: float) -> Parts:
        """The keys and values that there are."""
        return self._kernel(moved, flops, "bf16", self.known.cache)

    def scores(self, moved: float, flops: float, row: float) -> Parts:
        """Keys of an indexer."""
        return self._kernel(moved, flops, "bf16", self.known.cache)

    def recurrent(self, moved: float, flops: float) -> Parts:
        """A state beside the weights."""
        return self._kernel(moved, flops, "bf16")

    def experts(self, shape: ExpertShape) -> tuple[Parts, float]:
        """Products of every expert that is chosen."""
        parts = self._experts(shape, *shape.load)
        return parts, sum(parts) - sum(self._experts(shape, *shape.mean))

    def _experts(self, shape: ExpertShape, rows: float, active: float) -> Parts:
        weight, arithmetic, _ = shape.form
        each = shape.matrices * shape.hidden * shape.inner
        return self._kernel(active * each * weight, 2.0 * rows * each, arithmetic)

    def small(self, moved: float) -> Parts:
        """Fused with what comes before."""
        return 0.0, 0.0, 0.0

    def collective(self, operation: str, ranks: int, message: float) -> float:
        """Between the chips of a stage."""
        if ranks < 2:
            return 0.0
        return self.skew * wired_seconds(self.deployment.cluster, operation, ranks, message, float(self.known.links))

    def hop(self, message: float, across: bool) -> float:
        """Over one wire, or through the adapters of two racks."""
        link = self.gpu.link
        if across:
            wire = float(link.network_bandwidth) * float(link.network_efficiency)
            return float(link.network_latency) + message / wire
        return topology_of(self.gpu, 2).seconds("send", message / float(self.known.links))

    def _kernel(self, moved: float, flops: float, arithmetic: str, streams: Quantity | None = None) -> Parts:
        memory = self.skew * moved / (float(streams or self.known.memory) * self.bandwidth)
        compute = self.skew * flops / (float(self.known.compute) * self.gpu.peak_flops(arithmetic))
        return self.skew * float(self.known.stage), memory, max(0.0, compute - memory)


def _stages(deployment: Deployment, tp: int, most: int, context: float, batch: int) -> Layout | None:
    """The fewest stages of ``tp`` chips whose main memory holds everything; None where that is more than ``most``."""
    memory = memory_of(replace(deployment, layout=Layout(tp=tp)), context, batch)
    room = constants().memory_share.value * float(deployment.gpu.memory.capacity) - memory.activations
    needed = ceil((memory.weights + memory.cache) / room) if room > 0.0 else most + 1
    return Layout(tp=tp, pp=max(1, needed)) if needed <= most else None


def _skew(deployment: Deployment) -> float:
    """Layers of the slowest stage over those of the mean one: all stages go at its pace."""
    layers, pp = deployment.model.layers, deployment.layout.pp
    return ceil(layers / pp) / (layers / pp)
