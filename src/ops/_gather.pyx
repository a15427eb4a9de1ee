# cython: language_level=3
"""Clocks of gathers along lines of PEs, of which no schedule is written. A line is an array (PEs, causes), as in _timing."""
from libc.stdint cimport int64_t

from wsekern.ops.feeds cimport CAUSES, COMPUTE, OVERHEAD, Costs, Message, call, on_link, queued, receive, send


cdef class GatherCosts:
    """Whole-cycle constants of an all-gather of ``words`` words of every PE."""
    cdef Costs costs
    cdef int64_t setup, work, setup_stream, pace, words, depth, output

    def __init__(self, *, call, setup, work, setup_stream, pace, words, depth, output, stage, hop, link, down, takes, buffer):
        cdef Costs *c = &self.costs
        self.setup, self.work, self.setup_stream, self.pace, self.words = setup, work, setup_stream, pace, words
        self.depth, self.output = depth, output
        c.call, c.stage, c.hop = call, stage, hop
        c.link_words, c.link_frame = link
        c.setup_send = c.setup_add = setup_stream
        c.step_send = c.step_add = pace
        c.output, c.sends, c.buffer, c.down = output, depth, buffer, down
        c.depth[0] = c.shallow = takes
        c.flags, c.tail, c.noted = NULL, NULL, NULL


cdef void hand_on(int64_t *pe, GatherCosts gather, Costs *costs, Message message, int64_t hops, int64_t words,
                  Message *out) noexcept nogil:
    # A PE takes so many words of a message, and sends each on where out is given.
    receive(pe, costs, message, hops, costs.setup_add, (words - 1) * gather.pace, on_link(costs, gather.pace, words - 1), words,
            gather.pace, 0, out)


cdef void allgather_segment(int64_t *line, GatherCosts gather, Costs *costs, Py_ssize_t length) noexcept nogil:
    # Each PE sends its own tile, then hands on what comes from beyond; the first one sends all to all.
    cdef Message arriving, own, rest
    cdef Py_ssize_t k
    cdef int64_t beyond = 0
    line[<int>OVERHEAD] += gather.setup
    line[<int>COMPUTE] += gather.work
    if length < 2:
        return
    for k in range(length - 1, 0, -1):
        send(line + k * CAUSES, costs, queued(costs, gather.words, gather.pace, gather.depth, gather.output), &own)
        if beyond:
            hand_on(line + k * CAUSES, gather, costs, arriving, 1, beyond, &rest)
            own.last = rest.last
        arriving = own
        beyond += gather.words
    hand_on(line, gather, costs, arriving, 1, beyond, NULL)
    beyond += gather.words
    send(line, costs, queued(costs, beyond, gather.pace, gather.depth, gather.output), &arriving)
    for k in range(1, length):
        hand_on(line + k * CAUSES, gather, costs, arriving, k, beyond, NULL)


def allgather_line(int64_t[:, ::1] line, Py_ssize_t segment, GatherCosts costs) -> None:
    """The tiles of all PEs of every segment of the line at each of them: a chain to the first, then one multicast."""
    cdef Py_ssize_t k, begin, count = line.shape[0]
    cdef Costs c = costs.costs
    with nogil:
        call(&line[0, 0], &c, count)
        for k in range((count + segment - 1) // segment):
            begin = k * segment
            allgather_segment(&line[begin, 0], costs, &c, min(segment, count - begin))
