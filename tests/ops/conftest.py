"""Random tiles, and comparisons that tell on which PE, and in which cycle, two engines part."""

from collections.abc import Callable

import numpy as np
import pytest

from wsekern.number_formats import NUMPY_DTYPES, round_bf16
from wsekern.ops import FlowEngine, Operation
from wsekern.ops.engines.programs import run_on_cycle_engine


def _random_tile(seed: int | np.random.Generator, dtype: str, *shape: int) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return round_bf16(values).reshape(shape) if dtype == "bf16" else values.astype(NUMPY_DTYPES[dtype])


def bits_of(tile: np.ndarray) -> np.ndarray:
    """The elements as unsigned integers (height, width, elements), or as they lie where there are no two axes of PEs."""
    words = np.ascontiguousarray(tile).view(f"u{tile.dtype.itemsize}")
    return words.reshape(*tile.shape[:2], -1) if tile.ndim > 2 and tile.size else words.reshape(1, 1, -1)


def difference_of_bits(actual: np.ndarray, expected: np.ndarray) -> str:
    """Where the bits of two arrays (height, width, ...) differ, in words; empty where they are the same."""
    if actual.dtype != expected.dtype or actual.size != expected.size or actual.shape[:2] != expected.shape[:2]:
        return f"{actual.dtype} of shape {actual.shape}, expected {expected.dtype} of shape {expected.shape}"
    a, b = bits_of(actual), bits_of(expected)
    where = np.argwhere(a != b)
    if not len(where):
        return ""
    y, x, element = (int(i) for i in where[0])
    pes = len({(row, column) for row, column, _ in where.tolist()})
    digits = 2 * actual.dtype.itemsize
    return (f"values differ on {pes} PEs, first on PE (x {x}, y {y}), element {element}: "
            f"0x{int(a[y, x, element]):0{digits}x}, expected 0x{int(b[y, x, element]):0{digits}x}")


def difference_of_clocks(actual: np.ndarray, expected: np.ndarray) -> str:
    """Where the clocks (height, width) of two engines differ, in words; empty where they are the same."""
    if actual.shape != expected.shape:
        return f"clocks of {actual.shape[::-1]} PEs, expected {expected.shape[::-1]}"
    where = np.argwhere(actual != expected)
    if not len(where):
        return ""
    y, x = min(where.tolist(), key=lambda at: int(min(actual[tuple(at)], expected[tuple(at)])))
    return (f"clocks differ on {len(where)} of {actual.size} PEs, first on PE (x {x}, y {y}), done in cycle {actual[y, x]}, "
            f"expected {expected[y, x]}")


@pytest.fixture(scope="session")
def random_tile() -> Callable[..., np.ndarray]:
    """Normal numbers: (seed, number format, *shape) -> tile."""
    return _random_tile


@pytest.fixture(scope="session")
def assert_same_bits() -> Callable[[np.ndarray, np.ndarray], None]:
    """Equal elements, bit for bit; a tile may be flat in one of both."""
    def check(actual: np.ndarray, expected: np.ndarray) -> None:
        assert not (difference := difference_of_bits(actual, expected)), difference

    return check


@pytest.fixture(scope="session")
def assert_same_clocks() -> Callable[[np.ndarray, np.ndarray], None]:
    """Equal clocks of all PEs."""
    def check(actual: np.ndarray, expected: np.ndarray) -> None:
        assert not (difference := difference_of_clocks(actual, expected)), difference

    return check


SET_UPS = 40
"""Cycles of the set-ups, ramps and calls of one PE, at most: what it may wait for beside the words of a message."""


@pytest.fixture(scope="session")
def assert_one_operation(random_tile, assert_same_bits, assert_same_clocks) -> Callable[..., None]:
    """The three views of an operation along lines are one: the numerical contract, the program, values and clocks."""
    def check(operation: Operation, machine: tuple[str, str], width: int, height: int, dtype: str, elements: int, seed: int = 0,
              threads: int = 1) -> None:
        tile = random_tile(seed, dtype, height, width, elements)
        flow = FlowEngine(machine[0], width, height, machine[1], dtype, threads)
        values = flow.run(operation, tile)
        assert_same_bits(values, operation.reference(tile, flow.timing))
        run = run_on_cycle_engine(operation, machine[0], width, height, machine[1], dtype, tile)
        assert_same_bits(run.values, values)
        assert run.simulation.link_traversals == flow.link_traversals == operation.link_traversals(flow)
        assert sum(flow.breakdown.values()) == flow.cycles
        if not flow.notes:
            assert_same_clocks(run.clock, flow.clock)
        else:                   # held back or out of turn: by no more than the words and set-ups of all PEs of a line
            length = flow.length(operation.axis)
            assert np.abs(run.clock - flow.clock).max() <= length * (2 * elements + SET_UPS)
            assert abs(int(run.clock.max()) - flow.cycles) <= length * (SET_UPS // 2) + elements

    return check
