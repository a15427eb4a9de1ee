"""The kinds of system on either side that may serve a load: wafers placed, and GPUs laid out, for more and more users at once."""

from collections.abc import Iterator
from dataclasses import dataclass

from wsekern.compare.load import LoadSystem
from wsekern.compare.serving import Serving
from wsekern.machine import Machine
from wsekern.queueing import Traffic
from wsekern.workload.config import ModelConfig


@dataclass(frozen=True, kw_only=True)
class LoadSides:
    """What a user asks of both sides; ``wafers`` and ``users`` are None where they are to be chosen."""

    config: ModelConfig
    machine: Machine
    wafers: int | None
    cluster: str
    precision: str
    profile: str
    engine_level: str
    serving: Serving
    users: int | None

    def check(self) -> None:
        """Refuse with :class:`InputError` what no request could change."""

    def wafers_for(self, traffic: Traffic) -> Iterator[LoadSystem]:
        """Wafers, in order of price."""
        raise NotImplementedError

    def gpus_for(self, traffic: Traffic) -> Iterator[LoadSystem]:
        """GPUs, in order of price."""
        raise NotImplementedError
