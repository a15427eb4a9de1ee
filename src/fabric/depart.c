/* Phase one of a cycle: every head word that may leave, leaves. Reads the queues of neighbours as they were at the start of
 * the cycle (full and in are written in phase two only); writes only what belongs to its own block. */
#include "fabric_internal.h"
#include <string.h>

typedef struct {
    u64 want[PORTS];                  /* heads that ask for the port */
    u64 room[PORTS];                  /* of these, where the far side has room and the link is not resting */
    u64 send[PORTS];                  /* granted */
} wsk_request;

void wsk_open_cycle(wsk_fabric *f, wsk_strip *s)
{
    int slot = (int)(f->cycle % f->hop);
    s->n_out[f->cycle % f->ring] = 0;
    s->rows_freed = 0;
    for (int d = 0; d < SIDES; d++)
        s->rows_sent[slot][d] = 0;
    s->over[WSK_NORTH].n = s->over[WSK_SOUTH].n = 0;
}

/* The last row or column of the wafer, seen from a block: words leaving there go to the edge. */
static u64 edge_bits(const wsk_fabric *f, int y, int k, int d)
{
    switch (d) {
    case WSK_NORTH: return y == 0 ? ~(u64)0 : 0;
    case WSK_SOUTH: return y == f->height - 1 ? ~(u64)0 : 0;
    case WSK_WEST: return k == 0 ? 1 : 0;
    default: return k == f->blocks - 1 ? (u64)1 << ((f->width - 1) % 64) : 0;
    }
}

typedef struct { u64 full, in, any; } wsk_far;

/* The far side of port d of every PE of a block: is the next router's queue full, does it listen (now, at any position). */
static wsk_far far_side(const wsk_fabric *f, int y, int k, int c, int d, u64 want)
{
    int port = d ^ 2;
    if (d == WSK_NORTH || d == WSK_SOUTH) {
        size_t at = wsk_lane_at(f, d == WSK_NORTH ? y - 1 : y + 1, k, c);
        const wsk_lane *lane = f->lane + at;
        return (wsk_far){ lane->full, lane->in[port], 0 };
    }
    const wsk_lane *lane = f->lane + wsk_lane_at(f, y, k, c);
    wsk_far far;
    if (d == WSK_EAST) {
        far = (wsk_far){ lane->full >> 1, lane->in[port] >> 1, 0 };
        if (want >> 63) {
            const wsk_lane *next = f->lane + wsk_lane_at(f, y, k + 1, c);
            far.full |= next->full << 63;
            far.in |= next->in[port] << 63;
        }
    } else {
        far = (wsk_far){ lane->full << 1, lane->in[port] << 1, 0 };
        if (want & 1) {
            const wsk_lane *next = f->lane + wsk_lane_at(f, y, k - 1, c);
            far.full |= next->full >> 63;
            far.in |= next->in[port] >> 63;
        }
    }
    return far;
}

static int listens_at_all(const wsk_fabric *f, int x, int y, int c, int port)
{
    return (int)(f->rest[wsk_lane_at(f, y, x / 64, c)].in_any[port] >> (x % 64) & 1);
}

/* A word wants to cross to a router that does not listen to this port now: wait if some position does, else fail. */
int wsk_check_routed(wsk_fabric *f, wsk_strip *s, int y, int k, int c, int d, u64 deaf)
{
    static const int dx[SIDES] = { 0, 1, 0, -1 }, dy[SIDES] = { -1, 0, 1, 0 };
    for (; deaf; deaf &= deaf - 1) {
        int x = 64 * k + wsk_ctz(deaf) + dx[d];
        if (!listens_at_all(f, x, y + dy[d], c, d ^ 2))
            return wsk_fail(f, s, WSK_ERR_UNROUTED, (u32)((y + dy[d]) * f->width + x), f->plan->color_of[c], d ^ 2, -1,
                            f->cycle);
    }
    return 0;
}

static int partner(const wsk_fabric *f, int c) { return f->plan->index_of[f->plan->color_of[c] ^ 1]; }

/* Where the far side of port d has room for the words in want. */
static int room_beyond(wsk_fabric *f, wsk_strip *s, int y, int k, int c, int d, u64 want, u64 *room)
{
    u64 edge = want & edge_bits(f, y, k, d), inside = want & ~edge;
    *room = edge;
    if (!inside)
        return 0;
    const wsk_lane *lane = f->lane + wsk_lane_at(f, y, k, c);
    u64 swapped = f->plan->has_swap ? inside & lane->swapped[(d & 1) ? 0 : 1] : 0;
    for (int turn = 0; turn < 2; turn++) {
        u64 m = turn ? swapped : inside & ~swapped;
        if (!m)
            continue;
        int to = turn ? partner(f, c) : c;
        wsk_far far = far_side(f, y, k, to, d, m);
        *room |= m & ~far.full & far.in;
        if ((m & ~far.in) && wsk_check_routed(f, s, y, k, to, d, m & ~far.in) < 0)
            return s->report.status;
    }
    return 0;
}

/* Links that have carried a word in each of the last link_words cycles rest. */
static void resting_links(const wsk_fabric *f, wsk_runs *runs, u64 resting[PORTS])
{
    if (runs->cycle != (u64)f->cycle)                 /* not used in the last cycle */
        memset(runs->run, 0, sizeof runs->run);
    for (int d = 0; d < PORTS; d++)
        resting[d] = wsk_binary_equals(runs->run[d], RUN_BITS, f->plan->rules.link_words);
}

static void remember_links(const wsk_fabric *f, wsk_runs *runs, const u64 taken[PORTS])
{
    for (int d = 0; d < PORTS; d++) {
        wsk_binary_add(runs->run[d], RUN_BITS, taken[d]);
        for (int i = 0; i < RUN_BITS; i++)
            runs->run[d][i] &= taken[d];
    }
    runs->cycle = (u64)f->cycle + 1;
}

/* What the heads of one lane ask for and where there is room. Returns the heads that could leave but for arbitration. */
static int gather(wsk_fabric *f, wsk_strip *s, int y, int k, int c, const u64 *resting, wsk_request *r, u64 *ready)
{
    size_t at = wsk_lane_at(f, y, k, c);
    const wsk_lane *lane = f->lane + at;
    int all = f->plan->rules.multicast_all;
    *ready = lane->head & ~lane->frozen;
    u64 able = *ready;
    for (int d = 0; d < PORTS; d++) {
        r->send[d] = r->room[d] = 0;
        r->want[d] = *ready & lane->out[d];
        if (!all && lane->done)
            r->want[d] &= ~f->rest[at].branch[d];
        if (!r->want[d])
            continue;
        if (d == WSK_RAMP)
            r->room[d] = f->sinks[c] == WSK_SINK_CORE ? r->want[d] & ~lane->shut : r->want[d];
        else if (room_beyond(f, s, y, k, c, d, r->want[d], &r->room[d]) < 0)
            return s->report.status;
        if (resting)
            r->room[d] &= ~resting[d];
        able &= ~r->want[d] | r->room[d];
    }
    if (all)
        for (int d = 0; d < PORTS; d++)
            r->room[d] = r->want[d] & able;
    return 0;
}

/* Round robin over the colors of each router: the scan starts at the router's pointer; the first color that finds a link
 * taken becomes the next start. All 64 routers at once: turn 0 takes the colors from the pointer up, turn 1 the rest. */
static void arbitrate(wsk_fabric *f, int y, int k, const u8 *colors, int n, wsk_request *requests)
{
    u64 *pointer = f->pointer + wsk_lane_at(f, y, k, 0);
    u64 taken[PORTS] = { 0 }, lost_any = 0, first_lost[WSK_COLORS];
    int all = f->plan->rules.multicast_all;
    memset(first_lost, 0, sizeof first_lost);
    for (int turn = 0; turn < 2; turn++)
        for (int i = 0; i < n; i++) {
            wsk_request *r = requests + i;
            u64 here = turn ? ~pointer[colors[i]] : pointer[colors[i]], clash = 0;
            for (int d = 0; d < PORTS; d++)
                clash |= r->room[d] & taken[d];
            clash &= here;
            for (int d = 0; d < PORTS; d++) {
                u64 grant = r->room[d] & here & ~(all ? clash : taken[d]);
                r->send[d] |= grant;
                taken[d] |= grant;
            }
            first_lost[colors[i]] |= clash & ~lost_any;
            lost_any |= clash;
        }
    if (lost_any) {
        u64 at_or_before = 0;
        for (int c = 0; c < f->n_colors; c++) {
            at_or_before |= first_lost[c];
            pointer[c] = (pointer[c] & ~lost_any) | at_or_before;
        }
    }
}

/* Control and advance words among those that leave: execute command 0, pop it, drop what the core ignores. Returns the
 * heads whose copy for the core is dropped. */
static u64 run_commands(wsk_fabric *f, wsk_strip *s, int y, int k, int c, u64 leaving, u64 finished, u32 *words)
{
    size_t at = wsk_lane_at(f, y, k, c);
    wsk_lane *lane = f->lane + at;
    wsk_lane_rest *rest = f->rest + at;
    u64 ignored = 0;
    for (u64 m = leaving & (rest->control[0] | rest->advance[0]); m; m &= m - 1) {
        int b = wsk_ctz(m), x = 64 * k + b;
        u64 bit = m & -m;
        const wsk_route *route = wsk_route_at(f, x, y, c);
        u32 data = words[b];
        int flags = (rest->control[0] & bit ? WSK_CONTROL : 0) | (rest->advance[0] & bit ? WSK_ADVANCE : 0);
        if (flags & WSK_CONTROL) {
            ignored |= data >> 24 & 1 ? bit : 0;
            words[b] = wsk_popped_control(route, data);
        }
        if (!(finished & bit))
            continue;
        lane->special--;
        wsk_note_odd(f, at);
        int before = wsk_bits_at(rest->sending, 2, b), after = wsk_position_after(route, before, data, flags);
        if (after != before)
            wsk_set_sending(f, at, b, route, after);
        if ((flags & WSK_CONTROL) && (data >> 22 & 3) == WSK_TEARDOWN) {
            lane->frozen |= bit;
            wsk_no_more_simple(f, x, y, c);
            wsk_note_odd(f, at);
            wsk_emit(f, s, (u32)(y * f->width + x), c, data, WSK_TORN_DOWN, WSK_RAMP, f->ramp);
        }
    }
    return ignored;
}

/* Words behind the heads in m move up. */
static void move_up(wsk_fabric *f, int y, int k, int c, wsk_lane *lane, u64 m)
{
    for (int i = 0; m; i++) {
        u64 *slot = wsk_slot(lane, i), follow = i + 1 < f->depth ? *wsk_slot(lane, i + 1) & m : 0;
        if (follow)
            wsk_copy_words(wsk_data_at(f, y, c, i) + 64 * k, wsk_data_at(f, y, c, i + 1) + 64 * k, follow, f->simd_level);
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

static void pop_flags(wsk_fabric *f, size_t at, u64 m)
{
    wsk_lane_rest *rest = f->rest + at;
    for (int i = 0; i < f->depth; i++) {
        u64 control = i + 1 < f->depth ? rest->control[i + 1] : 0, advance = i + 1 < f->depth ? rest->advance[i + 1] : 0;
        rest->control[i] = (rest->control[i] & ~m) | (control & m);
        rest->advance[i] = (rest->advance[i] & ~m) | (advance & m);
    }
}

static void leave_by_edge(wsk_fabric *f, wsk_strip *s, int y, int k, int c, int d, u64 m, const u32 *words, u64 control)
{
    for (; m; m &= m - 1) {
        int b = wsk_ctz(m);
        s->totals.edge[c]++;
        wsk_emit(f, s, (u32)(y * f->width + 64 * k + b), c, words[b], control >> b & 1 ? WSK_CONTROL : 0, d, f->hop);
    }
}

/* Heads that now have all their branches: they leave the queue. */
static u64 finish_branches(wsk_fabric *f, size_t at, u64 ready, const wsk_request *r)
{
    wsk_lane *lane = f->lane + at;
    wsk_lane_rest *rest = f->rest + at;
    u64 finished = ready, any = 0;
    for (int d = 0; d < PORTS; d++)
        finished &= ~(r->want[d] & ~r->send[d]);
    for (int d = 0; d < PORTS; d++) {
        rest->branch[d] = (rest->branch[d] | r->send[d]) & ~finished;
        any |= rest->branch[d];
    }
    lane->done = any;
    return finished;
}

/* Put the granted words of one lane on their links and ramps. */
static void send_lane(wsk_fabric *f, const wsk_row *row, int k, int c, const wsk_request *r, u64 ready)
{
    wsk_strip *s = row->strip;
    int y = row->y, slot = row->slot, copies = 0;
    size_t at = wsk_lane_at(f, y, k, c);
    wsk_lane *lane = f->lane + at;
    u64 leaving = 0, finished, control = 0, ignored = 0;
    for (int d = 0; d < PORTS; d++)
        leaving |= r->send[d];
    s->totals.stalls[c] += (u64)wsk_popcount(ready & ~leaving);
    wsk_count(f, at, PORTS, ready & ~leaving);
    if (!leaving)
        return;
    finished = f->plan->rules.multicast_all ? leaving : finish_branches(f, at, ready, r);

    u32 *words = wsk_stage_at(f, slot, y, c) + 64 * k;
    wsk_copy_words(words, wsk_data_at(f, y, c, 0) + 64 * k, leaving, f->simd_level);
    if (lane->special) {
        control = f->rest[at].control[0] & leaving;
        ignored = run_commands(f, s, y, k, c, leaving, finished, words);
        pop_flags(f, at, finished);
    }
    wsk_wire *wire = wsk_wire_at(f, slot, at);
    wire->control = control;
    wire->single = 0;
    if (f->plan->has_swap)
        memcpy(wire->swapped, lane->swapped, sizeof wire->swapped);
    for (int d = 0; d < SIDES; d++) {
        u64 m = r->send[d];
        wire->to[d] = m;
        if (!m)
            continue;
        wsk_count(f, at, d, m);
        u64 edge = m & edge_bits(f, y, k, d);
        if (edge) {
            leave_by_edge(f, s, y, k, c, d, edge, words, control);
            wire->to[d] = m &= ~edge;
            copies += wsk_popcount(edge);
        }
        if (m) {
            int n = wsk_popcount(m);
            row->sent_blocks[d] |= (u64)1 << k;
            s->rows_sent[slot][d] |= row->bit;
            row->sent[k].sent[d] |= (u32)1 << c;
            s->totals.hops[c] += (u64)n;
            copies += n;
            s->stored += n;
        }
    }
    if (r->send[WSK_RAMP]) {
        u64 m = r->send[WSK_RAMP];
        copies += wsk_popcount(m);
        wsk_count(f, at, WSK_RAMP, m);
        if (m & ignored) {
            s->totals.dropped[c] += (u64)wsk_popcount(m & ignored);
            m &= ~ignored;
        }
        if (m)
            wsk_deliver(f, s, y, k, c, m, words, control);
    }
    int left = wsk_popcount(finished);
    s->totals.copied[c] += (u64)(copies - left);
    s->stored -= left;
    wsk_leave(f, row, k, c, finished);
}

static int depart_block(wsk_fabric *f, const wsk_row *row, int k)
{
    wsk_strip *s = row->strip;
    int y = row->y;
    const wsk_block *block = row->blocks + k;
    wsk_request requests[WSK_COLORS];
    u64 ready[WSK_COLORS], resting[PORTS], *rest_mask = NULL;
    u8 colors[WSK_COLORS];
    int n = 0;
    if (f->plan->rules.link_frame > f->plan->rules.link_words) {
        resting_links(f, f->runs + wsk_block_at(f, y, k), resting);
        rest_mask = resting;
    }
    for (u32 active = block->active; active; active &= active - 1, n++) {
        colors[n] = (u8)__builtin_ctz(active);
        if (gather(f, s, y, k, colors[n], rest_mask, requests + n, ready + n) < 0)
            return s->report.status;
    }
    if (n == 1)
        memcpy(requests[0].send, requests[0].room, sizeof requests[0].send);
    else
        arbitrate(f, y, k, colors, n, requests);

    row->sent[k] = (wsk_sent){ { 0 } };
    u64 taken[PORTS] = { 0 };
    for (int i = 0; i < n; i++) {
        send_lane(f, row, k, colors[i], requests + i, ready[i]);
        for (int d = 0; d < PORTS; d++)
            taken[d] |= requests[i].send[d];
    }
    if (rest_mask)
        remember_links(f, f->runs + wsk_block_at(f, y, k), taken);
    if (taken[0] | taken[1] | taken[2] | taken[3] | taken[4])
        s->last_move = f->cycle;
    return 0;
}

int wsk_depart_row(wsk_fabric *f, wsk_strip *s, int y)
{
    int slot = (int)(f->cycle % f->hop);
    size_t first = wsk_lane_at(f, y, 0, 0);
    const wsk_row row = { s, y, slot, (u64)1 << (y % STRIP_ROWS), wsk_row_sent_at(f, slot, y), first, f->lane + first,
                          wsk_wire_at(f, slot, first), wsk_sent_at(f, slot, y, 0), f->block + wsk_block_at(f, y, 0) };
    memset(row.sent_blocks, 0, SIDES * sizeof(u64));
    for (u64 blocks = f->row_active[y]; blocks; blocks &= blocks - 1) {
        int k = wsk_ctz(blocks), status = f->plain ? wsk_depart_plain(f, &row, k) : WSK_NOT_PLAIN;
        if (status == WSK_NOT_PLAIN)
            status = depart_block(f, &row, k);
        if (status < 0)
            return status;
    }
    return 0;
}
