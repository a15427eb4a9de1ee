# cython: language_level=3
# Chains of PEs that are all ready at once: once they go on alike, they are not gone along. (Bodies of _timing.pyx, compiled into
# it.)
from libc.stdint cimport int64_t

from wsekern.ops.feeds cimport CAUSES, FEEDS, STREAM, Costs, Message, Sum, add_sum, arrive, at_call, own_clock, send_sum

cdef struct Streams:
    # What one PE takes in, in order.
    int count
    Sum sum[FEEDS]
    int64_t hops[FEEDS]


cdef enum:
    SHAPES = 32                 # of chains over members of a level, at most: as many as five bits tell apart

cdef struct Alike:
    Sum *chain                  # sums of so many PEs, one after the other,
    Py_ssize_t chained          # up to this many,
    int64_t pace                # and each further one so much later
    int64_t shape[SHAPES]       # what tells chains over members of a level from others, or NO_SHAPE,
    Sum shaped[SHAPES]          # and their sums


cdef inline void move(Sum *sum, int64_t cycles) noexcept nogil:
    # So many cycles later.
    sum.head.first.clock += cycles
    sum.head.first.cause[<int>STREAM] += cycles
    sum.head.last += cycles
    sum.tail.first.clock += cycles
    sum.tail.first.cause[<int>STREAM] += cycles
    sum.tail.last += cycles


cdef inline int same_pace(const Message *one, const Message *other, int64_t cycles) noexcept nogil:
    return (other.first.clock - one.first.clock == cycles and other.last - one.last == cycles and other.step == one.step)


cdef inline int64_t chain_alike(Alike *alike, const Costs *costs, Py_ssize_t longest) noexcept nogil:
    # Sums of up to so many PEs, one after the other; when the last of these is done. Once a PE waits for its stream and passes
    # it on as it came, so do all further ones.
    cdef int64_t pe[CAUSES]
    cdef int64_t latest = 0
    cdef Py_ssize_t k
    cdef Sum *sum
    cdef int waited
    alike.chain[0].head.sent = 0
    alike.chained, alike.pace = longest, 0
    for k in range(longest):
        sum = alike.chain + k
        at_call(pe, costs)
        if k == 0:
            send_sum(pe, costs, sum + 1)
        else:
            waited = own_clock(pe) + costs.setup_add <= arrive(sum.head, costs, 1).clock
            add_sum(pe, costs, sum[0], 1, sum + 1)
        latest = max(latest, own_clock(pe))
        if k and waited:
            alike.pace = sum[1].head.first.clock - sum.head.first.clock
            if same_pace(&sum.head, &sum[1].head, alike.pace) and (
                    costs.tail == NULL or same_pace(&sum.tail, &sum[1].tail, alike.pace)):
                alike.chained = k + 1
                return max(latest, own_clock(pe) + (longest - k - 1) * alike.pace)
    return latest


cdef inline void sum_of(const Alike *alike, Py_ssize_t count, Sum *sum) noexcept nogil:
    # Of so many PEs, one after the other.
    sum[0] = alike.chain[min(count, alike.chained)]
    if count > alike.chained:
        move(sum, (count - alike.chained) * alike.pace)
