/* A host in C: words along a row of PEs, to a core that takes two at a time. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <wsekern.h>

enum { WIDTH = 16, COLOR = 3, WORDS = 40, DEPTH = 2 };

int main(void)
{
    wsk_rules rules = { .width = WIDTH, .height = 1, .hop_latency = 1, .ramp_latency = 2, .buffer_depth = 4,
                        .link_words = 1, .link_frame = 1 };
    wsk_route routes[] = { { .positions = 1, .in = { 1 << WSK_RAMP }, .out = { 1 << WSK_EAST } },
                           { .positions = 1, .in = { 1 << WSK_WEST }, .out = { 1 << WSK_EAST } },
                           { .positions = 1, .in = { 1 << WSK_WEST }, .out = { 1 << WSK_RAMP } } };
    wsk_rect rects[] = { { COLOR, 0, 0, 1, 1, 0 }, { COLOR, 1, 0, WIDTH - 2, 1, 1 }, { COLOR, WIDTH - 1, 0, 1, 1, 2 } };
    uint8_t sinks[WSK_COLORS] = { [COLOR] = WSK_SINK_CORE };
    wsk_run options = { .size = sizeof options, .stop = WSK_STOP_DELIVERY | WSK_STOP_DEADLOCK, .until = WSK_LAST_CYCLE };
    wsk_plan *plan = NULL;
    wsk_fabric *fabric = NULL;
    wsk_delivery word;
    uint32_t why = 0, sent = 0, taken = 0;
    int64_t first = -1, last = -1;
    int status = wsk_plan_create(&plan, &rules, routes, 3, rects, 3, NULL, 0, NULL);
    if (status == WSK_OK)
        status = wsk_fabric_create(&fabric, plan, sinks, WSK_SIMD_AUTO);
    if (status == WSK_OK)
        status = wsk_fabric_listen(fabric, WIDTH - 1, COLOR, DEPTH);      /* the core's queue: DEPTH words */
    while (status >= WSK_OK && taken < WORDS) {
        while (sent < WORDS && wsk_fabric_push(fabric, 0, COLOR, 100 + sent, 0) == 1)
            sent++;
        status = wsk_fabric_run(fabric, &options, &why);                  /* until a word can be read */
        if (status == WSK_OK && why & WSK_STOP_DELIVERY)
            for (last = wsk_fabric_cycle(fabric); wsk_fabric_pop(fabric, WIDTH - 1, COLOR, &word) == 1; taken++)
                assert(word.data == 100 + taken && (taken > 0 || (first = last) > 0));
    }
    if (status < 0)
        return fprintf(stderr, "%s\n", wsk_status_text(status)), 1;
    printf("%" PRIu32 " words, cycles %" PRId64 " to %" PRId64 "\n", taken, first, last);
    wsk_fabric_free(fabric);
    wsk_plan_free(plan);
    return first == 2 + (WIDTH - 1) + 2 ? 0 : 1;                          /* ramp, hops, ramp */
}
