"""The flow engine: values against plain numpy, bit for bit; clocks against the published closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import InputError
from wsekern.ops import (
    PRECISIONS,
    AllReduce,
    Broadcast,
    FlowEngine,
    Gemv,
    Local,
    MeshGemm,
    MeshGemmTransposed,
    Reduce,
    Shift,
    TwoPhaseReduce,
)
from wsekern.ops.reference import chains

sizes = st.sampled_from([1, 2, 3, 5, 8, 13, 16])


@settings(max_examples=40, deadline=None)
@given(width=sizes, height=sizes, words=st.sampled_from([1, 2, 7, 33]), groups=st.integers(1, 5),
       axis=st.sampled_from("xy"), op=st.sampled_from(["sum", "max"]), precision=st.sampled_from(PRECISIONS),
       segment=st.sampled_from([0, 1, 4]), threads=st.sampled_from([1, 2]), seed=st.integers(0, 99))
def test_values_equal_the_reference_bit_for_bit(random_tile, assert_same_bits, width, height, words, groups, axis, op,
                                                precision,
                                                segment, threads, seed):
    tile = random_tile(seed, precision, height, width, words)
    engine = FlowEngine("wse3", width, height, "silicon", precision, threads)
    for operation in (AllReduce(words, axis, groups, op, segment), Reduce(words, axis, 0, op, segment),
                      Broadcast(words, axis, 0, segment), Shift(words, axis, -1)):
        assert_same_bits(engine.run(operation, tile), operation.reference(tile, engine.timing))


def test_blocks_longer_than_the_kernel_buffer_do_not_change_values(random_tile, assert_same_bits):
    tile = random_tile(3, "fp16", 6, 5, 2500)
    for axis in "xy":
        operation = AllReduce(2500, axis, 2)
        one, two = (FlowEngine("wse2", 5, 6, precision="fp16", threads=n).run(operation, tile) for n in (1, 2))
        assert_same_bits(one, two)
        assert_same_bits(one, operation.reference(tile, FlowEngine("wse2", 5, 6, precision="fp16").timing))


def test_chain_reduce_takes_the_published_time():
    """HPDC'24: B + (2 T_R + 2)(P - 1) on WSE-2."""
    for pes, words in ((2, 1), (16, 1), (16, 256), (512, 4096)):
        engine = FlowEngine("wse2", pes, 1, "vendor-simulator", "fp32")
        engine.time(Reduce(words, "x"))
        fixed = engine.breakdown["overhead"]
        assert engine.cycles - fixed == words + 6 * (pes - 1)
        assert engine.link_traversals == words * (pes - 1)


def test_chained_stage_takes_twelve_cycles_on_wse3():
    """MeshGEMV on WSE-3 silicon (OSDI'25 code at EPCC): 12 cycles per chained stage, hop 2."""
    engines = [FlowEngine("wse3", pes, 1, "silicon", "fp16") for pes in (10, 11)]
    for engine in engines:
        engine.time(Reduce(1, "x"))
    assert engines[1].cycles - engines[0].cycles == 12


def test_broadcast_reaches_each_pe_one_hop_later():
    engine = FlowEngine("wse2", 9, 1, "vendor-simulator", "fp32")
    engine.time(Broadcast(5, "x"))
    assert np.all(np.diff(engine.clock[0, 1:]) == 1)


def test_clocks_of_a_grid_are_those_of_its_lines():
    """A line that starts later ends later by the same: clocks stay row + column, and no op waits for another line."""
    engine = FlowEngine("wse3", 12, 7, "silicon", "fp16")
    engine.time(AllReduce(4, "y", 2))
    after_first = engine.clock
    assert np.all(after_first == after_first[:, :1])
    engine.time(AllReduce(4, "x", 3))
    alone = FlowEngine("wse3", 12, 1, "silicon", "fp16")
    alone.time(AllReduce(4, "x", 3))
    np.testing.assert_array_equal(engine.clock, after_first[:, :1] + alone.clock)
    assert sum(engine.breakdown.values()) == engine.cycles == engine.clock.max()


def test_segments_are_independent_lines():
    whole = FlowEngine("wse3", 4, 1, "silicon", "fp16")
    whole.time(AllReduce(2, "x", 2))
    cut = FlowEngine("wse3", 12, 1, "silicon", "fp16")
    cut.time(AllReduce(2, "x", 2, segment=4))
    np.testing.assert_array_equal(cut.clock, np.tile(whole.clock, 3))


def test_nothing_to_do_takes_no_time():
    engine = FlowEngine("wse3", 5, 5, "silicon", "fp16")
    for operation in (AllReduce(0, "x"), Reduce(0, "y"), Broadcast(0, "x"), Shift(0, "x"), Gemv(0, 4), Local("add", 0)):
        engine.time(operation)
    assert engine.cycles == 0 and engine.link_traversals == 0


def test_cost_of_a_meshgemm_round_does_not_depend_on_the_grid():
    cycles = {}
    for pes in (80, 160, 320):
        engine = FlowEngine("wse3", pes, pes, "silicon", "fp16")
        engine.time(MeshGemm(8, 8, 8))
        cycles[pes] = engine.cycles
    assert (cycles[320] - cycles[160]) == 2 * (cycles[160] - cycles[80])


@pytest.mark.parametrize(("make", "words"), [
    (lambda: AllReduce(4, "z"), "axis"), (lambda: AllReduce(-1, "x"), "elements"), (lambda: AllReduce(1, "x", 0),
    "groups"), (lambda: Shift(1, "x", 0), "relays"), (lambda: Local("swish", 4), "swish"), (lambda: Gemv(-1, 2),
    "tile"), (lambda: FlowEngine("wse3", 4, 4, precision="fp8"), "fp8"), (lambda: FlowEngine("wse3", 0, 4), "0x4"),
    (lambda: FlowEngine("wse3", 4, 4, threads=0), "threads"), (lambda: FlowEngine("wse3", 4, 4, "gold"), "gold"),
    (lambda: MeshGemm(1, -1, 1), "sizes"), (lambda: FlowEngine("wse3", 4,
    3).run(AllReduce(2, "x"), np.zeros((4, 3, 2), np.float16)), "2 elements"), (lambda: FlowEngine("wse3", 4,
    3).run(AllReduce(2, "x"), np.zeros((3, 4, 2), np.float32)), "float16"),
])
def test_bad_input_is_refused_in_one_sentence(make, words):
    with pytest.raises(InputError, match=None) as caught:
        make()
    assert words in str(caught.value)


def test_statistics_travel_in_fp32_on_an_fp16_engine_whatever_the_shape_of_the_tile(random_tile, assert_same_bits):
    tile = random_tile(5, "fp32", 6, 4, 2, 3)
    operation = AllReduce(6, "y", 2, precision="fp32")
    engine = FlowEngine("wse3", 4, 6, "silicon", "fp16")
    assert_same_bits(engine.run(operation, tile), operation.reference(tile, engine.timing))
    halves = FlowEngine("wse3", 4, 6, "silicon", "fp16")
    halves.time(AllReduce(6, "y", 2))
    assert engine.cycles > halves.cycles


@settings(max_examples=20, deadline=None)
@given(pes=st.integers(1, 17), group=st.integers(1, 6), words=st.sampled_from([1, 2, 9]), axis=st.sampled_from("xy"),
       precision=st.sampled_from(["fp32", "fp16", "bf16"]), seed=st.integers(0, 99))
def test_two_phase_reduce_is_a_chain_over_the_sums_of_chains(random_tile, assert_same_bits, pes, group, words, axis, precision,
                                                             seed):
    """Groups are full but for the first: their chains from the line's other end, then one over their sums."""
    width, height = (pes, 2) if axis == "x" else (2, pes)
    tile = random_tile(seed, precision, height, width, words)
    engine = FlowEngine("wse2", width, height, "vendor-simulator", precision)
    lines = engine.run(TwoPhaseReduce(words, axis, group), tile)
    lines, source = (lines, tile) if axis == "x" else (lines.swapaxes(0, 1), tile.swapaxes(0, 1))
    for found, line in zip(lines, source, strict=True):
        ends = range(pes, 0, -group)
        sums = [chains(precision, line[max(0, end - group):end], 0, "sum") for end in ends][::-1]
        assert_same_bits(np.ascontiguousarray(found[0]), np.ascontiguousarray(chains(precision, np.stack(sums), 0, "sum")))


def test_two_phase_reduce_takes_the_published_time():
    """HPDC'24: 2 B words through depth (S - 1) + (P / S - 1), links of length S in the second phase."""
    for pes, group in ((512, 2), (512, 8), (512, 32), (8, 3), (100, 7), (33, 32)):
        engine = FlowEngine("wse2", pes, 1, "vendor-simulator", "fp32")
        engine.time(TwoPhaseReduce(256, "x", group))
        assert engine.cycles == 2 * 256 + pes - 1 + 5 * (group - 1 + -(-pes // group) - 1) and not engine.notes
    for group in (2, 8, 32):
        engine = FlowEngine("wse2", 512, 1, "vendor-simulator", "fp32")
        engine.time(TwoPhaseReduce(256, "x", group))
        assert engine.link_traversals == 256 * (512 - 512 // group + (512 // group - 1) * group)


@settings(max_examples=30, deadline=None)
@given(relays=st.integers(1, 40), width=st.integers(1, 40), words=st.integers(1, 200))
def test_shift_takes_its_closed_form(relays, width, words):
    engine = FlowEngine("wse3", width, 1, "silicon", "fp16")
    engine.time(Shift(words, "x", relays))
    wavelets = -(-words // 2)
    stream = (wavelets - 1) // 8 * 9 + (wavelets - 1) % 8
    relay = max(77, 58 + 10 + 2 + 2 * (stream + 1))
    assert engine.cycles == 44 + 12 * min(relays - 1, 2) + relays * relay - 13 * max(0, relays - width)


def test_meshgemm_with_a_skewed_left_matrix_saves_the_alignment():
    engines = [FlowEngine("wse3", 8, 8, "silicon", "fp16") for _ in range(2)]
    engines[0].time(MeshGemm(4, 4, 4))
    engines[1].time(MeshGemm(4, 4, 4, skewed=True))
    assert engines[0].cycles - engines[1].cycles == 4 * 77
    assert engines[0].link_traversals > engines[1].link_traversals


def assemble(tiles: np.ndarray) -> np.ndarray:
    """Tiles (P, P, m, n) as one matrix (P m, P n)."""
    rows, columns, m, n = tiles.shape
    return tiles.swapaxes(1, 2).reshape(rows * m, columns * n)


@pytest.mark.parametrize("pes", [1, 4, 5])
def test_mesh_products_are_the_products_of_the_matrices(random_tile, pes):
    x, w = random_tile(1, "fp32", pes, pes, 2, 3), random_tile(2, "fp32", pes, pes, 3, 4)
    engine = FlowEngine("wse3", pes, pes, "silicon", "fp32")
    np.testing.assert_allclose(assemble(engine.run(MeshGemm(2, 3, 4), x, w)), assemble(x) @ assemble(w), rtol=1e-4, atol=1e-5)
    keys = random_tile(3, "fp32", pes, pes, 4, 3)
    scores = engine.run(MeshGemmTransposed(2, 4, 3), x, keys)
    np.testing.assert_allclose(assemble(scores), assemble(x) @ assemble(keys).T, rtol=1e-4, atol=1e-5)
    assert engine.cycles > 0 and (engine.link_traversals > 0) == (pes > 1)
