"""Compiled systolic arrays (TPU, Trainium, Gaudi): products in tiles of the array, steps in compiled buckets.

A chip may be several devices, which programs see apart: whatever a layout gives to a chip is split once more among them, heads
and columns like those of a tensor-parallel group. Shapes are filled up to the array (products), to lanes (what lies in memory)
and to the bucket (tokens of a step), so that a width below the array's costs as much as the array's.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated

import msgspec

from wsekern.cluster.constants import constants
from wsekern.cluster.families.family import ExpertShape, filled, numbers_by_family
from wsekern.cluster.interconnect import topology_of, wired_seconds
from wsekern.cluster.kernels import Parts, smooth_max
from wsekern.cluster.layout import Deployment, Layout
from wsekern.cluster.parts import parts_of
from wsekern.cluster.precision import Format
from wsekern.cluster.scoped import Scoped
from wsekern.cluster.work import AttentionShape, Work
from wsekern.description import Quantity, Unit

Ratio = Annotated[Quantity, Unit("ratio", 0.001, 1)]
Seconds = Annotated[Quantity, Unit("s")]

OVERLAP = 4.0
"""Exponent of the sum of streaming and products: nearly the longer of both."""


class Systolic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What compiled programs reach; ``systolic.toml`` says what each number means."""

    kernel: Seconds
    memory: Ratio
    compute: Ratio
    row: Seconds
    cache: Ratio
    attention: Ratio
    route: Seconds
    tile: Annotated[Quantity, Unit("rows", 1)]
    collective: Seconds
    links: Ratio


systolic: Scoped[Mapping[str, Systolic]] = Scoped("systolic", partial(numbers_by_family, "systolic.toml", Systolic))
"""The numbers in use by family of machines; ``systolic.replaced`` uses others inside a ``with`` block."""

USUAL = "tpu"
"""The family whose numbers stand in for one that was never measured."""


def bucket(tokens: float, least: float) -> float:
    """The compiled size for ``tokens``: a power of two times ``least``."""
    size = least
    while size < tokens - 1e-9:
        size *= 2.0
    return size


class SystolicFamily:
    """:class:`wsekern.cluster.families.family.Family` of compiled systolic arrays."""

    def __init__(self, deployment: Deployment) -> None:
        gpu = deployment.gpu
        assert gpu.array is not None  # a machine without one is refused where it is read
        self.deployment, self.gpu, self.array = deployment, gpu, gpu.array
        self.known = systolic().get(gpu.family) or systolic()[USUAL]
        self.devices = int(gpu.devices or 1)
        self.bandwidth = float(gpu.memory.bandwidth)
        self.lanes = int(gpu.memory.lanes or 1)
        self.rows, self.columns = float(self.array.rows), float(self.array.columns)
        self.ideal = float(deployment.engine.fixed_scale) == 0.0

    @classmethod
    def layout(cls, deployment: Deployment, context: float, batch: int) -> Layout | None:
        """As GPUs are used."""
        return None

    @classmethod
    def buckets(cls, deployment: Deployment, most: float) -> list[float]:
        """Powers of two times the least."""
        assert deployment.gpu.array is not None
        end, found = float(deployment.gpu.array.bucket), []
        while end < most:
            found.append(end)
            end *= 2.0
        return found

    def step(self, work: Work) -> Work:
        """The bucket of its tokens, and of its sequences: one each in a decoding step."""
        least = float(self.array.bucket)
        tokens = bucket(work.tokens, least)
        sequences = min(tokens, bucket(work.sequences, least)) if not work.prefill else work.sequences
        return replace(work, tokens=tokens, sequences=sequences)

    def gemm(self, form: Format, m: float, n: float, k: float) -> Parts:
        """Split among the devices along the side that is not the residual stream's."""
        weight, arithmetic, activation = form
        devices, whole = self.devices, self.deployment.model.hidden
        across, deep = (n, k / devices) if n == whole else (n / devices, k)
        moved = filled(across, self.lanes) * deep * weight + m * deep * activation + m * across * 2.0
        flops = 2.0 * filled(m, 8.0) * filled(across, self.columns) * filled(deep, self.rows)
        return self._kernel(devices * moved, devices * flops, arithmetic, self.known.memory, self.known.compute)

    def decode_attention(self, work: Work, shape: AttentionShape, moved: float, flops: float) -> Parts:
        """Sequence by sequence; a device reads at least one head of keys and values, all of latent ones."""
        fixed, memory, excess = self._attention(shape, moved, flops)
        return fixed + float(self.known.row) * work.sequences, memory, excess

    def prefill_attention(self, work: Work, shape: AttentionShape, moved: float, flops: float) -> Parts:
        """The same in longer rows."""
        fixed, memory, excess = self._attention(shape, moved, flops)
        return fixed + float(self.known.row) * work.sequences, memory, excess

    def _attention(self, shape: AttentionShape, moved: float, flops: float) -> Parts:
        score, value = shape.score, shape.value
        copies = float(self.devices)
        if not shape.latent:
            heads = shape.cached / ((score + value) * self.deployment.precision.cache)
            copies = max(1.0, self.devices / heads)
        lanes = (filled(score, self.lanes) + filled(value, self.lanes)) / (score + value)
        tiles = (filled(score, self.rows) + filled(value, self.columns)) / (score + value)
        return self._kernel(moved * lanes * copies, flops * tiles, "bf16", self.known.cache, self.known.attention)

    def scores(self, moved: float, flops: float, row: float) -> Parts:
        """Keys of an indexer, which every device reads."""
        fixed, memory, excess = self._kernel(moved * self.devices, flops, "fp8", self.known.cache, self.known.attention)
        return fixed + constants().index_walk.value * row, memory, excess

    def recurrent(self, moved: float, flops: float) -> Parts:
        """One kernel that streams its state."""
        return self._kernel(moved, flops, "bf16", self.known.memory, self.known.attention)

    def experts(self, shape: ExpertShape) -> tuple[Parts, float]:
        """Grouped products, each group in tiles of its own; whole experts on a device where they are spread, else a part of
        each."""
        parts = self._experts(shape, *shape.load)
        return parts, sum(parts) - sum(self._experts(shape, *shape.mean))

    def _experts(self, shape: ExpertShape, rows: float, active: float) -> Parts:
        weight, arithmetic, activation = shape.form
        devices, inner = float(self.devices), shape.inner
        if self.deployment.layout.ep > 1:
            rows, active = rows / devices, active / devices
        else:
            inner /= devices
        wide = filled(inner, self.lanes)
        moved = active * shape.matrices * shape.hidden * wide * weight
        moved += rows * (2.0 * shape.hidden + shape.matrices * inner) * activation
        tile = min(float(self.known.tile), filled(rows, 8.0))
        flops = 2.0 * shape.matrices * (rows + active * tile) * filled(shape.hidden, self.rows) * filled(inner, self.columns)
        known = self.known
        fixed, memory, excess = self._kernel(devices * moved, devices * flops, arithmetic, known.memory, known.compute)
        return fixed + float(known.route), memory, excess

    def small(self, moved: float) -> Parts:
        """Fused with others by the compiler: one kernel that streams."""
        return float(self.known.kernel), moved / (float(self.known.memory) * self.bandwidth), 0.0

    def collective(self, operation: str, ranks: int, message: float) -> float:
        """Among the devices of a chip first, then by the wires of its machine."""
        links, total = float(self.known.links), 0.0 if self.ideal else float(self.known.collective)
        if self.devices > 1 and self.gpu.between is not None:
            share = (self.devices - 1.0) / self.devices * (2.0 if operation == "all_reduce" else 1.0)
            total += share * message / (links * float(self.gpu.between))
        if ranks > 1:
            total += self._wired(operation, ranks, message, links)
        return total

    def _wired(self, operation: str, ranks: int, message: float, links: float) -> float:
        """Tokens that most chips need go around to all of them where that is quicker than to each its own."""
        seconds = wired_seconds(self.deployment.cluster, operation, ranks, message, links)
        if operation != "alltoall":
            return seconds
        chosen = max((feed.chosen for feed, _ in parts_of(self.deployment.model).mixtures), default=ranks)
        whole = message * ranks / min(chosen, ranks)
        return min(seconds, wired_seconds(self.deployment.cluster, "all_gather", ranks, whole, links))

    def hop(self, message: float, across: bool) -> float:
        """Over one wire, or through the adapters of two nodes."""
        link = self.gpu.link
        if across:
            wire = float(link.network_bandwidth) * float(link.network_efficiency)
            return float(link.network_latency) + message / wire
        return topology_of(self.gpu, 2).seconds("send", message / float(self.known.links))

    def _kernel(self, moved: float, flops: float, arithmetic: str, streams: Quantity, multiplies: Quantity) -> Parts:
        memory = moved / (float(streams) * self.bandwidth)
        compute = flops / (float(multiplies) * self.gpu.peak_flops(arithmetic))
        return float(self.known.kernel), memory, smooth_max(memory, compute, OVERLAP) - memory
