/* Switches and control words.
 *
 * A router keeps two positions per color: one at the way in, advanced when a control word gets its place in the queue, and
 * one at the way out, advanced when that word leaves. So a word is always routed by the position that its port was
 * selected by, and words of a port that is not selected wait outside. A word from a ramp or edge that turns the switch is on
 * its way for longer than those of links may be: until it is there, only words of its own port follow. */
#include "fabric_internal.h"

/* Commands of a control word in order, 3 bits each (two of command, one "ignore in core"): bits 22..29, then 0..15. */
static u32 commands_of(u32 data) { return (data >> 22 & 0xff) | (data & 0xffff) << 8; }

/* A switch that stands at its last position does not advance, and so leaves the command to the routers behind it. */
u32 wsk_popped_control(const wsk_route *route, int position, u32 data)
{
    int command = (int)(data >> 22 & 3);
    int advances = command == WSK_SWITCH_ADV && wsk_position_after(route, position, data, WSK_CONTROL) != position;
    int pop = route->pop == WSK_ALWAYS_POP || (route->pop == WSK_POP_ON_ADVANCE && advances)
           || (route->pop == WSK_POP_ON_ADVANCE_NOP && (advances || command == WSK_NOP));
    if (!pop)
        return data;
    u32 commands = commands_of(data) >> 3 | (u32)4 << 21;      /* behind the last: NOP, ignored by the core */
    return (data & 0xc03f0000) | (commands & 0xff) << 22 | commands >> 8;
}

int wsk_position_after(const wsk_route *route, int position, u32 data, int flags)
{
    int command = flags & WSK_CONTROL ? (int)(data >> 22 & 3) : WSK_NOP;
    if (command == WSK_SWITCH_RST)
        return 0;
    if (command != WSK_SWITCH_ADV && !(flags & WSK_ADVANCE))
        return position;
    if (position + 1 < route->positions)
        return position + 1;
    return route->ring ? 0 : position;
}

wsk_override *wsk_find_override(const wsk_strip *s, u64 key)
{
    int low = 0, high = s->n_overrides;
    while (low < high) {
        int middle = (low + high) / 2;
        if (s->overrides[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return s->overrides + low;
}

const wsk_route *wsk_route_at(const wsk_fabric *f, int x, int y, int c)
{
    if (f->rest[wsk_lane_at(f, y, x / 64, c)].rewritten >> (x % 64) & 1)
        return &wsk_find_override(wsk_strip_of(f, y), wsk_key_of(f, x, y, c))->route;
    return wsk_plan_route(f->plan, x, y, f->plan->color_of[c]);
}

void wsk_set_accepting(wsk_fabric *f, size_t at, int b, const wsk_route *route, int position)
{
    u64 bit = (u64)1 << b;
    int only = wsk_bits_at(f->rest[at].turning, COUNT_BITS, b) ? wsk_bits_at(f->rest[at].turner, COUNT_BITS, b) : -1;
    for (int d = 0; d < PORTS; d++)
        wsk_assign_bit(f->lane[at].in + d, bit, (route->in[position] >> d & 1) && (only < 0 || d == only));
    for (int i = 0; i < 2; i++)
        wsk_assign_bit(f->rest[at].accepting + i, bit, position >> i & 1);
}

void wsk_set_sending(wsk_fabric *f, size_t at, int b, const wsk_route *route, int position)
{
    u64 bit = (u64)1 << b;
    for (int d = 0; d < PORTS; d++)
        wsk_assign_bit(f->lane[at].out + d, bit, route->out[position] >> d & 1);
    for (int i = 0; i < 2; i++)
        wsk_assign_bit(f->rest[at].sending + i, bit, position >> i & 1);
}

