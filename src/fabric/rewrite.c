/* Run-time changes from a core program: routes, switch positions and teardown of one router and color. */
#include "fabric_internal.h"
#include "common/memory.h"
#include <string.h>

/* Both positions after a change from outside: the way in is ahead by the control words that are already queued. */
static void set_both(wsk_fabric *f, int x, int y, int c, const wsk_route *route, int position)
{
    size_t at = wsk_lane_at(f, y, x / 64, c);
    wsk_lane *lane = f->lane + at;
    const wsk_lane_rest *rest = f->rest + at;
    int b = x % 64;
    wsk_set_sending(f, at, b, route, position);
    for (int i = 0; i < f->depth && (*wsk_slot(lane, i) >> b & 1); i++) {
        int flags = (rest->control[i] >> b & 1 ? WSK_CONTROL : 0) | (rest->advance[i] >> b & 1 ? WSK_ADVANCE : 0);
        position = wsk_position_after(route, position, wsk_data_at(f, y, c, i)[x], flags);
    }
    wsk_set_accepting(f, at, b, route, position);
}

static int locate(const wsk_fabric *f, u32 pe, int color, int *x, int *y, int *c)
{
    *c = wsk_color_at(f, pe, color);
    if (*c < 0)
        return WSK_ERR_BAD_ARGUMENT;
    *x = (int)(pe % (u32)f->width);
    *y = (int)(pe / (u32)f->width);
    return 0;
}

static int remember_override(wsk_fabric *f, int x, int y, int c, const wsk_route *route)
{
    wsk_strip *s = wsk_strip_of(f, y);
    u64 key = wsk_key_of(f, x, y, c);
    wsk_override *place = wsk_find_override(s, key);
    if (place < s->overrides + s->n_overrides && place->key == key) {
        place->route = *route;
        return 0;
    }
    ptrdiff_t at = place - s->overrides;
    if (s->n_overrides == s->room_overrides) {
        int more = s->room_overrides ? 2 * s->room_overrides : 64;
        wsk_override *grown = wsk_realloc(s->overrides, (size_t)more * sizeof *grown);
        if (!grown)
            return WSK_ERR_NO_MEMORY;
        s->overrides = grown;
        s->room_overrides = more;
    }
    memmove(s->overrides + at + 1, s->overrides + at, (size_t)(s->n_overrides - at) * sizeof *s->overrides);
    s->overrides[at] = (wsk_override){ key, *route };
    s->n_overrides++;
    return 0;
}

int wsk_fabric_rewrite(wsk_fabric *f, uint32_t pe, int color, const wsk_route *route)
{
    int x, y, c, any_in = 0, any_out = 0;
    if (locate(f, pe, color, &x, &y, &c) < 0 || !route || route->positions < 1 || route->positions > WSK_POSITIONS
        || route->initial >= route->positions || route->pop > WSK_POP_ON_ADVANCE_NOP || route->swap)
        return WSK_ERR_BAD_ARGUMENT;
    for (int p = 0; p < route->positions; p++) {
        if (!route->in[p] || !route->out[p] || route->in[p] >> PORTS || route->out[p] >> PORTS)
            return WSK_ERR_BAD_ARGUMENT;
        any_in |= route->in[p];
        any_out |= route->out[p];
    }
    if (!f->plan->rules.open_edges
        && ((y == 0 && any_out >> WSK_NORTH & 1) || (y == f->height - 1 && any_out >> WSK_SOUTH & 1)
            || (x == 0 && any_out >> WSK_WEST & 1) || (x == f->width - 1 && any_out >> WSK_EAST & 1)))
        return WSK_ERR_OFF_WAFER;
    if (remember_override(f, x, y, c, route) < 0)
        return WSK_ERR_NO_MEMORY;
    size_t at = wsk_lane_at(f, y, x / 64, c);
    u64 bit = (u64)1 << (x % 64);
    wsk_lane *lane = f->lane + at;
    wsk_lane_rest *rest = f->rest + at;
    wsk_touch(f, pe);
    wsk_keep_lone(f, wsk_strip_of(f, y));
    wsk_no_more_simple(f, x, y, c);
    rest->rewritten |= bit;
    for (int d = 0; d < PORTS; d++)
        wsk_assign_bit(rest->in_any + d, bit, any_in >> d & 1);
    wsk_assign_bit(&lane->switched, bit, route->positions > 1);
    lane->swapped[0] &= ~bit;
    lane->swapped[1] &= ~bit;
    if (route->teardown)
        lane->frozen |= bit;
    wsk_note_odd(f, at);
    set_both(f, x, y, c, route, route->initial);
    return 0;
}

int wsk_fabric_set_position(wsk_fabric *f, uint32_t pe, int color, int position)
{
    int x, y, c;
    if (locate(f, pe, color, &x, &y, &c) < 0)
        return WSK_ERR_BAD_ARGUMENT;
    const wsk_route *route = wsk_route_at(f, x, y, c);
    if (!route || position < 0 || position >= route->positions)
        return WSK_ERR_BAD_ARGUMENT;
    wsk_touch(f, pe);
    set_both(f, x, y, c, route, position);
    return 0;
}

int wsk_fabric_position(const wsk_fabric *f, uint32_t pe, int color)
{
    int x, y, c;
    if (locate(f, pe, color, &x, &y, &c) < 0)
        return WSK_ERR_BAD_ARGUMENT;
    return wsk_bits_at(f->rest[wsk_lane_at(f, y, x / 64, c)].sending, 2, x % 64);
}

int wsk_fabric_teardown(wsk_fabric *f, uint32_t pe, int color, int frozen)
{
    int x, y, c;
    if (locate(f, pe, color, &x, &y, &c) < 0)
        return WSK_ERR_BAD_ARGUMENT;
    size_t at = wsk_lane_at(f, y, x / 64, c);
    wsk_touch(f, pe);
    wsk_keep_lone(f, wsk_strip_of(f, y));
    wsk_no_more_simple(f, x, y, c);
    wsk_assign_bit(&f->lane[at].frozen, (u64)1 << (x % 64), frozen);
    wsk_note_odd(f, at);
    return 0;
}

int wsk_fabric_torn_down(const wsk_fabric *f, uint32_t pe, int color)
{
    int x, y, c;
    if (locate(f, pe, color, &x, &y, &c) < 0)
        return WSK_ERR_BAD_ARGUMENT;
    return (int)(f->lane[wsk_lane_at(f, y, x / 64, c)].frozen >> (x % 64) & 1);
}
