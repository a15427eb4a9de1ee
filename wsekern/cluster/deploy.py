"""The public edge: names and open degrees become a :class:`Deployment`, once."""

from dataclasses import replace
from typing import TypedDict

from wsekern.cluster.constants import constants
from wsekern.cluster.engine import Engine, load_engine
from wsekern.cluster.families import FAMILIES
from wsekern.cluster.hardware import Cluster, load_cluster
from wsekern.cluster.layout import Deployment, Layout, memory_of
from wsekern.cluster.parts import common_experts, common_heads
from wsekern.cluster.precision import Precision, precision_of
from wsekern.workload.config import ModelConfig


class Degrees(TypedDict, total=False):
    """Degrees of parallelism that a caller may fix; those left out, or None, are chosen."""

    tp: int | None
    pp: int | None
    dp: int | None
    ep: int | None


def resolve(
    model: ModelConfig, cluster: Cluster | str, precision: str | Precision, engine_level: str | Engine
) -> Deployment:
    """Names and objects to a deployment on one GPU of the cluster: a start for others."""
    return Deployment(model, load_cluster(cluster), Layout(), precision_of(precision), load_engine(engine_level))


def deploy(
    model: ModelConfig, cluster: Cluster | str, *, context: int, batch: int = 1, precision: str | Precision = "bf16",
    engine_level: str | Engine = "stock", tp: int | None = None, pp: int | None = None, dp: int | None = None,
    ep: int | None = None
) -> Deployment:
    """``model`` on ``cluster`` with software of ``engine_level``, in the given degrees, or in those that
    :func:`default_layout` chooses for ``batch`` sequences of ``context`` tokens.

    Raises :class:`InputError` for unknown names and for degrees that fit neither the model nor the cluster.
    """
    alone = resolve(model, cluster, precision, engine_level)
    if tp is None and pp is None and dp is None and ep is None:
        return replace(alone, layout=default_layout(alone, context, batch))
    width = _widest(alone, (dp or 1) * (pp or 1)) if tp is None else tp
    layout = Layout(width, pp or 1, dp or 1, ep or 1)
    layout.check(model, alone.cluster)
    return replace(alone, layout=layout)


def _widest(deployment: Deployment, copies: int) -> int:
    """The largest tp that divides the heads, of what ``copies`` of it leave of a domain."""
    tp = max(1, min(deployment.cluster.count // copies, deployment.cluster.domain))
    while tp > 1 and common_heads(deployment.model) % tp:
        tp -= 1
    return tp


def default_layout(deployment: Deployment, context: float, batch: int) -> Layout:
    """Tensor parallel inside one NVLink domain, pipeline stages across domains; experts over the same GPUs.

    Of the degrees that hold the request, the largest tp that divides heads: least latency for one user. Where none does, the
    fewest stages that do, inside the domain too. Families of machines may have a way of their own. The
    layout that ``deployment`` has is not looked at.
    """
    own = FAMILIES[deployment.gpu.mechanism].layout(deployment, context, batch)
    if own is not None:
        return own
    model, cluster = deployment.model, deployment.cluster
    inside = min(cluster.count, cluster.domain)
    stages = max(1, cluster.count // inside)
    widths = [tp for tp in range(inside, 0, -1) if inside % tp == 0 and _divides(model, tp)] or [1]
    usual = [(tp, pp) for tp in widths for pp in (1, stages)]
    deeper = [(widths[0], pp) for pp in range(2, min(cluster.count // widths[0], model.layers) + 1)]
    for tp, pp in (*usual, *deeper):
        layout = _default(model, tp, pp)
        if memory_of(replace(deployment, layout=layout), context, batch).sequences >= batch:
            return layout
    return _default(model, widths[0], stages)


def _default(model: ModelConfig, tp: int, pp: int) -> Layout:
    experts = common_experts(model)
    spread = experts % tp == 0 and experts >= constants().spread_experts.value and tp > 1
    return Layout(tp=tp, pp=min(pp, model.layers), ep=tp if spread else 1)


def _divides(model: ModelConfig, tp: int) -> bool:
    return common_heads(model) % tp == 0 and (model.kv_heads % tp == 0 or tp % model.kv_heads == 0)
