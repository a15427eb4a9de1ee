# cython: language_level=3
# One PE that takes several streams of words one after the other, cycle by cycle. (Bodies of _timing.pyx, compiled into it.)
from libc.stdint cimport INT64_MAX, int64_t
from libc.string cimport memcpy

from wsekern.ops.feeds cimport (
    COMPUTE, CONTENDED, EARLY, FEEDS, HELD, OVERHEAD, QUEUE, QUEUED, STREAM, TURNED, Costs, Feed, Path, Sum, add_sum, arrive,
    drained, grant, in_turn, later, load, may_go, may_run, next_turn, on_link, plus, put_on_ramp, run_word, see_next, store,
    until_others)
from wsekern.ops.noted cimport Key, find_place, found_at, new_place

cdef struct Round:
    # How far the stream is at which the core is, and what its next cycles depend on.
    int current
    int64_t cycle, execute, run, sent, taken, arrival
    int64_t usable[QUEUE]


cdef inline void look(const Feed *feed, int current, int64_t cycle, int64_t execute, int64_t run, Round *out) noexcept nogil:
    # What is to come, counted from `cycle` on.
    cdef const Feed *own = feed + current
    cdef int64_t word
    out.current, out.cycle, out.execute, out.run = current, cycle, max(0, execute - cycle), run
    out.sent, out.taken = own.sent, own.taken
    out.arrival = own.next - cycle
    for word in range(own.taken, own.sent):
        out.usable[word - own.taken] = max(0, own.usable[word & (QUEUE - 1)] - cycle)


cdef inline int goes_on(const Feed *own, const Round *before, const Round *now, const Costs *costs) noexcept nogil:
    # Whether the stream at which the core is is where it was a round before, but for its words.
    cdef int64_t words = now.sent - before.sent
    cdef int i
    if (now.current != before.current or words <= 0 or now.taken - before.taken != words or now.execute != before.execute
            or now.run != before.run or now.arrival != before.arrival):
        return 0
    if own.step * costs.link_words < costs.link_frame and words % costs.link_words != 0:
        return 0
    for i in range(<int>(now.sent - now.taken)):
        if now.usable[i] != before.usable[i]:
            return 0
    return 1


cdef inline int64_t skipped(Feed *feed, int count, int current, int64_t cycle, int64_t length, int64_t words,
                     const Costs *costs) noexcept nogil:
    # Cycles of whole rounds of `length` cycles and so many words that a stream goes on alike: before its last words, and
    # before a word of another stream that has room comes.
    cdef Feed *own = feed + current
    cdef int64_t rounds = (own.head - 2 - own.sent) // words if own.sent < own.head - 2 else 0
    cdef int64_t usable[QUEUE]
    cdef int64_t word
    cdef int i
    for i in range(count):
        if i != current and may_go(feed + i):
            rounds = min(rounds, (feed[i].next - cycle - 1) // length)
    if rounds <= 0:
        return 0
    for word in range(own.taken, own.sent):
        usable[word - own.taken] = own.usable[word & (QUEUE - 1)] + rounds * length
    own.taken += rounds * words
    own.sent += rounds * words
    see_next(own, costs)
    for word in range(own.taken, own.sent):
        own.usable[word & (QUEUE - 1)] = usable[word - own.taken]
    return rounds * length


cdef inline int64_t take_all(Feed *feed, int count, const Costs *costs, int64_t ready) noexcept nogil:
    # A core takes `count` streams one after the other while all of them share its ramp, cycle by cycle: one word a cycle,
    # round robin, each as far as its queue has room. `ready`: when the first instruction may execute. Returns the cycle of
    # the last element.
    cdef int64_t cycle = INT64_MAX, run = 0, execute = ready
    cdef int64_t length = costs.link_frame * feed.step, others = 0, skip, wake
    cdef int current = 0, start = 0, lone = 0, i, granted, looks
    cdef int turn[FEEDS]
    cdef Feed *own = feed
    cdef Round before, now
    in_turn(feed, count, turn)
    for i in range(count):
        see_next(feed + i, costs)
        cycle = min(cycle, feed[i].first)
    look(feed, current, cycle, execute, run, &before)
    while True:
        # A stream that goes on alike for a while is not stepped through; one of few more words is not looked at for that.
        looks = own.sent + 2 * costs.link_frame < own.head
        if looks and cycle >= before.cycle + length:
            look(feed, current, cycle, execute, run, &now)
            if cycle == before.cycle + length and goes_on(own, &before, &now, costs):
                skip = skipped(feed, count, current, cycle, length, now.sent - before.sent, costs)
                cycle, execute = cycle + skip, max(execute, cycle) + skip
                now.cycle, now.sent, now.taken = cycle, own.sent, own.taken
            before, length = now, costs.link_frame * own.step

        # The core executes a word of its stream; after the last one, the instruction for the next stream is set up.
        if execute <= cycle and may_run(own, cycle):
            run_word(own, cycle)
            execute = cycle + (costs.step_add if own.taken < own.head or costs.tail == NULL else costs.tail.step_add)
            if own.taken == own.head and costs.tail != NULL:
                execute = cycle + 1 + costs.tail.setup_add
            if own.taken == own.words:
                execute = cycle + 1 + costs.setup_add
                current += 1
                own += 1
                others = 0
                if current == count:
                    if costs.flags != NULL and start != 0:
                        costs.flags[0] |= TURNED
                    return cycle

        # The ramp takes a word, but for the cycles in which it rests.
        granted = -1
        if costs.link_words >= costs.link_frame or run < costs.link_words:
            if cycle < others:          # but for `lone`, none has a word for it
                granted = lone if feed[lone].next <= cycle and may_go(feed + lone) else -1
            else:
                granted = grant(feed, count, turn, &start, costs, cycle)
                lone, others = max(granted, 0), until_others(feed, count, granted, current)
        if granted >= 0:
            put_on_ramp(feed + granted, cycle + costs.down, costs)
        run = run + 1 if granted >= 0 else 0

        # Cycles in which no word can move are passed over, up to that in which the stream is looked at.
        cycle += 1
        if granted < 0:
            wake = next_turn(feed, count, current, execute)
            cycle = max(cycle, min(wake, before.cycle + length) if looks else wake)


cdef inline void key_of_feeds(Key *key, const Feed *feed, int count, const Costs *costs, int64_t ready, int64_t origin) noexcept nogil:
    # Of streams that a core takes, counted from `origin`, when the first of their words is in the router.
    cdef int64_t *end = key.number
    cdef int i
    end[0], end[1] = count, max(0, ready - origin)
    end += 2
    for i in range(count):
        end[0], end[1], end[2], end[3] = feed[i].first - origin, feed[i].last - origin, feed[i].step, feed[i].credits
        end += 4
        if costs.tail != NULL:
            end[0], end[1], end[2] = feed[i].tail_first - origin, feed[i].tail_last - origin, feed[i].tail_step
            end += 3
    find_place(key, end - key.number)


cdef inline int64_t take_again(Feed *feed, int count, const Costs *costs, int64_t ready, int *flags) noexcept nogil:
    # As take_all; the same streams take the same cycles whenever the first of them comes, and are gone through once. The streams
    # stay as they were, but for when their elements were taken.
    cdef Feed gone[FEEDS]
    cdef int64_t origin = INT64_MAX, end
    cdef int64_t lost[4 + FEEDS]
    cdef int64_t *found
    cdef int i
    cdef Key key
    cdef Costs own
    for i in range(count):
        origin = min(origin, feed[i].first)
    key_of_feeds(&key, feed, count, costs, ready, origin)
    found = found_at(costs.noted, &key)
    if found == NULL:
        own = costs[0]
        own.flags, flags[0] = flags, 0
        memcpy(gone, feed, count * sizeof(Feed))
        end = take_all(gone, count, &own, ready)
        found = new_place(costs.noted, &key, 4 + count)
        if found == NULL:       # no memory for it
            found = lost
        found[0], found[1] = end - origin, flags[0]
        found[2], found[3] = gone[count - 1].head_end - origin, gone[count - 1].tail_began - origin
        for i in range(count):
            found[4 + i] = gone[i].began - origin
    flags[0] = <int>found[1]
    feed[count - 1].head_end, feed[count - 1].tail_began = found[2] + origin, found[3] + origin
    for i in range(count):
        feed[i].began = found[4 + i] + origin
    return found[0] + origin


cdef inline int come_later(const Feed *feed, int taken, int count, int64_t end) noexcept nogil:
    # Whether all streams behind those that were taken come when the core is done with these.
    cdef int i
    for i in range(taken, count):
        if feed[i].first <= end:
            return 0
    return 1


cdef inline int64_t take_noted(Feed *feed, int count, const Costs *costs, int64_t ready) noexcept nogil:
    # As take_all; streams that come when the core is done with all before are gone through by themselves. Colors are in the
    # order of the streams where anything is noted: the turn of the ramp stays with these once two of them meet.
    cdef int64_t end = 0, least = ready
    cdef int begin = 0, i, flags
    if costs.noted == NULL:
        return take_all(feed, count, costs, ready)
    for i in range(count):
        least = max(least, feed[i].first + costs.down) + on_link(costs, costs.step_add, feed[i].words - 1)
        if come_later(feed, i + 1, count, least):
            end = take_again(feed + begin, i + 1 - begin, costs, ready, &flags)
            if come_later(feed, i + 1, count, end):
                if costs.flags != NULL:
                    costs.flags[0] |= flags | (TURNED if begin and flags & CONTENDED else 0)
                begin, ready, least = i + 1, end + 1 + costs.setup_add, end
        least += 1 + costs.setup_add
    return end


cdef inline Path feeds_of(Feed *feed, const Costs *costs, const Sum *sums, const int64_t *hops, int count, Path path) noexcept nogil:
    # Streams on their way into a core; the path to the latest of their first words.
    cdef Path arrival
    cdef int i
    for i in range(count):
        arrival = arrive(sums[i].head, costs, hops[i])
        path = later(path, arrival)
        feed[i].first = arrival.clock - costs.down
        feed[i].last = feed[i].first + sums[i].head.last - sums[i].head.first.clock
        feed[i].step = sums[i].head.step
        feed[i].head = costs.length[i] if costs.length[i] else costs.sums
        feed[i].words, feed[i].sent, feed[i].taken = feed[i].head, 0, 0
        feed[i].credits, feed[i].color = costs.depth[i], costs.color[i]
        feed[i].tail_began = feed[i].tail_last = feed[i].last
        if costs.tail != NULL:
            feed[i].words += costs.tail.sums
            feed[i].tail_first = arrive(sums[i].tail, costs, hops[i]).clock - costs.down
            feed[i].tail_last = feed[i].tail_first + sums[i].tail.last - sums[i].tail.first.clock
            feed[i].tail_step = sums[i].tail.step
    return path


cdef inline void gather(int64_t *pe, const Costs *costs, const Sum *sums, const int64_t *hops, int count, Sum *out,
                 int64_t *waits) noexcept nogil:
    # A PE adds several sums, one after the other, and sends the last on where out is given. `waits`: for how long the first
    # word of each was there before it was taken, or NULL.
    cdef Feed feed[FEEDS]
    cdef Path own = plus(load(pe), OVERHEAD, costs.setup_add), path
    cdef int64_t end
    cdef int i
    if count == 1:
        if waits != NULL:
            waits[0] = own.clock - arrive(sums[0].head, costs, hops[0]).clock
        add_sum(pe, costs, sums[0], hops[0], out)
        return
    path = feeds_of(feed, costs, sums, hops, count, own)
    end = take_noted(feed, count, costs, own.clock)
    if out != NULL:
        end = max(end, drained(costs, feed[count - 1].began, costs.sums, costs.step_add))
    if waits != NULL:
        for i in range(count):
            waits[i] = feed[i].began - feed[i].first - costs.down
    if costs.flags != NULL:
        for i in range(count):
            if feed[i].first + costs.down < own.clock - costs.setup_add:
                costs.flags[0] |= EARLY
            if i > 0 and feed[i].began > feed[i].first + costs.down:
                costs.flags[0] |= HELD | QUEUED if feed[i].words > costs.depth[i] else QUEUED
    if out != NULL:
        # What the critical path waits for beyond the latest arrival is words of other streams.
        out.head.first = plus(path, STREAM, feed[count - 1].began - path.clock)
        out.head.last, out.head.step, out.head.sent = feed[count - 1].head_end, costs.step_add, 1
        if costs.tail != NULL:
            out.tail.first = plus(path, STREAM, feed[count - 1].tail_began - path.clock)
            out.tail.last, out.tail.step, out.tail.sent = end, costs.tail.step_add, 1
    store(pe, plus(plus(path, STREAM, end - path.clock), COMPUTE, 1))
