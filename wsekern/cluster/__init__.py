"""GPU clusters: described, calibrated on kernels, predicted as whole systems.

>>> from wsekern.cluster import deploy, serve, speculate
>>> from wsekern.workload import Request, load_config
>>> model, request = load_config("llama3-8b"), Request(prompt=1024, output=256, batch=8, precision="bf16")
>>> deploy(model, "h100x4", context=request.context, batch=request.batch).layout
Layout(tp=4, pp=1, dp=1, ep=1)
>>> cut, whole = (serve(model, request, "h100x4", engine_level=level) for level in ("stock", "stock-unchunked"))
>>> cut.time_per_output_token_seconds < whole.time_per_output_token_seconds  # prompts ride along
True
>>> speculate(model, "h100x4", drafted=3, acceptance=0.7, context=1024).speedup > 1.5
True
"""

from wsekern.cluster.choose import Constraint, best_cluster, best_deployment, pareto, sweep
from wsekern.cluster.deploy import deploy
from wsekern.cluster.engine import engine_levels
from wsekern.cluster.hardware import Cluster, Gpu, bundled_clusters, bundled_gpus, load_cluster, load_gpu
from wsekern.cluster.layout import Deployment, Layout
from wsekern.cluster.precision import PRECISIONS, Precision
from wsekern.cluster.serving import Prediction, Served, predict, predict_on, serve, serve_on
from wsekern.cluster.steady import SteadyState, steady_state
from wsekern.cluster.systems import Speculative, speculate

__all__ = [
    "PRECISIONS",
    "Cluster",
    "Constraint",
    "Deployment",
    "Gpu",
    "Layout",
    "Precision",
    "Prediction",
    "Served",
    "Speculative",
    "SteadyState",
    "best_cluster",
    "best_deployment",
    "bundled_clusters",
    "bundled_gpus",
    "deploy",
    "engine_levels",
    "load_cluster",
    "load_gpu",
    "pareto",
    "predict",
    "predict_on",
    "serve",
    "serve_on",
    "speculate",
    "steady_state",
    "sweep",
]
