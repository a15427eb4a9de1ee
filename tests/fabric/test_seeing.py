"""Example: a spiral, a multicast tree and a switch-controlled turn; their heat map and trace."""

import json
from itertools import pairwise

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.fabric import (
    Command,
    Fabric,
    FabricPlan,
    Port,
    Position,
    control_payload,
    link_use,
    plot_heatmap,
    record_use,
    text_heatmap,
    trace,
)


def spiral(size: int) -> list[tuple[int, int]]:
    """The PEs of a square, from the corner inwards."""
    x = y = turn = 0
    path, seen = [(0, 0)], {(0, 0)}
    while len(path) < size * size:
        dx, dy = ((1, 0), (0, 1), (-1, 0), (0, -1))[turn % 4]
        there = (x + dx, y + dy)
        if there in seen or not (0 <= there[0] < size and 0 <= there[1] < size):
            turn += 1
            continue
        x, y = there
        path.append(there)
        seen.add(there)
    return path


def example(size: int = 8) -> FabricPlan:
    """Color 0 winds through all PEs, color 1 is a tree from the middle, color 2 turns south when told to."""
    plan = FabricPlan(size, size, "wse2")
    way = {(1, 0): ("E", "W"), (-1, 0): ("W", "E"), (0, 1): ("S", "N"), (0, -1): ("N", "S")}
    path, come = spiral(size), "RAMP"
    for here, there in pairwise(path):
        go, next_come = way[there[0] - here[0], there[1] - here[1]]
        plan.paint(0, come, go, x=here[0], y=here[1])
        come = next_come
    plan.paint(0, come, "RAMP", x=path[-1][0], y=path[-1][1])

    middle = size // 2
    plan.paint(1, "WEST", "EAST RAMP", x=middle + 1, width=size - middle - 2, height=size)
    plan.paint(1, "WEST", "RAMP", x=size - 1, height=size)
    plan.paint(1, "NORTH", "SOUTH EAST RAMP", x=middle, y=1, height=size - 2)
    plan.paint(1, "NORTH", "EAST RAMP", x=middle, y=size - 1)
    plan.paint(1, "RAMP", "SOUTH EAST", x=middle)

    plan.paint(2, "RAMP", "EAST", y=2)
    plan.paint(2, "WEST", "EAST", x=1, y=2, width=size - 2)
    plan.paint(2, "WEST", "EAST", x=3, y=2, switches=(Position(tx="SOUTH"),), pop_mode="pop_on_advance")
    plan.paint(2, "NORTH", "RAMP", x=3, y=3)
    plan.paint(2, "WEST", "RAMP", x=size - 1, y=2)
    return plan


def run_example(size: int = 8) -> Fabric:
    fabric = Fabric(example(size))
    fabric.inject(0, 0, 0, np.arange(5))
    fabric.inject(size // 2, 0, 1, np.arange(3))
    turn = control_payload([Command.SWITCH_ADV], ignore_in_core=True)
    fabric.inject(0, 2, 2, [10, turn, 11], control=[False, True, False])
    return fabric


def test_spiral_tree_and_turn():
    fabric = run_example()
    fabric.run_until_idle()
    words = fabric.drain()
    last = spiral(8)[-1]
    assert words[words["color"] == 0][["x", "y", "data"]].tolist() == [(*last, n) for n in range(5)]
    tree = words[words["color"] == 1]
    assert len(tree) == 3 * (4 * 8 - 1)
    turned = words[(words["color"] == 2) & ~words["control"]]
    assert sorted(turned[["x", "y", "data"]].tolist()) == [(3, 3, 11), (7, 2, 10)]
    picture = text_heatmap(link_use(fabric))
    print(picture)
    assert len(picture.splitlines()) == 8 and "@" in picture
    assert link_use(fabric).sum() == fabric.totals()["hops"].sum()


def test_heat_map_over_wafer_and_time(tmp_path):
    fabric = run_example()
    frames = record_use(fabric, 90, 10)
    assert frames.shape == (9, 8, 8) and frames.sum() == fabric.totals()["hops"].sum()
    plot_heatmap(frames).savefig(tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 1000


def test_trace_has_a_row_per_router_and_an_arrow_per_crossing(tmp_path):
    fabric = run_example()
    crossings = trace(fabric, 90, tmp_path / "trace.json")
    assert crossings == fabric.totals()["hops"].sum()
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    kinds = [event["ph"] for event in events]
    assert kinds.count("s") == kinds.count("f") == crossings and kinds.count("X") == 2 * crossings
    assert sum(event["name"] == "thread_name" for event in events) == 64
    untraced = run_example()
    untraced.step(90)
    np.testing.assert_array_equal(untraced.drain(), fabric.drain())
    assert [untraced.link_counts(p).sum() for p in Port] == [fabric.link_counts(p).sum() for p in Port]


def test_trace_of_a_window_names_every_row_and_overlaps_nothing(tmp_path):
    crossings = trace(run_example(), 40, tmp_path / "trace.json", x=2, y=1, width=3, height=3)
    document = json.loads((tmp_path / "trace.json").read_text())
    events = document["traceEvents"]
    named = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"}
    assert {(row, column + 1) for row in (1, 2, 3) for column in (2, 3, 4)} <= named
    slices, starts, ends = {}, {}, {}
    for event in events:
        assert event["ph"] in "MXsf" and {"name", "pid"} <= event.keys()
        place = (event["pid"], event.get("tid"))
        if event["ph"] == "X":
            slices.setdefault(place, []).append((event["ts"], event["ts"] + event["dur"]))
        elif event["ph"] in "sf":
            (starts if event["ph"] == "s" else ends)[event["id"]] = (place, event["ts"])
    assert slices.keys() <= named and len(starts) == len(ends) == crossings > 0 and starts.keys() == ends.keys()
    for row in slices.values():
        row.sort()
        assert all(first[1] <= second[0] + 1e-6 for first, second in pairwise(row))
    for number, (place, moment) in starts.items():
        there, arrival = ends[number]
        assert any(begin <= moment < end for begin, end in slices[place])
        assert any(begin <= arrival < end for begin, end in slices[there])
        assert moment < arrival and abs(place[0] - there[0]) + abs(place[1] - there[1]) == 1


@pytest.mark.parametrize("call", [
    lambda f, folder: trace(f, -1, folder / "t.json"), lambda f, folder: trace(f, 3, folder / "none" / "t.json"),
    lambda f, folder: trace(f, 3, folder / "t.json", x=9), lambda f, folder: record_use(f, 3, 0),
    lambda f, folder: text_heatmap(np.zeros((0, 3), np.uint32)), lambda f, folder: plot_heatmap(np.zeros(3, np.uint32)),
])
def test_what_cannot_be_shown_is_refused(tmp_path, call):
    fabric = run_example()
    with pytest.raises(InputError):
        call(fabric, tmp_path)
    assert fabric.cycle == 0
