"""Time of the mixers of a layer: grouped and latent attention, indexers that choose what it reads, and recurrent ones."""

from math import inf

from wsekern.cluster.constants import constants
from wsekern.cluster.operators import Operators
from wsekern.cluster.work import AttentionShape, StepTime, Work
from wsekern.formulas import largest
from wsekern.workload.decoder import Attention, Indexer, LatentAttention, Mixer, Recurrent

SCANNED = ("mamba", "rg_lru", "short_convolution")
"""Recurrent kinds whose prompts are scanned feature by feature, with the state on the chip; others go through a prompt in
chunks, whose products the tensor cores take."""


def projections(ops: Operators, step: StepTime, work: Work, mixer: Mixer) -> None:
    """Everything of a mixer but the attention over its cache, which :func:`look_back` counts."""
    if isinstance(mixer, Recurrent):
        _recurrent(ops, step, work, mixer)
    elif isinstance(mixer, LatentAttention):
        _latent(ops, step, work.tokens, mixer)
    else:
        _grouped(ops, step, work.tokens, mixer)
    indexer = None if isinstance(mixer, Recurrent) else mixer.indexer
    if indexer is not None and not indexer.shared:
        _indexer(ops, step, work, indexer, mixer.compression if isinstance(mixer, Attention) else 1)


def _grouped(ops: Operators, step: StepTime, m: float, mixer: Attention) -> None:
    """Queries with their gate, keys and values in one product, unless another layer's cache is read; and the output. Compressed
    queries, and the groups of a compressed output, are a product more."""
    hidden, tp = ops.deployment.model.hidden, ops.deployment.layout.tp
    query = mixer.q_size / tp + (mixer.output_size / tp if mixer.gate else 0.0)
    kept = 0.0 if mixer.cache_of else mixer.head_dim + (0.0 if mixer.values_are_keys else mixer.value_dim or mixer.head_dim)
    kept *= max(1.0, mixer.kv_heads / tp)
    if mixer.q_rank:
        ops.gemm(step, m, mixer.q_rank + kept, hidden, part="attention")
        ops.gemm(step, m, query, mixer.q_rank, part="attention")
    else:
        ops.gemm(step, m, query + kept, hidden, part="attention")
    if mixer.o_rank:
        ops.gemm(step, m, mixer.o_rank, mixer.output_size / tp, part="attention")
        ops.gemm(step, m, hidden, mixer.o_groups * mixer.o_rank / tp, part="attention")
    else:
        ops.gemm(step, m, hidden, mixer.output_size / tp, part="attention")


def _latent(ops: Operators, step: StepTime, m: float, mixer: LatentAttention) -> None:
    """Queries, compressed where they are, and the latent vector; its expansion; the output."""
    hidden, heads = ops.deployment.model.hidden, mixer.heads / ops.deployment.layout.tp
    queries = heads * mixer.query_dim
    if mixer.q_rank:
        ops.gemm(step, m, mixer.q_rank + mixer.latent, hidden, part="attention")
        ops.gemm(step, m, queries, mixer.q_rank, part="attention")
    else:
        ops.gemm(step, m, queries + mixer.latent, hidden, part="attention")
    # keys and values are absorbed into the latent space (decode) or expanded from it (prefill): the same weights
    ops.gemm(step, m, heads * mixer.nope_dim, mixer.kv_rank, wide=True)
    ops.gemm(step, m, heads * mixer.value_dim, mixer.kv_rank, wide=True)
    ops.gemm(step, m, hidden, heads * mixer.value_dim, part="attention")
    ops.small_kernels(step, m * 4.0 * (queries + mixer.latent), ops.scale * float(ops.engine.latent))


def _indexer(ops: Operators, step: StepTime, work: Work, indexer: Indexer, every: int) -> None:
    """Queries, the one key and the weights of the heads, on every GPU alike; scores of all tokens so far, and the choice."""
    m, hidden = work.tokens, ops.deployment.model.hidden
    ops.gemm(step, m, indexer.heads * indexer.head_dim, indexer.query_rank or hidden, part="attention")
    ops.gemm(step, m, indexer.head_dim + indexer.heads, hidden, wide=True)
    ops.scores(step, work, indexer, every)


def _recurrent(ops: Operators, step: StepTime, work: Work, mixer: Recurrent) -> None:
    """Projections, a short convolution, and the state: read and written once a step, and ``state_passes`` times per
    ``linear_chunk`` tokens of a prompt unless it is :data:`SCANNED`."""
    tp, known, m = ops.deployment.layout.tp, constants(), work.tokens
    for inputs, outputs in mixer.matrices:
        _matrix(ops, step, m, inputs, outputs, mixer)
    state, tail = mixer.state / tp, mixer.kernel * mixer.convolved / tp
    chunked = work.prefill and mixer.kind not in SCANNED
    chunks = largest(1.0, work.tokens / work.sequences / known.linear_chunk.value) if chunked else 1.0
    passes = chunks * float(ops.engine.state_passes) if chunked else 1.0
    through = max(mixer.convolved, 2 * mixer.key_size + mixer.value_size) + 2 * mixer.value_size  # in, gate and out
    moved = 2.0 * work.sequences * (known.state_bytes.value * state * passes + 2.0 * tail) + m * 4.0 * through / tp
    flops = 6.0 * m * state + 2.0 * m * tail
    rate = ops.gpu.peak_flops("bf16")
    fixed, memory, excess = ops.family.recurrent(moved, flops)
    share = 0.5 * bool(mixer.convolved) + 0.5 * bool(mixer.state)  # the convolution is one kernel, the state another
    parts = (share * (float(ops.engine.linear) * fixed + known.linear_fixed.value), memory, excess)
    ops.charge(step, "kv", parts, flops, largest(moved / ops.bandwidth, flops / rate))


def _matrix(ops: Operators, step: StepTime, m: float, inputs: int, outputs: int, mixer: Recurrent) -> None:
    """One projection, split along its outputs, or along its inputs where these are the features of the heads; narrow
    gates of the heads stay in 16 bit."""
    hidden, tp = ops.deployment.model.hidden, ops.deployment.layout.tp
    if inputs and (not outputs or inputs > outputs):
        ops.gemm(step, m, outputs or hidden, inputs / tp, part="recurrent")
    else:
        narrow = 0 < outputs <= min(4 * mixer.value_heads, hidden // 8)
        ops.gemm(step, m, (outputs or hidden) / tp, inputs or hidden, wide=narrow, part="recurrent")


def look_back(ops: Operators, step: StepTime, work: Work, mixer: Attention | LatentAttention, count: int) -> None:
    """Attention of ``count`` layers over their caches."""
    ops.attention(step, work, _shape(ops, work, mixer), count)


def _shape(ops: Operators, work: Work, mixer: Attention | LatentAttention) -> AttentionShape:
    """What one GPU reads and computes. Tokens that choose for themselves read latent vectors as they are, in prompts too: by
    kernels for many heads that work on all places of the choice."""
    tp, cache, indexer = ops.deployment.layout.tp, ops.deployment.precision.cache, mixer.indexer
    heads, window, chosen = mixer.heads / tp, float(mixer.reach or inf), float(indexer.chosen) if indexer else inf
    if isinstance(mixer, LatentAttention):
        own, window = (mixer.latent * cache, min(window, chosen)), min(window, chosen)
        if work.prefill and work.context + work.tokens / work.sequences <= chosen:
            return AttentionShape(heads, mixer.query_dim, mixer.value_dim, *own, latent=True)
        filled = work.prefill and window == chosen
        heads = max(heads, constants().sparse_heads.value) if filled else heads
        return AttentionShape(heads, mixer.latent, mixer.kv_rank, *own, latent=True, filled=filled)
    kv, value = max(1.0, mixer.kv_heads / tp), mixer.value_dim or mixer.head_dim
    if mixer.compression > 1:
        width = mixer.head_dim + (0 if mixer.values_are_keys else value)
        heads = max(heads, constants().sparse_heads.value) if work.prefill else heads
        return AttentionShape(heads, mixer.head_dim, value, width * kv * cache, window, every=mixer.compression, chosen=chosen)
    half = 0.5 * (mixer.chunk + 1.0) if mixer.chunk and mixer.chunk == mixer.reach else inf  # on average, in prompts
    mean = min(half, window, chosen) if indexer else half
    return AttentionShape(heads, mixer.head_dim, value, (mixer.head_dim + value) * kv * cache, min(window, chosen), mean)
