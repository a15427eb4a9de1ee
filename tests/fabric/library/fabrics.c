/* Fabrics of all kinds, what hosts do to them, and what they have been through. */
#include "library.h"

_Thread_local long wsk_allocations_left = -1;
atomic_long wsk_allocations;
_Thread_local unsigned current;
static _Thread_local uint64_t chance;

unsigned draw(unsigned below)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return (unsigned)((chance >> 20) % below);
}

void draw_by(uint64_t number)
{
    chance = 0x9e3779b97f4a7c15u * (number + 1);
    for (int i = 0; i < 8; i++)
        draw(2);
}

void begin(unsigned seed)
{
    current = seed;
    draw_by(seed);
}

/* ---- Fabrics of all kinds ---- */

void paint(kind *k, wsk_route route, int color, int x, int y, int width, int height)
{
    if (width < 1 || height < 1)
        return;
    k->routes[k->n_routes] = route;
    k->rects[k->n_rects++] = (wsk_rect){ color, x, y, width, height, k->n_routes++ };
}

/* A color whose words go east in all rows, or south in all columns, to every core or to the last; maybe with switches. */
static void add_color(kind *k, int color)
{
    int w = k->rules.width, h = k->rules.height, across = (int)draw(2), n = across ? w : h;
    int ends = k->rules.open_edges && draw(2), begins = k->rules.open_edges && draw(2);
    int from = across ? W : N, to = across ? E : S, tap = draw(2) ? R : 0;
    wsk_route first = plain(begins ? from : R, n == 1 ? R : to), middle = plain(from, to | tap);
    wsk_route last = plain(from, ends ? to : R);
    if (draw(3) == 0) {                       /* a second position in which cores send */
        middle.positions = 2;
        middle.in[1] = R;
        middle.out[1] = (uint8_t)(to | tap);
        middle.ring = (uint8_t)draw(2);
        middle.pop = (uint8_t)draw(4);
        middle.initial = (uint8_t)draw(2);
    }
    if (draw(6) == 0)
        middle.teardown = 1;
    paint(k, first, color, 0, 0, across ? 1 : w, across ? h : 1);
    paint(k, middle, color, across ? 1 : 0, across ? 0 : 1, across ? w - 2 : w, across ? h : h - 2);
    if (n > 1)
        paint(k, last, color, across ? w - 1 : 0, across ? 0 : h - 1, across ? 1 : w, across ? h : 1);
    k->sinks[color] = (uint8_t)draw(3);
}

/* Two colors that swap eastwards at every router of the middle. */
static void add_swapping(kind *k, int color)
{
    int w = k->rules.width, h = k->rules.height;
    for (int i = 0; i < 2; i++) {
        wsk_route route = plain(W, E);
        route.swap = WSK_SWAP_EW;
        paint(k, plain(R, w == 1 ? R : E), color + i, 0, 0, 1, h);
        paint(k, route, color + i, 1, 0, w - 2, h);
        if (w > 1)
            paint(k, plain(W, R), color + i, w - 1, 0, 1, h);
        k->sinks[color + i] = (uint8_t)draw(3);
    }
}

kind make_kind(void)
{
    kind k = { .n_routes = 0 };
    int big = draw(10) == 0, plainly = (int)draw(2);
    k.rules = (wsk_rules){ .width = 1 + (int)draw(big ? 100 : 20), .height = 1 + (int)draw(big ? 150 : 12),
                           .hop_latency = 1 + (int)draw(4), .ramp_latency = 1 + (int)draw(4), .buffer_depth = 1 + (int)draw(7),
                           .link_words = 1 + (int)draw(8), .multicast_all = plainly || draw(2),
                           .open_edges = !plainly && draw(2) };
    if (draw(3) == 0)
        k.rules.hop_latency = 1;
    k.rules.link_frame = k.rules.link_words + (plainly ? 0 : (int)draw(2));
    k.colors = 1 + (int)draw(5);
    for (int color = 0; color < k.colors; color++)
        add_color(&k, color);
    if (!plainly && draw(3) == 0)
        add_swapping(&k, 10);
    if (!plainly && draw(2))
        k.filters[k.n_filters++] = (wsk_filter){ (int)draw((unsigned)k.colors), 0, 0, k.rules.width, k.rules.height,
                                                 1 + (int)draw(3), 1, 3 + draw(5), 4 + draw(4), 6, draw(2), 1, (int)draw(2) };
    return k;
}

int make_plan(const kind *k, wsk_plan **plan)
{
    return wsk_plan_create(plan, &k->rules, k->routes, k->n_routes, k->rects, k->n_rects, k->filters, k->n_filters, NULL);
}

/* ---- What a fabric has been through ---- */

static void hear(void *context, wsk_fabric *f, const wsk_delivery *word)
{
    story *s = context;
    uint64_t bits = ((uint64_t)word->pe << 32 | word->data)
                  ^ (uint64_t)(word->color | word->port << 8 | word->flags << 16) << 40 ^ (uint64_t)wsk_fabric_cycle(f);
    s->words = (s->words ^ bits) * 0x100000001b3u;
}

static uint32_t control_word(void) { return draw(4) << 22 | draw(2) << 24 | draw(4) << 25 | draw(100); }

/* The ports that the router of a PE listens to at some position. */
static int listens(const wsk_fabric *f, const kind *k, unsigned pe, int color)
{
    const wsk_route *route = wsk_plan_route(wsk_fabric_plan(f), (int)pe % k->rules.width, (int)pe / k->rules.width, color);
    return route ? route->in[0] | (route->positions > 1 ? route->in[1] : 0) : 0;
}

/* What the host does before a cycle, drawn by the cycle alone, so that every copy of a fabric is treated alike. */
void act(wsk_fabric *f, const kind *k, unsigned seed)
{
    uint64_t kept = chance;
    unsigned pes = (unsigned)(k->rules.width * k->rules.height);
    draw_by(seed * 4096u + (unsigned)wsk_fabric_cycle(f));
    for (unsigned i = draw(8); i; i--) {
        unsigned row = draw((unsigned)k->rules.height), pe = draw(2) ? row * (unsigned)k->rules.width : draw(pes);
        int color = (int)draw((unsigned)k->colors), flags = draw(8) == 0 ? 1 + (int)draw(3) : 0;
        uint32_t data = flags & WSK_CONTROL ? control_word() : draw(1 << 20);
        int port = (int)draw(4), ports = listens(f, k, pe, color), what = (int)draw(10);
        if (what < 5 && !(ports & R))
            what = ports >> port & 1 ? 6 : 5;
        switch (what) {
        case 0: case 1: case 2: wsk_fabric_offer(f, pe, color, data, flags); break;
        case 3: case 4: wsk_fabric_push(f, pe, color, data, flags); break;
        case 5: wsk_fabric_credit(f, pe, color, 1 + (int)draw(3)); break;
        case 6: wsk_fabric_offer_edge(f, pe, port, color, data, flags); break;
        case 7: wsk_fabric_set_position(f, pe, color, (int)draw(2)); break;
        case 8: wsk_fabric_teardown(f, pe, color, draw(4) == 0); break;
        default: wsk_fabric_pop(f, pe, color, NULL);
        }
        if (draw(40) == 0 && ports) {
            wsk_route route = plain(ports, R);
            wsk_fabric_rewrite(f, pe, color, &route);
        }
    }
    chance = kept;
}

/* A fabric up to a cycle: the host acts before every fifth. */
story live(wsk_fabric *f, const kind *k, unsigned seed, int64_t until, int threads, story s)
{
    wsk_run run = { .size = sizeof run, .threads = threads };
    CHECK(wsk_fabric_on_delivery(f, hear, &s) == 0);
    while (!s.status && wsk_fabric_cycle(f) < until) {
        int64_t next = wsk_fabric_cycle(f) / 5 * 5 + 5;
        if (wsk_fabric_cycle(f) % 5 == 0)
            act(f, k, seed);
        run.until = next < until ? next : until;
        if (threads)
            s.status = wsk_fabric_run(f, &run, NULL);
        while (!threads && !s.status && wsk_fabric_cycle(f) < run.until)
            s.status = wsk_fabric_step(f);
    }
    CHECK(wsk_fabric_on_delivery(f, NULL, NULL) == 0);
    s.cycle = wsk_fabric_cycle(f);
    return s;
}

void check_alike(const wsk_fabric *a, const wsk_fabric *b)
{
    static _Thread_local uint32_t counts[2][MOST_PES];
    wsk_totals totals[2];
    CHECK(wsk_fabric_cycle(a) == wsk_fabric_cycle(b) && wsk_fabric_in_flight(a) == wsk_fabric_in_flight(b));
    CHECK(wsk_fabric_waiting_outside(a) == wsk_fabric_waiting_outside(b));
    CHECK(wsk_fabric_last_move(a) == wsk_fabric_last_move(b) && wsk_fabric_next_event(a) == wsk_fabric_next_event(b));
    CHECK(!wsk_fabric_totals(a, totals) && !wsk_fabric_totals(b, totals + 1) && !memcmp(totals, totals + 1, sizeof *totals));
    size_t bytes = sizeof(uint32_t) * (size_t)wsk_plan_rules(wsk_fabric_plan(a))->width
                 * (size_t)wsk_plan_rules(wsk_fabric_plan(a))->height;
    for (int port = 0; port < 5; port++) {
        CHECK(!wsk_fabric_link_counts(a, port, -1, counts[0]) && !wsk_fabric_link_counts(b, port, -1, counts[1]));
        CHECK(!memcmp(counts[0], counts[1], bytes));
    }
    CHECK(!wsk_fabric_stall_counts(a, -1, counts[0]) && !wsk_fabric_stall_counts(b, -1, counts[1]));
    CHECK(!memcmp(counts[0], counts[1], bytes));
    for (int color = 0; color < WSK_COLORS; color++) {
        CHECK(!wsk_fabric_occupancy(a, color, (uint8_t *)counts[0]) && !wsk_fabric_occupancy(b, color, (uint8_t *)counts[1]));
        CHECK(!memcmp(counts[0], counts[1], bytes / sizeof(uint32_t)));
    }
    CHECK(wsk_fabric_moves(a, NULL, 0) == wsk_fabric_moves(b, NULL, 0));
}

void listen_somewhere(wsk_fabric *f, const kind *k)
{
    for (unsigned i = 0; i < 6; i++)
        wsk_fabric_listen(f, draw((unsigned)(k->rules.width * k->rules.height)), (int)draw((unsigned)k->colors), 3);
}
