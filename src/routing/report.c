/* Failures: what happened where, and who waits for whom. */
#include "fabric_internal.h"
#include <string.h>

int wsk_fail(wsk_fabric *f, wsk_strip *s, int status, u32 pe, int color, int port, int other, int64_t cycle)
{
    (void)f;
    s->report = (wsk_report){ .status = status, .pe = pe, .color = color, .port = port, .other_port = other, .cycle = cycle };
    return status;
}

const wsk_report *wsk_fabric_report(const wsk_fabric *f)
{
    for (int i = 0; i < f->strips; i++)
        if (f->strip[i].report.status < 0)
            return &f->strip[i].report;
    return &f->report;
}

/* Why the head word of (x, y, c) waits and, if for another router, for which. Returns 0 if there is no next. */
static int why(const wsk_fabric *f, int *x, int *y, int *c, wsk_waiting *wait)
{
    static const int dx[SIDES] = { 0, 1, 0, -1 }, dy[SIDES] = { -1, 0, 1, 0 };
    size_t at = wsk_lane_at(f, *y, *x / 64, *c);
    const wsk_lane *lane = f->lane + at;
    u64 bit = (u64)1 << (*x % 64);
    *wait = (wsk_waiting){ (u32)(*y * f->width + *x), f->plan->color_of[*c], WSK_RAMP, WSK_WAIT_LINK, 0 };
    if (lane->frozen & bit) {
        wait->reason = WSK_WAIT_TEARDOWN;
        return 0;
    }
    for (int d = 0; d < PORTS; d++) {
        if (!(lane->out[d] & bit) || f->rest[at].branch[d] & bit)
            continue;
        if (d == WSK_RAMP) {
            if (!(lane->shut & bit))
                continue;
            wait->reason = WSK_WAIT_CORE;
            return 0;
        }
        int nx = *x + dx[d], ny = *y + dy[d], to = *c;
        if (nx < 0 || ny < 0 || nx >= f->width || ny >= f->height)
            continue;
        if (lane->swapped[(d & 1) ? 0 : 1] & bit)
            to = f->plan->index_of[f->plan->color_of[*c] ^ 1];
        const wsk_lane *next = f->lane + wsk_lane_at(f, ny, nx / 64, to);
        u64 there = (u64)1 << (nx % 64);
        int closed = !(next->in[d ^ 2] & there);
        if (!closed && !(next->full & there))
            continue;
        wait->port = (u8)d;
        wait->reason = closed ? WSK_WAIT_CLOSED : WSK_WAIT_FULL;
        *x = nx;
        *y = ny;
        *c = to;
        return (next->head & there) != 0;
    }
    return 0;
}

/* The first router, in order of rows, that holds a word. */
static int first_waiting(const wsk_fabric *f, int *x, int *y, int *c)
{
    for (*y = 0; *y < f->height; ++*y)
        for (int k = 0; k < f->blocks; k++)
            for (*c = 0; *c < f->n_colors; ++*c) {
                u64 m = f->lane[wsk_lane_at(f, *y, k, *c)].head;
                if (m) {
                    *x = 64 * k + wsk_ctz(m);
                    return 1;
                }
            }
    return 0;
}

int wsk_fabric_explain(wsk_fabric *f)
{
    int x, y, c;
    wsk_report *r = &f->report;
    *r = (wsk_report){ .status = WSK_ERR_DEADLOCK, .port = -1, .color = -1, .other_port = -1, .cycle = f->cycle };
    if (!first_waiting(f, &x, &y, &c))
        return r->status;
    for (int more = 1; more && r->chain_length < WSK_CHAIN && !r->chain_loops;) {
        more = why(f, &x, &y, &c, r->chain + r->chain_length++);
        for (int i = 0; more && i < r->chain_length; i++)
            r->chain_loops |= r->chain[i].pe == (u32)(y * f->width + x) && r->chain[i].color == f->plan->color_of[c];
    }
    r->pe = r->chain[0].pe;
    r->color = r->chain[0].color;
    r->port = r->chain[0].port;
    return r->status;
}
