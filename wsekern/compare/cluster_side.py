"""The GPU cluster in the words of the comparison."""

from dataclasses import asdict

from wsekern.cluster import Cluster, Served, best_deployment, serve, serve_on
from wsekern.compare.side import Side
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import Request

# The wafer's mixed precision stores fp16, which is what a GPU's tensor cores do under that name anyway.
_GPU_PRECISION = {"fp16_fp32": "fp16"}

_SHARE_OF = {"weights": "memory", "kv": "memory", "compute": "compute", "fixed": "overhead", "engine": "overhead"}
"""Parts of a GPU's step; whatever is not named is communication between GPUs."""


def gpu_precision(request: Request) -> str:
    """What the request's precision is called on a GPU."""
    return _GPU_PRECISION.get(request.precision, request.precision)


def cluster_side(config: ModelConfig, request: Request, cluster: Cluster, engine_level: str, **layout: int) -> Side:
    """How the GPU ``cluster`` serves ``request`` with software of ``engine_level`` (stock, tuned, ideal).

    ``layout`` may fix ``tp``, ``pp``, ``dp`` and ``ep``. Otherwise it is the layout, with as many copies of it as
    the cluster holds, that has the lowest time per output token for these users.
    """
    copies, precision = 1, gpu_precision(request)
    wanted, given = Request(request.prompt, request.output, request.batch, precision), bool(layout)
    if given:
        served = serve(config, wanted, cluster, engine_level=engine_level, **layout)
    else:
        deployment, copies = best_deployment(config, wanted, cluster, engine_level=engine_level)
        served = serve_on(deployment, Request(request.prompt, request.output, -(-request.batch // copies), precision))
    total = request.batch / served.time_per_output_token_seconds  # users do not always divide evenly
    uneven = copies * served.tokens_per_second / total
    shares = dict.fromkeys(("compute", "memory", "communication", "overhead"), 0.0)
    for part, seconds in served.breakdown.items():
        shares[_SHARE_OF.get(part, "communication")] += seconds
    whole = sum(shares.values())
    return Side(
        name=f"{cluster.name} ({engine_level})",
        time_to_first_token_seconds=served.time_to_first_token_seconds,
        time_per_output_token_seconds=served.time_per_output_token_seconds,
        tokens_per_second_per_user=served.tokens_per_second_per_user, tokens_per_second=total,
        watts=copies * served.watts, joules_per_token=uneven * served.joules_per_token,
        usd_per_million_tokens=uneven * served.usd_per_million_tokens,
        memory_used_bytes=copies * served.memory_used_bytes * served.layout.gpus,
        memory_available_bytes=copies * served.memory_available_bytes * served.layout.gpus,
        shares={name: seconds / whole for name, seconds in shares.items()},
        facts={"gpus": copies * served.layout.gpus, "copies": copies,
               **asdict(served.layout),
               "engine_level": served.engine_level, "confidence": served.confidence, "nearest": served.nearest,
               "prefill_seconds": served.prefill_seconds, "queueing_seconds": served.queueing_seconds,
               "breakdown_seconds": served.breakdown},
        assumptions=[*([] if given else [_laid_out(served, copies, request.batch)]), *served.assumptions])


def _laid_out(served: Served, copies: int, users: int) -> str:
    """The layout in words."""
    names = ("tp", "pp", "dp", "ep")
    degrees = ", ".join(f"{name} {getattr(served.layout, name)}" for name in names if getattr(served.layout, name) > 1)
    where = f"{copies} x {served.layout.gpus} GPUs ({degrees or 'tp 1'})"
    return f"{users} users at once on {where}, the layout with the lowest time per output token"
