/* Phase one for the common case: one busy color in the block, no control words, links that do not rest, no swap, no filter,
 * closed edges. Same rules and same results as depart.c, with what cannot happen left out. */
#include "fabric_internal.h"

/* Room and listening of the routers beyond a sideways port, in the bits of the senders; `next` is the block beyond bit 63 or 0. */
static int able_sideways(const wsk_lane *lane, const wsk_lane *next, int d, u64 want, u64 *able)
{
    int port = d ^ 2;
    u64 full, in;
    if (d == WSK_EAST) {
        full = lane->full >> 1;
        in = lane->in[port] >> 1;
        if (want >> 63) {
            full |= next->full << 63;
            in |= next->in[port] << 63;
        }
    } else {
        full = lane->full << 1;
        in = lane->in[port] << 1;
        if (want & 1) {
            full |= next->full >> 63;
            in |= next->in[port] >> 63;
        }
    }
    *able &= ~(want & full);
    return (want & ~in) == 0;
}

static int able_upright(const wsk_lane *far, int d, u64 want, u64 *able)
{
    *able &= ~(want & far->full);
    return (want & ~far->in[d ^ 2]) == 0;
}

static void put_on_link(wsk_fabric *f, wsk_strip *s, int y, int k, int c, int d, int slot, wsk_wire *wire, u64 m)
{
    u64 *blocks = wsk_row_sent_at(f, slot, y) + d, row = (u64)1 << (y % STRIP_ROWS);
    wire->to[d] = m;
    wsk_count(f, y, k, d, m);
    *blocks = (s->rows_sent[slot][d] & row ? *blocks : 0) | (u64)1 << k;
    s->rows_sent[slot][d] |= row;
    wsk_sent_at(f, slot, y, k)->sent[d] = (u32)1 << c;
}

/* 1: done; 0: not the common case after all, nothing has changed. */
int wsk_depart_plain(wsk_fabric *f, wsk_strip *s, int y, int k, int c)
{
    size_t at = wsk_lane_at(f, y, k, c), row_of_lanes = (size_t)f->blocks * f->n_colors;
    wsk_lane *lane = f->lane + at;
    u64 ready = lane->valid[0] & ~lane->frozen, able = ready;
    if (lane->special)
        return 0;
    if ((ready & lane->out[WSK_NORTH]) && !able_upright(lane - row_of_lanes, WSK_NORTH, ready & lane->out[WSK_NORTH], &able))
        return 0;
    if ((ready & lane->out[WSK_SOUTH]) && !able_upright(lane + row_of_lanes, WSK_SOUTH, ready & lane->out[WSK_SOUTH], &able))
        return 0;
    if ((ready & lane->out[WSK_EAST])
        && !able_sideways(lane, lane + f->n_colors, WSK_EAST, ready & lane->out[WSK_EAST], &able))
        return 0;
    if ((ready & lane->out[WSK_WEST])
        && !able_sideways(lane, lane - f->n_colors, WSK_WEST, ready & lane->out[WSK_WEST], &able))
        return 0;
    u64 heard = ready & lane->out[WSK_RAMP];
    if (heard && f->sinks[c] == WSK_SINK_CORE)
        able &= ~(heard & lane->shut);
    heard &= able;

    wsk_block *block = f->block + wsk_block_at(f, y, k);
    int slot = (int)(f->cycle % f->hop), hops = 0, left;
    *wsk_sent_at(f, slot, y, k) = (wsk_sent){ { 0 } };
    block->popped = 0;
    if (able != ready) {
        s->totals.stalls[c] += (u64)wsk_popcount(ready & ~able);
        wsk_count(f, y, k, PORTS, ready & ~able);
    }
    if (!able)
        return 1;
    wsk_wire *wire = wsk_wire_at(f, slot, at);
    const u32 *heads = wsk_data_at(f, y, c, 0) + 64 * k;
    u64 sideways = 0;
    wire->control = 0;
    for (int d = 0; d < SIDES; d++) {
        u64 m = able & lane->out[d];
        if (m) {
            put_on_link(f, s, y, k, c, d, slot, wire, m);
            hops += wsk_popcount(m);
            sideways |= m;
        }
    }
    wsk_copy_words(wsk_stage_at(f, slot, y, c) + 64 * k, heads, sideways, f->simd_level);
    left = wsk_popcount(able);
    s->totals.hops[c] += (u64)hops;
    s->totals.copied[c] += (u64)(hops - left);
    s->stored += hops - left;
    if (heard) {
        s->totals.copied[c] += (u64)wsk_popcount(heard);
        wsk_count(f, y, k, WSK_RAMP, heard);
        wsk_deliver(f, s, y, k, c, heard, heads, 0);
    }
    if (lane->valid[1] & able)
        wsk_pop(f, y, k, c, able);
    else
        lane->valid[0] &= ~able;
    lane->popped = able;
    block->popped = (u32)1 << c;
    u64 row = (u64)1 << (y % STRIP_ROWS);
    f->row_popped[y] = (s->rows_popped & row ? f->row_popped[y] : 0) | (u64)1 << k;
    s->rows_popped |= row;
    s->last_move = f->cycle;
    return 1;
}
