/* Routers that lone words may take: routes that never change, and cores that only count; on long links, of one way in. */
#include "fabric_internal.h"
#include <string.h>

static int is_simple(const wsk_fabric *f, int c, const wsk_route *r)
{
    const int sides = r->in[0] & ((1 << SIDES) - 1);
    return r->positions == 1 && !r->teardown && (!(r->out[0] >> WSK_RAMP & 1) || f->sinks[c] == WSK_SINK_COUNT)
        && (f->hop == 1 || !(sides & (sides - 1)));
}

/* Note, of a stretch of a row, that words go straight over its routers. */
static void mark_ways(wsk_fabric *f, int x0, int x1, int y, int c, int ports)
{
    for (int d = 0; d < SIDES; d++) {
        if ((ports & ((1 << PORTS) - 1)) != 1 << d || !(ports >> (PORTS + (d ^ 2)) & 1))
            continue;
        for (int x = x0; x < x1; x++)
            if (d & 1)
                *wsk_row_ways(f, x, y, c, d) |= (u64)1 << (x % 64);
            else
                *wsk_column_ways(f, x, y, c, d) |= (u64)1 << (y % STRIP_ROWS);
    }
}

static void clear_ways(wsk_fabric *f, int x, int y, int c)
{
    for (int d = 0; d < SIDES; d++)
        if (d & 1)
            *wsk_row_ways(f, x, y, c, d) &= ~((u64)1 << (x % 64));
        else
            *wsk_column_ways(f, x, y, c, d) &= ~((u64)1 << (y % STRIP_ROWS));
}

static int same_in_block(const u8 *of, int n) { return memcmp(of, of + 1, (size_t)n - 1) == 0; }

void wsk_mark_simple(wsk_fabric *f)
{
    const wsk_plan *p = f->plan;
    for (int i = 0; i < p->n_routes && i < 255; i++)
        f->simple_ports[i + 1] = (u16)(p->routes[i].out[0] | p->routes[i].in[0] << PORTS);
    for (int c = 0; c < f->n_colors; c++)
        for (int y = 0; y < f->height; y++) {
            size_t row = (size_t)c * f->height + y;
            for (int i = 0; i < p->row_count[row]; i++) {
                const wsk_span *span = p->spans + p->row_first[row] + i;
                if (span->route >= 255 || !is_simple(f, c, p->routes + span->route))
                    continue;
                memset(wsk_simple_at(f, span->x0, y, c), span->route + 1, (size_t)(span->x1 - span->x0));
                mark_ways(f, span->x0, span->x1, y, c, f->simple_ports[span->route + 1]);
            }
            for (int k = 0; k < f->blocks; k++) {
                const u8 *of = wsk_simple_at(f, 64 * k, y, c);
                int n = f->width - 64 * k < 64 ? f->width - 64 * k : 64;
                f->simple_lane[wsk_lane_at(f, y, k, c)] = same_in_block(of, n) ? f->simple_ports[*of] : 0;
            }
        }
}

void wsk_no_more_simple(wsk_fabric *f, int x, int y, int c)
{
    if (!f->lone)
        return;
    *wsk_simple_at(f, x, y, c) = 0;
    f->simple_lane[wsk_lane_at(f, y, x / 64, c)] = 0;
    clear_ways(f, x, y, c);
}
