"""The kernel against the plain reference, cycle by cycle, on random fabrics; and the laws of the fabric."""

import contextlib
import random
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import RoutingError
from wsekern.fabric import CounterFilter, Fabric, FabricPlan, Port, RangeFilter, Route, Rules, _host, _routing
from wsekern.fabric.reference import OPPOSITE, STEP, BrokenRule, ReferenceFabric, Word

pytestmark = pytest.mark.filterwarnings("ignore:.*the route is replaced:wsekern.errors.ProgramWarning")
FAST = settings(max_examples=80, deadline=None)


def random_tree(rng: random.Random, width: int, height: int) -> dict[tuple[int, int], tuple[set[Port], set[Port]]]:
    """A multicast tree from a random ramp: place -> (rx, tx)."""
    place = (rng.randrange(width), rng.randrange(height))
    tree = {place: ({Port.RAMP}, set())}
    frontier = [place]
    for _ in range(rng.randrange(1, 3 * (width + height))):
        place = rng.choice(frontier[-2:] + frontier) if rng.random() < 0.8 else rng.choice(frontier)
        port = rng.choice(list(STEP))
        there = (place[0] + STEP[port][0], place[1] + STEP[port][1])
        if there in tree or not (0 <= there[0] < width and 0 <= there[1] < height):
            continue
        tree[place][1].add(port)
        tree[there] = ({OPPOSITE[port]}, set())
        frontier.append(there)
    for _, tx in tree.values():
        if not tx or rng.random() < 0.4:
            tx.add(Port.RAMP)
    return tree


def mask(ports) -> int:
    return sum(1 << port for port in ports)


def random_route(rng: random.Random, rx: set[Port], tx: set[Port], swaps: bool) -> Route:
    """A route with these ports at position 0 and, sometimes, a switch with other ones."""
    rxs, txs = [mask(rx)], [mask(tx)]
    while rng.random() < 0.3 and len(rxs) < 4:
        rxs.append(rng.choice([rxs[0], rxs[0], rxs[0], rng.randrange(1, 32)]))
        txs.append(rng.choice([txs[0], 1 << rng.choice(sorted(tx)), 1 << Port.RAMP]))
    return Route(tuple(rxs), tuple(txs), rng.randrange(len(rxs)) if rng.random() < 0.3 else 0, rng.random() < 0.5,
                 rng.randrange(4), swaps and rng.random() < 0.2, swaps and rng.random() < 0.2, rng.random() < 0.02)


def random_plan(rng: random.Random) -> tuple[FabricPlan, list]:
    """A fabric with random rules and routes, and where words may enter."""
    wide = rng.random() < 0.25
    width = rng.randrange(60, 70) if wide else rng.randrange(1, 7)
    height = rng.randrange(1, 4) if wide else (rng.randrange(62, 68) if rng.random() < 0.2 else rng.randrange(1, 7))
    plain = rng.random() < 0.4
    frame = (1, 1) if plain else rng.choice([(1, 1), (8, 9), (2, 3)])
    rules = Rules(hop_latency=rng.choice([1, 1, 2, 3]), ramp_latency=rng.randrange(1, 4), buffer_depth=rng.randrange(1, 8),
                  link_words=frame[0], link_frame=frame[1], multicast="all" if plain else rng.choice(["all", "each"]))
    plan = FabricPlan(width, height, rules, open_edges=not plain and rng.random() < 0.5)
    entries = []
    swaps = not plain and rng.random() < 0.2
    for color in sorted(rng.sample(range(24), rng.randrange(1, 5))):
        for (x, y), (rx, tx) in random_tree(rng, width, height).items():
            if rx == {Port.RAMP}:
                entries.append((x, y, color, Port.RAMP))
            elif rng.random() < 0.05:
                rx = rx | {Port.RAMP}
                entries.append((x, y, color, Port.RAMP))
            edges = [port for port, (dx, dy) in STEP.items() if not (0 <= x + dx < width and 0 <= y + dy < height)]
            if plan.open_edges and edges and rng.random() < 0.3:
                if rng.random() < 0.5 and Port.RAMP not in rx:
                    tx = tx | {rng.choice(edges)}
                else:
                    port = rng.choice(edges)
                    rx, tx = rx | {port}, tx - {port} or {Port.RAMP}
                    entries.append((x, y, color, port))
            plan.paint_route(color, random_route(rng, rx, tx, swaps), x=x, y=y)
            if Port.RAMP in tx and not plain and rng.random() < 0.15:
                counter = CounterFilter(rng.randrange(4), rng.randrange(4), rng.randrange(3),
                                        rng.choice([None, rng.randrange(4)]), True, rng.random() < 0.5)
                plan.filter(color, rng.choice([RangeFilter(100, 40000), counter]), x=x, y=y)
    return plan, entries


def random_words(rng: random.Random) -> list[Word]:
    controls = rng.choice([0, 0, 0.2])
    return [Word(rng.getrandbits(32), rng.random() < controls, rng.random() < controls / 4)
            for _ in range(rng.randrange(1, 12))]


def inject(fabric: Fabric, reference: ReferenceFabric, x, y, color, port, words) -> None:
    fabric.inject(x, y, color, np.array([w.data for w in words], np.uint32), control=[w.control for w in words],
                  advance=[w.advance for w in words], port=port)
    reference.inject(x, y, color, words, port)


def same_words(fabric: Fabric, reference: ReferenceFabric, counted: set[int]) -> None:
    """The words that come out now; those that cores only count are not listed."""
    heard = sorted(tuple(int(v) for v in row) for row in
                   fabric.drain()[["cycle", "x", "y", "color", "port", "control", "teardown", "data"]].tolist())
    due = sorted(tuple(int(v) for v in row) for row in reference.out if row[0] <= reference.cycle
                 and not (row[3] in counted and row[4] == Port.RAMP and not row[6]))
    reference.out = [row for row in reference.out if row[0] > reference.cycle]
    assert heard == due


def wild_plan(rng: random.Random) -> tuple[FabricPlan, list]:
    """Any ports at all in every router: circles, dead ends, clashes, ways off the wafer."""
    width, height = rng.choice([1, 2, 3, 5, 64, 66]), rng.choice([1, 2, 3, 5])
    plan = FabricPlan(width, height, Rules(hop_latency=rng.randrange(1, 4), buffer_depth=rng.randrange(1, 8),
                                           multicast=rng.choice(["all", "each"])), open_edges=True)
    entries = []
    for color in range(rng.randrange(1, 4)):
        for x in range(width):
            for y in range(height):
                if rng.random() < 0.1:
                    continue
                rx, tx = (set(rng.sample(list(Port), rng.choice([1, 1, 2, 3]))) for _ in range(2))
                plan.paint_route(color, random_route(rng, rx, tx, False), x=x, y=y)
                if Port.RAMP in rx and rng.random() < 0.2:
                    entries.append((x, y, color, Port.RAMP))
    return plan, entries


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


def lines_plan(rng: random.Random) -> tuple[FabricPlan, list]:
    """Every color flies one way over the whole fabric and any ramp may send; here and there a way turns, forks or switches:
    a fabric for words that seldom meet."""
    width, height = rng.choice([(66, 3), (130, 2), (3, 66), (2, 130), (12, 9)])
    plan = FabricPlan(width, height, Rules(hop_latency=rng.choice([1, 1, 2, 3]), ramp_latency=rng.randrange(1, 4),
                                           buffer_depth=rng.choice([4, 4, 4, 2, 7])))
    entries, odd = [], rng.choice([0, 0.003, 0.03])
    for color in range(rng.randrange(1, 6)):
        ahead = rng.choice(list(STEP))
        for x in range(width):
            for y in range(height):
                inside = {port for port, (dx, dy) in STEP.items() if 0 <= x + dx < width and 0 <= y + dy < height}
                tx = {ahead} & inside or {Port.RAMP}
                rx = {OPPOSITE[ahead], Port.RAMP}
                if rng.random() < odd:
                    rx |= set(rng.sample(list(STEP), 2))
                    tx = set(rng.sample(sorted(inside), 1)) | ({Port.RAMP} if rng.random() < 0.5 else set())
                route = random_route(rng, rx, tx, False) if rng.random() < odd else Route((mask(rx),), (mask(tx),))
                plan.paint_route(color, route, x=x, y=y)
                entries.append((x, y, color, Port.RAMP))
    return plan, rng.sample(entries, min(len(entries), rng.choice([3, 20, 80])))


@settings(FAST, max_examples=60)
@given(st.integers(0, 2**63))
def test_words_that_seldom_meet(seed):
    rng = random.Random(seed)
    plan, entries = lines_plan(rng)
    compare(plan, entries, rng, meddle=rng.choice([0, 0, 0.1]))


def meddle_with(fabric: Fabric, reference: ReferenceFabric, rng: random.Random) -> None:
    """What a user may do between two cycles: look, go back and forth, change a route."""
    what, (x, y, color) = rng.randrange(4), rng.choice(sorted(reference.queues))
    if what == 0:
        fabric.state.explain()
    elif what == 1:
        kept = fabric.snapshot()
        with contextlib.suppress(RoutingError):
            fabric.step(5)
        fabric.restore(kept)
    elif what == 2:
        queue = reference.queues[x, y, color]
        queue.frozen = rng.random() < 0.5
        fabric.teardown(x, y, color, queue.frozen)
    else:
        route = reference.queues[x, y, color].route
        route = Route(tuple(ports | rng.randrange(32) for ports in route.rx), (1 << Port.RAMP,) * route.positions)
        assert fabric.state.words_at(x, y, color) == reference.queues[x, y, color].reserved
        fabric.rewrite(x, y, color, route)
        reference.rewrite(x, y, color, route)


def same_moves(fabric: Fabric, before: dict, reference: ReferenceFabric) -> None:
    """The links that words crossed in the last cycle; a core's ramp is none."""
    moved = sorted((int(pe) % fabric.width, int(pe) // fabric.width, int(port)) for pe, port in
                   fabric.state.moves()[["pe", "port"]].tolist())
    after = reference.crossings
    expected = {place: n - before.get(place, 0) for place, n in after.items() if place[2] != Port.RAMP}
    assert moved == sorted((x, y, int(port)) for (x, y, port), n in expected.items() if n)


def compare(plan: FabricPlan, entries: list, rng: random.Random, meddle: float = 0) -> None:
    """The kernel beside the reference, for 40 cycles or until both find the same broken rule."""
    colors = {color for _, _, color, _ in entries}
    credit = {color: rng.randrange(4) for color in colors if rng.random() < 0.15}
    counted = {color for color in colors - set(credit) if rng.random() < 0.5}
    fabric = Fabric(plan, dict.fromkeys(credit, "core") | dict.fromkeys(counted, "count"), threads=rng.choice([1, 1, 2]))
    reference = ReferenceFabric(plan, credit)
    for (x, y, color), queue in reference.queues.items():
        if queue.credit:
            fabric.credit(x, y, color, queue.credit)
    for cycle in range(40):
        for x, y, color, port in entries if cycle % 10 == 0 else []:
            if rng.random() < 0.6:
                inject(fabric, reference, x, y, color, port, random_words(rng))
        before = dict(reference.crossings)
        try:
            reference.step()
        except BrokenRule as broken:
            with pytest.raises(RoutingError) as caught:
                fabric.step()
            report = caught.value.report
            assert (report["status"], report["pe"], report["color"], report["cycle"]) in broken.failures
            return
        fabric.step()
        same_words(fabric, reference, counted)
        if not plan.open_edges:
            same_moves(fabric, before, reference)
        if rng.random() < meddle:
            check_counts(fabric, reference)
            meddle_with(fabric, reference, rng)
        for color in reference.colors:
            expected = np.zeros((plan.height, plan.width), np.uint8)
            for (x, y, c), queue in reference.queues.items():
                if c == color:
                    expected[y, x] = queue.reserved
                    assert fabric.position(x, y, color) == queue.sending
                    assert fabric.torn_down(x, y, color) == queue.frozen
            np.testing.assert_array_equal(fabric.occupancy(color), expected)
    check_counts(fabric, reference)


def check_counts(fabric: Fabric, reference: ReferenceFabric) -> None:
    for port in Port:
        counts = fabric.link_counts(port)
        expected = np.zeros_like(counts)
        for (x, y, p), n in reference.crossings.items():
            if p == port:
                expected[y, x] = n
        np.testing.assert_array_equal(counts, expected)
    totals = {name: int(values.sum()) for name, values in fabric.totals().items()}
    assert totals["stalls"] == reference.stalls == fabric.stall_counts().sum()
    assert totals["dropped"] == reference.dropped
    assert fabric.in_flight == reference.words
    assert totals["injected"] + totals["copied"] == (totals["delivered"] + totals["dropped"] + totals["edge"]
                                                     + fabric.in_flight)


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
