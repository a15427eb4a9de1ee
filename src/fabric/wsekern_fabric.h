/* The wavelet fabric: a const plan (rules and routes) and one opaque mutable state.
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
 * Arguments. Every function checks its handles for NULL and its numbers for their ranges, and answers WSK_ERR_BAD_ARGUMENT
 * (wsekern_status.h) or what its comment says; a handle that was freed is beyond any check. No step allocates, but where the
 * host listens to cores without credit, whose words pile up until it pops them.
 *
 * Threads. Two fabrics, of one plan or of two, may be used in two threads at once; one fabric by one thread at a time, but for
 * offer, offer_edge, credit, inject, push, room, top and pop, which may come from several threads if these serve PEs of
 * different strips (64 rows each). A plan is only read.
 *
 * Who owns what. The host frees plans and fabrics that it created; a plan must outlive its fabrics, but that of
 * wsk_fabric_open, which goes with its fabric. Pointers that a function answers (routes, rules, reports, deliveries) hold
 * until the next call that steps or changes that fabric. What is passed in is copied. */
#ifndef WSEKERN_FABRIC_H
#define WSEKERN_FABRIC_H

#include <stddef.h>
#include <stdint.h>

#include "wsekern_status.h"

enum { WSK_COLORS = 24, WSK_POSITIONS = 4, WSK_MAX_DEPTH = 7, WSK_MAX_LATENCY = 8, WSK_CHAIN = 32 };
enum wsk_port { WSK_NORTH = 0, WSK_EAST = 1, WSK_SOUTH = 2, WSK_WEST = 3, WSK_RAMP = 4 };
enum wsk_command { WSK_NOP = 0, WSK_SWITCH_ADV = 1, WSK_SWITCH_RST = 2, WSK_TEARDOWN = 3 };
enum wsk_pop { WSK_NO_POP = 0, WSK_ALWAYS_POP = 1, WSK_POP_ON_ADVANCE = 2, WSK_POP_ON_ADVANCE_NOP = 3 };
enum wsk_swap { WSK_SWAP_EW = 1, WSK_SWAP_NS = 2 };
enum wsk_sink { WSK_SINK_COUNT = 0, WSK_SINK_LOG = 1, WSK_SINK_CORE = 2 };
enum wsk_flag { WSK_CONTROL = 1, WSK_ADVANCE = 2, WSK_TORN_DOWN = 4 };
#define WSK_LAST_CYCLE ((int64_t)1 << 62)     /* the clock stops here */
enum { WSK_SIMD_AUTO = -1 };          /* the highest level of the CPU; others as in wsekern_simd.h */
enum { WSK_PUSH_DEPTH = 8 };          /* words of one PE and color that wait outside its on-ramp before push refuses more */
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
    uint8_t swap;                     /* mask of enum wsk_swap: words that come in on these axes change to color ^ 1 */
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

/* Why a run stopped, and as a mask what else than the time shall stop it. DELIVERY: since the run began a word has become
 * readable (sinks LOG and CORE, edges). IDLE: no word is left, all are delivered and readable. HOST: the word at the head of
 * some router waits for credit of its core (sink CORE). DEADLOCK: nothing has moved for `patience` cycles, or nothing but the
 * host can ever move a word. */
enum wsk_stop { WSK_STOP_TIME = 1, WSK_STOP_DELIVERY = 2, WSK_STOP_IDLE = 4, WSK_STOP_HOST = 8, WSK_STOP_DEADLOCK = 16 };

/* How to run. Begins with its own size, so that it may grow: set size to sizeof(wsk_run) and all else that is not used to 0. */
typedef struct {
    uint32_t size;
    uint32_t stop;                    /* mask of enum wsk_stop; WSK_STOP_TIME is always meant */
    int64_t until;                    /* the clock at which to stop at the latest: not before the present cycle */
    int64_t patience;                 /* for WSK_STOP_DEADLOCK; 0: as soon as nothing but the host can move a word */
    int32_t threads;                  /* 0 or 1: the caller's alone; up to 64; the results are the same */
    int32_t unused;
} wsk_run;

typedef struct wsk_plan wsk_plan;
typedef struct wsk_fabric wsk_fabric;

/* What the host is told: between two cycles, on the thread that steps or runs, in order of strips. It may offer, push, pop,
 * give credit, read and listen; whatever steps, loads, copies, resets or frees this fabric answers WSK_ERR_BUSY. */
typedef void (*wsk_on_delivery)(void *context, wsk_fabric *fabric, const wsk_delivery *word);
typedef void (*wsk_on_room)(void *context, wsk_fabric *fabric, uint32_t pe, int color);

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Plan: checked, flat, read-only, shared by any number of states ---- */

/* report may be NULL; where a route leads off the wafer it says where. */
WSK_API int wsk_plan_create(wsk_plan **plan, const wsk_rules *rules, const wsk_route *routes, int n_routes,
                            const wsk_rect *rects, int n_rects, const wsk_filter *filters, int n_filters, wsk_report *report);
WSK_API void wsk_plan_free(wsk_plan *plan);       /* NULL: nothing */
WSK_API const wsk_rules *wsk_plan_rules(const wsk_plan *plan);
/* Whether a color has a route anywhere. */
WSK_API int wsk_plan_configured(const wsk_plan *plan, int color);
/* The route of a color at a PE, NULL if there is none. */
WSK_API const wsk_route *wsk_plan_route(const wsk_plan *plan, int x, int y, int color);
/* A plan as bytes, in the way of wsk_fabric_save. */
WSK_API int wsk_plan_save(const wsk_plan *plan, void *bytes, size_t room, size_t *needed);
WSK_API int wsk_plan_open(wsk_plan **plan, const void *bytes, size_t n);

/* ---- State ---- */

/* sinks[color]: COUNT (counted, summed, never full), LOG (listed as deliveries, never full), CORE (listed, and only while the
 * core has given credit). */
WSK_API int wsk_fabric_create(wsk_fabric **fabric, const wsk_plan *plan, const uint8_t sinks[WSK_COLORS], int simd_level);
WSK_API int wsk_fabric_free(wsk_fabric *fabric);  /* NULL: nothing */
WSK_API int wsk_fabric_reset(wsk_fabric *fabric); /* what the host listens to stays, empty; callbacks stay */
/* All of a state of the same plan and sinks; callbacks stay. Without memory for it `to` is reset. */
WSK_API int wsk_fabric_copy(wsk_fabric *to, const wsk_fabric *from);
WSK_API size_t wsk_fabric_bytes(const wsk_fabric *fabric);                /* of memory */
WSK_API const wsk_plan *wsk_fabric_plan(const wsk_fabric *fabric);
WSK_API int wsk_fabric_sink(const wsk_fabric *fabric, int color);         /* enum wsk_sink, of a color with a route */

/* All of a state as bytes: words, switches, rewritten routes, counts, clock, what the host listens to and has not popped; not
 * its callbacks. The bytes are the same on every machine. *needed says how many there are; with bytes NULL nothing else is
 * done; WSK_ERR_NO_ROOM if room is less. A fabric that failed answers its status. */
WSK_API int wsk_fabric_save(wsk_fabric *fabric, void *bytes, size_t room, size_t *needed);
/* Into a fabric of the same plan and sinks, whichever thread or machine saved it. On any error the fabric is as it was.
 * WSK_ERR_BAD_BYTES: cut, altered, or of another ABI; WSK_ERR_OTHER_PLAN. */
WSK_API int wsk_fabric_load(wsk_fabric *fabric, const void *bytes, size_t n);
/* A new fabric, with a plan of its own, from nothing but the bytes. */
WSK_API int wsk_fabric_open(wsk_fabric **fabric, const void *bytes, size_t n, int simd_level);

/* ---- Stepping ---- */

/* One cycle on the calling thread. Returns 0 or a negative status (again, until a reset or load); wsk_fabric_report says
 * more. */
WSK_API int wsk_fabric_step(wsk_fabric *fabric);
/* Many cycles. Returns 0, and in *why (unless NULL) the reasons that hold at the cycle at which it stopped; or the status of a
 * broken rule. Reasons are looked at before the first cycle too. At a deadlock wsk_fabric_report says who waits for whom. */
WSK_API int wsk_fabric_run(wsk_fabric *fabric, const wsk_run *options, uint32_t *why);
/* The first cycle whose step can do anything, or at which a word becomes readable, as long as the host does nothing: the
 * present one while words move, a later one while all that is left is on links and ramps, INT64_MAX where nothing but the host
 * can move anything (so also where words are blocked for good). Just after a change the present cycle is answered once more. */
WSK_API int64_t wsk_fabric_next_event(const wsk_fabric *fabric);
/* Advance the clock to a cycle, at most to the next event: the same as that many steps. */
WSK_API int wsk_fabric_skip(wsk_fabric *fabric, int64_t cycle);

/* ---- Ramps and edges, cycle by cycle ---- */

/* 1 accepted in this cycle, 0 refused (no room, ramp busy, or switch closed), negative: unrouted. flags: WSK_CONTROL,
 * WSK_ADVANCE. offer_edge: the same for a word from outside at a router of the edge. */
WSK_API int wsk_fabric_offer(wsk_fabric *fabric, uint32_t pe, int color, uint32_t data, int flags);
WSK_API int wsk_fabric_offer_edge(wsk_fabric *fabric, uint32_t pe, int port, int color, uint32_t data, int flags);
/* The core can take `words` more words of this color (at most 255 open at a time): set once to the depth of its queue, then one
 * per word that it pops. Only for sinks of kind CORE. */
WSK_API int wsk_fabric_credit(wsk_fabric *fabric, uint32_t pe, int color, int words);
/* Deliveries of the current cycle, strip by strip in the order of rows: for (s = 0; s < strips; s++). How many, in *list. */
WSK_API int wsk_fabric_strips(const wsk_fabric *fabric);
WSK_API int wsk_fabric_deliveries(const wsk_fabric *fabric, int strip, const wsk_delivery **list);

/* ---- Queues per PE and color ---- */

/* Words in bulk: data[n] wait outside the ramp (port WSK_RAMP) or edge and enter as room allows, one per cycle.
 * flags may be NULL. */
WSK_API int wsk_fabric_inject(wsk_fabric *fabric, uint32_t pe, int port, int color, const uint32_t *data, const uint8_t *flags,
                              int64_t n);
WSK_API int64_t wsk_fabric_waiting_outside(const wsk_fabric *fabric);     /* words that have not entered yet */
/* One word to wait outside the on-ramp: 1 taken, 0 where WSK_PUSH_DEPTH words of this PE and color wait already. */
WSK_API int wsk_fabric_push(wsk_fabric *fabric, uint32_t pe, int color, uint32_t data, int flags);
/* Words that push takes now. */
WSK_API int wsk_fabric_room(const wsk_fabric *fabric, uint32_t pe, int color);
/* Keep the words that are delivered to a PE on a color until the host pops them. Sink LOG: without limit (depth is not used).
 * Sink CORE: the router gets `depth` credits now (1..255) and one with each pop, so that `depth` words wait at most. Listening
 * once more changes nothing. */
WSK_API int wsk_fabric_listen(wsk_fabric *fabric, uint32_t pe, int color, int depth);
/* The oldest word that a PE has on a color, in *word (unless NULL): 1; 0: there is none. pop takes it away. */
WSK_API int wsk_fabric_top(const wsk_fabric *fabric, uint32_t pe, int color, wsk_delivery *word);
WSK_API int wsk_fabric_pop(wsk_fabric *fabric, uint32_t pe, int color, wsk_delivery *word);
/* Call for every word that becomes readable (sinks LOG and CORE, edges); for every PE and color at which a push was refused,
 * once, as soon as there is room again. NULL: no more. */
WSK_API int wsk_fabric_on_delivery(wsk_fabric *fabric, wsk_on_delivery call, void *context);
WSK_API int wsk_fabric_on_room(wsk_fabric *fabric, wsk_on_room call, void *context);

/* ---- Run-time changes from a core program; in force from the current cycle on, for words already queued too ---- */

WSK_API int wsk_fabric_rewrite(wsk_fabric *fabric, uint32_t pe, int color, const wsk_route *route);
WSK_API int wsk_fabric_set_position(wsk_fabric *fabric, uint32_t pe, int color, int position);
WSK_API int wsk_fabric_position(const wsk_fabric *fabric, uint32_t pe, int color);
WSK_API int wsk_fabric_teardown(wsk_fabric *fabric, uint32_t pe, int color, int frozen);   /* 1 enter, 0 leave */
WSK_API int wsk_fabric_torn_down(const wsk_fabric *fabric, uint32_t pe, int color);

/* ---- Reading ---- */

WSK_API int64_t wsk_fabric_cycle(const wsk_fabric *fabric);
WSK_API int64_t wsk_fabric_last_move(const wsk_fabric *fabric);           /* last cycle in which a word moved, -1: none */
WSK_API int64_t wsk_fabric_in_flight(const wsk_fabric *fabric);           /* words in routers, on links and on on-ramps */
WSK_API int wsk_fabric_totals(const wsk_fabric *fabric, wsk_totals *totals);
/* Per router, [height][width]: words that left by a port, cycles that a head word could not leave; color -1: of all colors. */
WSK_API int wsk_fabric_link_counts(const wsk_fabric *fabric, int port, int color, uint32_t *counts);
WSK_API int wsk_fabric_stall_counts(const wsk_fabric *fabric, int color, uint32_t *counts);
WSK_API int wsk_fabric_occupancy(const wsk_fabric *fabric, int color, uint8_t *words);     /* [height][width] */
/* Link crossings of the cycle just stepped, at most `room` of them; returns how many there were. port: where it left. */
WSK_API int64_t wsk_fabric_moves(const wsk_fabric *fabric, wsk_delivery *list, int64_t room);
/* The report of the last failure; a deadlock's is filled by wsk_fabric_explain. */
WSK_API const wsk_report *wsk_fabric_report(const wsk_fabric *fabric);
/* Why the first word, in order of rows, does not move: fills the report and answers its status, WSK_ERR_DEADLOCK. */
WSK_API int wsk_fabric_explain(wsk_fabric *fabric);
/* Whether words are on a way that leads back to itself and, as nobody rewrites routes, can never leave it: 0, or
 * WSK_ERR_LIVELOCK with a report whose chain is that way. Switches count unless control words are about. */
WSK_API int wsk_fabric_find_circle(wsk_fabric *fabric);
/* A report as a sentence for a fabric `width` PEs wide: where, when, and who waits for whom. Writes at most room bytes, the
 * last of them 0, and returns the length of the whole sentence; text may be NULL if room is 0. */
WSK_API int wsk_report_text(const wsk_report *report, int width, char *text, size_t room);
/* Its words for an enum wsk_port and an enum wsk_wait. Never NULL. */
WSK_API const char *wsk_port_name(int port);
WSK_API const char *wsk_wait_text(int reason);

/* ---- Two clocks: `wafer` cycles of the wafer take as long as `host` cycles of the host ---- */

/* The cycle of the wafer in which a host's cycle begins, and the first host cycle that begins in or after a wafer's: exact for
 * every cycle, so nothing drifts. Negative or too large: WSK_ERR_BAD_ARGUMENT. */
WSK_API int64_t wsk_clock_to_wafer(uint32_t wafer, uint32_t host, int64_t host_cycle);
WSK_API int64_t wsk_clock_to_host(uint32_t wafer, uint32_t host, int64_t wafer_cycle);

#ifdef __cplusplus
}
#endif

#endif
