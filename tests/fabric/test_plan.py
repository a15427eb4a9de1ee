"""A plan can be read back as it was painted."""

from hypothesis import given
from hypothesis import strategies as st

from wsekern.fabric import FabricPlan, RangeFilter, make_route
from wsekern.fabric.plan import Painted, PlacedFilter

EAST, SOUTH = make_route("WEST", "EAST"), make_route("WEST", "SOUTH")


def test_painted_and_placed_are_listed_in_order():
    plan = FabricPlan(6, 4, "wse2")
    plan.paint(1, "WEST", "EAST", x=1, width=3)
    plan.paint_route(2, SOUTH, x=2, y=1, height=2)
    plan.paint_route(1, EAST, y=3)
    plan.erase(1, x=2)
    plan.filter(2, RangeFilter(3, 5), x=2, y=1)
    assert plan.painted == (Painted(1, 1, 0, 3, 1, EAST), Painted(2, 2, 1, 1, 2, SOUTH), Painted(1, 0, 3, 1, 1, EAST),
                            Painted(1, 2, 0, 1, 1, None))
    assert plan.placed_filters == (PlacedFilter(2, 2, 1, 1, 1, RangeFilter(3, 5)),)


@given(st.lists(st.tuples(st.sampled_from([EAST, SOUTH, None]), st.integers(0, 3), st.integers(0, 2), st.integers(1, 2),
                          st.integers(1, 2)), max_size=8))
def test_a_place_has_the_route_that_was_painted_last_unless_it_was_erased(rectangles):
    plan = FabricPlan(6, 5, "wse2")
    for route, x, y, width, height in rectangles:
        if route:
            plan.paint_route(7, route, x=x, y=y, width=width, height=height)
        else:
            plan.erase(7, x=x, y=y, width=width, height=height)
    expected = {(x, y): item.route for item in plan.painted for x in range(item.x, item.x + item.width)
                for y in range(item.y, item.y + item.height)}
    for x in range(6):
        for y in range(5):
            assert plan.route_at(7, x, y) == expected.get((x, y))
    assert plan.build().configured(7) == any(item.route for item in plan.painted)
