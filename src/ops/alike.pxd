# cython: language_level=3
# PEs that are all ready at once: what those that take the same streams do is reckoned once, and moved to when their streams
# come. (Bodies of _timing.pyx, compiled into it.)
from libc.stdint cimport int64_t
from libc.string cimport memcmp

from wsekern.ops.feeds cimport (
    CAUSES, FEEDS, STREAM, Costs, Message, Sum, add_sum, arrive, at_call, own_clock, send_sum)
from wsekern.ops.streams cimport gather

cdef enum:
    ALIKE = 48              # PEs with other streams than all others, of those reckoned last
    FIELDS = 6              # numbers that tell a stream from another, with its tail

cdef enum Kind:
    ENDED, PASSED, MOVED    # the sum ends at the PE; is passed on; is passed on as if its last stream came at cycle 0


cdef struct Streams:
    # What one PE takes in, in order.
    int count
    Sum sum[FEEDS]
    int64_t hops[FEEDS]


cdef struct Streamed:
    int64_t key[1 + FIELDS * FEEDS]
    size_t bytes
    Sum out
    int64_t done                # when the PE is done


cdef struct Alike:
    Streamed known[ALIKE]
    int count, next
    Sum *chain                  # sums of so many PEs, one after the other,
    Py_ssize_t chained          # up to this many,
    int64_t pace                # and each further one so much later


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


cdef inline int64_t *put_message(int64_t *key, const Message *message, const Costs *costs, int64_t hops,
                                 int64_t origin) noexcept nogil:
    key[0] = arrive(message[0], costs, hops).clock - origin
    key[1] = message.last - message.first.clock
    key[2] = message.step
    return key + 3


cdef inline int64_t *put_sum(int64_t *key, const Sum *sum, const Costs *costs, int64_t hops, int64_t origin) noexcept nogil:
    key = put_message(key, &sum.head, costs, hops, origin)
    return put_message(key, &sum.tail, costs, hops, origin) if costs.tail != NULL else key


cdef inline Streamed *place_for(Alike *alike, const Streams *streams, const Costs *costs, Kind kind, int64_t origin,
                                int *found) noexcept nogil:
    # Where what a PE does with its streams is known, or is to be noted. MOVED: of the last stream alone, from `origin`.
    cdef int64_t key[1 + FIELDS * FEEDS]
    cdef int64_t *end = key + 1
    cdef Streamed *place
    cdef size_t bytes
    cdef int i
    key[0] = <int>kind + 4 * streams.count
    for i in range(streams.count - 1 if kind == MOVED else 0, streams.count):
        end = put_sum(end, streams.sum + i, costs, streams.hops[i], origin)
    bytes = (end - key) * sizeof(int64_t)
    for i in range(alike.count):
        place = alike.known + i
        if place.bytes == bytes and place.key[1] == key[1] and not memcmp(place.key, key, bytes):
            found[0] = 1
            return place
    found[0] = 0
    place = alike.known + alike.next
    alike.next = (alike.next + 1) % ALIKE
    alike.count = max(alike.count, alike.next if alike.next else <int>ALIKE)
    place.bytes = bytes
    for i in range(<int>(end - key)):
        place.key[i] = key[i]
    return place


cdef inline int64_t streamed(Alike *alike, const Streams *streams, const Costs *costs, Sum *out) noexcept nogil:
    # When a PE is done with its streams, the last of which it passes on where out is given.
    cdef int64_t pe[CAUSES]
    cdef int found
    cdef Streamed *place = place_for(alike, streams, costs, ENDED if out == NULL else PASSED, 0, &found)
    if not found:
        at_call(pe, costs)
        gather(pe, costs, streams.sum, streams.hops, streams.count, NULL if out == NULL else &place.out, NULL)
        place.done = own_clock(pe)
    if out != NULL:
        out[0] = place.out
    return place.done


cdef inline void place_done(Streamed *place, const Streams *streams, const Costs *costs, int64_t origin) noexcept nogil:
    # Reckons what is not known, from `origin` on.
    cdef int64_t pe[CAUSES]
    at_call(pe, costs)
    gather(pe, costs, streams.sum, streams.hops, streams.count, &place.out, NULL)
    move(&place.out, -origin)
    place.done = own_clock(pe) - origin


cdef inline int64_t joined(Alike *alike, const Streams *own, const Streams *streams, const Costs *costs, Sum *out) noexcept nogil:
    # The same of a PE with streams of its `own` and one more behind them. Where that comes only when the PE is done with the
    # others and waits, nothing but its words tells what follows.
    cdef int64_t arrival = arrive(streams.sum[own.count].head, costs, streams.hops[own.count]).clock
    cdef Streamed *place
    cdef int found
    if streamed(alike, own, costs, NULL) + costs.setup_add >= arrival:
        return streamed(alike, streams, costs, out)
    place = place_for(alike, streams, costs, MOVED, arrival, &found)
    if not found:
        place_done(place, streams, costs, arrival)
    out[0] = place.out
    move(out, arrival)
    return place.done + arrival


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


cdef inline Sum sum_of(const Alike *alike, Py_ssize_t count) noexcept nogil:
    # Of so many PEs, one after the other.
    cdef Sum sum = alike.chain[min(count, alike.chained)]
    if count > alike.chained:
        move(&sum, (count - alike.chained) * alike.pace)
    return sum
