"""Time of the feed-forward part of a layer: plain, or a mixture of experts with what runs beside them."""

from wsekern.cluster.operators import Operators
from wsekern.cluster.work import StepTime
from wsekern.formulas import largest
from wsekern.workload.decoder import FeedForward, Mixture


def dense(ops: Operators, step: StepTime, m: float, feed: FeedForward, part: str = "dense") -> None:
    """Two matrices, or three where it is gated."""
    hidden, width = ops.deployment.model.hidden, feed.width / ops.deployment.layout.tp
    ops.gemm(step, m, (2.0 if feed.gated else 1.0) * width, hidden, part=part)
    ops.gemm(step, m, hidden, width, part=part)


def dense_bytes(ops: Operators, m: float, feed: FeedForward) -> float:
    """What the activation of a plain feed-forward part reads and writes."""
    return m * (6.0 if feed.gated else 4.0) * feed.width / ops.deployment.layout.tp


def mixture(ops: Operators, step: StepTime, m: float, feed: Mixture) -> None:
    """Router, routed and shared experts, and a dense part beside; the exchange of tokens is :func:`exchange`'s."""
    hidden = ops.deployment.model.hidden
    ops.gemm(step, m, feed.experts + feed.shared_gate, hidden, wide=True)
    if not ops.deployment.precision.routed_inside:
        ops.small_kernels(step, m * 4.0 * (feed.experts + hidden), ops.scale * float(ops.engine.router))
    if feed.latent:  # on every GPU alike
        ops.gemm(step, m, feed.latent, hidden)
        ops.gemm(step, m, hidden, feed.latent)
    step.add(_experts(ops, m, feed))


def _experts(ops: Operators, tokens: float, feed: Mixture) -> StepTime:
    """Routed and shared experts of a layer; on a stream of their own, the shared ones add their traffic alone."""
    routed, shared = StepTime(), StepTime()
    ops.experts(routed, tokens * ops.deployment.layout.dp, feed)
    if feed.shared is not None:
        dense(ops, shared, tokens, feed.shared, "shared")
        if ops.engine.side_stream:
            shared.fixed = largest(0.0, shared.fixed - routed.device)
    routed.add(shared)
    if feed.dense is not None:
        dense(ops, routed, tokens, feed.dense)
    return routed


def exchange(ops: Operators, step: StepTime, m: float, feed: Mixture) -> None:
    """Tokens to the GPUs of their experts and back, where attention has copies that share them."""
    layout = ops.deployment.layout
    pool = layout.tp * layout.dp
    each = m / layout.tp * min(feed.chosen, pool) * (feed.latent or ops.deployment.model.hidden)
    ops.collective(step, "alltoall", pool, each * ops.deployment.precision.activation)
    ops.collective(step, "alltoall", pool, each * 2.0)
