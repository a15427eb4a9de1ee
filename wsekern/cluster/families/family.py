"""What the kernels of a step cost on one kind of machine: the protocol that every family of machines follows.

:class:`wsekern.cluster.operators.Operators` works out the shapes that one chip multiplies, reads and exchanges; a family says
how long each takes there. Bytes, FLOP and counts in, seconds out. What no family may do is beat plain peaks: streaming takes at
least bytes over the bandwidth, products at least FLOP over the peak.
"""

from collections.abc import Mapping
from importlib.resources import files
from math import ceil
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from wsekern.cluster.kernels import Parts
from wsekern.cluster.layout import Deployment, Layout
from wsekern.cluster.precision import Format
from wsekern.cluster.work import AttentionShape, Work
from wsekern.description import check_units


def filled(width: float, unit: float) -> float:
    """``width`` filled up to a multiple of ``unit``."""
    return ceil(width / unit - 1e-9) * unit


Numbers = TypeVar("Numbers", bound=msgspec.Struct)


def numbers_by_family(name: str, kind: type[Numbers]) -> Mapping[str, Numbers]:
    """The shipped numbers of ``wsekern/cluster/data/name``: a table of ``kind`` for every family of machines."""
    resource = files("wsekern.cluster") / "data" / name
    known = msgspec.toml.decode(resource.read_text(), type=dict[str, kind])  # type: ignore[valid-type]
    for family, numbers in known.items():
        check_units(numbers, f"{resource}: {family}")
    return MappingProxyType(known)


class ExpertShape(NamedTuple):
    """Experts of one layer on one chip: width in and out, width inside, matrices (three, or two without a gate), and the
    format of their weights. ``load``: rows and distinct experts on the busiest of the chips that share them, ``mean``: on the
    mean one."""

    hidden: float
    inner: float
    matrices: float
    form: Format
    load: tuple[float, float]
    mean: tuple[float, float]


class Family(Protocol):
    """What kernels of ``deployment`` take on one chip. Made once for every step, so that making one must be quick.

    Kernels are answered as (fixed time, streaming time, what compute adds), see :data:`wsekern.cluster.kernels.Parts`.
    """

    def __init__(self, deployment: Deployment) -> None: ...

    @classmethod
    def layout(cls, deployment: Deployment, context: float, batch: int) -> Layout | None:
        """The usual layout of such a machine for ``batch`` sequences of ``context`` tokens; None: as GPUs are used, tensor
        parallel inside a domain. The layout that ``deployment`` has is not looked at."""

    @classmethod
    def buckets(cls, deployment: Deployment, most: float) -> list[float]:
        """Sequences of a step on one replica, below ``most``, after which one more takes a larger compiled program; none where
        kernels take any number."""

    def step(self, work: Work) -> Work:
        """What the machine runs for ``work``: the same, or the bucket of batch and tokens that was compiled for it."""

    def gemm(self, form: Format, m: float, n: float, k: float) -> Parts:
        """(m, k) x (k, n) with 2-byte results, weights and inputs in ``form``."""

    def decode_attention(self, work: Work, shape: AttentionShape, moved: float, flops: float) -> Parts:
        """New tokens of every sequence against ``moved`` bytes of caches."""

    def prefill_attention(self, work: Work, shape: AttentionShape, moved: float, flops: float) -> Parts:
        """Causal attention of the tokens of prompts; ``flops`` counts the unmasked half only."""

    def scores(self, moved: float, flops: float, row: float) -> Parts:
        """Scores of an indexer over ``row`` entries a token, ``moved`` bytes of keys in all."""

    def recurrent(self, moved: float, flops: float) -> Parts:
        """A recurrent mixer that moves its state, one kernel."""

    def experts(self, shape: ExpertShape) -> tuple[Parts, float]:
        """Routed experts of a layer, routing included, on the busiest chip; and the seconds that the mean one waits for it."""

    def small(self, moved: float) -> Parts:
        """A small kernel that streams ``moved`` bytes, such as a norm."""

    def collective(self, operation: str, ranks: int, message: float) -> float:
        """Collective over ``ranks`` chips of at least 2, ``message`` bytes a rank."""

    def hop(self, message: float, across: bool) -> float:
        """From one pipeline stage to the next, in the same domain or ``across`` domains."""
