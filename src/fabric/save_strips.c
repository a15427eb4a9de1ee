/* What strips keep beside the queues of their routers, as bytes: words on ramps, words that wait outside, words that meet
 * nobody, rewritten routes, filters, counts; and the queues of the host. */
#include "bytes.h"
#include "common/memory.h"

static u32 pes_of(const wsk_fabric *f) { return (u32)(f->width * f->height); }

/* Whether a PE is of strip s. */
static int is_of(const wsk_fabric *f, const wsk_strip *s, u32 pe)
{
    return pe < pes_of(f) && wsk_strip_of(f, (int)(pe / (u32)f->width)) == s;
}

/* ---- Rewritten routes: read before the queues, as they say which words may be where ---- */

static int move_override(wsk_bytes *b, wsk_fabric *f, wsk_strip *s, int i)
{
    wsk_override known = { 0 };
    if (!b->from)
        known = s->overrides[i];
    WSK_MOVE(b, known.key);
    wsk_move_route(b, &known.route);
    u64 pe = known.key / WSK_COLORS;
    int c = (int)(known.key % WSK_COLORS), status;
    if (!wsk_bytes_need(b, pe < pes_of(f) && is_of(f, s, (u32)pe) && c < f->n_colors) || !b->from)
        return 0;
    status = wsk_fabric_rewrite(f, (u32)pe, f->plan->color_of[c], &known.route);
    wsk_bytes_need(b, status == 0 || status == WSK_ERR_NO_MEMORY);
    return status;
}

int wsk_move_overrides(wsk_bytes *b, wsk_fabric *f)
{
    int status = 0;
    for (int i = 0; i < f->strips; i++) {
        wsk_strip *s = f->strip + i;
        int64_t n = s->n_overrides;
        wsk_bytes_count(b, &n, INT32_MAX, sizeof(u64));
        for (int64_t j = 0; j < n && !status && !b->bad; j++)
            status = move_override(b, f, s, (int)j);
    }
    return status;
}

/* ---- Words on ramps, in and out ---- */

/* A word that is read turns its switch when it lands: until then the router listens to its port only. */
static void note_turn(wsk_bytes *b, wsk_fabric *f, const wsk_pending *p)
{
    int x = (int)(p->pe % (u32)f->width), y = (int)(p->pe / (u32)f->width);
    size_t at = wsk_lane_at(f, y, x / 64, p->index);
    const wsk_route *route = wsk_route_at(f, x, y, p->index);
    if (!wsk_bytes_need(b, route != NULL))
        return;
    wsk_binary_add(f->rest[at].turning, COUNT_BITS, (u64)1 << (x % 64));
    for (int i = 0; i < COUNT_BITS; i++)
        wsk_assign_bit(f->rest[at].turner + i, (u64)1 << (x % 64), p->port >> i & 1);
    wsk_set_accepting(f, at, x % 64, route, wsk_bits_at(f->rest[at].accepting, 2, x % 64));
}

static void move_pending(wsk_bytes *b, wsk_fabric *f, wsk_strip *s, int slot)
{
    int64_t n = s->n_pending[slot];
    wsk_bytes_count(b, &n, slot == f->cycle % f->ring ? 0 : s->capacity_pending, 12);
    for (int64_t i = 0; i < n && !b->bad; i++) {
        wsk_pending *p = s->pending[slot] + i;
        WSK_MOVE(b, p->pe);
        WSK_MOVE(b, p->data);
        WSK_MOVE(b, p->index);
        WSK_MOVE(b, p->flags);
        WSK_MOVE(b, p->port);
        WSK_MOVE(b, p->turns);
        if (!wsk_bytes_need(b, is_of(f, s, p->pe) && p->index < f->n_colors && p->flags <= (WSK_CONTROL | WSK_ADVANCE)
                               && p->port < PORTS && p->turns <= 1) || !b->from)
            continue;
        wsk_take_place(b, f, (int)(p->pe % (u32)f->width), (int)(p->pe / (u32)f->width), p->index);
        if (p->turns && !b->bad)
            note_turn(b, f, p);
    }
    s->n_pending[slot] = (int)n;
}

static void move_word(wsk_bytes *b, wsk_fabric *f, wsk_delivery *word)
{
    WSK_MOVE(b, word->pe);
    WSK_MOVE(b, word->data);
    WSK_MOVE(b, word->color);
    WSK_MOVE(b, word->flags);
    WSK_MOVE(b, word->port);
    word->unused = 0;
    wsk_bytes_need(b, word->port < PORTS && word->flags < 2 * WSK_TORN_DOWN && wsk_color_at(f, word->pe, word->color) >= 0);
}

static void move_out(wsk_bytes *b, wsk_fabric *f, wsk_strip *s, int slot)
{
    int64_t n = s->n_out[slot];
    wsk_bytes_count(b, &n, s->capacity_out, 11);
    for (int64_t i = 0; i < n && !b->bad; i++) {
        move_word(b, f, s->out[slot] + i);
        wsk_bytes_need(b, is_of(f, s, s->out[slot][i].pe));
    }
    s->n_out[slot] = (int)n;
}

/* The last use of on-ramps, as far as it matters: in this cycle or the one before. */
static void move_ramps(wsk_bytes *b, wsk_fabric *f, int y)
{
    for (u32 pe = (u32)(y * f->width), end = pe + (u32)f->width; pe < end && !b->bad; pe++) {
        u8 ago = f->ramp_last[pe] < f->cycle ? 2 : (u8)(f->cycle + 1 - f->ramp_last[pe]);
        WSK_MOVE(b, ago);
        if (!wsk_bytes_need(b, ago <= 2) || ago == 2)
            continue;
        WSK_MOVE(b, f->ramp_run[pe]);
        f->ramp_last[pe] = f->cycle + 1 - ago;
    }
}

/* ---- Words that wait outside ---- */

static int move_stream(wsk_bytes *b, wsk_strip *s, wsk_source *source, int c)
{
    wsk_stream *stream = source->of + c;
    int64_t n = stream->n - stream->at;
    u8 marked = n && stream->flags != NULL;
    int status = 0;
    wsk_bytes_count(b, &n, INT64_MAX, sizeof(u32));
    WSK_MOVE(b, marked);
    if (!wsk_bytes_need(b, marked <= 1) || !n)
        return 0;
    for (int64_t i = 0; i < n && !status && !b->bad; i++) {
        u32 word = b->from ? 0 : stream->data[stream->at + i];
        u8 flags = b->from || !marked ? 0 : stream->flags[stream->at + i];
        WSK_MOVE(b, word);
        if (marked)
            WSK_MOVE(b, flags);
        if (wsk_bytes_need(b, flags <= (WSK_CONTROL | WSK_ADVANCE)) && b->from)
            status = wsk_append_words(s, source, c, &word, marked ? &flags : NULL, 1);
    }
    return status;
}

static int move_source(wsk_bytes *b, wsk_fabric *f, wsk_strip *s, wsk_source *known)
{
    wsk_source head = { .pe = 0 }, *source = known;
    int status = 0;
    if (known)
        head = *known;
    WSK_MOVE(b, head.pe);
    WSK_MOVE(b, head.port);
    WSK_MOVE(b, head.next);
    WSK_MOVE(b, head.run);
    WSK_MOVE(b, head.last);
    WSK_MOVE(b, head.refused);
    if (!wsk_bytes_need(b, is_of(f, s, head.pe) && head.port < PORTS && head.next < f->n_colors
                           && (head.port == WSK_RAMP || wsk_check_edge(f, head.pe, head.port) == 0)
                           && !(head.refused >> (head.port == WSK_RAMP ? f->n_colors : 0))))
        return 0;
    if (b->from) {
        wsk_bytes_need(b, *wsk_source_index(f, head.pe, head.port) == 0);
        source = wsk_source_at(f, s, head.pe, head.port);
        if (!source)
            return WSK_ERR_NO_MEMORY;
        source->next = head.next;
        source->run = head.run;
        source->last = head.last;
    }
    for (int c = 0; c < f->n_colors && !status && !b->bad; c++)
        status = move_stream(b, s, source, c);
    for (u32 m = head.refused; b->from && m && !status && !b->bad; m &= m - 1)
        status = wsk_remember_refusal(f, head.pe, __builtin_ctz(m));
    if (b->from && source->left)
        wsk_start_feeding(s, source);
    return status;
}

/* ---- Words that meet nobody: here, they stand in queues already; to come, they have places ---- */

static void move_lone(wsk_bytes *b, wsk_fabric *f, wsk_strip *s, wsk_lone *w, int d, int here)
{
    WSK_MOVE(b, w->word);
    WSK_MOVE(b, w->x);
    WSK_MOVE(b, w->y);
    WSK_MOVE(b, w->run);
    WSK_MOVE(b, w->index);
    int across = d == WSK_EAST || d == WSK_WEST, room = d == WSK_EAST ? w->x : f->width - 1 - w->x;
    if (!wsk_bytes_need(b, w->x < f->width && w->y < f->height && wsk_strip_of(f, w->y) == s && w->index < f->n_colors
                           && w->run <= (across ? room : 0)) || !b->from)
        return;
    w->block = (u32)wsk_block_at(f, w->y, w->x / 64);
    w->from = (u8)(d ^ 2);
    w->out = 0;
    w->state = here ? LONE_STORED : LONE_PLACED;
    if (!here)
        wsk_take_place(b, f, w->x, w->y, w->index);
}

static int by_place(const void *a, const void *b)
{
    const wsk_lone *v = a, *w = b;
    return v->y != w->y ? v->y - w->y : v->x != w->x ? v->x - w->x : v->index - w->index;
}

/* In the order of rows and columns, however they came to be listed: one state has one form. */
static void move_lones(wsk_bytes *b, wsk_fabric *f, wsk_strip *s)
{
    for (int ahead = 0; ahead < f->hop; ahead++)
        for (int d = 0; d < SIDES; d++) {
            wsk_lones *list = s->lone[(f->cycle + ahead) % f->ring] + d;
            int64_t n = list->n;
            if (!b->from)
                qsort(list->of, (size_t)list->n, sizeof *list->of, by_place);
            wsk_bytes_count(b, &n, 2 * s->room_lone + f->width, 11);
            for (int64_t i = 0; i < n && !b->bad; i++)
                move_lone(b, f, s, list->of + i, d, ahead == 0);
            list->n = (int)n;
        }
}

/* ---- A strip ---- */

static void move_totals(wsk_bytes *b, wsk_totals *totals)
{
    u64 *sums = (u64 *)totals;
    for (size_t i = 0; i < sizeof *totals / sizeof *sums; i++)
        WSK_MOVE(b, sums[i]);
}

static void move_filters(wsk_bytes *b, wsk_strip *s)
{
    for (int i = 0; i < s->n_filter_states && !b->bad; i++) {
        WSK_MOVE(b, s->filter_states[i].count);
        WSK_MOVE(b, s->filter_states[i].wrapped);
    }
}

static int move_strip(wsk_bytes *b, wsk_fabric *f, wsk_strip *s)
{
    /* When it was changed before does not matter; words that landed: the routers are not at rest. */
    int64_t sources = s->n_sources, touched = s->n_landing || s->touched >= f->cycle ? f->cycle : 0;
    int status = 0;
    WSK_MOVE(b, s->last_move);
    WSK_MOVE(b, s->last_out);
    WSK_MOVE(b, touched);
    if (!wsk_bytes_need(b, s->last_move >= -1 && s->last_move <= f->cycle && s->last_out >= 0
                           && s->last_out <= f->cycle + f->ring && touched >= 0 && touched <= f->cycle))
        return 0;
    if (b->from) {
        s->awake_until = f->cycle + AWAKE;
        s->touched = touched;
        s->commanded = 1;
    }
    move_totals(b, &s->totals);
    for (int slot = 0; slot < f->ring; slot++) {
        move_pending(b, f, s, slot);
        move_out(b, f, s, slot);
    }
    if (f->lone)
        move_lones(b, f, s);
    move_filters(b, s);
    wsk_bytes_count(b, &sources, INT32_MAX, sizeof(wsk_delivery));
    for (int64_t i = 0; i < sources && !status && !b->bad; i++)
        status = move_source(b, f, s, b->from ? NULL : s->sources[i]);
    return status;
}

int wsk_move_strips(wsk_bytes *b, wsk_fabric *f)
{
    int status = 0;
    for (int i = 0; i < f->strips && !status && !b->bad; i++)
        status = move_strip(b, f, f->strip + i);
    for (int y = 0; y < f->height && !status && !b->bad; y++)
        move_ramps(b, f, y);
    return status;
}

/* ---- The host ---- */

int wsk_move_inboxes(wsk_bytes *b, wsk_fabric *f)
{
    int64_t n = f->host ? f->host->n_inboxes : 0;
    int status = 0;
    wsk_bytes_count(b, &n, INT32_MAX, 14);
    for (int64_t i = 0; i < n && !status && !b->bad; i++) {
        wsk_inbox head = { 0 }, *box = b->from ? NULL : f->host->inboxes + i;
        int64_t words = box ? box->n - box->at : 0;
        if (box)
            head = *box;
        WSK_MOVE(b, head.pe);
        WSK_MOVE(b, head.index);
        WSK_MOVE(b, head.depth);
        wsk_bytes_count(b, &words, INT64_MAX, 11);
        if (!wsk_bytes_need(b, head.pe < pes_of(f) && head.index < f->n_colors && f->sinks[head.index] != WSK_SINK_COUNT
                               && (f->sinks[head.index] == WSK_SINK_CORE) == (head.depth > 0)))
            break;
        if (b->from)
            status = wsk_bytes_need(b, !wsk_inbox_of(f, head.pe, head.index))
                         && !(box = wsk_new_inbox(f, head.pe, head.index, head.depth)) ? WSK_ERR_NO_MEMORY : 0;
        for (int64_t j = 0; j < words && !status && !b->bad; j++) {
            wsk_delivery word = b->from ? (wsk_delivery){ 0 } : box->words[box->at + j];
            move_word(b, f, &word);
            if (b->from && !b->bad)
                status = wsk_fill_inbox(box, &word);
        }
    }
    return status;
}
