# cython: language_level=3
# Chains of PEs along a line, and the trees of them that an all-reduce is. (Bodies of _timing.pyx, compiled into it.)
from libc.stdint cimport int64_t, uint64_t

from wsekern.ops.alike cimport Alike, Streams, sum_of
from wsekern.ops.feeds cimport CAUSES, COMPUTE, FEEDS, Costs, Sum, add_sum, at_call, own_clock, send_sum
from wsekern.ops.streams cimport gather

cdef enum:
    LEVELS = FEEDS // 2     # of chains in an all-reduce, at most: the middle PE takes two streams of each
    NO_SHAPE = -1
    SHAPED = 40             # groups of PEs that a chain with a shape goes over, at most

cdef struct Chains:
    # An all-reduce: the PEs of a line in groups, the middle ones of these in groups, and so on to a single one.
    int64_t *line               # clocks; NULL where all PEs are ready at once
    const Costs *costs
    int levels
    int complete                # whether the first sum of a level is complete in memory before it is sent
    Py_ssize_t members[LEVELS + 1]      # PEs, then groups of each level
    Alike *alike                # of PEs that are all ready at once: what is known of those that are alike
    int64_t latest              # when the last of those is done with what it sends


cdef inline void chain(int64_t *line, const Costs *costs, Py_ssize_t begin, Py_ssize_t end, Sum *sum) noexcept nogil:
    # Running sum from PE `begin` up to, not including, `end`, in either direction.
    cdef Py_ssize_t k = begin
    sum.head.sent = 0
    while k != end:
        if sum.head.sent:
            add_sum(line + k * CAUSES, costs, sum[0], 1, sum)
        else:
            send_sum(line + k * CAUSES, costs, sum)
        k += 1 if end > begin else -1


cdef inline Py_ssize_t group_begin(Py_ssize_t j, Py_ssize_t length, Py_ssize_t groups) noexcept nogil:
    return j * length // groups


cdef inline Py_ssize_t group_root(Py_ssize_t j, Py_ssize_t length, Py_ssize_t groups) noexcept nogil:
    cdef Py_ssize_t begin = group_begin(j, length, groups)
    return begin + (group_begin(j + 1, length, groups) - begin) // 2


cdef inline Sum *behind(Streams *streams) noexcept nogil:
    # Where the next stream is put.
    return &streams.sum[streams.count]


cdef inline void add_stream(Streams *streams, int64_t hops) noexcept nogil:
    # The one that was put there, if any is sent.
    if behind(streams).head.sent:
        streams.hops[streams.count] = hops
        streams.count += 1


cdef inline Py_ssize_t place_of(const Chains *all, int level, Py_ssize_t member) noexcept nogil:
    # The PE that is this member of a level.
    while level:
        level -= 1
        member = group_root(member, all.members[level], all.members[level + 1])
    return member


cdef inline int64_t shape_of(const Chains *all, int level, Py_ssize_t begin, Py_ssize_t end) noexcept nogil:
    # A number that tells a chain over members of a level from all that are not alike: which of the groups of PEs it goes over
    # have one PE more than the others. NO_SHAPE at the last level, over many groups, and where members differ in groups too.
    cdef Py_ssize_t groups = all.members[1], each = groups // all.members[level], more = all.members[0] % groups
    cdef Py_ssize_t count = (end - begin if end > begin else begin - end) * each, k
    cdef Py_ssize_t rest = min(begin, end + 1) * each * more % groups
    cdef int64_t larger = 0
    if count > SHAPED or level == all.levels - 1:
        return NO_SHAPE
    for k in range(1, all.levels):
        if all.members[k] % all.members[k + 1]:
            return NO_SHAPE
    for k in range(count):
        rest += more
        larger = 2 * larger + (rest >= groups)
        rest -= groups if rest >= groups else 0
    return ((larger * (SHAPED + 1) + count) * LEVELS + level) * 2 + (end > begin)


cdef inline void chain_over(Chains *all, int level, Py_ssize_t begin, Py_ssize_t end, Sum *sum) noexcept nogil:
    # Running sum over members of a level from `begin` up to, not including, `end`, in either direction.
    cdef Py_ssize_t k = begin, place = 0, before
    sum.head.sent = 0
    while k != end:
        before, place = place, place_of(all, level, k)
        pass_on(all, level, k, sum, place - before if place > before else before - place)
        k += 1 if end > begin else -1


cdef inline void chain_of(Chains *all, int level, Py_ssize_t begin, Py_ssize_t end, Sum *sum) noexcept nogil:
    # As chain_over; chains over PEs that are alike are gone along once.
    cdef int64_t shape
    cdef int place
    if all.alike == NULL:
        if level:
            chain_over(all, level, begin, end, sum)
        else:
            chain(all.line, all.costs, begin, end, sum)
        return
    if level == 0:
        sum_of(all.alike, end - begin if end > begin else begin - end, sum)
        return
    shape = shape_of(all, level, begin, end)
    place = <int>(<uint64_t>shape * 0x9E3779B97F4A7C15ULL >> 59)
    if shape != NO_SHAPE and all.alike.shape[place] == shape:
        sum[0] = all.alike.shaped[place]
        return
    chain_over(all, level, begin, end, sum)
    all.alike.shape[place], all.alike.shaped[place] = shape, sum[0]


cdef inline void streams_of(Chains *all, int level, Py_ssize_t member, Streams *streams) noexcept nogil:
    # What a member of a level takes in the levels below: of each the chain from below, then the one from above.
    cdef Py_ssize_t begin, end, root, place
    if level == 0:
        return
    level -= 1
    begin = group_begin(member, all.members[level], all.members[level + 1])
    end = group_begin(member + 1, all.members[level], all.members[level + 1])
    root = group_root(member, all.members[level], all.members[level + 1])
    streams_of(all, level, root, streams)
    place = place_of(all, level, root)
    if root > begin:
        chain_of(all, level, begin, root, behind(streams))
        add_stream(streams, place - place_of(all, level, root - 1))
    if root < end - 1:
        chain_of(all, level, end - 1, root, behind(streams))
        add_stream(streams, place_of(all, level, root + 1) - place)


cdef inline void pass_on(Chains *all, int level, Py_ssize_t member, Sum *sum, int64_t hops) noexcept nogil:
    # The sum that comes to a member of a level, if any does, becomes the one that it passes on to the next, with its own.
    cdef int64_t ready[CAUSES]
    cdef int64_t *pe
    cdef Streams streams
    streams.count = 0
    streams_of(all, level, member, &streams)
    if all.alike != NULL:
        pe = ready
        at_call(pe, all.costs)
    else:
        pe = all.line + place_of(all, level, member) * CAUSES
    if all.complete and streams.count and not sum.head.sent:
        gather(pe, all.costs, streams.sum, streams.hops, streams.count, NULL, NULL)
        streams.count = 0
    if sum.head.sent:
        behind(&streams)[0] = sum[0]
        add_stream(&streams, hops)
    if streams.count:
        gather(pe, all.costs, streams.sum, streams.hops, streams.count, sum, NULL)
    else:
        send_sum(pe, all.costs, sum)
    if all.alike != NULL:
        all.latest = max(all.latest, own_clock(pe))


cdef inline void sum_in(Chains *all, int64_t *pe) noexcept nogil:
    # The sum of all in the PE in the middle.
    cdef Streams streams
    streams.count = 0
    streams_of(all, all.levels, 0, &streams)
    if streams.count:
        gather(pe, all.costs, streams.sum, streams.hops, streams.count, NULL, NULL)
    if all.members[0] > 1:
        pe[<int>COMPUTE] += all.costs.convert
