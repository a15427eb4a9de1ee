"""Laws: split runs, snapshots, threads, mirror images, transposition; and what happens when rules are broken."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from wsekern.errors import BudgetError, DeadlineError, DeadlockError, InputError, LivelockError, RoutingError
from wsekern.fabric import Command, Fabric, FabricPlan, Port, Position, control_payload, make_route


def crossing(width: int, height: int, turn=lambda x, y: (x, y), names=None, **rules) -> FabricPlan:
    """A row color and a column color through every PE; ``turn`` and ``names`` place an image of it."""
    names = names or {}
    image = [turn(0, 0), turn(width - 1, height - 1)]
    plan = FabricPlan(max(p[0] for p in image) + 1, max(p[1] for p in image) + 1, "wse2", **rules)
    for y in range(height):
        for x in range(width):
            px, py = turn(x, y)
            for color, at, last, come, go in ((1, x, width - 1, "W", "E"), (2, y, height - 1, "N", "S")):
                come, go = names.get(come, come), names.get(go, go)
                tx = "RAMP" if at == last else [go, "RAMP"] if at else go
                plan.paint(color, "RAMP" if at == 0 else come, tx, x=px, y=py)
    return plan


def load(fabric: Fabric, width: int, height: int, turn=lambda x, y: (x, y), words: int = 9) -> Fabric:
    for y in range(height):
        fabric.inject(*turn(0, y), 1, np.arange(words) + 100 * y)
    for x in range(width):
        fabric.inject(*turn(x, 0), 2, np.arange(words) + 100 * x)
    return fabric


def everything(fabric: Fabric) -> list:
    counts = [fabric.link_counts(port).tolist() for port in Port]
    return [fabric.drain().tolist(), counts, fabric.stall_counts().tolist(), fabric.cycle,
            {name: values.tolist() for name, values in fabric.totals().items()}]


@pytest.mark.parametrize("hop", [1, 2])
def test_n_steps_at_once_are_n_single_steps(hop):
    once, single = (load(Fabric(crossing(70, 66, hop_latency=hop)), 70, 66) for _ in range(2))
    once.step(60)
    for _ in range(60):
        single.step()
    assert everything(once) == everything(single)


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_change_nothing(threads):
    runs = [load(Fabric(crossing(66, 200, link_words=8, link_frame=9), threads=n), 66, 200) for n in (1, threads)]
    for fabric in runs:
        fabric.run_until_idle()
    assert everything(runs[0]) == everything(runs[1])


def test_snapshot_and_restore_change_nothing():
    plain = load(Fabric(crossing(9, 7)), 9, 7)
    plain.run_until_idle()
    fabric = load(Fabric(plain.plan), 9, 7)
    fabric.step(5)
    kept = fabric.snapshot()
    fabric.run_until_idle()
    assert everything(fabric) == everything(plain)
    fabric.restore(kept)
    fabric.run_until_idle()
    kept.run_until_idle()
    plain.reset()
    load(plain, 9, 7).run_until_idle()
    expected = everything(plain)
    assert everything(fabric) == expected == everything(kept)


@pytest.mark.parametrize("turn, names, axes", [
    (lambda x, y: (y, x), {"W": "N", "E": "S", "N": "W", "S": "E"}, lambda x, y: (y, x)),
    (lambda x, y: (8 - x, y), {"W": "E", "E": "W"}, lambda x, y: (8 - x, y)),
    (lambda x, y: (x, 6 - y), {"N": "S", "S": "N"}, lambda x, y: (x, 6 - y)),
])
def test_images_of_a_fabric_give_images_of_results(turn, names, axes):
    plain = load(Fabric(crossing(9, 7)), 9, 7)
    image = load(Fabric(crossing(9, 7, turn, names)), 9, 7, turn)
    assert plain.run_until_idle() == image.run_until_idle()

    def heard(fabric, back=lambda x, y: (x, y)):
        words = fabric.drain()
        return sorted((cycle, *back(x, y), color, data)
                      for cycle, x, y, color, data in words[["cycle", "x", "y", "color", "data"]].tolist())

    assert heard(plain, axes) == heard(image)


def test_deadlock_names_the_ring_of_waits():
    plan = FabricPlan(2, 2, "wse2", buffer_depth=1)
    ring = [((0, 0), "S", "E"), ((1, 0), "W", "S"), ((1, 1), "N", "W"), ((0, 1), "E", "N")]
    for (x, y), come, go in ring:
        plan.paint(5, [come, "RAMP"], go, x=x, y=y)
    fabric = Fabric(plan)
    for (x, y), _, _ in ring:
        assert fabric.offer(x, y, 5, 1)
    with pytest.raises(DeadlockError) as caught:
        fabric.run_until_idle()
    report = caught.value.report
    assert report["chain_loops"] and len(report["chain"]) == 4 and report["color"] == 5
    assert {tuple(link["pe"]) for link in report["chain"]} == {place for place, _, _ in ring}


def test_a_core_that_does_not_take_words_is_named():
    plan = FabricPlan(2, 1, "wse2")
    plan.paint(0, "RAMP", "EAST")
    plan.paint(0, "WEST", "RAMP", x=1)
    fabric = Fabric(plan, "core")
    fabric.inject(0, 0, 0, np.arange(20))
    with pytest.raises(DeadlockError, match="the core takes no word"):
        fabric.run_until_idle()
    assert fabric.occupancy(0).tolist() == [[4, 4]] and fabric.state.waiting_outside == 12
    fabric.credit(1, 0, 0, 20)
    fabric.run_until_idle()
    assert fabric.drain()["data"].tolist() == list(range(20))


def test_broken_rules_say_where_and_when():
    plan = FabricPlan(3, 1, "wse2")
    plan.paint(0, "RAMP", "EAST")
    plan.paint(0, "RAMP", "WEST", x=2)
    plan.paint(0, "EAST WEST", "RAMP", x=1)
    fabric = Fabric(plan)
    fabric.inject([0, 2], 0, 0, [[7], [8]])
    with pytest.raises(RoutingError, match=r"two ports.*PE \(1, 0\), color 0, port EAST|W and E|E and W") as caught:
        fabric.run_until_idle()
    assert caught.value.report["pe"] == (1, 0) and caught.value.report["cycle"] == 3
    plan.erase(0, x=1)
    fabric = Fabric(plan)
    fabric.inject(0, 0, 0, [7])
    with pytest.raises(RoutingError, match=r"no route.*PE \(1, 0\), color 0"):
        fabric.run_until_idle()


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_of_rules_broken_in_several_strips_the_first_is_told_however_far_the_others_have_come(threads):
    """Strips may be at different cycles: the row that breaks its rule first lies between rows that do in the next cycles."""
    plan, reach = FabricPlan(140, 448, "wse2"), {10: 134, 80: 133, 300: 131, 360: 132, 440: 135}
    for y, x in reach.items():
        plan.paint(0, "RAMP", "EAST", y=y)
        plan.paint(0, "WEST", "EAST", x=1, y=y, width=x - 1)
        plan.paint(0, "EAST", "WEST", x=x, y=y)
    for _ in range(3):
        fabric = Fabric(plan, "count", threads=threads)
        fabric.inject(0, list(reach), 0, np.arange(50)[None, :].repeat(len(reach), 0))
        with pytest.raises(RoutingError) as caught:
            fabric.step(1000)
        report = caught.value.report
        assert report["pe"] == (131, 300) and fabric.cycle == report["cycle"] == 132


@pytest.mark.parametrize("depth", [1, 2, 4, 7])
def test_two_words_that_want_the_last_place_are_told_with_the_cycle_in_which_they_would_arrive(depth):
    """Both saw room as they left: the queue never holds more than it has places, long as the links may be."""
    plan = FabricPlan(3, 1, "wse2", hop_latency=3, ramp_latency=2, buffer_depth=depth)
    plan.paint(0, "RAMP", "EAST")
    plan.paint(0, "RAMP", "WEST", x=2)
    plan.paint(0, "EAST WEST", "RAMP", x=1)
    fabric = Fabric(plan)
    fabric.inject([0, 2], 0, 0, [[7, 8], [9, 10]])
    with pytest.raises(RoutingError, match=r"two ports.*PE \(1, 0\), color 0, port W and E") as caught:
        for _ in range(9):
            fabric.step()
            assert fabric.occupancy(0).max() <= depth
    assert caught.value.report["cycle"] == 5


@pytest.mark.parametrize("every", [1, 4])
def test_a_run_until_stops_at_the_first_look_that_finds_its_condition(every):
    def enough(fabric: Fabric) -> bool:
        return fabric.totals()["delivered"].sum() >= 50

    fabric, single = (load(Fabric(crossing(5, 5)), 5, 5) for _ in range(2))
    while not enough(single):
        single.step(every)
    assert fabric.run_until(enough, every=every) == single.cycle > 0
    assert everything(fabric) == everything(single)
    assert fabric.run_until(enough) == fabric.cycle, "what holds already takes no cycle"


def test_a_run_until_ends_with_its_deadline_or_a_deadlock():
    fabric = load(Fabric(crossing(5, 5)), 5, 5)
    with pytest.raises(DeadlineError, match=r"not met within 3 cycles \(cycle 3\)"):
        fabric.run_until(lambda f: False, deadline=3, every=2)
    stuck = load(Fabric(crossing(5, 5), sink="core"), 5, 5)
    with pytest.raises(DeadlockError, match="the core takes no word"):
        stuck.run_until(lambda f: False, deadline=1000, every=100)


def test_deadline():
    plan = crossing(5, 5)
    with pytest.raises(DeadlineError, match="after 3 cycles"):
        load(Fabric(plan), 5, 5).run_until_idle(3)


@pytest.mark.parametrize("call, error, match", [
    (lambda p: p.paint(24, "W", "E", x=1), BudgetError, "color 24 does not exist"),
    (lambda p: p.paint(22, "W", "E", x=1), BudgetError, "color 22 is reserved"),
    (lambda p: p.paint(1, "W", "E", x=3), InputError, "leads off the 4x4 fabric"),
    (lambda p: p.paint(1, "W", "E", x=3, width=2), InputError, "does not lie on"),
    (lambda p: p.paint(1, "W E", "S", x=1), InputError, "1 input per switch position"),
    (lambda p: p.paint(10, "W", "E", x=1, switches=(Position(tx="S"),)), BudgetError, "color 10 .* has no switch"),
    (lambda p: p.paint(1, "W", "E", x=1, swap="EW"), InputError, "no color swap"),
    (lambda p: p.paint(1, "W", "Q", x=1), InputError, "not a port"),
    (lambda p: p.paint(1, "W", "", x=1), InputError, "no tx port"),
])
def test_a_plan_is_checked_against_the_generation(call, error, match):
    with pytest.raises(error, match=match):
        call(FabricPlan(4, 4, "wse3"))


def test_control_wavelets_turn_a_switch_and_leave_teardown():
    plan = FabricPlan(2, 2, "wse2")
    plan.paint(3, "RAMP", "EAST")
    plan.paint(3, "WEST", "RAMP", x=1, switches=(Position(tx="S"),), ring_mode=True)
    plan.paint(3, "NORTH", "RAMP", x=1, y=1)
    fabric = Fabric(plan)
    advance, stop = control_payload([Command.SWITCH_ADV], ignore_in_core=True), control_payload([Command.TEARDOWN])
    fabric.inject(0, 0, 3, [1, advance, 2, stop, 3], control=[False, True, False, True, False])
    with pytest.raises(DeadlockError, match="teardown"):
        fabric.run_until_idle()
    assert fabric.torn_down(1, 0, 3) and fabric.position(1, 0, 3) == 1
    fabric.set_position(1, 0, 3, 0)
    for x, y in ((0, 0), (1, 0), (1, 1)):
        fabric.teardown(x, y, 3)
    fabric.run_until_idle()
    words = fabric.drain()
    data = words[~words["control"] & ~words["teardown"]]
    assert sorted((w["x"].item(), w["y"].item(), w["data"].item()) for w in data) == [(1, 0, 1), (1, 0, 3), (1, 1, 2)]


def test_states_of_one_plan_run_on_several_threads_at_once():
    plan = crossing(40, 70).build()

    def run(words: int) -> list:
        fabric = load(Fabric(plan), 40, 70, words=words)
        fabric.run_until_idle()
        return everything(fabric)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, [3, 9, 3, 9, 5, 3])) == [run(n) for n in (3, 9, 3, 9, 5, 3)]


def ring(hop: int = 1, **first) -> FabricPlan:
    """Four routers that hand words round and round; the first also takes them from its ramp."""
    plan = FabricPlan(2, 2, "wse2", hop_latency=hop)
    for x, y, come, go in ((0, 0, "S RAMP", "E"), (1, 0, "W", "S RAMP"), (1, 1, "N", "W"), (0, 1, "E", "N")):
        plan.paint(5, come, go, x=x, y=y, **(first if (x, y) == (0, 0) else {}))
    return plan


@pytest.mark.parametrize("hop", [1, 2, 3])
def test_livelock_names_the_circle(hop):
    fabric = Fabric(ring(hop))
    fabric.inject(0, 0, 5, [1, 2])
    with pytest.raises(LivelockError, match=r"in a circle.*goes on at .*in a loop") as caught:
        fabric.run_until_idle()
    assert {tuple(link["pe"]) for link in caught.value.report["chain"]} == {(0, 0), (1, 0), (1, 1), (0, 1)}
    fabric.step(50)
    assert fabric.totals()["hops"][5] > 1000 / hop


def test_a_circle_that_a_control_word_may_open_is_not_a_livelock():
    fabric = Fabric(ring(switches=(Position(tx="RAMP"),), pop_mode="no_pop"))
    fabric.inject(0, 0, 5, [1])
    fabric.step(3001)
    fabric.inject(0, 0, 5, control_payload([Command.SWITCH_ADV]), control=True)
    fabric.run_until_idle()
    assert fabric.position(0, 0, 5) == 1


def test_a_long_wait_shows_its_root():
    plan = FabricPlan(100, 1, "wse2")
    plan.paint(0, "RAMP", "EAST")
    plan.paint(0, "WEST", "EAST", x=1, width=98)
    plan.paint(0, "WEST", "RAMP", x=99)
    fabric = Fabric(plan, "core")
    fabric.inject(0, 0, 0, np.arange(1000))
    with pytest.raises(DeadlockError, match=r"and so on for 68 more.*PE \(99, 0\) color 0 waits at RAMP: the core") as caught:
        fabric.run_until_idle()
    assert caught.value.report["chain"][0]["pe"] == (0, 0) and caught.value.report["chain_skipped"] == 68


def test_a_word_outside_is_named():
    plan = FabricPlan(3, 2, "wse2")
    plan.paint(0, "RAMP", "EAST", y=1)
    plan.paint(0, "WEST", "RAMP", x=1, y=1, switches=(Position(rx="RAMP"),))
    fabric = Fabric(plan)
    fabric.inject(1, 1, 0, [1])
    with pytest.raises(DeadlockError, match=r"PE \(1, 1\) color 0 waits at RAMP: outside") as caught:
        fabric.run_until_idle()
    assert caught.value.report["pe"] == (1, 1)


def test_a_broken_state_runs_no_further_until_it_is_reset():
    plan = FabricPlan(3, 1, "wse2")
    plan.paint(0, "RAMP", "EAST")
    plan.paint(0, "RAMP", "WEST", x=2)
    plan.paint(0, "EAST WEST", "RAMP", x=1)
    fabric = Fabric(plan)
    start = fabric.snapshot()
    fabric.inject([0, 2], 0, 0, [[7], [8]])
    for _ in range(3):
        with pytest.raises(RoutingError, match="two ports"):
            fabric.step(100)
    fabric.restore(start)
    fabric.inject(0, 0, 0, [7])
    assert fabric.run_until_idle() == 5


def test_counts_by_color_add_up():
    fabric = load(Fabric(crossing(9, 7, buffer_depth=1)), 9, 7)
    fabric.run_until_idle()
    for port in Port:
        np.testing.assert_array_equal(fabric.link_counts(port, 1) + fabric.link_counts(port, 2), fabric.link_counts(port))
    assert fabric.link_counts("SOUTH", 1).sum() == 0 and fabric.link_counts("SOUTH", 2).sum() == 9 * 9 * 6
    np.testing.assert_array_equal(fabric.stall_counts(1) + fabric.stall_counts(2), fabric.stall_counts())
    assert fabric.stall_counts(1).sum() == fabric.totals()["stalls"][1]


def test_nothing_moves_in_no_time():
    fabric = Fabric(crossing(3, 3))
    fabric.step(10**15)
    assert fabric.cycle == 10**15
    load(fabric, 3, 3).run_until_idle()
    assert len(fabric.drain()) == 2 * 9 * 3 * 2


@pytest.mark.parametrize("call", [
    lambda f: f.inject(3, 0, 1, [1]), lambda f: f.inject(-1, 0, 1, [1]), lambda f: f.inject(2**70, 0, 1, [1]),
    lambda f: f.inject(0.5, 0, 1, [1]), lambda f: f.inject([0, 1], [0, 1, 2], 1, [1]), lambda f: f.inject(0, 0, 24, [1]),
    lambda f: f.inject(0, 0, -1, [1]), lambda f: f.inject(0, 0, "red", [1]), lambda f: f.inject(0, 0, 1, [1.5]),
    lambda f: f.inject(0, 0, 1, "ab"), lambda f: f.inject([0, 1], 0, 1, [[1], [2], [3]]),
    lambda f: f.inject(0, 0, 1, [[1], [2, 3]]), lambda f: f.inject(0, 0, 1, [1, 2], control=[True, False, True]),
    lambda f: f.inject(0, 0, 1, [1], port="UP"), lambda f: f.inject(0, 0, 1, [1], port="WEST"),
    lambda f: f.inject(1, 1, 1, [1], port="WEST"), lambda f: f.offer(0, 9, 1, 1), lambda f: f.offer(0, 0, 1, []),
    lambda f: f.credit(0, 0, 99), lambda f: f.credit(0, 0, 1, -3), lambda f: f.step(-1), lambda f: f.step(2**63),
    lambda f: f.step(1.5), lambda f: f.run_until_idle(-1), lambda f: f.run_until(lambda f: False, every=0),
    lambda f: f.position(0, 0, 7), lambda f: f.set_position(0, 0, 1, 3), lambda f: f.set_position(0, 0, 1, 2**40),
    lambda f: f.rewrite(0, 0, 1, "EAST"), lambda f: f.teardown(5, 5, 1), lambda f: f.link_counts("E", 24),
    lambda f: f.restore(None), lambda f: f.restore(Fabric(crossing(3, 3))), lambda f: Fabric(f.plan, "bin"),
    lambda f: Fabric(f.plan, {24: "log"}), lambda f: Fabric(f.plan, threads=0), lambda f: Fabric(f.plan, patience=-1),
])
def test_nonsense_is_refused_in_one_sentence(call):
    fabric = Fabric(crossing(3, 3))
    with pytest.raises(InputError, match=r"^[^\n]+$"):
        call(fabric)
    assert fabric.cycle == 0 and fabric.state.waiting_outside == 0


def test_nothing_injected_is_nothing():
    fabric = Fabric(crossing(1, 1))
    for data in ([], np.zeros((1, 0), np.int32)):
        fabric.inject(0, 0, 1, data)
    fabric.inject([], [], 1, [5])
    assert fabric.run_until_idle() == 0 and len(fabric.drain()) == 0


def test_the_rules_of_a_generation_hold_for_rewriting_too():
    plan = FabricPlan(3, 1, "wse3")
    plan.paint(10, "WEST", "RAMP", x=1, width=2)
    fabric = Fabric(plan)
    for route in (make_route("W E", "RAMP"), make_route("W", "RAMP", (Position(tx="E"),)), make_route("W", "RAMP", swap="EW")):
        with pytest.raises(InputError):
            fabric.rewrite(1, 0, 10, route)
    with pytest.raises(InputError, match="leads off"):
        fabric.rewrite(2, 0, 10, make_route("W", "E"))


@pytest.mark.parametrize("machine", ["wse2", "wse3"])
@pytest.mark.parametrize("words", [1, 2, 3, 9])
@pytest.mark.parametrize("entry", [Port.RAMP, Port.WEST])
def test_words_that_wait_at_a_switch_do_not_overtake_the_word_that_turns_it(machine, words, entry):
    """The control word is longer on its way from the ramp than words that wait next to it are on their link."""
    plan = FabricPlan(3, 1, machine, open_edges=True)
    plan.paint(3, "RAMP", "WEST", x=2)
    plan.paint(3, entry, "NORTH", x=0, switches=(Position(rx="EAST"),))
    plan.paint(3, "EAST", "WEST", x=1)
    fabric = Fabric(plan)
    advance = control_payload([Command.SWITCH_ADV])
    fabric.inject(2, 0, 3, np.arange(6))
    fabric.step(20)                     # these wait at the way into PE 0
    first = np.append(100 + np.arange(words), advance).astype(np.uint32)
    fabric.inject(0, 0, 3, first, port=entry, control=np.arange(words + 1) == words)
    fabric.run_until_idle()
    heard = fabric.drain()
    assert heard["data"].tolist() == [*first.tolist(), *range(6)]
