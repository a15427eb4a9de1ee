"""The same systems under other numbers of users: the points of a front of speed and cost."""

from collections.abc import Iterable
from dataclasses import replace

from wsekern.compare.beside import attempt
from wsekern.compare.comparison import Comparison
from wsekern.compare.side import Side
from wsekern.compare.wafer_side import wafer_side
from wsekern.errors import InputError
from wsekern.workload.request import Request

USERS = (1, 4, 16, 64, 256)
"""Numbers of users that are looked at beside that of the request."""


def other_users(comparison: Comparison, counts: Iterable[int] = USERS) -> dict[tuple[str, int], Side]:
    """How the wafers and each cluster of ``comparison`` serve other numbers of users, by the name of the side in
    :meth:`SideBySide.chosen` and the number: the wafers with the regions of the request, the GPUs in the layout that answers
    soonest. Left out is what cannot; where prompts are read elsewhere, all but the request itself."""
    asked, chosen = comparison.request, comparison.chosen()
    found = {(name, asked.batch): side for name, side in chosen.items() if side is not None}
    if any(one.serving.prefill_cluster is not None for one in comparison.pairings):
        return found
    for users in sorted(set(counts) - {asked.batch}):
        sides = _sides(comparison, replace(asked, batch=users))
        found |= {(name, users): side for name, side in zip(chosen, sides, strict=True)
                  if chosen[name] is not None and isinstance(side, Side)}
    return found


def _sides(comparison: Comparison, request: Request) -> list[Side | InputError]:
    """Of the wafers and of each cluster."""
    first = comparison.pairings[0]
    wafers = attempt(lambda: wafer_side(first.placement(comparison.request).serving(request), first.machine.system))
    return [wafers, *(attempt(one.gpus, request) for one in comparison.pairings)]
