"""What the search looks among, and what it judges placements by."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

from wsekern.errors import InputError
from wsekern.inference.programs import Programs
from wsekern.planning.layout import LEAST_INSIDE
from wsekern.workload.request import Request

CUTS_TRIED = 10
"""Cuts that are timed for each number of layers in a region."""


class Candidate(NamedTuple):
    """Regions of ``width`` x ``height`` PEs with ``layers`` layers each, all running ``programs``, on groups of
    ``expert_wafers`` wafers; ``mixer_width``: columns in their middle to which the mixers keep, 0 for all; ``any_chunk``:
    judged with prompt chunks as long as is best, not with those by which most are."""

    width: int
    height: int
    layers: int
    programs: Programs
    expert_wafers: int = 1
    mixer_width: int = 0
    any_chunk: bool = False

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the columns of mixers and of those of feed-forward parts, or of all."""
        return (self.mixer_width, self.width - self.mixer_width) if self.mixer_width else (self.width,)


def with_programs(candidate: Candidate, **choices: Any) -> Candidate:
    """The candidate with other choices among its programs."""
    return candidate._replace(programs=_chosen(candidate.programs, tuple(choices.items())))


@lru_cache(maxsize=1024)
def _chosen(programs: Programs, choices: tuple[tuple[str, Any], ...]) -> Programs:
    """Made once: their choices are checked then."""
    return replace(programs, **dict(choices))


@dataclass(frozen=True)
class Demand:
    """What a placement is judged by: requests and their shares, for each of which there is room for as many users as it says.

    ``request`` is the one that there must be room for: as long as the longest, with the most users, of whom at least the share
    ``inside`` are on the wafers at once.
    """

    request: Request
    mix: tuple[tuple[Request, float], ...]
    inside: float = LEAST_INSIDE

    @classmethod
    def of(cls, mix: Iterable[tuple[Request, float]], context: int = 0, users: int = 1,
           inside: float = LEAST_INSIDE) -> "Demand":
        """The service of ``mix``, with room for ``context`` tokens of each of ``users`` users, or of the share ``inside``."""
        mix = tuple(mix)
        if not mix or not all(share > 0 for _, share in mix):
            raise InputError("a service needs requests, each with a share above 0")
        if len({request.precision for request, _ in mix}) > 1:
            raise InputError("requests of a service differ in precision: place them apart")
        longest = max((request for request, _ in mix), key=lambda request: request.context)
        context = max(context, longest.context)
        room = replace(longest, prompt=context - longest.output, batch=max(users, *(request.batch for request, _ in mix), 1))
        return cls(room, mix, inside)


def spread(cuts: list[Candidate]) -> list[Candidate]:
    """From flat to tall, some of them; all have as many layers."""
    return sorted(cuts, key=lambda cut: -cut.width)[::-(-len(cuts) // CUTS_TRIED)]
