"""What a token's time goes to on a placement, and the constraint that keeps it from going faster."""

from dataclasses import dataclass, replace

from wsekern.planning.bound import Bound
from wsekern.planning.layout import Placement

SMALLER = 0.9
"""A region whose sides shrink to this share, and no longer fits, is as small as its memory lets it be."""


@dataclass(frozen=True)
class Binding:
    """Seconds of one token by cause; ``name`` is the constraint that binds."""

    seconds: dict[str, float]
    name: str

    def sentence(self) -> str:
        """For people."""
        whole = sum(self.seconds.values())
        largest = max(self.seconds, key=self.seconds.__getitem__)
        verb = "takes" if largest == "software" else "take"
        cause = f"{largest} {verb} {100 * self.seconds[largest] / whole:.0f} % of a token"
        return cause if self.name == largest else f"{cause}, and the memory of a PE has no room for smaller regions"


def binding(placement: Placement, bound: Bound) -> Binding:
    """By the breakdown of ``placement`` for a lone user: the largest of products (with all other work of the cores), hops,
    streams (words that follow each other), software of the stages, and crossings between wafers. Where those are hops, and
    regions are larger than those of ``bound`` and cannot be smaller, it is the ``memory`` of a PE."""
    clock = float(placement.machine.clock)
    cycles = placement.decode().breakdown
    seconds = {"products": cycles.get("compute", 0.0) / clock, "hops": cycles.get("fabric", 0.0) / clock,
               "streams": cycles.get("stream", 0.0) / clock,
               "software": (cycles.get("stages", 0.0) + cycles.get("overhead", 0.0)) / clock,
               "crossings": placement.crossing_seconds(1)}
    name = max(seconds, key=seconds.__getitem__)
    if name == "hops" and _full(placement, bound):
        name = "memory"
    return Binding(seconds, name)


def _full(placement: Placement, bound: Bound) -> bool:
    """Whether regions are larger than the best ones, and not one layer less would let them be smaller."""
    best = max(part.pes for part in bound.parts[:-1])
    mapping = placement.mapping
    least = 2 if mapping.feed_width else 1
    smaller = replace(mapping, width=max(least, int(SMALLER * mapping.width)), height=max(1, int(SMALLER * mapping.height)),
                      feed_width=mapping.feed_width and max(1, int(SMALLER * mapping.feed_width)))
    return placement.width * placement.height > best and not smaller.fits(placement.machine)
