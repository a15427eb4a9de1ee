"""Closed forms of the fabric hold exactly."""

import csv
from importlib.resources import files

import numpy as np
import pytest

from wsekern.fabric import Fabric, FabricPlan


def row_broadcast(width: int, machine: str = "wse2", **rules) -> FabricPlan:
    plan = FabricPlan(width, 1, machine, **rules)
    plan.paint(0, "RAMP", "EAST")
    if width > 2:
        plan.paint(0, "WEST", "EAST RAMP", x=1, width=width - 2)
    plan.paint(0, "WEST", "RAMP", x=width - 1)
    return plan


@pytest.mark.parametrize("hop", [1, 2, 3])
@pytest.mark.parametrize("ramp", [1, 2])
@pytest.mark.parametrize("width", [2, 5, 64, 65, 200])
def test_latency_and_rate_of_a_broadcast(hop, ramp, width):
    words = 10
    fabric = Fabric(row_broadcast(width, hop_latency=hop, ramp_latency=ramp))
    fabric.inject(0, 0, 0, np.arange(words))
    assert fabric.run_until_idle() == 2 * ramp + hop * (width - 1) + words - 1
    heard = fabric.drain()
    for x in range(1, width):
        mine = heard[heard["x"] == x]
        assert (mine["data"] == np.arange(words)).all()
        assert (mine["cycle"] == 2 * ramp + hop * x + np.arange(words)).all()


@pytest.mark.parametrize("height", [2, 64, 65, 150])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_column_across_strips(height, threads):
    plan = FabricPlan(3, height, "wse2", hop_latency=2)
    plan.paint(0, "RAMP", "NORTH", x=1, y=height - 1)
    if height > 2:
        plan.paint(0, "SOUTH", "NORTH", x=1, y=1, height=height - 2)
    plan.paint(0, "SOUTH", "RAMP", x=1)
    fabric = Fabric(plan, threads=threads)
    fabric.inject(1, height - 1, 0, [7, 8])
    assert fabric.run_until_idle() == 2 + 2 * (height - 1) + 2 + 1
    assert fabric.drain()["data"].tolist() == [7, 8]


def test_two_colors_share_a_link_half_and_half():
    plan = FabricPlan(3, 1, "wse2")
    for color in (3, 7):
        plan.paint(color, "RAMP", "EAST", x=0 if color == 3 else 1)
        plan.paint(color, "WEST", "EAST" if color == 3 else "RAMP", x=1 if color == 3 else 2)
    plan.paint(3, "WEST", "RAMP", x=2)
    fabric = Fabric(plan)
    fabric.inject(0, 0, 3, np.arange(400))
    fabric.inject(1, 0, 7, np.arange(400))
    fabric.step(300)
    heard = fabric.drain()
    counts = [np.count_nonzero(heard["color"] == color) for color in (3, 7)]
    assert abs(counts[0] - counts[1]) <= 1 and sum(counts) >= 294


def test_eight_in_nine_on_silicon():
    plan = FabricPlan(2, 1, "wse3", profile="silicon")
    plan.paint(0, "RAMP", "EAST")
    plan.paint(0, "WEST", "RAMP", x=1)
    fabric = Fabric(plan)
    fabric.inject(0, 0, 0, np.arange(90))
    fabric.run_until_idle()
    cycles = fabric.drain()["cycle"]
    i = np.arange(90)
    assert (cycles == 2 + 2 + 2 + i + i // 8).all()


def test_line_multicast_on_silicon_is_the_fabric_and_one_constant():
    """Published: 20 + 9K/32 + (N - 1) for K bytes to N receivers, by a clock that takes a cycle a hop off (WSE-3 silicon)."""
    table = files("wsekern.validation") / "data" / "wafer-validation.csv"
    rows = [row for row in csv.DictReader(table.read_text().splitlines())
            if row["op"] == "line-multicast" and row["metric"] == "cycles_shortest"]
    software = []
    for row in rows:
        receivers, words = int(row["receivers"]), int(row["words"])
        fabric = Fabric(row_broadcast(receivers + 1, "wse3", profile="silicon"))
        fabric.inject(0, 0, 0, np.arange(words))
        cycles = fabric.run_until_idle()
        assert cycles == 2 + 2 * receivers + 2 + (words - 1) + (words - 1) // 8
        software.append(float(row["value"]) - (cycles - receivers))
    assert len(rows) == 10 and max(software) - min(software) <= 1
