# cython: language_level=3
"""Clocks of operations along lines of PEs: the flow engine's arithmetic, one local clock per PE, no stepping.

A line is an int64 array (PEs, CAUSES): the cycles on the critical path of each PE so far, by cause. The clock of a PE is
the sum of its causes. Every operation is homogeneous in max-plus algebra (a line that starts c cycles later ends c cycles
later), so the clock of PE (y, x) stays row[y] + column[x] and one line stands for all lines that are alike.
"""
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free, malloc

from wsekern.ops.alike cimport SHAPES, Alike, Streams, chain_alike
from wsekern.ops.chains cimport LEVELS, NO_SHAPE, Chains, add_stream, behind, chain, place_of, sum_in
from wsekern.ops.feeds cimport (
    CAUSES, COMPUTE, CONTENDED, EARLY, FABRIC, FEEDS, HELD, OVERHEAD, QUEUE, QUEUED, SHALLOW, STAGES, TURNED, STREAM, Costs, Message,
    Path, Sum, add_sum, arrive, at_call, call, later, load, on_link, own_clock, plus, queued, receive, send, send_sum, store)
from wsekern.ops.noted cimport Noted
from wsekern.ops.streams cimport gather

HELD_FLAG, CONTENDED_FLAG, TURNED_FLAG, EARLY_FLAG = <int>HELD, <int>CONTENDED, <int>TURNED, <int>EARLY
QUEUED_FLAG, SHALLOW_FLAG = <int>QUEUED, <int>SHALLOW
_NAMES = {<int>COMPUTE: "compute", <int>FABRIC: "fabric", <int>STAGES: "stages", <int>OVERHEAD: "overhead", <int>STREAM: "stream"}
CAUSE_NAMES = tuple([_NAMES[cause] for cause in range(CAUSES)])    # a list: generators would bring in machinery of their own


cdef class Notes:
    """What was found of streams that a PE takes."""
    cdef Noted noted

    def __dealloc__(self):
        free(self.noted.numbers)


cdef class LineCosts:
    """Whole-cycle constants of one operation: see wsekern.machine.timing for how each follows from the machine."""
    cdef Costs costs
    cdef dict noted             # what was found of streams that a PE takes, by the costs of the tail
    cdef public bint notes      # whether anything is: streams are gone through anew otherwise, which is the reference

    def __init__(self, *, call, setup_send, setup_add, setup_receive, stage, hop, convert, stream_send, stream_add,
                 paced_add, stream_broadcast, stream_receive, paced_broadcast, sums, step_send, step_add, down,
                 link, depths, output, sends, buffer):
        cdef Costs *c = &self.costs
        cdef int i
        c.call, c.setup_send, c.setup_add, c.setup_receive = call, setup_send, setup_add, setup_receive
        c.stage, c.hop, c.convert, c.sums, c.down = stage, hop, convert, sums, down
        c.step_send, c.step_add = step_send, step_add
        c.stream_send, c.stream_add, c.paced_add = stream_send, stream_add, paced_add
        c.stream_broadcast, c.stream_receive, c.paced_broadcast = stream_broadcast, stream_receive, paced_broadcast
        c.link_words, c.link_frame = link
        c.output, c.sends, c.buffer, c.shallow = output, sends, buffer, min(depths)
        c.results, c.step_receive, c.flags, c.tail, c.noted = 0, 1, NULL, NULL, NULL
        self.notes = True
        for i in range(FEEDS):
            c.depth[i] = min(depths[i], QUEUE) if i < len(depths) else 0
            c.color[i], c.length[i] = i, 0

    cdef Costs with_tail(self, LineCosts tail) except *:
        """The costs with that tail or none, and what is known of streams of these."""
        cdef Costs costs = self.costs
        if tail is not None:
            costs.tail = &tail.costs
        if self.notes:
            if self.noted is None:
                self.noted = {}
            if tail not in self.noted:
                self.noted[tail] = Notes()
            costs.noted = &(<Notes>self.noted[tail]).noted
        return costs


cdef class LineRates:
    """How the constants of an operation follow from the elements of every PE: ``base`` with those that do not."""
    cdef Costs base
    cdef int64_t sum_packing, result_packing, receive, setup, per, each

    def __init__(self, LineCosts base, *, sum_packing, result_packing, receive, convert):
        self.base = base.costs
        self.sum_packing, self.result_packing, self.receive = sum_packing, result_packing, receive
        self.setup, self.per, self.each = convert

    def costs(self, int64_t elements) -> LineCosts:
        """Of so many elements."""
        cdef LineCosts found = LineCosts.__new__(LineCosts)
        found.notes = True
        cdef Costs *c = &found.costs
        cdef int64_t sums = (elements + self.sum_packing - 1) // self.sum_packing
        cdef int64_t results = (elements + self.result_packing - 1) // self.result_packing
        c[0] = self.base
        c.sums, c.results, c.step_receive = sums, results, self.receive
        c.convert = self.setup + (elements * self.per + self.each - 1) // self.each if elements else 0
        c.stream_send = queued(c, sums, c.step_send, c.sends, c.output)
        c.stream_add = (sums - 1) * c.step_add
        c.paced_add = on_link(c, max(c.step_send, c.step_add), max(0, sums - 1))
        c.stream_broadcast = queued(c, results, self.receive, c.sends, c.output)
        c.stream_receive = (results - 1) * self.receive
        c.paced_broadcast = on_link(c, self.receive, max(0, results - 1))
        return found


cdef inline int runs_on(Py_ssize_t k, Py_ssize_t length) noexcept nogil:
    # Whether a multicast along a line goes on behind PE k: it ends at both ends.
    return 0 < k < length - 1


cdef void broadcast(int64_t *line, const Costs *costs, Py_ssize_t begin, Py_ssize_t end, Py_ssize_t root) noexcept nogil:
    # One multicast from root to both ends of [begin, end).
    cdef Message head, tail
    cdef Py_ssize_t k, hops
    cdef int beyond
    if end - begin < 2:
        return
    send(line + root * CAUSES, costs, costs.stream_broadcast, &head)
    if costs.tail != NULL:
        send(line + root * CAUSES, costs.tail, costs.tail.stream_broadcast, &tail)
    for k in range(begin, end):
        if k != root:
            hops = k - root if k > root else root - k
            beyond = runs_on(k - begin, end - begin)
            receive(line + k * CAUSES, costs, head, hops, costs.setup_receive, costs.stream_receive, costs.paced_broadcast,
                    costs.results, costs.step_receive, beyond, NULL)
            if costs.tail != NULL:
                receive(line + k * CAUSES, costs.tail, tail, hops, costs.tail.setup_receive, costs.tail.stream_receive,
                        costs.tail.paced_broadcast, costs.tail.results, costs.tail.step_receive, beyond, NULL)


cdef void reduce_segment(int64_t *line, const Costs *costs, Py_ssize_t length, Py_ssize_t root) noexcept nogil:
    cdef Streams streams
    streams.count = 0
    chain(line, costs, 0, root, behind(&streams))
    add_stream(&streams, 1)
    chain(line, costs, length - 1, root, behind(&streams))
    add_stream(&streams, 1)
    if streams.count:
        gather(line + root * CAUSES, costs, streams.sum, streams.hops, streams.count, NULL, NULL)
        line[root * CAUSES + <int>COMPUTE] += costs.convert


cdef Chains chains_on(const Costs *costs, Py_ssize_t length, tuple groups, int complete):
    # On a line of that many PEs, which has no clocks yet.
    cdef Chains all
    cdef Py_ssize_t level
    if len(groups) >= LEVELS:
        raise ValueError(f"{len(groups) + 1} levels of chains: a PE takes streams of {<int>LEVELS} at most")
    all.line, all.alike, all.costs, all.latest, all.complete = NULL, NULL, costs, 0, complete
    all.levels, all.members[0] = len(groups) + 1, length
    for level in range(len(groups)):
        all.members[level + 1] = max(1, min(<Py_ssize_t>groups[level], all.members[level]))
    all.members[all.levels] = 1
    return all


cdef void allreduce_segment(Chains *all) noexcept nogil:
    cdef Py_ssize_t root = place_of(all, all.levels, 0)
    sum_in(all, all.line + root * CAUSES)
    broadcast(all.line, all.costs, 0, all.members[0], root)


cdef int64_t allreduce_once(Chains *all) noexcept nogil:
    # Cycles of an all-reduce on a line of at least two PEs that are all ready at once, or -1 where some PE is not ready for
    # the result when that comes.
    cdef const Costs *costs = all.costs
    cdef Py_ssize_t k, length = all.members[0], root = place_of(all, all.levels, 0)
    cdef int64_t pe[CAUSES], far[CAUSES]
    cdef Message message
    cdef const Costs *tail = costs.tail
    all.latest = chain_alike(all.alike, costs, (length // all.members[1] + 1) // 2)
    at_call(pe, costs)
    sum_in(all, pe)
    send(pe, costs, costs.stream_broadcast, &message)
    if all.latest + costs.setup_receive > arrive(message, costs, 1).clock or costs.stream_receive > costs.paced_broadcast:
        return -1
    # All others wait for the first word: the farthest is the last. It is ready as late as any that is early enough.
    for k in range(CAUSES):
        far[k] = 0
    receive(far, costs, message, max(root, length - 1 - root), costs.setup_receive, costs.stream_receive,
            costs.paced_broadcast, costs.results, costs.step_receive, 0, NULL)
    if tail != NULL:
        send(pe, tail, tail.stream_broadcast, &message)
        receive(far, tail, message, max(root, length - 1 - root), tail.setup_receive, tail.stream_receive,
                tail.paced_broadcast, tail.results, tail.step_receive, 0, NULL)
    return max(own_clock(pe), own_clock(far))


def allreduce_alone(Py_ssize_t length, tuple groups, bint complete, LineCosts costs, LineCosts tail=None) -> int:
    """Cycles of :func:`allreduce_line` on a line of ``length`` PEs that are all ready at once: those that are alike are
    reckoned once."""
    cdef Costs c = costs.with_tail(tail)
    cdef int64_t found = -1
    cdef Py_ssize_t k
    cdef Chains all = chains_on(&c, length, groups, complete)
    cdef Alike alike
    if length > 1:
        alike.chain = <Sum *>malloc((length // all.members[1] + 2) * sizeof(Sum))
        if alike.chain == NULL:
            raise MemoryError
        for k in range(SHAPES):
            alike.shape[k] = NO_SHAPE
        all.alike = &alike
        found = allreduce_once(&all)
        free(alike.chain)
        all.alike = NULL
    if found < 0:
        all.line = <int64_t *>malloc(max(1, length) * CAUSES * sizeof(int64_t))
        if all.line == NULL:
            raise MemoryError
        for k in range(length * CAUSES):
            all.line[k] = 0
        call(all.line, &c, length)
        allreduce_segment(&all)
        found = 0
        for k in range(length):
            found = max(found, own_clock(all.line + k * CAUSES))
        free(all.line)
    return found


def allreduce_line(int64_t[:, ::1] line, Py_ssize_t segment, tuple groups, bint complete, LineCosts costs,
                   LineCosts tail=None) -> int:
    """All-reduce on every segment of the line: chains in ``groups`` (of each level), chains over the middle PEs that are left,
    one multicast; ``complete``: whether a sum is complete before it begins the chain of the next level; ``tail``: of the words
    that follow. Returns what happened (flags)."""
    cdef Py_ssize_t k, begin, count = line.shape[0]
    cdef Costs c = costs.with_tail(tail)
    cdef Chains all
    cdef int flags = 0
    c.flags = &flags
    call(&line[0, 0], &c, count)
    for k in range((count + segment - 1) // segment):
        begin = k * segment
        all = chains_on(&c, min(segment, count - begin), groups, complete)
        all.line = &line[begin, 0]
        allreduce_segment(&all)         # by one thread at a time, for what is noted
    if max(groups, default=1) > 1 and flags & <int>SHALLOW:     # middle PEs take so many streams that the result has no deep queue
        flags |= <int>HELD
    return flags


def reduce_line(int64_t[:, ::1] line, Py_ssize_t segment, Py_ssize_t root, LineCosts costs) -> int:
    """Chains from both ends of every segment to its PE ``root``. Returns what happened (flags)."""
    cdef Py_ssize_t k, begin, length, count = line.shape[0]
    cdef Costs c = costs.costs
    cdef int flags = 0
    c.flags = &flags
    with nogil:
        call(&line[0, 0], &c, count)
        for k in range((count + segment - 1) // segment):
            begin = k * segment
            length = min(segment, count - begin)
            reduce_segment(&line[begin, 0], &c, length, min(root, length - 1))
    return flags


def broadcast_line(int64_t[:, ::1] line, Py_ssize_t segment, Py_ssize_t root, LineCosts costs) -> int:
    """One multicast from PE ``root`` of every segment to all its PEs. Returns what happened (flags)."""
    cdef Py_ssize_t k, begin, length, count = line.shape[0]
    cdef Costs c = costs.costs
    cdef int flags = 0
    c.flags = &flags
    with nogil:
        call(&line[0, 0], &c, count)
        for k in range((count + segment - 1) // segment):
            begin = k * segment
            length = min(segment, count - begin)
            broadcast(&line[begin, 0], &c, 0, length, min(root, length - 1))
    return flags


def broadcast_alone(Py_ssize_t length, Py_ssize_t root, LineCosts costs) -> int:
    """Cycles of :func:`broadcast_line` on a line of ``length`` PEs that are all ready at once: those at the root, and those at
    the PE that is the farthest from it, which is the last to be done."""
    cdef int64_t pe[CAUSES], far[CAUSES]
    cdef Costs c = costs.costs
    cdef Message message
    at_call(pe, &c)
    at_call(far, &c)
    if length > 1:
        send(pe, &c, c.stream_broadcast, &message)
        receive(far, &c, message, max(root, length - 1 - root), c.setup_receive, c.stream_receive, c.paced_broadcast, c.results,
                c.step_receive, 0, NULL)
    return max(own_clock(pe), own_clock(far))


def latest_clock(const int64_t[:, :, ::1] grid):
    """The largest sum of causes of a grid of clocks, and the place, row by row, of the first PE that has it."""
    cdef Py_ssize_t x, y, place = 0
    cdef int64_t clock, latest = -1
    with nogil:
        for y in range(grid.shape[0]):
            for x in range(grid.shape[1]):
                clock = grid[y, x, 0] + grid[y, x, 1] + grid[y, x, 2] + grid[y, x, 3] + grid[y, x, 4]
                if clock > latest:
                    latest, place = clock, y * grid.shape[1] + x
    return latest, place


def reduce_snake(int64_t[:, :, ::1] grid, LineCosts costs) -> int:
    """One chain through all PEs of a grid of clocks to its first: row by row, every other row backwards. Returns what
    happened (flags)."""
    cdef Costs local = costs.costs
    cdef const Costs *c = &local
    cdef int flags = 0
    cdef Py_ssize_t k, x, y, height = grid.shape[0], width = grid.shape[1]
    cdef Sum sum
    cdef Streams streams
    local.flags = &flags
    sum.head.sent = streams.count = 0
    with nogil:
        call(&grid[0, 0, 0], c, height * width)
        for k in range(height * width - 1):
            y = height - 1 - k // width
            x = k % width if y % 2 else width - 1 - k % width
            if sum.head.sent:
                add_sum(&grid[y, x, 0], c, sum, 1, &sum)
            else:
                send_sum(&grid[y, x, 0], c, &sum)
        behind(&streams)[0] = sum
        add_stream(&streams, 1)
        if streams.count:
            gather(&grid[0, 0, 0], c, streams.sum, streams.hops, streams.count, NULL, NULL)
            grid[0, 0, <int>COMPUTE] += c.convert
    return flags


def broadcast_plane(int64_t[:, :, ::1] grid, Py_ssize_t root_x, Py_ssize_t root_y, LineCosts costs) -> int:
    """One multicast from PE (root_x, root_y) to all PEs of a grid of clocks (height, width, causes). Returns what happened
    (flags)."""
    cdef Costs local = costs.costs
    cdef const Costs *c = &local
    cdef int flags = 0
    cdef Py_ssize_t x, y, height = grid.shape[0], width = grid.shape[1]
    cdef Message message
    local.flags = &flags
    with nogil:
        call(&grid[0, 0, 0], c, height * width)
        if height * width > 1:
            send(&grid[root_y, root_x, 0], c, c.stream_broadcast, &message)
        for y in range(height):
            for x in range(width):
                if x != root_x or y != root_y:
                    receive(&grid[y, x, 0], c, message, (x - root_x if x > root_x else root_x - x)
                            + (y - root_y if y > root_y else root_y - y), c.setup_receive, c.stream_receive,
                            c.paced_broadcast, c.results, c.step_receive,
                            runs_on(y, height) or (y == root_y and (height > 1 or runs_on(x, width))), NULL)
    return flags


def shift_line(int64_t[:, ::1] line, Py_ssize_t relays, int64_t start, int64_t relay, int64_t stage, int64_t hop,
               int64_t stream):
    """Tiles move ``relays`` PEs up (or down) the line, stored and sent on at each: a PE waits for the tile's sender."""
    cdef Py_ssize_t count = line.shape[0], distance = relays if relays > 0 else -relays, i, k, source
    cdef Path path
    with nogil:
        for i in range(count):
            # From the far end, so that the sender's clock is still the one before the operation.
            k = count - 1 - i if relays > 0 else i
            source = k - relays
            path = load(&line[k, 0])
            if 0 <= source < count:
                path = later(path, load(&line[source, 0]))
            path = plus(plus(path, OVERHEAD, start + distance * relay), STAGES, distance * stage)
            store(&line[k, 0], plus(plus(path, FABRIC, distance * hop), STREAM, distance * stream))


def synchronise_line(int64_t[:, ::1] line):
    """Every PE waits for the latest of its line: what many rounds of exchange between neighbors come to."""
    cdef Py_ssize_t k, count = line.shape[0]
    cdef Path path, latest = load(&line[0, 0])
    for k in range(1, count):
        path = load(&line[k, 0])
        latest = later(latest, path)
    for k in range(count):
        store(&line[k, 0], latest)


def spend(int64_t[:, ::1] line, const int64_t[::1] cycles):
    """Work that is the same on every PE: ``cycles`` by cause."""
    cdef Py_ssize_t k, i
    for k in range(line.shape[0]):
        for i in range(CAUSES):
            line[k, i] += cycles[i]


cdef enum Kind:
    WORK, SEND, TAKE, PART, JOIN

cdef struct Step:
    # Row of the steps of a schedule, in an order in which what is sent comes before what takes it.
    int64_t kind, pe
    int64_t first, count        # rows of the table of takes; PART: first is the whole; JOIN: its first and last part
    int64_t out                 # message sent, or -1
    int64_t setup, stream, paced, step, wavelets

cdef struct Take:
    int64_t message, hops, depth, color, words


cdef void take_step(int64_t *pe, Costs *c, const Step *step, const Take *takes, Message *messages,
                    int64_t *waits) noexcept nogil:
    # A PE takes one message, or several one after the other; the last may be sent on.
    cdef Sum incoming[FEEDS], out
    cdef int64_t hops[FEEDS]
    cdef Py_ssize_t i
    for i in range(step.count):
        incoming[i].head = messages[takes[i].message]
        hops[i] = takes[i].hops
        c.depth[i], c.color[i], c.length[i] = takes[i].depth, takes[i].color, takes[i].words
    c.setup_add, c.stream_add, c.paced_add, c.step_add, c.sums = step.setup, step.stream, step.paced, step.step, step.wavelets
    gather(pe, c, incoming, hops, <int>step.count, &out if step.out >= 0 else NULL, waits)
    if step.out >= 0:
        messages[step.out] = out.head


cdef void part(Message *messages, const Costs *c, const Step *step) noexcept nogil:
    # The words of a message from a given one on, to its end or to another given one.
    cdef const Message *whole = messages + step.first
    cdef Message *out = messages + step.out
    cdef int64_t last = whole.first.clock + on_link(c, whole.step, step.paced)
    out.first = plus(whole.first, STREAM, on_link(c, whole.step, step.stream))
    out.step, out.sent = whole.step, 1
    out.last = max(out.first.clock, whole.last if step.paced < 0 else last)


def run_steps(int64_t[:, ::1] line, const int64_t[:, ::1] steps, const int64_t[:, ::1] takes, int64_t[:, ::1] times,
              int64_t[::1] waits, LineCosts costs) -> int:
    """Clocks of a schedule: ``steps`` (n, 10) and ``takes`` (n, 5) are the fields of Step and Take.

    ``times`` (messages, 2) takes the cycles at which the first and the last word of each message are sent, ``waits`` (takes)
    how long the first word of each is there before the core takes it. Returns what happened (flags).
    """
    cdef Py_ssize_t messages = times.shape[0]
    cdef Costs c = costs.costs
    cdef int flags = 0
    cdef Message *message = <Message *>calloc(messages + 1, sizeof(Message))    # 0 of those that are not sent
    cdef const Step *step
    cdef const Take *take = <const Take *>&takes[0, 0] if takes.shape[0] else NULL
    cdef int64_t *pe
    cdef Py_ssize_t i
    if message == NULL:
        raise MemoryError
    c.flags = &flags
    with nogil:
        for i in range(steps.shape[0]):
            step = <const Step *>&steps[i, 0]
            pe = &line[step.pe, 0]
            if step.kind == WORK:
                pe[<int>OVERHEAD] += step.setup
                pe[<int>COMPUTE] += step.stream
            elif step.kind == SEND:
                c.setup_send, c.step_send = step.setup, step.step
                send(pe, &c, step.stream, message + step.out)
            elif step.kind == TAKE:
                take_step(pe, &c, step, take + step.first, message, &waits[step.first])
            elif step.kind == PART:
                part(message, &c, step)
            else:
                message[step.out] = message[step.first]
                message[step.out].last = message[step.count].last
        for i in range(messages):
            times[i, 0], times[i, 1] = message[i].first.clock, message[i].last
    free(message)
    return flags
