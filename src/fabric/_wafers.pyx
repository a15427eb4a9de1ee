# cython: language_level=3
"""Ways between PEs painted with free colors, and links between the edges of two fabrics."""
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcpy

import numpy as np

from wsekern.fabric._routing import RECT, ROUTE
from wsekern.fabric._routing cimport Plan, State
from wsekern.fabric.wsekern_connect cimport (
    wsk_area, wsk_connect, wsk_connection, wsk_connection_text, wsk_link, wsk_link_create, wsk_link_deliver,
    wsk_link_free, wsk_link_give, wsk_link_next, wsk_link_put, wsk_link_reset, wsk_link_rules, wsk_link_take,
    wsk_link_waiting, wsk_link_word, wsk_ways, wsk_ways_create, wsk_ways_free, wsk_ways_rects, wsk_ways_routes)
from wsekern.fabric.wsekern_fabric cimport (
    WSK_CONTROL, WSK_NORTH, WSK_SOUTH, wsk_delivery, wsk_fabric_cycle, wsk_plan_rules, wsk_rect, wsk_route)
from wsekern.wsekern_status cimport WSK_ERR_NO_WAY

LINK_WORD = np.dtype([("due", "<i8"), ("data", "<u4"), ("lane", "<u2"), ("color", "u1"), ("flags", "u1")])
"""A word on a link: the cycle from which on it waits at the far edge, its bits, its lane, color and flags (1: control)."""
assert sizeof(wsk_link_word) == LINK_WORD.itemsize


cdef int check(int status) except? -1:
    from wsekern.errors import raise_for_status

    return raise_for_status(status)


cdef object records(const void *first, int64_t n, kind):
    """A copy of C records as an array."""
    held = PyByteArray_FromStringAndSize(NULL, n * kind.itemsize)
    if n:
        memcpy(PyByteArray_AS_STRING(held), first, n * kind.itemsize)
    return np.frombuffer(held, kind)


cdef str sentence_of(const wsk_connection *found):
    cdef int n = wsk_connection_text(found, NULL, 0)
    text = bytearray(n + 1)
    wsk_connection_text(found, text, n + 1)
    return text[:n].decode()


cdef class Ways:
    """Which colors of a plan under construction are free where, and the ways that were painted: see ``wsekern_connect.h``."""
    cdef wsk_ways *ways

    def __cinit__(self, Plan plan not None):
        check(wsk_ways_create(&self.ways, plan.plan))

    def __dealloc__(self):
        wsk_ways_free(self.ways)

    def connect(self, uint32_t colors, source, targets):
        """Ways from each PE of a rectangle (x, y, width, height) to rectangles, with colors of a mask. Returns (color of each
        source (height, width) uint8, links in all, the longest way, ``ROUTE`` records, ``RECT`` records that count these)."""
        cdef wsk_area start
        cdef wsk_connection found
        cdef const wsk_route *routes
        cdef const wsk_rect *rects
        cdef int before = check(wsk_ways_rects(self.ways, &rects)), n, n_routes, status
        cdef int32_t[:, ::1] to = np.array(targets, np.int32).reshape(-1, 4)
        start.x, start.y, start.width, start.height = source
        taken = np.zeros((max(start.height, 1), max(start.width, 1)), np.uint8)
        cdef uint8_t[:, ::1] color_of = taken
        found.size = sizeof(found)
        status = wsk_connect(self.ways, colors, &start, <const wsk_area *>&to[0, 0] if to.shape[0] else NULL, <int>to.shape[0],
                             &color_of[0, 0], &found)
        if status == WSK_ERR_NO_WAY:
            from wsekern.errors import raise_for_status

            raise_for_status(status, sentence_of(&found))
        check(status)
        n = check(wsk_ways_rects(self.ways, &rects))
        n_routes = check(wsk_ways_routes(self.ways, &routes))
        return taken, found.links, found.longest, records(routes, n_routes, ROUTE), records(rects + before, n - before, RECT)


cdef class Lanes:
    """Words that cross from one edge to another: see ``wsk_link`` in ``wsekern_connect.h``."""
    cdef wsk_link *link
    cdef wsk_link_rules rules
    cdef int64_t collected            # words that left up to this cycle were taken over

    def __cinit__(self, int leaves, int first, int enters, int enters_first, int lanes, int latency, int words, int frame):
        self.rules = wsk_link_rules(sizeof(wsk_link_rules), leaves, first, enters, enters_first, lanes, latency, words, frame)
        self.collected = -1
        check(wsk_link_create(&self.link, &self.rules))

    def __dealloc__(self):
        wsk_link_free(self.link)

    def collect(self, State state not None) -> int:
        """Take over words of a log that left by the lanes since the last call; how many there were."""
        cdef int64_t i = state.words.length, found = 0
        cdef uint32_t width = <uint32_t>wsk_plan_rules(state.plan.plan).width
        cdef const wsk_delivery *word
        cdef int lane
        while i > 0 and state.words.cycles[i - 1] > self.collected:
            i -= 1
        for i in range(i, state.words.length):
            word = state.words.words + i
            lane = <int>(word.pe % width if word.port == WSK_NORTH or word.port == WSK_SOUTH else word.pe // width)
            lane -= self.rules.from_first
            if word.port == self.rules.from_port and 0 <= lane < self.rules.lanes:
                check(wsk_link_put(self.link, state.words.cycles[i], lane, word.color, word.data, word.flags & WSK_CONTROL))
                found += 1
        self.collected = wsk_fabric_cycle(state.fabric)
        return found

    def put(self, int64_t cycle, int lane, int color, uint32_t data, int flags=0) -> None:
        """Take over one word that left by a lane at a cycle."""
        check(wsk_link_put(self.link, cycle, lane, color, data, flags))

    def deliver(self, State state not None) -> int:
        """Let the words that are due by now wait at the edge; how many there were."""
        return state.done(wsk_link_deliver(self.link, state.fabric))

    def take(self):
        """All words that are on the link, which is empty then: ``LINK_WORD`` records in order."""
        words = np.empty(wsk_link_waiting(self.link), LINK_WORD)
        cdef uint8_t[::1] out = words.view(np.uint8)
        if len(words):
            check(wsk_link_take(self.link, <wsk_link_word *>&out[0], <int>len(words)))
        return words

    def give(self, words) -> None:
        """Put ``LINK_WORD`` records that another process took behind those that are here."""
        cdef const uint8_t[::1] data = np.ascontiguousarray(words, LINK_WORD).reshape(-1).view(np.uint8)
        if data.shape[0]:
            check(wsk_link_give(self.link, <const wsk_link_word *>&data[0], <int>(data.shape[0] // sizeof(wsk_link_word))))

    def reset(self) -> None:
        """No words."""
        self.collected = -1
        check(wsk_link_reset(self.link))

    @property
    def next(self):
        """When the first word is due; None: there is none."""
        cdef int64_t due = wsk_link_next(self.link)
        return None if due == INT64_MAX else due

    @property
    def waiting(self) -> int:
        """Words on the link."""
        return wsk_link_waiting(self.link)
