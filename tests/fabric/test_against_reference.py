"""The kernel against the plain reference, cycle by cycle, on random fabrics; and the laws of the fabric."""

import contextlib
import random
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import RoutingError
from wsekern.fabric import Fabric, FabricPlan, Port, Route, Rules, _host, _routing
from wsekern.fabric.reference import OPPOSITE
from wsekern.soak.fabrics import compare, gathering_plan, lines_plan, mask, random_plan, random_tree, random_words, wild_plan

pytestmark = pytest.mark.filterwarnings("ignore:.*the route is replaced:wsekern.errors.ProgramWarning")
FAST = settings(max_examples=80, deadline=None)


@FAST
@given(st.integers(0, 2**63))
def test_cycle_by_cycle(seed):
    rng = random.Random(seed)
    compare(*random_plan(rng), rng)


@FAST
@given(st.integers(0, 2**63))
def test_any_routes(seed):
    rng = random.Random(seed)
    compare(*wild_plan(rng), rng)


@FAST
@given(st.integers(0, 2**63))
def test_words_that_all_go_to_one_core(seed):
    rng = random.Random(seed)
    plan, entries = gathering_plan(rng)
    compare(plan, entries, rng, meddle=rng.choice([0, 0, 0.1]))


@settings(FAST, max_examples=60)
@given(st.integers(0, 2**63))
def test_words_that_seldom_meet(seed):
    rng = random.Random(seed)
    plan, entries = lines_plan(rng)
    compare(plan, entries, rng, meddle=rng.choice([0, 0, 0.1]))


@settings(FAST, max_examples=40)
@given(st.integers(0, 2**63))
def test_words_that_fly_many_cycles_at_a_time(seed):
    """Runs of many cycles take lone words over many routers at once (flight.c), steps do not."""
    rng = random.Random(seed)
    plan, entries = lines_plan(rng)
    compare(plan, entries, rng, meddle=rng.choice([0, 0, 0.3]), cycles=100, stride=rng.choice([8, 21, 50]), period=50)


@pytest.mark.parametrize("seed", range(6))
def test_runs_and_steps_of_scattered_words(seed):
    """Words in two strips of rows that turn, fork and end: the same after a run, on any threads, as after single steps."""
    rng = random.Random(seed)
    plan, entries = lines_plan(rng, (130, 70))
    fabrics = [Fabric(plan, "count", threads=threads) for threads in (1, 1, 2)]
    for length in (30, 75):
        expected = None
        places = rng.sample(entries, min(len(entries), 40))
        for i, fabric in enumerate(fabrics):
            for n, (x, y, color, _) in enumerate(places):
                fabric.offer(x, y, color, n)
            broken = None
            try:
                for cycles in [1] * length if i == 0 else [length]:
                    fabric.step(cycles)
            except RoutingError as error:
                broken = error.report
            seen = broken or (fabric.to_bytes(), *(fabric.link_counts(port).tobytes() for port in Port))
            expected = expected or seen
            assert seen == expected
        if broken:
            return


@pytest.mark.parametrize("hop", [1, 2])
@pytest.mark.parametrize("ahead", ["EAST", "WEST", "NORTH", "SOUTH"])
def test_a_word_that_turns_into_the_way_of_one_that_flies(ahead, hop):
    """Whoever comes a cycle earlier or later: one of two that want a link in the same cycle waits, as in single steps."""
    size, cross = 60, 25
    waits = 0

    def place(along: int, across: int) -> dict[str, int]:
        along = along if ahead in ("EAST", "SOUTH") else size - 1 - along
        return {"x": along, "y": across} if ahead in ("EAST", "WEST") else {"x": across, "y": along}

    back, (side, far) = OPPOSITE[Port[ahead]].name, ("NORTH", "SOUTH") if ahead in ("EAST", "WEST") else ("WEST", "EAST")
    plan = FabricPlan(size, size, Rules(hop_latency=hop, ramp_latency=2, buffer_depth=4))
    for i in range(size):
        plan.paint(0, "RAMP" if i == 0 else back, "RAMP" if i == size - 1 else ahead, **place(i, cross))
        if i < cross:
            plan.paint(1, "RAMP" if i == 0 else side, far, **place(cross, i))
        else:
            plan.paint(1, side if i == cross else back, "RAMP" if i == size - 1 else ahead, **place(i, cross))
    for delay in range(-2, 3):
        seen = []
        for piece in (1, 180):
            fabric = Fabric(plan, "count")
            for color in (0, 1) if delay > 0 else (1, 0):
                start = place(0, cross) if color == 0 else place(cross, 0)
                fabric.offer(start["x"], start["y"], color, 7)
                for _ in range(abs(delay) if color == (delay <= 0) else 180 // piece):
                    fabric.step(1 if color == (delay <= 0) else piece)
            seen.append((fabric.cycle, fabric.to_bytes(), int(fabric.totals()["stalls"].sum())))
        assert seen[0] == seen[1]
        waits += seen[0][2]
    assert waits


IMAGES = {
    "transposed": (lambda x, y, w, h: (y, x), {"NORTH": "WEST", "WEST": "NORTH", "SOUTH": "EAST", "EAST": "SOUTH"}),
    "mirrored east to west": (lambda x, y, w, h: (w - 1 - x, y), {"EAST": "WEST", "WEST": "EAST"}),
    "mirrored north to south": (lambda x, y, w, h: (x, h - 1 - y), {"NORTH": "SOUTH", "SOUTH": "NORTH"}),
}


def image_of(plan: FabricPlan, turn, names) -> FabricPlan:
    """The plan with every place moved by ``turn`` and every port renamed."""
    last = turn(plan.width - 1, plan.height - 1, plan.width, plan.height), turn(0, 0, plan.width, plan.height)
    image = FabricPlan(max(p[0] for p in last) + 1, max(p[1] for p in last) + 1, plan.rules, open_edges=plan.open_edges)
    swap = names.get("NORTH") == "WEST"

    def turned(ports: int) -> int:
        return mask(Port[names.get(port.name, port.name)] for port in Port if ports >> port & 1)

    for item in plan.painted:
        r = item.route
        axes = (r.swap_ns, r.swap_ew) if swap else (r.swap_ew, r.swap_ns)
        px, py = turn(item.x, item.y, plan.width, plan.height)
        route = Route(tuple(map(turned, r.rx)), tuple(map(turned, r.tx)), r.initial, r.ring, r.pop, *axes, r.teardown)
        image.paint_route(item.color, route, x=px, y=py)
    for placed in plan.placed_filters:
        px, py = turn(placed.x, placed.y, plan.width, plan.height)
        image.filter(placed.color, placed.rule, x=px, y=py)
    return image


def outcome(seed: int, image=None, threads: int = 1, split: bool = False, copies: bool = False) -> list:
    """What a random fabric does in 40 cycles, seen in its own directions even where its image runs."""
    rng = random.Random(seed)
    plan, entries = random_plan(rng)
    turn, names = IMAGES[image] if image else (lambda x, y, w, h: (x, y), {})
    fabric = Fabric(image_of(plan, turn, names) if image else plan, threads=threads)
    heard, left = [], {turn(x, y, plan.width, plan.height): (x, y) for x in range(plan.width) for y in range(plan.height)}
    back = {there: here for here, there in names.items()}
    for _ in range(4):
        for x, y, color, port in entries:
            if rng.random() < 0.6:
                words = random_words(rng)
                fabric.inject(*turn(x, y, plan.width, plan.height), color, np.array([w.data for w in words], np.uint32),
                              control=[w.control for w in words], advance=[w.advance for w in words],
                              port=names.get(port.name, port.name))
        try:
            for n in [1] * 10 if split else [10]:
                fabric.step(n)
        except RoutingError as error:
            return [sorted(heard), "broken in cycle", error.report["cycle"]]
        if copies:
            kept = fabric.snapshot()
            with contextlib.suppress(RoutingError):
                fabric.step(7)
            fabric.restore(kept)
        for word in fabric.drain().tolist():
            cycle, x, y, color, port, *rest = word
            heard.append((cycle, *left[x, y], color, back.get(Port(port).name, Port(port).name), *rest))
    totals = {name: values.tolist() for name, values in fabric.totals().items()}
    return [sorted(heard), totals, fabric.in_flight]


@FAST
@given(st.integers(0, 2**63), st.sampled_from(sorted(IMAGES)))
def test_images_of_a_fabric_give_images_of_results(seed, image):
    assert outcome(seed, image)[-2:] == outcome(seed)[-2:]
    assert sorted(map(str, outcome(seed, image)[0])) == sorted(map(str, outcome(seed)[0]))


@FAST
@given(st.integers(0, 2**63), st.integers(2, 4))
def test_steps_threads_and_snapshots_change_nothing(seed, threads):
    plain = outcome(seed)
    assert outcome(seed, split=True)[-2:] == plain[-2:]
    assert outcome(seed, threads=threads) == plain
    assert outcome(seed, copies=True) == plain


@FAST
@given(st.integers(0, 2**63))
def test_words_of_one_color_and_way_keep_their_order(seed):
    rng = random.Random(seed)
    width, height = rng.randrange(1, 9), rng.randrange(1, 9)
    plan = FabricPlan(width, height, "wse2", buffer_depth=rng.randrange(1, 8), hop_latency=rng.randrange(1, 4))
    sources = {}
    for color in range(3):
        tree = random_tree(rng, width, height)
        for (x, y), (rx, tx) in tree.items():
            plan.paint(color, rx, tx, x=x, y=y)
            if rx == {Port.RAMP}:
                sources[color] = (x, y)
    fabric = Fabric(plan)
    for color, (x, y) in sources.items():
        fabric.inject(x, y, color, np.arange(20))
    fabric.run_until_idle()
    words = fabric.drain()
    for place in {(w["x"], w["y"], w["color"]) for w in words}:
        here = words[(words["x"] == place[0]) & (words["y"] == place[1]) & (words["color"] == place[2])]
        assert here["data"].tolist() == list(range(20)) and (np.diff(here["cycle"]) > 0).all()


@pytest.mark.parametrize("seed", [0, *range(2, 9), *range(10, 16), 17, 18, 23])      # the others break a rule of the fabric
def test_the_c_library_in_a_process_of_its_own_goes_on_as_python_does(library, tmp_path, seed):
    rng = random.Random(seed)
    plan, entries = random_plan(rng)
    fabric, other = Fabric(plan, "count"), Fabric(plan, "count")
    saved, later = tmp_path / "saved", tmp_path / "later"
    for x, y, color, port in entries:
        words = random_words(rng)
        fabric.inject(x, y, color, [word.data for word in words], control=[word.control for word in words], port=port)
    fabric.step(rng.randrange(20))
    saved.write_bytes(_host.state_bytes(fabric.state))
    cycles = rng.randrange(1, 40)
    fabric.step(cycles)
    subprocess.run([library, "continue", str(cycles), str(rng.randrange(1, 4)), saved, later], check=True)
    _host.load_state(other.state, later.read_bytes(), np.empty(0, np.int64), np.empty(0, _routing.DELIVERY))
    assert (other.cycle, other.in_flight) == (fabric.cycle, fabric.in_flight)
    assert all((other.totals()[name] == sums).all() for name, sums in fabric.totals().items())
    for port in Port:
        np.testing.assert_array_equal(other.link_counts(port), fabric.link_counts(port))
    np.testing.assert_array_equal(other.stall_counts(), fabric.stall_counts())
