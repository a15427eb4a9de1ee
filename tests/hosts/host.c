/* A host in C: words along a row of PEs, to a core that has room for two of them. */
#include <assert.h>
#include <stdio.h>
#include <wsekern.h>

enum { WIDTH = 16, COLOR = 3, WORDS = 40, DEPTH = 2 };

int main(void)
{
    wsk_rules rules = { WIDTH, 1, .hop_latency = 1, .ramp_latency = 2, .buffer_depth = 4, .link_words = 1, .link_frame = 1 };
    wsk_route routes[] = { { .positions = 1, .in = { 1 << WSK_RAMP }, .out = { 1 << WSK_EAST } },
                           { .positions = 1, .in = { 1 << WSK_WEST }, .out = { 1 << WSK_EAST } },
                           { .positions = 1, .in = { 1 << WSK_WEST }, .out = { 1 << WSK_RAMP } } };
    wsk_rect rects[] = { { COLOR, 0, 0, 1, 1, 0 }, { COLOR, 1, 0, WIDTH - 2, 1, 1 }, { COLOR, WIDTH - 1, 0, 1, 1, 2 } };
    uint8_t sinks[WSK_COLORS] = { [COLOR] = WSK_SINK_CORE };
    wsk_run to_the_end = { .size = sizeof to_the_end, .stop = WSK_STOP_IDLE | WSK_STOP_DEADLOCK, .until = WSK_LAST_CYCLE };
    wsk_plan *plan = NULL;
    wsk_fabric *fabric = NULL;
    wsk_delivery word;
    uint32_t why = 0, sent = 0, taken = 0;
    int64_t first = -1, last = -1;
    int status = wsk_plan_create(&plan, &rules, routes, 3, rects, 3, NULL, 0, NULL);
    status = status ? status : wsk_fabric_create(&fabric, plan, sinks, WSK_SIMD_AUTO);
    status = status ? status : wsk_fabric_listen(fabric, WIDTH - 1, COLOR, DEPTH);
    while (status == WSK_OK && taken < WORDS) {
        while (sent < WORDS && wsk_fabric_push(fabric, 0, COLOR, 100 + sent, 0) == 1)
            sent++;
        status = wsk_fabric_step(fabric);
        for (; wsk_fabric_pop(fabric, WIDTH - 1, COLOR, &word) == 1; last = wsk_fabric_cycle(fabric))
            assert(word.data == 100 + taken), taken++;
        first = first < 0 ? last : first;
    }
    status = status ? status : wsk_fabric_run(fabric, &to_the_end, &why);
    printf("%s: %u words, cycles %d to %d\n", wsk_status_text(status), taken, (int)first, (int)last);
    wsk_fabric_free(fabric);
    wsk_plan_free(plan);
    return why == WSK_STOP_IDLE && first == 2 + (WIDTH - 1) + 2 && last == first + WORDS - 1 ? 0 : 1;
}
