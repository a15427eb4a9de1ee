/* Ways between PEs, and links between wafers. */
#include "library.h"

static wsk_area some_area(const wsk_rules *r, int width, int height)
{
    int x = (int)draw((unsigned)(r->width - width + 1)), y = (int)draw((unsigned)(r->height - height + 1));
    return (wsk_area){ x, y, width, height };
}

/* The routes and rectangles of a kind with those of the ways behind them, as a plan. */
static int plan_with(const kind *k, const wsk_ways *ways, wsk_plan **plan)
{
    static _Thread_local wsk_rect all[64 + 4096];
    const wsk_route *routes;
    const wsk_rect *rects;
    int n_routes = wsk_ways_routes(ways, &routes), n = wsk_ways_rects(ways, &rects);
    CHECK(n_routes >= k->n_routes && n <= 4096);
    memcpy(all, k->rects, (size_t)k->n_rects * sizeof *all);
    if (n)
        memcpy(all + k->n_rects, rects, (size_t)n * sizeof *all);
    return wsk_plan_create(plan, &k->rules, routes, n_routes, all, k->n_rects + n, k->filters, k->n_filters, NULL);
}

/* One word from a PE on a color, alone on the fabric: it comes out at every PE of an area once, and nowhere else. */
static void check_way(const wsk_plan *plan, wsk_area from, int color, wsk_area to)
{
    const uint8_t sinks[WSK_COLORS] = { [0 ... WSK_COLORS - 1] = WSK_SINK_LOG };
    const int width = wsk_plan_rules(plan)->width;
    const wsk_delivery *list;
    wsk_fabric *f;
    int found = 0;
    CHECK(wsk_fabric_create(&f, plan, sinks, 0) == 0);
    CHECK(wsk_fabric_offer(f, (uint32_t)(from.y * width + from.x), color, 77, 0) == 1);
    while (wsk_fabric_next_event(f) != INT64_MAX) {
        CHECK(wsk_fabric_step(f) == 0);
        for (int s = 0; s < wsk_fabric_strips(f); s++)
            for (int n = wsk_fabric_deliveries(f, s, &list); n > 0; n--, list++, found++) {
                int x = (int)list->pe % width, y = (int)list->pe / width;
                CHECK(list->color == color && list->data == 77 && list->port == WSK_RAMP);
                CHECK(x >= to.x && y >= to.y && x < to.x + to.width && y < to.y + to.height);
            }
    }
    CHECK(found == to.width * to.height);
    wsk_fabric_free(f);
}

static void abuse_ways(wsk_ways *ways, wsk_area from, wsk_area to)
{
    wsk_connection found = { .size = sizeof found }, small = { .size = 3 };
    const wsk_route *routes;
    char text[8];
    wsk_area off[] = { { -1, 0, 1, 1 }, { 0, 0, 0, 1 }, { 0, 0, INT32_MAX, 1 }, { INT32_MAX, INT32_MIN, 1, 1 } };
    for (int i = 0; i < 4; i++) {
        CHECK(wsk_connect(ways, 1, off + i, &to, 1, NULL, &found) == WSK_ERR_BAD_ARGUMENT);
        CHECK(wsk_connect(ways, 1, &from, off + i, 1, NULL, &found) == WSK_ERR_BAD_ARGUMENT);
    }
    CHECK(wsk_connect(NULL, 1, &from, &to, 1, NULL, &found) == WSK_ERR_BAD_ARGUMENT);
    CHECK(wsk_connect(ways, 0, &from, &to, 1, NULL, &found) == WSK_ERR_BAD_ARGUMENT);
    CHECK(wsk_connect(ways, 1u << 24, &from, &to, 1, NULL, &found) == WSK_ERR_BAD_ARGUMENT);
    CHECK(wsk_connect(ways, 1, &from, &to, 0, NULL, &found) == WSK_ERR_BAD_ARGUMENT);
    CHECK(wsk_connect(ways, 1, &from, &to, 1, NULL, &small) == WSK_ERR_BAD_ARGUMENT);
    CHECK(wsk_ways_routes(NULL, &routes) == WSK_ERR_BAD_ARGUMENT && wsk_ways_rects(ways, NULL) == WSK_ERR_BAD_ARGUMENT);
    CHECK(wsk_connection_text(NULL, text, 8) == WSK_ERR_BAD_ARGUMENT && wsk_connection_text(&found, NULL, 0) > 8);
    CHECK(wsk_connection_text(&found, text, 8) > 8 && strlen(text) == 7);
    wsk_ways_free(NULL);
}

void connect_places(unsigned seed)
{
    kind k = make_kind();
    wsk_plan *plan, *more;
    wsk_ways *ways;
    wsk_connection found = { .size = sizeof found };
    (void)seed;
    k.rules.width = 2 + (int)draw(12);
    k.rules.height = 2 + (int)draw(12);
    k.n_routes = k.n_rects = k.n_filters = 0;
    k.rules.open_edges = 0;
    for (unsigned i = draw(4); i > 0; i--)
        paint(&k, plain(W, R), (int)draw(3), (int)draw(2), (int)draw(2), 1, 1);
    CHECK(make_plan(&k, &plan) == 0);
    wsk_area from = some_area(&k.rules, 1, 1), to = some_area(&k.rules, 1 + (int)draw(2), 1 + (int)draw(2));
    for (long n = 0, failed = 1; failed; n++) {           /* whichever allocation fails, a second try finds the way */
        uint8_t color = 99;
        wsk_allocations_left = n;
        while (wsk_ways_create(&ways, plan) == WSK_ERR_NO_MEMORY) {}
        int status;
        while ((status = wsk_connect(ways, 7, &from, &to, 1, &color, &found)) == WSK_ERR_NO_MEMORY) {}
        failed = wsk_allocations_left < 0;
        wsk_allocations_left = -1;
        CHECK(status == 0 || status == WSK_ERR_NO_WAY);
        CHECK((status == 0) == (found.x < 0) && (status == 0 || found.tried == 7));
        if (status == 0) {
            CHECK(color < 3 && found.colors == 1u << color && plan_with(&k, ways, &more) == 0);
            check_way(more, from, color, to);
            wsk_plan_free(more);
        }
        abuse_ways(ways, from, to);
        wsk_ways_free(ways);
    }
    CHECK(wsk_ways_create(&ways, NULL) == WSK_ERR_BAD_ARGUMENT && wsk_ways_create(NULL, plan) == WSK_ERR_BAD_ARGUMENT);
    wsk_plan_free(plan);
}

/* ---- Wafers ---- */

enum { COLUMNS = 5, ROWS = 4, UNTIL = 400 };

static void abuse_link(wsk_link *link, const wsk_link_rules *rules, wsk_fabric *f)
{
    wsk_link *none;
    wsk_link_word word = { .due = 1, .lane = ROWS }, list[2] = { { .due = 9 }, { .due = 8 } };
    const wsk_joint joint = { link, 0, 1 };
    int64_t wrong[][2] = { { 0, 4 }, { 1, -1 }, { 5, 0 }, { 6, 0 }, { 7, 0 }, { 8, 0 }, { 2, 65536 }, { 3, 7 },
                           { 6, 2000000000 } };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int32_t fields[9];
        wsk_link_rules bad;
        memcpy(fields, rules, sizeof fields);
        fields[wrong[i][0]] = (int32_t)wrong[i][1];
        memcpy(&bad, fields, sizeof bad);
        CHECK(wsk_link_create(&none, &bad) == WSK_ERR_BAD_ARGUMENT && !none);
    }
    CHECK(wsk_link_create(NULL, rules) == WSK_ERR_BAD_ARGUMENT && wsk_link_collect(link, NULL) == WSK_ERR_BAD_ARGUMENT);
    CHECK(wsk_link_put(link, -1, 0, 0, 0, 0) < 0 && wsk_link_put(link, 0, ROWS, 0, 0, 0) < 0);
    CHECK(wsk_link_put(link, 0, 0, WSK_COLORS, 0, 0) == WSK_ERR_BAD_ARGUMENT && wsk_link_put(link, 0, 0, 0, 0, 4) < 0);
    CHECK(wsk_link_give(link, &word, 1) == WSK_ERR_BAD_ARGUMENT && wsk_link_give(link, list, 2) == WSK_ERR_BAD_ARGUMENT);
    CHECK(wsk_link_take(link, NULL, 1) == WSK_ERR_BAD_ARGUMENT && wsk_link_take(link, list, -1) == WSK_ERR_BAD_ARGUMENT);
    CHECK(wsk_link_run(&f, 1, &joint, 1, UNTIL, 0) == WSK_ERR_BAD_ARGUMENT && wsk_link_run(NULL, 1, NULL, 0, 0, 0) < 0);
    CHECK(wsk_link_waiting(NULL) < 0 && wsk_link_next(NULL) < 0 && wsk_link_reset(NULL) < 0 && wsk_link_deliver(NULL, f) < 0);
    wsk_link_free(NULL);
}

/* Words of both wafers: when, where and which. */
static uint64_t words_of(wsk_fabric *const *f, uint64_t sum)
{
    const wsk_delivery *list;
    for (int i = 0; i < 2; i++)
        for (int n = wsk_fabric_deliveries(f[i], 0, &list); n > 0; n--, list++)
            sum = (sum ^ list->data ^ (uint64_t)list->pe << 32 ^ (uint64_t)wsk_fabric_cycle(f[i]) << 8) * 0x100000001b3u;
    return sum;
}

void link_wafers(unsigned seed)
{
    kind k = make_kind();
    wsk_rules rules = { COLUMNS, ROWS, 1 + (int)draw(3), 1 + (int)draw(3), 4, 1, 1, 1, 1 };
    wsk_link_rules link_rules = { sizeof link_rules, WSK_EAST, 0, WSK_WEST, 0, ROWS, 1 + (int)draw(40), 1 + (int)draw(5),
                                  1 + (int)draw(4) };
    const uint8_t sinks[WSK_COLORS] = { WSK_SINK_LOG, WSK_SINK_LOG };
    uint64_t sums[2] = { 0, 0 };
    wsk_plan *plan;
    k.rules = rules;
    k.n_routes = k.n_rects = k.n_filters = 0;
    paint(&k, plain(W | R, E | R), 0, 0, 0, COLUMNS, ROWS);
    CHECK(make_plan(&k, &plan) == 0);
    for (int way = 0; way < 2; way++) {
        wsk_fabric *f[2];
        wsk_link *link;
        draw_by(seed);
        CHECK(wsk_link_create(&link, &link_rules) == 0);
        for (int i = 0; i < 2; i++)
            CHECK(wsk_fabric_create(f + i, plan, sinks, 0) == 0);
        const wsk_joint joint = { link, 0, 1 };
        for (uint32_t i = 0; i < 20; i++) {
            uint32_t word = 100 + i;
            CHECK(wsk_fabric_inject(f[0], draw(ROWS) * COLUMNS, WSK_RAMP, 0, &word, NULL, 1) == 0);
        }
        while (wsk_fabric_cycle(f[0]) < UNTIL) {
            if (way == 0) {
                CHECK(wsk_link_collect(link, f[0]) >= 0 && wsk_link_collect(link, f[0]) == 0);
                CHECK(wsk_link_deliver(link, f[1]) >= 0);
                CHECK(wsk_fabric_step(f[0]) == 0 && wsk_fabric_step(f[1]) == 0);
            } else {
                int64_t next = wsk_fabric_cycle(f[0]) + 1;
                wsk_allocations_left = (long)draw(2) - 1;       /* a run that found no memory is run again */
                while (wsk_link_run(f, 2, &joint, 1, next, 0) == WSK_ERR_NO_MEMORY) {}
                wsk_allocations_left = -1;
                CHECK(wsk_fabric_cycle(f[0]) == next);
            }
            sums[way] = words_of(f, sums[way]);
        }
        CHECK(wsk_link_waiting(link) == 0 && wsk_link_run(f, 2, &joint, 1, UNTIL + 9, 1) == 0);
        CHECK(wsk_fabric_cycle(f[0]) == UNTIL);
        abuse_link(link, &link_rules, f[0]);
        for (int i = 0; i < 2; i++)
            wsk_fabric_free(f[i]);
        wsk_link_free(link);
    }
    CHECK(sums[0] == sums[1] && sums[0]);
    wsk_plan_free(plan);
}
