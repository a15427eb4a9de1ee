"""A core changes routes while the fabric runs."""

import numpy as np
import pytest

from wsekern.errors import ProgramWarning, WsekernError
from wsekern.fabric import Fabric, FabricPlan, Port, Rules, make_route
from wsekern.fabric.reference import ReferenceFabric, Word


def line(machine: str = "wse2") -> Fabric:
    """PE 0 sends east; PE 1 keeps what it hears; PE 2 could hear it if PE 1 passed it on."""
    plan = FabricPlan(3, 1, machine)
    plan.paint(2, "RAMP", "EAST")
    plan.paint(2, "WEST", "RAMP", x=1, width=2)
    return Fabric(plan)


@pytest.mark.parametrize("machine", ["wse2", "wse3"])
def test_words_follow_the_route_that_holds_when_they_come(machine):
    fabric = line(machine)
    fabric.inject(0, 0, 2, [1, 2])
    fabric.run_until_idle()
    fabric.rewrite(1, 0, 2, make_route(rx="WEST", tx="EAST"))
    fabric.inject(0, 0, 2, [3, 4])
    fabric.run_until_idle()
    fabric.rewrite(1, 0, 2, make_route(rx="WEST", tx="EAST RAMP"))
    fabric.inject(0, 0, 2, [5])
    fabric.run_until_idle()
    heard = fabric.drain()
    assert heard["data"][heard["x"] == 1].tolist() == [1, 2, 5]
    assert heard["data"][heard["x"] == 2].tolist() == [3, 4, 5]


def test_words_already_queued_follow_the_new_route():
    plan = FabricPlan(3, 1, "wse2")
    plan.paint(2, "RAMP", "EAST")
    plan.paint(2, "WEST", "RAMP", x=1, width=2)
    fabric = Fabric(plan, sink={2: "core"})
    fabric.inject(0, 0, 2, [1, 2, 3])
    fabric.step(30)  # PE 1's core takes nothing: all three wait in its router
    assert fabric.occupancy(2)[0, 1] == 3 and len(fabric.drain()) == 0
    with pytest.warns(ProgramWarning, match="replaced with 3 words on the way"):
        fabric.rewrite(1, 0, 2, make_route(rx="WEST", tx="EAST"))
    fabric.credit(2, 0, 2, 3)
    fabric.run_until_idle()
    heard = fabric.drain()
    assert heard["x"].tolist() == [2, 2, 2] and heard["data"].tolist() == [1, 2, 3]


def test_a_word_that_has_gone_by_every_port_that_is_left_leaves():
    """Router 1 has given its first word to its core, but not to router 2, which is full, when its route becomes one to the core
    alone: the soak found the reference waiting for ever."""
    plan = FabricPlan(3, 1, Rules(buffer_depth=2, multicast="each"))
    for x, route in enumerate([make_route("RAMP", "EAST"), make_route("WEST", "EAST RAMP"), make_route("WEST", "RAMP")]):
        plan.paint_route(2, route, x=x)
    fabric, reference = Fabric(plan), ReferenceFabric(plan)
    fabric.teardown(2, 0, 2, True)
    reference.queues[2, 0, 2].frozen = True
    fabric.inject(0, 0, 2, np.arange(6, dtype=np.uint32))
    reference.inject(0, 0, 2, [Word(data) for data in range(6)], Port.RAMP)
    for cycle in range(30):
        if cycle == 12:
            with pytest.warns(ProgramWarning, match="on the way"):
                fabric.rewrite(1, 0, 2, make_route("WEST", "RAMP"))
            reference.rewrite(1, 0, 2, make_route("WEST", "RAMP"))
        fabric.step(1)
        reference.step()
        assert fabric.occupancy(2)[0].tolist() == [reference.queues[x, 0, 2].reserved for x in range(3)], f"cycle {cycle}"
    heard = fabric.drain()
    assert heard["data"].tolist() == list(range(6)) and set(heard["x"].tolist()) == {1}
    assert int(fabric.totals()["stalls"].sum()) == reference.stalls


def test_reset_gives_the_plan_back_and_snapshots_keep_the_change():
    fabric = line()
    fabric.rewrite(1, 0, 2, make_route(rx="WEST", tx="EAST"))
    changed = fabric.snapshot()
    fabric.reset()
    for state, where in ((fabric, 1), (changed, 2)):
        state.inject(0, 0, 2, np.arange(2))
        state.run_until_idle()
        assert set(state.drain()["x"].tolist()) == {where}


def test_a_route_that_listens_elsewhere_is_reported():
    fabric = line()
    fabric.rewrite(1, 0, 2, make_route(rx="RAMP", tx="EAST"))
    fabric.inject(0, 0, 2, [1])
    with pytest.raises(WsekernError, match=r"color 2"):
        fabric.run_until_idle()
    with pytest.raises(WsekernError):
        fabric.rewrite(7, 0, 2, make_route(rx="WEST", tx="EAST"))
