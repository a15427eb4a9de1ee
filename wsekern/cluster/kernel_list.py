"""The kernels of one step, one by one, with the seconds that each adds: what :func:`wsekern.cluster.step.forward` sums up."""

from dataclasses import dataclass
from typing import Any

from wsekern.cluster.deploy import deploy
from wsekern.cluster.hardware import Cluster
from wsekern.cluster.kernels import Parts
from wsekern.cluster.layout import Deployment
from wsekern.cluster.operators import Operators
from wsekern.cluster.step import forward
from wsekern.cluster.work import AttentionShape, StepTime, Work
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Indexer, Mixture

CLOSE = 1e-9
"""Share of a step below which a rest is rounding."""


@dataclass(frozen=True)
class Kernel:
    """``count`` launches of a kernel in a step that take ``seconds`` together; ``block``: the kind of part it belongs to.
    ``message`` bytes of each GPU go over its links in all of them."""

    block: str
    name: str
    cause: str
    count: float
    seconds: float
    message: float = 0.0


class _Listing(Operators):
    """Operators that remember what they charge."""

    def __init__(self, deployment: Deployment) -> None:
        super().__init__(deployment)
        self.kernels: list[Kernel] = []
        self._block, self._blocks, self._name = "", 1.0, ""

    def begin(self, block: str, count: float) -> None:
        """The block whose kernels come."""
        self._block, self._blocks = block, count

    def _note(self, name: str, cause: str, count: float, seconds: float, message: float = 0.0) -> None:
        self.kernels.append(Kernel(self._block, name, cause, count * self._blocks, seconds * self._blocks,
                                   message * self._blocks))

    def charge(self, step: StepTime, stream: str, parts: Parts, work: float, roofline: float, count: float = 1.0) -> None:
        """As charged, and noted."""
        before = step.device
        super().charge(step, stream, parts, work, roofline, count)
        self._note(self._name, stream, count, step.device - before)

    def gemm(self, step: StepTime, m: float, n: float, k: float, wide: bool = False, part: str = "") -> None:
        """A product by its sizes."""
        what = f"{part} product" if part else "product"
        self._name = f"{what} {m:,.4g} x {k:,.0f} x {n:,.0f}{', 16 bit' if wide else ''}"
        super().gemm(step, m, n, k, wide, part)

    def attention(self, step: StepTime, work: Work, shape: AttentionShape, count: float) -> None:
        """Attention over the cache."""
        self._name = "attention over the cache"
        super().attention(step, work, shape, count)

    def scores(self, step: StepTime, work: Work, indexer: Indexer, every: int) -> None:
        """Scores of an indexer."""
        self._name = "scores of the indexer"
        super().scores(step, work, indexer, every)

    def experts(self, step: StepTime, tokens: float, feed: Mixture) -> None:
        """Routed experts."""
        self._name = f"routed experts, {feed.chosen} of {feed.experts} a token"
        super().experts(step, tokens, feed)

    def small_kernels(self, step: StepTime, moved: float, count: float) -> None:
        """Element-wise kernels."""
        before = step.device
        super().small_kernels(step, moved, count)
        self._note("element-wise kernels", "compute", count, step.device - before)

    def collective(self, step: StepTime, operation: str, ranks: int, message: float) -> None:
        """A collective over the links."""
        before = step.all_reduce
        super().collective(step, operation, ranks, message)
        if step.all_reduce > before:
            self._note(operation.replace("_", "-"), "all_reduce", 1.0, step.all_reduce - before, message)


def list_kernels(deployment: Deployment, work: Work) -> list[Kernel]:
    """Every kernel of a step in the order of the model's parts; what runs beside others (a negative time), hops between stages
    and the serving software stand behind them, so that all add up to the step's seconds."""
    listing = _Listing(deployment)
    step = forward(deployment, work, listing)
    rest = step.device - sum(kernel.seconds for kernel in listing.kernels)
    others = [Kernel("step", "hops, padding, and less what runs beside other kernels", "all_reduce", 1.0, rest)]
    software = [Kernel("step", "serving software that no kernel hides", "engine", 1.0, step.engine)]
    return [*listing.kernels, *(others if abs(rest) > CLOSE * step.seconds else []), *(software if step.engine else [])]


def decode_work(deployment: Deployment, batch: float, context: float) -> Work:
    """A token for each of ``batch`` sequences of the deployment, as :func:`wsekern.cluster.step.decode_step` works on them."""
    each = max(1.0, batch / (deployment.layout.dp * deployment.layout.pp))
    return Work(each, each, context, False)


def prefill_work(deployment: Deployment, tokens: float, context: float = 0.0, sequences: float = 1.0) -> Work:
    """``tokens`` of each of ``sequences`` prompts behind ``context`` others, as :func:`wsekern.cluster.step.prefill_step` works
    on them."""
    each = sequences / deployment.layout.dp
    return Work(max(1.0, each) * tokens, max(1.0, each), context, prefill=True, ranks=min(1.0, each))


def kernels_of(model: ModelConfig, cluster: Cluster, *, phase: str, context: int, batch: int = 1,
               **deployed: Any) -> list[Kernel]:
    """The kernels of the step that :func:`wsekern.cluster.predict` tells the time of; arguments as there."""
    deployment = deploy(model, cluster, context=context, batch=batch, **deployed)
    if phase == "decode":
        return list_kernels(deployment, decode_work(deployment, batch, context))
    return list_kernels(deployment, prefill_work(deployment, context, sequences=batch))
