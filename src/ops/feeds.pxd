# cython: language_level=3
# One PE: the cycles on its critical path, what it sends, and the streams of words that it takes in. (Short bodies of
# _timing.pyx, compiled into it: inline functions, no module of their own. What takes several streams is there.)
from libc.stdint cimport INT64_MAX, int64_t

from wsekern.ops.noted cimport Noted

cdef enum:
    CAUSES = 5
    QUEUE = 16          # a power of two, more than any input queue holds
    FEEDS = 8           # streams that one PE takes in one operation, at most: its input queues

cdef enum Cause:
    COMPUTE, FABRIC, STAGES, OVERHEAD, STREAM

cdef enum Flag:
    HELD = 1            # words wait for a core until its queue is full
    CONTENDED = 2       # words of two streams come to a ramp in one cycle
    TURNED = 4          # and the ramp is left with another stream's turn than it began with
    QUEUED = 16         # words of a stream wait in their queue while another is taken
    EARLY = 8           # words come to a core that is not done with the operation before
    SHALLOW = 32        # what words that wait for a core hold back is more where they come through the shallowest queue

cdef struct Path:
    int64_t clock
    int64_t cause[CAUSES]

cdef struct Message:
    # A stream of words on its way: when its sender executes the first element and the last, and whether there is one.
    Path first
    int64_t last
    int64_t step                # cycles between two words that nothing holds up
    int sent

cdef struct Sum:
    # A sum on its way: its elements in the engine's format, and those of the tail that follow them.
    Message head, tail

cdef struct Feed:
    # A stream on its way into a core that takes several: when its words reach the router, and how far it is.
    int64_t first, last         # cycles at which the first and the last word are in the router
    int64_t step                # cycles between two of its words
    int64_t words, sent, taken  # words in all, put on the ramp, executed
    int64_t credits             # words that the input queue still has room for
    int64_t color               # ramps serve colors in turn, from the lowest
    int64_t began               # cycle of its first element
    int64_t usable[QUEUE]       # ring: cycle from which each word on the ramp or in the queue may be executed
    int64_t head                # words of the head: all of them where no tail follows
    int64_t tail_first, tail_last, tail_step        # as first, last and step, of the tail
    int64_t next                # when the word after those that were sent is in the router,
    int64_t turn                # which of those it is between two rests of the link
    int64_t head_end, tail_began                    # cycles of the last element of the head, of the first of the tail


cdef struct Costs:
    int64_t call, setup_send, setup_add, setup_receive, stage, hop, convert
    int64_t stream_send, stream_add, paced_add, stream_broadcast, stream_receive, paced_broadcast
    int64_t sums, step_send, step_add, down, link_words, link_frame
    int64_t depth[FEEDS]
    int64_t color[FEEDS]
    int64_t length[FEEDS]       # words of each stream; 0: as many as the others
    int64_t results, step_receive       # words of a result, and cycles between two that a core takes
    int64_t output, sends       # cycles from a core to its output queue's ramp, words in that queue
    int64_t buffer, shallow     # words in a router, in the shallowest input queue
    int *flags                  # takes what happened, see Flag; or NULL
    const Costs *tail           # of the words that follow in another format, by instructions of their own; or NULL
    Noted *noted                # what was found of streams that one PE takes, where all PEs have these costs; or NULL


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


cdef inline int64_t on_link(const Costs *costs, int64_t step, int64_t word) noexcept nogil:
    # Cycles from the first to the given word of an unhindered stream of one word every `step` cycles.
    if step * costs.link_words >= costs.link_frame:
        return word * step
    return word // costs.link_words * costs.link_frame + word % costs.link_words * step


cdef inline int64_t refilled(const Costs *costs, int64_t ready, int64_t words, int64_t step, int64_t depth) noexcept nogil:
    # The earliest cycle for the last word of a core that is ready so late that words fill a queue of this depth: the first of
    # those behind them goes on the ramp when the first of all is taken.
    return ready + costs.down + on_link(costs, step, words - 1 - depth) if words > depth else 0


cdef inline int64_t drained(const Costs *costs, int64_t began, int64_t words, int64_t step) noexcept nogil:
    # The earliest cycle for the last word that a core sends on from `began`: those that find the output queue full wait.
    return began + costs.output + 1 + on_link(costs, step, words - costs.sends - 1) if words > costs.sends else 0


cdef inline int holds(const Costs *costs, int64_t wait, int64_t words, int64_t hops, int64_t depth, int beyond) noexcept nogil:
    # Whether words that wait so long for a core fill a queue of this depth and hold back others: those for PEs beyond, for
    # which the router keeps no copy; else their sender, when all queues and routers on the way are full.
    if beyond:
        return words > depth and wait + costs.down > depth
    return (words > depth + costs.sends + (hops + 1) * costs.buffer
            and wait > depth + costs.sends + 2 - costs.stage + hops * (costs.buffer - 1 - costs.hop))


cdef inline void receive(int64_t *pe, const Costs *costs, Message message, int64_t hops, int64_t setup, int64_t stream,
                         int64_t paced, int64_t words, int64_t step, int beyond, Message *out) noexcept nogil:
    # One instruction that takes words from the fabric (and sends each on, where out is given): its first element waits for
    # the set-up and for the first word, its last for the words at the core's rate, for the last word on the link, and for
    # room in queues. `beyond`: whether the words go on to other PEs too.
    cdef Path ready = plus(load(pe), OVERHEAD, setup), arrival = arrive(message, costs, hops), began = later(ready, arrival), end
    cdef int64_t late = message.last - message.first.clock - paced, wait = ready.clock - arrival.clock, bound = 0, shallow
    end = later(plus(ready, STREAM, stream), plus(arrival, STREAM, paced + (late if late > 0 else 0)))
    if out != NULL:
        bound = drained(costs, began.clock, words, step)
    if wait > 0:
        shallow = max(bound, refilled(costs, ready.clock, words, step, costs.shallow))
        bound = max(bound, refilled(costs, ready.clock, words, step, costs.depth[0]))
        if costs.flags != NULL:
            if wait > setup:
                costs.flags[0] |= EARLY
            if holds(costs, wait, words, hops, costs.depth[0], beyond):
                costs.flags[0] |= HELD
            if holds(costs, wait, words, hops, costs.shallow, beyond) or shallow > max(bound, end.clock):
                costs.flags[0] |= SHALLOW
    if bound > end.clock:
        end = plus(began, STREAM, bound - began.clock)
    store(pe, plus(end, COMPUTE, 1))
    if out != NULL:
        out.first = began
        out.last = end.clock
        out.step = max(message.step, costs.step_add)
        out.sent = 1


cdef inline void send_sum(int64_t *pe, const Costs *costs, Sum *out) noexcept nogil:
    send(pe, costs, costs.stream_send, &out.head)
    if costs.tail != NULL:
        send(pe, costs.tail, costs.tail.stream_send, &out.tail)


cdef inline void add_sum(int64_t *pe, const Costs *costs, Sum incoming, int64_t hops, Sum *out) noexcept nogil:
    # One PE adds its own to one sum, the head and then the tail, and sends both on where out is given.
    receive(pe, costs, incoming.head, hops, costs.setup_add, costs.stream_add, costs.paced_add, costs.sums,
            costs.step_add, 0, &out.head if out != NULL else NULL)
    if costs.tail != NULL:
        receive(pe, costs.tail, incoming.tail, hops, costs.tail.setup_add, costs.tail.stream_add, costs.tail.paced_add,
                costs.tail.sums, costs.tail.step_add, 0, &out.tail if out != NULL else NULL)


cdef inline void at_last(Feed *feed) noexcept nogil:
    # The last word of the head, and that of the tail, may be later than its place in the stream.
    if feed.sent == feed.head - 1:
        feed.next = max(feed.next, feed.last)
    elif feed.sent == feed.words - 1:
        feed.next = max(feed.next, feed.tail_last)


cdef inline void see_next(Feed *feed, const Costs *costs) noexcept nogil:
    # When the next word of a stream is in the router.
    cdef int64_t word = feed.sent if feed.sent < feed.head else feed.sent - feed.head
    feed.next = (feed.first + on_link(costs, feed.step, word) if feed.sent < feed.head
                 else feed.tail_first + on_link(costs, feed.tail_step, word))
    feed.turn = word % costs.link_words
    at_last(feed)


cdef inline void see_following(Feed *feed, const Costs *costs) noexcept nogil:
    # As see_next, of the word behind the one that was seen.
    cdef int64_t step = feed.step if feed.sent < feed.head else feed.tail_step
    if feed.sent == feed.head:
        see_next(feed, costs)
        return
    feed.turn += 1
    if feed.turn == costs.link_words:
        feed.turn = 0
        feed.next += max(step, costs.link_frame - (costs.link_words - 1) * step)
    else:
        feed.next += step
    at_last(feed)


cdef inline void in_turn(const Feed *feed, int count, int *turn) noexcept nogil:
    # The feeds in the order of their colors.
    cdef int i, k
    for i in range(count):
        k = i
        while k > 0 and feed[turn[k - 1]].color > feed[i].color:
            turn[k] = turn[k - 1]
            k -= 1
        turn[k] = i


cdef inline int may_run(const Feed *feed, int64_t cycle) noexcept nogil:
    # Whether the core may execute the next word of the stream that it is at.
    return feed.taken < feed.sent and feed.usable[feed.taken & (QUEUE - 1)] <= cycle


cdef inline int may_go(const Feed *feed) noexcept nogil:
    # Whether the next word of a stream finds room in its queue, once it is in the router.
    return feed.sent < feed.words and feed.credits > 0


cdef inline void run_word(Feed *feed, int64_t cycle) noexcept nogil:
    if feed.taken == 0:
        feed.began = cycle
    if feed.taken == feed.head:
        feed.tail_began = cycle
    feed.taken += 1
    if feed.taken == feed.head:
        feed.head_end = cycle
    feed.credits += 1


cdef inline void put_on_ramp(Feed *feed, int64_t usable, const Costs *costs) noexcept nogil:
    feed.usable[feed.sent & (QUEUE - 1)] = usable
    feed.sent += 1
    feed.credits -= 1
    see_following(feed, costs)


cdef inline int grant(const Feed *feed, int count, const int *turn, int *start, const Costs *costs, int64_t cycle) noexcept nogil:
    # The ramp's round robin: the first stream, in turn from `start` on, that has a word for it, or -1. The next one that has
    # a word too finds the ramp taken, and is the next start.
    cdef int granted = -1, place = start[0] - 1, k
    for k in range(count):
        place = place + 1 if place + 1 < count else 0
        if feed[turn[place]].next <= cycle and may_go(feed + turn[place]):
            if granted >= 0:
                start[0] = place
                if costs.flags != NULL:
                    costs.flags[0] |= CONTENDED
                break
            granted = turn[place]
    return granted


cdef inline int64_t until_others(const Feed *feed, int count, int granted, int current) noexcept nogil:
    # Up to when no other stream than the one `granted` has a word for the ramp: words can come to queues with room, and to the
    # one that the core empties. 0 where none was granted.
    cdef int64_t found = INT64_MAX
    cdef int i
    if granted < 0:
        return 0
    for i in range(count):
        if i != granted and (i == current or may_go(feed + i)):
            found = min(found, feed[i].next)
    return found


cdef inline int64_t next_turn(const Feed *feed, int count, int current, int64_t execute) noexcept nogil:
    # When the core can execute a word that is under way to it, or the first of the words that could go on the ramp is in the
    # router.
    cdef const Feed *own = feed + current
    cdef int64_t wake = max(execute, own.usable[own.taken & (QUEUE - 1)]) if own.taken < own.sent else INT64_MAX
    cdef int i
    for i in range(count):
        if may_go(feed + i):
            wake = min(wake, feed[i].next)
    return wake if wake != INT64_MAX else 0


cdef inline int64_t queued(const Costs *costs, int64_t words, int64_t pace, int64_t depth, int64_t output) noexcept nogil:
    # Cycles from the first to the last of so many words that a core hands to an output queue: see Timing.sending.
    cdef int64_t own = max(0, words - 1) * pace
    return own if words <= depth else max(own, output + 1 + on_link(costs, pace, words - depth - 1))


cdef inline void call(int64_t *line, const Costs *costs, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(count):
        line[k * CAUSES + <int>OVERHEAD] += costs.call


cdef inline int64_t own_clock(const int64_t *pe) noexcept nogil:
    return load(pe).clock


cdef inline void at_call(int64_t *pe, const Costs *costs) noexcept nogil:
    # A PE that was ready at cycle 0, behind the call of the operation.
    cdef int i
    for i in range(CAUSES):
        pe[i] = 0
    call(pe, costs, 1)
