# cython: language_level=3
# wsekern_fabric.h for Cython: every function, record and constant of the fabric's C interface, declared once.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "wsekern_fabric.h" nogil:
    enum: WSK_COLORS, WSK_POSITIONS, WSK_MAX_DEPTH, WSK_MAX_LATENCY, WSK_CHAIN
    enum: WSK_NORTH, WSK_EAST, WSK_SOUTH, WSK_WEST, WSK_RAMP
    enum: WSK_SINK_COUNT, WSK_SINK_LOG, WSK_SINK_CORE
    enum: WSK_CONTROL, WSK_ADVANCE, WSK_TORN_DOWN
    enum: WSK_FILTER_RANGE, WSK_FILTER_COUNTER, WSK_FILTER_SPARSE
    enum: WSK_WAIT_FULL, WSK_WAIT_CLOSED, WSK_WAIT_CORE, WSK_WAIT_TEARDOWN, WSK_WAIT_LINK, WSK_WAIT_OUTSIDE, WSK_WAIT_CIRCLES

    ctypedef struct wsk_plan
    ctypedef struct wsk_fabric
    ctypedef struct wsk_rules:
        int32_t width, height, hop_latency, ramp_latency, buffer_depth, link_words, link_frame, multicast_all, open_edges
    ctypedef struct wsk_route:
        uint8_t positions, initial, ring, pop, swap, teardown
        uint8_t *in_ "in"
        uint8_t *out
    ctypedef struct wsk_rect:
        int32_t color, x, y, width, height, route
    ctypedef struct wsk_filter:
        int32_t color, x, y, width, height, kind
        uint32_t low, high, limit, limit2, start
        int32_t count_data, count_control
    ctypedef struct wsk_delivery:
        uint32_t pe, data
        uint8_t color, flags, port, unused
    ctypedef struct wsk_waiting:
        uint32_t pe
        uint8_t color, port, reason, unused
    ctypedef struct wsk_report:
        int32_t status
        uint32_t pe
        int32_t color, port, other_port
        int64_t cycle
        int32_t chain_length, chain_loops
        wsk_waiting *chain
        int32_t chain_skipped
    enum: WSK_STOP_TIME, WSK_STOP_DELIVERY, WSK_STOP_IDLE, WSK_STOP_HOST, WSK_STOP_DEADLOCK
    enum: WSK_SIMD_AUTO, WSK_PUSH_DEPTH
    const int64_t WSK_LAST_CYCLE
    ctypedef struct wsk_run:
        uint32_t size, stop
        int64_t until, patience
        int32_t threads
    ctypedef void (*wsk_on_delivery)(void *context, wsk_fabric *fabric, const wsk_delivery *word) noexcept nogil
    ctypedef void (*wsk_on_room)(void *context, wsk_fabric *fabric, uint32_t pe, int color) noexcept nogil
    ctypedef struct wsk_totals:
        uint64_t *hops
        uint64_t *injected
        uint64_t *delivered
        uint64_t *dropped
        uint64_t *copied
        uint64_t *edge
        uint64_t *stalls
        uint64_t *checksum

    int wsk_plan_create(wsk_plan **plan, const wsk_rules *rules, const wsk_route *routes, int n_routes,
                        const wsk_rect *rects, int n_rects, const wsk_filter *filters, int n_filters, wsk_report *report)
    void wsk_plan_free(wsk_plan *plan)
    const wsk_rules *wsk_plan_rules(const wsk_plan *plan)
    int wsk_plan_configured(const wsk_plan *plan, int color)
    const wsk_route *wsk_plan_route(const wsk_plan *plan, int x, int y, int color)
    int wsk_plan_save(const wsk_plan *plan, void *bytes, size_t room, size_t *needed)
    int wsk_plan_open(wsk_plan **plan, const void *bytes, size_t n)

    int wsk_fabric_create(wsk_fabric **fabric, const wsk_plan *plan, const uint8_t *sinks, int simd_level)
    int wsk_fabric_free(wsk_fabric *fabric)
    int wsk_fabric_reset(wsk_fabric *fabric)
    int wsk_fabric_copy(wsk_fabric *to, const wsk_fabric *source)
    size_t wsk_fabric_bytes(const wsk_fabric *fabric)
    const wsk_plan *wsk_fabric_plan(const wsk_fabric *fabric)
    int wsk_fabric_sink(const wsk_fabric *fabric, int color)
    int wsk_fabric_save(wsk_fabric *fabric, void *bytes, size_t room, size_t *needed)
    int wsk_fabric_load(wsk_fabric *fabric, const void *bytes, size_t n)
    int wsk_fabric_open(wsk_fabric **fabric, const void *bytes, size_t n, int simd_level)

    int wsk_fabric_step(wsk_fabric *fabric)
    int wsk_fabric_run(wsk_fabric *fabric, const wsk_run *options, uint32_t *why)
    int64_t wsk_fabric_next_event(const wsk_fabric *fabric)
    int wsk_fabric_skip(wsk_fabric *fabric, int64_t cycle)

    int wsk_fabric_offer(wsk_fabric *fabric, uint32_t pe, int color, uint32_t data, int flags)
    int wsk_fabric_offer_edge(wsk_fabric *fabric, uint32_t pe, int port, int color, uint32_t data, int flags)
    int wsk_fabric_credit(wsk_fabric *fabric, uint32_t pe, int color, int words)
    int wsk_fabric_strips(const wsk_fabric *fabric)
    int wsk_fabric_deliveries(const wsk_fabric *fabric, int strip, const wsk_delivery **words)

    int wsk_fabric_inject(wsk_fabric *fabric, uint32_t pe, int port, int color, const uint32_t *data,
                          const uint8_t *flags, int64_t n)
    int64_t wsk_fabric_waiting_outside(const wsk_fabric *fabric)
    int wsk_fabric_push(wsk_fabric *fabric, uint32_t pe, int color, uint32_t data, int flags)
    int wsk_fabric_room(const wsk_fabric *fabric, uint32_t pe, int color)
    int wsk_fabric_listen(wsk_fabric *fabric, uint32_t pe, int color, int depth)
    int wsk_fabric_top(const wsk_fabric *fabric, uint32_t pe, int color, wsk_delivery *word)
    int wsk_fabric_pop(wsk_fabric *fabric, uint32_t pe, int color, wsk_delivery *word)
    int wsk_fabric_on_delivery(wsk_fabric *fabric, wsk_on_delivery call, void *context)
    int wsk_fabric_on_room(wsk_fabric *fabric, wsk_on_room call, void *context)

    int wsk_fabric_rewrite(wsk_fabric *fabric, uint32_t pe, int color, const wsk_route *route)
    int wsk_fabric_set_position(wsk_fabric *fabric, uint32_t pe, int color, int position)
    int wsk_fabric_position(const wsk_fabric *fabric, uint32_t pe, int color)
    int wsk_fabric_teardown(wsk_fabric *fabric, uint32_t pe, int color, int frozen)
    int wsk_fabric_torn_down(const wsk_fabric *fabric, uint32_t pe, int color)

    int64_t wsk_fabric_cycle(const wsk_fabric *fabric)
    int64_t wsk_fabric_last_move(const wsk_fabric *fabric)
    int64_t wsk_fabric_in_flight(const wsk_fabric *fabric)
    int wsk_fabric_totals(const wsk_fabric *fabric, wsk_totals *totals)
    int wsk_fabric_link_counts(const wsk_fabric *fabric, int port, int color, uint32_t *counts)
    int wsk_fabric_stall_counts(const wsk_fabric *fabric, int color, uint32_t *counts)
    int wsk_fabric_occupancy(const wsk_fabric *fabric, int color, uint8_t *words)
    int64_t wsk_fabric_moves(const wsk_fabric *fabric, wsk_delivery *words, int64_t room)
    const wsk_report *wsk_fabric_report(const wsk_fabric *fabric)
    int wsk_fabric_explain(wsk_fabric *fabric)
    int wsk_fabric_find_circle(wsk_fabric *fabric)
    int wsk_report_text(const wsk_report *report, int width, char *text, size_t room)
    const char *wsk_port_name(int port)
    const char *wsk_wait_text(int reason)
    int64_t wsk_clock_to_wafer(uint32_t wafer, uint32_t host, int64_t host_cycle)
    int64_t wsk_clock_to_host(uint32_t wafer, uint32_t host, int64_t wafer_cycle)
