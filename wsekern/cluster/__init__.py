"""GPU clusters: described, calibrated on kernels, predicted as whole systems."""

from wsekern.cluster.choose import Constraint, best_cluster, deployment, pareto, sweep
from wsekern.cluster.engine import engine_levels
from wsekern.cluster.hardware import Cluster, Gpu, bundled_clusters, bundled_gpus, load_cluster, load_gpu
from wsekern.cluster.layout import Layout
from wsekern.cluster.precision import PRECISIONS, Precision
from wsekern.cluster.serving import Prediction, Served, predict, serve
from wsekern.cluster.systems import Disaggregated, Speculative, chunked_prefill, disaggregate, speculate

__all__ = [
    "PRECISIONS",
    "Cluster",
    "Constraint",
    "Disaggregated",
    "Gpu",
    "Layout",
    "Precision",
    "Prediction",
    "Served",
    "Speculative",
    "best_cluster",
    "bundled_clusters",
    "bundled_gpus",
    "chunked_prefill",
    "deployment",
    "disaggregate",
    "engine_levels",
    "load_cluster",
    "load_gpu",
    "pareto",
    "predict",
    "serve",
    "speculate",
    "sweep",
]
