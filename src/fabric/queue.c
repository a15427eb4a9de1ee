/* The queues of a lane (a router's input buffers): words get a place and are written, the heads leave and the words behind
 * them move up. */
#include "fabric_internal.h"
#include "copy_words.h"

/* ---- A word comes ---- */

/* Whether the router at (x, y) sent a word by side d in the cycle of `slot` that is color index c at the far end. */
static int sent_over(const wsk_fabric *f, int slot, int x, int y, int d, int c)
{
    if (x < 0 || y < 0 || x >= f->width || y >= f->height)
        return 0;
    int k = x / 64, sent = (wsk_strip_of(f, y)->rows_sent[slot][d] >> (y % STRIP_ROWS) & 1)
                        && (wsk_row_sent_at(f, slot, y)[d] >> k & 1);
    for (int from = 0; sent && from < f->n_colors; from++) {
        const wsk_wire *wire = wsk_wire_at(f, slot, wsk_lane_at(f, y, k, from));
        int swapped = f->plan->has_swap && (wire->swapped[d] >> (x % 64) & 1);
        if ((wsk_sent_at(f, slot, y, k)->sent[d] >> from & 1) && (wire->to[d] >> (x % 64) & 1)
            && f->plan->color_of[from] == (f->plan->color_of[c] ^ swapped))
            return 1;
    }
    return 0;
}

/* Two words of one color that arrive at one router in one cycle break the architecture's rules: fail with both ports. */
int wsk_two_inputs(wsk_fabric *f, wsk_strip *s, int y, int k, int c, u64 clash, int64_t cycle)
{
    static const u8 sides[SIDES] = { WSK_SOUTH, WSK_NORTH, WSK_WEST, WSK_EAST };      /* in the order of reports */
    int x = 64 * k + wsk_ctz(clash), ports[SIDES + PORTS + 1] = { -1, -1 }, found = 0;
    u32 pe = (u32)(y * f->width + x);
    for (int i = 0; i < SIDES; i++) {
        int port = sides[i];
        if (sent_over(f, (int)(cycle % f->hop), x + dx[port], y + dy[port], port ^ 2, c)
            || wsk_lone_from(f, s, x, y, c, port, cycle))
            ports[found++] = port;
    }
    const wsk_pending *pending = s->pending[cycle % f->ring];
    for (int i = 0; cycle == f->cycle + 1 && i < s->n_landing && found < 2; i++)
        if (pending[i].pe == pe && pending[i].index == c)
            ports[found++] = pending[i].port;
    return wsk_fail(f, s, WSK_ERR_TWO_INPUTS, pe, f->plan->color_of[c], ports[0], ports[1], cycle);
}

/* Control words change the position at the way in as soon as they have a place, so that later words wait outside. */
static void accept_commands(wsk_fabric *f, int y, int k, int c, const wsk_inbound *in)
{
    size_t at = wsk_lane_at(f, y, k, c);
    for (u64 m = in->control & f->lane[at].switched; m; m &= m - 1) {
        int b = wsk_ctz(m), before = wsk_bits_at(f->rest[at].accepting, 2, b);
        const wsk_route *route = wsk_route_at(f, 64 * k + b, y, c);
        int after = wsk_position_after(route, before, in->words[b], WSK_CONTROL);
        if (after != before)
            wsk_set_accepting(f, at, b, route, after);
    }
}

/* Buffer write: into the first free slot of each queue. */
static void write_buffers(wsk_fabric *f, int y, int k, int c, wsk_lane *lane, const wsk_inbound *in)
{
    u64 left = in->to;
    for (int i = 0; left && i < f->depth; i++) {
        u64 *slot = wsk_slot(lane, i), here = left & ~*slot;
        if (!here)
            continue;
        *slot |= here;
        u32 *places = wsk_data_at(f, y, c, i) + 64 * k;
        if (in->single) {
            places[wsk_ctz(here)] = in->word;
            return;
        }
        wsk_copy_words(places, in->words, here);
        if (here & in->control) {
            f->rest[wsk_lane_at(f, y, k, c)].control[i] |= here & in->control;
            lane->special += (u32)wsk_popcount(here & in->control);
            wsk_note_odd(f, wsk_lane_at(f, y, k, c));
        }
        left &= ~here;
    }
}

/* Words that stand at their routers already, though not yet in their queues. */
void wsk_keep(wsk_fabric *f, wsk_strip *s, int y, int k, int c, const wsk_inbound *in)
{
    wsk_lane *lane = f->lane + wsk_lane_at(f, y, k, c);
    wsk_binary_add(lane->occupied, COUNT_BITS, in->to);
    lane->full = wsk_full(f, lane);
    write_buffers(f, y, k, c, lane, in);
    wsk_wake(f, s, y, k, c);
}

/* Words that come over links to lane (y, k, c). */
int wsk_take(wsk_fabric *f, wsk_strip *s, int y, int k, int c, const wsk_inbound *in, int what)
{
    wsk_lane *lane = f->lane + wsk_lane_at(f, y, k, c);
    if (what & RESERVE) {
        if (in->to & lane->full)      /* there was room for whoever sent, but not for two of them */
            return wsk_two_inputs(f, s, y, k, c, in->to & lane->full, f->cycle + (what & LAND ? 1 : f->hop));
        if (in->control)
            accept_commands(f, y, k, c, in);
        wsk_binary_add(lane->occupied, COUNT_BITS, in->to);
        lane->full = wsk_full(f, lane);
    }
    if (!(what & LAND))
        return 0;
    u64 before = wsk_arrived(f, lane);
    if (before & in->to)
        return wsk_two_inputs(f, s, y, k, c, before & in->to, f->cycle + 1);
    lane->arrived_at = (u32)(f->cycle + 1);
    lane->arrived = before | in->to;
    write_buffers(f, y, k, c, lane, in);
    wsk_wake(f, s, y, k, c);
    return 0;
}

/* ---- A word leaves ---- */

static int listens_at_all(const wsk_fabric *f, int x, int y, int c, int port)
{
    return (int)(f->rest[wsk_lane_at(f, y, x / 64, c)].in_any[port] >> (x % 64) & 1);
}

/* A word wants to cross to a router that does not listen to this port now: wait if some position does, else fail. */
int wsk_check_routed(wsk_fabric *f, wsk_strip *s, int y, int k, int c, int d, u64 deaf)
{
    for (; deaf; deaf &= deaf - 1) {
        int x = 64 * k + wsk_ctz(deaf) + dx[d];
        if (!listens_at_all(f, x, y + dy[d], c, d ^ 2))
            return wsk_fail(f, s, WSK_ERR_UNROUTED, (u32)((y + dy[d]) * f->width + x), f->plan->color_of[c], d ^ 2, -1,
                            f->cycle);
    }
    return 0;
}

/* Words behind the heads in m move up. */
static void move_up(wsk_fabric *f, int y, int k, int c, wsk_lane *lane, u64 m)
{
    for (int i = 0; m; i++) {
        u64 *slot = wsk_slot(lane, i), follow = i + 1 < f->depth ? *wsk_slot(lane, i + 1) & m : 0;
        if (follow)
            wsk_copy_words(wsk_data_at(f, y, c, i) + 64 * k, wsk_data_at(f, y, c, i + 1) + 64 * k, follow);
        *slot = (*slot & ~m) | follow;
        m = follow;
    }
}

/* Take the heads in m off their queues and give back their places; senders see that room in phase two. */
void wsk_leave(wsk_fabric *f, const wsk_row *r, int k, int c, u64 m)
{
    wsk_lane *lane = r->lanes + (size_t)k * f->n_colors + c;
    wsk_block *block = r->blocks + k;
    wsk_binary_subtract(lane->occupied, COUNT_BITS, m);
    if (lane->full & m) {
        block->freed |= (u32)1 << c;
        f->row_freed[r->y] |= (u64)1 << k;
        r->strip->rows_freed |= r->bit;
    }
    if ((lane->occupied[0] | lane->occupied[1] | lane->occupied[2]) & m)
        move_up(f, r->y, k, c, lane, m);
    else
        lane->head &= ~m;
    if (lane->head)
        return;
    block->active &= ~((u32)1 << c);
    if (block->active)
        return;
    f->row_active[r->y] &= ~((u64)1 << k);
    if (!f->row_active[r->y])
        r->strip->rows_active &= ~r->bit;
}
