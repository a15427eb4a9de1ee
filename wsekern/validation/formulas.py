"""Published formulas of collectives beside what ``predict op`` says (``validate --only wafer``): HPDC'24 on WSE-2.

The formulas are a model that its authors found within 4 % of a CS-2. Ours are the clocks of programs, so that a row tells
how near the two are, and its note where the formula itself is an approximation.
"""

from collections.abc import Iterator
from functools import lru_cache
from math import isqrt, log2
from pathlib import Path
from typing import Any

import numpy as np

from wsekern.ops.predict import predict_op
from wsekern.validation.rows import Row, summarise

RAMP = 2
"""T_R, cycles between a core and its router, as the authors give it for WSE-2."""
STAGE = 2 * RAMP + 1
"""2 T_R + 1, of each of the D dependent PEs."""
SOURCE = "HPDC'24 Near-Optimal Wafer-Scale Reduce (arXiv 2404.15888), the formula with T_R = 2"
PES, WORDS = (4, 8, 16, 32, 64, 128, 256, 512), (1, 8, 64, 512, 4096)
SIDES = (4, 16, 64)
NOTES = {
    "star": "the formula leaves out the hop of the nearest sender",
    "tree": "the formula lets the sums of a PE and the way they come overlap wholly or not at all",
    "auto": "the published recursion knows no bound of queues, and no ramp that two streams share",
    "reduce-2d": "the published recursion knows no bound of queues, and no ramp that two streams share",
    "ring": "a part has at least one whole word, the formula B / P of one",
}


def star(pes: int, words: int) -> float:
    """All to the root."""
    return words * (pes - 1) + STAGE


def chain(pes: int, words: int) -> float:
    """Each to its neighbor."""
    return words + (STAGE + 1) * (pes - 1)


def tree(pes: int, words: int) -> float:
    """log2 P rounds."""
    rounds = log2(pes)
    return max(words * rounds, words * pes * rounds / (2 * (pes - 1)) + pes - 1) + STAGE * rounds


def two_phase(pes: int, words: int) -> float:
    """Chains in groups of the root of P, then over their first PEs: depth S - 1 and P / S - 1, contention 2 B."""
    group = isqrt(pes)
    return 2 * words + pes - 1 + STAGE * (group - 1 + -(-pes // group) - 1)


@lru_cache(maxsize=256)
def auto(pes: int, words: int) -> float:
    """The best pre-order tree: F(n) = min over i of max(F(n - i) + 2 T_R + 1 + i, F(i) + B), and B for the last words."""
    best = np.zeros(pes + 1)
    for n in range(2, pes + 1):
        i = np.arange(1, n)
        best[n] = np.maximum(best[n - i] + STAGE + i, np.where(i > 1, best[i] + words, 0)).min()
    return float(best[pes] + words)


def broadcast(pes: int, words: int) -> float:
    """One multicast from the end of the line."""
    return words + pes + 2 * RAMP


def ring(pes: int, words: int) -> float:
    """2 (P - 1) rounds of B / P words."""
    return 2 * (pes - 1) * words / pes + 4 * pes - 6 + 2 * (pes - 1) * STAGE


def plane_broadcast(side: int, words: int) -> float:
    """One multicast from a corner."""
    return words + 2 * side - 2 + STAGE


def snake(side: int, words: int) -> float:
    """One chain through all PEs."""
    return chain(side * side, words)


def rows_then_column(side: int, words: int) -> float:
    """The generated tree along x, then along y."""
    return 2 * auto(side, words)


LINES = {"star-reduce": star, "chain-reduce": chain, "tree-reduce": tree, "two-phase-reduce": two_phase, "auto-reduce": auto,
         "broadcast": broadcast, "ring-allreduce": ring}
PLANES = {"broadcast-2d": plane_broadcast, "snake-reduce": snake, "reduce-2d": rows_then_column}


def validate_rows(path: str | Path | None = None) -> dict[str, list[dict[str, Any]]]:
    """``{"rows": [...], "groups": [...]}`` of the published formulas; nothing for a table of the user's own."""
    return summarise(() if path is not None else _rows())


def _rows() -> Iterator[Row]:
    for name, formula in (LINES | PLANES).items():
        for pes in PES if name in LINES else SIDES:
            for words in WORDS:
                yield _row(name, formula(pes, words), (pes, 1 if name in LINES else pes), words)


def _row(name: str, published: float, grid: tuple[int, int], words: int) -> Row:
    predicted = predict_op(name, "wse2", "vendor-simulator", grid=grid, words=words)["cycles"]
    note = next((note for key, note in NOTES.items() if name.startswith(key)), "") if predicted != published else ""
    return Row(id=f"HPDC24-{name}-{grid[0]}x{grid[1]}-{words}", group=f"formula {name} wse2", measured=published,
               predicted=float(predicted), unit="cycles", note=note, source=SOURCE)
