"""Choosing: layouts that fit, the best cluster under a bound, and the Pareto front of speed per user against per GPU."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from wsekern.cluster.engine import Engine, load_engine
from wsekern.cluster.hardware import Cluster, load_cluster
from wsekern.cluster.layout import Layout, default_layout, memory_of
from wsekern.cluster.precision import Precision, precision_of
from wsekern.cluster.serving import Served, serve, steady_state
from wsekern.errors import InputError
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import Request

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Sequences in flight that a sweep tries."""
STAGES = 8
"""Pipeline stages that a sweep tries at most."""
CANDIDATES = ("h100x1", "h100x8", "h200x8", "b200x8", "gb200x72")
"""Clusters that :func:`best_cluster` looks at where none are named: the usual systems."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One configuration of a sweep."""

    cluster: str
    gpus: int
    tp: int
    pp: int
    dp: int
    ep: int
    batch: int
    tokens_per_second_per_user: float
    tokens_per_second_per_gpu: float
    time_to_first_token_seconds: float
    usd_per_million_tokens: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Constraint:
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
            and served.gpus <= self.gpus
            and served.watts <= self.watts
            and usd_per_hour <= self.usd_per_hour
        )


def layouts(model: ModelConfig, cluster: Cluster) -> Iterator[Layout]:
    """Every sensible layout: tp and copies of the attention (dp) in an NVLink domain, pp across, experts over the GPUs of a
    stage. Copies of a dense model are deployments of their own, which :func:`deployment` counts."""
    inside = min(cluster.count, cluster.domain)
    for tp in _powers(inside):
        if model.heads % tp:
            continue
        for dp in _powers(inside // tp) if model.experts else [1]:
            for pp in _powers(cluster.count // (tp * dp)):
                if pp > min(model.layers, STAGES):
                    continue
                if dp == 1:
                    yield Layout(tp=tp, pp=pp)
                if model.experts and tp * dp > 1 and model.experts % (tp * dp) == 0:
                    yield Layout(tp=tp, pp=pp, dp=dp, ep=tp * dp)


def _powers(most: int) -> list[int]:
    return [2**exponent for exponent in range(max(1, most).bit_length())]


def sweep(
    model: ModelConfig,
    cluster: Cluster | str,
    *,
    prompt: int = 1024,
    output: int = 256,
    precision: str | Precision = "bf16",
    engine_level: str | Engine = "stock",
    batches: Sequence[int] = BATCHES,
) -> list[Point]:
    """Every layout and batch that fits the memory."""
    cluster, form, engine = load_cluster(cluster), precision_of(precision), load_engine(engine_level)
    points = []
    for layout in layouts(model, cluster):
        fits = memory_of(model, cluster, layout, form, prompt + output, 1).sequences
        for batch in batches:
            if batch > fits or batch < layout.dp:
                continue
            _, _, token, first, queue = steady_state(model, cluster, layout, form, engine, prompt, output, batch)
            rate = batch / token / layout.gpus
            points.append(
                Point(
                    cluster=cluster.name,
                    gpus=layout.gpus,
                    tp=layout.tp,
                    pp=layout.pp,
                    dp=layout.dp,
                    ep=layout.ep,
                    batch=batch,
                    tokens_per_second_per_user=1.0 / token,
                    tokens_per_second_per_gpu=rate,
                    time_to_first_token_seconds=first + queue,
                    usd_per_million_tokens=float(cluster.gpu.price.per_hour) / 3600.0 / rate * 1e6,
                )
            )
    return points


def deployment(
    model: ModelConfig,
    request: Request,
    cluster: Cluster | str,
    *,
    engine_level: str | Engine = "stock",
    precision: str | Precision | None = None,
) -> tuple[Layout, int]:
    """Layout, and how many copies of it share the request's users, that give the least time per token on the whole
    ``cluster`` (which is most tokens/s too, the users being given); of equals the fewest GPUs.

    Where nothing fits, the default layout once, which :func:`serve` then refuses with the reason.
    """
    cluster, engine = load_cluster(cluster), load_engine(engine_level)
    form = precision_of(precision if precision is not None else request.precision)
    best: tuple[float, int, Layout, int] | None = None
    for layout in layouts(model, cluster):
        copies = max(1, min(cluster.count // layout.gpus, request.batch // layout.dp))
        each = -(-request.batch // copies)
        if each < layout.dp or memory_of(model, cluster, layout, form, request.context, each).sequences < each:
            continue
        token = steady_state(model, cluster, layout, form, engine, request.prompt, request.output, each)[2]
        if best is None or (token, copies * layout.gpus) < best[:2]:
            best = (token, copies * layout.gpus, layout, copies)
    if best is None:
        return default_layout(model, cluster, form, request.context, request.batch), 1
    return best[2], best[3]


def pareto(points: Sequence[Point]) -> list[Point]:
    """Points that no other beats in both tokens/s per user and per GPU, fastest user first."""
    front: list[Point] = []
    ordered = sorted(points, key=lambda p: (-p.tokens_per_second_per_user, -p.tokens_per_second_per_gpu, p.gpus, p.tp))
    for point in ordered:
        if not front or point.tokens_per_second_per_gpu > front[-1].tokens_per_second_per_gpu:
            front.append(point)
    return front


def best_cluster(
    model: ModelConfig,
    request: Request,
    constraint: Constraint | None = None,
    *,
    clusters: Sequence[str | Cluster] = CANDIDATES,
    objective: str = "latency",
    engine_level: str | Engine = "stock",
    precision: str | Precision | None = None,
) -> tuple[Cluster, Served]:
    """The cluster and layout with the least time per token, or the most tokens/s per dollar, inside ``constraint``.

    ``objective``: ``latency`` serves the request's batch as fast as it can; ``throughput`` chooses the batch too and takes
    the most tokens per dollar.
    """
    if objective not in ("latency", "throughput"):
        raise InputError(f"objective {objective!r} is unknown; use latency or throughput")
    constraint = constraint or Constraint()
    form = precision_of(precision if precision is not None else request.precision)
    batches = (request.batch,) if objective == "latency" else BATCHES
    best: tuple[float, Cluster, Served] | None = None
    for name in clusters:
        cluster = load_cluster(name)
        options = sweep(
            model,
            cluster,
            prompt=request.prompt,
            output=request.output,
            precision=form,
            engine_level=engine_level,
            batches=batches,
        )
        if objective == "latency":
            options.sort(key=lambda p: (-p.tokens_per_second_per_user, p.gpus))
        else:
            options.sort(key=lambda p: (p.usd_per_million_tokens, p.gpus))
        for point in options:
            score = 1.0 / point.tokens_per_second_per_user if objective == "latency" else point.usd_per_million_tokens
            if best is not None and score >= best[0]:
                break
            served = serve(
                model,
                Request(request.prompt, request.output, point.batch, request.precision),
                cluster,
                engine_level=engine_level,
                tp=point.tp,
                pp=point.pp,
                dp=point.dp,
                ep=point.ep,
                precision=form,
            )
            if constraint.kept_by(served, point.gpus * float(cluster.gpu.price.per_hour)):
                best = (score, cluster, served)
                break
    if best is None:
        raise InputError(
            f"no cluster of {', '.join(str(getattr(c, 'name', c)) for c in clusters)} serves {model.name} "
            "inside the constraint; relax a bound or allow more GPUs"
        )
    return best[1], best[2]
