"""The route finder: words arrive at exactly the destinations, what was painted stays, and it says when colors run out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import BudgetError, InputError
from wsekern.fabric import Fabric, FabricPlan, RangeFilter
from wsekern.fabric.reference import STEP
from wsekern.fabric.routes import Port, ports_of


def routes_of(plan: FabricPlan) -> dict:
    return {(color, x, y): route for color in range(24) for y in range(plan.height) for x in range(plan.width)
            if (route := plan.route_at(color, x, y)) is not None}


def deliveries(fabric: Fabric) -> set:
    return {(int(w["x"]), int(w["y"]), int(w["color"]), int(w["data"])) for w in fabric.drain()}


def cells(area):
    x, y, width, height = area
    return [(x + i, y + j) for j in range(height) for i in range(width)]


@st.composite
def areas(draw, width, height, size=None):
    w, h = size or (draw(st.integers(1, min(4, width))), draw(st.integers(1, min(4, height))))
    return draw(st.integers(0, width - w)), draw(st.integers(0, height - h)), w, h


@st.composite
def wishes(draw):
    """A fabric with a few rows painted already, and connections that one might want on it."""
    width, height = draw(st.integers(2, 9)), draw(st.integers(2, 9))
    painted = draw(st.lists(st.tuples(st.integers(0, 3), areas(width, height), st.sampled_from("NESW")), max_size=4))
    wanted = []
    for _ in range(draw(st.integers(1, 6))):
        source = draw(areas(width, height, (1, 1)) | areas(width, height))
        size = None if source[2:] == (1, 1) else source[2:]
        wanted.append((source, draw(st.lists(areas(width, height, size), min_size=1, max_size=3))))
    return width, height, painted, wanted, draw(st.sets(st.integers(0, 5), min_size=1))


@settings(max_examples=60, deadline=None)
@given(wishes())
def test_words_arrive_at_exactly_the_destinations(wish):
    width, height, painted, wanted, colors = wish
    plan = FabricPlan(width, height, "wse2", open_edges=True)
    for color, (x, y, w, h), towards in painted:
        plan.paint(color, "RAMP", towards, x=x, y=y, width=w, height=h)
    expected, sends = set(), []
    for source, targets in wanted:
        before, rects = routes_of(plan), plan.painted
        try:
            found = plan.connect(source, *targets, colors=colors)
        except BudgetError as error:
            assert plan.painted == rects and "colors run out" in str(error)
            continue
        after = routes_of(plan)
        assert {place: after[place] for place in before} == before, "nothing that was painted changes"
        for k, (x, y) in enumerate(cells(source)):
            color = int(found.colors.reshape(-1)[k])
            word = len(sends) + 1
            sends.append((x, y, color, word))
            ends = [cells(t) if source[2:] == (1, 1) else [cells(t)[k]] for t in targets]
            expected |= {(tx, ty, color, word) for end in ends for tx, ty in end}
    fabric = Fabric(plan)
    for x, y, color, word in sends:
        fabric.inject(x, y, color, [word] * 20)
    fabric.run_until_idle()
    assert deliveries(fabric) == expected
    delivered, injected = fabric.totals()["delivered"].sum(), fabric.totals()["injected"].sum()
    assert delivered == 20 * len(expected) and injected == 20 * len(sends), "each once"


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6), st.integers(0, 6))
def test_an_empty_fabric_is_crossed_without_a_detour(x, y, to_x, to_y):
    plan = FabricPlan(7, 7, "wse3")
    found = plan.connect((x, y), (to_x, to_y))
    assert found.longest == found.links == abs(to_x - x) + abs(to_y - y)
    fabric = Fabric(plan)
    fabric.inject(x, y, found.color, 1)
    fabric.run_until_idle()
    assert fabric.drain()["cycle"].tolist() == [2 * plan.rules.ramp_latency + found.longest * plan.rules.hop_latency]


def test_a_multicast_reaches_each_pe_of_a_rectangle_as_soon_as_it_can():
    plan = FabricPlan(12, 9, "wse2")
    found = plan.connect((0, 0), (4, 3, 6, 5), colors=[2])
    fabric = Fabric(plan)
    fabric.inject(0, 0, 2, 7)
    fabric.run_until_idle()
    words = fabric.drain()
    assert len(words) == 30 and found.links == 7 + 29 and found.longest == 9 + 7
    assert np.array_equal(words["cycle"], 4 + words["x"] + words["y"])


def test_a_way_leads_around_what_is_painted():
    plan = FabricPlan(5, 5, "wse2")
    plan.paint(0, "NORTH", "SOUTH", x=2, y=0, height=3)
    found = plan.connect((0, 0), (4, 0), colors=[0])
    assert found.longest == 4 + 2 * 4, "by the last row: words of the column come in at the one before"


def test_a_router_that_others_send_to_is_not_taken():
    plan = FabricPlan(3, 1, "wse2", open_edges=True)
    plan.paint(4, "WEST", "EAST", x=0)
    with pytest.raises(BudgetError, match=r"PE \(1, 0\) to PE \(2, 0\); color 4 in use at the source"):
        plan.connect((1, 0), (2, 0), colors=[4])
    plan.paint(7, "RAMP", "EAST", x=1, swap="EW")
    with pytest.raises(BudgetError):
        plan.connect((1, 0), (2, 0), colors=[6])       # words of 7 come in as 6
    plan.filter(8, RangeFilter(0, 1), x=2)
    with pytest.raises(BudgetError, match="color 8 in use at the destination"):
        plan.connect((1, 0), (2, 0), colors=[8])


def test_colors_run_out_with_a_sentence_and_nothing_painted():
    plan = FabricPlan(4, 1, "wse2")
    for color in (0, 1):
        plan.paint(color, "WEST", "EAST", x=1)
    painted = plan.painted
    with pytest.raises(BudgetError, match=r"run out: none leads from PE \(0, 0\) to PE \(3, 0\); colors 0 and 1 cut off"):
        plan.connect((0, 0), (3, 0), colors=[0, 1])
    assert plan.painted == painted
    assert plan.connect((0, 0), (3, 0)).color == 2, "the first that is free"
    with pytest.raises(BudgetError, match="reserved"):
        plan.connect((0, 0), (3, 0), colors=[22])


def test_pairs_of_pes_are_connected_place_by_place():
    plan = FabricPlan(8, 6, "wse2")
    found = plan.connect((0, 0, 3, 2), (5, 4, 3, 2))
    assert found.colors.shape == (2, 3)
    fabric = Fabric(plan)
    for y in range(2):
        for x in range(3):
            fabric.inject(x, y, int(found.colors[y, x]), 10 * y + x)
    fabric.run_until_idle()
    arrived = {(x - 5, y - 4, word) for x, y, _, word in deliveries(fabric)}
    assert arrived == {(x, y, 10 * y + x) for y in range(2) for x in range(3)}


@pytest.mark.parametrize("arguments", [
    [(0, 0)], [(0, 0), (4, 0)], [(0, 0), (0,)], [(0, 0), "E"], [(0, 0, 2, 1), (0, 0, 1, 1)], [(0, 0), (0, 0, 0, 1)],
    [(-1, 0), (1, 0)], [(0, 0), (1.5, 0)]])
def test_what_is_no_place_is_refused(arguments):
    plan = FabricPlan(4, 2, "wse2")
    with pytest.raises(InputError):
        plan.connect(*arguments)
    for colors in ([], [24], ["red"], [-1], 7):
        with pytest.raises(InputError):
            plan.connect((0, 0), (1, 0), colors=colors)


def test_each_route_has_one_input():
    plan = FabricPlan(9, 9, "wse3")
    plan.connect((4, 4), (0, 0, 9, 9), colors=[1])
    for (_, x, y), route in routes_of(plan).items():
        (port,) = ports_of(route.rx[0])
        if port != Port.RAMP:
            dx, dy = STEP[port]
            assert plan.route_at(1, x + dx, y + dy).tx[0] >> (port + 2) % 4 & 1
