"""Kernels and collectives of a step: each is charged to the cause of its time."""

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from wsekern.cluster import kernels
from wsekern.cluster.constants import constants
from wsekern.cluster.experts import in_service
from wsekern.cluster.hardware import Cluster
from wsekern.cluster.layout import Deployment
from wsekern.cluster.parameters import elementwise_parameters, expert_parameters, gemm_parameters, kernel_fit
from wsekern.workload.decoder import Indexer, Mixture

CAUSES = ("weights", "kv", "compute", "fixed", "all_reduce", "engine")
"""Where time goes: streaming weights, streaming the cache, tensor cores beyond that, fixed time of kernels,
collectives, serving software."""


@dataclass
class StepTime:
    """Seconds by cause; ``kernels`` are launches and ``flops`` the arithmetic of one GPU, ``idle`` the part of the device's
    seconds in which the mean GPU waits for the busiest, ``unpacking`` that of streaming weights in which they are widened."""

    weights: float = 0.0
    kv: float = 0.0
    compute: float = 0.0
    fixed: float = 0.0
    all_reduce: float = 0.0
    engine: float = 0.0
    kernels: float = 0.0
    flops: float = 0.0
    idle: float = 0.0
    unpacking: float = 0.0
    roofline: float = 0.0  # what plain peaks would allow: never more than the sum

    @property
    def device(self) -> float:
        """Seconds the GPU is busy."""
        return self.weights + self.kv + self.compute + self.fixed + self.all_reduce

    @property
    def seconds(self) -> float:
        """The whole step."""
        return self.device + self.engine

    @property
    def breakdown(self) -> dict[str, float]:
        """Seconds by cause."""
        return {cause: getattr(self, cause) for cause in CAUSES}

    def add(self, other: "StepTime", times: float = 1.0) -> None:
        """Add ``times`` of ``other``."""
        for name in (*CAUSES, "kernels", "flops", "idle", "unpacking", "roofline"):
            setattr(self, name, getattr(self, name) + times * getattr(other, name))


@dataclass(frozen=True)
class Work:
    """What one step processes on each attention replica.

    ``tokens`` new tokens of ``sequences``, each looking back over ``context`` cached ones besides themselves; ``sampled``
    from a sorted distribution (top-p, top-k) instead of taking the likeliest.
    """

    tokens: float
    sequences: float
    context: float
    prefill: bool
    sampled: bool = False


@dataclass(frozen=True)
class AttentionShape:
    """Heads of one GPU, widths of a head in the two products, bytes of a token's cache, tokens that a head looks back over at
    most, and how many the tokens of a prompt see on average at most; ``latent``: all heads read one vector a token. Of all
    tokens, each ``every`` are compressed into one besides, of which a head reads ``chosen`` at most; 0: none are. ``filled``:
    every token of a prompt takes the time of a whole window."""

    heads: float
    score: float
    value: float
    cached: float
    window: float = inf
    mean: float = inf
    latent: bool = False
    every: int = 0
    chosen: float = inf
    filled: bool = False

    def seen(self, context: float) -> float:
        """Entries of the cache that one token reads after ``context`` others."""
        near = min(context, self.window)
        return near + min(context / self.every, self.chosen) if self.every else near

    def pairs(self, each: float, context: float) -> float:
        """Of ``each`` new tokens of a prompt and the entries that they read, after ``context`` others."""
        if self.filled:
            return each * self.window
        near = min(each * min(context, self.window) + _causal_pairs(each, self.window), each * self.mean)
        return near + min((each * context + _causal_pairs(each, inf)) / self.every, each * self.chosen) if self.every else near


class GemmKernel(NamedTuple):
    """A fitted GEMM: its parameters, bytes per weight and per input, FLOP/s at peak, whether it widens its weights."""

    parameters: dict[str, float]
    weight: float
    activation: float
    peak: float
    unpacks: bool


class Operators:
    """Adds kernels of a deployment to a step: the shapes are per GPU."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment, self.gpu, self.engine = deployment, deployment.gpu, deployment.engine
        self.bandwidth = float(self.gpu.memory.bandwidth)
        self.scale = float(self.engine.fixed_scale)
        self.small = elementwise_parameters(self.gpu)
        self.narrow = self._gemm_kernel(*deployment.precision.part(experts=False))
        self.kept = {part: self._gemm_kernel(*form) for part, form in deployment.precision.kept}
        self.wide = self._gemm_kernel(2.0, "bf16", 2.0)

    def _gemm_kernel(self, weight: float, arithmetic: str, activation: float) -> GemmKernel:
        quantise = float(self.engine.quantise)
        blocks = arithmetic == "fp8" and self.deployment.model.quantization == "fp8"
        parameters = gemm_parameters(self.gpu, self.engine.kernels, arithmetic, quantise, weight, blocks)
        return GemmKernel(parameters, weight, activation, self.gpu.peak_flops(arithmetic), _unpacks(weight, arithmetic))

    def charge(
        self, step: StepTime, stream: str, parts: kernels.Parts, work: float, roofline: float, count: float = 1.0
    ) -> None:
        """``count`` kernels of ``parts`` seconds; streaming goes to the cause ``stream``, ``work`` are the FLOP of one."""
        fixed, memory, excess = parts
        step.fixed += count * self.scale * float(fixed)
        setattr(step, stream, getattr(step, stream) + count * float(memory))
        step.compute += count * float(excess)
        step.kernels += count
        step.flops += count * work
        step.roofline += count * roofline

    def gemm(self, step: StepTime, m: float, n: float, k: float, wide: bool = False, part: str = "") -> None:
        """(m, k) x (k, n) outside the experts; ``wide`` weights stay in 16 bit whatever the precision (LM head, router), those
        of a ``part`` are in the format in which the checkpoint keeps it."""
        parameters, weight, activation, peak, unpacks = self.wide if wide else self.kept.get(part, self.narrow)
        parts = kernels.gemm(parameters, m, n, k, weight, activation, peak, self.bandwidth)
        moved = n * k * weight + m * k * activation + m * n * 2.0
        self.charge(step, "weights", parts, 2.0 * m * n * k, max(moved / self.bandwidth, 2.0 * m * n * k / peak))
        step.unpacking += float(parts[1]) if unpacks else 0.0

    def attention(self, step: StepTime, work: Work, shape: AttentionShape, count: float) -> None:
        """The two products of ``count`` layers with the keys and values of a cache."""
        if not count:
            return
        peak = self.gpu.peak_flops("bf16")
        seen = shape.seen(work.context)
        per_pair = shape.score + shape.value
        if not work.prefill:
            moved = work.sequences * seen * shape.cached
            flops = 2.0 * work.tokens * seen * shape.heads * per_pair
            fit = self._decode_attention(shape)
            parts = kernels.decode_attention(fit, work.sequences, seen, shape.heads, moved, flops, peak, self.bandwidth)
        else:
            each = work.tokens / work.sequences
            flops = 2.0 * work.sequences * shape.pairs(each, work.context) * shape.heads * per_pair
            moved = work.sequences * (shape.cached * (each + seen) + 2.0 * each * shape.heads * per_pair)
            fit = kernel_fit("prefill_attention", self.gpu, self.engine.kernels, "bf16").parameters
            parts = kernels.prefill_attention(fit, each, moved, flops, peak, self.bandwidth)
        self.charge(step, "kv", parts, flops, max(moved / self.bandwidth, flops / peak), count)

    def _decode_attention(self, shape: AttentionShape) -> dict[str, float]:
        """The kernel that reads the caches: of all heads together (latent attention, by the width of its elements), or of each
        group of heads."""
        family, cache = "decode_attention", "bf16"
        if shape.latent:
            family, cache = "latent_attention", "fp8" if self.deployment.precision.cache < 2.0 else "bf16"
        return kernel_fit(family, self.gpu, self.engine.kernels, cache).parameters

    def scores(self, step: StepTime, work: Work, indexer: Indexer, every: int) -> None:
        """Scores of an indexer for all tokens so far, or each ``every`` of them, by all heads and one key; and the kernel
        that takes the highest."""
        known, each = constants(), work.tokens / work.sequences
        pairs, row = work.tokens * work.context / every, work.context / every
        if work.prefill:
            pairs += work.sequences * _causal_pairs(each, inf) / every
            row += each / every
        keys = work.sequences * row
        moved, flops = keys * indexer.head_dim * known.index_bytes.value, 2.0 * pairs * indexer.heads * indexer.head_dim
        rate = self.gpu.peak_flops("fp8")
        reached = rate * kernel_fit("gemm", self.gpu, self.engine.kernels, "fp8").parameters["compute"]
        fixed, memory, _ = kernels.elementwise(self.small, moved, self.bandwidth)
        fixed += known.index_walk.value * row
        parts = (fixed, memory, max(0.0, flops / reached - memory))
        self.charge(step, "kv", parts, flops, max(moved / self.bandwidth, flops / rate))
        self.small_kernels(step, known.index_scores.value * pairs, self.scale)

    def experts(self, step: StepTime, tokens: float, feed: Mixture) -> None:
        """The routed experts of a layer on the busiest of the GPUs that share them; ``tokens`` of all attention replicas."""
        layout, hidden = self.deployment.layout, float(feed.latent or self.deployment.model.hidden)
        weight, arithmetic, activation = self.deployment.precision.part(experts=True)
        peak = self.gpu.peak_flops(arithmetic)
        inner, matrices = feed.expert.width / (layout.tp * layout.dp / layout.ep), 3.0 if feed.expert.gated else 2.0
        chosen, total = feed.chosen, feed.experts
        shape = (hidden, inner, matrices, weight, activation, peak, self.bandwidth)
        load, others = (in_service(tokens, chosen, total, layout.ep, mean) for mean in (False, True))
        choices = [(kernels.expert_ffn(fit, *load, *shape), fit) for fit in self._expert_kernels()]
        parts, fit = min(choices, key=lambda choice: sum(choice[0]))
        step.idle += float(sum(parts) - sum(kernels.expert_ffn(fit, *others, *shape)))
        flops = 2.0 * matrices * tokens * chosen / layout.ep * hidden * inner
        native = self.deployment.precision.routed_inside and "fp4" in self.gpu.arithmetics
        step.unpacking += float(parts[1]) if _unpacks(weight, arithmetic) and not native else 0.0
        step.kernels += constants().expert_kernels.value - 1.0
        least = matrices * hidden * inner * weight * min(total, chosen) / layout.ep
        self.charge(step, "weights", parts, flops, max(least / self.bandwidth, flops / peak))

    def _expert_kernels(self) -> list[dict[str, float]]:
        """Kernels that the engine tries: the first, or all where it autotunes."""
        deployment, engine = self.deployment, self.engine
        kinds = (deployment.model.quantization == "fp8" or not engine.autotune,)
        if engine.autotune and float(engine.quantise) > 0.0:
            # An engine that autotunes and quantises on the fly may use block-scaled or per-tensor kernels: try both.
            kinds = (True, False)
        known = [fit for blocks in kinds for fit in expert_parameters(self.gpu, engine.kernels, deployment.precision, blocks)]
        return known if engine.autotune else known[:1]

    def small_kernels(self, step: StepTime, moved: float, count: float) -> None:
        """``count`` element-wise kernels that stream ``moved`` bytes in all."""
        fixed, memory, _ = kernels.elementwise(self.small, moved, self.bandwidth)
        step.fixed += count * self.scale * fixed
        step.compute += memory if count or self.scale == 0.0 else 0.0
        step.kernels += count

    def collective(self, step: StepTime, operation: str, ranks: int, message: float) -> None:
        """One collective over ``ranks`` GPUs, hierarchical where they span NVLink domains."""
        if ranks < 2:
            return
        cluster, link = self.deployment.cluster, self.gpu.link
        seconds = collective_seconds(cluster, self.engine.kernels, operation, ranks, message)
        if link.host_bandwidth is not None and message > float(self.engine.staged_above):
            seconds = max(seconds, message / (constants().host_copy_share.value * float(link.host_bandwidth)))
            if ranks > cluster.domain:  # and through one adapter to the next node
                seconds += message / (float(link.network_bandwidth) * float(link.network_efficiency))
        step.all_reduce += seconds
        step.kernels += 1.0


def _unpacks(weight: float, arithmetic: str) -> bool:
    """Whether weights of ``weight`` bytes are widened before their products."""
    return weight < 2.0 and arithmetic in ("bf16", "fp16")


def _causal_pairs(tokens: float, window: float) -> float:
    """Pairs of a new token with itself and those before it, at most ``window`` back."""
    if tokens <= window:
        return 0.5 * tokens * (tokens + 1.0)
    return 0.5 * window * (window + 1.0) + (tokens - window) * window


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
        total = min(float(kernels.collective(fit, operation, inside, message, link)) for fit in fits)
    nodes = -(-ranks // inside)
    if nodes > 1:
        rounds = kernels.WIRE[operation] * (nodes - 1)
        wire = float(gpu.link.network_bandwidth) * float(gpu.link.network_efficiency)
        total += rounds * (float(gpu.link.network_latency) + message / inside / nodes / wire)
    return total
