"""Tiles that neighbors hold in common: the values of operations on them are those of every PE for itself, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import InputError
from wsekern.number_formats import narrow
from wsekern.ops import AllReduce, Broadcast, FlowEngine, Gemm, GemmTransposed, Local, Shift
from wsekern.ops.local import gemm
from wsekern.ops.repeated import Repeated, common

HEIGHT, WIDTH = 4, 6
BLOCKS = st.sampled_from([(1, 1), (HEIGHT, 1), (1, WIDTH), (HEIGHT, WIDTH), (2, 1), (1, 3), (HEIGHT, 2), (1, 4), (3, WIDTH)])


def engine(precision: str) -> FlowEngine:
    return FlowEngine("wse3", WIDTH, HEIGHT, precision=precision)


def tiles(random, blocks, shape, precision="fp32", order=None) -> Repeated:
    """Random tiles that blocks of PEs hold in common, their axes in memory in ``order``."""
    down, across = blocks
    whole = (-(-HEIGHT // down), -(-WIDTH // across), *shape)
    order = order or tuple(range(len(whole)))
    values = narrow(random.standard_normal([whole[axis] for axis in order]).astype(np.float32), precision, "x")
    return Repeated(values.transpose(np.argsort(order)), HEIGHT, WIDTH, down, across)


def same_as_alone(operation, *operands: Repeated, precision: str = "fp32") -> Repeated:
    found = engine(precision).values(operation, *operands)
    alone = engine(precision).run(operation, *(np.ascontiguousarray(operand.full()) for operand in operands))
    assert found.full().shape == alone.shape
    assert np.ascontiguousarray(found.full()).tobytes() == np.ascontiguousarray(alone).tobytes()
    return found


@pytest.mark.parametrize("precision", ["fp32", "fp16", "fp16_fp32", "bf16"])
@settings(max_examples=40, deadline=None)
@given(data=st.data(), left=BLOCKS, right=BLOCKS, m=st.integers(1, 5), k=st.integers(1, 9), n=st.integers(1, 9))
def test_products(precision, data, left, right, m, k, n):
    random = np.random.default_rng(k)
    order = data.draw(st.permutations(range(4)))
    x = tiles(random, left, (m, k), precision, data.draw(st.permutations(range(4))))
    found = same_as_alone(Gemm(m, k, n), x, tiles(random, right, (k, n), precision, order), precision=precision)
    assert (found.down, found.across) == common((x, tiles(random, right, (k, n), precision)))
    same_as_alone(GemmTransposed(m, n, k), x, tiles(random, right, (n, k), precision, order), precision=precision)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), blocks=BLOCKS, axis=st.sampled_from("xy"), segment=st.integers(0, 5),
       precision=st.sampled_from(["fp32", "fp16", "fp16_fp32", "bf16"]))
def test_operations_along_lines(data, blocks, axis, segment, precision):
    random = np.random.default_rng(segment)
    x = tiles(random, blocks, (3, 2), precision, data.draw(st.permutations(range(4))))
    for operation in (AllReduce(6, axis, groups=2, segment=segment), AllReduce(6, axis, op="max", segment=segment),
                      Broadcast(6, axis, root=2, segment=segment)):
        found = same_as_alone(operation, x, precision=precision)
        length = HEIGHT if axis == "y" else WIDTH
        assert (found.down if axis == "y" else found.across) == min(segment or length, length)


@settings(max_examples=40, deadline=None)
@given(one=BLOCKS, other=BLOCKS, precision=st.sampled_from(["fp32", "fp16", "bf16"]))
def test_local_work(one, other, precision):
    random = np.random.default_rng(1)
    a, b = tiles(random, one, (2, 4), precision), tiles(random, other, (2, 4), precision)
    same_as_alone(Local("add", 4, 2), a, b, precision=precision)
    same_as_alone(Local("silu_mul", 4, 2, form="vector"), a, b, precision=precision)
    same_as_alone(Local("rowmax", 4, 2), a, precision=precision)
    totals = Repeated(np.abs(tiles(random, other, (2,)).tiles) + np.float32(1), HEIGHT, WIDTH, *other)
    same_as_alone(Local("rowdiv", 4, 2), a, totals, precision=precision)


def test_an_operation_without_a_rule_of_its_own_runs_on_all_pes():
    x = tiles(np.random.default_rng(0), (HEIGHT, 1), (3,))
    same_as_alone(Shift(3, "x", 1), x)
    moved = engine("fp32")
    moved.values(Shift(3, "x", 1), x)
    assert moved.cycles == 0 and moved.link_traversals == 0


def test_an_axis_of_pes_with_stride_0_is_one_tile():
    row = np.arange(WIDTH, dtype=np.float32)[:, None]
    found = Repeated.of(np.broadcast_to(row, (HEIGHT, WIDTH, 1)))
    assert (found.down, found.across, found.tiles.shape) == (HEIGHT, 1, (1, WIDTH, 1))
    np.testing.assert_array_equal(found.full()[:, :, 0], np.tile(np.arange(WIDTH), (HEIGHT, 1)))


@given(one=BLOCKS, other=BLOCKS)
def test_common_blocks_hold_what_both_hold(one, other):
    a, b = (tiles(np.random.default_rng(2), blocks, ()) for blocks in (one, other))
    down, across = common((a, b))
    for held in (a, b):
        part = Repeated(held.at(down, across), HEIGHT, WIDTH, down, across)
        np.testing.assert_array_equal(part.full(), held.full())


def test_tiles_of_another_size_are_refused():
    x = tiles(np.random.default_rng(0), (1, 1), (3,))
    with pytest.raises(InputError, match="expected 4 elements of float32 on each of 6x4"):
        engine("fp32").values(AllReduce(4, "x"), x)
    with pytest.raises(InputError, match="expected 6 elements of float16"):
        engine("fp16").values(Gemm(2, 3, 1), tiles(np.random.default_rng(0), (1, 1), (2, 3)), x)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), left=BLOCKS, right=BLOCKS, axis=st.sampled_from("xy"), segment=st.integers(0, 5),
       m=st.integers(1, 3), n=st.integers(1, 5), at_once=st.integers(1, 200))
def test_sums_of_products_some_lines_after_others(data, left, right, axis, segment, m, n, at_once):
    """What is never in memory as a whole gives the same bits, for any number of lines at once."""
    random = np.random.default_rng(n)
    x = tiles(random, left, (m, 3), "fp16", data.draw(st.permutations(range(4))))
    w = tiles(random, right, (3, n), "fp16", data.draw(st.permutations(range(4))))
    product, reduction = Gemm(m, 3, n), AllReduce(m * n, axis, groups=2, segment=segment)
    alone = engine("fp16").values(reduction, engine("fp16").values(product, x, w))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gemm, "CACHED", at_once)
        patch.setattr(gemm, "ROW", 1)
        found = engine("fp16").values_of(product, reduction, x, w)
    assert np.ascontiguousarray(found.full()).tobytes() == np.ascontiguousarray(alone.full()).tobytes()


@pytest.mark.parametrize("axis", [0, 1])
def test_some_lines_are_cut_where_blocks_allow_it(axis):
    whole = tiles(np.random.default_rng(0), (HEIGHT, 1), (2,))
    some = whole.some(axis, slice(1, 3))
    assert some is not None
    np.testing.assert_array_equal(some.full(), whole.full()[(slice(None),) * axis + (slice(1, 3),)])
    assert tiles(np.random.default_rng(0), (2, 3), (2,)).some(axis, slice(1, 3)) is None
