"""Matrices that do not divide by the PEs: padded, multiplied, cut, and the padding accounted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import InputError
from wsekern.ops import FlowEngine, MeshGemm, join_tiles, split_matrix


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(0, 20), columns=st.integers(0, 20), height=st.integers(1, 6), width=st.integers(1, 6),
       even=st.booleans())
def test_splitting_and_joining_is_the_matrix(rows, columns, height, width, even):
    matrix = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    padded = split_matrix(matrix, height, width, even)
    np.testing.assert_array_equal(join_tiles(padded.tiles, padded.shape), matrix)
    assert padded.padding == padded.tiles.size - matrix.size >= 0 and 0 <= padded.efficiency <= 1
    assert not even or padded.tiles.shape[3] % 2 == 0


def test_a_product_of_odd_sizes_is_the_product():
    random = np.random.default_rng(1)
    a, b = random.standard_normal((7, 11)).astype(np.float32), random.standard_normal((11, 5)).astype(np.float32)
    x, w = split_matrix(a, 3, 3), split_matrix(b, 3, 3)
    engine = FlowEngine("wse3", 3, 3, "silicon", "fp32")
    product = engine.run(MeshGemm(3, 4, 2), x.tiles, w.tiles)
    np.testing.assert_allclose(join_tiles(product, (7, 5)), a @ b, rtol=1e-4, atol=1e-5)
    assert x.padding == 3 * 3 * 3 * 4 - 77 and x.efficiency == pytest.approx(77 / 108)


def test_what_is_no_matrix_is_refused():
    with pytest.raises(InputError, match="two dimensions"):
        split_matrix(np.zeros(3, np.float32), 1, 1)
    with pytest.raises(InputError, match="do not hold"):
        join_tiles(np.zeros((1, 1, 2, 2), np.float32), (3, 2))
