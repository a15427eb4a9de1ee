/* One cycle of the fabric: its phases over all strips, and the clock. */
#include "fabric_internal.h"

int wsk_depart_strip(wsk_fabric *f, int i) { return f->phases->depart(f, i); }
int wsk_arrive_strip(wsk_fabric *f, int i) { return f->phases->arrive(f, i); }

int wsk_feed_strips(wsk_fabric *f, int first, int last)
{
    int status = 0;
    for (int i = first; i < last && !status; i++)
        status = wsk_feed_strip(f, f->strip + i);
    return status;
}

int wsk_depart_strips(wsk_fabric *f, int first, int last)
{
    int status = 0;
    for (int i = first; i < last && !status; i++)
        status = wsk_depart_strip(f, i);
    return status;
}

int wsk_arrive_strips(wsk_fabric *f, int first, int last)
{
    int status = 0;
    for (int i = first; i < last && !status; i++)
        status = wsk_arrive_strip(f, i);
    return status;
}

/* The clock ticks, when all strips are done with a cycle; or the fabric stands still for good. */
void wsk_tick(wsk_fabric *f, int status)
{
    if (status < 0)
        f->failed = status;
    else
        f->cycle++;
}

int wsk_fabric_step(wsk_fabric *f)
{
    int status = wsk_refuse_to_move(f);
    if (status)
        return status;
    if (f->cycle >= WSK_LAST_CYCLE)
        return WSK_ERR_BAD_ARGUMENT;
    status = wsk_feed_strips(f, 0, f->strips);
    if (!status)
        status = wsk_depart_strips(f, 0, f->strips);
    if (!status)
        status = wsk_arrive_strips(f, 0, f->strips);
    wsk_tick(f, status);
    return status || !f->host ? status : wsk_settle(f);
}
