# One PE: the cycles on its critical path, what it sends, and the streams of words that it takes in.

cdef enum:
    CAUSES = 5
    QUEUE = 16          # more than any input queue holds
    FEEDS = 8           # streams that one PE takes in one operation, at most: its input queues

cdef enum Cause:
    COMPUTE, FABRIC, STAGES, OVERHEAD, STREAM

cdef enum Flag:
    HELD = 1            # words wait for a core until its queue is full
    CONTENDED = 2       # words of two streams come to a ramp in one cycle
    TURNED = 4          # and the ramp is left with another stream's turn than it began with
    QUEUED = 16         # words of a stream wait in their queue while another is taken
    EARLY = 8           # words come to a core that is not done with the operation before

cdef struct Path:
    int64_t clock
    int64_t cause[CAUSES]

cdef struct Message:
    # A stream of words on its way: when its sender executes the first element and the last, and whether there is one.
    Path first
    int64_t last
    int64_t step                # cycles between two words that nothing holds up
    int sent

cdef struct Feed:
    # A stream on its way into a core that takes several: when its words reach the router, and how far it is.
    int64_t first, last         # cycles at which the first and the last word are in the router
    int64_t step                # cycles between two of its words
    int64_t words, sent, taken  # words in all, put on the ramp, executed
    int64_t credits             # words that the input queue still has room for
    int64_t color               # ramps serve colors in turn, from the lowest
    int64_t began               # cycle of its first element
    int64_t usable[QUEUE]       # ring: cycle from which each word on the ramp or in the queue may be executed


cdef struct Costs:
    int64_t call, setup_send, setup_add, setup_receive, stage, hop, convert
    int64_t stream_send, stream_add, paced_add, stream_broadcast, stream_receive, paced_broadcast
    int64_t sums, step_send, step_add, down, link_words, link_frame
    int64_t depth[FEEDS], color[FEEDS]
    int64_t length[FEEDS]       # words of each stream; 0: as many as the others
    int64_t room                # words that wait in queues and routers without holding their sender back
    int *flags                  # takes what happened, see Flag; or NULL


cdef class LineCosts:
    """Whole-cycle constants of one operation: see wsekern.machine.timing for how each follows from the machine."""
    cdef Costs costs

    def __init__(self, *, call, setup_send, setup_add, setup_receive, stage, hop, convert, stream_send, stream_add,
                 paced_add, stream_broadcast, stream_receive, paced_broadcast, sums, step_send, step_add, down,
                 link, depths, room):
        cdef Costs *c = &self.costs
        cdef int i
        c.call, c.setup_send, c.setup_add, c.setup_receive = call, setup_send, setup_add, setup_receive
        c.stage, c.hop, c.convert, c.sums, c.down = stage, hop, convert, sums, down
        c.step_send, c.step_add = step_send, step_add
        c.stream_send, c.stream_add, c.paced_add = stream_send, stream_add, paced_add
        c.stream_broadcast, c.stream_receive, c.paced_broadcast = stream_broadcast, stream_receive, paced_broadcast
        c.link_words, c.link_frame = link
        c.room, c.flags = room, NULL
        for i in range(FEEDS):
            c.depth[i] = min(depths[i], QUEUE) if i < len(depths) else 0
            c.color[i], c.length[i] = i, 0


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


cdef inline void send(int64_t *pe, const Costs *costs, int64_t stream, Message *out) noexcept nogil:
    # One instruction from memory to the fabric; out leaves with its first element.
    cdef Path ready = plus(load(pe), OVERHEAD, costs.setup_send)
    out.first = ready
    out.last = ready.clock + stream
    out.step = costs.step_send
    out.sent = 1
    store(pe, plus(plus(ready, STREAM, stream), COMPUTE, 1))


cdef inline Path arrive(Message message, const Costs *costs, int64_t hops) noexcept nogil:
    return plus(plus(message.first, STAGES, costs.stage), FABRIC, hops * costs.hop)


cdef inline void receive(int64_t *pe, const Costs *costs, Message message, int64_t hops, int64_t setup, int64_t stream,
                         int64_t paced, Message *out) noexcept nogil:
    # One instruction that takes words from the fabric (and sends each on, where out is given): its first element waits for
    # the set-up and for the first word, its last for the words at the core's rate and for the last word on the link.
    cdef Path ready = plus(load(pe), OVERHEAD, setup), arrival = arrive(message, costs, hops), end
    cdef int64_t late = message.last - message.first.clock - paced
    if costs.flags != NULL and arrival.clock < ready.clock:
        if arrival.clock < ready.clock - setup:
            costs.flags[0] |= EARLY
        if ready.clock - arrival.clock > costs.room and stream >= costs.room:
            costs.flags[0] |= HELD
    end = later(plus(ready, STREAM, stream), plus(arrival, STREAM, paced + (late if late > 0 else 0)))
    store(pe, plus(end, COMPUTE, 1))
    if out != NULL:
        out.first = later(ready, arrival)
        out.last = end.clock
        out.step = max(message.step, costs.step_add)
        out.sent = 1


cdef inline int64_t on_link(const Costs *costs, int64_t step, int64_t word) noexcept nogil:
    # Cycles from the first to the given word of an unhindered stream of one word every `step` cycles.
    if step * costs.link_words >= costs.link_frame:
        return word * step
    return word // costs.link_words * costs.link_frame + word % costs.link_words * step


cdef inline int64_t in_router(const Feed *feed, const Costs *costs) noexcept nogil:
    # When the next word of a stream is in the router: the last may be later than its place in the stream.
    cdef int64_t at = feed.first + on_link(costs, feed.step, feed.sent)
    return max(at, feed.last) if feed.sent == feed.words - 1 else at


cdef void in_turn(const Feed *feed, int count, int *turn) noexcept nogil:
    # The feeds in the order of their colors.
    cdef int i, k
    for i in range(count):
        k = i
        while k > 0 and feed[turn[k - 1]].color > feed[i].color:
            turn[k] = turn[k - 1]
            k -= 1
        turn[k] = i


cdef int64_t take_all(Feed *feed, int count, const Costs *costs, int64_t ready) noexcept nogil:
    # A core takes `count` streams one after the other while all of them share its ramp, cycle by cycle: one word a cycle,
    # round robin, each as far as its queue has room. `ready`: when the first instruction may execute. Returns the cycle of
    # the last element.
    cdef int64_t cycle = INT64_MAX, run = 0, execute = ready, wake
    cdef int current = 0, start = 0, i, k, granted, loser
    cdef int turn[FEEDS]
    in_turn(feed, count, turn)
    for i in range(count):
        cycle = min(cycle, feed[i].first)
    while True:
        if execute <= cycle and feed[current].taken < feed[current].sent \
                and feed[current].usable[feed[current].taken % QUEUE] <= cycle:
            if feed[current].taken == 0:
                feed[current].began = cycle
            feed[current].taken += 1
            feed[current].credits += 1
            execute = cycle + costs.step_add
            if feed[current].taken == feed[current].words:
                execute = cycle + 1 + costs.setup_add
                current += 1
                if current == count:
                    if costs.flags != NULL and start != 0:
                        costs.flags[0] |= TURNED
                    return cycle
        granted = loser = -1
        if costs.link_words >= costs.link_frame or run < costs.link_words:
            for k in range(count):
                i = turn[(start + k) % count]
                if feed[i].sent < feed[i].words and feed[i].credits > 0 and in_router(feed + i, costs) <= cycle:
                    if granted < 0:
                        granted = i
                    elif loser < 0:
                        loser = (start + k) % count
        run = run + 1 if granted >= 0 else 0
        if granted >= 0:
            feed[granted].usable[feed[granted].sent % QUEUE] = cycle + costs.down
            feed[granted].sent += 1
            feed[granted].credits -= 1
        if loser >= 0:
            start = loser
            if costs.flags != NULL:
                costs.flags[0] |= CONTENDED
        cycle += 1
        if granted < 0 and feed[current].taken == feed[current].sent:
            # Nothing is under way for the core: jump to the next word that can move.
            wake = INT64_MAX
            for i in range(count):
                if feed[i].sent < feed[i].words and feed[i].credits > 0:
                    wake = min(wake, in_router(feed + i, costs))
            if wake != INT64_MAX:
                cycle = max(cycle, wake)


cdef void gather(int64_t *pe, const Costs *costs, const Message *messages, const int64_t *hops, int count,
                 Message *out, int64_t *waits) noexcept nogil:
    # A PE adds the sums of several streams, one after the other, and sends the last on where out is given. `waits`: for how
    # long the first word of each was there before it was taken, or NULL.
    cdef Feed feed[FEEDS]
    cdef Path own = plus(load(pe), OVERHEAD, costs.setup_add), path = own, arrival
    cdef int64_t end
    cdef int i
    if count == 1:
        if waits != NULL:
            waits[0] = own.clock - arrive(messages[0], costs, hops[0]).clock
        receive(pe, costs, messages[0], hops[0], costs.setup_add, costs.stream_add, costs.paced_add, out)
        return
    for i in range(count):
        arrival = arrive(messages[i], costs, hops[i])
        path = later(path, arrival)
        feed[i].first = arrival.clock - costs.down
        feed[i].last = feed[i].first + messages[i].last - messages[i].first.clock
        feed[i].step = messages[i].step
        feed[i].words, feed[i].sent, feed[i].taken = costs.length[i] if costs.length[i] else costs.sums, 0, 0
        feed[i].credits, feed[i].color = costs.depth[i], costs.color[i]
    end = take_all(feed, count, costs, own.clock)
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
        out.first = plus(path, STREAM, feed[count - 1].began - path.clock)
        out.last = end
        out.step = costs.step_add
        out.sent = 1
    store(pe, plus(plus(path, STREAM, end - path.clock), COMPUTE, 1))
