"""The nearest measured points of a prediction, and how wrong the model is there.

``python -m wsekern.calibration.points`` writes ``data/points.json`` anew from the measurements that the package ships.
"""

import json
from functools import lru_cache
from importlib.resources import files
from math import log2
from typing import Any

import numpy as np

from wsekern.cluster.engine import Engine
from wsekern.cluster.hardware import Cluster
from wsekern.cluster.layout import Layout
from wsekern.cluster.precision import Precision
from wsekern.workload.config import ModelConfig


@lru_cache(maxsize=4)
def measured_points(phase: str) -> tuple[list[dict[str, Any]], np.ndarray]:
    """(points of ``phase`` with this model's error, their places as rows of four logarithms)."""
    resource = files("wsekern.cluster") / "data" / "points.json"
    points = [point for point in json.loads(resource.read_text()) if point["phase"] == phase]
    return points, np.array([point["place"] for point in points], float).reshape(-1, 4)


def place_of(
    model: ModelConfig, precision: Precision, gpus: int, batch: float, context: float
) -> tuple[float, float, float, float]:
    """Logarithms of active weight bytes, batch, context and GPUs: what distances are measured in."""
    return log2(model.active_parameters * precision.weight), log2(batch), log2(context), log2(gpus)


@lru_cache(maxsize=256)
def _penalties(phase: str, gpu: str, family: str, routed: bool, engine: str) -> np.ndarray:
    points, _ = measured_points(phase)
    return np.array(
        [
            (0.0 if point["gpu"] == gpu else 1.0 if point["family"] == family else 3.0)
            + 6.0 * (point["moe"] != routed)
            + 1.0 * (point["engine"] != engine)
            for point in points
        ]
    )


def nearest_points(
    model: ModelConfig,
    cluster: Cluster,
    layout: Layout,
    precision: Precision,
    engine: Engine,
    batch: float,
    context: float,
    phase: str,
    count: int = 3,
) -> list[dict[str, Any]]:
    """The ``count`` measured rows most like this prediction, each with the model's signed error there."""
    points, places = measured_points(phase)
    if not points:
        return []
    here = np.array(place_of(model, precision, layout.gpus, batch, context))
    gpu = cluster.gpu
    distance = np.abs(places - here).sum(axis=1)
    distance += _penalties(phase, gpu.name, gpu.family, bool(model.experts), engine.title)
    order = np.argsort(distance, kind="stable")[:count]
    return [
        {
            "what": points[i]["what"],
            "source": points[i]["source"],
            "id": points[i]["id"],
            "error": points[i]["error"],
            "distance": round(float(distance[i]), 2),
        }
        for i in order
    ]
