"""What a comparison sets beside each other: a model on wafers of one kind, and on one GPU cluster."""

from dataclasses import dataclass

from wsekern.cluster import Cluster
from wsekern.compare.cluster_side import cluster_side
from wsekern.compare.side import Side
from wsekern.compare.wafer_side import wafer_side
from wsekern.inference.placement import place_model
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

    def wafer(self, request: Request) -> Side:
        """How the wafers serve ``request``; :class:`InputError` if they cannot."""
        return wafer_side(place_model(self.config, request, self.machine, self.wafers, self.profile))

    def gpus(self, request: Request, **layout: int) -> Side:
        """How the cluster serves ``request``; :class:`InputError` if it cannot. ``layout`` may fix tp, pp, dp and ep."""
        return cluster_side(self.config, request, self.cluster, self.engine_level, **layout)

    def ideal_gpus(self, request: Request, **layout: int) -> Side:
        """The same cluster with ideal software: the bound of :meth:`gpus`."""
        return cluster_side(self.config, request, self.cluster, IDEAL, **layout)
