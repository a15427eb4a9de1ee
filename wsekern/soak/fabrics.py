"""Random fabrics: routes, rules and words, on which the kernel and the plain reference are set side by side."""

import contextlib
import random
from collections.abc import Iterable, Sequence

import numpy as np

from wsekern.errors import RoutingError
from wsekern.fabric import CounterFilter, Fabric, FabricPlan, Port, RangeFilter, Route, Rules
from wsekern.fabric.reference import OPPOSITE, STEP, BrokenRule, ReferenceFabric, Word
from wsekern.soak.difference import Difference, same

Entries = list[tuple[int, int, int, Port]]
"""Where words may enter: (x, y, color, port)."""


def random_tree(rng: random.Random, width: int, height: int) -> dict[tuple[int, int], tuple[set[Port], set[Port]]]:
    """A multicast tree from a random ramp: place -> (rx, tx)."""
    place = (rng.randrange(width), rng.randrange(height))
    tree: dict[tuple[int, int], tuple[set[Port], set[Port]]] = {place: ({Port.RAMP}, set())}
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


def mask(ports: Iterable[Port]) -> int:
    """The bits of ports."""
    return sum(1 << port for port in ports)


def random_route(rng: random.Random, rx: set[Port], tx: set[Port], swaps: bool) -> Route:
    """A route with these ports at position 0 and, sometimes, a switch with other ones."""
    rxs, txs = [mask(rx)], [mask(tx)]
    while rng.random() < 0.3 and len(rxs) < 4:
        rxs.append(rng.choice([rxs[0], rxs[0], rxs[0], rng.randrange(1, 32)]))
        txs.append(rng.choice([txs[0], 1 << rng.choice(sorted(tx)), 1 << Port.RAMP]))
    return Route(tuple(rxs), tuple(txs), rng.randrange(len(rxs)) if rng.random() < 0.3 else 0, rng.random() < 0.5,
                 rng.randrange(4), swaps and rng.random() < 0.2, swaps and rng.random() < 0.2, rng.random() < 0.02)


def random_size(rng: random.Random) -> tuple[int, int]:
    """Width and height in PEs: few, or some more than a word of bits or a strip of rows holds."""
    wide = rng.random() < 0.25
    width = rng.randrange(60, 70) if wide else rng.randrange(1, 7)
    height = rng.randrange(1, 4) if wide else (rng.randrange(62, 68) if rng.random() < 0.2 else rng.randrange(1, 7))
    return width, height


def random_plan(rng: random.Random, size: tuple[int, int] | None = None) -> tuple[FabricPlan, Entries]:
    """A fabric with random rules and routes, and where words may enter."""
    width, height = size or random_size(rng)
    plain = rng.random() < 0.4
    frame = (1, 1) if plain else rng.choice([(1, 1), (8, 9), (2, 3)])
    rules = Rules(hop_latency=rng.choice([1, 1, 2, 3]), ramp_latency=rng.randrange(1, 4), buffer_depth=rng.randrange(1, 8),
                  link_words=frame[0], link_frame=frame[1], multicast="all" if plain else rng.choice(["all", "each"]))
    plan = FabricPlan(width, height, rules, open_edges=not plain and rng.random() < 0.5)
    entries: Entries = []
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


def wild_plan(rng: random.Random, size: tuple[int, int] | None = None) -> tuple[FabricPlan, Entries]:
    """Any ports at all in every router: circles, dead ends, clashes, ways off the wafer."""
    width, height = size or (rng.choice([1, 2, 3, 5, 64, 66]), rng.choice([1, 2, 3, 5]))
    plan = FabricPlan(width, height, Rules(hop_latency=rng.randrange(1, 4), buffer_depth=rng.randrange(1, 8),
                                           multicast=rng.choice(["all", "each"])), open_edges=True)
    entries: Entries = []
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


def lines_plan(rng: random.Random, size: tuple[int, int] | None = None) -> tuple[FabricPlan, Entries]:
    """Every color flies one way over the whole fabric and any ramp may send; here and there a way turns, forks or switches:
    a fabric for words that seldom meet."""
    width, height = size or rng.choice([(66, 3), (130, 2), (3, 66), (2, 130), (12, 9)])
    plan = FabricPlan(width, height, Rules(hop_latency=rng.choice([1, 1, 2, 3]), ramp_latency=rng.randrange(1, 4),
                                           buffer_depth=rng.choice([4, 4, 4, 2, 7])))
    entries: Entries = []
    odd = rng.choice([0, 0.003, 0.03])
    for color in range(rng.randrange(1, 6)):
        ahead = rng.choice(list(STEP))
        for x in range(width):
            for y in range(height):
                inside = {port for port, (dx, dy) in STEP.items() if 0 <= x + dx < width and 0 <= y + dy < height}
                tx = {ahead} & inside or {Port.RAMP}
                rx = {OPPOSITE[ahead], Port.RAMP}
                if rng.random() < odd:
                    rx |= set(rng.sample(list(STEP), 2))
                    ways = set(rng.sample(sorted(inside), min(1, len(inside))))     # a lone PE has none
                    tx = ways | ({Port.RAMP} if not ways or rng.random() < 0.5 else set())
                route = random_route(rng, rx, tx, False) if rng.random() < odd else Route((mask(rx),), (mask(tx),))
                plan.paint_route(color, route, x=x, y=y)
                entries.append((x, y, color, Port.RAMP))
    return plan, rng.sample(entries, min(len(entries), rng.choice([3, 20, 80])))


def gathering_plan(rng: random.Random, size: tuple[int, int] | None = None) -> tuple[FabricPlan, Entries]:
    """Every color goes over rows, then along a column, to one core, and every router hears all sides: words meet, and two that
    come to a router at once may both be on long links."""
    width, height = size or rng.choice([(7, 7), (9, 3), (3, 9)])
    plan = FabricPlan(width, height, Rules(hop_latency=rng.randrange(1, 5), ramp_latency=rng.randrange(1, 4),
                                           buffer_depth=rng.randrange(1, 8)))
    entries: Entries = []
    to_x, to_y = rng.randrange(width), rng.randrange(height)
    for color in range(rng.randrange(1, 3)):
        for x in range(width):
            for y in range(height):
                rx = [port for port, (dx, dy) in STEP.items() if 0 <= x + dx < width and 0 <= y + dy < height]
                across = Port.EAST if x < to_x else Port.WEST
                along = Port.SOUTH if y < to_y else Port.NORTH if y > to_y else Port.RAMP
                plan.paint_route(color, Route((mask([*rx, Port.RAMP]),), (mask([across if x != to_x else along]),)), x=x, y=y)
                entries.append((x, y, color, Port.RAMP))
    return plan, rng.sample(entries, min(len(entries), rng.choice([3, 6, 20])))


def random_words(rng: random.Random) -> list[Word]:
    controls = rng.choice([0, 0, 0.2])
    return [Word(rng.getrandbits(32), rng.random() < controls, rng.random() < controls / 4)
            for _ in range(rng.randrange(1, 12))]


def inject(fabric: Fabric, reference: ReferenceFabric, place: tuple[int, int, int, Port], words: list[Word]) -> None:
    """Let words wait at an entry of both."""
    x, y, color, port = place
    fabric.inject(x, y, color, np.array([word.data for word in words], np.uint32), control=[word.control for word in words],
                  advance=[word.advance for word in words], port=port)
    reference.inject(x, y, color, words, port)


def same_words(fabric: Fabric, reference: ReferenceFabric, counted: set[int]) -> None:
    """The words that come out now; those that cores only count are not listed."""
    heard = sorted(tuple(int(v) for v in row) for row in
                   fabric.drain()[["cycle", "x", "y", "color", "port", "control", "teardown", "data"]].tolist())
    due = sorted(tuple(int(v) for v in row) for row in reference.out if row[0] <= reference.cycle
                 and not (row[3] in counted and row[4] == Port.RAMP and not row[6]))
    reference.out = [row for row in reference.out if row[0] > reference.cycle]
    same(heard, due, f"words that come out in cycle {reference.cycle}")


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
        same(fabric.state.words_at(x, y, color), reference.queues[x, y, color].reserved, f"words at {x}, {y}, color {color}")
        fabric.rewrite(x, y, color, route)
        reference.rewrite(x, y, color, route)


def same_moves(fabric: Fabric, before: dict[tuple[int, int, Port], int], reference: ReferenceFabric) -> None:
    """The links that words crossed in the last cycle; a core's ramp is none."""
    moved = sorted((int(pe) % fabric.width, int(pe) // fabric.width, int(port)) for pe, port in
                   fabric.state.moves()[["pe", "port"]].tolist())
    after = reference.crossings
    expected = {place: n - before.get(place, 0) for place, n in after.items() if place[2] != Port.RAMP}
    same(moved, sorted((x, y, int(port)) for (x, y, port), n in expected.items() if n), f"moves in cycle {reference.cycle}")


def same_rule_broken(fabric: Fabric, broken: BrokenRule, cycles: int = 1) -> None:
    """The last of the next ``cycles`` cycles breaks one of the rules that the reference has found broken."""
    try:
        fabric.step(cycles)
    except RoutingError as error:
        report = error.report
        told = (report["status"], report["pe"], report["color"], report["cycle"])
        if told not in broken.failures:
            raise Difference(f"{told} is told as the broken rule, expected one of {broken.failures}") from error
        return
    raise Difference(f"no rule is broken, expected one of {broken.failures}")


def same_routers(fabric: Fabric, reference: ReferenceFabric) -> None:
    """Words of every color in every router, switch positions, and which are in teardown."""
    words = {color: np.zeros((fabric.height, fabric.width), np.uint8) for color in reference.colors}
    state = fabric.state
    for (x, y, color), queue in reference.queues.items():
        if queue.reserved:
            words[color][y, x] = queue.reserved
        if state.position(x, y, color) != queue.sending or state.torn_down(x, y, color) != queue.frozen:
            same((state.position(x, y, color), state.torn_down(x, y, color)), (queue.sending, queue.frozen),
                 f"position and teardown of color {color} at {x}, {y} in cycle {reference.cycle}")
    for color, expected in words.items():
        same(fabric.occupancy(color), expected, f"words of color {color} in routers in cycle {reference.cycle}")


def compare(plan: FabricPlan, entries: Entries, rng: random.Random, meddle: float = 0, cycles: int = 40,
            threads: Sequence[int] = (1, 1, 2), stride: int = 1, period: int = 10) -> None:
    """The kernel beside the reference, for so many cycles or until both find the same broken rule. Words enter every ``period``
    cycles; the kernel goes ``stride`` cycles at a time, or up to where words enter."""
    colors = {color for _, _, color, _ in entries}
    credit = {color: rng.randrange(4) for color in colors if rng.random() < 0.15}
    counted = {color for color in colors - set(credit) if rng.random() < 0.5}
    fabric = Fabric(plan, dict.fromkeys(credit, "core") | dict.fromkeys(counted, "count"), threads=rng.choice(threads))
    reference = ReferenceFabric(plan, credit)
    for (x, y, color), queue in reference.queues.items():
        if queue.credit:
            fabric.credit(x, y, color, queue.credit)
    behind = 0
    for cycle in range(cycles):
        for place in entries if cycle % period == 0 else []:
            if rng.random() < 0.6:
                inject(fabric, reference, place, random_words(rng))
        before, behind = dict(reference.crossings), behind + 1
        try:
            reference.step()
        except BrokenRule as broken:
            same_rule_broken(fabric, broken, behind)
            return
        if (cycle + 1) % period % stride and cycle + 1 < cycles:
            continue
        fabric.step(behind)
        behind = 0
        same_words(fabric, reference, counted)
        if not plan.open_edges:
            same_moves(fabric, before, reference)
        if rng.random() < meddle and reference.queues:
            same_counts(fabric, reference)
            meddle_with(fabric, reference, rng)
        same_routers(fabric, reference)
    same_counts(fabric, reference)


def same_counts(fabric: Fabric, reference: ReferenceFabric) -> None:
    """Words over every link, and all sums."""
    for port in Port:
        counts = fabric.link_counts(port)
        expected = np.zeros_like(counts)
        for (x, y, p), n in reference.crossings.items():
            if p == port:
                expected[y, x] = n
        same(counts, expected, f"words over links {port.name}")
    totals = {name: int(values.sum()) for name, values in fabric.totals().items()}
    same((totals["stalls"], int(fabric.stall_counts().sum())), (reference.stalls,) * 2, "stalls")
    same((totals["dropped"], fabric.in_flight), (reference.dropped, reference.words), "words dropped and in flight")
    same(totals["injected"] + totals["copied"], totals["delivered"] + totals["dropped"] + totals["edge"] + fabric.in_flight,
         "words that came in, and those that went or are there")
