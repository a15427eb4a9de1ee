"""Choosing: layouts that fit, the best cluster under a bound, and the Pareto front of speed per user against per GPU."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from wsekern.cluster.deploy import default_layout, resolve
from wsekern.cluster.engine import Engine
from wsekern.cluster.hardware import Cluster, timed
from wsekern.cluster.layout import Deployment, Layout, memory_of
from wsekern.cluster.load import engines_of, turn_costs
from wsekern.cluster.parts import common_experts, common_heads
from wsekern.cluster.precision import Precision
from wsekern.cluster.scoped import kept_while_shipped
from wsekern.cluster.serving import Served, serve_on
from wsekern.cluster.steady import kept_measure, steady_state
from wsekern.cluster.step import decode_step
from wsekern.errors import InputError
from wsekern.queueing import StepCosts
from wsekern.shown import Tabled
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import Request
from wsekern.workload.speculation import Speculation

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Sequences in flight that a sweep tries."""
SWEEP_POINTS = 10
"""Numbers of decoding sequences that are timed for all batches of a layout."""
STAGES = 8
"""Pipeline stages that a sweep tries at most."""
CANDIDATES = ("h100x1", "h100x8", "h200x8", "b200x8", "gb200x72")
"""Clusters that :func:`best_cluster` looks at where none are named: the usual systems."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One configuration of a sweep, with ``batch`` users who take turns: whole requests (:class:`wsekern.workload.Measure`)."""

    cluster: str
    layout: Layout
    batch: int
    tokens_per_second_per_user: float
    tokens_per_second_per_gpu: float
    time_to_first_token_seconds: float
    request_seconds: float
    usd_per_million_tokens: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data; the layout's GPUs and degrees stand beside the rest."""
        data = asdict(self)
        return {"cluster": data.pop("cluster"), "gpus": self.layout.gpus, **data.pop("layout"), **data}


@dataclass(frozen=True, kw_only=True)
class Constraint(Tabled):
    """What a system must keep: bounds on the time per output token and to the first token, on GPUs, power and price."""

    time_per_output_token_seconds: float = float("inf")
    time_to_first_token_seconds: float = float("inf")
    gpus: int = 10**9
    watts: float = float("inf")
    usd_per_hour: float = float("inf")

    def kept_by(self, served: Served, usd_per_hour: float) -> bool:
        """Whether ``served`` is inside every bound."""
        return (
            served.time_per_output_token_seconds <= self.time_per_output_token_seconds
            and served.time_to_first_token_seconds <= self.time_to_first_token_seconds
            and served.layout.gpus <= self.gpus
            and served.watts <= self.watts
            and usd_per_hour <= self.usd_per_hour
        )


def layouts(model: ModelConfig, cluster: Cluster) -> Iterator[Layout]:
    """Every sensible layout: tp and copies of the attention (dp) in an NVLink domain, pp across, experts over the GPUs of a
    stage. Copies of a dense model are deployments of their own, which :func:`best_deployment` counts."""
    inside, experts = min(cluster.count, cluster.domain), common_experts(model)
    for tp in _powers(inside):
        if common_heads(model) % tp:
            continue
        for dp in _powers(inside // tp) if experts else [1]:
            for pp in _powers(cluster.count // (tp * dp)):
                if pp > min(model.layers, STAGES):
                    continue
                if dp == 1:
                    yield Layout(tp=tp, pp=pp)
                if experts and tp * dp > 1 and experts % (tp * dp) == 0:
                    yield Layout(tp=tp, pp=pp, dp=dp, ep=tp * dp)


def _powers(most: int) -> list[int]:
    return [2**exponent for exponent in range(max(1, most).bit_length())]


@kept_while_shipped(maxsize=64)
def _laid_out(deployment: Deployment) -> tuple[Deployment, ...]:
    """``deployment`` in every layout."""
    return tuple(replace(deployment, layout=layout) for layout in layouts(deployment.model, deployment.cluster))


def sweep(
    model: ModelConfig, cluster: Cluster | str, *, prompt: int = 1024, output: int = 256, precision: str | Precision = "bf16",
    engine_level: str | Engine = "stock", batches: Sequence[int] = BATCHES
) -> list[Point]:
    """Every layout and batch that fits the memory."""
    return _points(resolve(model, cluster, precision, engine_level), prompt, output, batches)


def _points(deployment: Deployment, prompt: int, output: int, batches: Sequence[int]) -> list[Point]:
    points = []
    for laid_out in _laid_out(deployment):
        fits = memory_of(laid_out, prompt + output, 1).sequences
        served = [batch for batch in batches if laid_out.layout.dp <= batch <= fits]
        if served:
            costs = turn_costs(laid_out, prompt, output, max(served) / engines_of(laid_out), decode_points=SWEEP_POINTS)
            points += [_point(laid_out, prompt, output, batch, costs) for batch in served]
    return points


def _point(deployment: Deployment, prompt: int, output: int, batch: int, costs: StepCosts) -> Point:
    measure, gpus = steady_state(deployment, prompt, output, batch, costs=costs).measure, deployment.layout.gpus
    return Point(
        cluster=deployment.cluster.name,
        layout=deployment.layout,
        batch=batch,
        tokens_per_second_per_user=measure.tokens_per_second_per_user,
        tokens_per_second_per_gpu=measure.tokens_per_second / gpus,
        time_to_first_token_seconds=measure.time_to_first_token_seconds,
        request_seconds=measure.request_seconds,
        usd_per_million_tokens=measure.usd_per_million_tokens(gpus * float(deployment.gpu.price.per_hour)),
    )


def best_deployment(
    model: ModelConfig, request: Request, cluster: Cluster | str, *, engine_level: str | Engine = "stock",
    precision: str | Precision | None = None, think_seconds: float = 0.0, speculation: Speculation | None = None,
    cached: float | None = None
) -> tuple[Deployment, int]:
    """A deployment, and how many copies of it share the request's users, that answer a request in the least time on the whole
    ``cluster`` (which is most requests/s too, the users being given); of equals the fewest GPUs.

    ``speculation`` is the deployment's; ``think_seconds`` and ``cached`` as in :func:`serve_on`. Where nothing fits, the
    default layout once, which :func:`serve_on` then refuses with the reason.
    """
    alone = resolve(model, cluster, precision if precision is not None else request.precision, engine_level)
    alone = replace(alone, speculation=speculation)
    best = _best_layout(replace(alone, cluster=timed(alone.cluster)), request, think_seconds, cached)
    if best is None:
        return replace(alone, layout=default_layout(alone, request.context, request.batch)), 1
    return replace(alone, layout=best[0]), best[1]


@kept_while_shipped(maxsize=4096)
def _best_layout(alone: Deployment, request: Request, think_seconds: float, cached: float | None) -> tuple[Layout, int] | None:
    """Layout and copies of :func:`best_deployment`; None where nothing fits."""
    best: tuple[float, int, Layout, int] | None = None
    bounds = ((_least_seconds(deployment, request), deployment) for deployment in _laid_out(alone))
    for least, deployment in sorted(bounds, key=lambda bound: bound[0]):
        if best is not None and least > best[0]:
            break
        layout = deployment.layout
        copies = max(1, min(alone.cluster.count // layout.gpus, request.batch // layout.dp))
        each = -(-request.batch // copies)
        if each < layout.dp or memory_of(deployment, request.context, each, request.shared).sequences < each:
            continue
        measure = kept_measure(deployment, request.prompt, request.output, each, think_seconds, request.shared, cached)
        seconds = measure.request_seconds
        if best is None or (seconds, copies * layout.gpus) < best[:2]:
            best = (seconds, copies * layout.gpus, layout, copies)
    return None if best is None else best[2:]


def _least_seconds(deployment: Deployment, request: Request) -> float:
    """Of a request: the decoding steps of a user whom nobody delays."""
    kept = deployment.speculation.kept if deployment.speculation else 1.0
    step = decode_step(deployment, float(engines_of(deployment)), request.prompt + 0.5 * request.output)
    return (request.output - 1) / kept * step.seconds


def pareto(points: Sequence[Point]) -> list[Point]:
    """Points that no other beats in both tokens/s per user and per GPU, fastest user first."""
    front: list[Point] = []
    ordered = sorted(
        points, key=lambda p: (-p.tokens_per_second_per_user, -p.tokens_per_second_per_gpu, p.layout.gpus, p.layout.tp)
    )
    for point in ordered:
        if not front or point.tokens_per_second_per_gpu > front[-1].tokens_per_second_per_gpu:
            front.append(point)
    return front


def best_cluster(
    model: ModelConfig, request: Request, constraint: Constraint | None = None, *,
    clusters: Sequence[str | Cluster] = CANDIDATES, objective: str = "latency", engine_level: str | Engine = "stock",
    precision: str | Precision | None = None
) -> tuple[Cluster, Served]:
    """The cluster and layout with the least time of a request, or the most output tokens per dollar, inside ``constraint``.

    ``objective``: ``latency`` answers the request's batch of users as fast as it can, prompts and waiting counted;
    ``throughput`` chooses the batch too and takes the most tokens per dollar, which carries the prompts.
    """
    if objective not in ("latency", "throughput"):
        raise InputError(f"objective {objective!r} is unknown; use latency or throughput")
    form = precision if precision is not None else request.precision
    best: tuple[float, Cluster, Served] | None = None
    for cluster in clusters:
        deployment = resolve(model, cluster, form, engine_level)
        least = best[0] if best is not None else float("inf")
        better = _best_point(deployment, request, constraint or Constraint(), objective, least)
        if better is not None:
            best = (better[0], deployment.cluster, better[1])
    if best is None:
        raise InputError(
            f"no cluster of {', '.join(str(getattr(c, 'name', c)) for c in clusters)} serves {model.name} "
            "inside the constraint; relax a bound or allow more GPUs"
        )
    return best[1], best[2]


def _best_point(
    deployment: Deployment, request: Request, constraint: Constraint, objective: str, least: float
) -> tuple[float, Served] | None:
    """(score, what is served) of the best layout and batch inside ``constraint`` with a score below ``least``."""
    latency = objective == "latency"
    points = _points(deployment, request.prompt, request.output, (request.batch,) if latency else BATCHES)
    points.sort(key=lambda p: (p.request_seconds if latency else p.usd_per_million_tokens, p.layout.gpus))
    for point in points:
        score = point.request_seconds if latency else point.usd_per_million_tokens
        if score >= least:
            break
        each = Request(request.prompt, request.output, point.batch, request.precision)
        served = serve_on(replace(deployment, layout=point.layout), each)
        if constraint.kept_by(served, point.layout.gpus * float(deployment.gpu.price.per_hour)):
            return score, served
    return None
