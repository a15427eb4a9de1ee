/* The two registers that a router has for each color of its PE, as a program of WSE-2 reads and writes them at their addresses.
 * Public programs (Cerebras/sdk-examples, spmv-hypersparse) state their bits in comments; what they leave open is not used.
 *
 * Routes: bits 0-4 the ways out at position 0, 5-9 the ways in (west, east, south, north, ramp), 10 color swap north-south, 11
 * east-west, 12-13 pop mode, 14 teardown in progress. Switch: for each position 1 to 3 four bits, of which the highest says
 * which half of position 0 it replaces (1: the way in) and the others by what (west, east, south, north, ramp; 5: invalid);
 * 12 ring mode, 13-14 the position now: that at the way in where it is read, both where it is written. */
#include "fabric_internal.h"

enum { SWAP_NS = 10, SWAP_EW = 11, POP = 12, TORN = 14, RING_MODE = 12, POSITION = 13, INPUT = 8, INVALID = 5 };

static const int port_of[PORTS] = { WSK_WEST, WSK_EAST, WSK_SOUTH, WSK_NORTH, WSK_RAMP };

static int bits_of_ports(int mask)
{
    int bits = 0;
    for (int i = 0; i < PORTS; i++)
        bits |= (mask >> port_of[i] & 1) << i;
    return bits;
}

static int ports_of_bits(int bits)
{
    int mask = 0;
    for (int i = 0; i < PORTS; i++)
        mask |= (bits >> i & 1) << port_of[i];
    return mask;
}

/* The four bits of a position. One that is not valid keeps there which half it would replace: it has ways out alone, or none.
 * One that leads as position 0 does replaces the way in by itself, or, where there are several, the way out. */
static int bits_of_position(const wsk_route *route, int p)
{
    int several = route->in[p] & (route->in[p] - 1);
    int input = route->in[p] != route->in[0] || (route->out[p] == route->out[0] && !several);
    if (!route->in[p] || !route->out[p])
        return (route->out[p] ? INPUT : 0) | INVALID;
    return (input ? INPUT : 0) | __builtin_ctz((unsigned)bits_of_ports(input ? route->in[p] : route->out[p]));
}

static void set_position_of_bits(wsk_route *route, int p, int bits)
{
    int code = bits & (INPUT - 1), mask = code < INVALID ? 1 << port_of[code] : 0;
    if (bits & INPUT) {
        route->in[p] = (uint8_t)mask;
        route->out[p] = route->out[0];
    } else {
        route->in[p] = mask ? route->in[0] : 0;
        route->out[p] = (uint8_t)mask;
    }
}

/* How many positions are valid: those behind the first invalid one never are reached. */
static int valid_positions(const wsk_route *route)
{
    int n = 1;
    while (n < WSK_POSITIONS && route->in[n] && route->out[n])
        n++;
    return n;
}

/* The route now; without one, no ways and no valid position. */
static wsk_route route_now(const wsk_fabric *f, u32 pe, int c)
{
    const wsk_route *route = wsk_route_at(f, (int)(pe % (u32)f->width), (int)(pe / (u32)f->width), c);
    wsk_route found = { 0 };
    if (!route)
        return found;
    found = *route;
    return found;
}

static int position_at_way_in(const wsk_fabric *f, u32 pe, int c)
{
    int x = (int)(pe % (u32)f->width), y = (int)(pe / (u32)f->width);
    return wsk_bits_at(f->rest[wsk_lane_at(f, y, x / 64, c)].accepting, 2, x % 64);
}

int wsk_fabric_register(const wsk_fabric *f, u32 pe, int color, int of_switch)
{
    int c = wsk_color_at(f, pe, color), bits = 0;
    if (c < 0)          /* nobody has a route of it */
        return of_switch ? INVALID | INVALID << 4 | INVALID << 8 : 0;
    wsk_route route = route_now(f, pe, c);
    if (!of_switch)
        return bits_of_ports(route.out[0]) | bits_of_ports(route.in[0]) << PORTS | !!(route.swap & WSK_SWAP_NS) << SWAP_NS
            | !!(route.swap & WSK_SWAP_EW) << SWAP_EW | route.pop << POP | wsk_fabric_torn_down(f, pe, color) << TORN;
    for (int p = 1; p < WSK_POSITIONS; p++)
        bits |= bits_of_position(&route, p) << 4 * (p - 1);
    return bits | !!route.ring << RING_MODE | position_at_way_in(f, pe, c) << POSITION;
}

int wsk_fabric_set_register(wsk_fabric *f, u32 pe, int color, int of_switch, int bits)
{
    int c = wsk_color_at(f, pe, color), held;
    if (c < 0)
        return WSK_ERR_BAD_ARGUMENT;
    wsk_route route = route_now(f, pe, c);
    held = wsk_fabric_register(f, pe, color, 1);
    if (of_switch) {
        held = bits;
        route.ring = (uint8_t)(bits >> RING_MODE & 1);
        route.initial = (uint8_t)(bits >> POSITION & 3);
    } else {
        route.out[0] = (uint8_t)ports_of_bits(bits & 31);
        route.in[0] = (uint8_t)ports_of_bits(bits >> PORTS & 31);
        route.swap = (uint8_t)((bits >> SWAP_NS & 1 ? WSK_SWAP_NS : 0) | (bits >> SWAP_EW & 1 ? WSK_SWAP_EW : 0));
        route.pop = (uint8_t)(bits >> POP & 3);
        route.initial = (uint8_t)wsk_fabric_position(f, pe, color);
    }
    for (int p = 1; p < WSK_POSITIONS; p++)
        set_position_of_bits(&route, p, held >> 4 * (p - 1));
    route.positions = (uint8_t)valid_positions(&route);
    route.teardown = 0;
    int status = wsk_fabric_rewrite(f, pe, color, &route);
    return status < 0 || of_switch ? status : wsk_fabric_teardown(f, pe, color, bits >> TORN & 1);
}
