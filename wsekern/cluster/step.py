"""Time of one forward step of a deployed model, kernel by kernel, with the reason for every microsecond."""

from wsekern.cluster import kernels
from wsekern.cluster.constants import constants
from wsekern.cluster.engine_cost import charge_engine
from wsekern.cluster.layout import Deployment
from wsekern.cluster.operators import AttentionShape, Operators, StepTime, Work


def forward(deployment: Deployment, work: Work) -> StepTime:
    """All layers, embedding and LM head of one step, with the engine's cost."""
    model, ops, step = deployment.model, Operators(deployment), StepTime()
    step.add(_attention_block(ops, work), model.layers - model.linear_layers)
    if model.linear_layers:
        step.add(_linear_block(ops, work), model.linear_layers)
    _attention_kernels(ops, step, work)
    dense, routed = model.layers - model.moe_layers, model.moe_layers
    if dense:
        step.add(_dense_block(ops, work), dense)
    if routed:
        step.add(_expert_block(ops, work), routed)
    _ends(ops, step, work)
    _pipeline(deployment, step, work)
    charge_engine(deployment, step, work)
    return step


def decode_step(deployment: Deployment, batch: float, context: float, sampled: bool = False) -> StepTime:
    """One new token (and the drafted ones that it checks) for each of ``batch`` sequences spread over the replicas and pipeline
    stages of the layout."""
    each = max(1.0, batch / (deployment.layout.dp * deployment.layout.pp))
    checked = deployment.speculation.checked if deployment.speculation else 1
    return forward(deployment, Work(each * checked, each, context, False, sampled))


def prefill_step(deployment: Deployment, sequences: float, tokens: float, context: float = 0.0) -> StepTime:
    """``tokens`` new prompt tokens of each of ``sequences``, after ``context`` tokens that are cached already."""
    each = max(1.0, sequences / deployment.layout.dp)
    return forward(deployment, Work(each * tokens, each, context, prefill=True))


def _small_kernels(ops: Operators, step: StepTime, tokens: float, more: float = 0.0) -> None:
    """Half of a layer's element-wise kernels: each reads and writes the hidden state once, and at least one does; ``more`` are
    further bytes."""
    count = float(ops.engine.elementwise) / 2.0
    ops.small_kernels(step, max(1.0, count) * tokens * ops.deployment.model.hidden * 4.0 + more, count)


def _all_reduce(ops: Operators, step: StepTime, tokens: float) -> None:
    """Sum of the hidden states over the tensor-parallel group."""
    ops.collective(step, "all_reduce", ops.deployment.layout.tp, tokens * ops.deployment.model.hidden * 2.0)


def _attention_block(ops: Operators, work: Work) -> StepTime:
    """Projections of one attention layer, its small kernels and its all-reduce; the attention itself is apart."""
    model, tp = ops.deployment.model, ops.deployment.layout.tp
    step, m = StepTime(), work.tokens
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
        ops.small_kernels(step, m * 4.0 * (heads * qk + latent), ops.scale * float(ops.engine.latent))
    else:
        kv = model.head_dim * max(1.0, model.kv_heads / tp)
        query = model.q_size / tp * (2.0 if model.attention_gate else 1.0)
        ops.gemm(step, m, query + 2.0 * kv, model.hidden)
        ops.gemm(step, m, model.hidden, model.q_size / tp)
    _small_kernels(ops, step, m)
    _all_reduce(ops, step, m)
    return step


def _linear_block(ops: Operators, work: Work) -> StepTime:
    """A layer with a gated delta rule: projections, a short convolution, the state read and written once a step (once per
    ``linear_chunk`` tokens of a prompt), the output projection and its all-reduce."""
    model, tp, known = ops.deployment.model, ops.deployment.layout.tp, constants()
    step, m = StepTime(), work.tokens
    key, value, state = model.linear_key_size / tp, model.linear_value_size / tp, model.linear_state / tp
    ops.gemm(step, m, 2.0 * key + 2.0 * value, model.hidden)
    heads = value * value / state  # of square states
    ops.gemm(step, m, 2.0 * heads, model.hidden, wide=True)  # decay and update rate of each head
    passes = max(1.0, work.tokens / work.sequences / known.linear_chunk.value) if work.prefill else 1.0
    moved = 2.0 * known.state_bytes.value * state * work.sequences * passes + m * 4.0 * (2.0 * key + 3.0 * value)
    flops = 6.0 * m * state
    rate = ops.gpu.peak_flops("bf16")
    fixed, memory, _ = kernels.elementwise(ops.small, moved, ops.bandwidth)
    excess = max(0.0, flops / (known.linear_compute.value * rate) - memory)
    parts = (float(ops.engine.linear) * fixed + known.linear_fixed.value, memory, excess)
    ops.charge(step, "kv", parts, flops, max(moved / ops.bandwidth, flops / rate))
    ops.gemm(step, m, model.hidden, value)
    _small_kernels(ops, step, m)
    _all_reduce(ops, step, m)
    return step


def _attention_kernels(ops: Operators, step: StepTime, work: Work) -> None:
    """Attention over the caches of all layers: latent, or full and sliding."""
    model, tp, cache = ops.deployment.model, ops.deployment.layout.tp, ops.deployment.precision.cache
    heads = model.heads / tp
    if model.kv_lora_rank:
        latent = model.kv_lora_rank + model.qk_rope_head_dim
        score, value = latent, model.kv_lora_rank
        if work.prefill:
            score, value = model.qk_nope_head_dim + model.qk_rope_head_dim, model.v_head_dim
        ops.attention(step, work, AttentionShape(heads, score, value, latent * cache), model.layers)
        return
    dim, sliding = model.head_dim, model.sliding_layers
    cached = 2.0 * dim * max(1.0, model.kv_heads / tp) * cache
    ops.attention(step, work, AttentionShape(heads, dim, dim, cached), model.layers - sliding - model.linear_layers)
    window = float(model.sliding_window or 1)
    ops.attention(step, work, AttentionShape(heads, dim, dim, cached, window), sliding)


def _dense_block(ops: Operators, work: Work) -> StepTime:
    """A gated feed-forward layer and its all-reduce."""
    model, tp = ops.deployment.model, ops.deployment.layout.tp
    step, m, ffn = StepTime(), work.tokens, model.ffn / tp
    ops.gemm(step, m, 2.0 * ffn, model.hidden)
    ops.gemm(step, m, model.hidden, ffn)
    _small_kernels(ops, step, m, m * 6.0 * ffn)
    _all_reduce(ops, step, m)
    return step


def _expert_block(ops: Operators, work: Work) -> StepTime:
    """A layer of experts: router, routed and shared experts, and the exchange of tokens (or the all-reduce)."""
    model, layout = ops.deployment.model, ops.deployment.layout
    step, m = StepTime(), work.tokens
    ops.gemm(step, m, model.experts, model.hidden, wide=True)
    if not ops.deployment.precision.routed_inside:
        ops.small_kernels(step, m * 4.0 * (model.experts + model.hidden), ops.scale * float(ops.engine.router))
    step.add(_experts(ops, m))
    _small_kernels(ops, step, m)
    if layout.dp > 1:
        pool = layout.tp * layout.dp
        each = m / layout.tp * min(model.experts_per_token, pool) * model.hidden
        ops.collective(step, "alltoall", pool, each * ops.deployment.precision.activation)
        ops.collective(step, "alltoall", pool, each * 2.0)
    else:
        _all_reduce(ops, step, m)
    return step


def _experts(ops: Operators, tokens: float) -> StepTime:
    """Routed and shared experts of a layer; on a stream of their own, the shared ones add their traffic alone."""
    model, layout = ops.deployment.model, ops.deployment.layout
    routed, shared = StepTime(), StepTime()
    ops.experts(routed, tokens * layout.dp)
    if model.shared_expert_ffn:
        ops.gemm(shared, tokens, 2.0 * model.shared_expert_ffn / layout.tp, model.hidden)
        ops.gemm(shared, tokens, model.hidden, model.shared_expert_ffn / layout.tp)
        if ops.engine.side_stream:
            shared.fixed = max(0.0, shared.fixed - routed.device)
    routed.add(shared)
    return routed


def _ends(ops: Operators, step: StepTime, work: Work) -> None:
    """Embedding look-up, final norm, LM head on the last token of each sequence, gather of the logits."""
    model, tp = ops.deployment.model, ops.deployment.layout.tp
    rows = work.sequences if work.prefill else work.tokens
    ops.small_kernels(step, work.tokens * model.hidden * 4.0 + rows * model.hidden * 4.0, min(2.0, ops.scale * 2.0))
    ops.gemm(step, rows, model.vocab / tp, model.hidden, wide=True)
    ops.collective(step, "all_gather", tp, rows * model.vocab * 2.0)


def _pipeline(deployment: Deployment, step: StepTime, work: Work) -> None:
    """Hidden states from stage to stage, some of them across NVLink domains."""
    layout, link = deployment.layout, deployment.gpu.link
    if layout.pp < 2:
        return
    message = work.tokens * deployment.model.hidden * 2.0
    per_domain = max(1, deployment.cluster.domain // (layout.tp * layout.dp))
    across = sum(1 for stage in range(1, layout.pp) if stage % per_domain == 0)
    network = float(link.network_latency) + message / (float(link.network_bandwidth) * float(link.network_efficiency))
    inside = constants().stage_latency.value + message / (constants().stage_bandwidth.value * float(link.bandwidth))
    step.all_reduce += across * network + (layout.pp - 1 - across) * inside
