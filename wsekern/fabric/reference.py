"""The rules of the fabric as plain Python: slow, readable, the specification that the kernel is compared with.

One queue per router and color; a word takes its place in the next queue when it is sent, and is there a hop later. Time
runs in cycles; within one, words enter from outside, then all routers send, then words arrive.
"""

from collections import deque
from dataclasses import dataclass, field, replace

from wsekern.fabric.plan import FabricPlan
from wsekern.fabric.routes import Command, CounterFilter, Port, RangeFilter, Route, ports_of

STEP = {Port.NORTH: (0, -1), Port.EAST: (1, 0), Port.SOUTH: (0, 1), Port.WEST: (-1, 0)}
OPPOSITE = {Port.NORTH: Port.SOUTH, Port.SOUTH: Port.NORTH, Port.EAST: Port.WEST, Port.WEST: Port.EAST}


class BrokenRule(Exception):
    """Rules broken in one cycle: a set of (status, (x, y), color, cycle)."""

    def __init__(self, failures: set[tuple[int, tuple[int, int], int, int]]):
        super().__init__(str(sorted(failures)))
        self.failures = failures


@dataclass(frozen=True)
class Word:
    data: int
    control: bool = False
    advance: bool = False


@dataclass
class Link:
    """A link or on-ramp: when it was last used, and for how many cycles in a row."""

    last: int = -2
    run: int = 0


@dataclass
class Queue:
    """One color of one router."""

    route: Route
    words: deque[Word] = field(default_factory=deque)
    reserved: int = 0
    accepting: int = 0
    sending: int = 0
    frozen: bool = False
    served: set[Port] = field(default_factory=set)
    credit: int | None = None
    turning: list[Word] = field(default_factory=list)
    """Words on their way in from outside that turn the switch; until they are there, only words of their port follow."""
    turner: Port | None = None
    halves: list[tuple[bool, int]] | None = None
    """What a program wrote last into the register of the switch: see ``wsekern.program.reference.registers``."""

    def listens(self, port: Port) -> bool:
        return bool(self.route.rx[self.accepting] >> port & 1) and (not self.turning or port == self.turner)

    def listens_at_all(self, port: Port) -> bool:
        return any(mask >> port & 1 for mask in self.route.rx)


def position_after(route: Route, position: int, word: Word) -> int:
    """Switch position after a word has passed."""
    command = Command(word.data >> 22 & 3) if word.control else Command.NOP
    if command == Command.SWITCH_RST:
        return 0
    if command != Command.SWITCH_ADV and not word.advance:
        return position
    if position + 1 < route.positions:
        return position + 1
    return 0 if route.ring else position


def after_pop(route: Route, position: int, word: Word) -> Word:
    """The word as it leaves a router: command 0 popped if the route's mode says so, the advance bit spent. A switch at its last
    position does not advance, and leaves the command to the routers behind it."""
    command = Command(word.data >> 22 & 3)
    turned = command == Command.SWITCH_ADV and position_after(route, position, replace(word, advance=False)) != position
    pops = {0: False, 1: True, 2: turned, 3: turned or command == Command.NOP}[route.pop]
    if not word.control or not pops:
        return replace(word, advance=False)
    bits = [word.data >> bit & 1 for bit in (*range(22, 30), *range(16))]
    bits = [*bits[3:], 0, 0, 1]
    data = word.data & 0xC03F0000
    for bit, value in zip((*range(22, 30), *range(16)), bits, strict=True):
        data |= value << bit
    return Word(data, control=True)


class ReferenceFabric:
    """Same plan, same cycles, same words as :class:`wsekern.fabric.Fabric`."""

    def __init__(self, plan: FabricPlan, credit: dict[int, int] | None = None):
        self.plan, self.rules, self.cycle = plan, plan.rules, 0
        self.queues: dict[tuple[int, int, int], Queue] = {}
        for item in plan.painted:
            color, r = item.color, item.route
            for y in range(item.y, item.y + item.height):
                for x in range(item.x, item.x + item.width):
                    self.queues.pop((x, y, color), None)
                    if r:
                        self.queues[x, y, color] = Queue(r, accepting=r.initial, sending=r.initial, frozen=r.teardown,
                                                         credit=(credit or {}).get(color))
        routes = [(item.color, item.route) for item in plan.painted if item.route]
        colors = {color for color, _ in routes}
        swapping = {color ^ 1 for color, route in routes if route.swap_ew or route.swap_ns}
        self.colors = sorted(colors | swapping)
        self.pointer: dict[tuple[int, int], int] = {}
        self.links: dict[tuple[int, int, Port], Link] = {}
        self.entries: dict[tuple[int, int, Port], Link] = {}
        self.streams: dict[tuple[int, int, Port], dict[int, deque[Word]]] = {}
        self.turn: dict[tuple[int, int, Port], int] = {}
        self.travelling: list[tuple[int, tuple[int, int, int], Port, Word]] = []
        self.out: list[tuple[int, int, int, int, int, bool, bool, int]] = []
        self.filters = {}
        for placed in plan.placed_filters:
            for y in range(placed.y, placed.y + placed.height):
                for x in range(placed.x, placed.x + placed.width):
                    self.filters[x, y, placed.color] = [placed.rule, getattr(placed.rule, "start", 0), False]
        self.crossings: dict[tuple[int, int, Port], int] = {}
        self.dropped = self.stalls = 0
        self.unused_credit: dict[tuple[int, int, int], int] = {}

    # -- entering --

    def inject(self, x: int, y: int, color: int, words: list[Word], port: Port = Port.RAMP) -> None:
        """Words that wait outside a ramp or edge."""
        self.streams.setdefault((x, y, port), {}).setdefault(color, deque()).extend(words)

    def rests(self, link: Link) -> bool:
        """Whether a link carries nothing in this cycle."""
        rules = self.rules
        return link.last == self.cycle or (rules.link_frame > rules.link_words and link.last == self.cycle - 1
                                           and link.run >= rules.link_words)

    def use(self, link: Link) -> None:
        link.run = link.run + 1 if link.last == self.cycle - 1 else 1
        link.last = self.cycle

    def accept(self, x: int, y: int, color: int, word: Word, port: Port) -> bool:
        """Give a word from outside its place; False if there is none. Unrouted: :class:`BrokenRule`."""
        color = self.color_inside(x, y, color, port)
        queue = self.queues.get((x, y, color))
        if queue is None or not queue.listens_at_all(port):
            raise BrokenRule({(-10, (x, y), color, self.cycle)})
        if not queue.listens(port) or queue.reserved == self.rules.buffer_depth:
            return False
        queue.reserved += 1
        before, queue.accepting = queue.accepting, position_after(queue.route, queue.accepting, word)
        if queue.accepting != before:
            queue.turning.append(word)
            queue.turner = port
        latency = self.rules.ramp_latency if port == Port.RAMP else self.rules.hop_latency
        self.travelling.append((self.cycle + latency, (x, y, color), port, word))
        return True

    def feed(self) -> None:
        """Every ramp and edge lets in one waiting word at most; colors take turns."""
        failures = set()
        for place, streams in sorted(self.streams.items(), key=lambda item: (item[0][1], item[0][0], item[0][2])):
            link = self.entries.setdefault(place, Link())
            if self.rests(link):
                continue
            for i in range(len(self.colors)):
                index = (self.turn.get(place, 0) + i) % len(self.colors)
                stream = streams.get(self.colors[index])
                if not stream:
                    continue
                try:
                    accepted = self.accept(place[0], place[1], self.colors[index], stream[0], place[2])
                except BrokenRule as broken:
                    failures |= broken.failures
                    break
                if accepted:
                    stream.popleft()
                    self.turn[place] = (index + 1) % len(self.colors)
                    self.use(link)
                    break
        if failures:
            raise BrokenRule(failures)

    # -- cores --

    def offer(self, x: int, y: int, color: int, word: Word) -> bool:
        """A word that a core puts on its ramp: whether it was taken."""
        link = self.entries.setdefault((x, y, Port.RAMP), Link())
        if self.rests(link) or not self.accept(x, y, color, word, Port.RAMP):
            return False
        self.use(link)
        return True

    def heard(self) -> list[tuple[int, int, int, int, bool, bool, int]]:
        """What comes out in this cycle: (x, y, color, port, control, torn down, data)."""
        now = [row[1:] for row in self.out if row[0] == self.cycle]
        self.out = [row for row in self.out if row[0] > self.cycle]
        return now

    def give_credit(self, x: int, y: int, color: int, words: int = 1) -> None:
        """A core has room for further words of a color."""
        if (x, y, color) in self.queues:
            self.queues[x, y, color].credit += words
        else:
            self.unused_credit[x, y, color] = self.unused_credit.get((x, y, color), 0) + words

    def take_credit(self, x: int, y: int, color: int) -> None:
        """A core takes no more words of a color."""
        if (x, y, color) in self.queues:
            self.queues[x, y, color].credit = 0

    def rewrite(self, x: int, y: int, color: int, route: Route) -> None:
        """A core replaces a route; queued words follow the new one."""
        queue = self.queues.get((x, y, color))
        if queue is None:
            queue = self.queues[x, y, color] = Queue(route, credit=self.unused_credit.pop((x, y, color), 0))
        queue.route, queue.frozen, queue.halves = route, queue.frozen or route.teardown, None
        self.set_position(x, y, color, route.initial)

    def set_position(self, x: int, y: int, color: int, position: int) -> None:
        """A core sets a switch; the way in is ahead of it by the control words that are queued."""
        queue = self.queues[x, y, color]
        queue.sending = queue.accepting = position
        for word in queue.words:
            queue.accepting = position_after(queue.route, queue.accepting, word)

    def leave_teardown(self, x: int, y: int, color: int) -> None:
        """A core lets a color move again."""
        if (x, y, color) in self.queues:
            self.queues[x, y, color].frozen = False

    def torn_down(self, x: int, y: int) -> list[int]:
        """Colors in teardown at a router."""
        return [color for color in self.colors if (x, y, color) in self.queues and self.queues[x, y, color].frozen]

    # -- routing --

    def beyond(self, x: int, y: int, color: int, port: Port) -> tuple[int, int, int] | None:
        """The queue behind a port: the next router's, in the color that the word has there; None off the wafer."""
        dx, dy = STEP[port]
        if 0 <= x + dx < self.plan.width and 0 <= y + dy < self.plan.height:
            return x + dx, y + dy, self.color_inside(x + dx, y + dy, color, OPPOSITE[port])
        return None

    def color_inside(self, x: int, y: int, color: int, port: Port) -> int:
        """The color that a word has in the router that it comes to: its partner where that way in is swapped, the ramp where
        both axes are."""
        queue = self.queues.get((x, y, color))
        if queue is None:
            return color
        ew, ns = port in (Port.EAST, Port.WEST, Port.RAMP), port in (Port.NORTH, Port.SOUTH, Port.RAMP)
        return color ^ 1 if (queue.route.swap_ew or not ew) and (queue.route.swap_ns or not ns) else color

    def has_room(self, x: int, y: int, color: int, port: Port, failures: set) -> bool:
        rests = bool(self.rests(self.links.setdefault((x, y, port), Link())))
        if port == Port.RAMP:
            return not rests and self.queues[x, y, color].credit != 0
        place = self.beyond(x, y, color, port)
        if place is None:
            return not rests
        queue = self.queues.get(place)
        if queue is None or not queue.listens_at_all(OPPOSITE[port]):
            failures.add((-10, place[:2], place[2], self.cycle))
            return False
        return not rests and queue.listens(OPPOSITE[port]) and queue.reserved < self.rules.buffer_depth

    def choose(self, x: int, y: int, failures: set) -> list[tuple[int, set[Port], set[Port]]]:
        """What one router sends: (color, granted ports, ports still wanted) per color with a head word."""
        heads = []
        for color in self.colors:
            queue = self.queues.get((x, y, color))
            if queue and queue.words and not queue.frozen:
                want = set(ports_of(queue.route.tx[queue.sending])) - queue.served
                room = {port for port in want if self.has_room(x, y, color, port, failures)}
                if self.rules.multicast == "all" and room != want:
                    room = set()
                heads.append((color, want, room))
        start = self.pointer.get((x, y), self.colors[0])
        heads.sort(key=lambda head: (head[0] < start, head[0]))
        taken: set[Port] = set()
        first_lost = None
        sent = []
        for color, want, room in heads:
            clash = room & taken
            if clash and first_lost is None:
                first_lost = color
            grant = room - taken if self.rules.multicast == "each" else (set() if clash else room)
            taken |= grant
            sent.append((color, grant, want))
        if first_lost is not None:
            self.pointer[x, y] = first_lost
        return sent

    def step(self) -> None:
        """One cycle."""
        self.feed()
        self.route()

    def route(self) -> None:
        """What the routers do in a cycle, after words have entered."""
        failures: set = set()
        places = sorted({(y, x) for (x, y, _), queue in self.queues.items() if queue.words})
        chosen = [(x, y, *choice) for y, x in places for choice in self.choose(x, y, failures)]
        arrivals = []
        for x, y, color, grant, want in chosen:
            if not grant:
                self.stalls += 1
                if want:                        # a rewritten route may leave no port that has not had the word: it goes
                    continue
            self.send(x, y, color, grant, want, arrivals)
        for place, word in arrivals:
            queue = self.queues[place]
            if queue.reserved == self.rules.buffer_depth:      # there was room for whoever sent, but not for two of them
                failures.add((-11, place[:2], place[2], self.cycle + self.rules.hop_latency))
            queue.reserved += 1
            queue.accepting = position_after(queue.route, queue.accepting, word)
        self.land(failures)
        if failures:
            raise BrokenRule(failures)
        self.cycle += 1

    def send(self, x: int, y: int, color: int, grant: set[Port], want: set[Port], arrivals: list) -> None:
        queue = self.queues[x, y, color]
        word = queue.words[0]
        leaving = after_pop(queue.route, queue.sending, word)
        for port in sorted(grant):
            self.use(self.links[x, y, port])
            self.crossings[x, y, port] = self.crossings.get((x, y, port), 0) + 1
            if port == Port.RAMP:
                self.deliver(x, y, color, leaving, ignored=word.control and bool(word.data >> 24 & 1))
                continue
            place = self.beyond(x, y, color, port)
            if place is None:
                self.emit(x, y, color, leaving, port, self.rules.hop_latency)
                continue
            self.travelling.append((self.cycle + self.rules.hop_latency, place, OPPOSITE[port], leaving))
            arrivals.append((place, leaving))
        queue.served |= grant
        if want - grant:
            return
        queue.served.clear()
        queue.words.popleft()
        queue.reserved -= 1
        queue.sending = position_after(queue.route, queue.sending, word)
        if word.control and Command(word.data >> 22 & 3) == Command.TEARDOWN:
            queue.frozen = True
            self.out.append((self.cycle + self.rules.ramp_latency, x, y, color, Port.RAMP, False, True, word.data))

    def land(self, failures: set) -> None:
        """Words that arrive for the next cycle; two of one color from two ports break the rules."""
        now = [item for item in self.travelling if item[0] == self.cycle + 1]
        self.travelling = [item for item in self.travelling if item[0] != self.cycle + 1]
        seen = set()
        for _, place, _, word in now:
            if place in seen:
                failures.add((-11, place[:2], place[2], self.cycle + 1))
            seen.add(place)
            queue = self.queues[place]
            queue.words.append(word)
            queue.turning = [item for item in queue.turning if item is not word]

    # -- leaving --

    def deliver(self, x: int, y: int, color: int, word: Word, ignored: bool) -> None:
        if ignored or not self.passes(x, y, color, word):
            self.dropped += 1
            return
        queue = self.queues[x, y, color]
        if queue.credit:
            queue.credit -= 1
        self.emit(x, y, color, word, Port.RAMP, self.rules.ramp_latency)

    def emit(self, x: int, y: int, color: int, word: Word, port: Port, latency: int) -> None:
        self.out.append((self.cycle + latency, x, y, color, int(port), word.control, False, word.data))

    def passes(self, x: int, y: int, color: int, word: Word) -> bool:
        """What the filter before the core says."""
        state = self.filters.get((x, y, color))
        if state is None:
            return True
        rule, count, wrapped = state
        if isinstance(rule, RangeFilter):
            return word.control or rule.low <= word.data >> 16 <= rule.high
        assert isinstance(rule, CounterFilter)
        if not (rule.count_control if word.control else rule.count_data):
            return True
        limit = rule.limit if rule.first_limit is None or wrapped else rule.first_limit
        state[1:] = [0, True] if count >= limit else [count + 1, wrapped]
        return count <= rule.high

    @property
    def words(self) -> int:
        """Words in routers, on links and on on-ramps."""
        return sum(len(queue.words) for queue in self.queues.values()) + len(self.travelling)
