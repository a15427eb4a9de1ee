"""The comparisons of these tests tell where two engines part."""

import numpy as np
import pytest


def test_the_first_pe_whose_bits_differ_is_named(assert_same_bits):
    tile = np.zeros((2, 3, 4), np.float16)
    other = tile.copy()
    other[1, 2, 3] = -0.0
    assert_same_bits(tile, tile.reshape(2, 3, 2, 2))
    with pytest.raises(AssertionError, match=r"on 1 PEs, first on PE \(x 2, y 1\), element 3: 0x8000, expected 0x0000"):
        assert_same_bits(other, tile)
    with pytest.raises(AssertionError, match="float32 of shape"):
        assert_same_bits(tile.astype(np.float32), tile)


def test_the_first_cycle_that_differs_is_named(assert_same_clocks):
    clock = np.array([[9, 5], [4, 7]])
    assert_same_clocks(clock, clock.copy())
    with pytest.raises(AssertionError, match=r"on 2 of 4 PEs, first on PE \(x 1, y 0\), done in cycle 6, expected 5"):
        assert_same_clocks(clock + np.array([[1, 1], [0, 0]]), clock)
