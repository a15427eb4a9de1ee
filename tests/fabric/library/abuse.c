/* Anything for any argument of any function: a status each. */
#include "library.h"

static int odd(void)
{
    static const int numbers[] = { -1, 0, 1, 2, 3, 4, 5, 7, 8, 23, 24, 255, 256, 4096, 65536, 1 << 20, INT32_MAX, INT32_MIN };
    return numbers[draw(sizeof numbers / sizeof *numbers)];
}

static void *maybe(void *pointer) { return draw(3) ? pointer : NULL; }

static int64_t abuse_plan(const kind *k, const wsk_plan *plan)
{
    wsk_rules rules = k->rules;
    wsk_route route = k->routes[0];
    wsk_rect rect = k->rects[0];
    wsk_filter filter = { odd(), odd(), odd(), odd(), odd(), odd(), 0, 0, 0, 0, 0, 0, 0 };
    wsk_plan *made;
    uint8_t bytes[64];
    int32_t *numbers[] = { &rules.width, &rules.height, &rules.hop_latency, &rules.ramp_latency, &rules.buffer_depth,
                           &rules.link_words, &rules.link_frame, &rect.color, &rect.x, &rect.y, &rect.width, &rect.height,
                           &rect.route };
    *numbers[draw(13)] = odd();
    if ((int64_t)rules.width * rules.height > 1 << 16)
        rules.width = rules.height = -1;
    ((uint8_t *)&route)[draw(sizeof route)] = (uint8_t)odd();
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)draw(256);
    switch (draw(6)) {
    case 0: return wsk_plan_route(maybe((void *)plan), odd(), odd(), odd()) == NULL;
    case 1: return wsk_plan_configured(maybe((void *)plan), odd());
    case 2: return wsk_plan_rules(maybe((void *)plan)) == NULL;
    case 3: return wsk_plan_save(maybe((void *)plan), maybe(bytes), draw(64), maybe(&(size_t){ 0 }));
    }
    wsk_plan **out = maybe(&made);
    int status = draw(4) ? wsk_plan_create(out, maybe(&rules), maybe(&route), draw(3) ? 1 : odd() % 2, maybe(&rect),
                                           draw(3) ? 1 : odd() % 2, maybe(&filter), (int)draw(2), maybe(&(wsk_report){ 0 }))
                         : wsk_plan_open(out, maybe(bytes), draw(64));
    CHECK(!out || (status == 0) == (made != NULL));
    wsk_plan_free(out ? made : NULL);
    return status;
}

static int64_t abuse_ramps(wsk_fabric *f)
{
    const uint32_t words[4] = { 1, 2, 3, 4 };
    const uint8_t flags[4] = { 0, (uint8_t)odd(), 0, 0 };
    const wsk_delivery *list;
    wsk_delivery word;
    switch (draw(12)) {
    case 0: return wsk_fabric_offer(f, (uint32_t)odd(), odd(), 1, odd());
    case 1: return wsk_fabric_offer_edge(f, (uint32_t)odd(), odd(), odd(), 1, odd());
    case 2: return wsk_fabric_credit(f, (uint32_t)odd(), odd(), odd());
    case 3: return wsk_fabric_deliveries(f, odd(), maybe(&list));
    case 4: return wsk_fabric_inject(f, (uint32_t)odd(), odd(), odd(), maybe((void *)words), maybe((void *)flags), odd() % 5);
    case 5: return wsk_fabric_push(f, (uint32_t)odd(), odd(), 1, odd());
    case 6: return wsk_fabric_room(f, (uint32_t)odd(), odd());
    case 7: return wsk_fabric_listen(f, (uint32_t)odd(), odd(), odd());
    case 8: return wsk_fabric_top(f, (uint32_t)odd(), odd(), maybe(&word));
    case 9: return wsk_fabric_pop(f, (uint32_t)odd(), odd(), maybe(&word));
    case 10: return wsk_fabric_on_delivery(f, NULL, NULL);
    default: return wsk_fabric_on_room(f, NULL, NULL);
    }
}

static int64_t abuse_state(wsk_fabric *f, wsk_fabric *other)
{
    uint8_t bytes[200] = { 0 };
    wsk_route route = plain(odd(), odd());
    wsk_run run = { .size = draw(3) ? sizeof run : (uint32_t)odd(), .until = odd(), .stop = (uint32_t)odd(), .threads = odd(),
                    .patience = odd() };
    if (run.until > 1000 && draw(8))
        run.until = 1000;
    if (run.size > sizeof run)
        run.size = 0;
    route.positions = (uint8_t)odd();
    switch (draw(15)) {
    case 0: return wsk_fabric_rewrite(f, (uint32_t)odd(), odd(), maybe(&route));
    case 1: return wsk_fabric_set_position(f, (uint32_t)odd(), odd(), odd());
    case 2: return wsk_fabric_position(f, (uint32_t)odd(), odd());
    case 3: return wsk_fabric_teardown(f, (uint32_t)odd(), odd(), odd());
    case 4: return wsk_fabric_torn_down(f, (uint32_t)odd(), odd());
    case 5: return wsk_fabric_step(f);
    case 6: return wsk_fabric_run(f, maybe(&run), maybe(&(uint32_t){ 0 }));
    case 7: return wsk_fabric_skip(f, odd());
    case 8: return wsk_fabric_reset(f);
    case 9: return wsk_fabric_copy(f, other);
    case 10: return wsk_fabric_save(f, maybe(bytes), draw(200), maybe(&(size_t){ 0 }));
    case 11: return wsk_fabric_load(f, maybe(bytes), draw(200));
    case 12: return wsk_fabric_sink(f, odd());
    case 13: return wsk_fabric_explain(f);
    default: return wsk_fabric_find_circle(f);
    }
}

static int64_t abuse_reading(wsk_fabric *f)
{
    static _Thread_local uint32_t counts[MOST_PES];
    wsk_totals totals;
    wsk_delivery moves[4];
    wsk_report one = { .color = odd(), .port = odd(), .other_port = odd(), .chain_length = odd() };
    const wsk_report *report = draw(2) ? &one : wsk_fabric_report(f);
    char text[8192];
    switch (draw(16)) {
    case 0: return wsk_fabric_cycle(f);
    case 1: return wsk_fabric_last_move(f);
    case 2: return wsk_fabric_in_flight(f);
    case 3: return wsk_fabric_waiting_outside(f);
    case 4: return wsk_fabric_totals(f, maybe(&totals));
    case 5: return wsk_fabric_link_counts(f, odd(), odd(), maybe(counts));
    case 6: return wsk_fabric_stall_counts(f, odd(), maybe(counts));
    case 7: return wsk_fabric_occupancy(f, odd(), maybe(counts));
    case 8: return wsk_fabric_moves(f, maybe(moves), draw(2) ? draw(5) : -1);
    case 9: return wsk_report_text(maybe((void *)report), odd(), maybe(text), draw(sizeof text));
    case 10: return wsk_fabric_strips(f);
    case 11: return (int64_t)wsk_fabric_bytes(f) + (wsk_fabric_plan(f) == NULL);
    case 12: return wsk_clock_to_wafer((uint32_t)odd(), (uint32_t)odd(), draw(2) ? odd() : INT64_MAX);
    case 13: return wsk_clock_to_host((uint32_t)odd(), (uint32_t)odd(), draw(2) ? odd() : INT64_MAX);
    case 14: return wsk_port_name(odd()) && wsk_wait_text(odd()) && wsk_status_name(odd());
    default: return wsk_fabric_next_event(f);
    }
}

void abuse(unsigned seed)
{
    kind k = make_kind();
    wsk_plan *plan;
    wsk_fabric *f[2] = { NULL };
    CHECK(make_plan(&k, &plan) == 0);
    (void)seed;
    for (int i = 0; i < 2; i++) {
        uint8_t sinks[WSK_COLORS];
        memcpy(sinks, k.sinks, sizeof sinks);
        sinks[draw(WSK_COLORS)] = (uint8_t)odd();
        int status = wsk_fabric_create(maybe(f + i), maybe(plan), maybe(sinks), odd());
        CHECK((status == 0) == (f[i] != NULL));
        if (!f[i] && wsk_fabric_create(f + i, plan, k.sinks, WSK_SIMD_AUTO) < 0)
            break;
    }
    for (int i = 0; i < 30; i++) {
        wsk_fabric *g = maybe(f[draw(2)]), *other = maybe(f[draw(2)]);
        int64_t answer = 0;
        switch (draw(4)) {
        case 0: answer = abuse_plan(&k, plan); break;
        case 1: answer = abuse_ramps(g); break;
        case 2: answer = abuse_state(g, other); break;
        default: answer = abuse_reading(g); break;
        }
        CHECK(answer >= -1 || strcmp(wsk_status_name((int)answer), "unknown status"));
    }
    for (int i = 0; i < 2; i++)
        CHECK(wsk_fabric_free(f[i]) == 0);
    wsk_plan_free(plan);
}
