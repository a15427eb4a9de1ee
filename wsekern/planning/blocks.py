"""Numbers of blocks, into which heads and experts are cut, and copies of routers, that make a candidate quickest."""

from collections.abc import Callable, Iterable

from wsekern.planning.candidates import Candidate, with_programs

BLOCKS = (1, 2, 4, 8, 16, 32)
"""Numbers of blocks that are tried."""

PATIENCE = 2
"""Numbers that are tried after the best one."""


def with_blocks(candidate: Candidate, names: Iterable[str], score: Callable[[Candidate], float]) -> Candidate:
    """The candidate with the numbers of ``names`` that make it quickest, found one after the other, more as long as that helps;
    where it gathers scores of routers, with sums of them too (a gather takes room for its code), and where it deals biases,
    with biases everywhere (it looks none up). ``score`` is infinite where there is no room."""
    names = tuple(names)
    ways = [candidate]
    if "router_copies" in names:
        ways += [with_programs(candidate, router="summed")] if candidate.programs.router == "gathered" else []
        ways += [with_programs(way, biases="everywhere") for way in ways if way.programs.biases == "dealt"]
    return min((_more(way, names, score) for way in ways), key=score)


def _more(candidate: Candidate, names: Iterable[str], score: Callable[[Candidate], float]) -> Candidate:
    known = score(candidate)
    for name in names:
        own = getattr(candidate.programs, name)
        for way in ([blocks for blocks in BLOCKS if blocks > own], [blocks for blocks in BLOCKS[::-1] if blocks < own]):
            failed = 0
            for blocks in way:
                other = with_programs(candidate, **{name: blocks})
                took = score(other)
                candidate, known, failed = (other, took, 0) if took < known else (candidate, known, failed + 1)
                if failed == PATIENCE:
                    break
    return candidate
