/* Queues, callbacks and credit of a host; memory that runs out at every place; two clocks. */
#include "library.h"

/* ---- A row of PEs: words go east from the first to the last core ---- */

typedef struct { wsk_plan *plan; wsk_fabric *fabric; } row;

static row make_row(int width, int height, int sink)
{
    const wsk_rules rules = { width, height, 1, 1, 4, 1, 1, 1, 0 };
    const wsk_route routes[] = { plain(R, E), plain(W, E), plain(W, R) };
    const wsk_rect rects[] = { { 0, 0, 0, 1, height, 0 }, { 0, 1, 0, width - 2, height, 1 },
                               { 0, width - 1, 0, 1, height, 2 } };
    const uint8_t sinks[WSK_COLORS] = { (uint8_t)sink };
    row r = { NULL, NULL };
    int status = wsk_plan_create(&r.plan, &rules, routes, 3, rects, 3, NULL, 0, NULL);
    if (!status)
        status = wsk_fabric_create(&r.fabric, r.plan, sinks, WSK_SIMD_AUTO);
    CHECK(status == 0 || wsk_allocations_left < 0);
    return r;
}

static void free_row(row r)
{
    CHECK(wsk_fabric_free(r.fabric) == 0);
    wsk_plan_free(r.plan);
}

/* ---- The host: queues, callbacks, credit ---- */

typedef struct { int words, rooms, busy; uint32_t last; } heard;

static void on_word(void *context, wsk_fabric *f, const wsk_delivery *word)
{
    heard *h = context;
    uint8_t byte;
    size_t n;
    wsk_run run = { .size = sizeof run, .until = 1 << 20 };
    h->words++;
    h->last = word->data;
    h->busy += wsk_fabric_step(f) == WSK_ERR_BUSY && wsk_fabric_run(f, &run, NULL) == WSK_ERR_BUSY
            && wsk_fabric_reset(f) == WSK_ERR_BUSY && wsk_fabric_free(f) == WSK_ERR_BUSY
            && wsk_fabric_load(f, &byte, 1) == WSK_ERR_BUSY
            && wsk_fabric_save(f, &byte, 1, &n) == WSK_ERR_BUSY && wsk_fabric_skip(f, 1 << 20) == WSK_ERR_BUSY;
}

static void on_room(void *context, wsk_fabric *f, uint32_t pe, int color)
{
    heard *h = context;
    h->rooms++;
    CHECK(wsk_fabric_room(f, pe, color) > 0);
    while (wsk_fabric_push(f, pe, color, 1000 + (uint32_t)h->rooms, 0) == 1) {}      /* refused once more at the end */
}

void serve_the_host(unsigned seed)
{
    const int width = 3 + (int)draw(80), depth = 1 + (int)draw(5), threads = (int)draw(4);
    const uint32_t last = (uint32_t)width - 1;
    row r = make_row(width, 1 + (int)draw(130), WSK_SINK_CORE);
    wsk_fabric *f = r.fabric;
    heard h = { 0 };
    wsk_delivery word;
    uint32_t why, sent = 0, popped = 0;
    wsk_run run = { .size = sizeof run, .until = 1 << 20, .threads = threads,
                    .stop = WSK_STOP_HOST | WSK_STOP_DELIVERY | WSK_STOP_DEADLOCK };
    (void)seed;
    CHECK(wsk_fabric_top(f, last, 0, &word) == WSK_ERR_BAD_ARGUMENT);
    CHECK(wsk_fabric_listen(f, last, 0, depth) == 0 && wsk_fabric_listen(f, last, 0, depth) == 0);
    CHECK(wsk_fabric_on_delivery(f, on_word, &h) == 0 && wsk_fabric_on_room(f, on_room, &h) == 0);
    CHECK(wsk_fabric_room(f, 0, 0) == WSK_PUSH_DEPTH && wsk_fabric_top(f, last, 0, &word) == 0);
    while (wsk_fabric_push(f, 0, 0, sent, 0) == 1)
        sent++;
    CHECK(sent == WSK_PUSH_DEPTH && wsk_fabric_room(f, 0, 0) == 0);
    CHECK(wsk_fabric_run(f, &run, &why) == 0 && (why & ~(uint32_t)WSK_STOP_HOST) == WSK_STOP_DELIVERY);
    CHECK(wsk_fabric_cycle(f) == 1 + (width - 1) + 1 && h.words == 1 && h.busy == 1);       /* ramp, links, ramp */
    run.stop &= ~(uint32_t)WSK_STOP_DELIVERY;
    CHECK(wsk_fabric_run(f, &run, &why) == 0 && why == WSK_STOP_HOST && h.words == depth && h.rooms > 0);
    while (wsk_fabric_pop(f, last, 0, &word) == 1)
        CHECK(word.pe == last && word.data == popped++);
    CHECK(popped == (uint32_t)depth && wsk_fabric_run(f, &run, &why) == 0 && why == WSK_STOP_HOST && h.words == 2 * depth);
    run.stop = WSK_STOP_DEADLOCK;
    CHECK(wsk_fabric_run(f, &run, &why) == 0 && why == WSK_STOP_DEADLOCK && wsk_fabric_next_event(f) == INT64_MAX);
    char text[8192];
    int n = wsk_report_text(wsk_fabric_report(f), width, text, sizeof text);
    CHECK(n == (int)strlen(text) && strstr(text, "the core takes no word"));
    CHECK(wsk_report_text(wsk_fabric_report(f), width, text, 5) == n && strlen(text) == 4);
    CHECK(wsk_fabric_reset(f) == 0 && wsk_fabric_top(f, last, 0, &word) == 0 && wsk_fabric_push(f, 0, 0, 7, 0) == 1);
    run.stop = WSK_STOP_IDLE;
    run.until = wsk_fabric_cycle(f) + 1000;
    CHECK(wsk_fabric_run(f, &run, &why) == 0 && why == WSK_STOP_IDLE);
    CHECK(wsk_fabric_pop(f, last, 0, &word) == 1 && word.data == 7);
    free_row(r);
}

/* ---- Every allocation fails once: the call says so, and works when it is made again ---- */

#define AGAIN(call)                                            \
    do {                                                       \
        int status_ = (call);                                  \
        CHECK(status_ >= 0 || status_ == WSK_ERR_NO_MEMORY);   \
        if (status_ < 0) {                                     \
            wsk_allocations_left = -1;                         \
            CHECK((call) >= 0);                                \
        }                                                      \
    } while (0)

static int push_until_refused(wsk_fabric *f)
{
    int status;
    while ((status = wsk_fabric_push(f, 0, 0, 5, 0)) == 1) {}
    return status;
}

static int save_open_and_load(wsk_fabric *f)
{
    size_t n = 0;
    wsk_fabric *opened = NULL;
    wsk_plan *plan = NULL;
    uint8_t *bytes, *plans;
    CHECK(wsk_fabric_save(f, NULL, 0, &n) == 0);
    bytes = malloc(n);
    CHECK(wsk_fabric_save(f, bytes, n, &n) == 0);
    int status = wsk_fabric_open(&opened, bytes, n, WSK_SIMD_AUTO);
    CHECK((status == 0) == (opened != NULL));
    if (!status)
        status = wsk_fabric_load(f, bytes, n);
    if (!status)
        check_alike(f, opened);
    if (!status) {
        CHECK(wsk_plan_save(wsk_fabric_plan(opened), NULL, 0, &n) == 0);
        plans = malloc(n);
        CHECK(wsk_plan_save(wsk_fabric_plan(f), plans, n, &n) == 0);
        status = wsk_plan_open(&plan, plans, n);
        CHECK((status == 0) == (plan != NULL));
        free(plans);
    }
    wsk_plan_free(plan);
    wsk_fabric_free(opened);
    free(bytes);
    return status;
}

static int new_fabric(wsk_fabric **f, const kind *k, wsk_plan **plan)
{
    int status = *plan ? 0 : make_plan(k, plan);
    if (!status)
        status = wsk_fabric_create(f, *plan, k->sinks, WSK_SIMD_AUTO);
    CHECK((status == 0) == (*f != NULL));
    return status;
}

/* Whether allocation number n of all that these calls make was reached. */
static int fail_at(const kind *k, long n)
{
    wsk_plan *plan = NULL;
    wsk_fabric *f = NULL, *other = NULL;
    heard h = { 0 };
    const uint32_t words[40] = { 1, 2, 3 };
    const uint8_t flags[40] = { 0 };
    wsk_route route = plain(R, R);
    wsk_allocations_left = n;
    AGAIN(new_fabric(&f, k, &plan));
    AGAIN(wsk_fabric_listen(f, 1, 0, 3));
    AGAIN(wsk_fabric_on_room(f, on_room, &h));
    AGAIN(wsk_fabric_on_delivery(f, on_word, &h));
    AGAIN(push_until_refused(f));
    AGAIN(wsk_fabric_inject(f, 0, WSK_RAMP, 0, words, NULL, 20));
    AGAIN(wsk_fabric_inject(f, 0, WSK_RAMP, 0, words, flags, 40));
    AGAIN(wsk_fabric_rewrite(f, (uint32_t)k->rules.width - 1, 0, &route));
    AGAIN(wsk_fabric_reset(f));
    AGAIN(push_until_refused(f));
    AGAIN(wsk_fabric_step(f));
    AGAIN(new_fabric(&other, k, &plan));
    AGAIN(wsk_fabric_copy(other, f));
    AGAIN(wsk_fabric_find_circle(f));
    AGAIN(save_open_and_load(f));
    check_alike(f, other);
    wsk_fabric_free(f);
    wsk_fabric_free(other);
    wsk_plan_free(plan);
    int reached = wsk_allocations_left < 0;
    wsk_allocations_left = -1;
    return reached;
}

void fail_everywhere(unsigned seed)
{
    kind k = make_kind();
    k.rules.open_edges = 0;
    k.rules.width = 4;
    k.rules.height = 3;
    k.n_routes = k.n_rects = k.n_filters = 0;
    paint(&k, plain(R, E), 0, 0, 0, 1, 3);
    paint(&k, plain(W, E | R), 0, 1, 0, 2, 3);
    paint(&k, plain(W | R, R), 0, 3, 0, 1, 3);
    k.filters[k.n_filters++] = (wsk_filter){ 0, 2, 0, 1, 3, WSK_FILTER_RANGE, 0, 10, 0, 0, 0, 0, 0 };
    k.sinks[0] = WSK_SINK_LOG;
    (void)seed;
    long n = 0;
    while (fail_at(&k, n))
        n++;
    CHECK(n > 40);
}

/* ---- Clocks ---- */

void keep_time(unsigned seed)
{
    uint32_t wafer = 1 + draw(1u << 30), host = 1 + draw(1u << 30);
    int64_t cycle = draw(1u << 30);
    (void)seed;
    __int128 exact = (__int128)cycle * wafer;
    CHECK(wsk_clock_to_wafer(wafer, host, cycle) == (int64_t)(exact / host));
    CHECK(wsk_clock_to_host(host, wafer, cycle) == (int64_t)((exact + host - 1) / host));
    int64_t there = wsk_clock_to_wafer(wafer, host, cycle), back = wsk_clock_to_host(wafer, host, there);
    CHECK(back <= cycle && wsk_clock_to_wafer(wafer, host, back) >= there);
    CHECK(wsk_clock_to_wafer(7, 7, cycle) == cycle && wsk_clock_to_wafer(0, 1, 1) == WSK_ERR_BAD_ARGUMENT);
    CHECK(wsk_clock_to_wafer(UINT32_MAX, 1, INT64_MAX) == WSK_ERR_BAD_ARGUMENT);
    CHECK(wsk_clock_to_wafer(1, 1, -1) == WSK_ERR_BAD_ARGUMENT && wsk_clock_to_wafer(1, 1, WSK_LAST_CYCLE) == WSK_LAST_CYCLE);
}
