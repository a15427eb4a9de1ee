"""Lines that are alike: stepped once for all, and every PE stepped by itself, are the same bit for bit and in every cycle."""

import re

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from wsekern.errors import InputError
from wsekern.number_formats import NUMPY_DTYPES
from wsekern.ops import (
    PRECISIONS,
    AllReduce,
    Broadcast,
    CycleEngine,
    Gather,
    Gemm,
    Gemv,
    KTreeAllReduce,
    Local,
    Reduce,
    Reduce2D,
    ReduceTree,
    RingAllReduce,
    RingShift,
    Scatter,
    Shift,
    TreeAllReduce,
    TwoPhaseReduce,
)
from wsekern.ops.engines.alike import shape_of_line
from wsekern.program import Layout, Program
from wsekern.program.alike import AlikeLines

machines = st.sampled_from([("wse2", "vendor-simulator"), ("wse2", "silicon"), ("wse3", "vendor-simulator"),
                            ("wse3", "silicon")])
axes, small = st.sampled_from("xy"), st.integers(1, 4)


@st.composite
def operations(draw: st.DrawFn) -> object:
    words = draw(st.sampled_from([1, 2, 3, 6, 21]))

    def make(operation: type, *fields: st.SearchStrategy) -> st.SearchStrategy:
        return st.builds(lambda *drawn: operation(words, *drawn), *fields)

    return draw(st.one_of(
        make(AllReduce, axes, small, st.sampled_from(["sum", "max"]), st.sampled_from([0, 0, 4])),
        make(Reduce, axes, st.just(0)),
        make(Broadcast, axes, st.just(0)), make(TwoPhaseReduce, axes, small), make(TreeAllReduce, axes, st.just("auto")),
        make(ReduceTree, axes, st.just("auto"), st.just(0)), make(KTreeAllReduce, axes, st.tuples(small, small)),
        make(RingAllReduce, axes), make(RingShift, axes, small), make(Shift, axes, st.sampled_from([-2, -1, 1, 3])),
        make(Gather, axes), st.builds(Gemv, st.integers(1, 5), st.just(words)),
        st.builds(Gemm, st.integers(1, 3), st.integers(1, 4), st.just(words)), make(lambda n: Local("silu", n)),
        make(lambda n: Local("sumsq", n))))


def tiles_of(operation, engine: CycleEngine, rng: np.random.Generator, values_of: str) -> list[np.ndarray]:
    """Normal numbers; or all bits, so that infinities and the smallest numbers are among them, with NaNs or without."""
    shapes, dtype, tiles = operation.tiles() or ((operation.elements,),), np.dtype(NUMPY_DTYPES[engine.precision]), []
    for shape in shapes:
        values = rng.standard_normal((engine.height, engine.width, *shape)).astype(np.float32)
        bits = rng.integers(0, 256, values.size * dtype.itemsize, np.uint8)
        plain = (values.view(np.uint32) >> 16).astype(np.uint16) if engine.precision == "bf16" else values.astype(dtype)
        wild = bits.view(dtype).reshape(values.shape)
        if values_of == "all but NaNs":
            wild = np.where(is_nan(wild), plain, wild)
        tiles.append(plain if values_of == "normal" else wild)
    return tiles


def is_nan(values: np.ndarray) -> np.ndarray:
    return (values & 0x7fff) > 0x7f80 if values.dtype == np.uint16 else np.isnan(values)


def one_nan(values: object) -> np.ndarray:
    """Where two NaNs meet, either is the result, as the compiler orders them: all are taken as one."""
    if isinstance(values, tuple):
        return np.concatenate([one_nan(each).reshape(*each.shape[:2], -1).view(np.uint8) for each in values], axis=2)
    return np.where(is_nan(values), np.uint16(0x7fc0) if values.dtype == np.uint16 else values.dtype.type("nan"), values)


def as_they_are(values: object) -> np.ndarray:
    if isinstance(values, tuple):
        return np.concatenate([each.reshape(*each.shape[:2], -1).view(np.uint8) for each in values], axis=2)
    return values


@settings(max_examples=50, deadline=None)
@given(operation=operations(), machine=machines, width=st.integers(1, 9), height=st.integers(1, 9),
       precision=st.sampled_from([each for each in PRECISIONS if each != "u32"]),
       values_of=st.sampled_from(["normal", "all but NaNs", "all"]),
       starts=st.sampled_from(["together", "ramp", "any"]), threads=st.integers(1, 3), seed=st.integers(0, 99))
def test_one_line_stands_for_all(assert_same_bits, assert_same_clocks, operation, machine, width, height, precision, values_of,
                                 starts, threads, seed):
    rng = np.random.default_rng(seed)
    line, full = (CycleEngine(machine[0], width, height, machine[1], precision, threads) for _ in range(2))
    clock = {"together": np.zeros((height, width), np.int64),
             "ramp": 5 * np.arange(height)[:, None] + 3 * np.arange(width), "any": rng.integers(0, 30, (height, width))}[starts]
    line._clock, full._clock = clock.astype(np.int64), clock.astype(np.int64)
    full._lines.of = lambda operation, timing: None
    tiles = tiles_of(operation, full, rng, values_of)
    try:
        expected = full.run(operation, *tiles)
    except InputError as error:     # both refuse it alike; Hypothesis tells where most are
        with pytest.raises(InputError, match=re.escape(str(error))):
            line.run(operation, *tiles)
        reject()
    found = line.run(operation, *tiles)
    assert line._lines.of(operation, line.timing).alike.fits and not line._compiled
    kind = one_nan if values_of == "all" else as_they_are
    assert_same_bits(kind(found), kind(expected))
    assert_same_clocks(line.clock, full.clock)
    assert line.link_traversals == full.link_traversals


def test_lines_are_told_apart_where_they_begin_otherwise(random_tile, assert_same_bits, assert_same_clocks):
    """Three of seven columns begin otherwise, in two ways."""
    engines = [CycleEngine("wse3", 7, 6, "silicon", "fp16", 2) for _ in range(2)]
    engines[1]._lines.of = lambda operation, timing: None
    tile = random_tile(3, "fp16", 6, 7, 9)
    for engine in engines:
        engine._clock[2, [1, 5]] += 40
        engine._clock[:, 3] += 7 * np.arange(6)
    values = [engine.run(AllReduce(9, "y", 2), tile) for engine in engines]
    assert_same_bits(*values)
    assert_same_clocks(engines[0].clock, engines[1].clock)


def test_what_goes_along_both_axes_has_no_line():
    engine = CycleEngine("wse3", 4, 4, "silicon", "fp16")
    assert shape_of_line(Reduce2D(4), engine.timing, 4, 4) is None
    assert shape_of_line(AllReduce(4, "x"), engine.timing, 4, 5) == (4, 1)
    assert shape_of_line(Gemv(4, 4), engine.timing, 4, 5) == (1, 1)
    assert shape_of_line(Scatter(4, "y", 5), engine.timing, 4, 5) == (1, 5)



def test_programs_whose_course_depends_on_values_do_not_fit():
    """A data task is started by a word, and puts it into a register."""
    layout, program = Layout("wse3", 1, 2), Program("counts")
    with program.data_task("came", 5) as code:
        code.spend(3)
    layout.set_program(program, 0, 0, 1, 2)
    alike = AlikeLines(layout.compile())
    assert not alike.fits
    with pytest.raises(InputError, match="depends on values"):
        alike.run({}, {}, np.arange(1))
