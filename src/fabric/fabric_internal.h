/* Layout of plan and state. The fabric is cut into blocks of 64 PEs of one row; a lane is one color of one block, and one
 * bit of a 64-bit word stands for one PE. Strips of 64 rows own everything that is written while stepping, so results do
 * not depend on the number of threads. */
#ifndef WSEKERN_FABRIC_INTERNAL_H
#define WSEKERN_FABRIC_INTERNAL_H

#include "wsekern_fabric.h"
#include "common/wsekern_status.h"
#include "planes.h"

enum { SIDES = 4, PORTS = 5, STRIP_ROWS = 64, COUNTER_BITS = 24, ROW_PAD = 16, RUN_BITS = 4, COUNT_BITS = 3, LOW_BITS = 8,
       RING = WSK_MAX_LATENCY + 1 };

/* The step to the next router by each side. */
static const int8_t dx[SIDES] = { 0, 1, 0, -1 }, dy[SIDES] = { -1, 0, 1, 0 };

/* A stretch of PEs of one row with one route. */
typedef struct { int32_t x0, x1, route; } wsk_span;

struct wsk_plan {
    wsk_rules rules;
    int n_colors;                     /* configured colors */
    u8 color_of[WSK_COLORS];          /* index -> color, ascending */
    int8_t index_of[WSK_COLORS];      /* color -> index, -1: not configured */
    int has_swap;
    wsk_route *routes; int n_routes;
    wsk_filter *filters; int n_filters;
    wsk_rect *rects; int n_rects;     /* as they were given: what the plan is saved as */
    wsk_span *spans; int n_spans;     /* rows that are alike share their spans */
    int32_t *row_first;               /* [n_colors][height] first span of the row */
    int32_t *row_count;               /* [n_colors][height] */
};

/* One color of 64 PEs, four cache lines in the order of need: words that pass without waiting touch the first line of the
 * router that they leave, and the first two of the one that they reach. full and in change in phase two only, so that in
 * phase one every router sees its neighbors as they were at the start of the cycle. */
typedef struct {
    u64 head;                         /* a word is first in the queue */
    u64 out[PORTS];                   /* ports that the head word leaves by */
    u64 arrived;                      /* words that come in for cycle arrived_at */
    u32 arrived_at, special;          /* special: control and advance words stored here */
    u64 full;                         /* no room, as seen by senders */
    u64 occupied[COUNT_BITS];         /* binary count of words stored or on their way here */
    u64 in[PORTS];                    /* ports that the router listens to now */
    u64 behind[WSK_MAX_DEPTH - 1];    /* slot i + 1 holds a word */
    u64 frozen;                       /* in teardown */
    u64 shut;                         /* the core takes no word (CORE sinks) */
    u64 switched;                     /* more than one position */
    u64 filtered;                     /* a filter sits before the core */
    u64 done;                         /* some branch of the head is served (partial multicast): see branch */
    u64 swapped[2];                   /* words that come in on E/W, on N/S change color */
    u64 unused[2];
} wsk_lane;

/* The rarely touched part of a lane. */
typedef struct {
    u64 control[WSK_MAX_DEPTH], advance[WSK_MAX_DEPTH];   /* flags of the stored words */
    u64 in_any[PORTS];                /* ports of any position */
    u64 branch[PORTS];                /* branches of the head already served */
    u64 accepting[2], sending[2];     /* switch position at the way in, and at the way out (binary) */
    u64 rewritten;                    /* the route differs from the plan's */
    u64 turning[COUNT_BITS];           /* words on their way in from outside that turn the switch (binary) */
    u64 turner[COUNT_BITS];            /* the port that they come through (binary) */
} wsk_lane_rest;

/* Words that left a lane in one cycle and are on its links. */
typedef struct {
    u64 to[SIDES];
    u64 control;
    u64 swapped[SIDES];               /* arrives as color ^ 1 */
    u32 single, word;                 /* a word that travels alone is kept here, not with the words of its row */
} wsk_wire;

typedef struct { u32 sent[SIDES]; } wsk_sent;             /* color masks per direction */

/* Per block: which lanes are busy. */
typedef struct {
    u32 active, freed, odd;           /* color masks: words are stored; a full queue lost a word in this cycle; some words are
                                       * special or frozen */
} wsk_block;

/* Per block, where links rest: consecutive cycles in which each link carried a word, binary. */
typedef struct { u64 cycle, run[PORTS][RUN_BITS]; } wsk_runs;

typedef struct { u32 pe, data; u8 index, flags, port, turns; } wsk_pending;

/* A word that meets nobody: on its way to the router (x, y), or there and about to leave by the ports in `out`. It is listed
 * here instead of marked in the planes of a block. */
typedef struct {
    u32 block, word;                  /* block: of the router */
    u16 x, y;
    u16 run;                          /* links behind it in a straight line, east or west, that are still to be counted */
    u8 index, out, from, state;
} wsk_lone;
enum { LONE_STORED = 1, LONE_PLACED = 2 };   /* now in its router's queue, no more alone; has a place in that queue, not there */
typedef struct { wsk_lone *of; int n; } wsk_lones;
/* Lone words that fly one way: as they land, when, and chains of those that may be over the same router in the same cycle. */
typedef struct { wsk_lone *of; int64_t *lands; int32_t *next, *first; u32 mask; int n; } wsk_flights;
/* Per block: by which ports lone words leave that came for a cycle, and where two of them met. */
typedef struct { u64 out[PORTS], met; u32 cycle, unused[3]; } wsk_meeting;

/* Words waiting outside one ramp or edge: one stream per color, tried in turn. */
typedef struct { int64_t n, at, room; u32 *data; u8 *flags; } wsk_stream;
typedef struct {
    u32 pe;
    u8 port, next, run, feeding;
    u32 colors, refused;              /* colors with words; colors of which the host waits for room */
    int64_t last, left;
    wsk_stream of[];
} wsk_source;
typedef struct { wsk_source *source; u8 index; } wsk_refusal;

/* Words of one PE and color that the host has not popped: at <= i < n. depth: places that the router has credit for, 0 for
 * sinks that are never full. */
typedef struct { u32 pe; u8 index, depth; int64_t n, at, room; wsk_delivery *words; } wsk_inbox;

/* What the host wants to know. */
typedef struct {
    wsk_on_delivery delivered; void *delivered_context;
    wsk_on_room roomy; void *room_context;
    wsk_inbox *inboxes; int n_inboxes, room_inboxes;
    u32 *inbox_at[WSK_COLORS];        /* by color index, NULL or [height][width]: index + 1 */
} wsk_host;

typedef struct { u64 key; wsk_route route; } wsk_override;
typedef struct { u64 key; u32 count; u16 which; u8 wrapped, unused; } wsk_filter_state;

typedef struct {
    u64 rows_active;                  /* rows with stored words */
    int64_t awake_until;              /* without rows_active, nothing is left to do from this cycle on */
    u64 rows_busy;                    /* rows_active as it was when the cycle began */
    u64 rows_freed;                   /* rows in which a full queue lost a word in this cycle */
    int64_t stored;                   /* words given places minus words that left; a word that moved on to another strip
                                       * counts up here and down there, so only the sum over strips means anything */
    int64_t last_move;                /* last cycle in which a word moved, -1: none */
    int64_t last_out;                 /* cycle from which the last word that left a router for a core or edge is readable */
    int64_t waiting;                  /* words outside */
    int64_t touched;                  /* the clock when the host last changed anything */
    int commanded;                    /* since the last reset, words with flags came in here */
    u64 rows_sent[RING][SIDES];       /* by slot of the cycle ring */
    wsk_pending *pending[RING]; int n_pending[RING];      /* by arrival cycle: on-ramp and edge */
    wsk_delivery *out[RING]; int n_out[RING];             /* by arrival cycle: off-ramp, edge, teardown */
    wsk_lones lone[RING][SIDES];      /* by arrival cycle and direction */
    wsk_lones over[SIDES];            /* lone words that left for the strip above (north) and below (south) in this cycle */
    wsk_flights flights[SIDES];       /* only in a run */
    u32 flying[RING][WSK_COLORS];     /* flights by cycle modulo hop in which they leave routers, and color */
    int room_lone;                    /* more than that of one cycle and direction do not travel alone; as many fly */
    int n_landing;                    /* words that came off on-ramps and edges in this cycle */
    int capacity_pending, capacity_out;
    wsk_totals totals;
    wsk_report report;
    wsk_source **sources; int n_sources, room_sources;          /* every ramp and edge that words were injected at */
    wsk_source **feeding; int n_feeding, unsorted;               /* those with words, in the order of rows, columns, ports */
    wsk_refusal *refused; int n_refused, room_refused;          /* pushes that the host waits with */
    wsk_override *overrides; int n_overrides, room_overrides;    /* sorted by key */
    wsk_filter_state *filter_states; int n_filter_states;        /* sorted by key */
    char pad[64];
} wsk_strip;

/* The phases of a cycle for one strip, as compiled for a SIMD level. */
typedef struct { int (*depart)(wsk_fabric *, int); int (*arrive)(wsk_fabric *, int); } wsk_phases;
extern const wsk_phases wsk_phases_base, wsk_phases_avx2, wsk_phases_avx512;

struct wsk_fabric {
    const wsk_plan *plan;
    const wsk_phases *phases;
    int width, height, blocks, strips, n_colors;          /* blocks: per row */
    int hop, ramp, depth, ring;                           /* ring: max(hop, ramp) + 1 */
    int data_stride, stage_stride;
    int simd_level;
    int plain;                        /* the rules allow depart_plain.c */
    int lone;                         /* the rules allow lone.c */
    int silent;                       /* no word is listed for cores or edges; for teardown handlers, control words may be */
    int failed;                       /* status of the step that broke a rule: only reset or a snapshot help */
    u64 not_full[COUNT_BITS];         /* complement of the depth, a word per binary digit */
    int64_t cycle;
    int64_t flies_until;              /* in a run that nobody looks into: its end, else 0 */
    u8 sinks[WSK_COLORS];             /* by color index */
    void *arena; size_t arena_bytes;
    u64 *row_active;                  /* [height]: blocks with stored words */
    u64 *row_freed;                   /* [height]: blocks in which a full queue lost a word in this cycle */
    u64 *row_busy;                    /* [height]: row_active as it was when the cycle began */
    u64 *row_sent;                    /* [hop][height][SIDES]: blocks that sent that way */
    wsk_block *block;                 /* [height][blocks] */
    wsk_sent *sent;                   /* [hop][height][blocks] */
    wsk_lane *lane;                   /* [height][blocks][n_colors] */
    wsk_lane_rest *rest;              /* [height][blocks][n_colors] */
    wsk_wire *wire;                   /* [hop][height][blocks][n_colors] */
    u64 *pointer;                     /* [height][blocks][n_colors]: bit set where the round robin starts at or before it */
    u32 *data;                        /* [height][n_colors][depth][data_stride] */
    u32 *stage;                       /* [hop][height][n_colors][stage_stride]: words on links, padded on both sides */
    wsk_runs *runs;                   /* [height][blocks], only where links rest */
    u64 *counted;                     /* [lanes][PORTS + 1][LOW_BITS]: low bits of the counts, one cache line each */
    u64 *counter;                     /* [lanes][PORTS + 1][COUNTER_BITS]: bit-sliced counts, above the low bits */
    u8 *simple;                       /* [n_colors][height][width]: 1 + route that never changes and that lone words may take, or 0 */
    u16 *simple_lane;                 /* [height][blocks][n_colors]: its ports (wsk_simple_ports) if all PEs have the same, or 0 */
    u64 *ways[2];                     /* routers of `simple` that go straight and hear it: [lanes][west, east] of a block's PEs, and
                                       * [strips][n_colors][width][north, south] of a strip's rows */
    u16 simple_ports[256];            /* by simple: mask of ports out, shifted above it that of ports in; [0] is 0 */
    wsk_meeting *meeting;             /* [height][blocks] */
    u8 *credits;                      /* [height][n_colors][width], only with a CORE sink */
    u32 *source_of;                   /* [height][width] ramps, then [SIDES][max(height, width)] edges: index + 1 in the strip */
    int64_t *ramp_last; u8 *ramp_run; /* [height][width] on-ramp: last cycle used, consecutive cycles */
    wsk_strip *strip;
    wsk_report report;
    wsk_host *host;                   /* NULL: it neither listens nor is called */
    int busy;                         /* the host is being called */
    wsk_plan *own_plan;               /* freed with this state; NULL: the host's */
};

/* Ask for the memory of a place that is to be changed soon. gcc drops calls of functions that do nothing else: thence asm. */
#define WSK_ASK_FOR(place)                  \
    do {                                    \
        __builtin_prefetch((place), 1);     \
        __asm__ volatile("");               \
    } while (0)

static inline size_t wsk_block_at(const wsk_fabric *f, int y, int k) { return (size_t)y * f->blocks + k; }
static inline size_t wsk_lane_at(const wsk_fabric *f, int y, int k, int c)
{
    return wsk_block_at(f, y, k) * f->n_colors + c;
}
static inline u8 *wsk_simple_at(const wsk_fabric *f, int x, int y, int c)
{
    return f->simple + ((size_t)c * f->height + y) * f->width + x;
}
/* Ports out, and above them ports in, of a router that lone words may take; 0 for others. */
static inline int wsk_simple_ports(const wsk_fabric *f, size_t lane, int x, int y, int c)
{
    int whole = f->simple_lane[lane];
    return whole ? whole : f->simple_ports[*wsk_simple_at(f, x, y, c)];
}
static inline u64 *wsk_row_ways(const wsk_fabric *f, int x, int y, int c, int d)
{
    return f->ways[0] + 2 * wsk_lane_at(f, y, x / 64, c) + (d == WSK_EAST);
}
static inline u64 *wsk_column_ways(const wsk_fabric *f, int x, int y, int c, int d)
{
    return f->ways[1] + 2 * (((size_t)(y / STRIP_ROWS) * f->n_colors + c) * f->width + x) + (d == WSK_SOUTH);
}
static inline wsk_wire *wsk_wire_at(const wsk_fabric *f, int slot, size_t lane)
{
    return f->wire + (size_t)slot * f->height * f->blocks * f->n_colors + lane;
}
static inline wsk_sent *wsk_sent_at(const wsk_fabric *f, int slot, int y, int k)
{
    return f->sent + (size_t)slot * f->height * f->blocks + wsk_block_at(f, y, k);
}
static inline u64 *wsk_row_sent_at(const wsk_fabric *f, int slot, int y)
{
    return f->row_sent + ((size_t)slot * f->height + y) * SIDES;
}
/* Words of slot i of a row, index x. */
static inline u32 *wsk_data_at(const wsk_fabric *f, int y, int c, int slot)
{
    return f->data + (((size_t)y * f->n_colors + c) * f->depth + slot) * f->data_stride;
}
/* Words on the links of a row, index x (x = -1 and x = 64 * blocks may be read). */
static inline u32 *wsk_stage_at(const wsk_fabric *f, int slot, int y, int c)
{
    return f->stage + (((size_t)slot * f->height + y) * f->n_colors + c) * f->stage_stride + ROW_PAD;
}
static inline u64 *wsk_counter_at(const wsk_fabric *f, size_t lane, int which)
{
    return f->counter + (lane * (PORTS + 1) + which) * COUNTER_BITS;
}
static inline u64 *wsk_counted_at(const wsk_fabric *f, size_t lane, int which)
{
    return f->counted + (lane * (PORTS + 1) + which) * LOW_BITS;
}
/* Add one to the bit-sliced counters of the PEs in m, from plane `first` on: a ripple carry that ends after two planes on
 * average; the high planes, elsewhere in memory, are touched when one of the 64 counts passes a multiple of 256. */
static inline void wsk_count_from(wsk_fabric *f, size_t lane, int which, u64 m, int first)
{
    u64 *low = wsk_counted_at(f, lane, which);
    for (int i = first; m && i < LOW_BITS; i++) {
        u64 carry = low[i] & m;
        low[i] ^= m;
        m = carry;
    }
    if (!m)
        return;
    u64 *high = wsk_counter_at(f, lane, which);
    for (int i = first > LOW_BITS ? first - LOW_BITS : 0; m && i < COUNTER_BITS; i++) {
        u64 carry = high[i] & m;
        high[i] ^= m;
        m = carry;
    }
}
static inline void wsk_count(wsk_fabric *f, size_t lane, int which, u64 m) { wsk_count_from(f, lane, which, m, 0); }
/* The same where lanes come in no order, so that a branch per plane would be foretold wrongly. */
static inline void wsk_count_any(wsk_fabric *f, size_t lane, int which, u64 m)
{
    u64 *low = wsk_counted_at(f, lane, which);
    for (int i = 0; i < 4; i++) {
        u64 carry = low[i] & m;
        low[i] ^= m;
        m = carry;
    }
    if (m)
        wsk_count_from(f, lane, which, m, 4);
}
/* Queues without room: occupied as often as they are deep. */
static inline u64 wsk_full(const wsk_fabric *f, const wsk_lane *lane)
{
    u64 m = ~(u64)0;
    for (int i = 0; i < COUNT_BITS; i++)
        m &= lane->occupied[i] ^ f->not_full[i];
    return m;
}
/* Queues that a word has come to for the next cycle. */
static inline u64 wsk_arrived(const wsk_fabric *f, const wsk_lane *lane)
{
    return lane->arrived_at == (u32)(f->cycle + 1) ? lane->arrived : 0;
}

/* Words on their way into one lane: who gets one, which are control words; words[b] for bit b, or `word` for a single one. */
typedef struct { u64 to, control; const u32 *words; u32 single, word; } wsk_inbound;
enum { AWAKE = 2 * (WSK_MAX_LATENCY + 2) };   /* every slot of every ring of cycles has been cleared by then */
enum { RESERVE = 1, LAND = 2 };       /* what happens to words: with a hop latency of 1 both in the same cycle */

/* One row in one cycle: where its parts are. */
typedef struct {
    wsk_strip *strip;
    int y, slot;                      /* slot: of the words that leave now, in the rings of hop cycles */
    u64 bit, *sent_blocks;            /* of the row in its strip; row_sent of the row */
    size_t first_lane;
    wsk_lane *lanes; wsk_wire *wires; wsk_sent *sent; wsk_block *blocks;
} wsk_row;

/* A word is stored in lane (y, k, c). */
static inline void wsk_wake(wsk_fabric *f, wsk_strip *s, int y, int k, int c)
{
    f->block[wsk_block_at(f, y, k)].active |= (u32)1 << c;
    f->row_active[y] |= (u64)1 << k;
    s->rows_active |= (u64)1 << (y % STRIP_ROWS);
}

static inline u64 *wsk_slot(wsk_lane *lane, int i) { return i ? lane->behind + i - 1 : &lane->head; }
/* After special or frozen of a lane has changed. */
static inline void wsk_note_odd(wsk_fabric *f, size_t lane)
{
    u32 *odd = &f->block[lane / f->n_colors].odd, bit = (u32)1 << lane % f->n_colors;
    *odd = f->lane[lane].special || f->lane[lane].frozen ? *odd | bit : *odd & ~bit;
}

/* Where filters and overrides of a router and color are looked up. */
static inline u64 wsk_key_of(const wsk_fabric *f, int x, int y, int c) { return ((u64)y * f->width + x) * WSK_COLORS + c; }

static inline int wsk_has_flights(const wsk_strip *s)
{
    return (s->flights[0].n | s->flights[1].n | s->flights[2].n | s->flights[3].n) != 0;
}
static inline wsk_strip *wsk_strip_of(const wsk_fabric *f, int y) { return f->strip + y / STRIP_ROWS; }

/* The index of a color, if it has a route anywhere and the PE is on the fabric; else -1. */
static inline int wsk_color_at(const wsk_fabric *f, u32 pe, int color)
{
    return f && pe < (u32)(f->width * f->height) && color >= 0 && color < WSK_COLORS ? f->plan->index_of[color] : -1;
}
/* The host changes something that this cycle may do otherwise than the last. */
static inline void wsk_touch(wsk_fabric *f, u32 pe) { wsk_strip_of(f, (int)(pe / (u32)f->width))->touched = f->cycle; }

/* What is LEVELED is compiled once per SIMD level: for any CPU in files of their own, and for a newer one all together in
 * step_LEVEL.c, where nothing of it is seen from outside but wsk_phases_LEVEL. */
#ifdef LEVEL
#define LEVELED __attribute__((unused)) static
#else
#define LEVELED
#endif

/* ---- What the C files offer each other, from the lowest layer up: calls go to a file further up in this list only ---- */

/* fail.c: note a broken rule; returns the status. refuse_to_move: 0, or why the clock may not go on. */
int wsk_refuse_to_move(const wsk_fabric *f);
int wsk_fail(wsk_fabric *f, wsk_strip *s, int status, u32 pe, int color, int port, int other, int64_t cycle);

/* simple.c: routers that lone words may take. */
void wsk_mark_simple(wsk_fabric *f);
void wsk_no_more_simple(wsk_fabric *f, int x, int y, int c);

/* lone_read.c: reading the lists of lone words. */
int wsk_has_lone(const wsk_fabric *f, const wsk_strip *s);
int wsk_lone_from(const wsk_fabric *f, const wsk_strip *s, int x, int y, int c, int port, int64_t cycle);
void wsk_add_lone_counts(const wsk_fabric *f, const wsk_strip *s, int port, int color, u32 *counts);
void wsk_add_lone_words(const wsk_fabric *f, const wsk_strip *s, int c, u8 *words);
int wsk_lone_words_at(const wsk_fabric *f, const wsk_strip *s, int c, int x, int y);
int64_t wsk_lone_moves(const wsk_fabric *f, const wsk_strip *s, wsk_delivery *list, int64_t n, int64_t room);

/* switch.c: control words and switch positions. find_override: where the override of a key is, or would be. */
int wsk_position_after(const wsk_route *route, int position, u32 data, int flags);
u32 wsk_popped_control(const wsk_route *route, int position, u32 data);
wsk_override *wsk_find_override(const wsk_strip *s, u64 key);
const wsk_route *wsk_route_at(const wsk_fabric *f, int x, int y, int c);
void wsk_set_accepting(wsk_fabric *f, size_t lane, int bit, const wsk_route *route, int position);
void wsk_set_sending(wsk_fabric *f, size_t lane, int bit, const wsk_route *route, int position);

/* queue.c: words come to the queues of a lane (keep: they stand at their routers already, though not yet in their queues; take:
 * over links; what: RESERVE, LAND), or leave them. check_routed: words want to cross side d to routers that do not listen to
 * them now; 0 if some position of each does. two_inputs: words in clash come by two ports in one cycle. */
LEVELED void wsk_keep(wsk_fabric *f, wsk_strip *s, int y, int k, int c, const wsk_inbound *in);
LEVELED int wsk_take(wsk_fabric *f, wsk_strip *s, int y, int k, int c, const wsk_inbound *in, int what);
LEVELED int wsk_check_routed(wsk_fabric *f, wsk_strip *s, int y, int k, int c, int d, u64 deaf);
LEVELED int wsk_two_inputs(wsk_fabric *f, wsk_strip *s, int y, int k, int c, u64 clash, int64_t cycle);
LEVELED void wsk_leave(wsk_fabric *f, const wsk_row *r, int k, int c, u64 m);

/* ramp.c: words in and out by ramps and edges. check_edge: 0 where words may enter by a port of a PE from outside. */
int wsk_check_edge(const wsk_fabric *f, u32 pe, int port);
u32 *wsk_source_index(const wsk_fabric *f, u32 pe, int port);
wsk_source *wsk_source_at(wsk_fabric *f, wsk_strip *s, u32 pe, int port);
int wsk_append_words(wsk_strip *s, wsk_source *source, int c, const u32 *data, const u8 *flags, int64_t n);
void wsk_start_feeding(wsk_strip *s, wsk_source *source);
int wsk_feed_strip(wsk_fabric *f, wsk_strip *s);
int wsk_accept(wsk_fabric *f, wsk_strip *s, u32 pe, int c, u32 data, int flags, int port);
u64 wsk_may_enter(const wsk_fabric *f, int y, int k, int color, u64 from);
void wsk_fabric_no_credit(wsk_fabric *f, uint32_t pe, int color);

/* deliver.c: words leave for cores, past filters; a word is listed that leaves for a core, an edge or a teardown handler. */
LEVELED void wsk_deliver(wsk_fabric *f, wsk_strip *s, int y, int k, int c, u64 m, const u32 *words, u64 control);
LEVELED void wsk_emit(wsk_fabric *f, wsk_strip *s, u32 pe, int c, u32 data, int flags, int port, int latency);

/* flight.c: lone words that go straight on for long. take_off: whether w does, leaving by side d in this cycle. fly_on: those
 * that fly leave routers. land_due: for the next cycle. land_all: as they land next, in cycle `now` at the earliest.
 * clear_ways: before those that land in the next cycle go on. */
LEVELED int wsk_may_fly(const wsk_fabric *f, const wsk_strip *s);
LEVELED int wsk_take_off(wsk_fabric *f, wsk_strip *s, const wsk_lone *w, int d);
LEVELED void wsk_fly_on(const wsk_fabric *f, wsk_strip *s);
LEVELED void wsk_land_due(wsk_fabric *f, wsk_strip *s);
LEVELED void wsk_land_all(wsk_fabric *f, wsk_strip *s, int64_t now);
LEVELED void wsk_clear_ways(wsk_fabric *f, wsk_strip *s);

/* lone.c: both phases of words that meet nobody. */
LEVELED int wsk_go_alone(wsk_fabric *f, const wsk_row *r, int k);
LEVELED void wsk_depart_lone(wsk_fabric *f, wsk_strip *s);
LEVELED int wsk_arrive_lone(wsk_fabric *f, wsk_strip *s);
LEVELED void wsk_keep_lone(wsk_fabric *f, wsk_strip *s);

/* depart.c, depart_plain.c, arrive.c: one block or one row in one cycle. Return 0 or a status; the strip's report then says
 * more. */
LEVELED int wsk_depart_block(wsk_fabric *f, const wsk_row *r, int k);
LEVELED int wsk_depart_row(wsk_fabric *f, wsk_strip *s, int y);
LEVELED int wsk_arrive_row(wsk_fabric *f, wsk_strip *s, int y);
LEVELED int wsk_arrive_pending(wsk_fabric *f, wsk_strip *s);
LEVELED void wsk_turn_landed(wsk_fabric *f, wsk_strip *s);
LEVELED u64 wsk_inner_arrivals(const wsk_fabric *f, int i);
LEVELED u64 wsk_outer_arrivals(const wsk_fabric *f, int i);

/* read.c: words of a color in a router, and on the way into it. */
int wsk_words_at(const wsk_fabric *f, u32 pe, int color);

/* registers.c: a register of a router and color, of its switch or of its routes: the 16 bits, a status. */
int wsk_fabric_register(const wsk_fabric *f, u32 pe, int color, int of_switch);
int wsk_fabric_set_register(wsk_fabric *f, u32 pe, int color, int of_switch, int bits);

/* report.c: forget what went wrong before. event.c: the clock set forward, at most to the next event. */
void wsk_forget_reports(wsk_fabric *f);
void wsk_skip_to(wsk_fabric *f, int64_t cycle);

/* host.c: what the host listens to. settle: hand over the words that have become readable. Pointers are NULL where there is no
 * memory. */
wsk_host *wsk_host_of(wsk_fabric *f);
wsk_inbox *wsk_new_inbox(wsk_fabric *f, u32 pe, int c, int depth);
wsk_inbox *wsk_inbox_of(const wsk_fabric *f, u32 pe, int c);
int wsk_fill_inbox(wsk_inbox *box, const wsk_delivery *word);
int wsk_remember_refusal(wsk_fabric *f, u32 pe, int c);
void wsk_clear_inboxes(wsk_fabric *f);
int wsk_copy_inboxes(wsk_fabric *to, const wsk_fabric *from);
void wsk_free_inboxes(wsk_host *host);
void wsk_free_host(wsk_host *host);
int wsk_settle(wsk_fabric *f);

/* cycle.c: the phases of a cycle, for one strip and for strips first to last - 1. A strip and those beside it end a phase before
 * it begins the next one; when all have ended the last one, the clock ticks, with the status of the cycle. */
int wsk_depart_strip(wsk_fabric *f, int i);
int wsk_arrive_strip(wsk_fabric *f, int i);
int wsk_feed_strips(wsk_fabric *f, int first, int last);
int wsk_depart_strips(wsk_fabric *f, int first, int last);
int wsk_arrive_strips(wsk_fabric *f, int first, int last);
void wsk_tick(wsk_fabric *f, int status);

#endif
