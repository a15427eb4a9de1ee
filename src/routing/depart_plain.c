/* Phase one for the common case: no two colors of the block want one link, no control words, links that do not rest, no swap,
 * no filter, closed edges. Same rules and same results as depart.c, with what cannot happen left out. */
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

/* Which heads of a lane may leave, if nobody else wants their links; taken: links that colors before it want. 0: not plain. */
static int may_leave(const wsk_fabric *f, const wsk_lane *lane, int c, u64 taken[PORTS], u64 *able)
{
    size_t row_of_lanes = (size_t)f->blocks * f->n_colors;
    u64 ready = lane->valid[0] & ~lane->frozen, m, clash = 0;
    *able = ready;
    if ((m = ready & lane->out[WSK_NORTH])) {
        clash |= m & taken[WSK_NORTH];
        taken[WSK_NORTH] |= m;
        if (!able_upright(lane - row_of_lanes, WSK_NORTH, m, able))
            return 0;
    }
    if ((m = ready & lane->out[WSK_SOUTH])) {
        clash |= m & taken[WSK_SOUTH];
        taken[WSK_SOUTH] |= m;
        if (!able_upright(lane + row_of_lanes, WSK_SOUTH, m, able))
            return 0;
    }
    if ((m = ready & lane->out[WSK_EAST])) {
        clash |= m & taken[WSK_EAST];
        taken[WSK_EAST] |= m;
        if (!able_sideways(lane, lane + f->n_colors, WSK_EAST, m, able))
            return 0;
    }
    if ((m = ready & lane->out[WSK_WEST])) {
        clash |= m & taken[WSK_WEST];
        taken[WSK_WEST] |= m;
        if (!able_sideways(lane, lane - f->n_colors, WSK_WEST, m, able))
            return 0;
    }
    if ((m = ready & lane->out[WSK_RAMP])) {
        clash |= m & taken[WSK_RAMP];
        taken[WSK_RAMP] |= m;
        if (f->sinks[c] == WSK_SINK_CORE)
            *able &= ~(m & lane->shut);
    }
    return !clash && !lane->special;
}

static void put_on_link(wsk_fabric *f, wsk_strip *s, int y, int k, int c, int d, int slot, wsk_wire *wire, u64 m)
{
    u64 *blocks = wsk_row_sent_at(f, slot, y) + d, row = (u64)1 << (y % STRIP_ROWS);
    wire->to[d] = m;
    *blocks = (s->rows_sent[slot][d] & row ? *blocks : 0) | (u64)1 << k;
    s->rows_sent[slot][d] |= row;
    wsk_sent_at(f, slot, y, k)->sent[d] |= (u32)1 << c;
}

static void send(wsk_fabric *f, wsk_strip *s, int y, int k, int c, u64 able, u64 ready)
{
    size_t at = wsk_lane_at(f, y, k, c);
    wsk_lane *lane = f->lane + at;
    int slot = (int)(f->cycle % f->hop), hops = 0, left;
    if (able != ready) {
        s->totals.stalls[c] += (u64)wsk_popcount(ready & ~able);
        wsk_count(f, at, PORTS, ready & ~able);
    }
    if (!able)
        return;
    wsk_wire *wire = wsk_wire_at(f, slot, at);
    const u32 *heads = wsk_data_at(f, y, c, 0) + 64 * k;
    u64 over_links = 0;
    wire->control = 0;
    for (int d = 0; d < SIDES; d++) {
        u64 m = able & lane->out[d];
        if (m) {
            put_on_link(f, s, y, k, c, d, slot, wire, m);
            wsk_count(f, at, d, m);
            hops += wsk_popcount(m);
            over_links |= m;
        }
    }
    wsk_copy_words(wsk_stage_at(f, slot, y, c) + 64 * k, heads, over_links, f->simd_level);
    left = wsk_popcount(able);
    s->totals.hops[c] += (u64)hops;
    s->totals.copied[c] += (u64)(hops - left);
    s->stored += hops - left;
    u64 heard = able & lane->out[WSK_RAMP];
    if (heard) {
        s->totals.copied[c] += (u64)wsk_popcount(heard);
        wsk_count(f, at, WSK_RAMP, heard);
        wsk_deliver(f, s, y, k, c, heard, heads, 0);
    }
    wsk_leave(f, s, y, k, c, able);
    s->last_move = f->cycle;
}

/* 1: done; 0: not the common case after all, nothing has changed. */
int wsk_depart_plain(wsk_fabric *f, wsk_strip *s, int y, int k, u32 active)
{
    u64 able[WSK_COLORS], taken[PORTS] = { 0 };
    const wsk_lane *lanes = f->lane + wsk_lane_at(f, y, k, 0);
    for (u32 colors = active; colors; colors &= colors - 1) {
        int c = __builtin_ctz(colors);
        if (!may_leave(f, lanes + c, c, taken, able + c))
            return 0;
    }
    *wsk_sent_at(f, (int)(f->cycle % f->hop), y, k) = (wsk_sent){ { 0 } };
    for (u32 colors = active; colors; colors &= colors - 1) {
        int c = __builtin_ctz(colors);
        send(f, s, y, k, c, able[c], lanes[c].valid[0] & ~lanes[c].frozen);
    }
    return 1;
}
