"""Time of one forward step of a model on a cluster, kernel by kernel, with the reason for every microsecond."""

from dataclasses import dataclass
from functools import lru_cache

from wsekern.cluster import kernels
from wsekern.cluster.engine import Engine
from wsekern.cluster.experts import in_service
from wsekern.cluster.hardware import Cluster, Gpu
from wsekern.cluster.layout import STATE_BYTES, Layout
from wsekern.cluster.parameters import elementwise_fit, kernel_fit, kernel_fits
from wsekern.cluster.precision import Precision
from wsekern.workload.config import ModelConfig

CAUSES = ("weights", "kv", "compute", "fixed", "all_reduce", "engine")
"""Where time goes: streaming weights, streaming the cache, tensor cores beyond that, fixed time of kernels,
collectives, serving software."""


@dataclass
class Step:
    """Seconds by cause; ``kernels`` are launches and ``flops`` the arithmetic of one GPU, ``idle`` the part of the device's
    seconds in which the mean GPU waits for the busiest."""

    weights: float = 0.0
    kv: float = 0.0
    compute: float = 0.0
    fixed: float = 0.0
    all_reduce: float = 0.0
    engine: float = 0.0
    kernels: float = 0.0
    flops: float = 0.0
    idle: float = 0.0
    roofline: float = 0.0  # what plain peaks would allow: never more than the sum

    @property
    def device(self) -> float:
        """Seconds the GPU is busy."""
        return self.weights + self.kv + self.compute + self.fixed + self.all_reduce

    @property
    def busy(self) -> float:
        """Seconds the mean GPU is busy."""
        return self.device - self.idle

    @property
    def seconds(self) -> float:
        """The whole step."""
        return self.device + self.engine

    @property
    def breakdown(self) -> dict[str, float]:
        """Seconds by cause."""
        return {cause: getattr(self, cause) for cause in CAUSES}

    def add(self, other: "Step", times: float = 1.0) -> None:
        """Add ``times`` of ``other``."""
        for name in (*CAUSES, "kernels", "flops", "idle", "roofline"):
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


class _Operators:
    """Adds kernels to a step: the shapes are per GPU."""

    def __init__(self, gpu: Gpu, precision: Precision, engine: Engine):
        self.gpu, self.precision, self.engine = gpu, precision, engine
        self.bandwidth = float(gpu.memory.bandwidth)
        self.engines = tuple(engine.kernels)
        self.scale = float(engine.fixed_scale)
        self.small = elementwise_fit(gpu)

    def _charge(self, step: Step, stream: str, parts: kernels.Parts, count: float, work: float, roofline: float) -> None:
        fixed, memory, excess = parts
        step.fixed += count * self.scale * float(fixed)
        setattr(step, stream, getattr(step, stream) + count * float(memory))
        step.compute += count * float(excess)
        step.kernels += count
        step.flops += count * work
        step.roofline += count * roofline

    def gemm(
        self, step: Step, m: float, n: float, k: float, experts: bool = False, count: float = 1.0, wide: bool = False
    ) -> None:
        """(m, k) x (k, n); ``wide`` weights stay in 16 bit whatever the precision (LM head, router)."""
        weight, arithmetic, activation = (2.0, "bf16", 2.0) if wide else self.precision.part(experts)
        parameters = _gemm_parameters(self.gpu, self.engines, arithmetic, float(self.engine.quantise), weight)
        peak = self.gpu.peak_flops(arithmetic)
        parts = kernels.gemm(parameters, m, n, k, weight, activation, peak, self.bandwidth)
        moved = n * k * weight + m * k * activation + m * n * 2.0
        self._charge(step, "weights", parts, count, 2.0 * m * n * k, max(moved / self.bandwidth, 2.0 * m * n * k / peak))

    def attention(
        self,
        step: Step,
        work: Work,
        heads: float,
        score: float,
        value: float,
        cached: float,
        window: float,
        count: float,
    ) -> None:
        """``score`` and ``value``: widths of a head in the two products; ``cached``: bytes of a token's cache."""
        if not count:
            return
        peak = self.gpu.peak_flops("bf16")
        if not work.prefill:
            context = min(work.context, window)
            moved = work.sequences * context * cached
            flops = 2.0 * work.tokens * context * heads * (score + value)
            fit = kernel_fit("decode_attention", self.gpu, self.engines, "bf16").parameters
            parts = kernels.decode_attention(fit, work.sequences, context, heads, moved, flops, peak, self.bandwidth)
        else:
            each = work.tokens / work.sequences
            pairs = each * min(work.context, window) + _causal_pairs(each, window)
            flops = 2.0 * work.sequences * pairs * heads * (score + value)
            moved = work.sequences * (cached * (each + min(work.context, window)) + 2.0 * each * heads * (score + value))
            fit = kernel_fit("prefill_attention", self.gpu, self.engines, "bf16").parameters
            parts = kernels.prefill_attention(fit, each, moved, flops, peak, self.bandwidth)
        self._charge(step, "kv", parts, count, flops, max(moved / self.bandwidth, flops / peak))

    def experts(self, step: Step, tokens: float, model: ModelConfig, ranks: int, split: float, count: float) -> None:
        """The routed experts on the busiest of ``ranks`` GPUs; each expert is split over ``split`` GPUs."""
        weight, arithmetic, activation = self.precision.part(experts=True)
        peak, inner = self.gpu.peak_flops(arithmetic), model.expert_ffn / split
        chosen, total = model.experts_per_token, model.experts
        blocks = model.quantization == "fp8" or not self.engine.autotune
        # an engine that takes checkpoints as published and tunes tries the kernels of either kind of scales
        kinds = (True, False) if self.engine.autotune and float(self.engine.quantise) > 0.0 else (blocks,)
        fits = [fit for kind in kinds for fit in _moe_parameters(self.gpu, self.engines, self.precision, kind)]
        shape = (model.hidden, inner, weight, activation, peak, self.bandwidth)
        load, others = (in_service(tokens, chosen, total, ranks, mean) for mean in (False, True))
        choices = [(kernels.expert_ffn(fit, *load, *shape), fit) for fit in (fits if self.engine.autotune else fits[:1])]
        parts, fit = min(choices, key=lambda choice: sum(choice[0]))
        step.idle += count * float(sum(parts) - sum(kernels.expert_ffn(fit, *others, *shape)))
        flops = 6.0 * tokens * chosen / ranks * model.hidden * inner
        least = 3.0 * model.hidden * inner * weight * min(total, chosen) / ranks
        self._charge(step, "weights", parts, count, flops, max(least / self.bandwidth, flops / peak))

    def small_kernels(self, step: Step, moved: float, count: float) -> None:
        """``count`` element-wise kernels that stream ``moved`` bytes in all."""
        fixed, memory, _ = kernels.elementwise(self.small, moved, self.bandwidth)
        step.fixed += count * self.scale * fixed
        step.compute += memory if count or self.scale == 0.0 else 0.0
        step.kernels += count

    def collective(self, step: Step, operation: str, ranks: int, message: float, cluster: Cluster, count: float) -> None:
        """``count`` collectives over ``ranks`` GPUs, hierarchical where they span NVLink domains."""
        if ranks > 1 and count:
            seconds = collective_seconds(cluster, self.engines, operation, ranks, message)
            host = self.gpu.link.host_bandwidth
            if host is not None and message > float(self.engine.staged_above):
                seconds = max(seconds, message / (HOST_SHARE * float(host)))
                if ranks > cluster.domain:  # and through one adapter to the next node
                    link = self.gpu.link
                    seconds += message / (float(link.network_bandwidth) * float(link.network_efficiency))
            step.all_reduce += count * seconds
            step.kernels += count


HOST_SHARE = 0.8
"""Part of PCIe's rate that copies to host memory reach (25 of 32 GB/s)."""

UNPACKING = {1.0: 0.86, 0.5625: 0.62}
"""Share of a 16-bit GEMM's bandwidth that weight-only int8 and int4 kernels keep while unpacking (by bytes per weight);
set on the rows of pytorch/ao, which ``validate`` marks as fitted."""


@lru_cache(maxsize=4096)
def _gemm_parameters(gpu: Gpu, engines: tuple[str, ...], arithmetic: str, quantise: float, weight: float) -> dict[str, float]:
    """Fitted GEMM; tables of narrow formats time a separate quantise step, of which an engine fuses part."""
    fit = kernel_fit("gemm", gpu, engines, arithmetic).parameters
    if arithmetic in ("bf16", "fp16"):
        kept = UNPACKING.get(weight, 1.0)
        return {**fit, "memory": fit["memory"] * kept} if kept < 1.0 else fit
    plain = kernel_fit("gemm", gpu, engines, "bf16").parameters
    fused = plain["fixed"] + quantise * elementwise_fit(gpu)["fixed"]
    return {**fit, "fixed": min(fit["fixed"], fused)}


@lru_cache(maxsize=4096)
def _moe_parameters(gpu: Gpu, engines: tuple[str, ...], precision: Precision, blocks: bool) -> tuple[dict[str, float], ...]:
    """Every kernel that the engine may choose. FP8 is scaled in ``blocks`` where the checkpoint is (DeepSeek), or where an
    engine takes checkpoints as published; a tuned engine quantises per tensor, SGLang takes the faster."""
    weight, arithmetic, _ = precision.part(experts=True)
    packed = weight < 0.6 and arithmetic == "bf16"
    fits = kernel_fits("moe", gpu, engines, arithmetic, packed, blocks)
    return tuple(fit.parameters for fit in fits)


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


def forward(model: ModelConfig, cluster: Cluster, layout: Layout, precision: Precision, engine: Engine, work: Work) -> Step:
    """All layers, embedding and LM head of one step, with the engine's cost."""
    operators = _Operators(cluster.gpu, precision, engine)
    step = Step()
    step.add(_attention_block(operators, model, cluster, layout, work), model.layers - model.linear_layers)
    if model.linear_layers:
        step.add(_linear_block(operators, model, cluster, layout, work), model.linear_layers)
    _attention_kernels(operators, step, model, layout, work)
    dense, routed = model.layers - model.moe_layers, model.moe_layers
    if dense:
        step.add(_dense_block(operators, model, cluster, layout, work), dense)
    if routed:
        step.add(_expert_block(operators, model, cluster, layout, work), routed)
    _ends(operators, step, model, cluster, layout, work)
    _pipeline(step, cluster, layout, model, work)
    _engine_cost(step, engine, cluster, model, precision, work, layout)
    return step


def _streamed(ops: _Operators, tokens: float, model: ModelConfig) -> float:
    """Bytes of half a layer's element-wise kernels: each reads and writes the hidden state once, and at least one does."""
    return max(1.0, float(ops.engine.elementwise) / 2.0) * tokens * model.hidden * 4.0


def _attention_block(ops: _Operators, model: ModelConfig, cluster: Cluster, layout: Layout, work: Work) -> Step:
    """Projections of one attention layer, its small kernels and its all-reduce; the attention itself is apart."""
    step, m, tp = Step(), work.tokens, layout.tp
    if model.kv_lora_rank:
        qk, heads = model.qk_nope_head_dim + model.qk_rope_head_dim, model.heads / tp
        latent = model.kv_lora_rank + model.qk_rope_head_dim
        if model.q_lora_rank:
            ops.gemm(step, m, model.q_lora_rank + latent, model.hidden)
            ops.gemm(step, m, heads * qk, model.q_lora_rank)
        else:
            ops.gemm(step, m, heads * qk + latent, model.hidden)
        # keys and values are absorbed into the latent space (decode) or expanded from it (prefill): the same weights
        ops.gemm(step, m, heads * model.qk_nope_head_dim, model.kv_lora_rank, wide=True)
        ops.gemm(step, m, heads * model.v_head_dim, model.kv_lora_rank, wide=True)
        ops.gemm(step, m, model.hidden, heads * model.v_head_dim)
    else:
        kv = model.head_dim * max(1.0, model.kv_heads / tp)
        query = model.q_size / tp * (2.0 if model.attention_gate else 1.0)
        ops.gemm(step, m, query + 2.0 * kv, model.hidden)
        ops.gemm(step, m, model.hidden, model.q_size / tp)
    ops.small_kernels(step, _streamed(ops, m, model), float(ops.engine.elementwise) / 2.0)
    ops.collective(step, "all_reduce", tp, m * model.hidden * 2.0, cluster, 1.0)
    return step


def _linear_block(ops: _Operators, model: ModelConfig, cluster: Cluster, layout: Layout, work: Work) -> Step:
    """A layer with a gated delta rule: projections, a short convolution, the state read and written once a step (once per
    64 tokens of a prompt), the output projection and its all-reduce."""
    step, m, tp = Step(), work.tokens, layout.tp
    key, value, state = model.linear_key_size / tp, model.linear_value_size / tp, model.linear_state / tp
    ops.gemm(step, m, 2.0 * key + 2.0 * value, model.hidden)
    passes = max(1.0, work.tokens / work.sequences / 64.0) if work.prefill else 1.0
    moved = 2.0 * STATE_BYTES * state * work.sequences * passes + m * 4.0 * (2.0 * key + 3.0 * value)
    flops = 6.0 * m * state
    rate = ops.gpu.peak_flops("bf16")
    fixed, memory, _ = kernels.elementwise(ops.small, moved, ops.bandwidth)
    excess = max(0.0, 4.0 * flops / rate - memory)  # a quarter of the tensor peak: chunked scans are short products
    ops._charge(step, "kv", (LINEAR_KERNELS * fixed, memory, excess), 1.0, flops, max(moved / ops.bandwidth, flops / rate))
    ops.gemm(step, m, model.hidden, value)
    ops.small_kernels(step, _streamed(ops, m, model), float(ops.engine.elementwise) / 2.0)
    ops.collective(step, "all_reduce", tp, m * model.hidden * 2.0, cluster, 1.0)
    return step


LINEAR_KERNELS = 3.0
"""Small kernels of one linear-attention layer: convolution, the delta rule, gated norm."""


def _attention_kernels(ops: _Operators, step: Step, model: ModelConfig, layout: Layout, work: Work) -> None:
    cache, tp = ops.precision.cache, layout.tp
    if model.kv_lora_rank:
        latent = model.kv_lora_rank + model.qk_rope_head_dim
        score, value = latent, model.kv_lora_rank
        if work.prefill:
            score, value = model.qk_nope_head_dim + model.qk_rope_head_dim, model.v_head_dim
        ops.attention(step, work, model.heads / tp, score, value, latent * cache, float("inf"), model.layers)
        return
    cached = 2.0 * model.head_dim * max(1.0, model.kv_heads / tp) * cache
    heads, dim, sliding = model.heads / tp, model.head_dim, model.sliding_layers
    ops.attention(step, work, heads, dim, dim, cached, float("inf"), model.layers - sliding - model.linear_layers)
    ops.attention(step, work, heads, dim, dim, cached, float(model.sliding_window or 1), sliding)


def _dense_block(ops: _Operators, model: ModelConfig, cluster: Cluster, layout: Layout, work: Work) -> Step:
    step, m, ffn = Step(), work.tokens, model.ffn / layout.tp
    ops.gemm(step, m, 2.0 * ffn, model.hidden)
    ops.gemm(step, m, model.hidden, ffn)
    ops.small_kernels(step, _streamed(ops, m, model) + m * 6.0 * ffn, float(ops.engine.elementwise) / 2.0)
    ops.collective(step, "all_reduce", layout.tp, m * model.hidden * 2.0, cluster, 1.0)
    return step


def _expert_block(ops: _Operators, model: ModelConfig, cluster: Cluster, layout: Layout, work: Work) -> Step:
    step, m = Step(), work.tokens
    pool = layout.tp * layout.dp
    ops.gemm(step, m, model.experts, model.hidden, wide=True)
    ops.experts(step, m * layout.dp, model, layout.ep, pool / layout.ep, 1.0)
    if model.shared_expert_ffn:
        ops.gemm(step, m, 2.0 * model.shared_expert_ffn / layout.tp, model.hidden)
        ops.gemm(step, m, model.hidden, model.shared_expert_ffn / layout.tp)
    ops.small_kernels(step, _streamed(ops, m, model), float(ops.engine.elementwise) / 2.0)
    if layout.dp > 1:
        reached = min(model.experts_per_token, pool)
        each = m / layout.tp * reached * model.hidden
        ops.collective(step, "alltoall", pool, each * ops.precision.activation, cluster, 1.0)
        ops.collective(step, "alltoall", pool, each * 2.0, cluster, 1.0)
    else:
        ops.collective(step, "all_reduce", layout.tp, m * model.hidden * 2.0, cluster, 1.0)
    return step


def _ends(ops: _Operators, step: Step, model: ModelConfig, cluster: Cluster, layout: Layout, work: Work) -> None:
    """Embedding look-up, final norm, LM head on the last token of each sequence, gather of the logits."""
    rows = work.sequences if work.prefill else work.tokens
    ops.small_kernels(step, work.tokens * model.hidden * 4.0 + rows * model.hidden * 4.0, min(2.0, ops.scale * 2.0))
    ops.gemm(step, rows, model.vocab / layout.tp, model.hidden, wide=True)
    ops.collective(step, "all_gather", layout.tp, rows * model.vocab * 2.0, cluster, 1.0)


def _pipeline(step: Step, cluster: Cluster, layout: Layout, model: ModelConfig, work: Work) -> None:
    if layout.pp < 2:
        return
    link, message = cluster.gpu.link, work.tokens * model.hidden * 2.0
    per_domain = max(1, cluster.domain // (layout.tp * layout.dp))
    across = sum(1 for stage in range(1, layout.pp) if stage % per_domain == 0)
    network = float(link.network_latency) + message / (float(link.network_bandwidth) * float(link.network_efficiency))
    inside = 5e-6 + message / (0.8 * float(link.bandwidth))  # 5 us: microsoft/vidur, send/recv inside a node
    step.all_reduce += across * network + (layout.pp - 1 - across) * inside


SORT_ROWS = 700.0
"""Rows at which sorting logits runs at half the time a row of a single one (read from ML.ENERGY's batch sweeps)."""


def _sort_load(gpu: Gpu, vocab: int, rows: float) -> float:
    """Logits to sort, as if on an H100: half of the work is streaming, and more rows fill the GPU better."""
    streaming = 0.5 + 0.5 * 3.35e12 / float(gpu.memory.bandwidth)
    return streaming * vocab * rows / (1.0 + rows / SORT_ROWS)


def _exchanged(model: ModelConfig, layout: Layout, work: Work) -> float:
    """Share of the partners that a rank waits for in an exchange: the other ranks, by the experts that the tokens reach."""
    _, reached = in_service(work.tokens * layout.dp, model.experts_per_token, model.experts, 1)
    return (1.0 - 1.0 / layout.dp) * reached / model.experts


def _engine_cost(
    step: Step, engine: Engine, cluster: Cluster, model: ModelConfig, precision: Precision, work: Work, layout: Layout
) -> None:
    host = float(engine.per_step) + float(engine.per_sequence) * work.sequences * layout.dp
    if engine.overlapped:
        host = max(0.0, host - step.device)
    routed = 0.0 if precision.routed_inside else float(engine.per_routed)
    step.engine = float(engine.per_layer) * model.layers + routed * model.moe_layers + host
    if layout.dp > 1:
        if precision.part(experts=True)[2] < 2.0:  # the GPU works through groups padded to one size: it does not wait
            step.compute += float(engine.per_quantised_exchange) * model.moe_layers
        else:
            step.engine += float(engine.per_exchange) * model.moe_layers * _exchanged(model, layout, work)
    if work.sampled and model.sorted_sampling:
        step.engine += float(engine.per_logit) * _sort_load(cluster.gpu, model.vocab, work.sequences)
    if work.prefill or not engine.graphs:
        step.engine += max(0.0, step.kernels * float(engine.launch) - step.device)
    if work.prefill and not precision.routed_inside:
        step.engine += float(engine.per_routed_prompt) * model.moe_layers
