/* A host in C: every row of size x size PEs streams one word a cycle, stepped cycle by cycle. Prints cycles and link crossings per
 * second of processor time, of the best of its rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "wsekern_fabric.h"

enum { WORDS = 8192, FILL = 400, ROUNDS = 8, CYCLES = 300 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    const int size = argc > 1 ? atoi(argv[1]) : 256;
    const wsk_rules rules = { size, size, 1, 1, 4, 1, 1, 1, 0 };
    const wsk_route routes[] = { { .positions = 1, .in = { 1 << WSK_RAMP }, .out = { 1 << WSK_EAST } },
                                 { .positions = 1, .in = { 1 << WSK_WEST }, .out = { 1 << WSK_EAST } },
                                 { .positions = 1, .in = { 1 << WSK_WEST }, .out = { 1 << WSK_RAMP } } };
    const wsk_rect rects[] = { { 0, 0, 0, 1, size, 0 }, { 0, 1, 0, size - 2, size, 1 }, { 0, size - 1, 0, 1, size, 2 } };
    const uint8_t sinks[WSK_COLORS] = { WSK_SINK_COUNT };
    static uint32_t words[WORDS];
    wsk_plan *plan;
    wsk_fabric *fabric;
    wsk_totals before, after;
    double best = 1e9;
    int status = wsk_plan_create(&plan, &rules, routes, 3, rects, 3, NULL, 0, NULL);
    status = status ? status : wsk_fabric_create(&fabric, plan, sinks, WSK_SIMD_AUTO);
    for (int y = 0; y < size && !status; y++)
        status = wsk_fabric_inject(fabric, (uint32_t)(y * size), WSK_RAMP, 0, words, NULL, WORDS);
    for (int i = 0; i < FILL && !status; i++)
        status = wsk_fabric_step(fabric);
    for (int round = 0; round < ROUNDS && !status; round++) {
        wsk_fabric_totals(fabric, &before);
        double start = now();
        for (int i = 0; i < CYCLES && !status; i++)
            status = wsk_fabric_step(fabric);
        best = now() - start < best ? now() - start : best;
        wsk_fabric_totals(fabric, &after);
    }
    if (status)
        return 1;
    printf("%.0f %.0f\n", CYCLES / best, (double)(after.hops[0] - before.hops[0]) / best);
    wsk_fabric_free(fabric);
    wsk_plan_free(plan);
    return 0;
}
