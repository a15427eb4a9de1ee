"""Products whose instructions take several rows: the bits of products row by row, on both engines, and never slower."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.machine.timing import PRECISIONS, timing
from wsekern.ops import BatchedGemv, FlowEngine, Gemm, GemmTransposed, Local
from wsekern.ops.engines.programs import compile_operations, run_on_cycle_engine
from wsekern.ops.local.gemm import LocalProduct
from wsekern.program.instructions import Vector


def assert_the_same_and_no_later(rows: LocalProduct, together: LocalProduct, precision: str, seed: int, random_tile,
                                 assert_same_bits) -> None:
    """Values of both engines are those of rows one by one, and clocks are equal and no later."""
    tiles = [random_tile(seed + i, precision, 1, 2, *shape) for i, shape in enumerate(together.tiles())]
    flow = FlowEngine("wse3", 2, 1, "silicon", precision)
    values = flow.run(together, *tiles)
    assert_same_bits(values, rows.reference(*tiles, flow.timing))
    cycle = run_on_cycle_engine(together, "wse3", 2, 1, "silicon", precision, *tiles)
    assert_same_bits(cycle.values.reshape(values.shape), values)
    assert (cycle.clock == flow.clock).all()
    assert sum(together.cycles(flow.timing)) <= sum(rows.cycles(flow.timing))


@settings(max_examples=25, deadline=None)
@given(m=st.integers(0, 9), k=st.integers(0, 6), n=st.sampled_from([0, 1, 2, 7, 30, 70]), precision=st.sampled_from(PRECISIONS),
       transposed=st.booleans(), seed=st.integers(0, 99))
def test_several_rows_in_an_instruction_are_the_same_sums(random_tile, assert_same_bits, m, k, n, precision, transposed, seed):
    def product(together: bool) -> LocalProduct:
        return GemmTransposed(m, n, k, together) if transposed else Gemm(m, k, n, together)

    rows, together = product(False), product(True)
    assert_the_same_and_no_later(rows, together, precision, seed, random_tile, assert_same_bits)


@settings(max_examples=15, deadline=None)
@given(m=st.integers(0, 5), k=st.integers(0, 6), n=st.sampled_from([0, 1, 2, 7, 30]), precision=st.sampled_from(PRECISIONS),
       seed=st.integers(0, 99))
def test_rows_with_matrices_of_their_own_are_the_same_sums(random_tile, assert_same_bits, m, k, n, precision, seed):
    rows, together = BatchedGemv(m, k, n), BatchedGemv(m, k, n, True)
    assert_the_same_and_no_later(rows, together, precision, seed, random_tile, assert_same_bits)


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(0, 9), n=st.integers(1, 8), precision=st.sampled_from(PRECISIONS),
       kind=st.sampled_from(["rowmax", "rowsum", "sumsq"]), seed=st.integers(0, 99))
def test_columns_of_all_rows_are_the_same_sums(random_tile, assert_same_bits, rows, n, precision, kind, seed):
    by_row, by_column = (Local(kind, n, rows, form=form) for form in ("scalar", "vector"))
    tile, flow = random_tile(seed, precision, 1, 2, rows, n), FlowEngine("wse3", 2, 1, "silicon", precision)
    expected, values = flow.run(by_row, tile), FlowEngine("wse3", 2, 1, "silicon", precision).run(by_column, tile)
    assert_same_bits(values, expected)
    flow.reset()
    flow.time(by_column)
    cycle = run_on_cycle_engine(by_column, "wse3", 2, 1, "silicon", precision, tile)
    assert_same_bits(cycle.values.reshape(values.shape), values)
    assert (cycle.clock == flow.clock).all()
    assert n >= rows or sum(by_column.cycles(flow.timing)) <= sum(by_row.cycles(flow.timing))


@pytest.mark.parametrize(("product", "order"), [
    (Gemm(8, 6, 2, True), "whole"), (Gemm(8, 6, 2), "rows"), (Gemm(1, 32, 78, True), "whole"),
    (GemmTransposed(8, 6, 2, True), "whole"), (Gemm(1, 6, 4, True), "rows"), (Gemm(7, 3, 1, True), "inner"),
    (Gemm(2, 3, 20000, True), "rows"), (BatchedGemv(2, 6, 4, True), "whole"),
])
def test_the_quickest_order_is_taken_that_waits_for_no_sum(product, order):
    assert product.product.order(timing("wse3", "silicon", "fp16"), product.together) == order


def test_an_instruction_takes_no_more_elements_than_the_machine_ends():
    """That of 33,000 elements would not end: the inner index is cut, and the sums go on."""
    product = Gemm(2, 11, 1500, True)
    assert product.product.order(timing("wse3", "silicon", "fp16"), True) == "whole"
    compiled = compile_operations([product], "wse3", 1, 1, "silicon", "fp16")
    sizes = [item.operands[1].extent for item in compiled.simulation.layout.programs[0].code if isinstance(item, Vector)]
    assert sizes == [30000, 3000]
