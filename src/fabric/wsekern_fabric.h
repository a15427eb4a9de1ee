/* The wavelet fabric: a const plan (rules and routes) and one opaque mutable state. No allocation inside a step.
 *
 * Timing. A word offered on the on-ramp at cycle t is in the router at t + ramp_latency; it crosses one link in
 * hop_latency cycles; the core may read it ramp_latency cycles after it reached its last router. End to end:
 * ramp + hops * hop + ramp. A link (ramps included) carries one word per direction and cycle; with link_words = 8 and
 * link_frame = 9 a link that carried a word in each of its last 8 cycles carries none in the next.
 *
 * Order inside cycle t: (1) cores offer words and return credits, (2) every router sends what it can, seeing all queues
 * as they were after (1), (3) words arrive. After the step of cycle t the clock reads t + 1, and the list of deliveries
 * holds the words that cores may read from cycle t + 1 on.
 *
 * Stepping itself (the loop over the wafer grid) is Cython: fabric_step and its phases in wsekern/fabric/_routing.pxd, and
 * for C and C++ in the generated wsekern/include/_routing_api.h (include this header first, then call
 * import_wsekern__fabric___routing()). The functions below may be called between two steps. Calls for PEs of different strips
 * (64 rows each) may come from different threads. Cython has them in wsekern/fabric/wsekern_fabric.pxd. */
#ifndef WSEKERN_FABRIC_H
#define WSEKERN_FABRIC_H

#include <stddef.h>
#include <stdint.h>

enum { WSK_COLORS = 24, WSK_POSITIONS = 4, WSK_MAX_DEPTH = 7, WSK_MAX_LATENCY = 8, WSK_CHAIN = 32 };
enum wsk_port { WSK_NORTH = 0, WSK_EAST = 1, WSK_SOUTH = 2, WSK_WEST = 3, WSK_RAMP = 4 };
enum wsk_command { WSK_NOP = 0, WSK_SWITCH_ADV = 1, WSK_SWITCH_RST = 2, WSK_TEARDOWN = 3 };
enum wsk_pop { WSK_NO_POP = 0, WSK_ALWAYS_POP = 1, WSK_POP_ON_ADVANCE = 2, WSK_POP_ON_ADVANCE_NOP = 3 };
enum wsk_swap { WSK_SWAP_EW = 1, WSK_SWAP_NS = 2 };
enum wsk_sink { WSK_SINK_COUNT = 0, WSK_SINK_LOG = 1, WSK_SINK_CORE = 2 };
enum wsk_flag { WSK_CONTROL = 1, WSK_ADVANCE = 2, WSK_TORN_DOWN = 4 };
enum wsk_filter_kind { WSK_FILTER_RANGE = 1, WSK_FILTER_COUNTER = 2, WSK_FILTER_SPARSE = 3 };

typedef struct {
    int32_t width, height;            /* PEs */
    int32_t hop_latency;              /* cycles, 1..8 */
    int32_t ramp_latency;             /* cycles, 1..8 */
    int32_t buffer_depth;             /* words per router and color, 1..7 */
    int32_t link_words, link_frame;   /* link_words in link_frame cycles: n in n, or n in n + 1 with n <= 15 */
    int32_t multicast_all;            /* 1: all branches of a multicast or none; 0: each branch when it can */
    int32_t open_edges;               /* 1: routes may lead off the wafer, where words are drained */
} wsk_rules;

/* Route of one color in one router. Masks of ports: 1 << enum wsk_port. */
typedef struct {
    uint8_t positions;                /* 1..4 valid switch positions */
    uint8_t initial;                  /* position at reset */
    uint8_t ring;                     /* 1: advancing from the last valid position returns to 0 */
    uint8_t pop;                      /* enum wsk_pop */
    uint8_t swap;                     /* mask of enum wsk_swap: words leaving on these axes change to color ^ 1 */
    uint8_t teardown;                 /* 1: the color starts in teardown */
    uint8_t in[WSK_POSITIONS];        /* mask of input ports per position */
    uint8_t out[WSK_POSITIONS];       /* mask of output ports per position */
} wsk_route;

/* Route `route` of `color` for all PEs of a rectangle; later rectangles replace earlier ones. */
typedef struct { int32_t color, x, y, width, height, route; } wsk_rect;

/* Filter on the way into the core, for `color` at all PEs of a rectangle. range: data words whose index (high 16 bits)
 * is outside [low, high] are rejected. counter: counts data and/or control words, wraps at limit (inclusive), rejects
 * while the count is above high. sparse: as counter, but limit2 replaces limit once, on the first wrap. */
typedef struct {
    int32_t color, x, y, width, height;
    int32_t kind;                     /* enum wsk_filter_kind */
    uint32_t low, high, limit, limit2, start;
    int32_t count_data, count_control;
} wsk_filter;

/* A word that a core (or an open edge, or a teardown handler) may read from this cycle on. */
typedef struct {
    uint32_t pe;                      /* y * width + x */
    uint32_t data;
    uint8_t color, flags, port, unused;   /* flags: enum wsk_flag; port: WSK_RAMP, or the edge */
} wsk_delivery;

/* Why a head word waits: link_full: the next router has no room; closed: its switch does not listen to this port;
 * core: the core takes no word; teardown; link: another color has it; outside: a word before the ramp or edge, whose port this
 * router's switch does not listen to; circles: it does not wait but moves on, in a circle. */
enum wsk_wait { WSK_WAIT_FULL = 1, WSK_WAIT_CLOSED = 2, WSK_WAIT_CORE = 3, WSK_WAIT_TEARDOWN = 4, WSK_WAIT_LINK = 5,
                WSK_WAIT_OUTSIDE = 6, WSK_WAIT_CIRCLES = 7 };
typedef struct { uint32_t pe; uint8_t color, port, reason, unused; } wsk_waiting;

/* What went wrong, where and when. */
typedef struct {
    int32_t status;
    uint32_t pe;
    int32_t color, port, other_port;  /* -1: not known */
    int64_t cycle;
    int32_t chain_length, chain_loops;    /* loops: the last link of the chain waits for one before it */
    wsk_waiting chain[WSK_CHAIN];     /* who waits for whom, first to last; of a longer chain its two ends */
    int32_t chain_skipped, unused;    /* links left out in the middle, after chain[WSK_CHAIN / 2 - 1] */
} wsk_report;

/* Sums over the fabric since reset. hops: link crossings; injected: words accepted; copied: extra copies by multicast;
 * delivered: words that left a router for the core; dropped: by a filter or an ignore bit; edge: words that left the wafer.
 * injected + copied = delivered + dropped + edge + in flight. checksum: sum of the data of delivered words. */
typedef struct {
    uint64_t hops[WSK_COLORS], injected[WSK_COLORS], delivered[WSK_COLORS], dropped[WSK_COLORS], copied[WSK_COLORS];
    uint64_t edge[WSK_COLORS], stalls[WSK_COLORS], checksum[WSK_COLORS];
} wsk_totals;

typedef struct wsk_plan wsk_plan;
typedef struct wsk_fabric wsk_fabric;

/* Plan: checked, flat, read-only, shared by any number of states. */
int wsk_plan_create(wsk_plan **plan, const wsk_rules *rules, const wsk_route *routes, int n_routes,
                    const wsk_rect *rects, int n_rects, const wsk_filter *filters, int n_filters, wsk_report *report);
void wsk_plan_free(wsk_plan *plan);
const wsk_rules *wsk_plan_rules(const wsk_plan *plan);
/* Whether a color has a route anywhere. */
int wsk_plan_configured(const wsk_plan *plan, int color);
/* The route of a color at a PE, NULL if there is none. */
const wsk_route *wsk_plan_route(const wsk_plan *plan, int x, int y, int color);

/* State. sinks[color]: COUNT (counted, summed, never full), LOG (listed as deliveries, never full), CORE (listed, and only
 * while the core has given credit). */
int wsk_fabric_create(wsk_fabric **fabric, const wsk_plan *plan, const uint8_t sinks[WSK_COLORS], int simd_level);
void wsk_fabric_free(wsk_fabric *fabric);
int wsk_fabric_reset(wsk_fabric *fabric);
int wsk_fabric_copy(wsk_fabric *to, const wsk_fabric *from);      /* both of one plan */
size_t wsk_fabric_bytes(const wsk_fabric *fabric);

/* Ramps. offer: 1 accepted in this cycle, 0 refused (no room, ramp busy, or switch closed), negative: unrouted.
 * flags: WSK_CONTROL, WSK_ADVANCE. offer_edge: the same for a word from outside at a router of the edge. */
int wsk_fabric_offer(wsk_fabric *fabric, uint32_t pe, int color, uint32_t data, int flags);
int wsk_fabric_offer_edge(wsk_fabric *fabric, uint32_t pe, int port, int color, uint32_t data, int flags);
/* credit: the core can take `words` more words of this color (at most 255 open at a time); set once to the depth of its
 * queue, then one per word it pops. */
void wsk_fabric_credit(wsk_fabric *fabric, uint32_t pe, int color, int words);
/* Deliveries of the current cycle, strip by strip in the order of rows: for (s = 0; s < strips; s++). */
int wsk_fabric_strips(const wsk_fabric *fabric);
int wsk_fabric_deliveries(const wsk_fabric *fabric, int strip, const wsk_delivery **list);

/* Words in bulk: data[n] wait outside the ramp (port WSK_RAMP) or edge and enter as room allows, one per cycle.
 * flags may be NULL. The words are copied. */
int wsk_fabric_inject(wsk_fabric *fabric, uint32_t pe, int port, int color, const uint32_t *data, const uint8_t *flags,
                      int64_t n);
int64_t wsk_fabric_waiting_outside(const wsk_fabric *fabric);     /* words injected in bulk that have not entered */

/* Run-time changes from a core program; in force from the current cycle on, for words already queued too. */
int wsk_fabric_rewrite(wsk_fabric *fabric, uint32_t pe, int color, const wsk_route *route);
int wsk_fabric_set_position(wsk_fabric *fabric, uint32_t pe, int color, int position);
int wsk_fabric_position(const wsk_fabric *fabric, uint32_t pe, int color);
int wsk_fabric_teardown(wsk_fabric *fabric, uint32_t pe, int color, int frozen);   /* 1 enter, 0 leave */
int wsk_fabric_torn_down(const wsk_fabric *fabric, uint32_t pe, int color);

/* Reading. */
const wsk_plan *wsk_fabric_plan(const wsk_fabric *fabric);
int64_t wsk_fabric_cycle(const wsk_fabric *fabric);
int64_t wsk_fabric_last_move(const wsk_fabric *fabric);           /* last cycle in which a word moved, -1: none */
int64_t wsk_fabric_in_flight(const wsk_fabric *fabric);           /* words in routers, on links and on on-ramps */
/* Next cycle at which anything can happen: the current one while words are in routers, later while words are only on
 * links and ramps, INT64_MAX when the fabric is empty. skip advances the clock, at most to that cycle. */
int64_t wsk_fabric_next_event(const wsk_fabric *fabric);
int wsk_fabric_skip(wsk_fabric *fabric, int64_t cycle);
void wsk_fabric_totals(const wsk_fabric *fabric, wsk_totals *totals);
/* Per router, [height][width]: words that left by a port, cycles that a head word could not leave; color -1: of all colors. */
void wsk_fabric_link_counts(const wsk_fabric *fabric, int port, int color, uint32_t *counts);
void wsk_fabric_stall_counts(const wsk_fabric *fabric, int color, uint32_t *counts);
void wsk_fabric_occupancy(const wsk_fabric *fabric, int color, uint8_t *words);        /* [height][width] */
/* Link crossings of the cycle just stepped, at most `room` of them; returns how many there were. port: where it left. */
int64_t wsk_fabric_moves(const wsk_fabric *fabric, wsk_delivery *list, int64_t room);
/* The report of the last failure; a deadlock's is filled by wsk_fabric_explain. */
const wsk_report *wsk_fabric_report(const wsk_fabric *fabric);
int wsk_fabric_explain(wsk_fabric *fabric);
/* Whether words are on a way that leads back to itself and, as nobody rewrites routes, can never leave it: 0, or
 * WSK_ERR_LIVELOCK with a report whose chain is that way. Switches count unless control words are about. */
int wsk_fabric_find_circle(wsk_fabric *fabric);

#endif
