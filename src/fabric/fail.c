/* How a rule that was broken is noted: in the report of the strip, so that no two threads write one. */
#include "fabric_internal.h"

int wsk_fail(wsk_fabric *f, wsk_strip *s, int status, u32 pe, int color, int port, int other, int64_t cycle)
{
    (void)f;
    s->report = (wsk_report){ .status = status, .pe = pe, .color = color, .port = port, .other_port = other, .cycle = cycle };
    return status;
}

int wsk_refuse_to_move(const wsk_fabric *f)
{
    if (!f)
        return WSK_ERR_BAD_ARGUMENT;
    return f->busy ? WSK_ERR_BUSY : f->failed;
}
