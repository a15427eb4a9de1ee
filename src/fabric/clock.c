/* Two clocks that stand in a fixed ratio: each cycle is computed from the beginning, so that nothing drifts. */
#include "wsekern_fabric.h"

/* a * b / c, rounded down or up; WSK_ERR_BAD_ARGUMENT where that is no cycle. */
static int64_t scaled(int64_t a, uint32_t b, uint32_t c, int up)
{
    if (a < 0 || !b || !c)
        return WSK_ERR_BAD_ARGUMENT;
    uint64_t whole = (uint64_t)a / c, part = ((uint64_t)a % c * b + (up ? c - 1 : 0)) / c;
    if (whole > ((uint64_t)WSK_LAST_CYCLE - part) / b)
        return WSK_ERR_BAD_ARGUMENT;
    return (int64_t)(whole * b + part);
}

int64_t wsk_clock_to_wafer(uint32_t wafer, uint32_t host, int64_t host_cycle) { return scaled(host_cycle, wafer, host, 0); }

int64_t wsk_clock_to_host(uint32_t wafer, uint32_t host, int64_t wafer_cycle) { return scaled(wafer_cycle, host, wafer, 1); }
