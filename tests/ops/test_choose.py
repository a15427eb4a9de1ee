"""Choosing: the fastest algorithm is the fastest of all, and the crossovers are those of the published model."""

import pytest

from wsekern.errors import InputError
from wsekern.ops import AllReduce, FlowEngine, Reduce, TwoPhaseReduce, best_allreduce, best_reduce


@pytest.mark.parametrize(("pes", "words"), [(1, 1), (2, 3), (24, 1), (24, 40), (100, 8)])
def test_no_number_of_groups_is_faster(pes, words):
    choice = best_allreduce(pes, words, "wse3")
    for groups in range(1, min(pes, 30) + 1):
        engine = FlowEngine("wse3", pes, 1, "silicon", "fp16")
        engine.time(AllReduce(words, "x", groups))
        if f"{groups} groups" in dict(choice.tried):
            assert choice.cycles <= engine.cycles == dict(choice.tried)[f"{groups} groups"]
    assert str(choice.cycles) in choice.reason and choice.tried[0][1] == choice.cycles


def test_chain_wins_for_long_vectors_and_two_phases_for_many_pes():
    """HPDC'24: contention 2 B of two phases against depth P of the chain."""
    assert isinstance(best_reduce(16, 4096, "wse2", "vendor-simulator").operation, Reduce)
    choice = best_reduce(512, 1, "wse2", "vendor-simulator")
    assert isinstance(choice.operation, TwoPhaseReduce)
    assert 15 <= choice.operation.group <= 35


def test_groups_grow_with_the_root_of_the_line():
    groups = [best_allreduce(pes, 4, "wse3").operation.groups for pes in (64, 256, 700)]
    assert groups == sorted(groups) and groups[0] < groups[-1]


def test_a_line_of_nothing_is_refused():
    with pytest.raises(InputError, match="pes is 0"):
        best_allreduce(0, 1, "wse3")
