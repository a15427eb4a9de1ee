"""GPU clusters: described, calibrated on kernels, predicted as whole systems.

>>> from wsekern.cluster import deploy, disaggregate, serve, speculate
>>> from wsekern.workload import Request, load_config
>>> model, request = load_config("llama3-8b"), Request(prompt=1024, output=256, batch=8, precision="bf16")
>>> deploy(model, "h100x4", context=request.context, batch=request.batch).layout
Layout(tp=4, pp=1, dp=1, ep=1)
>>> together = serve(model, request, "h100x4")
>>> apart = disaggregate(model, request, "h100x2", "h100x4")  # prompts on engines of their own
>>> apart.time_per_output_token_seconds < together.time_per_output_token_seconds
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
from wsekern.cluster.systems import Disaggregated, Speculative, chunked_prefill, disaggregate, speculate

__all__ = [
    "PRECISIONS",
    "Cluster",
    "Constraint",
    "Deployment",
    "Disaggregated",
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
    "chunked_prefill",
    "deploy",
    "disaggregate",
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
