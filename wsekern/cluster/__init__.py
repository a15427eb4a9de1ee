"""GPU clusters: described, calibrated on kernels, predicted as whole systems."""

from wsekern.cluster.gpu import Cluster, Gpu, bundled_clusters, bundled_gpus, load_cluster, load_gpu
from wsekern.cluster.layout import Layout
from wsekern.cluster.precision import PRECISIONS, Precision
from wsekern.cluster.prediction import Prediction, Served, predict, serve

__all__ = [
    "PRECISIONS",
    "Cluster",
    "Gpu",
    "Layout",
    "Precision",
    "Prediction",
    "Served",
    "bundled_clusters",
    "bundled_gpus",
    "load_cluster",
    "load_gpu",
    "predict",
    "serve",
]
