/* Phase one of a cycle, in any case that the rules know: every head word that may leave, leaves. Its steps are those of a
 * router: route computation (compute_requests), switch allocation (allocate_switch), switch traversal (send_lane). Reads the
 * queues of neighbors as they were at the start of the cycle (full and in are written in phase two only); writes only what
 * belongs to its own block. */
#include "fabric_internal.h"
#include "copy_words.h"
#include <string.h>

typedef struct {
    u64 want[PORTS];                  /* heads that ask for the port */
    u64 room[PORTS];                  /* of these, where the far side has room and the link is not resting */
    u64 send[PORTS];                  /* granted */
} wsk_request;

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

/* Of the words `inside` that leave by side d for a router of the wafer: those that come in there as their partner's color. */
static u64 swapped_beyond(const wsk_fabric *f, int y, int k, int c, int d, u64 inside)
{
    if (!f->plan->has_swap || !inside)
        return 0;
    int axis = d & 1 ? 0 : 1, ahead = d == WSK_NORTH ? y - 1 : d == WSK_SOUTH ? y + 1 : y;
    u64 there = (f->lane + wsk_lane_at(f, ahead, k, c))->swapped[axis];
    if (d == WSK_EAST)
        there = there >> 1 | (inside >> 63 ? (f->lane + wsk_lane_at(f, y, k + 1, c))->swapped[axis] << 63 : 0);
    else if (d == WSK_WEST)
        there = there << 1 | (inside & 1 ? (f->lane + wsk_lane_at(f, y, k - 1, c))->swapped[axis] >> 63 : 0);
    return inside & there;
}

static int partner(const wsk_fabric *f, int c) { return f->plan->index_of[f->plan->color_of[c] ^ 1]; }

/* Where the far side of port d has room for the words in want. */
static int room_beyond(wsk_fabric *f, wsk_strip *s, int y, int k, int c, int d, u64 want, u64 *room)
{
    u64 edge = want & edge_bits(f, y, k, d), inside = want & ~edge;
    *room = edge;
    if (!inside)
        return 0;
    u64 swapped = swapped_beyond(f, y, k, c, d, inside);
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

/* Route computation: what the heads of one lane ask for and where there is room. ready: those that could leave but for
 * allocation. */
static int compute_requests(wsk_fabric *f, wsk_strip *s, int y, int k, int c, const u64 *resting, wsk_request *r, u64 *ready)
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

/* Switch allocation. Round robin over the colors of each router: the scan starts at the router's pointer; the first color that finds a link
 * taken becomes the next start. All 64 routers at once: turn 0 takes the colors from the pointer up, turn 1 the rest. */
static void allocate_switch(wsk_fabric *f, int y, int k, const u8 *colors, int n, wsk_request *requests)
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
            words[b] = wsk_popped_control(route, wsk_bits_at(rest->sending, 2, b), data);
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

/* The granted words of one lane leave by side d; over an open edge they are listed as deliveries. Returns how many. */
static int send_by_side(wsk_fabric *f, const wsk_row *row, int k, int c, int d, u64 m, wsk_wire *wire, const u32 *words)
{
    wsk_strip *s = row->strip;
    int copies = 0;
    wire->to[d] = m;
    if (!m)
        return 0;
    wsk_count(f, wsk_lane_at(f, row->y, k, c), d, m);
    u64 edge = m & edge_bits(f, row->y, k, d);
    if (edge) {
        leave_by_edge(f, s, row->y, k, c, d, edge, words, wire->control);
        wire->to[d] = m &= ~edge;
        copies = wsk_popcount(edge);
    }
    wire->swapped[d] = swapped_beyond(f, row->y, k, c, d, m);
    if (m) {
        int n = wsk_popcount(m);
        row->sent_blocks[d] |= (u64)1 << k;
        s->rows_sent[row->slot][d] |= row->bit;
        row->sent[k].sent[d] |= (u32)1 << c;
        s->totals.hops[c] += (u64)n;
        s->stored += n;
        copies += n;
    }
    return copies;
}

/* The granted words of one lane leave by the ramp, but for those that the core ignores. Returns how many. */
static int send_by_ramp(wsk_fabric *f, const wsk_row *row, int k, int c, u64 m, u64 ignored, const u32 *words, u64 control)
{
    if (!m)
        return 0;
    wsk_count(f, wsk_lane_at(f, row->y, k, c), WSK_RAMP, m);
    if (m & ignored)
        row->strip->totals.dropped[c] += (u64)wsk_popcount(m & ignored);
    if (m & ~ignored)
        wsk_deliver(f, row->strip, row->y, k, c, m & ~ignored, words, control);
    return wsk_popcount(m);
}

/* Switch traversal: put the granted words of one lane on their links and ramps. */
static void send_lane(wsk_fabric *f, const wsk_row *row, int k, int c, const wsk_request *r, u64 ready)
{
    wsk_strip *s = row->strip;
    size_t at = wsk_lane_at(f, row->y, k, c);
    wsk_lane *lane = f->lane + at;
    u64 leaving = r->send[0] | r->send[1] | r->send[2] | r->send[3] | r->send[WSK_RAMP], control = 0, ignored = 0;

    /* Heads that were granted nothing stall. Those that now have all their branches leave the queue, one that stalls too: a
     * rewritten route may have left it none. */
    s->totals.stalls[c] += (u64)wsk_popcount(ready & ~leaving);
    wsk_count(f, at, PORTS, ready & ~leaving);
    u64 finished = f->plan->rules.multicast_all ? leaving : finish_branches(f, at, ready, r), going = leaving | finished;
    if (!going)
        return;
    s->last_move = f->cycle;

    /* Their data go to the stage of the row's links; control words act on this router as they pass. */
    u32 *words = wsk_stage_at(f, row->slot, row->y, c) + 64 * k;
    wsk_copy_words(words, wsk_data_at(f, row->y, c, 0) + 64 * k, going);
    if (lane->special) {
        control = f->rest[at].control[0] & leaving;
        ignored = run_commands(f, s, row->y, k, c, going, finished, words);
        pop_flags(f, at, finished);
    }

    /* The wires of the four links say who sent, for phase two to read. */
    wsk_wire *wire = wsk_wire_at(f, row->slot, at);
    int copies = 0;
    wire->control = control;
    wire->single = 0;
    for (int d = 0; d < SIDES; d++)
        copies += send_by_side(f, row, k, c, d, r->send[d], wire, words);

    /* The ramp leads to the core, past its filter. */
    copies += send_by_ramp(f, row, k, c, r->send[WSK_RAMP], ignored, words, control);

    /* The queue gives back the places of those that are done; more copies than words were made by multicast. */
    int left = wsk_popcount(finished);
    s->totals.copied[c] += (u64)(copies - left);
    s->stored -= left;
    wsk_leave(f, row, k, c, finished);
}

/* Phase one of one block. Returns 0 or a status. */
int wsk_depart_block(wsk_fabric *f, const wsk_row *row, int k)
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
        if (compute_requests(f, s, y, k, colors[n], rest_mask, requests + n, ready + n) < 0)
            return s->report.status;
    }
    if (n == 1)
        memcpy(requests[0].send, requests[0].room, sizeof requests[0].send);
    else
        allocate_switch(f, y, k, colors, n, requests);

    row->sent[k] = (wsk_sent){ { 0 } };
    u64 taken[PORTS] = { 0 };
    for (int i = 0; i < n; i++) {
        send_lane(f, row, k, colors[i], requests + i, ready[i]);
        for (int d = 0; d < PORTS; d++)
            taken[d] |= requests[i].send[d];
    }
    if (rest_mask)
        remember_links(f, f->runs + wsk_block_at(f, y, k), taken);
    return 0;
}

