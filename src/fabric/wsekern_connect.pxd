# cython: language_level=3
# wsekern_connect.h for Cython.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t

from wsekern.fabric.wsekern_fabric cimport wsk_fabric, wsk_plan, wsk_rect, wsk_route

cdef extern from "wsekern_connect.h" nogil:
    ctypedef struct wsk_area:
        int32_t x, y, width, height
    ctypedef struct wsk_connection:
        uint32_t size, colors
        int32_t links, longest, x, y, to_x, to_y
        uint32_t tried, at_source, at_destination
        int32_t sources
    ctypedef struct wsk_ways
    ctypedef struct wsk_link_rules:
        uint32_t size
        int32_t from_port, from_first, to_port, to_first, lanes, latency, words, frame
    ctypedef struct wsk_link_word:
        int64_t due
        uint32_t data
        uint16_t lane
        uint8_t color, flags
    ctypedef struct wsk_link
    ctypedef struct wsk_joint:
        wsk_link *link
        int32_t source "from"
        int32_t to

    int wsk_ways_create(wsk_ways **ways, const wsk_plan *plan)
    void wsk_ways_free(wsk_ways *ways)
    int wsk_connect(wsk_ways *ways, uint32_t colors, const wsk_area *source, const wsk_area *to, int n_to, uint8_t *color_of,
                    wsk_connection *found)
    int wsk_ways_routes(const wsk_ways *ways, const wsk_route **routes)
    int wsk_ways_rects(const wsk_ways *ways, const wsk_rect **rects)
    int wsk_connection_text(const wsk_connection *found, char *text, size_t room)

    int wsk_link_create(wsk_link **link, const wsk_link_rules *rules)
    void wsk_link_free(wsk_link *link)
    int wsk_link_collect(wsk_link *link, const wsk_fabric *source)
    int wsk_link_put(wsk_link *link, int64_t cycle, int lane, int color, uint32_t data, int flags)
    int wsk_link_deliver(wsk_link *link, wsk_fabric *to)
    int wsk_link_take(wsk_link *link, wsk_link_word *words, int room)
    int wsk_link_give(wsk_link *link, const wsk_link_word *words, int n)
    int64_t wsk_link_next(const wsk_link *link)
    int64_t wsk_link_waiting(const wsk_link *link)
    int wsk_link_reset(wsk_link *link)
    int wsk_link_run(wsk_fabric **fabrics, int n_fabrics, const wsk_joint *joints, int n_joints, int64_t until, int idle)
