"""How sure a prediction is: the nearest measured points and the model's error there, a word, and every assumption.

``python -m wsekern.calibration.points`` writes ``data/points.json`` anew from the measurements that the package ships.
"""

import json
from functools import lru_cache
from importlib.resources import files
from math import log2
from typing import Any

import msgspec
import numpy as np

from wsekern.cluster.constants import constants
from wsekern.cluster.hardware import Gpu
from wsekern.cluster.layout import Deployment
from wsekern.cluster.part_assumptions import part_assumptions
from wsekern.cluster.precision import Precision
from wsekern.description import Quantity
from wsekern.garbage import lasting
from wsekern.workload.config import ModelConfig


@lasting
@lru_cache(maxsize=4)
def measured_points(phase: str) -> tuple[list[dict[str, Any]], np.ndarray]:
    """(points of ``phase`` with this model's error, their coordinates as rows of four logarithms)."""
    resource = files("wsekern.cluster") / "data" / "points.json"
    points = [point for point in json.loads(resource.read_text()) if point["phase"] == phase]
    return points, np.array([point["coordinates"] for point in points], float).reshape(-1, 4)


@lasting
@lru_cache(maxsize=1)
def measured_precisions() -> frozenset[tuple[str, str]]:
    """(GPU, precision) of every measured point; fp16 counts as bf16."""
    points = [point for phase in ("decode", "prefill") for point in measured_points(phase)[0]]
    return frozenset((point["gpu"], measured_format(point["precision"])) for point in points)


def measured_format(precision: str) -> str:
    """Under what a precision counts: fp16 as bf16."""
    return "bf16" if precision == "fp16" else precision


def coordinates(
    model: ModelConfig, precision: Precision, gpus: int, batch: float, context: float
) -> tuple[float, float, float, float]:
    """Logarithms of active weight bytes, batch, context and GPUs: what distances are measured in."""
    return log2(model.active_parameters * precision.weight), log2(batch), log2(context), log2(gpus)


@lasting
@lru_cache(maxsize=256)
def _penalties(phase: str, gpu: str, family: str, routed: bool, engine: str, costs: tuple[float, ...]) -> np.ndarray:
    """What each point's GPU, kind of model and engine add to its distance."""
    points, _ = measured_points(phase)
    another_gpu, another_family, another_kind, another_engine = costs
    return np.array(
        [
            (0.0 if point["gpu"] == gpu else another_gpu if point["family"] == family else another_family)
            + another_kind * (point["moe"] != routed)
            + another_engine * (point["engine"] != engine)
            for point in points
        ]
    )


def nearest_points(
    deployment: Deployment, batch: float, context: float, phase: str, count: int = 3
) -> list[dict[str, Any]]:
    """The ``count`` measured rows most like this prediction, each with the model's signed error there."""
    points, places = measured_points(phase)
    if not points:
        return []
    model, gpu, known = deployment.model, deployment.gpu, constants()
    here = np.array(coordinates(model, deployment.precision, deployment.layout.gpus, batch, context))
    costs = (known.another_gpu.value, known.another_family.value, known.another_kind.value, known.another_engine.value)
    distance = np.abs(places - here).sum(axis=1)
    distance += _penalties(phase, gpu.name, gpu.family, model.mixture is not None, deployment.engine.title, costs)
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


def assumptions(deployment: Deployment) -> list[str]:
    """Every choice a reader should know, in sentences."""
    gpu, layout, precision, engine = deployment.gpu, deployment.layout, deployment.precision, deployment.engine
    ranks, measured = min(deployment.cluster.domain, layout.tp * layout.dp), int(constants().measured_ranks)
    shared = "; GPUs that share the experts of a layer wait for the busiest" if layout.ep > 1 else ""
    exponent = constants().popularity_exponent.value
    popular = f"the i-th most popular expert is chosen in proportion to i^-{exponent:g}{shared}"
    lacks = (f"{gpu.title} has no {precision.lacking} arithmetic: weights of {precision.weight:g} B are unpacked to "
             f"{precision.arithmetic}, activations are in 16 bit")
    kept = f"{precision.name} narrows experts only, of which {deployment.model.name} has none: all its weights are in 16 bit"
    beyond = f"collectives over {ranks} GPUs of one NVLink domain are extrapolated: at most {measured} were measured"
    return [
        *_assumed(gpu),
        *([beyond] if ranks > measured else []),
        *([popular] if deployment.model.mixture else []),
        *([lacks] if precision.lacking else []),
        *([kept] if precision.other_weight == 2.0 and not deployment.model.mixture else []),
        *part_assumptions(deployment.model),
        f"engine: {engine.title}: {engine.generation}",
        precision.in_words,
        f"power {gpu.power.waiting:.2f} (waiting), {gpu.power.latency:.2f} (latencies of kernels and all-reduces), "
        f"{float(gpu.power.low_fraction):.2f} (streaming) to "
        f"{float(gpu.power.high_fraction):.2f} (tensor cores busy) of "
        f"{float(gpu.power.tdp):.0f} W by load and {float(gpu.power.host):.0f} W of host a GPU: "
        f"{gpu.power.low_fraction.source}",
        f"{float(gpu.price.per_hour):.2f} USD an hour a GPU: {gpu.price.per_hour.source}",
    ]


ASSUMED = ("peak", "memory", "array", "devices", "between")
"""Parts of a description whose assumed numbers a prediction names, beside the power and the wires."""


@lasting
@lru_cache(maxsize=64)
def _assumed(gpu: Gpu) -> tuple[str, ...]:
    """A sentence with the numbers that the file of ``gpu`` assumes, if any."""
    found = [(f"{part}.{name}" if name else part, quantity) for part in ASSUMED for name, quantity in _quantities(gpu, part)]
    found += [("power.tdp", gpu.power.tdp), ("link.bandwidth", gpu.link.bandwidth)]
    words = [f"{name} {float(quantity):g} {quantity.unit}" for name, quantity in found if quantity.source.startswith("assumed")]
    return (f"not published of {gpu.title} and assumed: {', '.join(words)}",) if words else ()


def _quantities(gpu: Gpu, part: str) -> list[tuple[str, Quantity]]:
    """(name, quantity) of the numbers of a part of a description."""
    value = getattr(gpu, part)
    if isinstance(value, Quantity):
        return [("", value)]
    items = msgspec.structs.asdict(value).items() if value is not None else ()
    return [(name, item) for name, item in items if isinstance(item, Quantity)]
