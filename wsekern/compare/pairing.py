"""What a comparison sets beside each other: a model on wafers of one kind, and on one GPU cluster."""

from dataclasses import dataclass

from wsekern.cluster import Cluster, deploy
from wsekern.cluster.checkpoint import served_precision
from wsekern.compare.cluster_side import cluster_side, engine_of
from wsekern.compare.serving import PLAIN, Serving
from wsekern.compare.side import Side
from wsekern.compare.wafer_side import wafer_side
from wsekern.machine import Machine
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import Request

IDEAL = "ideal"
"""Level of serving software that adds nothing to the kernels."""


@dataclass(frozen=True)
class Pairing:
    """One model on both systems. ``wafers`` is how many; None takes the fewest that hold the request."""

    config: ModelConfig
    machine: Machine
    cluster: Cluster
    wafers: int | None = None
    profile: str = "silicon"
    engine_level: str = "stock"
    serving: Serving = PLAIN

    def check(self) -> None:
        """Refuse with :class:`InputError` what no request could change: an unknown name, a layout that fits neither the model
        nor the cluster."""
        self.machine.profile(self.profile)
        engine, serving = engine_of(self.engine_level, self.serving), self.serving
        precision = served_precision(self.config, self.engine_level, serving.gpu_precision, serving.kv_precision)
        if serving.degrees:
            deploy(self.config, self.cluster, context=1, precision=precision, engine_level=engine, **serving.degrees)

    def wafer(self, request: Request) -> Side:
        """How the wafers serve ``request``; :class:`InputError` if they cannot."""
        return wafer_side(self.config, request, self.machine, self.wafers, self.profile, self.serving)

    def gpus(self, request: Request) -> Side:
        """How the cluster serves ``request``; :class:`InputError` if it cannot."""
        return cluster_side(self.config, request, self.cluster, self.engine_level, self.serving)

    def ideal_gpus(self, request: Request) -> Side:
        """The same cluster with ideal software: the bound of :meth:`gpus`."""
        return cluster_side(self.config, request, self.cluster, IDEAL, self.serving)
