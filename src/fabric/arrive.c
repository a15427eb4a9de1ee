/* Phase two of a cycle, link traversal and buffer write: words sent in this cycle take their place in the next queue
 * (occupied, full), words that reach the end of their link are stored, and blocks become busy. Reads the wires of the rows
 * beside it, writes only its own row. */
#include "fabric_internal.h"

/* As wsk_take, for words that left by side d as color index `from`; those in `swapped` come as its partner. */
static int take_from(wsk_fabric *f, wsk_strip *s, int y, int k, int from, wsk_inbound in, u64 swapped, int what)
{
    wsk_inbound other = in;
    int status = 0;
    if (!(in.to & swapped))
        return wsk_take(f, s, y, k, from, &in, what);
    in.to &= ~swapped;
    in.control &= ~swapped;
    other.to &= swapped;
    other.control &= swapped;
    if (in.to)
        status = wsk_take(f, s, y, k, from, &in, what);
    return status < 0 ? status : wsk_take(f, s, y, k, f->plan->index_of[f->plan->color_of[from] ^ 1], &other, what);
}

static u64 swapped_on(const wsk_fabric *f, const wsk_wire *wire, int d)
{
    return f->plan->has_swap ? wire->swapped[d] : 0;
}

/* Words that row `from` sent north or south (d) to row y. */
static int from_row(wsk_fabric *f, wsk_strip *s, int y, int from, int d, int slot, int what)
{
    if (from < 0 || from >= f->height || !(wsk_strip_of(f, from)->rows_sent[slot][d] >> (from % STRIP_ROWS) & 1))
        return 0;
    for (u64 blocks = wsk_row_sent_at(f, slot, from)[d]; blocks; blocks &= blocks - 1) {
        int k = wsk_ctz(blocks);
        for (u32 colors = wsk_sent_at(f, slot, from, k)->sent[d]; colors; colors &= colors - 1) {
            int c = __builtin_ctz(colors);
            const wsk_wire *wire = wsk_wire_at(f, slot, wsk_lane_at(f, from, k, c));
            wsk_inbound in = { wire->to[d], wire->control & wire->to[d], wsk_stage_at(f, slot, from, c) + 64 * k, wire->single, wire->word };
            int status = take_from(f, s, y, k, c, in, swapped_on(f, wire, d), what);
            if (status < 0)
                return status;
        }
    }
    return 0;
}

/* Words of a block's own color that move one PE east (d: WSK_EAST) or west within the block. */
static wsk_inbound own_words(const wsk_fabric *f, const wsk_wire *wire, int slot, int y, int k, int c, int d)
{
    u64 to = wire->to[d], control = wire->control & to;
    const u32 *words = wsk_stage_at(f, slot, y, c) + 64 * k + (d == WSK_EAST ? -1 : 1);
    return (wsk_inbound){ d == WSK_EAST ? to << 1 : to >> 1, d == WSK_EAST ? control << 1 : control >> 1, words,
                          wire->single, wire->word };
}

/* The word of the block before that comes in over the border, at its first bit of the way. */
static wsk_inbound carried_word(const wsk_fabric *f, const wsk_wire *wire, int slot, int y, int k, int c, int d)
{
    u64 control = wire->control & wire->to[d];
    const u32 *words = wsk_stage_at(f, slot, y, c) + 64 * k + (d == WSK_EAST ? -1 : 1);
    return (wsk_inbound){ d == WSK_EAST ? 1 : (u64)1 << 63, d == WSK_EAST ? control >> 63 : control << 63, words,
                          wire->single, wire->word };
}

/* One color of one block: its own words that went by side d, and the one that comes over the border from the block before. */
static int sideways(wsk_fabric *f, wsk_strip *s, int y, int k, int c, int d, int slot, int what, int own, int carry)
{
    const wsk_wire *wire = wsk_wire_at(f, slot, wsk_lane_at(f, y, k, c));
    const wsk_wire *last = d == WSK_EAST ? wire - f->n_colors : wire + f->n_colors;
    wsk_inbound in = { 0 }, one = { 0 };
    u64 swapped = 0, border = 0;
    if (own) {
        in = own_words(f, wire, slot, y, k, c, d);
        swapped = d == WSK_EAST ? swapped_on(f, wire, d) << 1 : swapped_on(f, wire, d) >> 1;
    }
    if (carry) {
        one = carried_word(f, last, slot, y, k, c, d);
        border = d == WSK_EAST ? swapped_on(f, last, d) >> 63 : swapped_on(f, last, d) << 63;
    }
    if (in.to && one.to && !in.single && !one.single) {
        in.to |= one.to;
        in.control |= one.control;
        swapped |= border;
        one.to = 0;
    }
    int status = in.to ? take_from(f, s, y, k, c, in, swapped, what) : 0;
    return status < 0 || !one.to ? status : take_from(f, s, y, k, c, one, border, what);
}

/* Words that went east or west (d) in row y, block by block along their way. */
static int from_side(wsk_fabric *f, wsk_strip *s, int y, int d, int slot, int what)
{
    u64 blocks = wsk_row_sent_at(f, slot, y)[d];
    u32 carry = 0;                                    /* colors of which a word left the block before */
    for (int k = 0; blocks | carry; k += d == WSK_EAST ? 1 : -1) {
        if (!carry)
            k = d == WSK_EAST ? wsk_ctz(blocks) : 63 - __builtin_clzll(blocks);
        u32 own = blocks >> k & 1 ? wsk_sent_at(f, slot, y, k)->sent[d] : 0, next = 0;
        for (u32 colors = own | carry; colors; colors &= colors - 1) {
            int c = __builtin_ctz(colors);
            int status = sideways(f, s, y, k, c, d, slot, what, own >> c & 1, carry >> c & 1);
            if (status < 0)
                return status;
            if (own >> c & 1) {
                u64 to = wsk_wire_at(f, slot, wsk_lane_at(f, y, k, c))->to[d];
                next |= (u32)(d == WSK_EAST ? to >> 63 : to & 1) << c;
            }
        }
        blocks &= ~((u64)1 << k);
        carry = next;
    }
    return 0;
}

/* All words that were sent into row y in the cycle of `slot`. */
static int arrivals(wsk_fabric *f, wsk_strip *s, int y, int slot, int what)
{
    int row = y % STRIP_ROWS, status = 0;
    if (s->rows_sent[slot][WSK_EAST] >> row & 1)
        status = from_side(f, s, y, WSK_EAST, slot, what);
    if (!status && (s->rows_sent[slot][WSK_WEST] >> row & 1))
        status = from_side(f, s, y, WSK_WEST, slot, what);
    if (!status)
        status = from_row(f, s, y, y - 1, WSK_SOUTH, slot, what);
    if (!status)
        status = from_row(f, s, y, y + 1, WSK_NORTH, slot, what);
    return status;
}

/* Senders may see from now on that full queues have lost a word. */
static void show_freed(wsk_fabric *f, int y)
{
    for (u64 blocks = f->row_freed[y]; blocks; blocks &= blocks - 1) {
        int k = wsk_ctz(blocks);
        wsk_block *block = f->block + wsk_block_at(f, y, k);
        for (; block->freed; block->freed &= block->freed - 1) {
            wsk_lane *lane = f->lane + wsk_lane_at(f, y, k, __builtin_ctz(block->freed));
            lane->full = wsk_full(f, lane);
        }
    }
    f->row_freed[y] = 0;
}

int wsk_arrive_row(wsk_fabric *f, wsk_strip *s, int y)
{
    int slot = (int)(f->cycle % f->hop);
    if (s->rows_freed >> (y % STRIP_ROWS) & 1)
        show_freed(f, y);
    if (f->hop == 1)
        return arrivals(f, s, y, slot, RESERVE | LAND);
    int status = arrivals(f, s, y, slot, RESERVE);
    return status ? status : arrivals(f, s, y, (int)((f->cycle + 1) % f->hop), LAND);
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
    u64 rows = f->strip[i].rows_freed, outer = outer_rows(f, i);
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

/* Words that come off on-ramps and edges in cycle + 1 (they have had their place since they were accepted). Called when
 * all words of the strip have left, after the links' words landed in its inner rows, before they land in its outer ones. */
int wsk_arrive_pending(wsk_fabric *f, wsk_strip *s)
{
    int bucket = (int)((f->cycle + 1) % f->ring);
    s->n_landing = s->n_pending[bucket];
    for (int i = 0; i < s->n_landing; i++) {
        const wsk_pending *p = s->pending[bucket] + i;
        int y = (int)(p->pe / (u32)f->width), x = (int)(p->pe % (u32)f->width), k = x / 64, c = p->index, slot = 0;
        size_t at = wsk_lane_at(f, y, k, c);
        wsk_lane *lane = f->lane + at;
        u64 bit = (u64)1 << (x % 64);
        u64 before = wsk_arrived(f, lane);
        if (before & bit)
            return wsk_two_inputs(f, s, y, k, c, bit, f->cycle + 1);
        lane->arrived_at = (u32)(f->cycle + 1);
        lane->arrived = before | bit;
        while (*wsk_slot(lane, slot) & bit)
            slot++;
        *wsk_slot(lane, slot) |= bit;
        wsk_data_at(f, y, c, slot)[x] = p->data;
        if (p->flags) {
            wsk_assign_bit(f->rest[at].control + slot, bit, p->flags & WSK_CONTROL);
            wsk_assign_bit(f->rest[at].advance + slot, bit, p->flags & WSK_ADVANCE);
            lane->special++;
            wsk_note_odd(f, at);
        }
        wsk_wake(f, s, y, k, c);
    }
    s->n_pending[bucket] = 0;
    return 0;
}

/* Phase two: where the landed word had turned its switch, words of the other ports may follow now. */
void wsk_turn_landed(wsk_fabric *f, wsk_strip *s)
{
    wsk_pending *landed = s->pending[(f->cycle + 1) % f->ring];
    for (int i = 0; i < s->n_landing; i++) {
        wsk_pending *p = landed + i;
        if (!p->turns)
            continue;
        int y = (int)(p->pe / (u32)f->width), x = (int)(p->pe % (u32)f->width), c = p->index;
        size_t at = wsk_lane_at(f, y, x / 64, c);
        wsk_binary_subtract(f->rest[at].turning, COUNT_BITS, (u64)1 << (x % 64));
        wsk_set_accepting(f, at, x % 64, wsk_route_at(f, x, y, c), wsk_bits_at(f->rest[at].accepting, 2, x % 64));
        p->turns = 0;
    }
}
