"""Kernels and collectives of a step: each is charged to the cause of its time."""

from math import inf

from wsekern.cluster.constants import constants
from wsekern.cluster.experts import in_service
from wsekern.cluster.families import family_of
from wsekern.cluster.families.family import ExpertShape
from wsekern.cluster.kernels import Parts
from wsekern.cluster.layout import Deployment
from wsekern.cluster.precision import Format
from wsekern.cluster.work import AttentionShape, StepTime, Work, causal_pairs
from wsekern.formulas import largest
from wsekern.workload.decoder import Indexer, Mixture

WIDE: Format = (2.0, "bf16", 2.0)
"""Of what stays in 16 bit whatever the precision: LM head, router."""


class Operators:
    """Adds kernels of a deployment to a step: the shapes are per GPU."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment, self.gpu, self.engine = deployment, deployment.gpu, deployment.engine
        self.family = family_of(deployment)
        self.devices = int(self.gpu.devices or 1)
        self.routed = 1.0  # share of a step's tokens that choose experts of their own
        self.bandwidth = float(self.gpu.memory.bandwidth)
        self.scale = float(self.engine.fixed_scale)
        self.narrow = deployment.precision.part(experts=False)
        self.kept = dict(deployment.precision.kept)

    def begin(self, block: str, count: float) -> None:
        """What is charged from here on belongs to each of ``count`` blocks of a kind: nothing to the sums of a step."""

    def charge(
        self, step: StepTime, stream: str, parts: Parts, work: float, roofline: float, count: float = 1.0
    ) -> None:
        """``count`` kernels of ``parts`` seconds; streaming goes to the cause ``stream``, ``work`` are the FLOP of one."""
        fixed, memory, excess = parts
        step.fixed += count * self.scale * fixed
        setattr(step, stream, getattr(step, stream) + count * memory)
        step.compute += count * excess
        step.kernels += count
        step.flops += count * work
        step.roofline += count * roofline

    def gemm(self, step: StepTime, m: float, n: float, k: float, wide: bool = False, part: str = "") -> None:
        """(m, k) x (k, n) outside the experts; ``wide`` weights stay in 16 bit whatever the precision (LM head, router), those
        of a ``part`` are in the format in which the checkpoint keeps it."""
        form = WIDE if wide else self.kept.get(part, self.narrow)
        weight, arithmetic, activation = form
        parts, peak = self.family.gemm(form, m, n, k), self.gpu.peak_flops(arithmetic)
        moved = n * k * weight + m * k * activation + m * n * 2.0
        self.charge(step, "weights", parts, 2.0 * m * n * k, largest(moved / self.bandwidth, 2.0 * m * n * k / peak))
        step.unpacking += parts[1] if _unpacks(weight, arithmetic) else 0.0

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
            parts = self.family.decode_attention(work, shape, moved, flops)
        else:
            each = work.tokens / work.sequences
            flops = 2.0 * work.sequences * shape.pairs(each, work.context) * shape.heads * per_pair
            moved = work.sequences * (shape.cached * (each + seen) + 2.0 * each * shape.heads * per_pair)
            parts = self.family.prefill_attention(work, shape, moved, flops)
        self.charge(step, "kv", parts, flops, largest(moved / self.bandwidth, flops / peak), count)

    def scores(self, step: StepTime, work: Work, indexer: Indexer, every: int) -> None:
        """Scores of an indexer for all tokens so far, or each ``every`` of them, by all heads and one key; and the kernel
        that takes the highest."""
        known, each = constants(), work.tokens / work.sequences
        pairs, row = work.tokens * work.context / every, work.context / every
        if work.prefill:
            pairs += work.sequences * causal_pairs(each, inf) / every
            row += each / every
        keys = work.sequences * row
        moved, flops = keys * indexer.head_dim * known.index_bytes.value, 2.0 * pairs * indexer.heads * indexer.head_dim
        parts, rate = self.family.scores(moved, flops, row), self.gpu.peak_flops("fp8")
        self.charge(step, "kv", parts, flops, largest(moved / self.bandwidth, flops / rate))
        self.small_kernels(step, known.index_scores.value * pairs, self.scale)

    def experts(self, step: StepTime, tokens: float, feed: Mixture) -> None:
        """The routed experts of a layer on the busiest of the GPUs that share them; ``tokens`` of all attention replicas."""
        layout, hidden = self.deployment.layout, float(feed.latent or self.deployment.model.hidden)
        form = self.deployment.precision.part(experts=True)
        weight, arithmetic, _ = form
        peak = self.gpu.peak_flops(arithmetic)
        inner, matrices = feed.expert.width / (layout.tp * layout.dp / layout.ep), 3.0 if feed.expert.gated else 2.0
        chosen, total, tokens = feed.chosen, feed.experts, tokens * self.routed
        load, others = (in_service(tokens, chosen, total, layout.ep, mean) for mean in (False, True))
        parts, idle = self.family.experts(ExpertShape(hidden, inner, matrices, form, load, others))
        step.idle += idle
        flops = 2.0 * matrices * tokens * chosen / layout.ep * hidden * inner
        native = self.deployment.precision.routed_inside and "fp4" in self.gpu.arithmetics
        step.unpacking += parts[1] if _unpacks(weight, arithmetic) and not native else 0.0
        step.kernels += constants().expert_kernels.value - 1.0
        least = matrices * hidden * inner * weight * min(total, chosen) / layout.ep
        self.charge(step, "weights", parts, flops, largest(least / self.bandwidth, flops / peak))

    def small_kernels(self, step: StepTime, moved: float, count: float) -> None:
        """``count`` element-wise kernels that stream ``moved`` bytes in all."""
        fixed, memory, _ = self.family.small(moved)
        step.fixed += count * self.scale * fixed
        step.compute += memory if count or self.scale == 0.0 else 0.0
        step.kernels += count

    def collective(self, step: StepTime, operation: str, ranks: int, message: float) -> None:
        """One collective over ``ranks`` chips, among whose devices too."""
        if ranks < 2 and self.devices < 2:
            return
        step.all_reduce += self.family.collective(operation, ranks, message)
        step.kernels += 1.0


def _unpacks(weight: float, arithmetic: str) -> bool:
    """Whether weights of ``weight`` bytes are widened before their products."""
    return weight < 2.0 and arithmetic in ("bf16", "fp16")
