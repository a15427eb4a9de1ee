"""Choosing: the fastest algorithm is the fastest of all, and the crossovers are those of the published model."""

import pytest

from wsekern.errors import InputError
from wsekern.ops import (
    AllReduce,
    Broadcast2D,
    FlowEngine,
    MeshGemm,
    Reduce,
    ReduceTree,
    best_allreduce,
    best_broadcast,
    best_gemm,
    best_gemv,
    best_groups,
    best_reduce,
    best_reduce_2d,
    crossover,
    plot_crossover,
)


@pytest.mark.parametrize(("pes", "words"), [(1, 1), (2, 3), (24, 1), (24, 40), (100, 8)])
def test_no_number_of_groups_is_faster(pes, words):
    choice = best_groups(pes, words, "wse3")
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
    assert choice.operation == ReduceTree(1, "x", "star", 0) and choice.cycles == 511 + 5 + 1
    assert best_reduce(512, 16, "wse2", "vendor-simulator").operation == ReduceTree(16, "x", "auto", 0)
    two_phases = next(name for name, _ in choice.tried if name.startswith("two phases"))
    assert 15 <= int(two_phases.split()[-2]) <= 35


def test_groups_grow_with_the_root_of_the_line():
    groups = [best_groups(pes, 4, "wse3").operation.groups for pes in (64, 256, 700)]
    assert groups == sorted(groups) and groups[0] < groups[-1]


def test_a_line_of_nothing_is_refused():
    with pytest.raises(InputError, match="pes is 0"):
        best_allreduce(0, 1, "wse3")


def test_choices_over_all_algorithms():
    choice = best_allreduce(200, 8, "wse3")
    assert choice.cycles <= best_groups(200, 8, "wse3").cycles and len(choice.tried) >= 4
    assert best_broadcast(30, 20, 64, "wse3").operation == Broadcast2D(64)
    assert isinstance(best_gemm(64, (8, 8, 8), "wse3").operation, MeshGemm)
    assert best_gemv(208, 8, 8, "wse3").reason.startswith("MeshGEMV")
    assert "snake" in best_reduce_2d(40, 30, 16, "wse2", "vendor-simulator").reason
    line = best_reduce(2, 4096, "wse2", "vendor-simulator")
    assert best_reduce_2d(2, 1, 4096, "wse2", "vendor-simulator").cycles == line.cycles


def test_crossovers_are_where_the_fastest_changes(tmp_path):
    found = crossover("reduce", 64, "wse2", "vendor-simulator", pes=(2, 16, 64, 256))
    assert found.changes[0][0] == 2 and found.fastest[-1] == "generated"
    assert found.cycles["star"][-1] == 64 * 255 + 5 + 1 and found.cycles["chain"][1] == 64 + 6 * 15
    plot_crossover(found, str(tmp_path / "crossover.png"))
    assert (tmp_path / "crossover.png").stat().st_size > 1000
    with pytest.raises(InputError, match="no crossovers of 'shift'"):
        crossover("shift", 1, "wse2")
