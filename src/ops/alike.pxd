# cython: language_level=3
# PEs that are all ready at once: what those that take the same streams do is reckoned once, and moved to when their streams
# come. (Bodies of _timing.pyx, compiled into it.)
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memcmp, memcpy, memset

from wsekern.ops.feeds cimport (
    CAUSES, FEEDS, STREAM, Costs, Message, Sum, add_sum, arrive, at_call, own_clock, send_sum)
from wsekern.ops.streams cimport gather

cdef enum:
    PLACES = 512            # for what PEs do with their streams, by what tells these from others
    FIELDS = 6              # numbers that tell a stream from another, with its tail
    KEY = 1 + FIELDS * FEEDS
    FOUND = 7               # numbers that are noted of a PE: when it is done, and what it sends
    ROOM = 1 << 14          # numbers noted at most: then all are forgotten

cdef enum Kind:
    ENDED, PASSED, MOVED    # the sum ends at the PE; is passed on; is passed on as if its last stream came at cycle 0


cdef struct Streams:
    # What one PE takes in, in order.
    int count
    Sum sum[FEEDS]
    int64_t hops[FEEDS]


cdef struct Key:
    # What tells the streams of a PE from others, counted from `origin`, and its place.
    int64_t number[KEY]
    int64_t origin
    int count, place


cdef struct Alike:
    # Of all lines along which PEs send as much.
    int64_t *noted              # keys, each behind its count and before what was found,
    int used, room
    int place[PLACES]           # 1 + where its place is among these; 0: none
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


cdef inline int64_t origin_of(const Streams *streams, const Costs *costs) noexcept nogil:
    # The first of what a PE takes, from which on everything is as if that came at any other cycle; 0 where the PE is not ready
    # before all of it.
    cdef int64_t first = arrive(streams.sum[0].head, costs, streams.hops[0]).clock
    cdef int i
    for i in range(1, streams.count):
        first = min(first, arrive(streams.sum[i].head, costs, streams.hops[i]).clock)
    return first if first - costs.down > costs.call + costs.setup_add else 0


cdef inline void key_of(Key *key, const Streams *streams, const Costs *costs, Kind kind, int64_t origin) noexcept nogil:
    # Of what a PE does with its streams, counted from `origin`. MOVED: of the last stream alone.
    cdef int64_t *end = key.number + 1
    cdef uint64_t mixed = 0
    cdef int i
    key.origin, key.number[0] = origin, <int>kind + 4 * (streams.count + (FEEDS + 1) * (origin != 0))
    for i in range(streams.count - 1 if kind == MOVED else 0, streams.count):
        end = put_sum(end, streams.sum + i, costs, streams.hops[i], origin)
    key.count = <int>(end - key.number)
    for i in range(key.count):
        mixed = (mixed ^ <uint64_t>key.number[i]) * 0x9E3779B97F4A7C15ULL
        mixed ^= mixed >> 29
    key.place = <int>(mixed % PLACES)


cdef inline int64_t *found_at(Alike *alike, const Key *key) noexcept nogil:
    # What was found of a key, or NULL.
    cdef int64_t *noted
    if not alike.place[key.place]:
        return NULL
    noted = alike.noted + alike.place[key.place] - 1
    if noted[0] != key.count or memcmp(noted + 1, key.number, key.count * sizeof(int64_t)):
        return NULL
    return noted + 1 + key.count


cdef inline int64_t *new_place(Alike *alike, const Key *key) noexcept nogil:
    # For what is found of a key; NULL where there is no memory.
    cdef int needed = 1 + key.count + <int>FOUND
    cdef int64_t *noted
    if alike.used + needed > ROOM:
        alike.used = 0
        memset(alike.place, 0, sizeof(alike.place))
    if alike.used + needed > alike.room:
        noted = <int64_t *>realloc(alike.noted, 2 * (alike.room + needed) * sizeof(int64_t))
        if noted == NULL:
            return NULL
        alike.noted, alike.room = noted, 2 * (alike.room + needed)
    noted = alike.noted + alike.used
    alike.place[key.place] = alike.used + 1
    alike.used += needed
    noted[0] = key.count
    memcpy(noted + 1, key.number, key.count * sizeof(int64_t))
    return noted + 1 + key.count


cdef inline void note_message(int64_t *found, const Message *message, int64_t origin) noexcept nogil:
    found[0], found[1], found[2] = message.first.clock - origin, message.last - origin, message.step


cdef inline void put_out(Message *message, const int64_t *found, int64_t origin) noexcept nogil:
    # Of what PEs wait for, nobody asks here.
    memset(&message.first, 0, sizeof(message.first))
    message.first.clock = message.first.cause[<int>STREAM] = found[0] + origin
    message.last, message.step, message.sent = found[1] + origin, found[2], 1


cdef inline int64_t done_with(Alike *alike, const Key *key, const Streams *streams, const Costs *costs, Sum *out) noexcept nogil:
    # When a PE is done with its streams, the last of which it passes on where out is given.
    cdef int64_t pe[CAUSES]
    cdef int64_t *found = found_at(alike, key)
    if found == NULL:
        at_call(pe, costs)
        gather(pe, costs, streams.sum, streams.hops, streams.count, out, NULL)
        found = new_place(alike, key)
        if found == NULL:
            return own_clock(pe)
        found[0] = own_clock(pe) - key.origin
        if out != NULL:
            note_message(found + 1, &out.head, key.origin)
            note_message(found + 4, &out.tail, key.origin)
    if out != NULL:
        put_out(&out.head, found + 1, key.origin)
        put_out(&out.tail, found + 4, key.origin)
    return found[0] + key.origin


cdef inline int64_t streamed(Alike *alike, const Streams *streams, const Costs *costs, Sum *out) noexcept nogil:
    # The same, whichever PE it is.
    cdef Key key
    key_of(&key, streams, costs, ENDED if out == NULL else PASSED, origin_of(streams, costs))
    return done_with(alike, &key, streams, costs, out)


cdef inline int64_t joined(Alike *alike, const Streams *own, const Streams *streams, const Costs *costs, Sum *out) noexcept nogil:
    # The same of a PE with streams of its `own` and one more behind them. Where that comes only when the PE is done with the
    # others and waits, nothing but its words tells what follows.
    cdef int64_t arrival = arrive(streams.sum[own.count].head, costs, streams.hops[own.count]).clock
    cdef Key key
    if streamed(alike, own, costs, NULL) + costs.setup_add >= arrival:
        return streamed(alike, streams, costs, out)
    key_of(&key, streams, costs, MOVED, arrival)
    return done_with(alike, &key, streams, costs, out)


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
