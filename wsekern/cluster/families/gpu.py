"""GPUs: kernels measured on the machine, or on one of its family that stands in, launched from a CUDA graph."""

from typing import Any

from wsekern.cluster import kernels
from wsekern.cluster.constants import constants
from wsekern.cluster.efficiency import efficiency_of, scaled
from wsekern.cluster.families.family import ExpertShape
from wsekern.cluster.interconnect import collective_seconds, network_seconds
from wsekern.cluster.kernels import Parts
from wsekern.cluster.layout import Deployment, Layout
from wsekern.cluster.parameters import elementwise_parameters, expert_parameters, gemm_parameters, kernel_fit
from wsekern.cluster.precision import Format
from wsekern.cluster.work import AttentionShape, Work
from wsekern.formulas import largest


class GpuFamily:
    """:class:`wsekern.cluster.families.family.Family` of GPUs."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment, self.gpu, self.engine = deployment, deployment.gpu, deployment.engine
        self.bandwidth = float(self.gpu.memory.bandwidth)
        self.used = efficiency_of(self.gpu, self.engine, deployment.precision)
        self.streaming = self._scaled(elementwise_parameters(self.gpu))
        self.products: dict[Format, tuple[dict[str, float], float]] = {}

    @classmethod
    def layout(cls, deployment: Deployment, context: float, batch: int) -> Layout | None:
        """As GPUs are used."""
        return None

    @classmethod
    def buckets(cls, deployment: Deployment, most: float) -> list[float]:
        """None."""
        return []

    def step(self, work: Work) -> Work:
        """Itself: kernels take any number of tokens."""
        return work

    def gemm(self, form: Format, m: float, n: float, k: float) -> Parts:
        """The fitted GEMM of the format."""
        known = self.products.get(form)
        if known is None:
            known = self.products[form] = (self._product(form), self.gpu.peak_flops(form[1]))
        weight, _, activation = form
        return kernels.gemm(known[0], m, n, k, weight, activation, known[1], self.bandwidth)

    def _product(self, form: Format) -> dict[str, float]:
        weight, arithmetic, _ = form
        blocks = arithmetic == "fp8" and self.deployment.model.quantization == "fp8"
        return self._scaled(
            gemm_parameters(self.gpu, self.engine.kernels, arithmetic, float(self.engine.quantise), weight, blocks))

    def _scaled(self, parameters: dict[str, float], reading: bool = False, experts: bool = False) -> dict[str, float]:
        """``parameters`` with what this family of GPUs reaches of them."""
        if self.used is None:
            return parameters
        rate = self.used.reading if reading else self.used.streaming
        return scaled(parameters, self.used, float(rate), float(self.used.experts if experts else self.used.compute))

    def decode_attention(self, work: Work, shape: AttentionShape, moved: float, flops: float) -> Parts:
        """The kernel that reads the caches: of all heads together (latent attention, by the width of its elements), or of each
        group of heads."""
        family, cache = "decode_attention", "bf16"
        if shape.latent:
            family, cache = "latent_attention", "fp8" if self.deployment.precision.cache < 2.0 else "bf16"
        fit, seen = self._kernel(family, cache), shape.seen(work.context)
        peak = self.gpu.peak_flops("bf16")
        return kernels.decode_attention(fit, work.sequences, seen, shape.heads, moved, flops, peak, self.bandwidth)

    def prefill_attention(self, work: Work, shape: AttentionShape, moved: float, flops: float) -> Parts:
        """The fitted kernel, by the tokens of a sequence."""
        fit, peak = self._kernel("prefill_attention", "bf16"), self.gpu.peak_flops("bf16")
        return kernels.prefill_attention(fit, work.tokens / work.sequences, moved, flops, peak, self.bandwidth)

    def _kernel(self, family: str, arithmetic: str) -> dict[str, float]:
        return self._scaled(kernel_fit(family, self.gpu, self.engine.kernels, arithmetic).parameters, reading=family != "gemm")

    def scores(self, moved: float, flops: float, row: float) -> Parts:
        """As fast as FP8 products, and a walk over the row."""
        reached = self.gpu.peak_flops("fp8") * self._kernel("gemm", "fp8")["compute"]
        fixed, memory, _ = self.small(moved)
        return fixed + constants().index_walk.value * row, memory, largest(0.0, flops / reached - memory)

    def recurrent(self, moved: float, flops: float) -> Parts:
        """One kernel that streams, with products on the tensor cores."""
        reached = constants().linear_compute.value * self.gpu.peak_flops("bf16")
        fixed, memory, _ = self.small(moved)
        return fixed, memory, largest(0.0, flops / reached - memory)

    def experts(self, shape: ExpertShape) -> tuple[Parts, float]:
        """The quickest of the kernels that the engine tries."""
        weight, arithmetic, activation = shape.form
        form = (shape.hidden, shape.inner, shape.matrices, weight, activation, self.gpu.peak_flops(arithmetic), self.bandwidth)
        choices = [(kernels.expert_ffn(fit, *shape.load, *form), fit) for fit in self._expert_kernels()]
        parts, fit = min(choices, key=_whole)
        return parts, sum(parts) - sum(kernels.expert_ffn(fit, *shape.mean, *form))

    def _expert_kernels(self) -> list[dict[str, float]]:
        """Kernels that the engine tries: the first, or all where it autotunes."""
        deployment, engine = self.deployment, self.engine
        kinds = (deployment.model.quantization == "fp8" or not engine.autotune,)
        if engine.autotune and float(engine.quantise) > 0.0:
            # An engine that autotunes and quantises on the fly may use block-scaled or per-tensor kernels: try both.
            kinds = (True, False)
        known = [self._scaled(fit, experts=True) for blocks in kinds
                 for fit in expert_parameters(self.gpu, engine.kernels, deployment.precision, blocks)]
        return known if engine.autotune else known[:1]

    def small(self, moved: float) -> Parts:
        """A kernel of a CUDA graph."""
        return kernels.elementwise(self.streaming, moved, self.bandwidth)

    def collective(self, operation: str, ranks: int, message: float) -> float:
        """Through the domain's switch, hierarchical where it spans domains; large ones through the host where the engine stages
        them there."""
        cluster, link = self.deployment.cluster, self.gpu.link
        seconds = collective_seconds(cluster, self.engine.kernels, operation, ranks, message)
        if self.used is not None:
            seconds *= float(self.used.exchanges)
        if link.host_bandwidth is not None and message > float(self.engine.staged_above):
            seconds = largest(seconds, message / (constants().host_copy_share.value * float(link.host_bandwidth)))
            if ranks > cluster.domain:  # and through one adapter to the next node
                seconds += message / (float(link.network_bandwidth) * float(link.network_efficiency))
        return seconds

    def hop(self, message: float, across: bool) -> float:
        """Over NVLink, or through the adapters of two nodes."""
        known = constants()
        if across:
            return network_seconds(self.gpu, message)
        return known.stage_latency.value + message / (known.stage_bandwidth.value * float(self.gpu.link.bandwidth))


def _whole(choice: tuple[Parts, Any]) -> float:
    return sum(choice[0])
