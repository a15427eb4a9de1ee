"""Candidates whose layers lie in halves: mixers on columns in the middle of a region, where fewer of them are quicker.

In mixtures, mixers are a small part of the weights: on a few columns their sums over x have a short way. Whether that is worth
the way to the experts on both sides and back, the estimate says.
"""

from collections.abc import Callable, Iterable, Iterator

from wsekern.inference.halves import has_halves
from wsekern.planning.candidates import Candidate, with_programs
from wsekern.workload.config import ModelConfig

SHARES = (2, 3, 4, 6, 8, 12, 16, 24)
"""One column in so many has mixers: what is tried."""

STARTS = 2
"""Regions from which widths are varied."""


def may_be_halved(config: ModelConfig) -> bool:
    """Whether halves are tried: of dense layers both halves are about as large, and a half that waits is a loss."""
    return has_halves(config) and all(block.mixture for block, _ in config.kinds)


def halved(quickest: Candidate, cuts: Iterable[Candidate], score: Callable[[Candidate], float],
           with_blocks: Callable[[Candidate], Candidate], descend: Callable[[Candidate], list[Candidate]]) -> list[Candidate]:
    """What is met on the ways from ``quickest``, and from ``cuts`` with as many layers, with mixers on so few columns as is
    quickest, and with as many blocks at first; ``score`` is infinite where there is no room."""
    known = quickest.programs
    alike = [with_programs(cut, expert_blocks=known.expert_blocks, router_copies=known.router_copies,
                           position_blocks=known.position_blocks)
             for cut in cuts if (cut.layers, cut.expert_wafers) == (quickest.layers, 1)]
    starts = sorted((min(_shares(one), key=score) for one in dict.fromkeys((quickest, *alike))), key=score)[:STARTS]
    found: list[Candidate] = []
    for start in starts:
        if score(start) < float("inf"):
            own = [start, *_narrowed(start, score)]
            own += descend(with_blocks(own[-1]))
            own += _narrowed(own[-1], score)
            found += [*own, with_blocks(own[-1])]
    return found


def _shares(candidate: Candidate) -> Iterator[Candidate]:
    return (candidate._replace(mixer_width=max(2, candidate.width // share)) for share in SHARES if candidate.width > 2)


def _narrowed(start: Candidate, score: Callable[[Candidate], float]) -> Iterator[Candidate]:
    """From ``start`` on with more or fewer columns of mixers as long as that is quicker, by ever smaller steps."""
    step = max(1, start.mixer_width // 4)
    while step:
        near = (start._replace(mixer_width=columns) for columns in (start.mixer_width - step, start.mixer_width + step)
                if 2 <= columns < start.width)
        better = min(near, key=score, default=start)
        if score(better) < score(start):
            start = better
            yield start
        else:
            step //= 2
