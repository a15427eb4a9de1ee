/* Phase two of a cycle: words sent in this cycle take their place in the next queue (occupied, full), words that reach the
 * end of their link are stored, and blocks become busy or idle. Reads the wires of neighbours, writes only its own block. */
#include "fabric_internal.h"

/* Words that travel towards one lane: which PEs, and from which lane and offset their data comes. */
typedef struct { u64 to; u64 control; const u32 *words; int port; } wsk_inbound;

/* The blocks that can send into a block, and how they do. */
enum { FROM_SOUTH, FROM_NORTH, FROM_HERE_EAST, FROM_WEST, FROM_HERE_WEST, FROM_EAST, ORIGINS };
static const struct { int dy, dk, d; } origins[ORIGINS] = {
    { 1, 0, WSK_NORTH }, { -1, 0, WSK_SOUTH }, { 0, 0, WSK_EAST }, { 0, -1, WSK_EAST }, { 0, 0, WSK_WEST }, { 0, 1, WSK_WEST } };

/* Words of lane (y, k, c) that left by d, as color c again (same) or as its partner (swapped). */
static u64 leaving(const wsk_fabric *f, int slot, int y, int k, int d, int c, int swapped, u64 *control)
{
    const wsk_wire *wire = wsk_wire_at(f, slot, wsk_lane_at(f, y, k, c));
    u64 m = wire->to[d];
    if (f->plan->has_swap)
        m &= swapped ? wire->swapped[(d & 1) ? 0 : 1] : ~wire->swapped[(d & 1) ? 0 : 1];
    *control = wire->control & m;
    return m;
}

/* All words of color index `from` that were sent into a block in the cycle of `slot`. */
static int inbound(const wsk_fabric *f, int slot, int y, int k, int from, int swapped, const u32 sent[ORIGINS],
                   wsk_inbound *list)
{
    int n = 0;
    u64 control;
    if (sent[FROM_SOUTH] >> from & 1) {
        u64 m = leaving(f, slot, y + 1, k, WSK_NORTH, from, swapped, &control);
        list[n++] = (wsk_inbound){ m, control, wsk_stage_at(f, slot, y + 1, from) + 64 * k, WSK_SOUTH };
    }
    if (sent[FROM_NORTH] >> from & 1) {
        u64 m = leaving(f, slot, y - 1, k, WSK_SOUTH, from, swapped, &control);
        list[n++] = (wsk_inbound){ m, control, wsk_stage_at(f, slot, y - 1, from) + 64 * k, WSK_NORTH };
    }
    if ((sent[FROM_HERE_EAST] | sent[FROM_WEST]) >> from & 1) {
        u64 m = 0, all = 0;
        if (sent[FROM_HERE_EAST] >> from & 1) {
            m = leaving(f, slot, y, k, WSK_EAST, from, swapped, &control) << 1;
            all = control << 1;
        }
        if (sent[FROM_WEST] >> from & 1) {
            m |= leaving(f, slot, y, k - 1, WSK_EAST, from, swapped, &control) >> 63;
            all |= control >> 63;
        }
        if (m)
            list[n++] = (wsk_inbound){ m, all, wsk_stage_at(f, slot, y, from) + 64 * k - 1, WSK_WEST };
    }
    if ((sent[FROM_HERE_WEST] | sent[FROM_EAST]) >> from & 1) {
        u64 m = 0, all = 0;
        if (sent[FROM_HERE_WEST] >> from & 1) {
            m = leaving(f, slot, y, k, WSK_WEST, from, swapped, &control) >> 1;
            all = control >> 1;
        }
        if (sent[FROM_EAST] >> from & 1) {
            m |= leaving(f, slot, y, k + 1, WSK_WEST, from, swapped, &control) << 63;
            all |= control << 63;
        }
        if (m)
            list[n++] = (wsk_inbound){ m, all, wsk_stage_at(f, slot, y, from) + 64 * k + 1, WSK_EAST };
    }
    return n;
}

static int inbound_of_lane(const wsk_fabric *f, int slot, int y, int k, int c, const u32 sent[ORIGINS], wsk_inbound *list)
{
    int n = inbound(f, slot, y, k, c, 0, sent, list);
    int other = f->plan->has_swap ? f->plan->index_of[f->plan->color_of[c] ^ 1] : -1;
    if (other >= 0)
        n += inbound(f, slot, y, k, other, 1, sent, list + n);
    return n;
}

/* Two words of one color that arrive at one router in one cycle break the architecture's rules. */
static int two_inputs(wsk_fabric *f, wsk_strip *s, int y, int k, int c, const wsk_inbound *list, int n, u64 ramp, u64 clash)
{
    int b = wsk_ctz(clash), ports[2] = { -1, -1 }, found = 0;
    for (int i = 0; i < n && found < 2; i++)
        if (list[i].to >> b & 1)
            ports[found++] = list[i].port;
    if (found < 2 && ramp >> b & 1)
        ports[found] = WSK_RAMP;
    return wsk_fail(f, s, WSK_ERR_TWO_INPUTS, (u32)(y * f->width + 64 * k + b), f->plan->color_of[c], ports[0], ports[1],
                    f->cycle + 1);
}

/* Control words change the position at the way in as soon as they have a place, so that later words wait outside. */
static void accept_commands(wsk_fabric *f, int y, int k, int c, const wsk_inbound *in)
{
    size_t at = wsk_lane_at(f, y, k, c);
    for (u64 m = in->to & in->control & f->lane[at].switched; m; m &= m - 1) {
        int b = wsk_ctz(m), before = wsk_bits_at(f->rest[at].accepting, 2, b);
        const wsk_route *route = wsk_route_at(f, 64 * k + b, y, c);
        int after = wsk_position_after(route, before, in->words[b], WSK_CONTROL);
        if (after != before)
            wsk_set_accepting(f, at, b, route, after);
    }
}

static void store(wsk_fabric *f, int y, int k, int c, const wsk_inbound *in)
{
    size_t at = wsk_lane_at(f, y, k, c);
    wsk_lane *lane = f->lane + at;
    u64 left = in->to;
    for (int i = 0; left && i < f->depth; i++) {
        u64 here = left & ~lane->valid[i];
        if (!here)
            continue;
        wsk_copy_words(wsk_data_at(f, y, c, i) + 64 * k, in->words, here, f->simd_level);
        lane->valid[i] |= here;
        if (here & in->control) {
            f->rest[at].control[i] |= here & in->control;
            lane->special += (u32)wsk_popcount(here & in->control);
        }
        left &= ~here;
    }
}

/* Take places for the words sent in this cycle, give back those of the words that left. */
static int reserve(wsk_fabric *f, int y, int k, int c, const wsk_inbound *list, int n, u64 popped)
{
    wsk_lane *lane = f->lane + wsk_lane_at(f, y, k, c);
    u64 coming = 0;
    for (int i = 0; i < n; i++) {
        coming |= list[i].to;
        if (list[i].control)
            accept_commands(f, y, k, c, list + i);
    }
    if (coming == popped)
        return 0;
    wsk_binary_add(lane->occupied, COUNT_BITS, coming & ~popped);
    wsk_binary_subtract(lane->occupied, COUNT_BITS, popped & ~coming);
    lane->full = wsk_binary_equals(lane->occupied, COUNT_BITS, f->depth);
    return 0;
}

static int land(wsk_fabric *f, wsk_strip *s, int y, int k, int c, const wsk_inbound *list, int n)
{
    const wsk_lane *lane = f->lane + wsk_lane_at(f, y, k, c);
    u64 ramp = lane->arrived_at == (u32)(f->cycle + 1) ? lane->arrived : 0, once = ramp, clash = 0;
    for (int i = 0; i < n; i++) {
        clash |= list[i].to & once;
        once |= list[i].to;
    }
    if (clash)
        return two_inputs(f, s, y, k, c, list, n, ramp, clash);
    for (int i = 0; i < n; i++)
        store(f, y, k, c, list + i);
    return 0;
}

/* Colors that were sent into a block in the cycle of `slot`, by origin; returns all that may arrive. */
static u32 colors_inbound(const wsk_fabric *f, int slot, int y, int k, u32 sent[ORIGINS])
{
    u32 colors = 0;
    for (int i = 0; i < ORIGINS; i++) {
        int row = y + origins[i].dy, block = k + origins[i].dk, d = origins[i].d;
        sent[i] = 0;
        if (row < 0 || row >= f->height || block < 0 || block >= f->blocks)
            continue;
        if ((wsk_strip_of(f, row)->rows_sent[slot][d] >> (row % STRIP_ROWS) & 1)
            && (wsk_row_sent_at(f, slot, row)[d] >> block & 1))
            colors |= sent[i] = wsk_sent_at(f, slot, row, block)->sent[d];
    }
    if (f->plan->has_swap && colors) {
        u32 more = 0;
        for (u32 m = colors; m; m &= m - 1) {
            int other = f->plan->index_of[f->plan->color_of[__builtin_ctz(m)] ^ 1];
            more |= other >= 0 ? (u32)1 << other : 0;
        }
        colors |= more;
    }
    return colors;
}

int wsk_arrive_block(wsk_fabric *f, wsk_strip *s, int y, int k)
{
    wsk_block *block = f->block + wsk_block_at(f, y, k);
    wsk_inbound list[16];
    int now = (int)(f->cycle % f->hop), old = (int)((f->cycle + 1) % f->hop);
    int departed = (int)(s->rows_popped >> (y % STRIP_ROWS) & 1) && (f->row_popped[y] >> k & 1);
    u32 sent_now[ORIGINS], sent_old[ORIGINS];
    u32 popped = departed ? block->popped : 0, sent = colors_inbound(f, now, y, k, sent_now);
    u32 landing = f->hop == 1 ? sent : colors_inbound(f, old, y, k, sent_old);
    for (u32 colors = popped | sent | landing; colors; colors &= colors - 1) {
        int c = __builtin_ctz(colors), n = 0;
        wsk_lane *lane = f->lane + wsk_lane_at(f, y, k, c);
        if (sent >> c & 1)
            n = inbound_of_lane(f, now, y, k, c, sent_now, list);
        reserve(f, y, k, c, list, n, popped >> c & 1 ? lane->popped : 0);
        if (landing >> c & 1) {
            if (f->hop > 1)
                n = inbound_of_lane(f, old, y, k, c, sent_old, list);
            if (land(f, s, y, k, c, list, n) < 0)
                return s->report.status;
        }
        if (lane->valid[0])
            block->active |= (u32)1 << c;
        else
            block->active &= ~((u32)1 << c);
    }
    if (block->active) {
        f->row_active[y] |= (u64)1 << k;
        s->rows_active |= (u64)1 << (y % STRIP_ROWS);
    } else {
        f->row_active[y] &= ~((u64)1 << k);
        if (!f->row_active[y])
            s->rows_active &= ~((u64)1 << (y % STRIP_ROWS));
    }
    return 0;
}

/* Blocks of row y that words were sent to in the cycle of `slot`. */
static u64 sent_to_row(const wsk_fabric *f, int slot, int y)
{
    u64 m = 0, row = (u64)1 << (y % STRIP_ROWS);
    const wsk_strip *s = wsk_strip_of(f, y);
    if (s->rows_sent[slot][WSK_EAST] & row) {
        u64 blocks = wsk_row_sent_at(f, slot, y)[WSK_EAST];
        m |= blocks | blocks << 1;
    }
    if (s->rows_sent[slot][WSK_WEST] & row) {
        u64 blocks = wsk_row_sent_at(f, slot, y)[WSK_WEST];
        m |= blocks | blocks >> 1;
    }
    if (y + 1 < f->height && (wsk_strip_of(f, y + 1)->rows_sent[slot][WSK_NORTH] >> ((y + 1) % STRIP_ROWS) & 1))
        m |= wsk_row_sent_at(f, slot, y + 1)[WSK_NORTH];
    if (y > 0 && (wsk_strip_of(f, y - 1)->rows_sent[slot][WSK_SOUTH] >> ((y - 1) % STRIP_ROWS) & 1))
        m |= wsk_row_sent_at(f, slot, y - 1)[WSK_SOUTH];
    return f->blocks == 64 ? m : m & (((u64)1 << f->blocks) - 1);
}

u64 wsk_arrivals_of_row(const wsk_fabric *f, int y)
{
    const wsk_strip *s = wsk_strip_of(f, y);
    u64 m = s->rows_popped >> (y % STRIP_ROWS) & 1 ? f->row_popped[y] : 0;
    m |= sent_to_row(f, (int)(f->cycle % f->hop), y);
    if (f->hop > 1)
        m |= sent_to_row(f, (int)((f->cycle + 1) % f->hop), y);
    return m;
}

static u64 outer_rows(const wsk_fabric *f, int i)
{
    int last = f->height - STRIP_ROWS * i < STRIP_ROWS ? f->height - STRIP_ROWS * i - 1 : STRIP_ROWS - 1;
    return 1 | (u64)1 << last;
}

static u64 rows_sending(const wsk_fabric *f, int i, int slot)
{
    const u64 *sent = f->strip[i].rows_sent[slot];
    return sent[0] | sent[1] | sent[2] | sent[3];
}

/* Rows of strip i, but its first and last, that words may leave or reach in this cycle (asked before they leave). */
u64 wsk_inner_arrivals(const wsk_fabric *f, int i)
{
    u64 rows = f->strip[i].rows_active;
    if (f->hop > 1)
        rows |= rows_sending(f, i, (int)((f->cycle + 1) % f->hop));
    rows |= rows << 1 | rows >> 1;
    u64 last = outer_rows(f, i) & ~(u64)1;
    return last ? rows & (last - 1) & ~(u64)1 : 0;
}

/* First and last row of strip i, if words left them or come to them. */
u64 wsk_outer_arrivals(const wsk_fabric *f, int i)
{
    u64 rows = f->strip[i].rows_active | f->strip[i].rows_popped, outer = outer_rows(f, i);
    for (int turn = 0; turn < (f->hop > 1 ? 2 : 1); turn++) {
        int slot = (int)((f->cycle + turn) % f->hop);
        rows |= rows_sending(f, i, slot);
        if (i > 0)
            rows |= rows_sending(f, i - 1, slot) >> 63;
        if (i + 1 < f->strips)
            rows |= rows_sending(f, i + 1, slot) & 1 ? outer : 0;
    }
    rows |= rows << 1 | rows >> 1;
    return rows & outer;
}

/* Whether a word came over a link into this queue in this cycle already (rows in the middle of a strip land early). */
static int landed(const wsk_fabric *f, int y, int k, int c, u64 bit, int port)
{
    const wsk_lane_rest *rest = f->rest + wsk_lane_at(f, y, k, c);
    wsk_inbound list[16];
    u64 other = 0;
    for (int d = 0; d < SIDES; d++)
        other |= d == port ? 0 : rest->in_any[d];
    if (!(other & bit))
        return 0;
    int slot = (int)((f->cycle + 1) % f->hop);
    u64 coming = 0;
    u32 sent[ORIGINS];
    if (colors_inbound(f, slot, y, k, sent) >> c & 1)
        for (int n = inbound_of_lane(f, slot, y, k, c, sent, list), i = 0; i < n; i++)
            coming |= list[i].to;
    return (coming & bit) != 0;
}

/* Words that come off on-ramps and edges in cycle + 1 (they have had their place since they were accepted). Called when
 * all words of the strip have left, after the links' words landed in its inner rows, before they land in its outer ones. */
int wsk_arrive_pending(wsk_fabric *f, wsk_strip *s)
{
    int bucket = (int)((f->cycle + 1) % f->ring);
    for (int i = 0; i < s->n_pending[bucket]; i++) {
        const wsk_pending *p = s->pending[bucket] + i;
        int y = (int)(p->pe / (u32)f->width), x = (int)(p->pe % (u32)f->width), k = x / 64, c = p->index, slot = 0;
        size_t at = wsk_lane_at(f, y, k, c);
        wsk_lane *lane = f->lane + at;
        u64 bit = (u64)1 << (x % 64);
        int inner = !(outer_rows(f, y / STRIP_ROWS) >> (y % STRIP_ROWS) & 1);
        if (lane->arrived_at != (u32)(f->cycle + 1)) {
            lane->arrived_at = (u32)(f->cycle + 1);
            lane->arrived = 0;
        }
        if ((lane->arrived & bit) || (inner && landed(f, y, k, c, bit, p->port)))
            return wsk_fail(f, s, WSK_ERR_TWO_INPUTS, p->pe, f->plan->color_of[c], p->port, -1, f->cycle + 1);
        lane->arrived |= bit;
        while (lane->valid[slot] & bit)
            slot++;
        lane->valid[slot] |= bit;
        wsk_data_at(f, y, c, slot)[x] = p->data;
        if (p->flags) {
            wsk_assign_bit(f->rest[at].control + slot, bit, p->flags & WSK_CONTROL);
            wsk_assign_bit(f->rest[at].advance + slot, bit, p->flags & WSK_ADVANCE);
            lane->special++;
        }
        if (p->turns) {
            wsk_binary_subtract(f->rest[at].turning, COUNT_BITS, bit);
            wsk_set_accepting(f, at, x % 64, wsk_route_at(f, x, y, c), wsk_bits_at(f->rest[at].accepting, 2, x % 64));
        }
        f->block[wsk_block_at(f, y, k)].active |= (u32)1 << c;
        f->row_active[y] |= (u64)1 << k;
        s->rows_active |= (u64)1 << (y % STRIP_ROWS);
    }
    s->n_pending[bucket] = 0;
    return 0;
}
