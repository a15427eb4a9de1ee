"""Several wafers: words cross links at exact cycles, in one process and between processes."""

import multiprocessing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import DeadlineError, InputError
from wsekern.fabric import Fabric, FabricPlan, Link, Wafers

WIDTH, HEIGHT = 4, 3


def wafer(enters: bool) -> Fabric:
    """One that sends every row's words from PE (0, y) over its east edge, or takes them from its west edge to the last PE."""
    plan = FabricPlan(WIDTH, HEIGHT, "wse2", open_edges=True)
    plan.paint(5, "WEST", "EAST", width=WIDTH, height=HEIGHT)
    if enters:
        plan.paint(5, "WEST", "RAMP", x=WIDTH - 1, height=HEIGHT)
    else:
        plan.paint(5, "RAMP", "EAST", height=HEIGHT)
    return Fabric(plan)


def expected(sent: list[list[int]], latency: int, words: int, frame: int) -> list[tuple[int, int, int]]:
    """(cycle, row, word) of what arrives: a word of cycle s is at the edge at s + 2 + 4, crosses when the link has room, and
    needs 4 hops and a ramp again."""
    leaving = sorted((row_start + 2 + WIDTH, y, word) for y, row in enumerate(sent) for row_start, word in enumerate(row))
    crossed, arrived, lanes = [], [], {}
    for cycle, y, word in leaving:
        start = max([cycle, *crossed[-1:], *([crossed[-words] + frame] if len(crossed) >= words else [])])
        crossed.append(start)
        enters = max(start + latency, lanes.get(y, -1) + 1)          # one a cycle in each row
        lanes[y] = enters
        arrived.append((enters + WIDTH + 2, y, word))
    return sorted(arrived)


@st.composite
def traffic(draw):
    counts = draw(st.lists(st.integers(0, 9), min_size=HEIGHT, max_size=HEIGHT))
    return ([[100 * y + k for k in range(n)] for y, n in enumerate(counts)], draw(st.integers(1, 30)), draw(st.integers(1, 5)),
            draw(st.integers(1, 4)))


def arrivals(fabric: Fabric) -> list[tuple[int, int, int]]:
    return sorted((int(w["cycle"]), int(w["y"]), int(w["data"])) for w in fabric.drain())


@settings(max_examples=40, deadline=None)
@given(traffic(), st.integers(1, 9))
def test_words_cross_a_link_at_exact_cycles(load, stride):
    sent, latency, words, frame = load
    ends = []
    for step in (None, stride):
        wafers = Wafers([wafer(False), wafer(True)])
        wafers.link(0, "EAST", 1, "WEST", HEIGHT, latency=latency, words=words, frame=frame)
        for y, row in enumerate(sent):
            wafers.fabrics[0].inject(0, y, 5, row)
        if step is None:
            wafers.run_until_idle()
        else:
            while wafers.cycle < 150:
                wafers.step(step)
        ends.append(arrivals(wafers.fabrics[1]))
    assert ends[0] == ends[1] == expected(sent, latency, words, frame)


def test_words_that_come_in_by_an_edge_are_as_if_the_wafers_were_one():
    """A ring of two wafers, joined by links of one cycle: each hop over a link costs that cycle and the hop into the router."""
    wafers = Wafers([wafer(False), wafer(True)])
    wafers.link(0, "EAST", 1, "WEST", 1, latency=1, words=1, first=2, enters_first=0)
    wafers.fabrics[0].inject(0, 2, 5, [7, 8])
    wafers.fabrics[0].inject(0, 1, 5, [9])          # no lane there
    assert wafers.run_until_idle() == 2 + WIDTH + 1 + WIDTH + 2 + 1
    assert arrivals(wafers.fabrics[1]) == [(13, 0, 7), (14, 0, 8)]
    wafers.reset()
    wafers.fabrics[0].inject(0, 2, 5, [6])
    assert wafers.run_until_idle() == 13 and arrivals(wafers.fabrics[1]) == [(13, 0, 6)]


def test_a_word_that_no_one_takes_is_waited_for_until_the_deadline():
    plan = FabricPlan(2, 1, "wse2", open_edges=True)
    plan.paint(5, "WEST", "RAMP")
    wafers = Wafers([wafer(False), Fabric(plan, "core")])
    wafers.link(0, "EAST", 1, "WEST", 1, latency=3, words=1)
    wafers.fabrics[0].inject(0, 0, 5, 1)
    with pytest.raises(DeadlineError, match="after 500 cycles"):
        wafers.run_until_idle(500)


def far_wafer(pipe, cycles: int) -> None:
    """The second wafer in a process of its own: before each cycle it gets what left the first."""
    fabric, link = wafer(True), Link("EAST", "WEST", HEIGHT, latency=6, words=2, frame=3)
    for _ in range(cycles):
        link.give(pipe.recv())
        link.deliver(fabric)
        fabric.step()
    pipe.send(arrivals(fabric))


def test_wafers_in_two_processes_are_those_in_one():
    sent, cycles = [[1, 2, 3], [4, 5, 6, 7], [8]], 60
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    other = context.Process(target=far_wafer, args=(there, cycles))
    other.start()
    fabric, link = wafer(False), Link("EAST", "WEST", HEIGHT, latency=6, words=2, frame=3)
    for y, row in enumerate(sent):
        fabric.inject(0, y, 5, row)
    for _ in range(cycles):
        link.collect(fabric)
        here.send(link.take())
        fabric.step()
    assert here.recv() == expected(sent, 6, 2, 3)
    other.join()


@pytest.mark.parametrize("change, complaint", [
    ({"leaves": "RAMP"}, "edge to an edge"), ({"lanes": 4}, "do not lie on the EAST edge"), ({"latency": 0}, "latency"),
    ({"words": 0}, "words"), ({"frame": 1.5}, "frame"), ({"first": 1}, "lanes 1 to 3"), ({"source": 2}, "number of a wafer"),
    ({"enters": "UP"}, "not a port")])
def test_links_that_lead_nowhere_are_refused(change, complaint):
    wafers = Wafers([wafer(False), wafer(True)])
    arguments = {"source": 0, "leaves": "EAST", "target": 1, "enters": "WEST", "lanes": 3, "latency": 1, "words": 1} | change
    with pytest.raises(InputError, match=complaint):
        wafers.link(**arguments)


def test_wafers_that_do_not_go_together_are_refused():
    one, two = wafer(False), wafer(True)
    one.step(3)
    for fabrics in ([], [one, two], [one, one], [one, "wafer"]):
        with pytest.raises(InputError):
            Wafers(fabrics)
    closed = Fabric(FabricPlan(3, 3, "wse2"))
    with pytest.raises(InputError, match="closed"):
        Wafers([closed]).link(0, "EAST", 0, "WEST", 3, latency=1, words=1)
    link = Link("EAST", "WEST", 3, latency=1, words=1)
    with pytest.raises(InputError):
        link.give(np.zeros(3))
    for wrong in ((-1, 0, 5, 1), (0, 3, 5, 1), (0, 0, 24, 1)):
        with pytest.raises(InputError):
            link.put(*wrong)
