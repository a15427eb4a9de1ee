# cython: language_level=3
from libc.stdint cimport int64_t, uint32_t

from wsekern.fabric.wsekern_fabric cimport wsk_delivery, wsk_fabric, wsk_plan

# Others cimport State for its `fabric`, and step that by the functions of wsekern_fabric.pxd, which libwsekern has.

cdef struct Log:
    wsk_fabric *fabric
    wsk_delivery *words
    int64_t *cycles
    int64_t length, room

cdef int make_room(Log *log, int64_t n) noexcept nogil

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
    cdef void *running                      # the wsk_running of a run; NULL: none is under way
    cdef object on_delivery, on_room        # what callbacks call
    cdef object error                       # what one of them raised
    cpdef int advance(self, int64_t cycles, int stop=*, int64_t patience=*) except -1
    cdef uint32_t pe_of(self, int x, int y) except? 0xffffffff
    cdef int done(self, int status) except -1
