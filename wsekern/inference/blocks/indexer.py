"""Sparse attention (DeepSeek): an indexer scores every position with a light attention, and the main one reads the best.

Index keys are kept beside the cache, on the same rows, their features over a segment of columns; index heads lie over copies of
that segment. Every token's scores stand on the rows of their positions. The best of all rows are found by radix: in each round
all rows count their scores above 3 thresholds, sums over the rows tell which quarter holds the last one chosen: 2 bits a round,
8 rounds for 16-bit numbers (more bits: fewer sums, more counting). What is chosen stays on its row, so the fullest row sets the
time of the main attention. Time only: values are there as long as all positions are chosen, when no choice is needed.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from wsekern.formulas import largest, smallest
from wsekern.inference.blocks.attention import AttentionOnGrid
from wsekern.inference.blocks.common import all_reduce
from wsekern.inference.blocks.latent import LatentOnGrid
from wsekern.inference.blocks.part import BlockWeights, PartOnGrid
from wsekern.inference.reference.latent import check_indexer
from wsekern.inference.steps import LayerStep, Steps, Values
from wsekern.ops import Gemm, GemmTransposed, Local, Operation
from wsekern.workload.decoder import Attention, LatentAttention
from wsekern.workload.request import PRECISIONS

_MAIN: dict[type, type[PartOnGrid[Any]]] = {Attention: AttentionOnGrid, LatentAttention: LatentOnGrid}
RADIX_BITS = 2
"""Bits of a score that a round of the choice settles."""


@dataclass(frozen=True)
class IndexedOnGrid(PartOnGrid[Any]):
    """Attention that reads what its indexer chooses."""

    label = "attention"

    @cached_property
    def main(self) -> PartOnGrid[Any]:
        """The attention itself."""
        return _MAIN[type(self.part)](self.mapping, replace(self.part, indexer=None), self.prefix, self.folded)

    @property
    def readers(self) -> tuple[str, ...]:
        """Those of the attention itself."""
        return self.main.readers

    def missing(self) -> str:
        """What the attention itself has no steps for."""
        return self.main.missing()

    def assumptions(self) -> list[str]:
        """What is chosen, and where it lies."""
        chosen = self.part.indexer.chosen
        return [*self.main.assumptions(),
                f"an indexer scores every position and its best {chosen:,} are read, found {RADIX_BITS} bits a round; they lie "
                "on rows by chance, and the expected fullest row sets the time"]

    # -- sizes --------------------------------------------------------------------------------------------------------
    @cached_property
    def segment(self) -> int:
        """Columns over which the features of index keys lie."""
        return smallest(self.mapping.width, self.part.indexer.head_dim)

    @cached_property
    def features(self) -> int:
        """Features of an index key in one column."""
        return -(-self.part.indexer.head_dim // self.segment)

    @cached_property
    def copies(self) -> int:
        """Segments beside each other, each for its share of the heads."""
        return largest(1, smallest(self.mapping.width // self.segment, self.part.indexer.heads))

    @cached_property
    def heads(self) -> int:
        """Index heads of a segment."""
        return -(-self.part.indexer.heads // self.copies)

    @cached_property
    def query_rows(self) -> int:
        """Elements of a row that index queries are projected from."""
        return -(-(self.part.indexer.query_rank or self.mapping.config.hidden) // self.mapping.height)

    # -- memory -------------------------------------------------------------------------------------------------------
    @property
    def weights(self) -> int:
        """Also those of index queries, keys and head weights."""
        queries, key = self.heads * self.features, self.features + self.heads
        return self.main.weights + self.query_rows * queries + self.mapping.hidden * key

    @property
    def slot(self) -> float:
        """Also an index key."""
        return self.main.slot + self.features

    @property
    def state(self) -> float:
        """That of the attention itself."""
        return self.main.state

    @property
    def buffers(self) -> float:
        """Also index queries and the key."""
        return self.main.buffers + (self.heads + 1) * self.features + self.heads

    @property
    def scores(self) -> int:
        """Scores of all index heads; those of the main attention need less, for what is chosen."""
        return largest(self.main.scores, (self.heads + 1) * self.mapping.slots)

    def room(self) -> int:
        """That of the attention itself."""
        return self.main.room()

    # -- execution, as long as everything is chosen -------------------------------------------------------------------
    def tiles(self, weights: BlockWeights, where: str) -> Values:
        """Those of the attention itself."""
        return self.main.tiles(weights, where)

    def cache(self) -> dict[str, tuple[int, ...]]:
        """That of the attention itself."""
        return self.main.cache()

    def tables(self, start: int, tokens: int, slots: int) -> Values:
        """Those of the attention itself; refused where the indexer would leave out positions."""
        check_indexer(self.part, start + tokens)
        return self.main.tables(start, tokens, slots)

    # -- steps --------------------------------------------------------------------------------------------------------
    def read_slots(self, slots: int) -> int:
        """Positions of the fullest row that are read."""
        return fullest_row(self.part.indexer.chosen, slots, self.mapping.height)

    def steps(self, tokens: int, slots: int) -> Steps:
        """Index keys; where there is a choice, scores and the choice; the attention on what is read."""
        if slots * self.mapping.height <= self.part.indexer.chosen:
            return [*self._keys(tokens), *self.main.steps(tokens, slots)]
        read = self.read_slots(slots)
        moved = _timed(("take_chosen", Local("mov", math.ceil(tokens * self.main.slot), read)))
        return [*self._keys(tokens), *self._scores(tokens, slots), *self._choice(tokens, slots), *moved,
                *self.main.steps(tokens, read)]

    def _keys(self, tokens: int) -> Steps:
        """The index key and the heads' weights of every token, the key normed, turned and kept."""
        m, features = self.mapping, self.features
        both = tokens * (features + self.heads)
        return _timed(("index_key", Gemm(tokens, m.hidden, features + self.heads)),
                      ("index_key_reduce", all_reduce(m, both, "y")),
                      ("index_norm_squares", Local("sumsq", features, tokens)),
                      ("index_norm_reduce", all_reduce(m, tokens, "x", segment=self.segment, precision="fp32")),
                      ("index_norm_scale", Local("rownorm", features, tokens, divisor=1.0)),
                      ("index_append", Local("mov", features, math.ceil(tokens / m.height))))

    def _scores(self, tokens: int, slots: int) -> Steps:
        """The weighed sum of all index heads' positive products with every key."""
        m, rows, features, form = self.mapping, tokens * self.heads, self.features, self.mapping.form
        rank = self.part.indexer.query_rank
        gather = [("index_query_rows", all_reduce(m, tokens * self.query_rows, "x"))] if rank else []
        steps: list[tuple[str, Operation]] = [
            *gather, ("index_query", Gemm(tokens, self.query_rows, self.heads * features)),
            ("index_query_reduce", all_reduce(m, rows * features, "y")),
            ("index_scores", GemmTransposed(rows, slots, features)),
            ("index_scores_reduce", all_reduce(m, rows * slots, "x", segment=self.segment)),
            ("index_positive", Local("max", slots, rows, form=form)), ("index_weigh", Gemm(tokens, self.heads, slots))]
        if self.copies > 1:
            steps.append(("index_sum", all_reduce(m, tokens * slots, "x")))
        return _timed(*steps)

    def _choice(self, tokens: int, slots: int) -> Steps:
        """The threshold above which the chosen ones lie: a difference, its sign and a sum for each that is tried."""
        m, form, counts = self.mapping, self.mapping.form, (1 << RADIX_BITS) - 1
        compare = [("count_less", Local("sub", slots, tokens, form=form)),
                   ("count_sign", Local("max", slots, tokens, form=form)),
                   ("count_sum", Local("rowsum", slots, tokens))] * counts
        reduce = ("count_reduce", all_reduce(m, tokens * counts, "y", precision="fp32"))
        return _timed(*[*compare, reduce] * math.ceil(8 * PRECISIONS[m.precision] / RADIX_BITS))


def _timed(*operations: tuple[str, Operation]) -> Steps:
    return [LayerStep("attention", name, operation) for name, operation in operations]


@lru_cache(maxsize=4096)
def fullest_row(chosen: int, slots: int, rows: int) -> int:
    """Expected number of chosen positions on the fullest of ``rows`` rows of ``slots`` positions, rounded up.

    Every position is chosen alike, so a row holds a binomial number; rows are taken for independent, of which the largest is
    below k with the probability F(k)^rows.
    """
    if chosen >= slots * rows:
        return slots
    share = chosen / (slots * rows)
    mass, below, expected = (1 - share) ** slots, 0.0, 0.0
    for count in range(slots):
        below += mass
        expected += 1 - min(1.0, below) ** rows
        mass *= (slots - count) / (count + 1) * share / (1 - share)
    return min(slots, math.ceil(expected))
