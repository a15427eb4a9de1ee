"""What a comparison sets beside each other: a model on wafers of one kind, and on one GPU cluster."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from wsekern.cluster import Cluster, deploy, load_cluster
from wsekern.cluster.checkpoint import served_precision
from wsekern.cluster.scoped import kept_while_shipped
from wsekern.cluster.systems import network_rate
from wsekern.compare.apart import apart, readers_of
from wsekern.compare.beside import attempt, refuse_all
from wsekern.compare.cluster_side import Deployed, deployed, engine_of
from wsekern.compare.serving import PLAIN, Serving
from wsekern.compare.side import Side
from wsekern.compare.wafer_side import placed, wafer_side
from wsekern.machine import Machine
from wsekern.machine.machine import in_seconds
from wsekern.planning.placement import Placement
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import PRECISIONS, Request

IDEAL = "ideal"
"""Level of serving software that adds nothing to the kernels."""


@dataclass(frozen=True)
class Pairing:
    """One model on both systems. ``wafers`` is how many; None takes as many as give it the fewest wafer-seconds."""

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
        check_all([self])

    def check_names(self) -> None:
        """Refuse an unknown name, whatever the cluster."""
        self.machine.profile(self.profile)
        engine_of(self.engine_level, self.serving)
        if self.serving.speculation is not None:
            self.serving.speculation.draft.check(self.config)
        if self.serving.prefill_cluster is not None:
            load_cluster(self.serving.prefill_cluster)

    def check_cluster(self) -> None:
        """Refuse formats and a layout that fit neither the model nor the cluster."""
        engine, serving = engine_of(self.engine_level, self.serving), self.serving
        precision = served_precision(self.config, self.engine_level, serving.gpu_precision, serving.kv_precision)
        if serving.degrees:
            deploy(self.config, self.cluster, context=1, precision=precision, engine_level=engine, **serving.degrees)

    def load(self, request: Request) -> Request:
        """``request`` with the share of its prompt that is in the cache already."""
        return replace(request, shared=self.serving.shared_tokens(request.prompt))

    def wafer(self, request: Request) -> Side:
        """How the wafers serve ``request``; :class:`InputError` if they cannot."""
        request, serving = self.load(request), self.serving
        placement = self._placed(request)
        if serving.prefill_cluster is None:
            return wafer_side(placement, self.machine.system)
        rate = placement.wafers * float(self.machine.system.io_bandwidth)
        moved = self.config.kv_elements_per_token * PRECISIONS[request.precision] * request.unread
        prefill = load_cluster(serving.prefill_cluster)
        readers = readers_of(self.config, request, prefill, self.engine_level, serving, rate, moved)
        system = self.machine.system
        return apart(lambda away: wafer_side(replace(placement, think_seconds=away), system), readers, serving.think_seconds)

    def _placed(self, request: Request) -> Placement:
        """Where the model lies, on wafers without prices and power of their own: one that was asked for before is known."""
        request = self.load(request)
        cached = None if self.serving.prefill_cluster is None else request.prompt - 1
        return placed(self.config, request, in_seconds(self.machine), self.wafers, self.profile, self.serving, cached)

    def placement(self, request: Request) -> Placement:
        """Where the model lies that serves ``request`` on the wafers. Where other GPUs read the prompts, all but their last
        tokens are taken for cached. :class:`InputError` if the wafers cannot hold it."""
        found = self._placed(request)
        system = found.machine.system if self.serving.wafers.plan is not None else self.machine.system
        return replace(found, machine=msgspec.structs.replace(found.machine, system=system))

    def deployed(self, request: Request) -> Deployed:
        """How the cluster serves ``request``, prompts read elsewhere as in :meth:`placement`; :class:`InputError` if it
        cannot."""
        request = self.load(request)
        cached = None if self.serving.prefill_cluster is None else request.prompt - 1
        return deployed(self.config, request, self.cluster, self.engine_level, self.serving, cached)

    def gpus(self, request: Request) -> Side:
        """How the cluster serves ``request``; :class:`InputError` if it cannot."""
        return self._served(request, self.engine_level)

    def ideal_gpus(self, request: Request) -> Side:
        """The same cluster with ideal software: the bound of :meth:`gpus`."""
        return self._served(request, IDEAL)

    def _served(self, request: Request, engine_level: str) -> Side:
        """A copy of the cluster's side, which no wafer changes: beside other wafers it is known."""
        side = _gpu_side(self.config, self.load(request), self.cluster, engine_level, self.serving)
        return replace(side, facts=dict(side.facts), shares=dict(side.shares), assumptions=list(side.assumptions))


@kept_while_shipped(maxsize=256)
def _gpu_side(config: ModelConfig, request: Request, cluster: Cluster, engine_level: str, serving: Serving) -> Side:
    """How ``cluster`` serves ``request`` with software of ``engine_level``."""
    cached = None if serving.prefill_cluster is None else request.prompt - 1
    writers = deployed(config, request, cluster, engine_level, serving, cached)
    if serving.prefill_cluster is None:
        return writers.side(serving.think_seconds)
    rate = writers.copies * network_rate(writers.deployment)
    readers = readers_of(config, request, load_cluster(serving.prefill_cluster), engine_level, serving, rate)
    return apart(writers.side, readers, serving.think_seconds)


def check_all(pairings: Sequence[Pairing]) -> None:
    """Refuse what no request could change for any of ``pairings``, which differ in their clusters alone."""
    pairings[0].check_names()
    refuse_all([attempt(pairing.check_cluster) for pairing in pairings])
