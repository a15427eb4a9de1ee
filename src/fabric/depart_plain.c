/* Phase one of a row, block by block: by depart.c or, in the common case, here. Common: no two colors of the block want one
 * link, no control words, links that do not rest, no swap, no filter, closed edges. Same rules and same results as depart.c,
 * with what cannot happen left out: nothing is allocated, as every request is granted. */
#include "fabric_internal.h"
#include "copy_words.h"
#include <string.h>

enum { NOT_PLAIN = 1 };

/* Words that ask for side d and have no room beyond it: full[b], in[b] are the far router's of bit b. */
static inline u64 stopped(wsk_fabric *f, const wsk_row *r, int k, int c, int d, u64 want, u64 full, u64 in, int *status)
{
    u64 deaf = want & ~in;
    if (deaf && !*status)
        *status = wsk_check_routed(f, r->strip, r->y, k, c, d, deaf);
    return (want & full) | deaf;
}

/* The heads in m leave by side d. */
static inline void put_on_link(wsk_fabric *f, const wsk_row *r, int k, int c, int d, size_t at, wsk_wire *wire, u64 m)
{
    wire->to[d] = m;
    r->sent_blocks[d] |= (u64)1 << k;
    r->strip->rows_sent[r->slot][d] |= r->bit;
    r->sent[k].sent[d] |= (u32)1 << c;
    wsk_count(f, at, d, m);
}

/* Ready heads of a lane that have room on all their ways; to: the ways. */
static inline u64 with_room(wsk_fabric *f, const wsk_row *r, int k, int c, const wsk_lane *lane, u64 ready, const u64 to[PORTS],
                            int *status)
{
    size_t row_of_lanes = (size_t)f->blocks * f->n_colors;
    u64 able = ready;
    if (to[WSK_NORTH]) {
        const wsk_lane *far = lane - row_of_lanes;
        able &= ~stopped(f, r, k, c, WSK_NORTH, to[WSK_NORTH], far->full, far->in[WSK_SOUTH], status);
    }
    if (to[WSK_SOUTH]) {
        const wsk_lane *far = lane + row_of_lanes;
        able &= ~stopped(f, r, k, c, WSK_SOUTH, to[WSK_SOUTH], far->full, far->in[WSK_NORTH], status);
    }
    if (to[WSK_EAST]) {
        u64 full = lane->full >> 1, in = lane->in[WSK_WEST] >> 1;
        if (to[WSK_EAST] >> 63) {
            full |= lane[f->n_colors].full << 63;
            in |= lane[f->n_colors].in[WSK_WEST] << 63;
        }
        able &= ~stopped(f, r, k, c, WSK_EAST, to[WSK_EAST], full, in, status);
    }
    if (to[WSK_WEST]) {
        u64 full = lane->full << 1, in = lane->in[WSK_EAST] << 1;
        if (to[WSK_WEST] & 1) {
            full |= lane[-f->n_colors].full >> 63;
            in |= lane[-f->n_colors].in[WSK_EAST] >> 63;
        }
        able &= ~stopped(f, r, k, c, WSK_WEST, to[WSK_WEST], full, in, status);
    }
    if (to[WSK_RAMP] && f->sinks[c] == WSK_SINK_CORE)
        able &= ~(to[WSK_RAMP] & lane->shut);
    return able;
}

/* One lane, whose ready heads share no link with another color's. */
static int depart_lane(wsk_fabric *f, const wsk_row *r, int k, int c)
{
    size_t in_row = (size_t)k * f->n_colors + c, at = r->first_lane + in_row;
    wsk_lane *lane = r->lanes + in_row;
    wsk_strip *s = r->strip;
    u64 to[PORTS], ready = lane->head, over_links = 0;
    int status = 0, hops = 0, left;
    for (int d = 0; d < PORTS; d++)
        to[d] = ready & lane->out[d];
    u64 able = with_room(f, r, k, c, lane, ready, to, &status);
    if (status < 0)
        return status;
    if (able != ready) {
        s->totals.stalls[c] += (u64)wsk_popcount(ready & ~able);
        wsk_count(f, at, PORTS, ready & ~able);
        if (!able)
            return 0;
    }
    wsk_wire *wire = r->wires + in_row;
    const u32 *heads = wsk_data_at(f, r->y, c, 0) + 64 * k;
    wire->control = wire->single = 0;
    for (int d = 0; d < SIDES; d++) {
        u64 m = able & to[d];
        if (m) {
            put_on_link(f, r, k, c, d, at, wire, m);
            hops += wsk_popcount(m);
            over_links |= m;
        }
    }
    if (over_links & (over_links - 1)) {
        wsk_copy_words(wsk_stage_at(f, r->slot, r->y, c) + 64 * k, heads, over_links);
    } else if (over_links) {
        wire->single = 1;
        wire->word = heads[wsk_ctz(over_links)];
    }
    left = wsk_popcount(able);
    s->totals.hops[c] += (u64)hops;
    s->totals.copied[c] += (u64)(hops - left);
    s->stored += hops - left;
    u64 heard = able & to[WSK_RAMP];
    if (heard) {
        s->totals.copied[c] += (u64)wsk_popcount(heard);
        wsk_count(f, at, WSK_RAMP, heard);
        wsk_deliver(f, s, r->y, k, c, heard, heads, 0);
    }
    wsk_leave(f, r, k, c, able);
    s->last_move = f->cycle;
    return 0;
}

/* Whether two colors of a block want one link of one router. */
static int contended(const wsk_lane *lanes, u32 active)
{
    u64 taken[PORTS] = { 0 }, clash = 0;
    for (u32 colors = active; colors; colors &= colors - 1) {
        const wsk_lane *lane = lanes + __builtin_ctz(colors);
        for (int d = 0; d < PORTS; d++) {
            u64 want = lane->head & lane->out[d];
            clash |= want & taken[d];
            taken[d] |= want;
        }
    }
    return clash != 0;
}

/* 0, a status, or NOT_PLAIN: not the common case after all, nothing has changed. */
static int depart_plain(wsk_fabric *f, const wsk_row *r, int k)
{
    const wsk_block *block = r->blocks + k;
    u32 active = block->active;
    u64 seen = 0, met = 0;
    const wsk_lane *lanes = r->lanes + (size_t)k * f->n_colors;
    if (active & block->odd)
        return NOT_PLAIN;
    for (u32 colors = active & (active - 1) ? active : 0; colors; colors &= colors - 1) {
        u64 heads = lanes[__builtin_ctz(colors)].head;
        met |= seen & heads;
        seen |= heads;
    }
    if (met && contended(lanes, active))
        return NOT_PLAIN;
    if (f->lone && wsk_go_alone(f, r, k))
        return 0;
    r->sent[k] = (wsk_sent){ { 0 } };
    for (u32 colors = active; colors; colors &= colors - 1) {
        int status = depart_lane(f, r, k, __builtin_ctz(colors));
        if (status < 0)
            return status;
    }
    return 0;
}

static inline void ask_for_words(const u32 *words)
{
    for (int i = 0; i < 64; i += 16)
        WSK_ASK_FOR(words + i);
}

/* Ask for the memory of a block before its turn comes: its words, where they go, and the counts of the links that they take. */
static inline void ask_for_block(const wsk_fabric *f, int y, int k, int slot)
{
    const size_t first = wsk_lane_at(f, y, k, 0), south = y + 1 < f->height ? (size_t)f->blocks * f->n_colors : 0;
    for (u32 colors = f->block[wsk_block_at(f, y, k)].active; colors; colors &= colors - 1) {
        int c = __builtin_ctz(colors);
        const wsk_lane *lane = f->lane + first + c;
        WSK_ASK_FOR(&lane->full);
        WSK_ASK_FOR(lane->behind);
        WSK_ASK_FOR(&lane[south].full);
        WSK_ASK_FOR(wsk_wire_at(f, slot, first + c));
        ask_for_words(wsk_data_at(f, y, c, 0) + 64 * k);
        if (lane->behind[0])
            ask_for_words(wsk_data_at(f, y, c, 1) + 64 * k);
        ask_for_words(wsk_stage_at(f, slot, y, c) + 64 * k);
        for (int d = 0; d < PORTS; d++)
            if (lane->head & lane->out[d])
                WSK_ASK_FOR(wsk_counted_at(f, first + c, d));
        if (lane->head & lane->full)
            WSK_ASK_FOR(wsk_counted_at(f, first + c, PORTS));
    }
}

int wsk_depart_row(wsk_fabric *f, wsk_strip *s, int y)
{
    int slot = (int)(f->cycle % f->hop);
    size_t first = wsk_lane_at(f, y, 0, 0);
    const wsk_row row = { s, y, slot, (u64)1 << (y % STRIP_ROWS), wsk_row_sent_at(f, slot, y), first, f->lane + first,
                          wsk_wire_at(f, slot, first), wsk_sent_at(f, slot, y, 0), f->block + wsk_block_at(f, y, 0) };
    memset(row.sent_blocks, 0, SIDES * sizeof(u64));
    for (u64 blocks = f->row_active[y]; blocks; blocks &= blocks - 1) {
        if (blocks & (blocks - 1))
            ask_for_block(f, y, wsk_ctz(blocks & (blocks - 1)), slot);
        else if ((y + 1) % STRIP_ROWS && y + 1 < f->height && f->row_active[y + 1])
            ask_for_block(f, y + 1, wsk_ctz(f->row_active[y + 1]), slot);
        int k = wsk_ctz(blocks), status = f->plain ? depart_plain(f, &row, k) : NOT_PLAIN;
        if (status == NOT_PLAIN)
            status = wsk_depart_block(f, &row, k);
        if (status < 0)
            return status;
    }
    return 0;
}
