/* Ramps and edges: words in, credit of cores, and streams of words that wait outside. */
#include "fabric_internal.h"
#include "common/memory.h"
#include <string.h>

enum { MOST_WORDS = 1 << 30 };        /* of one call */
enum { AHEAD = 8 };                   /* so many sources ahead, memory is asked for */

/* Words that can enter by a ramp or edge link in this cycle, given its last use: the rule of every link. */
static int link_rests(const wsk_fabric *f, int64_t last, int run)
{
    const wsk_rules *r = &f->plan->rules;
    return last == f->cycle || (r->link_frame > r->link_words && last == f->cycle - 1 && run >= r->link_words);
}

static int run_after(const wsk_fabric *f, int64_t last, int run) { return last == f->cycle - 1 ? (run < 255 ? run + 1 : 255) : 1; }

/* Give a word its place in the queue of color index c; it is there after the latency of its port. 1: accepted. */
int wsk_accept(wsk_fabric *f, wsk_strip *s, u32 pe, int c, u32 data, int flags, int port)
{
    int y = (int)(pe / (u32)f->width), x = (int)(pe % (u32)f->width), b = x % 64;
    size_t at = wsk_lane_at(f, y, x / 64, c);
    wsk_lane *lane = f->lane + at;
    u64 bit = (u64)1 << b;
    if (!(lane->in[port] & bit)) {
        if (f->rest[at].in_any[port] & bit)
            return 0;
        return wsk_fail(f, s, WSK_ERR_UNROUTED, pe, f->plan->color_of[c], port, -1, f->cycle);
    }
    if (lane->full & bit)
        return 0;
    wsk_binary_add(lane->occupied, COUNT_BITS, bit);
    wsk_assign_bit(&lane->full, bit, wsk_bits_at(lane->occupied, COUNT_BITS, b) == f->depth);
    int turns = 0;
    if (flags && (lane->switched & bit)) {
        const wsk_route *route = wsk_route_at(f, x, y, c);
        int before = wsk_bits_at(f->rest[at].accepting, 2, b), after = wsk_position_after(route, before, data, flags);
        turns = after != before;
        if (turns) {
            wsk_binary_add(f->rest[at].turning, COUNT_BITS, bit);
            for (int i = 0; i < COUNT_BITS; i++)
                wsk_assign_bit(f->rest[at].turner + i, bit, port >> i & 1);
            wsk_set_accepting(f, at, b, route, after);
        }
    }
    int bucket = (int)((f->cycle + (port == WSK_RAMP ? f->ramp : f->hop)) % f->ring);
    s->pending[bucket][s->n_pending[bucket]++] = (wsk_pending){ pe, data, (u8)c, (u8)flags, (u8)port, (u8)turns };
    s->stored++;
    s->awake_until = f->cycle + AWAKE;
    s->last_move = f->cycle;
    s->totals.injected[c]++;
    s->commanded |= flags != 0;
    return 1;
}

/* The color that a word from outside has inside: by a side, swapped where that axis is; by the ramp, where both are. */
static int entry_color(const wsk_fabric *f, u32 pe, int c, int port)
{
    if (!f->plan->has_swap)
        return c;
    int y = (int)(pe / (u32)f->width), x = (int)(pe % (u32)f->width);
    const wsk_lane *lane = f->lane + wsk_lane_at(f, y, x / 64, c);
    u64 swapped = port == WSK_RAMP ? lane->swapped[0] & lane->swapped[1] : lane->swapped[port & 1 ? 0 : 1];
    if (swapped >> (x % 64) & 1)
        return f->plan->index_of[f->plan->color_of[c] ^ 1];
    return c;
}

int wsk_fabric_offer(wsk_fabric *f, uint32_t pe, int color, uint32_t data, int flags)
{
    if (!f || pe >= (u32)(f->width * f->height) || color < 0 || color >= WSK_COLORS || flags & ~(WSK_CONTROL | WSK_ADVANCE))
        return WSK_ERR_BAD_ARGUMENT;
    wsk_strip *s = wsk_strip_of(f, (int)(pe / (u32)f->width));
    if (f->plan->index_of[color] < 0)
        return wsk_fail(f, s, WSK_ERR_UNROUTED, pe, color, WSK_RAMP, -1, f->cycle);
    int64_t last = f->ramp_last[pe] - 1;
    if (link_rests(f, last, f->ramp_run[pe]))
        return 0;
    int accepted = wsk_accept(f, s, pe, entry_color(f, pe, f->plan->index_of[color], WSK_RAMP), data, flags, WSK_RAMP);
    if (accepted == 1) {
        f->ramp_run[pe] = (u8)run_after(f, last, f->ramp_run[pe]);
        f->ramp_last[pe] = f->cycle + 1;
    }
    return accepted;
}

/* Of the cores of a block that wait to offer a word of a color: those of which it may be taken now, or is an error. */
u64 wsk_may_enter(const wsk_fabric *f, int y, int k, int color, u64 from)
{
    int c = f->plan->index_of[color];
    if (c < 0 || f->plan->has_swap)       /* those are asked one by one */
        return from;
    size_t at = wsk_lane_at(f, y, k, c);
    const wsk_lane *lane = f->lane + at;
    u64 closed = from & ~lane->in[WSK_RAMP];
    return (from & lane->in[WSK_RAMP] & ~lane->full) | (closed ? closed & ~f->rest[at].in_any[WSK_RAMP] : 0);
}

/* The edge link of a port at a router, or an error. */
int wsk_check_edge(const wsk_fabric *f, u32 pe, int port)
{
    int y = (int)(pe / (u32)f->width), x = (int)(pe % (u32)f->width);
    int at_edge = (port == WSK_NORTH && y == 0) || (port == WSK_SOUTH && y == f->height - 1) || (port == WSK_WEST && x == 0)
               || (port == WSK_EAST && x == f->width - 1);
    return at_edge && f->plan->rules.open_edges ? 0 : WSK_ERR_BAD_ARGUMENT;
}

int wsk_fabric_credit(wsk_fabric *f, uint32_t pe, int color, int words)
{
    int c = wsk_color_at(f, pe, color);
    if (c < 0 || f->sinks[c] != WSK_SINK_CORE || words < 1)
        return WSK_ERR_BAD_ARGUMENT;
    int y = (int)(pe / (u32)f->width), x = (int)(pe % (u32)f->width);
    wsk_touch(f, pe);
    u8 *credit = f->credits + ((size_t)y * f->n_colors + c) * f->width + x;
    *credit = (u8)(words > 255 - *credit ? 255 : *credit + words);
    f->lane[wsk_lane_at(f, y, x / 64, c)].shut &= ~((u64)1 << (x % 64));
    return 0;
}

/* The core takes no word of this color any more until it gives credit again. */
void wsk_fabric_no_credit(wsk_fabric *f, uint32_t pe, int color)
{
    int c = wsk_color_at(f, pe, color);
    if (c < 0 || f->sinks[c] != WSK_SINK_CORE)
        return;
    int y = (int)(pe / (u32)f->width), x = (int)(pe % (u32)f->width);
    wsk_touch(f, pe);
    f->credits[((size_t)y * f->n_colors + c) * f->width + x] = 0;
    f->lane[wsk_lane_at(f, y, x / 64, c)].shut |= (u64)1 << (x % 64);
}

u32 *wsk_source_index(const wsk_fabric *f, u32 pe, int port)
{
    int y = (int)(pe / (u32)f->width), x = (int)(pe % (u32)f->width), side = f->width > f->height ? f->width : f->height;
    if (port == WSK_RAMP)
        return f->source_of + pe;
    return f->source_of + (size_t)f->width * f->height + (size_t)port * side + (port == WSK_EAST || port == WSK_WEST ? y : x);
}

/* The source of a ramp or edge, made when it is first asked for; NULL: out of memory. */
wsk_source *wsk_source_at(wsk_fabric *f, wsk_strip *s, u32 pe, int port)
{
    u32 *index = wsk_source_index(f, pe, port);
    if (*index)
        return s->sources[*index - 1];
    if (s->n_sources == s->room_sources) {
        int more = s->room_sources ? 2 * s->room_sources : 16;
        wsk_source **grown = wsk_realloc(s->sources, (size_t)more * sizeof *grown);
        if (!grown)
            return NULL;
        s->sources = grown;
        wsk_source **feeding = wsk_realloc(s->feeding, (size_t)more * sizeof *feeding);
        if (!feeding)
            return NULL;
        s->feeding = feeding;
        s->room_sources = more;
    }
    wsk_source *source = wsk_alloc_zero(1, sizeof *source + (size_t)f->n_colors * sizeof *source->of);
    if (source) {
        source->pe = pe;
        source->port = (u8)port;
        source->last = -2;
        s->sources[s->n_sources++] = source;
        *index = (u32)s->n_sources;
    }
    return source;
}

static u64 order_of(const wsk_source *source) { return (u64)source->pe * PORTS + source->port; }

static int by_order(const void *a, const void *b)
{
    u64 x = order_of(*(wsk_source *const *)a), y = order_of(*(wsk_source *const *)b);
    return (x > y) - (x < y);
}

void wsk_start_feeding(wsk_strip *s, wsk_source *source)
{
    if (source->feeding)
        return;
    s->unsorted |= s->n_feeding && order_of(s->feeding[s->n_feeding - 1]) > order_of(source);
    s->feeding[s->n_feeding++] = source;
    source->feeding = 1;
}

/* Room for n more words at the end of a stream, and for their flags. */
static int make_room(wsk_stream *stream, int64_t n, int flags)
{
    int64_t kept = stream->n - stream->at, room = 2 * kept + n;
    if (stream->n + n > stream->room) {
        u32 *words = wsk_alloc((size_t)room * sizeof *words);
        u8 *bits = flags || stream->flags ? wsk_alloc_zero((size_t)room, 1) : NULL;
        if (!words || ((flags || stream->flags) && !bits)) {
            wsk_free(words);
            wsk_free(bits);
            return WSK_ERR_NO_MEMORY;
        }
        if (kept)
            memcpy(words, stream->data + stream->at, (size_t)kept * sizeof *words);
        if (kept && stream->flags)
            memcpy(bits, stream->flags + stream->at, (size_t)kept);
        wsk_free(stream->data);
        wsk_free(stream->flags);
        *stream = (wsk_stream){ kept, 0, room, words, bits };
    }
    if (flags && !stream->flags)
        stream->flags = wsk_alloc_zero((size_t)stream->room, 1);
    return flags && !stream->flags ? WSK_ERR_NO_MEMORY : 0;
}

/* Append n words to the stream of a color. */
int wsk_append_words(wsk_strip *s, wsk_source *source, int c, const u32 *data, const u8 *flags, int64_t n)
{
    wsk_stream *stream = source->of + c;
    int status = make_room(stream, n, flags != NULL);
    if (status < 0)
        return status;
    memcpy(stream->data + stream->n, data, (size_t)n * sizeof *data);
    if (flags)
        memcpy(stream->flags + stream->n, flags, (size_t)n);
    else if (stream->flags)
        memset(stream->flags + stream->n, 0, (size_t)n);
    s->commanded |= flags != NULL;
    stream->n += n;
    source->colors |= (u32)1 << c;
    source->left += n;
    s->waiting += n;
    return 0;
}

int wsk_fabric_inject(wsk_fabric *f, uint32_t pe, int port, int color, const uint32_t *data, const uint8_t *flags, int64_t n)
{
    if (!f || pe >= (u32)(f->width * f->height) || color < 0 || color >= WSK_COLORS || n < 0 || n > MOST_WORDS || (n && !data)
        || port < 0 || port >= PORTS || (port != WSK_RAMP && wsk_check_edge(f, pe, port) < 0))
        return WSK_ERR_BAD_ARGUMENT;
    for (int64_t i = 0; flags && i < n; i++)
        if (flags[i] & ~(WSK_CONTROL | WSK_ADVANCE))
            return WSK_ERR_BAD_ARGUMENT;
    wsk_strip *s = wsk_strip_of(f, (int)(pe / (u32)f->width));
    int c = f->plan->index_of[color];
    if (c < 0)
        return wsk_fail(f, s, WSK_ERR_UNROUTED, pe, color, port, -1, f->cycle);
    if (!n)
        return 0;
    wsk_touch(f, pe);
    wsk_source *source = wsk_source_at(f, s, pe, port);
    int status = source ? wsk_append_words(s, source, c, data, flags, n) : WSK_ERR_NO_MEMORY;
    if (!status)
        wsk_start_feeding(s, source);
    return status;
}

static void remember_entry(wsk_fabric *f, wsk_source *source, int ramp)
{
    u8 *run = ramp ? f->ramp_run + source->pe : &source->run;
    *run = (u8)run_after(f, ramp ? f->ramp_last[source->pe] - 1 : source->last, *run);
    source->last = f->cycle;
    if (ramp)
        f->ramp_last[source->pe] = f->cycle + 1;
}

/* Whether the router listens, but has no room: asked first, as most sources of a busy fabric wait. */
static int waits(const wsk_fabric *f, u32 pe, int c, int port)
{
    int y = (int)(pe / (u32)f->width), x = (int)(pe % (u32)f->width);
    const wsk_lane *lane = f->lane + wsk_lane_at(f, y, x / 64, c);
    return (lane->full & lane->in[port] & (u64)1 << (x % 64)) != 0;
}

/* Sources lie anywhere, and so do the streams and routers that they lead to: asked for first, then what they lead to. */
static inline void ask_for_memory(const wsk_fabric *f, wsk_source *const *source, int left)
{
    if (left > 3 * AHEAD)
        WSK_ASK_FOR(source[3 * AHEAD]);
    if (left > 2 * AHEAD && source[2 * AHEAD]->colors)
        WSK_ASK_FOR(source[2 * AHEAD]->of + __builtin_ctz(source[2 * AHEAD]->colors));
    if (left <= AHEAD || !source[AHEAD]->colors)
        return;
    const wsk_source *next = source[AHEAD];
    int y = (int)(next->pe / (u32)f->width), x = (int)(next->pe % (u32)f->width), c = __builtin_ctz(next->colors);
    const wsk_lane *lane = f->lane + wsk_lane_at(f, y, x / 64, c);
    WSK_ASK_FOR(&lane->full);
    WSK_ASK_FOR(&lane->in[WSK_RAMP]);
    WSK_ASK_FOR(f->ramp_last + next->pe);
    WSK_ASK_FOR(next->of[c].data + next->of[c].at);
}

/* One word per source and cycle: colors are tried in turn, from the one after the last that entered. */
static int feed(wsk_fabric *f, wsk_strip *s, wsk_source *source)
{
    int ramp = source->port == WSK_RAMP, run = ramp ? f->ramp_run[source->pe] : source->run;
    int64_t last = ramp ? f->ramp_last[source->pe] - 1 : source->last;
    if (link_rests(f, last, run))
        return 0;
    for (int i = 0; i < f->n_colors; i++) {
        int c = source->next + i < f->n_colors ? source->next + i : source->next + i - f->n_colors;
        if (!(source->colors >> c & 1))
            continue;
        int enters = entry_color(f, source->pe, c, source->port);
        if (waits(f, source->pe, enters, source->port))
            continue;
        wsk_stream *stream = source->of + c;
        int accepted = wsk_accept(f, s, source->pe, enters, stream->data[stream->at],
                                  stream->flags ? stream->flags[stream->at] : 0, source->port);
        if (accepted < 0)
            return accepted;
        if (!accepted)
            continue;
        if (++stream->at == stream->n)
            source->colors &= ~((u32)1 << c);
        source->left--;
        s->waiting--;
        source->next = (u8)(c + 1 < f->n_colors ? c + 1 : 0);
        remember_entry(f, source, ramp);
        break;
    }
    return 0;
}

int wsk_feed_strip(wsk_fabric *f, wsk_strip *s)
{
    int kept = 0, n = s->n_feeding, status = 0;
    if (!s->waiting)
        return 0;
    if (s->unsorted)
        qsort(s->feeding, (size_t)n, sizeof *s->feeding, by_order);
    s->unsorted = 0;
    for (int i = 0; i < n; i++) {
        wsk_source *source = s->feeding[i];
        ask_for_memory(f, s->feeding + i, n - i);
        if (!status)
            status = feed(f, s, source);
        if (source->left)
            s->feeding[kept++] = source;
        else
            source->feeding = 0;
    }
    s->n_feeding = kept;
    return status;
}

int wsk_fabric_offer_edge(wsk_fabric *f, uint32_t pe, int port, int color, uint32_t data, int flags)
{
    if (!f || pe >= (u32)(f->width * f->height) || color < 0 || color >= WSK_COLORS || wsk_check_edge(f, pe, port) < 0
        || flags & ~(WSK_CONTROL | WSK_ADVANCE))
        return WSK_ERR_BAD_ARGUMENT;
    wsk_strip *s = wsk_strip_of(f, (int)(pe / (u32)f->width));
    int c = f->plan->index_of[color];
    if (c < 0)
        return wsk_fail(f, s, WSK_ERR_UNROUTED, pe, color, port, -1, f->cycle);
    wsk_source *source = wsk_source_at(f, s, pe, port);       /* remembers when the edge link was last used */
    if (!source)
        return WSK_ERR_NO_MEMORY;
    if (link_rests(f, source->last, source->run))
        return 0;
    int accepted = wsk_accept(f, s, pe, entry_color(f, pe, c, port), data, flags, port);
    if (accepted == 1)
        remember_entry(f, source, 0);
    return accepted;
}
