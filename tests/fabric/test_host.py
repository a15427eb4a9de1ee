"""The host's side: ports, runs that say why they stop, the next event, callbacks."""

import gc
import weakref

import numpy as np
import pytest

from wsekern.errors import DeadlockError, InputError, RoutingError
from wsekern.fabric import Fabric, FabricPlan, Port, Stop, Word


def row(width: int = 6, sink: str = "log", **more) -> Fabric:
    """Color 3 from PE 0 east to the last PE."""
    plan = FabricPlan(width, 1, "wse2")
    plan.connect((0, 0), (width - 1, 0), colors=[3])
    return Fabric(plan, sink, **more)


def test_words_go_in_and_come_out_of_ports_at_the_cycle_of_the_closed_form():
    fabric = row()
    west, east = fabric.port(0, 0, 3), fabric.port(5, 0, 3)
    assert west.place == (0, 0) and east.color == 3 and fabric.port(0, 0, 3) is west
    assert west.offer(7) and east.top() is None
    while east.top() is None:
        fabric.step()
    assert fabric.cycle == 2 + 5 + 2 and east.pop() == 7 and east.pop() is None
    assert west.push(-1) and west.push(0, control=True)
    fabric.run(stop="idle")
    assert east.pop() == 0xFFFFFFFF and not east.control and east.pop() == 0 and east.control
    assert fabric.drain()["data"].tolist() == [7, 0xFFFFFFFF, 0], "what is popped is in the log as well"


def test_a_port_takes_as_many_words_as_it_has_room_for():
    fabric = row()
    before = fabric.room(0, 0, 3)
    pushed = 0
    while fabric.push(0, 0, 3, pushed):
        pushed += 1
    assert pushed == before and fabric.room(0, 0, 3) == 0
    fabric.step(4)
    assert 0 < fabric.room(0, 0, 3) < before
    fabric.port(5, 0, 3)
    fabric.run(stop="idle")
    assert [fabric.pop(5, 0, 3) for _ in range(pushed)] == list(range(pushed)) and fabric.top(5, 0, 3) is None


def test_a_core_port_holds_words_back_until_they_are_popped():
    fabric = row(sink="core")
    out = fabric.port(5, 0, 3, depth=2)
    fabric.inject(0, 0, 3, list(range(30)))
    assert fabric.run(stop="host deadlock", patience=0) & Stop.HOST
    assert fabric.next_event is None or fabric.run(stop="deadlock") & Stop.DEADLOCK
    assert fabric.next_event is None, "nothing but the host can move a word"
    found = []
    for _ in range(300):
        if (word := out.pop()) is not None:
            found.append(word)
        fabric.step()
    assert found == list(range(30)) and fabric.run(fabric.cycle, "idle") & Stop.IDLE


def test_runs_say_why_they_stop():
    fabric = row()
    assert fabric.run(10) == Stop.TIME and fabric.cycle == 10
    assert fabric.run(20, "idle") == Stop.IDLE and fabric.cycle == 10
    fabric.inject(0, 0, 3, [1, 2])
    assert fabric.run(stop="delivery") == Stop.DELIVERY and fabric.cycle == 19
    assert fabric.run(stop=Stop.DELIVERY | Stop.IDLE) == Stop.DELIVERY | Stop.IDLE and fabric.cycle == 20
    assert fabric.run(stop="delivery idle") == Stop.IDLE
    for wrong in ({"until": 5}, {"until": 2.5}, {}, {"stop": "never"}, {"stop": 3}, {"until": 30, "patience": -1}):
        with pytest.raises(InputError):
            fabric.run(**wrong)


def test_a_deadlock_is_answered_with_its_report():
    fabric = row(sink="core", patience=7)
    fabric.inject(0, 0, 3, [1])
    assert fabric.run(1000, "deadlock") == Stop.DEADLOCK
    assert fabric.state.explain()["chain"][0]["waits_for"] == "the core takes no word"
    with pytest.raises(DeadlockError, match="the core takes no word"):
        fabric.run_until_idle()


def test_the_next_event_lets_a_host_sleep():
    fabric = row()
    assert fabric.next_event is None
    assert fabric.offer(0, 0, 3, 9)
    steps = 0
    while (event := fabric.next_event) is not None:
        fabric.step(max(1, event - fabric.cycle))
        steps += 1
    assert fabric.cycle == 9 and steps <= 9 and fabric.drain()["cycle"].tolist() == [9]


@pytest.mark.parametrize("threads", [1, 3])
def test_callbacks_hear_every_word_in_order(threads):
    plan = FabricPlan(3, 200, "wse2")
    plan.paint(1, "RAMP", "EAST", height=200)
    plan.paint(1, "WEST", "RAMP", x=1, height=200)
    fabric = Fabric(plan, threads=threads)
    heard: list[Word] = []
    fabric.on_delivery(heard.append)
    fabric.inject([0] * 200, range(200), 1, np.arange(400).reshape(200, 2))
    fabric.run_until_idle()
    words = fabric.drain()
    assert [tuple(word) for word in heard] == [tuple(word) for word in words.tolist()] and len(heard) == 400
    fabric.on_delivery(None)
    fabric.inject(0, 0, 1, 5)
    fabric.run_until_idle()
    assert len(heard) == 400


def test_a_callback_may_send_an_answer():
    fabric = row()
    answers = fabric.port(0, 0, 3)
    fabric.on_delivery(lambda word: word.data and answers.push(word.data - 1))
    fabric.inject(0, 0, 3, 4)
    fabric.run(stop="idle")
    assert fabric.drain()["data"].tolist() == [4, 3, 2, 1, 0]


def test_what_a_callback_raises_stops_the_run():
    fabric = row()
    fabric.on_delivery(lambda word: 1 // 0)
    fabric.inject(0, 0, 3, [1, 2, 3])
    with pytest.raises(ZeroDivisionError):
        fabric.run_until_idle()
    assert fabric.cycle == 9, "at the first word"
    fabric.on_delivery(None)
    fabric.run_until_idle()
    assert fabric.totals()["delivered"].sum() == 3


def test_a_callback_may_not_step_what_calls_it():
    fabric = row()
    fabric.on_delivery(lambda word: fabric.step())
    fabric.inject(0, 0, 3, 1)
    with pytest.raises(InputError, match="callback"):
        fabric.run_until_idle()
    fabric.on_delivery(lambda word: fabric.reset())
    fabric.inject(0, 0, 3, 1)
    with pytest.raises(InputError, match="callback"):
        fabric.run_until_idle()


def test_hosts_are_told_when_there_is_room_again():
    fabric = row()
    told = []
    fabric.on_room(lambda x, y, color: told.append((x, y, color, fabric.cycle)))
    while fabric.push(0, 0, 3, 1):
        pass
    fabric.step(3)
    assert [entry[:3] for entry in told] == [(0, 0, 3)] and fabric.room(0, 0, 3) > 0
    with pytest.raises(InputError):
        fabric.on_room(7)


def test_quick_calls_and_full_ones_do_the_same():
    """Plain numbers take the quick way, NumPy's and names the full one."""
    one, two = row(), row()
    one.inject(0, 0, 3, [1, -2, 1 << 33])
    two.inject(np.int64(0), np.array([0]), np.uint8(3), np.array([1, -2, 1 << 33]))
    assert one.offer(0, 0, 3, 5, control=True) == two.offer(np.int32(0), 0, 3, np.uint32(5), control=True, port="RAMP")
    for fabric in (one, two):
        fabric.run_until_idle()
    assert one.drain().tolist() == two.drain().tolist()


@pytest.mark.parametrize("wrong", [
    {"x": 6}, {"x": -1}, {"y": 1}, {"color": 24}, {"color": -1}, {"x": 1 << 70}, {"color": True}, {"data": "word"},
    {"data": 1.5}, {"port": 9}, {"port": "UP"}, {"port": Port.WEST}, {"x": None}])
def test_quick_calls_refuse_what_full_ones_do(wrong):
    fabric = row()
    arguments = {"x": 0, "y": 0, "color": 3, "data": 1} | wrong
    for call in (fabric.offer, fabric.inject):
        with pytest.raises(InputError):
            call(**arguments)
    if not {"data", "port"} & set(wrong):
        with pytest.raises(InputError):
            fabric.port(arguments["x"], arguments["y"], arguments["color"])


def test_an_unrouted_word_is_reported():
    with pytest.raises(RoutingError, match="color 9"):
        row().offer(0, 0, 9, 1)
    with pytest.raises(InputError, match="no word"):
        row().port(0, 0, 3).push("a")
    with pytest.raises(InputError, match="no route"):
        row().port(0, 0, 4)


def test_a_fabric_that_its_own_callback_holds_is_let_go():
    def echoing() -> weakref.ref:
        fabric = row()
        fabric.on_delivery(lambda word: fabric.push(0, 0, 3, word.data))
        fabric.inject(0, 0, 3, 1)
        fabric.step(12)
        return weakref.ref(fabric)

    seen = echoing()
    gc.collect()
    assert seen() is None
