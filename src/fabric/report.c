/* Failures explained: who waits for whom, and who runs in circles. */
#include "fabric_internal.h"
#include "common/memory.h"
#include <string.h>

/* One color of one router. */
typedef struct { int x, y, c; } place;

const wsk_report *wsk_fabric_report(const wsk_fabric *f)
{
    if (!f)
        return NULL;
    for (int i = 0; i < f->strips; i++)
        if (f->strip[i].report.status < 0)
            return &f->strip[i].report;
    return &f->report;
}

void wsk_forget_reports(wsk_fabric *f)
{
    for (int i = 0; i < f->strips; i++)
        f->strip[i].report.status = 0;
    f->report.status = 0;
}

static wsk_lane *lane_of(const wsk_fabric *f, place at) { return f->lane + wsk_lane_at(f, at.y, at.x / 64, at.c); }
static u64 bit_of(place at) { return (u64)1 << (at.x % 64); }
static int same(place a, place b) { return a.x == b.x && a.y == b.y && a.c == b.c; }

/* Where a word that leaves by side d comes to. Returns 0 if that is off the wafer. */
static int beyond(const wsk_fabric *f, place at, int d, place *to)
{
    *to = (place){ at.x + dx[d], at.y + dy[d], at.c };
    if (to->x < 0 || to->y < 0 || to->x >= f->width || to->y >= f->height)
        return 0;
    if (lane_of(f, *to)->swapped[(d & 1) ? 0 : 1] & bit_of(*to))
        to->c = f->plan->index_of[f->plan->color_of[at.c] ^ 1];
    return 1;
}

/* Why the head word at a place waits and, if for another router, for which. Returns 0 if there is no next. */
static int why(const wsk_fabric *f, place *at, wsk_waiting *wait)
{
    const wsk_lane *lane = lane_of(f, *at);
    u64 bit = bit_of(*at);
    *wait = (wsk_waiting){ (u32)(at->y * f->width + at->x), f->plan->color_of[at->c], WSK_RAMP, WSK_WAIT_LINK, 0 };
    if (lane->frozen & bit) {
        wait->reason = WSK_WAIT_TEARDOWN;
        return 0;
    }
    for (int d = 0; d < PORTS; d++) {
        place to;
        if (!(lane->out[d] & bit) || f->rest[wsk_lane_at(f, at->y, at->x / 64, at->c)].branch[d] & bit)
            continue;
        if (d == WSK_RAMP) {
            if (!(lane->shut & bit))
                continue;
            wait->reason = WSK_WAIT_CORE;
            return 0;
        }
        if (!beyond(f, *at, d, &to))
            continue;
        const wsk_lane *next = lane_of(f, to);
        int closed = !(next->in[d ^ 2] & bit_of(to));
        if (!closed && !(next->full & bit_of(to)))
            continue;
        wait->port = (u8)d;
        wait->reason = closed ? WSK_WAIT_CLOSED : WSK_WAIT_FULL;
        *at = to;
        return (next->head & bit_of(to)) != 0;
    }
    return 0;
}

/* The first router, in order of rows, that holds a word. */
static int first_waiting(const wsk_fabric *f, place *at)
{
    for (int y = 0; y < f->height; y++)
        for (int k = 0; k < f->blocks; k++)
            for (int c = 0; c < f->n_colors; c++) {
                u64 m = f->lane[wsk_lane_at(f, y, k, c)].head;
                if (m) {
                    *at = (place){ 64 * k + wsk_ctz(m), y, c };
                    return 1;
                }
            }
    return 0;
}

/* The first ramp or edge, in the same order, that a word waits outside of. */
static void first_outside(const wsk_fabric *f, wsk_report *r)
{
    const wsk_source *first = NULL;
    for (int i = 0; i < f->strips && !first; i++)
        for (int j = 0; j < f->strip[i].n_feeding; j++) {
            const wsk_source *source = f->strip[i].feeding[j];
            if (!first || source->pe < first->pe)
                first = source;
        }
    if (first)
        r->chain[r->chain_length++] = (wsk_waiting){ first->pe, f->plan->color_of[__builtin_ctz(first->colors)], first->port,
                                                     WSK_WAIT_OUTSIDE, 0 };
}

/* All words where the queues show them. */
static void keep_all_lone(wsk_fabric *f)
{
    for (int i = 0; i < f->strips; i++)
        wsk_keep_lone(f, f->strip + i);
}

/* Add a link to the chain; when that is full, its second half keeps the last ones. */
static void add_link(wsk_report *r, wsk_waiting link)
{
    if (r->chain_length < WSK_CHAIN) {
        r->chain[r->chain_length++] = link;
        return;
    }
    memmove(r->chain + WSK_CHAIN / 2, r->chain + WSK_CHAIN / 2 + 1, (WSK_CHAIN / 2 - 1) * sizeof *r->chain);
    r->chain[WSK_CHAIN - 1] = link;
    r->chain_skipped++;
}

/* Whether the waits that begin at a place come back to a place (then *at becomes one on that ring): Brent's two walkers. */
static int is_ring(const wsk_fabric *f, place *at)
{
    wsk_waiting unused;
    place slow = *at, fast = *at;
    for (int64_t steps = 0, turn = 1; why(f, &fast, &unused); steps++) {
        if (same(slow, fast)) {
            *at = slow;
            return 1;
        }
        if (steps == turn) {
            slow = fast;
            steps = 0;
            turn *= 2;
        }
    }
    return 0;
}

static void take_place(wsk_report *r)
{
    if (!r->chain_length)
        return;
    r->pe = r->chain[0].pe;
    r->color = r->chain[0].color;
    r->port = r->chain[0].port;
}

int wsk_fabric_explain(wsk_fabric *f)
{
    place at, start;
    if (!f)
        return WSK_ERR_BAD_ARGUMENT;
    wsk_report *r = &f->report;
    keep_all_lone(f);
    wsk_forget_reports(f);
    *r = (wsk_report){ .status = WSK_ERR_DEADLOCK, .port = -1, .color = -1, .other_port = -1, .cycle = f->cycle };
    if (first_waiting(f, &at)) {
        wsk_waiting link;
        r->chain_loops = is_ring(f, &at);
        start = at;
        for (int more = 1; more;) {
            more = why(f, &at, &link);
            add_link(r, link);
            if (r->chain_loops && same(at, start))
                break;
        }
    } else {
        first_outside(f, r);
    }
    take_place(r);
    return r->status;
}

/* ---- Circles: a depth-first walk over the ways of all words ---- */

enum { UNSEEN, ON_THE_WAY, DONE };
typedef struct { u32 node; u8 port; } step;
typedef struct { wsk_fabric *f; u8 *state; step *path; size_t length, room; int any_switch; } walk;

static u32 node_of(const wsk_fabric *f, place at) { return (u32)(((size_t)at.y * f->width + at.x) * f->n_colors + at.c); }
static place place_of(const wsk_fabric *f, u32 node)
{
    u32 pe = node / (u32)f->n_colors;
    return (place){ (int)(pe % (u32)f->width), (int)(pe / (u32)f->width), (int)(node % (u32)f->n_colors) };
}

static int push(walk *w, place at)
{
    if (w->length == w->room) {
        size_t more = w->room ? 2 * w->room : 1024;
        step *grown = wsk_realloc(w->path, more * sizeof *grown);
        if (!grown)
            return WSK_ERR_NO_MEMORY;
        w->path = grown;
        w->room = more;
    }
    u32 node = node_of(w->f, at);
    w->state[node] = ON_THE_WAY;
    w->path[w->length++] = (step){ node, 0 };
    return 0;
}

/* Whether words pass this place as long as nobody outside changes it. */
static int is_certain(const walk *w, place at)
{
    const wsk_lane *lane = lane_of(w->f, at);
    return !(lane->frozen & bit_of(at)) && (w->any_switch || !(lane->switched & bit_of(at)));
}

/* Follow all ways from a place. 1: one leads back to itself, and the path ends with it from *first on. */
static int find_circle_from(walk *w, place at, size_t *first)
{
    if (w->state[node_of(w->f, at)] != UNSEEN || !is_certain(w, at))
        return 0;
    int status = push(w, at);
    while (!status && w->length) {
        step *last = w->path + w->length - 1;
        place here = place_of(w->f, last->node), to;
        if (last->port == SIDES) {
            w->state[last->node] = DONE;
            w->length--;
            continue;
        }
        int d = last->port++;
        if (!(lane_of(w->f, here)->out[d] & bit_of(here)) || !beyond(w->f, here, d, &to)
            || !(lane_of(w->f, to)->in[d ^ 2] & bit_of(to)) || !is_certain(w, to))
            continue;
        u32 node = node_of(w->f, to);
        if (w->state[node] == UNSEEN) {
            status = push(w, to);
        } else if (w->state[node] == ON_THE_WAY) {
            for (*first = 0; w->path[*first].node != node; ++*first) {}
            return 1;
        }
    }
    return status;
}

static void report_circle(wsk_fabric *f, const walk *w, size_t first)
{
    wsk_report *r = &f->report;
    wsk_forget_reports(f);
    *r = (wsk_report){ .status = WSK_ERR_LIVELOCK, .other_port = -1, .cycle = f->cycle, .chain_loops = 1 };
    for (size_t i = first; i < w->length; i++) {
        place at = place_of(f, w->path[i].node);
        add_link(r, (wsk_waiting){ (u32)(at.y * f->width + at.x), f->plan->color_of[at.c], (u8)(w->path[i].port - 1),
                                   WSK_WAIT_CIRCLES, 0 });
    }
    take_place(r);
}

/* Whether control words that left lane (y, k, c) lately are still on its links. */
static int commands_on_links(const wsk_fabric *f, int y, int k, int c)
{
    for (int slot = 0; slot < f->hop; slot++)
        for (int d = 0; d < SIDES; d++)
            if ((wsk_strip_of(f, y)->rows_sent[slot][d] >> (y % STRIP_ROWS) & 1) && (wsk_row_sent_at(f, slot, y)[d] >> k & 1)
                && (wsk_sent_at(f, slot, y, k)->sent[d] >> c & 1)
                && (wsk_wire_at(f, slot, wsk_lane_at(f, y, k, c))->control & wsk_wire_at(f, slot, wsk_lane_at(f, y, k, c))->to[d]))
                return 1;
    return 0;
}

/* Whether words that may move a switch are inside or wait outside. */
static int commands_about(const wsk_fabric *f)
{
    for (int i = 0; i < f->strips; i++) {
        const wsk_strip *s = f->strip + i;
        for (int j = 0; j < s->n_feeding; j++)
            for (int c = 0; c < f->n_colors; c++)
                if ((s->feeding[j]->colors >> c & 1) && s->feeding[j]->of[c].flags)
                    return 1;
        for (int b = 0; b < f->ring; b++)
            for (int j = 0; j < s->n_pending[b]; j++)
                if (s->pending[b][j].flags)
                    return 1;
    }
    for (int y = 0; y < f->height; y++)
        for (int k = 0; k < f->blocks; k++)
            for (int c = 0; c < f->n_colors; c++)
                if (f->lane[wsk_lane_at(f, y, k, c)].special || (f->hop > 1 && commands_on_links(f, y, k, c)))
                    return 1;
    return 0;
}

int wsk_fabric_find_circle(wsk_fabric *f)
{
    if (!f)
        return WSK_ERR_BAD_ARGUMENT;
    walk w = { .f = f, .any_switch = !commands_about(f), .state = wsk_alloc_zero((size_t)f->width * f->height, (size_t)f->n_colors + 1) };
    int status = w.state ? 0 : WSK_ERR_NO_MEMORY;
    size_t first = 0;
    keep_all_lone(f);
    for (size_t lane = 0, lanes = (size_t)f->height * f->blocks * f->n_colors; !status && lane < lanes; lane++) {
        const u64 *occupied = f->lane[lane].occupied;
        for (u64 m = occupied[0] | occupied[1] | occupied[2]; m && !status; m &= m - 1) {
            size_t block = lane / f->n_colors;
            place at = { (int)(block % f->blocks) * 64 + wsk_ctz(m), (int)(block / f->blocks), (int)(lane % f->n_colors) };
            status = find_circle_from(&w, at, &first);
        }
    }
    if (status == 1) {
        report_circle(f, &w, first);
        status = WSK_ERR_LIVELOCK;
    }
    wsk_free(w.state);
    wsk_free(w.path);
    return status;
}
