"""How tokens choose the experts of a mixture: in proportion to a power of their rank, evenly, or as a trace says."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from wsekern.errors import InputError, check_source
from wsekern.formulas import opaque

MAX_TRACE = 1_000_000
"""Sanity limit of the tokens of a trace."""

DEALS = 64
"""Ways of dealing experts to blocks, at random, over which a law that prefers some of them is averaged."""


@lru_cache(maxsize=256)
def popularity(exponent: float, chosen: int, experts: int) -> np.ndarray:
    """Chance of each expert to be among the ``chosen`` of a token, the i-th most popular one in proportion to i^-``exponent``;
    they add up to ``chosen``, and none exceeds one."""
    chances = np.arange(1.0, experts + 1.0) ** -exponent
    for sure in range(chosen):
        chances[sure:] *= (chosen - sure) / chances[sure:].sum()
        if chances[sure] <= 1.0:
            break
        chances[sure] = 1.0
    return chances


@dataclass(frozen=True)
class ExpertLaw:
    """Which experts tokens choose, where nobody knows their text.

    The i-th most popular expert is chosen in proportion to i^-``exponent`` (0: all alike), or as in a ``trace``: int32 numbers
    of ``chosen`` experts for each token.
    """

    exponent: float = 0.9
    """As on the side of GPUs, where it was fitted (``popularity_exponent`` of ``wsekern/cluster/data/model.toml``)."""
    trace: bytes = b""
    chosen: int = 0
    path: str = ""
    """File of the trace."""

    @property
    def text(self) -> str:
        """As :func:`parse_expert_law` reads it."""
        return self.path or (f"zipf:{self.exponent:g}" if self.exponent else "uniform")

    def __str__(self) -> str:
        if self.trace:
            return f"as in a trace of {len(self.trace) // (4 * self.chosen):,} tokens"
        return f"the i-th most popular one in proportion to i^-{self.exponent:g}" if self.exponent else "all alike"

    @opaque
    def fullest(self, chosen: int, experts: int, blocks: int, tokens: int = 1) -> float:
        """How many of the ``chosen`` experts of a token the block has that has most of them, where expert e lies on block
        e mod ``blocks``; the most of ``tokens`` tokens, on average."""
        if blocks == 1:
            return float(chosen)
        if self.trace:
            return self._of_trace(chosen, experts, blocks, tokens)
        below = _at_most(self.exponent, chosen, experts, blocks) ** tokens
        return float(chosen - below[:-1].sum())

    def _of_trace(self, chosen: int, experts: int, blocks: int, tokens: int) -> float:
        rows = np.frombuffer(self.trace, np.int32).reshape(-1, self.chosen)
        if self.chosen != chosen or rows.max() >= experts:
            raise InputError(f"the trace of experts has {self.chosen} of {rows.max() + 1} for each token: the model takes "
                             f"{chosen} of {experts}")
        most = block_counts(rows, blocks).max(axis=1)
        whole = max(1, len(most) // tokens)
        return float(np.mean([part.max() for part in np.array_split(most[:whole * tokens], whole)]))


def block_counts(chosen: np.ndarray, blocks: int) -> np.ndarray:
    """How many of the experts ``chosen`` (tokens, chosen) lie on each block: (tokens, blocks)."""
    on_block = chosen[:, :, None] % blocks == np.arange(blocks)
    return on_block.sum(axis=1)


@lru_cache(maxsize=1024)
def _at_most(exponent: float, chosen: int, experts: int, blocks: int) -> np.ndarray:
    """Chance (chosen + 1,) that no block has more than 0, 1, ... of the experts that a token chooses.

    A set of experts has a chance in proportion to the product of their odds, so that each is chosen about as often as
    :func:`popularity` says; blocks are dealt :data:`DEALS` times, with seeds that are fixed.
    """
    chances = np.minimum(popularity(exponent, chosen, experts), 1 - 1e-9)
    odds = chances / (1 - chances)
    odds /= np.exp(np.log(odds).mean())
    deals = 1 if exponent == 0 else DEALS
    orders = np.stack([np.random.default_rng(seed).permutation(experts) for seed in range(deals)])
    sets = [_sets(odds[orders[:, block::blocks]], chosen) for block in range(blocks)]
    ways = np.stack([_together(sets, most, chosen) for most in range(chosen + 1)])      # (most, deals)
    return (ways / ways[-1]).mean(axis=1)


def _sets(odds: np.ndarray, chosen: int) -> np.ndarray:
    """Of the experts of a block, ``odds`` (deals, experts): sums over all sets of 0 to ``chosen`` of them of the products of
    their odds, (deals, chosen + 1)."""
    sums = np.zeros((len(odds), chosen + 1))
    sums[:, 0] = 1
    for one in odds.T:
        sums[:, 1:] = sums[:, 1:] + one[:, None] * sums[:, :-1]
    return sums


def _together(sets: list[np.ndarray], most: int, chosen: int) -> np.ndarray:
    """Sum (deals,) over all sets of ``chosen`` experts with up to ``most`` of each block."""
    found = np.zeros_like(sets[0])
    found[:, 0] = 1
    for block in sets:
        longer = np.zeros_like(found)
        for count in range(most + 1):
            longer[:, count:] += block[:, count, None] * found[:, :chosen + 1 - count]
        found = longer
    return found[:, chosen]


DEFAULT_LAW = ExpertLaw()


def parse_expert_law(text: str) -> ExpertLaw:
    """``zipf:0.9``, ``uniform``, or a file with the numbers of the experts that a token chose in each line, between spaces or
    commas; :class:`InputError` for all else."""
    if text == "uniform":
        return ExpertLaw(0.0)
    kind, _, number = text.partition(":")
    if kind == "zipf":
        try:
            exponent = float(number)
        except ValueError:
            exponent = -1.0
        if not 0 <= exponent <= 10:
            raise InputError(f"the law of experts is {text!r}: expected zipf: and a number from 0 to 10")
        return ExpertLaw(exponent)
    return _read_trace(Path(text))


def _read_trace(path: Path) -> ExpertLaw:
    check_source(path)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise InputError(f"the law of experts is {str(path)!r}: use zipf:NUMBER, uniform or a file ({error})") from None
    rows: list[list[int]] = []
    for number, line in enumerate(lines, 1):
        words = line.replace(",", " ").split()
        if not words:
            continue
        if not all(word.isascii() and word.isdigit() and len(word) < 7 for word in words) or len(set(words)) < len(words):
            raise InputError(f"{path}, line {number}: expected the numbers of different experts, found {line[:60]!r}")
        rows.append([int(word) for word in words])
        if len(rows[0]) != len(words) or len(rows) > MAX_TRACE:
            raise InputError(f"{path}, line {number}: {len(words)} experts where the first token has {len(rows[0])}" if
                             len(rows) <= MAX_TRACE else f"{path}: more than {MAX_TRACE:,} tokens")
    if not rows:
        raise InputError(f"{path}: no token with its experts")
    return ExpertLaw(0.0, np.array(rows, np.int32).tobytes(), len(rows[0]), str(path.absolute()))
