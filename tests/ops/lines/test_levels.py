"""Levels of all-reduces: which are quickest, and what no PE can do."""

from itertools import combinations_with_replacement
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsekern.errors import InputError
from wsekern.machine import load_machine
from wsekern.machine.timing import Timing
from wsekern.ops import AllReduce, FlowEngine, KTreeAllReduce
from wsekern.ops.engines.flow import TimingEngine
from wsekern.ops.lines.levels import MOST_LEVELS, Levels, quickest_groups


@pytest.mark.parametrize(("words", "tail"), [(2, 0), (16, 1), (48, 0), (200, 0)])
@pytest.mark.parametrize("length", [5, 13, 64, 180, 373, 755])
def test_the_quickest_levels_are_no_slower_than_two_of_odd_numbers(length, words, tail):
    engine = TimingEngine("wse3", 1, length, "silicon", "fp16")
    cycles = [AllReduce(words, "y", groups, tail=tail).alone(engine)(length) for groups in ("quickest", 1, 3, 5, 9, 13, 19)]
    assert cycles[0] <= min(cycles[1:])


@given(length=st.integers(1, 1100), stage=st.integers(1, 40), taken=st.integers(0, 900))
def test_the_quickest_groups_are_the_first_of_all_that_take_the_fewest_cycles(length, stage, taken):
    def cycles(sizes: tuple[int, ...]) -> int:
        first = -(-length // prod(sizes))
        return (sum(size // 2 for size in sizes) + first // 2) * stage + (len(sizes) + 1) * taken

    ways = sorted((sizes for count in range(1, MOST_LEVELS) for sizes in combinations_with_replacement(range(3, 42, 2), count)
                   if prod(sizes) <= 800 and 3 * prod(sizes) <= length),
                  key=lambda sizes: (prod(sizes), len(sizes), sum(size // 2 for size in sizes)))
    best = min(ways, key=cycles, default=())
    found = best if best and cycles(best) < length // 2 * stage + taken else ()
    assert quickest_groups(length, stage, taken) == tuple(prod(found[level:]) for level in range(len(found)))


def test_levels_are_those_of_the_k_tree_of_schedules(random_tile, assert_same_bits):
    tile = random_tile(1, "fp16", 97, 1, 16)
    for groups in ((5,), (9, 3), (27, 9, 3)):
        engines = [FlowEngine("wse3", 1, 97, "silicon", "fp16") for _ in range(2)]
        kinds = AllReduce(16, "y", groups), KTreeAllReduce(16, "y", groups)
        assert_same_bits(*(engine.run(kind, tile) for engine, kind in zip(engines, kinds, strict=True)))
        assert engines[0].link_traversals == engines[1].link_traversals


def test_groups_of_a_level_are_chosen_by_length_and_words():
    assert quickest_groups(6, 12, 10) == () and len(quickest_groups(373, 12, 9)) == MOST_LEVELS - 1
    assert Levels.of(9, (3,)).members == (9, 3, 1) and Levels.of(9, (3,)).places(1) == [1, 4, 7]
    operation = AllReduce(4, "x", "quickest")
    chosen = operation.on(Timing(load_machine("wse3"), "silicon", "fp16"), 9, 1)
    assert chosen.groups == (3,) and chosen.on(Timing(load_machine("wse3"), "silicon", "fp16"), 9, 1) is chosen


def test_more_levels_than_a_core_has_queues_for_are_refused():
    with pytest.raises(InputError, match="expected at most 4 in all"):
        AllReduce(4, "x", (81, 27, 9, 3))
    with pytest.raises(InputError, match="groups is 0"):
        AllReduce(4, "x", (3, 0))
