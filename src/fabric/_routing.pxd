# cython: language_level=3
from libc.stdint cimport int64_t, uint32_t

from wsekern.fabric.run cimport Log
from wsekern.fabric.running cimport wsk_running
from wsekern.fabric.wsekern_fabric cimport wsk_delivery, wsk_fabric, wsk_plan, wsk_report, wsk_route

# Stepping and ramps as C functions of this module (cimport, or _routing_api.h from C); none takes the GIL, and
# none allocates but fabric_rewrite, which may grow a list. C includes wsekern_fabric.h first.
cdef api int fabric_step(wsk_fabric *fabric) noexcept nogil
# The phases of a step for strips first to last - 1, for a caller with threads of its own: all strips end a phase before any
# begins the next one; then the clock ticks once.
cdef api int fabric_feed(wsk_fabric *fabric, int first, int last) noexcept nogil
cdef api int fabric_depart(wsk_fabric *fabric, int first, int last) noexcept nogil
cdef api int fabric_arrive(wsk_fabric *fabric, int first, int last) noexcept nogil
cdef api void fabric_tick(wsk_fabric *fabric) noexcept nogil
cdef api int fabric_offer(wsk_fabric *fabric, uint32_t pe, int color, uint32_t data, int flags) noexcept nogil
cdef api int fabric_offer_edge(wsk_fabric *fabric, uint32_t pe, int port, int color, uint32_t data,
                               int flags) noexcept nogil
cdef api void fabric_credit(wsk_fabric *fabric, uint32_t pe, int color, int words) noexcept nogil
cdef api int fabric_strips(const wsk_fabric *fabric) noexcept nogil
cdef api int fabric_deliveries(const wsk_fabric *fabric, int strip, const wsk_delivery **words) noexcept nogil
cdef api int fabric_rewrite(wsk_fabric *fabric, uint32_t pe, int color, const wsk_route *route) noexcept nogil
cdef api int fabric_set_position(wsk_fabric *fabric, uint32_t pe, int color, int position) noexcept nogil
cdef api int fabric_teardown(wsk_fabric *fabric, uint32_t pe, int color, int frozen) noexcept nogil
cdef api int64_t fabric_cycle(const wsk_fabric *fabric) noexcept nogil
cdef api int64_t fabric_last_move(const wsk_fabric *fabric) noexcept nogil
cdef api int64_t fabric_in_flight(const wsk_fabric *fabric) noexcept nogil
cdef api int64_t fabric_next_event(const wsk_fabric *fabric) noexcept nogil
cdef api int fabric_skip(wsk_fabric *fabric, int64_t cycle) noexcept nogil
cdef api const wsk_report *fabric_report(const wsk_fabric *fabric) noexcept nogil
cdef api int fabric_explain(wsk_fabric *fabric) noexcept nogil

cdef class Plan:
    cdef wsk_plan *plan
    cdef readonly object description
    cdef compile(self, rules, routes, rects, filters)

cdef class State:
    cdef wsk_fabric *fabric
    cdef readonly Plan plan
    cdef readonly object sinks
    cdef public int threads
    cdef Log words
    cdef wsk_running *running               # NULL: none is under way
    cdef object on_delivery, on_room        # what callbacks call
    cdef object error                       # what one of them raised
    cpdef int advance(self, int64_t cycles, int stop=*, int64_t patience=*) except -1
    cdef uint32_t pe_of(self, int x, int y) except? 0xffffffff
    cdef int done(self, int status) except -1
