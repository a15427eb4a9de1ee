"""Time of one forward step of a deployed model, kernel by kernel, with the reason for every microsecond."""

from dataclasses import replace

from wsekern.cluster import feeds, mixers
from wsekern.cluster.engine_cost import charge_engine
from wsekern.cluster.layout import Deployment, Layout
from wsekern.cluster.operators import Operators
from wsekern.cluster.parts import Feed, parts_of
from wsekern.cluster.scoped import kept_while_shipped
from wsekern.cluster.work import PARTS, StepTime, Work
from wsekern.formulas import Formulas
from wsekern.workload.decoder import Mixer, Mixture

TRACING = 4
"""Steps that take as long as writing down the formulas of one."""


def forward(deployment: Deployment, work: Work, ops: Operators | None = None) -> StepTime:
    """All layers, embedding and LM head of one step, with the engine's cost: each kind of part once, times its number.
    ``ops``: operators of the deployment that also look at what they charge."""
    if ops is not None:
        return _forward(deployment, work, ops)
    numbers = float(work.tokens), float(work.sequences), float(work.context), float(work.ranks)
    return StepTime(*_formulas(deployment, work.prefill, work.sampled)(*numbers))


@kept_while_shipped(maxsize=1024)
def _formulas(deployment: Deployment, prefill: bool, sampled: bool) -> Formulas:
    """Parts of a step by the tokens, sequences, context and ranks of its :class:`Work`."""
    def parts(tokens: float, sequences: float, context: float, ranks: float) -> tuple[float, ...]:
        step = _forward(deployment, Work(tokens, sequences, context, prefill, sampled, ranks), Operators(deployment))
        return tuple(getattr(step, name) for name in PARTS)

    return Formulas(parts, TRACING)


def _forward(deployment: Deployment, work: Work, ops: Operators) -> StepTime:
    step = StepTime()
    asked, work, parts = work, ops.family.step(work), parts_of(deployment.model)
    ops.routed = asked.tokens / work.tokens * asked.ranks if deployment.engine.ragged else 1.0
    for mixer, count in parts.mixers:
        ops.begin("mixer", count)
        step.add(mixer_block(ops, work, mixer), count)
    for cache, count in parts.caches:
        ops.begin("mixer", 1)
        mixers.look_back(ops, step, asked, cache, count)
    for feed, count in parts.feeds:
        ops.begin("feed-forward", count)
        step.add(_feed_block(ops, work.tokens, feed), count)
    for weights, count in parts.extra:
        ops.begin("other weights", count)
        step.add(_extra(ops, work.tokens, weights), count)
    ops.begin("ends", 1)
    _ends(ops, step, work)
    _pipeline(ops, step, work)
    charge_engine(deployment, step, asked)
    return step


def decode_step(deployment: Deployment, batch: float, context: float, sampled: bool = False) -> StepTime:
    """One new token (and the drafted ones that it checks) for each of ``batch`` sequences spread over the replicas and pipeline
    stages of the layout. What drafts takes a step for each token before, on one tensor-parallel group, without the engine's own
    cost of a step."""
    each = max(1.0, batch / (deployment.layout.dp * deployment.layout.pp))
    speculation = deployment.speculation
    if speculation is None:
        return forward(deployment, Work(each, each, context, False, sampled))
    step = forward(deployment, Work(each * speculation.checked, each, context, False, sampled))
    model = speculation.draft.drafting_model(deployment.model)
    if model is not None:
        beside = replace(deployment, model=model, layout=Layout(tp=deployment.layout.tp), speculation=None)
        step.add(decode_step(beside, each, context), speculation.drafted)
        step.engine = max(0.0, step.engine - speculation.drafted * float(deployment.engine.per_step))
    return step


def prefill_step(
    deployment: Deployment, sequences: float, tokens: float, context: float = 0.0, ranks: float | None = None
) -> StepTime:
    """``tokens`` new prompt tokens of each of ``sequences``, after ``context`` tokens that are cached already; ``ranks`` as in
    :class:`wsekern.cluster.work.Work`, as many as there are sequences where None."""
    each = sequences / deployment.layout.dp
    share = min(1.0, each) if ranks is None else ranks
    return forward(deployment, Work(max(1.0, each) * tokens, max(1.0, each), context, prefill=True, ranks=share))


def _small_kernels(ops: Operators, step: StepTime, tokens: float, more: float = 0.0) -> None:
    """Half of a layer's element-wise kernels: each reads and writes the hidden state once, and at least one does; ``more`` are
    further bytes."""
    count = float(ops.engine.elementwise) / 2.0
    ops.small_kernels(step, max(1.0, count) * tokens * ops.deployment.model.hidden * 4.0 + more, count)


def _all_reduce(ops: Operators, step: StepTime, tokens: float) -> None:
    """Sum of the hidden states over the tensor-parallel group."""
    ops.collective(step, "all_reduce", ops.deployment.layout.tp, tokens * ops.deployment.model.hidden * 2.0)


def mixer_block(ops: Operators, work: Work, side_by_side: tuple[Mixer, ...], reduced: bool = True) -> StepTime:
    """Mixers of one layer, whose outputs are added before one all-reduce, and small kernels; attention itself is apart."""
    step = StepTime()
    for mixer in side_by_side:
        mixers.projections(ops, step, work, mixer)
    _small_kernels(ops, step, work.tokens)
    if reduced:
        _all_reduce(ops, step, work.tokens)
    return step


def _feed_block(ops: Operators, m: float, feed: Feed) -> StepTime:
    """The feed-forward part of one layer, and its all-reduce (or the exchange of tokens)."""
    step = StepTime()
    if isinstance(feed, Mixture):
        feeds.mixture(ops, step, m, feed)
        _small_kernels(ops, step, m)
    else:
        feeds.dense(ops, step, m, feed)
        _small_kernels(ops, step, m, feeds.dense_bytes(ops, m, feed))
    if isinstance(feed, Mixture) and ops.deployment.layout.dp > 1:
        feeds.exchange(ops, step, m * ops.routed, feed)
    else:
        _all_reduce(ops, step, m)
    return step


def _extra(ops: Operators, m: float, weights: int) -> StepTime:
    """Weights of anything else in a layer, as one product with the residual stream."""
    step, hidden = StepTime(), ops.deployment.model.hidden
    ops.gemm(step, m, weights / hidden / ops.deployment.layout.tp, hidden)
    return step


def _ends(ops: Operators, step: StepTime, work: Work) -> None:
    """Embedding look-up, final norm, LM head on the last token of each sequence, gather of the logits; projections where the
    embedding is narrower than the residual stream, and weights of anything else."""
    model, tp = ops.deployment.model, ops.deployment.layout.tp
    rows, width = work.sequences if work.prefill else work.tokens, model.embedding_size or model.hidden
    ops.small_kernels(step, work.tokens * model.hidden * 4.0 + rows * model.hidden * 4.0, min(2.0, ops.scale * 2.0))
    if model.embedding_size:
        ops.gemm(step, work.tokens, model.hidden, model.embedding_size)
        ops.gemm(step, rows, model.embedding_size, model.hidden)
    if model.extra:
        step.add(_extra(ops, work.tokens, model.extra))
    ops.gemm(step, rows, model.vocab / tp, width, wide=True)
    ops.collective(step, "all_gather", tp, rows * model.vocab * 2.0)


def _pipeline(ops: Operators, step: StepTime, work: Work) -> None:
    """Hidden states from stage to stage, some of them across domains."""
    deployment, layout = ops.deployment, ops.deployment.layout
    if layout.pp < 2:
        return
    message = work.tokens * deployment.model.hidden * 2.0
    per_domain = max(1, deployment.cluster.domain // (layout.tp * layout.dp))
    across = sum(1 for stage in range(1, layout.pp) if stage % per_domain == 0)
    step.all_reduce += across * ops.family.hop(message, across=True) if across else 0.0
    step.all_reduce += (layout.pp - 1 - across) * ops.family.hop(message, across=False)
