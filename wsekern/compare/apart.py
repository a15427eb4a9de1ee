"""Prompts read by GPUs of their own, answers written by wafers or by other GPUs: the cache of a prompt is sent between them.

A user goes round: the prompt waits for and is read by the prefill cluster, its cache is sent, the answer grows on the other
system, the user thinks. Each system is a closed queue whose users are away while the other has them; the two steady states are
found together.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from wsekern.cluster import Cluster, Served
from wsekern.cluster.systems import transfer_seconds
from wsekern.compare.cluster_side import Deployed, chips_in_words, degrees_in_words, deployed
from wsekern.compare.serving import Serving
from wsekern.compare.side import Side
from wsekern.workload.config import ModelConfig
from wsekern.workload.measure import Measure
from wsekern.workload.request import Request

ROUNDS = 100
"""Most steps of the search for the common steady state."""
CLOSE = 1e-9
"""Relative change at which it is found."""


@dataclass(frozen=True)
class Readers:
    """GPUs that read the prompts of ``request`` and send their caches to what takes ``rate`` bytes per second; ``moved`` bytes
    each, where the cache has another format there."""

    gpus: Deployed
    request: Request
    rate: float
    moved: float | None = None

    @property
    def sending_seconds(self) -> float:
        """Of the cache of one prompt, of what is shared nothing; not overlapped with reading."""
        return transfer_seconds(self.gpus.deployment, self.request.unread, self.rate, self.moved)

    def read(self, away: float) -> Served:
        """One copy, whose users come back ``away`` seconds after a prompt is read."""
        return self.gpus.served(away)

    def facts(self, served: Served) -> dict[str, object]:
        """For JSON."""
        return {"prefill_cluster": self.gpus.deployment.cluster.name, "prefill_gpus": self.gpus.gpus,
                "prefill_copies": self.gpus.copies, "prefill_read_seconds": served.time_to_first_token_seconds,
                "prefill_watts": self.gpus.copies * served.watts, "transfer_seconds": self.sending_seconds}

    def assumptions(self, served: Served) -> list[str]:
        """What the way between the systems takes for granted, a sentence each, and what was not measured of the reading one."""
        layout = degrees_in_words(self.gpus.deployment.layout)
        return [
            f"prompts are read on {self.gpus.deployment.cluster.name}, {self.gpus.copies} x "
            f"{chips_in_words(self.gpus.deployment)} ({layout}), whose power and price are counted",
            f"the cache of a prompt is sent in {1e3 * self.sending_seconds:.3g} ms when all of it is read; its last token is "
            "read again where the answer is written, which gives the first token",
            *(f"of {self.gpus.deployment.cluster.name} was not measured: {what}" for what in served.not_measured),
        ]


def readers_of(config: ModelConfig, request: Request, cluster: Cluster, engine_level: str, serving: Serving, rate: float,
               moved: float | None = None) -> Readers:
    """The layout of ``cluster`` that reads the prompts of ``request`` soonest."""
    only = replace(serving, tp=None, pp=None, dp=None, ep=None, speculation=None)
    prompts = replace(request, output=1)
    return Readers(deployed(config, prompts, cluster, engine_level, only), request, rate, moved)


def apart(write: Callable[[float], Side], readers: Readers, think_seconds: float) -> Side:
    """The side on which answers are written, as ``write`` gives it for users who are away for some seconds, with the prompts
    read by ``readers``."""
    sending = readers.sending_seconds
    reading = readers.read(0.0).lone_time_to_first_token_seconds
    for _ in range(ROUNDS):
        side = write(think_seconds + reading + sending)
        served = readers.read(think_seconds + sending + side.request_seconds)
        change = served.time_to_first_token_seconds - reading
        reading += 0.7 * change
        if abs(change) < CLOSE * reading:
            break
    joined = _joined(side, readers, served, reading, think_seconds)
    if side.bounds is None and not served.not_measured:
        return joined
    ends = zip(side.bounds or (side, side), served.time_factors, strict=True)
    shortest, longest = (_joined(end, readers, served, reading, think_seconds, factor) for end, factor in ends)
    return replace(joined, bounds=(shortest, longest))


def _joined(side: Side, readers: Readers, served: Served, reading: float, think_seconds: float, factor: float = 1.0) -> Side:
    """Answers of ``side`` behind prompts that wait for and are read by ``served`` in ``reading`` seconds; ``factor`` times that
    where it was not measured."""
    request, sending = readers.request, readers.sending_seconds
    measure = Measure(
        users=request.batch, prompt=request.prompt, output=request.output,
        time_to_first_token_seconds=factor * reading + sending + side.time_to_first_token_seconds,
        time_per_output_token_seconds=side.time_per_output_token_seconds, think_seconds=think_seconds)
    lone = factor * served.lone_time_to_first_token_seconds + sending + side.lone_time_to_first_token_seconds
    return replace(
        side, name=f"{side.name} + {readers.gpus.deployment.cluster.name} for prompts", measure=measure,
        lone_time_to_first_token_seconds=lone, watts=side.watts + readers.gpus.copies * served.watts,
        rated_watts=side.rated_watts + readers.gpus.deployment.cluster.power_max,
        usd_per_hour=side.usd_per_hour + readers.gpus.usd_per_hour, facts={**side.facts, **readers.facts(served)},
        assumptions=[*readers.assumptions(served), *side.assumptions], bounds=None)
