# cython: language_level=3
"""Clocks of operations along lines of PEs: the flow engine's arithmetic, one local clock per PE, no stepping.

A line is an int64 array (PEs, CAUSES): the cycles on the critical path of each PE so far, by cause. The clock of a PE is
the sum of its causes. Every operation is homogeneous in max-plus algebra (a line that starts c cycles later ends c cycles
later), so the clock of PE (y, x) stays row[y] + column[x] and one line stands for all lines that are alike.
"""
from libc.stdint cimport int64_t

cimport wsekern._common as common

cdef extern from "lines.h" nogil:
    ctypedef struct wsk_line_plan:
        int dtype, op
        int64_t outer, length, inner, segment, groups
    int wsk_line_allreduce(const wsk_line_plan *plan, const void *source, void *out, int threads, int simd_level)
    int wsk_line_reduce(const wsk_line_plan *plan, const void *source, void *out, int64_t root, int threads, int simd_level)
    int wsk_line_broadcast(const wsk_line_plan *plan, const void *source, void *out, int64_t root, int threads)

CAUSE_NAMES = ("compute", "fabric", "stages", "overhead", "words")
cdef enum:
    CAUSES = 5

cdef enum Cause:
    COMPUTE, FABRIC, STAGES, OVERHEAD, WORDS

cdef struct Path:
    int64_t clock
    int64_t cause[CAUSES]

cdef struct Message:
    # A stream of words on its way: when its sender executes the first element, and whether there is one at all.
    Path first
    int sent


cdef struct Costs:
    int64_t call, setup_send, setup_add, setup_receive, stage, hop, convert
    int64_t words_send, words_add, paced_add, words_broadcast, paced_broadcast


cdef class LineCosts:
    """Whole-cycle constants of one operation: see wsekern.machine.timing for how each follows from the machine."""
    cdef Costs costs

    def __init__(self, *, call=0, setup_send=0, setup_add=0, setup_receive=0, stage=0, hop=1, convert=0, words_send=0,
                 words_add=0, paced_add=0, words_broadcast=0, paced_broadcast=0):
        self.costs = Costs(call, setup_send, setup_add, setup_receive, stage, hop, convert, words_send, words_add,
                           paced_add, words_broadcast, paced_broadcast)


cdef inline Path load(const int64_t *pe) noexcept nogil:
    cdef Path path
    cdef int i
    path.clock = 0
    for i in range(CAUSES):
        path.cause[i] = pe[i]
        path.clock += pe[i]
    return path


cdef inline void store(int64_t *pe, Path path) noexcept nogil:
    cdef int i
    for i in range(CAUSES):
        pe[i] = path.cause[i]


cdef inline Path plus(Path path, Cause cause, int64_t cycles) noexcept nogil:
    path.clock += cycles
    path.cause[<int>cause] += cycles
    return path


cdef inline Path later(Path own, Path other) noexcept nogil:
    return own if own.clock >= other.clock else other


cdef inline Path send(int64_t *pe, const Costs *costs, int64_t words, Message *out) noexcept nogil:
    # One instruction from memory to the fabric; out leaves with its first element.
    cdef Path ready = plus(load(pe), OVERHEAD, costs.setup_send)
    out.first = ready
    out.sent = 1
    ready = plus(plus(ready, WORDS, words), COMPUTE, 1)
    store(pe, ready)
    return ready


cdef inline Path arrive(Message message, const Costs *costs, int64_t hops) noexcept nogil:
    return plus(plus(message.first, STAGES, costs.stage), FABRIC, hops * costs.hop)


cdef inline void receive(int64_t *pe, const Costs *costs, Message message, int64_t hops, int64_t setup, int64_t words,
                         int64_t paced, Message *out) noexcept nogil:
    # One instruction that takes words from the fabric (and sends each on, where out is given): its first element waits for
    # the set-up and for the first word, its last for the words at the core's rate and for the last word on the link.
    cdef Path ready = plus(load(pe), OVERHEAD, setup)
    cdef Path arrival = arrive(message, costs, hops)
    if out != NULL:
        out.first = later(ready, arrival)
        out.sent = 1
    store(pe, plus(later(plus(ready, WORDS, words), plus(arrival, WORDS, paced)), COMPUTE, 1))


cdef Message chain(int64_t *line, const Costs *costs, Py_ssize_t begin, Py_ssize_t end, Py_ssize_t step,
                   Py_ssize_t stride) noexcept nogil:
    # Running sum from `begin` up to, not including, `end`: PEs `stride` apart in the direction of `step`.
    cdef Message message
    cdef Py_ssize_t k = begin
    message.sent = 0
    while k != end:
        if message.sent:
            receive(line + k * CAUSES, costs, message, stride, costs.setup_add, costs.words_add, costs.paced_add, &message)
        else:
            send(line + k * CAUSES, costs, costs.words_send, &message)
        k += step
    return message


cdef inline void absorb(int64_t *pe, const Costs *costs, Message message, int64_t hops) noexcept nogil:
    if message.sent:
        receive(pe, costs, message, hops, costs.setup_add, costs.words_add, costs.paced_add, NULL)


cdef void broadcast(int64_t *line, const Costs *costs, Py_ssize_t begin, Py_ssize_t end, Py_ssize_t root) noexcept nogil:
    # One multicast from root to both ends of [begin, end).
    cdef Message message
    cdef Py_ssize_t k
    if end - begin < 2:
        return
    send(line + root * CAUSES, costs, costs.words_broadcast, &message)
    for k in range(begin, end):
        if k != root:
            receive(line + k * CAUSES, costs, message, k - root if k > root else root - k, costs.setup_receive,
                    costs.words_broadcast, costs.paced_broadcast, NULL)


cdef inline Py_ssize_t group_begin(Py_ssize_t j, Py_ssize_t length, Py_ssize_t groups) noexcept nogil:
    return j * length // groups


cdef inline Py_ssize_t group_root(Py_ssize_t j, Py_ssize_t length, Py_ssize_t groups) noexcept nogil:
    cdef Py_ssize_t begin = group_begin(j, length, groups)
    return begin + (group_begin(j + 1, length, groups) - begin) // 2


cdef inline void call(int64_t *line, const Costs *costs, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(count):
        line[k * CAUSES + <int>OVERHEAD] += costs.call


cdef void reduce_segment(int64_t *line, const Costs *costs, Py_ssize_t length, Py_ssize_t root) noexcept nogil:
    cdef Message low = chain(line, costs, 0, root, 1, 1)
    cdef Message high = chain(line, costs, length - 1, root, -1, 1)
    absorb(line + root * CAUSES, costs, low, 1)
    absorb(line + root * CAUSES, costs, high, 1)


cdef Message root_chain(int64_t *line, const Costs *costs, Py_ssize_t begin, Py_ssize_t end, Py_ssize_t step,
                        Py_ssize_t length, Py_ssize_t groups) noexcept nogil:
    # Running sum over the roots of groups begin, begin + step, ... up to, not including, end.
    cdef Message message
    cdef Py_ssize_t j = begin, root, distance
    message.sent = 0
    while j != end:
        root = group_root(j, length, groups)
        if message.sent:
            distance = root - group_root(j - step, length, groups)
            receive(line + root * CAUSES, costs, message, distance if distance > 0 else -distance, costs.setup_add,
                    costs.words_add, costs.paced_add, &message)
        else:
            send(line + root * CAUSES, costs, costs.words_send, &message)
        j += step
    return message


cdef void allreduce_segment(int64_t *line, const Costs *costs, Py_ssize_t length, Py_ssize_t groups) noexcept nogil:
    cdef Py_ssize_t j, begin, centre = groups // 2, root = group_root(centre, length, groups)
    cdef Message low, high
    for j in range(groups):
        begin = group_begin(j, length, groups)
        reduce_segment(line + begin * CAUSES, costs, group_begin(j + 1, length, groups) - begin,
                       group_root(j, length, groups) - begin)
    low = root_chain(line, costs, 0, centre, 1, length, groups)
    high = root_chain(line, costs, groups - 1, centre, -1, length, groups)
    if centre > 0:
        absorb(line + root * CAUSES, costs, low, root - group_root(centre - 1, length, groups))
    if centre < groups - 1:
        absorb(line + root * CAUSES, costs, high, group_root(centre + 1, length, groups) - root)
    if length > 1:
        line[root * CAUSES + <int>COMPUTE] += costs.convert
    broadcast(line, costs, 0, length, root)


def allreduce_line(int64_t[:, ::1] line, Py_ssize_t segment, Py_ssize_t groups, LineCosts costs):
    """Two-level all-reduce on every segment of the line: chains in groups, chains over group roots, one multicast."""
    cdef Py_ssize_t k, begin, length, count = line.shape[0]
    cdef const Costs *c = &costs.costs
    with nogil:
        call(&line[0, 0], c, count)
        for k in range((count + segment - 1) // segment):
            begin = k * segment
            length = min(segment, count - begin)
            allreduce_segment(&line[begin, 0], c, length, min(groups, length))


def reduce_line(int64_t[:, ::1] line, Py_ssize_t segment, Py_ssize_t root, LineCosts costs):
    """Chains from both ends of every segment to its PE ``root``."""
    cdef Py_ssize_t k, begin, length, count = line.shape[0]
    cdef const Costs *c = &costs.costs
    with nogil:
        call(&line[0, 0], c, count)
        for k in range((count + segment - 1) // segment):
            begin = k * segment
            length = min(segment, count - begin)
            reduce_segment(&line[begin, 0], c, length, min(root, length - 1))


def broadcast_line(int64_t[:, ::1] line, Py_ssize_t segment, Py_ssize_t root, LineCosts costs):
    """One multicast from PE ``root`` of every segment to all its PEs."""
    cdef Py_ssize_t k, begin, length, count = line.shape[0]
    cdef const Costs *c = &costs.costs
    with nogil:
        call(&line[0, 0], c, count)
        for k in range((count + segment - 1) // segment):
            begin = k * segment
            length = min(segment, count - begin)
            broadcast(&line[begin, 0], c, 0, length, min(root, length - 1))


def shift_line(int64_t[:, ::1] line, Py_ssize_t relays, int64_t start, int64_t relay, int64_t stage, int64_t hop,
               int64_t words):
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
            store(&line[k, 0], plus(plus(path, FABRIC, distance * hop), WORDS, distance * words))


def level_line(int64_t[:, ::1] line):
    """Every PE waits for the latest of its line: what many rounds of exchange between neighbours come to."""
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


DTYPE_CODES = {"fp32": 0, "fp16": 1, "fp16_fp32": 2, "bf16": 3}
OP_CODES = {"sum": 0, "max": 1}


cdef wsk_line_plan line_plan(str dtype, str op, shape, str axis, int64_t segment, int64_t groups) except *:
    cdef wsk_line_plan plan
    cdef int64_t height, width, elements
    height, width, elements = shape
    plan.dtype, plan.op = DTYPE_CODES[dtype], OP_CODES[op]
    plan.segment, plan.groups = segment, groups
    if axis == "y":
        plan.outer, plan.length, plan.inner = 1, height, width * elements
    else:
        plan.outer, plan.length, plan.inner = height, width, elements
    return plan


def line_values(str kind, str dtype, str op, shape, str axis, int64_t segment, int64_t parameter,
                const unsigned char[::1] source, unsigned char[::1] out, int threads):
    """Values of ``allreduce`` (parameter: groups), ``reduce`` or ``broadcast`` (parameter: root) along ``axis``.

    ``source`` and ``out`` are the bytes of contiguous tiles (height, width, elements). Returns a status code.
    """
    cdef wsk_line_plan plan = line_plan(dtype, op, shape, axis, segment, parameter if kind == "allreduce" else 1)
    cdef int level = common.simd_level_code(), status
    cdef const unsigned char *a = &source[0]
    cdef unsigned char *b = &out[0]
    cdef int which = ("allreduce", "reduce", "broadcast").index(kind)
    with nogil:
        if which == 0:
            status = wsk_line_allreduce(&plan, a, b, threads, level)
        elif which == 1:
            status = wsk_line_reduce(&plan, a, b, parameter, threads, level)
        else:
            status = wsk_line_broadcast(&plan, a, b, parameter, threads)
    return status
