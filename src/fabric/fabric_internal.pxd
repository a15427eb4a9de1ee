# cython: language_level=3
# fabric_internal.h for Cython: the parts of a state, and the phases of a cycle, that the loops over the grid touch.
from libc.stdint cimport int64_t, uint64_t

from wsekern.fabric.wsekern_fabric cimport wsk_fabric

cdef extern from "fabric_internal.h" nogil:
    enum: STRIP_ROWS        # rows that one thread steps at a time
    enum: AWAKE
    ctypedef struct wsk_strip:
        uint64_t rows_active
        int64_t stored, last_out, last_move, waiting, awake_until
    ctypedef struct wsk_fabric_inside "wsk_fabric":
        int64_t cycle
        int height, strips, failed, lone
        wsk_strip *strip
        uint64_t *row_active
    int wsk_ctz(uint64_t m)

    int wsk_has_lone(const wsk_fabric *f, const wsk_strip *s)
    int wsk_feed_strip(wsk_fabric *f, wsk_strip *s)
    void wsk_depart_lone(wsk_fabric *f, wsk_strip *s)
    int wsk_arrive_lone(wsk_fabric *f, wsk_strip *s)
    int wsk_depart_row(wsk_fabric *f, wsk_strip *s, int y)
    int wsk_arrive_row(wsk_fabric *f, wsk_strip *s, int y)
    int wsk_arrive_pending(wsk_fabric *f, wsk_strip *s)
    void wsk_turn_landed(wsk_fabric *f, wsk_strip *s)
    uint64_t wsk_inner_arrivals(const wsk_fabric *f, int i)
    uint64_t wsk_outer_arrivals(const wsk_fabric *f, int i)
    void wsk_open_cycle(wsk_fabric *f, wsk_strip *s)
    void wsk_forget_reports(wsk_fabric *f)
