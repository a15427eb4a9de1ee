"""Collectives by kinds of wires, against closed forms, counted routes and the bounds that no wires beat."""

from collections import Counter
from importlib.resources import files
from itertools import product
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.cluster import load_cluster
from wsekern.cluster.topology import ROUNDS, Mesh, Switch, Torus, ring_seconds, slice_shape
from wsekern.errors import InputError

OPERATIONS = ("all_reduce", "all_gather", "reduce_scatter", "alltoall")
QUICK = settings(max_examples=60, deadline=None)
shapes = st.lists(st.integers(1, 9), min_size=1, max_size=3).filter(lambda shape: prod(shape) > 1).map(tuple)
tori = shapes.flatmap(lambda shape: st.tuples(st.just(shape), st.tuples(*(st.booleans() for _ in shape))))
messages = st.floats(1.0, 1e9)


def torus(case, rate=1.0, hop=0.0):
    return Torus(*case, rate, hop)


@pytest.mark.parametrize("shape, wraps, share", [
    ((8,), (True,), 2 * 7 / 8 / 2),  # both ways around a ring
    ((8,), (False,), 2 * 7 / 8),  # towards the ends of a line
    ((4, 4), (True, True), 2 * 15 / 16 / 4),  # both axes together: four wires a chip
    ((4, 4), (False, False), 2 * 15 / 16 / 2),
    ((4, 4, 4), (True, True, True), 2 * 63 / 64 / 6),
    ((2, 4), (False, False), 2 * (3 / 4 + 1 / 2 * 3 / 4) / 2),  # at the pace of the longer axis
])
def test_an_all_reduce_on_a_torus_takes_its_closed_form(shape, wraps, share):
    assert torus((shape, wraps)).seconds("all_reduce", 1.0) == pytest.approx(share)


def counted(shape, wraps):
    """Bytes on the busiest wire where each chip exchanges one byte, by walking every route, one axis after the other."""
    load, chips = Counter(), list(product(*(range(n) for n in shape)))
    for source, target in product(chips, chips):
        place = list(source)
        for axis, (n, wrap) in enumerate(zip(shape, wraps, strict=True)):
            ahead = (target[axis] - place[axis]) % n
            ways = [(1, ahead), (-1, n - ahead)] if wrap else [(1, ahead)] if target[axis] >= place[axis] else [(-1, n - ahead)]
            least = min(steps for _, steps in ways)
            ways = [way for way in ways if way[1] == least]
            for sign, steps in ways:
                for step in range(steps):
                    at = (*place[:axis], (place[axis] + sign * step) % n, *place[axis + 1:])
                    load[at, axis, sign] += 1.0 / len(chips) / len(ways)
            place[axis] = target[axis]
    return max(load.values())


@pytest.mark.parametrize("shape, wraps", [((5,), (True,)), ((6,), (True,)), ((6,), (False,)), ((4, 3), (True, False)),
                                          ((2, 2, 4), (False, False, True))])
def test_an_exchange_on_a_torus_takes_its_busiest_wire(shape, wraps):
    assert torus((shape, wraps)).seconds("alltoall", 1.0) == pytest.approx(counted(shape, wraps))


def test_latency_on_a_torus_is_hops():
    ring, line = (Torus((8,), (wrap,), 1.0, 1.0) for wrap in (True, False))
    assert [each.seconds("all_gather", 0.0) for each in (ring, line)] == [4.0, 7.0]
    assert Torus((4, 4), (True, True), 1.0, 1.0).seconds("all_reduce", 0.0) == 2 * (2 + 2)


def test_few_ranks_of_a_full_mesh_have_the_wires_between_them():
    whole, wire = 7.0, 1.0
    for ranks, share in ((2, 1 / 7), (4, 3 / 7), (8, 1.0)):
        expected = 2 * (ranks - 1) / ranks / (share * whole)
        assert ROUNDS["all_reduce"] / ranks / wire == pytest.approx(expected)
        assert Mesh(ranks, wire, 0.0).seconds("all_reduce", 1.0) == pytest.approx(min(expected, 1.0))
    assert ring_seconds("all_reduce", 8, 1.0, wire, 0.0) == pytest.approx(2 * 7 / 8 / (whole / 7))
    assert Mesh(8, wire, 0.0).seconds("alltoall", 1.0) == pytest.approx(1 / 8)


def test_a_switch_takes_one_round_of_whole_vectors_while_they_are_short():
    short, long = (Switch(8, 1.0, 1.0).seconds("all_reduce", message) for message in (0.01, 1e6))
    assert short == pytest.approx(1.0 + 7 * 0.01) and long == pytest.approx(2 * (1.0 + 7 / 8 * 1e6))


@QUICK
@given(tori, st.sampled_from(OPERATIONS), messages)
def test_no_torus_beats_its_wires(case, operation, message):
    ranks = prod(case[0])
    wires = sum(2.0 if wrap else min(2.0, n - 1.0) for n, wrap in zip(*case, strict=True) if n > 1)
    least = ROUNDS.get(operation, 1.0) * message * (ranks - 1) / ranks / wires
    assert torus(case).seconds(operation, message) >= least * (1 - 1e-9)


@QUICK
@given(tori, st.sampled_from(OPERATIONS), messages, st.floats(0.0, 1e6))
def test_a_torus_without_wraparound_is_never_quicker(case, operation, message, hop):
    shape, wraps = case
    seconds = torus(case, hop=hop).seconds(operation, message)
    for axis in range(len(shape)):
        ring = (*wraps[:axis], True, *wraps[axis + 1:])
        assert torus((shape, ring), hop=hop).seconds(operation, message) <= seconds * (1 + 1e-9)


@QUICK
@given(st.integers(2, 64), st.integers(0, 8), st.sampled_from(OPERATIONS), messages, st.floats(0.0, 1e6), st.floats(1.0, 8.0))
def test_more_links_are_never_slower(ranks, idle, operation, message, hop, factor):
    rate = float(ranks + idle - 1)
    switch, mesh = Switch(ranks, rate, hop), Mesh(ranks, 1.0, hop)
    ring, bound = ring_seconds(operation, ranks, message, 1.0, hop), ROUNDS.get(operation, 1.0) * message * (ranks - 1) / ranks
    for whole in (switch, mesh):
        assert whole.seconds(operation, message) >= bound / rate * (1 - 1e-9)
        assert type(whole)(ranks, whole.rate * factor, hop).seconds(operation, message) <= whole.seconds(operation, message)
    assert switch.seconds(operation, message) <= mesh.seconds(operation, message) * (1 + 1e-9)
    assert mesh.seconds(operation, message) <= ring * (1 + 1e-9)


def test_slices_are_usual_ones_or_near_cubes():
    assert slice_shape(16, (16, 16)) == (4, 4)
    assert slice_shape(8, (16, 16), ((2, 4),)) == (2, 4)
    assert slice_shape(64, (16, 16, 24)) == (4, 4, 4)
    assert slice_shape(16, (4, 4, 4)) == (2, 2, 4)
    assert slice_shape(17, (4, 4)) == (17,)  # no slice holds so many: a line


@pytest.mark.parametrize("old, new, match", [
    ('"2x2x1"', '"2xq"', "shape '2xq'"), ('"2x2x1"', '"2x2x1x1"', "at most 3 axes"), ("[16, 24, 24]", "[]", "axes is empty")])
def test_a_bad_torus_is_refused_where_it_is_read(tmp_path, old, new, match):
    text = (files("wsekern.cluster") / "data" / "machines" / "tpu7x.toml").read_text()
    assert old in text
    (tmp_path / "own.toml").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=match):
        load_cluster(tmp_path / "own.toml", 4)
