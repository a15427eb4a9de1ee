/* The queues of all routers, and the words on links, as bytes. What follows from other things is not saved but made anew: the
 * ports that are open, places that are taken, which blocks are busy. */
#include "bytes.h"

/* PEs of block k that exist. */
static u64 within(const wsk_fabric *f, int k)
{
    int n = f->width - 64 * k;
    return n >= 64 ? ~(u64)0 : ((u64)1 << n) - 1;
}

void wsk_take_place(wsk_bytes *b, wsk_fabric *f, int x, int y, int c)
{
    if (!wsk_bytes_need(b, x >= 0 && y >= 0 && x < f->width && y < f->height && c >= 0 && c < f->n_colors))
        return;
    size_t at = wsk_lane_at(f, y, x / 64, c);
    u64 bit = (u64)1 << (x % 64), *in = f->rest[at].in_any, *occupied = f->lane[at].occupied;
    if (!wsk_bytes_need(b, ((in[0] | in[1] | in[2] | in[3] | in[4]) & bit)
                           && wsk_bits_at(occupied, COUNT_BITS, x % 64) < f->depth))
        return;
    wsk_binary_add(occupied, COUNT_BITS, bit);
    f->lane[at].full = wsk_full(f, f->lane + at);
    wsk_strip_of(f, y)->stored++;
}

/* Words of a row, of which only those of m count. */
static void move_words(wsk_bytes *b, u32 *words, u64 m)
{
    for (; m && !b->bad; m &= m - 1)
        WSK_MOVE(b, words[wsk_ctz(m)]);
}

/* The switch positions of a lane that is read, and the ports that follow from them. */
static void set_positions(wsk_bytes *b, wsk_fabric *f, int y, int k, int c, const u64 accepting[2], const u64 sending[2])
{
    size_t at = wsk_lane_at(f, y, k, c);
    const wsk_lane_rest *rest = f->rest + at;
    u64 moved = 0;
    for (int i = 0; i < 2; i++)
        moved |= (rest->accepting[i] ^ accepting[i]) | (rest->sending[i] ^ sending[i]);
    for (; moved && !b->bad; moved &= moved - 1) {
        int bit = wsk_ctz(moved), in = wsk_bits_at(accepting, 2, bit), out = wsk_bits_at(sending, 2, bit);
        const wsk_route *route = wsk_route_at(f, 64 * k + bit, y, c);
        if (!wsk_bytes_need(b, route && in < route->positions && out < route->positions))
            return;
        wsk_set_accepting(f, at, bit, route, in);
        wsk_set_sending(f, at, bit, route, out);
    }
}

/* The words of a lane's queues: those behind have one before them. */
static void move_queues(wsk_bytes *b, wsk_fabric *f, int y, int k, int c)
{
    size_t at = wsk_lane_at(f, y, k, c);
    wsk_lane *lane = f->lane + at;
    wsk_lane_rest *rest = f->rest + at;
    u64 before = within(f, k);
    for (int i = 0; i < f->depth && !b->bad; i++) {
        u64 *slot = wsk_slot(lane, i);
        wsk_bytes_plane(b, slot, before);
        move_words(b, wsk_data_at(f, y, c, i) + 64 * k, *slot);
        wsk_bytes_plane(b, rest->control + i, *slot);
        wsk_bytes_plane(b, rest->advance + i, *slot);
        before = *slot;
        for (u64 m = b->from ? *slot : 0; m && !b->bad; m &= m - 1)
            wsk_take_place(b, f, 64 * k + wsk_ctz(m), y, c);
        if (b->from)
            lane->special += (u32)wsk_popcount(rest->control[i] | rest->advance[i]);
    }
    if (b->from && lane->head)
        wsk_wake(f, wsk_strip_of(f, y), y, k, c);
}

/* Bit-sliced counts: as many planes as are used. */
static void move_counts(wsk_bytes *b, wsk_fabric *f, size_t at)
{
    for (int which = 0; which <= PORTS; which++) {
        u64 *low = wsk_counted_at(f, at, which), *high = wsk_counter_at(f, at, which);
        u8 planes = 0;
        for (int i = 0; i < LOW_BITS + COUNTER_BITS && !b->from; i++)
            planes = (i < LOW_BITS ? low[i] : high[i - LOW_BITS]) ? (u8)(i + 1) : planes;
        WSK_MOVE(b, planes);
        if (!wsk_bytes_need(b, planes <= LOW_BITS + COUNTER_BITS))
            return;
        for (int i = 0; i < planes; i++)
            wsk_bytes_plane(b, i < LOW_BITS ? low + i : high + i - LOW_BITS, ~(u64)0);
    }
}

static void move_lane(wsk_bytes *b, wsk_fabric *f, int y, int k, int c)
{
    size_t at = wsk_lane_at(f, y, k, c);
    wsk_lane *lane = f->lane + at;
    wsk_lane_rest *rest = f->rest + at;
    u64 all = within(f, k), accepting[2], sending[2], frozen = lane->frozen;
    for (int i = 0; i < 2; i++) {
        accepting[i] = rest->accepting[i];
        sending[i] = rest->sending[i];
        wsk_bytes_plane(b, accepting + i, all);
        wsk_bytes_plane(b, sending + i, all);
    }
    wsk_bytes_plane(b, &frozen, all);
    wsk_bytes_plane(b, &lane->done, all);
    for (int d = 0; d < PORTS; d++)
        wsk_bytes_plane(b, rest->branch + d, all);
    wsk_bytes_plane(b, f->pointer + at, ~(u64)0);
    move_queues(b, f, y, k, c);
    move_counts(b, f, at);
    if (!b->from)
        return;
    set_positions(b, f, y, k, c, accepting, sending);
    for (u64 m = frozen; m; m &= m - 1)
        wsk_no_more_simple(f, 64 * k + wsk_ctz(m), y, c);
    lane->frozen = frozen;
    wsk_note_odd(f, at);
}

static void move_runs(wsk_bytes *b, wsk_fabric *f, int y, int k)
{
    wsk_runs *runs = f->runs + wsk_block_at(f, y, k);
    u8 counts = runs->cycle == (u64)f->cycle;         /* else they begin anew at the next use */
    WSK_MOVE(b, counts);
    if (!wsk_bytes_need(b, counts <= 1) || !counts)
        return;
    runs->cycle = (u64)f->cycle;
    for (int d = 0; d < PORTS; d++)
        for (int i = 0; i < RUN_BITS; i++)
            wsk_bytes_plane(b, runs->run[d] + i, within(f, k));
}

static void move_credits(wsk_bytes *b, wsk_fabric *f, int y, int c)
{
    u8 *credits = f->credits + ((size_t)y * f->n_colors + c) * f->width;
    for (int x = 0; x < f->width && !b->bad; x++) {
        WSK_MOVE(b, credits[x]);
        if (b->from)
            wsk_assign_bit(&f->lane[wsk_lane_at(f, y, x / 64, c)].shut, (u64)1 << (x % 64), !credits[x]);
    }
}

void wsk_move_lanes(wsk_bytes *b, wsk_fabric *f)
{
    for (int y = 0; y < f->height; y++) {
        for (int k = 0; k < f->blocks && !b->bad; k++) {
            for (int c = 0; c < f->n_colors && !b->bad; c++)
                move_lane(b, f, y, k, c);
            if (f->plan->rules.link_frame > f->plan->rules.link_words)
                move_runs(b, f, y, k);
        }
        for (int c = 0; c < f->n_colors && !b->bad; c++)
            if (f->sinks[c] == WSK_SINK_CORE)
                move_credits(b, f, y, c);
    }
}

/* ---- Words on links ---- */

/* Whether lane (y, k, c) sent words by side d in the cycle of a slot. */
static int has_sent(const wsk_fabric *f, int slot, int y, int k, int c, int d)
{
    return (wsk_strip_of(f, y)->rows_sent[slot][d] >> (y % STRIP_ROWS) & 1) && (wsk_row_sent_at(f, slot, y)[d] >> k & 1)
        && (wsk_sent_at(f, slot, y, k)->sent[d] >> c & 1);
}

/* Words that are read: in the lists of the links, and if they have not landed, with places where they go to. */
static void put_on_links(wsk_bytes *b, wsk_fabric *f, int slot, int y, int k, int c, wsk_wire *wire)
{
    for (int d = 0; d < SIDES && !b->bad; d++) {
        if (!wire->to[d])
            continue;
        wsk_sent_at(f, slot, y, k)->sent[d] |= (u32)1 << c;
        wsk_row_sent_at(f, slot, y)[d] |= (u64)1 << k;
        wsk_strip_of(f, y)->rows_sent[slot][d] |= (u64)1 << (y % STRIP_ROWS);
        for (u64 m = wire->to[d]; m && !b->bad; m &= m - 1) {
            int bit = wsk_ctz(m), swapped = f->plan->has_swap && (wire->swapped[d] >> bit & 1);
            int x = 64 * k + bit + dx[d], to = swapped ? f->plan->index_of[f->plan->color_of[c] ^ 1] : c;
            if (slot != (int)(f->cycle % f->hop))
                wsk_take_place(b, f, x, y + dy[d], to);
            else
                wsk_bytes_need(b, x >= 0 && x < f->width && y + dy[d] >= 0 && y + dy[d] < f->height);
        }
    }
}

static void move_wire(wsk_bytes *b, wsk_fabric *f, int slot, int y, int k, int c)
{
    wsk_wire *wire = wsk_wire_at(f, slot, wsk_lane_at(f, y, k, c));
    u64 all = within(f, k), any = 0, to[SIDES] = { 0 }, control = wire->control;
    u8 sides = 0;
    for (int d = 0; d < SIDES; d++)
        sides |= has_sent(f, slot, y, k, c, d) ? (u8)(1 << d) : 0;
    WSK_MOVE(b, sides);
    if (!wsk_bytes_need(b, sides < 1 << SIDES) || !sides)
        return;
    for (int d = 0; d < SIDES; d++) {
        to[d] = sides >> d & 1 && !b->from ? wire->to[d] : 0;
        if (sides >> d & 1)
            wsk_bytes_plane(b, to + d, all);
        any |= to[d];
    }
    control &= any;
    wsk_bytes_plane(b, &control, any);
    for (int d = 0; d < SIDES && f->plan->has_swap; d++)
        wsk_bytes_plane(b, wire->swapped + d, to[d]);
    if (!b->from && wire->single)
        WSK_MOVE(b, wire->word);
    else
        move_words(b, wsk_stage_at(f, slot, y, c) + 64 * k, any);
    if (b->from) {
        for (int d = 0; d < SIDES; d++)
            wire->to[d] = to[d];
        wire->control = control;
        wire->single = 0;
        put_on_links(b, f, slot, y, k, c, wire);
    }
}

void wsk_move_links(wsk_bytes *b, wsk_fabric *f)
{
    for (int slot = 0; slot < f->hop; slot++)
        for (int y = 0; y < f->height; y++)
            for (int k = 0; k < f->blocks; k++)
                for (int c = 0; c < f->n_colors && !b->bad; c++)
                    move_wire(b, f, slot, y, k, c);
}
