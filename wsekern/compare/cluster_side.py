"""The GPU cluster in the words of the comparison."""

from dataclasses import asdict, replace

import msgspec

from wsekern.cluster import Cluster, Deployment, Layout, Served, best_deployment, deploy, serve_on
from wsekern.cluster.checkpoint import served_precision
from wsekern.cluster.engine import Engine, load_engine
from wsekern.compare.serving import Serving
from wsekern.compare.side import Side
from wsekern.workload.config import ModelConfig
from wsekern.workload.measure import Measure
from wsekern.workload.request import Request

_SHARE_OF = {"weights": "memory", "kv": "memory", "compute": "compute", "fixed": "overhead", "engine": "overhead"}
"""Parts of a GPU's step; whatever is not named is communication between GPUs."""


def cluster_side(config: ModelConfig, request: Request, cluster: Cluster, engine_level: str, serving: Serving) -> Side:
    """How the GPU ``cluster`` serves ``request`` with software of ``engine_level`` (stock, tuned, ideal).

    In the layout of ``serving``, or that with the lowest time per output token for these users; as many copies of it as the
    cluster holds share the users, the fullest of them being shown.
    """
    deployment, copies = _deployed(config, request, cluster, engine_level, serving)
    served = serve_on(deployment, replace(request, batch=-(-request.batch // copies)), think_seconds=serving.think_seconds)
    gpus = copies * served.layout.gpus
    measure = Measure(users=request.batch, prompt=request.prompt, output=request.output,
                      time_to_first_token_seconds=served.time_to_first_token_seconds,
                      time_per_output_token_seconds=served.time_per_output_token_seconds, think_seconds=serving.think_seconds)
    return Side(
        name=f"{cluster.name} ({engine_level})", measure=measure,
        lone_time_to_first_token_seconds=served.lone_time_to_first_token_seconds,
        lone_time_per_output_token_seconds=served.lone_time_per_output_token_seconds,
        watts=copies * served.watts, rated_watts=cluster.power_max, usd_per_hour=gpus * float(cluster.gpu.price.per_hour),
        memory_used_bytes=gpus * served.memory_used_bytes, memory_available_bytes=gpus * served.memory_available_bytes,
        shares=_shares(served),
        facts={"gpus": gpus, "copies": copies, **asdict(served.layout), "gpu_precision": deployment.precision.name,
               "cache_bytes_per_element": deployment.precision.cache,
               "engine_level": served.engine_level, "confidence": served.confidence, "nearest": served.nearest,
               "prefill_seconds": served.prefill_seconds, "queueing_seconds": served.queueing_seconds,
               "decoding_users": copies * served.decoding_users,
               "breakdown_seconds": served.breakdown},
        assumptions=[_laid_out(deployment, copies, request.batch, bool(serving.degrees)), _stored(deployment, serving),
                     *served.assumptions])


def engine_of(engine_level: str, serving: Serving) -> Engine:
    """The serving software, which reads prompts whole where ``serving`` asks for that."""
    engine = load_engine(engine_level)
    return engine if serving.chunked_prefill else msgspec.structs.replace(engine, chunked=False)


def _deployed(config: ModelConfig, request: Request, cluster: Cluster, engine_level: str,
              serving: Serving) -> tuple[Deployment, int]:
    """What serves, and how many copies of it."""
    precision = served_precision(config, engine_level, serving.gpu_precision, serving.kv_precision)
    engine = engine_of(engine_level, serving)
    if not serving.degrees:
        return best_deployment(config, request, cluster, engine_level=engine, precision=precision)
    deployment = deploy(config, cluster, context=request.context, batch=request.batch, engine_level=engine, precision=precision,
                        **serving.degrees)
    if serving.dp is not None:
        return deployment, 1
    return deployment, max(1, min(cluster.count // deployment.layout.gpus, request.batch))


def _shares(served: Served) -> dict[str, float]:
    """Parts of the time per output token."""
    shares = dict.fromkeys(("compute", "memory", "communication", "overhead"), 0.0)
    for part, seconds in served.breakdown.items():
        shares[_SHARE_OF.get(part, "communication")] += seconds
    whole = sum(shares.values())
    return {name: seconds / whole for name, seconds in shares.items()}


def _laid_out(deployment: Deployment, copies: int, users: int, given: bool) -> str:
    """The layout in words."""
    where = f"{users} users at once on {copies} x {deployment.layout.gpus} GPUs ({degrees(deployment.layout)})"
    return f"{where}, {'as asked' if given else 'the layout with the lowest time per output token'}"


def degrees(layout: Layout) -> str:
    """Degrees of parallelism above 1, in words."""
    return ", ".join(f"{name} {degree}" for name, degree in asdict(layout).items() if degree > 1) or "tp 1"


def _stored(deployment: Deployment, serving: Serving) -> str:
    """Where the precision of the GPUs comes from."""
    whence = "as the checkpoint is stored" if serving.gpu_precision is None else "as asked"
    return f"weights in {deployment.precision.name} on the GPUs, {whence}"
