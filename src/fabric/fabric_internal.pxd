# cython: language_level=3
# fabric_internal.h for Cython: the parts of a state, and the phases of a cycle, that the loops over the grid touch.
from libc.stdint cimport int64_t, uint32_t, uint64_t

from wsekern.fabric.wsekern_fabric cimport wsk_fabric

cdef extern from "fabric_internal.h" nogil:
    enum: STRIP_ROWS        # rows that one thread steps at a time
    ctypedef struct wsk_strip
    ctypedef struct wsk_fabric_inside "wsk_fabric":
        int64_t cycle
        int height, strips, failed
        wsk_strip *strip
    int wsk_ctz(uint64_t m)
    int wsk_words_at(const wsk_fabric *f, uint32_t pe, int color)

    int wsk_feed_strip(wsk_fabric *f, wsk_strip *s)
    int wsk_depart_strip(wsk_fabric *f, int i)
    int wsk_arrive_strip(wsk_fabric *f, int i)
    int wsk_feed_strips(wsk_fabric *f, int first, int last)
    int wsk_depart_strips(wsk_fabric *f, int first, int last)
    int wsk_arrive_strips(wsk_fabric *f, int first, int last)
    void wsk_tick(wsk_fabric *f, int status)
