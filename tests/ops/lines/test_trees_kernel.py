"""The kernels that trees and schedules are made with, against plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsekern.ops._trees import Written, best_children, shared_links


def plain_children(first, free, choice, stage, hop, run):
    """The dynamic program as it is defined: every child is tried."""
    for b in range(1, len(first)):
        for n in range(2, first.shape[1]):
            cycles = [max(first[b, n - i] + stage + hop * i, free[b - 1, i]) for i in range(1, n if b > 1 else 2)]
            first[b, n], choice[b, n] = min(cycles), 1 + int(np.argmin(cycles))
            free[b, n] = first[b, n] + run


@given(most=st.integers(1, 8), length=st.integers(1, 40), stage=st.integers(0, 20), hop=st.integers(0, 5),
       run=st.integers(0, 60), send=st.integers(0, 12), add=st.integers(0, 12))
def test_the_generated_tree_is_the_least_of_all_children(most, length, stage, hop, run, send, add):
    found = []
    for fill in (best_children, plain_children):
        first, free, choice = (np.zeros((most + 1, length + 1), np.int64) for _ in range(3))
        first[1:, 1:2], free[:, 1:2] = send, add
        fill(first, free, choice, stage, hop, run)
        found.append((first, free, choice))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def links(way, width):
    """Links of a way, each as two neighbors, from its source on."""
    source, low, high = way
    step = width if low // width != high // width else 1
    return [[(at, at + sign * step) for at in range(source, end, sign * step)] for sign, end in ((1, high), (-1, low))]


@given(width=st.integers(1, 6), height=st.integers(1, 4), data=st.data())
def test_shared_links_are_those_of_several_routes(width, height, data):
    @st.composite
    def ways(draw):
        if draw(st.booleans()):
            y, x = draw(st.integers(0, height - 1)), sorted(draw(st.lists(st.integers(0, width - 1), min_size=3, max_size=3)))
            return tuple(y * width + at for at in (x[1], x[0], x[2]))
        x, y = draw(st.integers(0, width - 1)), sorted(draw(st.lists(st.integers(0, height - 1), min_size=3, max_size=3)))
        return tuple(at * width + x for at in (y[1], y[0], y[2]))

    routes = data.draw(st.lists(ways(), min_size=1, max_size=6, unique=True))
    over = [link for way in routes for side in links(way, width) for link in side]
    expected = [(way, far) for way, one in enumerate(routes) for side in links(one, width) for far, link in enumerate(side)
                if over.count(link) > 1]
    array = np.array(routes, np.int64).T.copy()
    _, way, far = shared_links(array, array, width)
    assert list(zip(way.tolist(), far.tolist(), strict=True)) == expected


def test_what_is_written_comes_back_and_mistakes_are_refused():
    written = Written()
    whole = written.message(3, 1, 8, far=4)
    assert written.part(whole, 2, 6, hands_over=True) == 1 and written.far(1) == 4
    assert written.multicast(0, 0, 5, 8, "plane") == 2 and written.far(2) is None
    written.step(3, "mov", 0, whole, ("tile", 0))
    written.step(3, "sum", 8, ("sum", 2), ("tile", 1), whole)
    assert written.message_columns.T.tolist() == [[3, 1, 3, 8, 1, -1, 0, 0, 4, 0], [3, 1, 3, 6, 1, 0, 2, 0, 4, 1],
                                                  [0, 0, 5, 8, 0, -1, 0, 2, -1, 0]]
    assert written.step_columns.T.tolist() == [[3, 0, 8, 0, 2, 1, 1, -1, 0]]
    assert (list(written.ops), list(written.names)) == (["sum"], ["sum", "tile"])
    with pytest.raises(IndexError, match="no message 3: 3 are written"):
        written.part(3, 0, 1)
    with pytest.raises(TypeError, match="a schedule is not saved"):
        written.__reduce__()
