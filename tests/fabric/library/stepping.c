/* Saved and loaded, skipped, run and stopped, in one thread and in many: whatever way a fabric takes, it ends alike. */
#include "library.h"

static uint8_t *bytes_of(wsk_fabric *f, size_t *n)
{
    size_t m;
    CHECK(wsk_fabric_save(f, NULL, 0, n) == 0);
    uint8_t *bytes = malloc(*n + 1);
    CHECK(wsk_fabric_save(f, bytes, *n - 1, &m) == WSK_ERR_NO_ROOM && m == *n);
    CHECK(wsk_fabric_save(f, bytes, *n, &m) == 0 && m == *n);
    return bytes;
}

/* A second fabric from the bytes of one, which takes them back itself, maybe, but no others. */
static wsk_fabric *saved_and_opened(wsk_fabric *f)
{
    size_t n, m;
    wsk_fabric *opened;
    uint8_t *bytes = bytes_of(f, &n);
    CHECK(wsk_fabric_open(&opened, bytes, n, WSK_SIMD_AUTO) == 0);
    check_alike(f, opened);
    uint8_t *again = bytes_of(opened, &m);
    CHECK(m == n && memcmp(bytes, again, n) == 0);
    bytes[draw((unsigned)n)] ^= (uint8_t)(1 + draw(255));
    CHECK(wsk_fabric_load(f, bytes, n) == WSK_ERR_BAD_BYTES);
    CHECK(wsk_fabric_load(f, again, draw((unsigned)n)) == WSK_ERR_BAD_BYTES);
    CHECK(wsk_fabric_load(f, again, n + 1) == WSK_ERR_BAD_BYTES);
    if (draw(2))
        CHECK(wsk_fabric_load(f, again, n) == 0);
    free(bytes);
    free(again);
    return opened;
}

/* One that is never saved, one that is and goes on, one that is loaded: all end alike, whatever their number of threads. */
void save_and_load(unsigned seed)
{
    kind k = make_kind();
    wsk_plan *plan;
    wsk_fabric *f[3] = { NULL };
    int64_t at = draw(60), end = at + draw(80);
    story s[3] = { { 0 } };
    CHECK(make_plan(&k, &plan) == 0);
    unsigned listening = draw(2), kept = (unsigned)draw(1 << 30);
    for (int i = 0; i < 2; i++) {
        if (wsk_fabric_create(f + i, plan, k.sinks, (int)draw(4) - 1) < 0) {
            CHECK(k.n_filters);               /* none of its colors has a route there */
            wsk_fabric_free(f[0]);
            wsk_plan_free(plan);
            return;
        }
        draw_by(kept);
        if (listening)
            listen_somewhere(f[i], &k);
    }
    s[0] = live(f[0], &k, seed, end, 0, s[0]);
    s[1] = live(f[1], &k, seed, at, (int)draw(4), s[1]);
    if (!s[1].status) {
        f[2] = saved_and_opened(f[1]);
        s[2] = live(f[2], &k, seed, end, (int)draw(4), s[1]);
        s[1] = live(f[1], &k, seed, end, 0, s[1]);
        CHECK(s[1].words == s[2].words && s[1].status == s[2].status);
        if (!s[0].status) {
            check_alike(f[0], f[1]);
            check_alike(f[1], f[2]);
        }
    }
    CHECK(s[0].words == s[1].words && s[0].status == s[1].status && s[0].cycle == s[1].cycle);
    for (int i = 0; i < 3; i++)
        wsk_fabric_free(f[i]);
    wsk_plan_free(plan);
}

/* The checksum at the end, made right again. */
static void sign(uint8_t *bytes, size_t n)
{
    uint64_t sum = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n - 8; i++)
        sum = (sum ^ bytes[i]) * 0x100000001b3u;
    for (size_t i = 0; i < 8; i++)
        bytes[n - 8 + i] = (uint8_t)(sum >> 8 * i);
}

/* Bytes that somebody altered and signed: refused, or a state that can be stepped. */
void forge(unsigned seed)
{
    kind k = make_kind();
    wsk_plan *plan;
    wsk_fabric *f, *opened;
    CHECK(make_plan(&k, &plan) == 0);
    if (wsk_fabric_create(&f, plan, k.sinks, WSK_SIMD_AUTO) == 0) {
        story s = live(f, &k, seed, draw(40), 0, (story){ 0 });
        size_t n;
        uint8_t *bytes = s.status ? NULL : bytes_of(f, &n);
        for (int i = 0; i < 40 && bytes; i++) {
            size_t at = 16 + draw((unsigned)n - 24), from_end = n - 9 - draw(n > 400 ? 300 : 1);
            uint8_t *place = bytes + (draw(3) ? at : from_end), old = *place;
            *place = (uint8_t)(draw(2) ? draw(256) : old ^ 1u << draw(8));
            sign(bytes, n);
            int status = wsk_fabric_open(&opened, bytes, n, WSK_SIMD_AUTO);
            CHECK(status == 0 || status == WSK_ERR_BAD_BYTES || status == WSK_ERR_NO_MEMORY);
            for (int j = 0; j < 12 && opened && wsk_fabric_step(opened) == 0; j++)
                wsk_fabric_explain(opened);
            wsk_fabric_free(opened);
            *place = old;
        }
        free(bytes);
        wsk_fabric_free(f);
    }
    wsk_plan_free(plan);
}

/* One fabric goes step by step, another from event to event: they are alike whenever the host acts. */
void skip_to_events(unsigned seed)
{
    kind k = make_kind();
    wsk_plan *plan;
    wsk_fabric *f[2];
    int status[2] = { 0 };
    CHECK(make_plan(&k, &plan) == 0);
    if (wsk_fabric_create(f, plan, k.sinks, WSK_SIMD_AUTO) == 0) {
        CHECK(wsk_fabric_create(f + 1, plan, k.sinks, WSK_SIMD_AUTO) == 0);
        for (int round = 0; round < 6 && !status[0] && !status[1]; round++) {
            int64_t until = wsk_fabric_cycle(f[0]) + 1 + draw(60), moved = -1;
            for (int i = 0; i < 2; i++)
                act(f[i], &k, seed);
            while (!status[0] && wsk_fabric_cycle(f[0]) < until) {
                status[0] = wsk_fabric_step(f[0]);
                moved = wsk_fabric_last_move(f[0]);
            }
            while (!status[1] && wsk_fabric_cycle(f[1]) < until) {
                int64_t now = wsk_fabric_cycle(f[1]), next = wsk_fabric_next_event(f[1]);
                CHECK(next >= now && wsk_fabric_skip(f[1], next < INT64_MAX ? next + 1 : -1) == WSK_ERR_BAD_ARGUMENT);
                status[1] = next > now ? wsk_fabric_skip(f[1], next < until ? next : until) : wsk_fabric_step(f[1]);
            }
            if (!status[0] && !status[1])
                check_alike(f[0], f[1]);
            CHECK(status[0] || moved > until - 12 || wsk_fabric_next_event(f[0]) > until);    /* it knows when all is blocked */
        }
        CHECK(status[0] == status[1]);
        wsk_fabric_free(f[0]);
        wsk_fabric_free(f[1]);
    }
    wsk_plan_free(plan);
}

static int is_left(const wsk_fabric *f) { return wsk_fabric_in_flight(f) + wsk_fabric_waiting_outside(f) > 0; }

/* The reasons of a run, as a host would find them out step by step. */
static uint32_t reasons_of(const wsk_fabric *f, const wsk_run *run, int64_t start)
{
    uint32_t why = wsk_fabric_cycle(f) >= run->until ? WSK_STOP_TIME : 0;
    const wsk_delivery *list;
    int64_t next = wsk_fabric_next_event(f), last = wsk_fabric_last_move(f) > start ? wsk_fabric_last_move(f) : start;
    for (int i = 0; i < wsk_fabric_strips(f) && wsk_fabric_cycle(f) > start; i++)
        why |= wsk_fabric_deliveries(f, i, &list) > 0 ? WSK_STOP_DELIVERY : 0;
    if (!is_left(f) && next == INT64_MAX)
        why |= WSK_STOP_IDLE;
    if (is_left(f) && (run->patience ? wsk_fabric_cycle(f) - last > run->patience : next == INT64_MAX))
        why |= WSK_STOP_DEADLOCK;
    return why & (run->stop | WSK_STOP_TIME);
}

void run_until_stopped(unsigned seed)
{
    kind k = make_kind();
    wsk_plan *plan;
    wsk_fabric *f[2];
    int status[2] = { 0 };
    CHECK(make_plan(&k, &plan) == 0);
    if (wsk_fabric_create(f, plan, k.sinks, WSK_SIMD_AUTO) == 0) {
        CHECK(wsk_fabric_create(f + 1, plan, k.sinks, WSK_SIMD_AUTO) == 0);
        for (int round = 0; round < 10 && !status[0] && !status[1]; round++) {
            int64_t start = wsk_fabric_cycle(f[0]);
            wsk_run run = { .size = sizeof run, .until = start + draw(70), .patience = draw(2) ? draw(20) : 0,
                            .stop = draw(4) * 2 + draw(2) * WSK_STOP_DEADLOCK, .threads = draw(4) ? 1 : 3 };
            uint32_t why[2] = { 0 };
            for (int i = 0; i < 2; i++)
                act(f[i], &k, seed);
            while (!status[0] && !(why[0] = reasons_of(f[0], &run, start)))
                status[0] = wsk_fabric_step(f[0]);
            status[1] = wsk_fabric_run(f[1], &run, why + 1);
            CHECK(status[0] == status[1] || status[1] == WSK_ERR_LIVELOCK);
            if (!status[0] && !status[1]) {
                CHECK(why[0] == why[1]);
                check_alike(f[0], f[1]);
                CHECK(!(why[1] & WSK_STOP_DEADLOCK) || wsk_fabric_report(f[1])->status == WSK_ERR_DEADLOCK);
            }
        }
        wsk_fabric_free(f[0]);
        wsk_fabric_free(f[1]);
    }
    wsk_plan_free(plan);
}

/* ---- Several fabrics in several threads: of one plan, and of their own ---- */

enum { THREADS = 4 };
typedef struct { const wsk_plan *plan; const kind *k; unsigned seed; story s; } lodger;

static void *lodge(void *argument)
{
    lodger *l = argument;
    wsk_fabric *f = NULL;
    begin(l->seed);
    CHECK(wsk_fabric_create(&f, l->plan, l->k->sinks, WSK_SIMD_AUTO) == 0);
    l->s = live(f, l->k, 77, 60, (int)(l->seed % 3), l->s);
    wsk_fabric_free(f);
    begin(l->seed);
    save_and_load(l->seed);
    return NULL;
}

void share_a_process(unsigned seed)
{
    kind k = make_kind();
    wsk_plan *plan;
    pthread_t threads[THREADS];
    lodger lodgers[THREADS];
    k.n_filters = 0;
    CHECK(make_plan(&k, &plan) == 0);
    for (unsigned i = 0; i < THREADS; i++) {
        lodgers[i] = (lodger){ .plan = plan, .k = &k, .seed = seed * THREADS + i };
        CHECK(pthread_create(threads + i, NULL, lodge, lodgers + i) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    for (int i = 1; i < THREADS; i++)
        CHECK(lodgers[i].s.words == lodgers[0].s.words && lodgers[i].s.cycle == lodgers[0].s.cycle);
    wsk_plan_free(plan);
}
