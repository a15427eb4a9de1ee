/* State: one arena, expanded from the plan's spans; reset, snapshot and reading. */
#include "fabric_internal.h"
#include "common/memory.h"
#include "common/wsekern_simd.h"
#include <string.h>
#include <sys/mman.h>

enum { ARENA_ALIGN = 1 << 21, LINE = 64 };   /* bytes of a huge page, of a cache line */
enum { LONE_SHARE = 8 };              /* one router in so many may hold a lone word at a time */

typedef struct { size_t at; } layout;

static size_t take(layout *l, size_t count, size_t size)
{
    size_t at = l->at;
    l->at += (count * size + 63) / 64 * 64;
    return at;
}

/* Lay the arrays out; with base NULL only measure. */
static size_t lay_out(wsk_fabric *f, char *base, int with_credits)
{
    size_t rows = (size_t)f->height, blocks = rows * f->blocks, lanes = blocks * f->n_colors, hop = (size_t)f->hop;
    size_t pes = rows * f->width;
    layout l = { 0 };
#define PLACE(field, count) { size_t at = take(&l, (count), sizeof *f->field); f->field = base ? (void *)(base + at) : NULL; }
    PLACE(row_active, rows)
    PLACE(row_freed, rows)
    PLACE(row_busy, rows)
    PLACE(row_sent, hop * rows * SIDES)
    PLACE(block, blocks)
    PLACE(sent, hop * blocks)
    PLACE(lane, lanes)
    PLACE(rest, lanes)
    PLACE(wire, hop * lanes)
    PLACE(pointer, lanes)
    PLACE(data, rows * f->n_colors * f->depth * f->data_stride)
    PLACE(stage, hop * rows * f->n_colors * f->stage_stride)
    PLACE(runs, f->plan->rules.link_frame > f->plan->rules.link_words ? blocks : 0)
    PLACE(counted, lanes * (PORTS + 1) * LOW_BITS)
    PLACE(counter, lanes * (PORTS + 1) * COUNTER_BITS)
    PLACE(simple, f->lone ? pes * f->n_colors : 0)
    PLACE(simple_lane, f->lone ? lanes : 0)
    PLACE(ways[0], f->lone ? 2 * lanes : 0)
    PLACE(ways[1], f->lone ? 2 * (size_t)f->strips * f->n_colors * f->width : 0)
    PLACE(meeting, f->lone ? blocks : 0)
    PLACE(credits, with_credits ? rows * f->n_colors * f->width : 0)
    PLACE(source_of, pes + SIDES * (size_t)(f->width > f->height ? f->width : f->height))
    PLACE(ramp_last, pes)
    PLACE(ramp_run, pes)
#undef PLACE
    return l.at;
}

/* Bits x0 <= x < x1 that fall into block k. */
static u64 bits_of_block(int x0, int x1, int k)
{
    int low = x0 - 64 * k, high = x1 - 64 * k;
    if (high <= 0 || low >= 64)
        return 0;
    u64 m = high >= 64 ? ~(u64)0 : ((u64)1 << high) - 1;
    return low > 0 ? m & ~(((u64)1 << low) - 1) : m;
}

static void expand_span(wsk_fabric *f, int y, int c, const wsk_span *span)
{
    const wsk_route *r = f->plan->routes + span->route;
    int any = 0;
    for (int p = 0; p < r->positions; p++)
        any |= r->in[p];
    for (int k = span->x0 / 64; k <= (span->x1 - 1) / 64; k++) {
        u64 m = bits_of_block(span->x0, span->x1, k);
        wsk_lane *lane = f->lane + wsk_lane_at(f, y, k, c);
        wsk_lane_rest *rest = f->rest + wsk_lane_at(f, y, k, c);
        for (int d = 0; d < PORTS; d++) {
            lane->in[d] |= r->in[r->initial] >> d & 1 ? m : 0;
            lane->out[d] |= r->out[r->initial] >> d & 1 ? m : 0;
            rest->in_any[d] |= any >> d & 1 ? m : 0;
        }
        for (int b = 0; b < 2; b++) {
            rest->accepting[b] |= r->initial >> b & 1 ? m : 0;
            rest->sending[b] |= r->initial >> b & 1 ? m : 0;
            lane->swapped[b] |= r->swap >> b & 1 ? m : 0;
        }
        lane->switched |= r->positions > 1 ? m : 0;
        lane->frozen |= r->teardown ? m : 0;
        wsk_note_odd(f, wsk_lane_at(f, y, k, c));
    }
}

static int by_key(const void *a, const void *b)
{
    u64 x = ((const wsk_filter_state *)a)->key, y = ((const wsk_filter_state *)b)->key;
    return (x > y) - (x < y);
}

/* One counter per filter and PE, sorted by PE and color; a later filter of the same PE and color replaces the earlier. */
static int expand_filters(wsk_fabric *f)
{
    const wsk_plan *p = f->plan;
    for (int s = 0; s < f->strips; s++) {
        wsk_strip *strip = f->strip + s;
        int64_t room = 0;
        int y0 = s * STRIP_ROWS, y1 = y0 + STRIP_ROWS;
        for (int i = 0; i < p->n_filters; i++)
            for (int y = p->filters[i].y; y < p->filters[i].y + p->filters[i].height; y++)
                room += y >= y0 && y < y1 ? p->filters[i].width : 0;
        if (!room)
            continue;
        if (!strip->filter_states)            /* else it serves again after a reset */
            strip->filter_states = wsk_alloc((size_t)room * sizeof *strip->filter_states);
        if (!strip->filter_states)
            return WSK_ERR_NO_MEMORY;
        strip->n_filter_states = 0;
        for (int i = 0; i < p->n_filters; i++) {
            const wsk_filter *t = p->filters + i;
            int c = p->index_of[t->color];
            for (int y = t->y; c >= 0 && y < t->y + t->height; y++)
                for (int x = t->x; y >= y0 && y < y1 && x < t->x + t->width; x++) {
                    wsk_lane *lane = f->lane + wsk_lane_at(f, y, x / 64, c);
                    if (lane->filtered >> (x % 64) & 1)
                        return WSK_ERR_BAD_ARGUMENT;
                    lane->filtered |= (u64)1 << (x % 64);
                    strip->filter_states[strip->n_filter_states++] =
                        (wsk_filter_state){ .key = wsk_key_of(f, x, y, c), .count = t->start, .which = (u16)i };
                }
        }
        qsort(strip->filter_states, (size_t)strip->n_filter_states, sizeof *strip->filter_states, by_key);
    }
    return 0;
}

static int has_core_sink(const wsk_fabric *f)
{
    for (int c = 0; c < f->n_colors; c++)
        if (f->sinks[c] == WSK_SINK_CORE)
            return 1;
    return 0;
}

/* A fresh arena: zero pages that cost nothing until used, then the routes. */
static int fill(wsk_fabric *f)
{
    const wsk_plan *p = f->plan;
    f->arena_bytes = lay_out(f, NULL, has_core_sink(f));
    const size_t align = f->arena_bytes >= ARENA_ALIGN ? ARENA_ALIGN : LINE;
    size_t room = (f->arena_bytes + align - 1) / align * align;
    void *fresh = wsk_alloc_zero(1, room + align);
    if (fresh) {
        wsk_free(f->arena);
        f->arena = fresh;
    } else if (f->arena) {
        memset(f->arena, 0, room + align);
    } else {
        return WSK_ERR_NO_MEMORY;
    }
    char *base = (char *)(((uintptr_t)f->arena + align - 1) / align * align);
#ifdef MADV_HUGEPAGE
    if (room >= ARENA_ALIGN)
        madvise(base, room, MADV_HUGEPAGE);           /* fewer TLB misses; only a hint */
#endif
    lay_out(f, base, has_core_sink(f));
    for (int c = 0; c < f->n_colors; c++)
        for (int y = 0; y < f->height; y++) {
            size_t at = (size_t)c * f->height + y;
            for (int i = 0; i < p->row_count[at]; i++)
                expand_span(f, y, c, p->spans + p->row_first[at] + i);
            for (int k = 0; k < f->blocks; k++)
                f->pointer[wsk_lane_at(f, y, k, c)] = ~(u64)0;
            for (int k = 0; k < f->blocks && f->sinks[c] == WSK_SINK_CORE; k++)
                f->lane[wsk_lane_at(f, y, k, c)].shut = ~(u64)0;
        }
    if (f->lone)
        wsk_mark_simple(f);
    return expand_filters(f);
}

static void free_sources(wsk_strip *s, int n_colors)
{
    for (int i = 0; i < s->n_sources; i++) {
        for (int c = 0; c < n_colors; c++) {
            wsk_free(s->sources[i]->of[c].data);
            wsk_free(s->sources[i]->of[c].flags);
        }
        wsk_free(s->sources[i]);
    }
    s->n_sources = s->n_feeding = s->n_refused = 0;
    s->waiting = 0;
}

static void clear_strip(wsk_strip *s, int n_colors)
{
    free_sources(s, n_colors);
    s->rows_active = s->rows_busy = s->rows_freed = 0;
    s->awake_until = 0;
    memset(s->rows_sent, 0, sizeof s->rows_sent);
    memset(s->n_pending, 0, sizeof s->n_pending);
    memset(s->n_out, 0, sizeof s->n_out);
    for (int b = 0; b < RING; b++)
        for (int d = 0; d < SIDES; d++)
            s->lone[b][d].n = s->over[d].n = 0;
    memset(&s->totals, 0, sizeof s->totals);
    memset(&s->report, 0, sizeof s->report);
    s->stored = s->last_out = s->touched = s->commanded = 0;
    s->n_landing = 0;
    s->last_move = -1;
    s->n_overrides = 0;
    s->unsorted = 0;
}

/* The flights of a strip, at most `room` each way; chains so few that they stay in the cache, of at most eight on average. */
static int make_flights(wsk_strip *s, size_t room)
{
    size_t chains = 64;
    while (8 * chains < room)
        chains *= 2;
    int64_t *lands = wsk_alloc(SIDES * (room * sizeof *lands + (room + chains) * sizeof(int32_t)));
    int32_t *chain = (int32_t *)(lands + SIDES * room);
    if (!lands)
        return WSK_ERR_NO_MEMORY;
    for (int d = 0; d < SIDES; d++, chain += room + chains) {
        s->flights[d].lands = lands + (size_t)d * room;
        s->flights[d].first = chain;
        s->flights[d].next = chain + chains;
        s->flights[d].mask = (u32)chains - 1;
        memset(chain, -1, chains * sizeof *chain);
    }
    return 0;
}

/* The lists of lone words, in one piece: those of a cycle and direction, which may all have flown, what comes from beside, and
 * those that fly. */
static int make_lists(const wsk_fabric *f, wsk_strip *s)
{
    size_t room = (size_t)STRIP_ROWS * f->width / LONE_SHARE, with_others = 2 * room + f->width;
    s->room_lone = (int)room;
    wsk_lone *of = wsk_alloc(((size_t)f->ring * SIDES * with_others + 2 * (size_t)f->width + SIDES * room) * sizeof *of);
    if (!of)
        return WSK_ERR_NO_MEMORY;
    for (int i = 0; i < f->ring * SIDES; i++, of += with_others)
        s->lone[i / SIDES][i % SIDES].of = of;
    s->over[WSK_NORTH].of = of;
    s->over[WSK_SOUTH].of = of + f->width;
    for (int d = 0; d < SIDES; d++)
        s->flights[d].of = of + 2 * (size_t)f->width + (size_t)d * room;
    return make_flights(s, room);
}

/* Whether words only ever leave to be counted. */
static int is_silent(const wsk_fabric *f)
{
    for (int c = 0; c < f->n_colors; c++)
        if (f->sinks[c] != WSK_SINK_COUNT)
            return 0;
    return !f->plan->rules.open_edges;
}

/* What follows from the rules, the same in every state of a plan. */
static void set_rules(wsk_fabric *f, const wsk_plan *plan, const u8 sinks[WSK_COLORS])
{
    f->plan = plan;
    f->width = plan->rules.width;
    f->height = plan->rules.height;
    f->blocks = (f->width + 63) / 64;
    f->strips = (f->height + STRIP_ROWS - 1) / STRIP_ROWS;
    f->n_colors = plan->n_colors;
    f->hop = plan->rules.hop_latency;
    f->ramp = plan->rules.ramp_latency;
    f->ring = (f->hop > f->ramp ? f->hop : f->ramp) + 1;
    f->depth = plan->rules.buffer_depth;
    f->data_stride = 64 * f->blocks;
    f->stage_stride = 64 * f->blocks + 2 * ROW_PAD;
    f->plain = plan->rules.multicast_all && plan->rules.link_frame == plan->rules.link_words && !plan->has_swap
            && !plan->n_filters && !plan->rules.open_edges;
    f->lone = f->plain && f->depth > f->hop && f->depth > f->ramp + 1;    /* words that nobody stops never fill a queue */
    for (int i = 0; i < COUNT_BITS; i++)
        f->not_full[i] = f->depth >> i & 1 ? 0 : ~(u64)0;
    for (int c = 0; c < f->n_colors; c++)
        f->sinks[c] = sinks[plan->color_of[c]];
    f->silent = is_silent(f);
}

static int make_strips(wsk_fabric *f)
{
    f->strip = wsk_alloc_zero((size_t)f->strips, sizeof *f->strip);
    if (!f->strip)
        return WSK_ERR_NO_MEMORY;
    for (int i = 0; i < f->strips; i++) {
        wsk_strip *s = f->strip + i;
        s->capacity_pending = (STRIP_ROWS + 2) * f->width + 2 * STRIP_ROWS;
        s->capacity_out = (STRIP_ROWS * (PORTS + 1) + 2) * f->width + 2 * STRIP_ROWS;
        for (int b = 0; b < f->ring; b++) {
            s->pending[b] = wsk_alloc((size_t)s->capacity_pending * sizeof *s->pending[b]);
            s->out[b] = wsk_alloc((size_t)s->capacity_out * sizeof *s->out[b]);
            if (!s->pending[b] || !s->out[b])
                return WSK_ERR_NO_MEMORY;
        }
        if (f->lone && make_lists(f, s) < 0)
            return WSK_ERR_NO_MEMORY;
        clear_strip(s, f->n_colors);
    }
    return 0;
}

static const wsk_phases *phases_of(int simd_level)
{
#ifdef WSK_HAVE_X86
    if (simd_level > WSK_SIMD_BASE)
        return simd_level == WSK_SIMD_AVX512 ? &wsk_phases_avx512 : &wsk_phases_avx2;
#endif
    (void)simd_level;
    return &wsk_phases_base;
}

int wsk_fabric_create(wsk_fabric **fabric, const wsk_plan *plan, const uint8_t sinks[WSK_COLORS], int simd_level)
{
    const int most = wsk_simd_supported();
    if (fabric)
        *fabric = NULL;
    if (!fabric || !plan || !sinks || simd_level < WSK_SIMD_AUTO || simd_level > WSK_SIMD_AVX512)
        return WSK_ERR_BAD_ARGUMENT;
    for (int color = 0; color < WSK_COLORS; color++)
        if (sinks[color] > WSK_SINK_CORE)
            return WSK_ERR_BAD_ARGUMENT;
    wsk_fabric *f = wsk_alloc_zero(1, sizeof *f);
    if (!f)
        return WSK_ERR_NO_MEMORY;
    set_rules(f, plan, sinks);
    f->simd_level = simd_level == WSK_SIMD_AUTO || simd_level > most ? most : simd_level;
    f->phases = phases_of(f->simd_level);
    int status = make_strips(f);
    if (!status)
        status = fill(f);
    if (status < 0)
        wsk_fabric_free(f);
    else
        *fabric = f;
    return status;
}

int wsk_fabric_free(wsk_fabric *f)
{
    if (!f)
        return 0;
    if (f->busy)
        return WSK_ERR_BUSY;
    for (int i = 0; f->strip && i < f->strips; i++) {
        wsk_strip *s = f->strip + i;
        free_sources(s, f->n_colors);
        wsk_free(s->sources);
        wsk_free(s->feeding);
        wsk_free(s->refused);
        wsk_free(s->overrides);
        wsk_free(s->filter_states);
        for (int b = 0; b < RING; b++) {
            wsk_free(s->pending[b]);
            wsk_free(s->out[b]);
        }
        wsk_free(s->lone[0][0].of);
        wsk_free(s->flights[0].lands);
    }
    wsk_free(f->strip);
    wsk_free(f->arena);
    wsk_free_host(f->host);
    wsk_plan_free(f->own_plan);
    wsk_free(f);
    return 0;
}

int wsk_fabric_reset(wsk_fabric *f)
{
    if (!f)
        return WSK_ERR_BAD_ARGUMENT;
    if (f->busy)
        return WSK_ERR_BUSY;
    f->cycle = f->failed = 0;
    memset(&f->report, 0, sizeof f->report);
    for (int i = 0; i < f->strips; i++)
        clear_strip(f->strip + i, f->n_colors);
    int status = fill(f);
    wsk_clear_inboxes(f);
    return status;
}

static int copy_array(void **to, int *n_to, int *room, const void *from, int n, size_t size)
{
    if (n > *room || !*to) {
        void *grown = wsk_realloc(*to, (size_t)(n ? n : 1) * size);
        if (!grown)
            return WSK_ERR_NO_MEMORY;
        *to = grown;
        *room = n ? n : 1;
    }
    if (n)
        memcpy(*to, from, (size_t)n * size);
    *n_to = n;
    return 0;
}

/* All sources in the same order, so that the copied indices hold. */
static int copy_sources(wsk_fabric *f, wsk_strip *to, const wsk_strip *from)
{
    for (int i = 0; i < from->n_sources; i++) {
        const wsk_source *source = from->sources[i];
        *wsk_source_index(f, source->pe, source->port) = 0;
        wsk_source *copy = wsk_source_at(f, to, source->pe, source->port);
        if (!copy)
            return WSK_ERR_NO_MEMORY;
        copy->next = source->next;
        copy->run = source->run;
        copy->feeding = source->feeding;
        copy->last = source->last;
        for (int c = 0; c < f->n_colors; c++) {
            const wsk_stream *stream = source->of + c;
            if (stream->at < stream->n
                && wsk_append_words(to, copy, c, stream->data + stream->at, stream->flags ? stream->flags + stream->at : NULL,
                                    stream->n - stream->at) < 0)
                return WSK_ERR_NO_MEMORY;
        }
    }
    to->n_feeding = from->n_feeding;
    to->unsorted = from->unsorted;
    for (int i = 0; i < from->n_feeding; i++)
        to->feeding[i] = wsk_source_at(f, to, from->feeding[i]->pe, from->feeding[i]->port);
    return 0;
}

static int copy_strip(wsk_fabric *f, wsk_strip *to, const wsk_strip *from)
{
    to->rows_active = from->rows_active;
    to->rows_busy = from->rows_busy;
    to->awake_until = from->awake_until;
    to->touched = f->cycle;
    to->commanded = from->commanded;
    to->n_landing = from->n_landing;
    to->rows_freed = from->rows_freed;
    memcpy(to->rows_sent, from->rows_sent, sizeof to->rows_sent);
    for (int b = 0; b < f->ring; b++) {
        to->n_pending[b] = from->n_pending[b];
        memcpy(to->pending[b], from->pending[b], (size_t)from->n_pending[b] * sizeof *to->pending[b]);
        for (int d = 0; d < SIDES; d++) {
            to->lone[b][d].n = from->lone[b][d].n;
            if (from->lone[b][d].n)
                memcpy(to->lone[b][d].of, from->lone[b][d].of, (size_t)from->lone[b][d].n * sizeof *to->lone[b][d].of);
        }
        to->n_out[b] = from->n_out[b];
        memcpy(to->out[b], from->out[b], (size_t)from->n_out[b] * sizeof *to->out[b]);
    }
    to->stored = from->stored;
    to->last_out = from->last_out;
    to->last_move = from->last_move;
    to->totals = from->totals;
    to->report = from->report;
    if (copy_array((void **)&to->overrides, &to->n_overrides, &to->room_overrides, from->overrides, from->n_overrides,
                   sizeof *to->overrides) < 0)
        return WSK_ERR_NO_MEMORY;
    if (from->n_filter_states)
        memcpy(to->filter_states, from->filter_states, (size_t)from->n_filter_states * sizeof *to->filter_states);
    return copy_sources(f, to, from);
}

int wsk_fabric_copy(wsk_fabric *to, const wsk_fabric *from)
{
    int status = 0;
    if (!to || !from)
        return WSK_ERR_BAD_ARGUMENT;
    if (to->plan != from->plan || memcmp(to->sinks, from->sinks, sizeof to->sinks) != 0)
        return WSK_ERR_OTHER_PLAN;
    if (to->busy || from->busy)
        return WSK_ERR_BUSY;
    if (to == from)
        return 0;
    to->cycle = from->cycle;
    to->failed = from->failed;
    to->report = from->report;
    memcpy(to->row_active, from->row_active, from->arena_bytes);
    for (int i = 0; i < from->strips; i++)
        clear_strip(to->strip + i, to->n_colors);
    for (int i = 0; i < from->strips && !status; i++)
        status = copy_strip(to, to->strip + i, from->strip + i);
    if (!status)
        status = wsk_copy_inboxes(to, from);
    if (status < 0)
        wsk_fabric_reset(to);
    return status;
}
