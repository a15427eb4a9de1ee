"""The nearest measured points of a prediction, and how wrong the model is there."""

from functools import lru_cache
from importlib.resources import files
from math import log2
from typing import Any

from wsekern.cluster.engine import Engine
from wsekern.cluster.gpu import Cluster
from wsekern.cluster.layout import Layout
from wsekern.cluster.precision import Precision
from wsekern.workload.config import ModelConfig


@lru_cache(maxsize=1)
def measured_points() -> tuple[dict[str, Any], ...]:
    """Measured rows the package ships with this model's error (``data/points.json``)."""
    import json

    resource = files("wsekern.cluster") / "data" / "points.json"
    return tuple(json.loads(resource.read_text())) if resource.is_file() else ()


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
    weight = log2(model.active_parameters * precision.weight)
    place = (weight, log2(batch), log2(context), log2(layout.gpus))
    name, family, routed = cluster.gpu.name, cluster.gpu.family, bool(model.experts)
    scored = []
    for point in measured_points():
        if point["phase"] != phase:
            continue
        distance = sum(abs(a - b) for a, b in zip(point["place"], place, strict=True))
        distance += 0.0 if point["gpu"] == name else 1.0 if point["family"] == family else 3.0
        distance += 2.0 * (point["moe"] != routed) + 1.0 * (point["engine"] != engine.title)
        scored.append((distance, point))
    scored.sort(key=lambda pair: (pair[0], pair[1]["id"]))
    return [
        {
            "id": point["id"],
            "what": point["what"],
            "source": point["source"],
            "error": point["error"],
            "distance": round(distance, 2),
        }
        for distance, point in scored[:count]
    ]
