/* One cycle of the fabric, strip by strip: in each of three phases every strip writes only what is its own, and reads of others
 * only those beside it. So strips may be stepped by different threads, each phase of one as soon as it and those beside it have
 * ended the phase before. */
#include "fabric_internal.h"

/* Clear what the ring of cycles reuses now. */
static void open_cycle(wsk_fabric *f, wsk_strip *s)
{
    int slot = (int)(f->cycle % f->hop);
    s->n_out[f->cycle % f->ring] = 0;
    s->rows_freed = 0;
    for (int d = 0; d < SIDES; d++)
        s->rows_sent[slot][d] = 0;
    s->over[WSK_NORTH].n = s->over[WSK_SOUTH].n = 0;
}

/* Words leave, row by row; words arrive in a row as soon as the rows beside it have sent, while they are in the cache. Only the
 * first and last row of a strip wait for the last phase, when the strips beside it have sent too. */
static int depart_rows(wsk_fabric *f, int i)
{
    wsk_strip *s = f->strip + i;
    const int top = STRIP_ROWS * i;
    if (f->lone)
        wsk_depart_lone(f, s);
    u64 waiting = wsk_inner_arrivals(f, i);
    for (u64 rows = s->rows_active; rows; rows &= rows - 1) {
        int status = wsk_depart_row(f, s, top + wsk_ctz(rows));
        u64 ready = waiting & ((rows & -rows) - 1);
        waiting &= ~ready;
        for (; ready && !status; ready &= ready - 1)
            status = wsk_arrive_row(f, s, top + wsk_ctz(ready));
        if (status < 0)
            return status;
    }
    for (; waiting; waiting &= waiting - 1) {
        int status = wsk_arrive_row(f, s, top + wsk_ctz(waiting));
        if (status < 0)
            return status;
    }
    return wsk_arrive_pending(f, s);
}

static int depart_strip(wsk_fabric *f, int i)
{
    wsk_strip *s = f->strip + i;
    if (s->rows_active || wsk_has_lone(f, s))
        s->awake_until = f->cycle + AWAKE;
    else if (s->awake_until <= f->cycle)
        return 0;
    open_cycle(f, s);
    return depart_rows(f, i);
}

/* Whether a strip or one beside it may have sent words lately. */
static int is_near_awake(const wsk_fabric *f, int i)
{
    for (int j = i > 0 ? i - 1 : 0; j < f->strips && j < i + 2; j++)
        if (f->strip[j].awake_until > f->cycle)
            return 1;
    return 0;
}

static int arrive_strip(wsk_fabric *f, int i)
{
    wsk_strip *s = f->strip + i;
    if (!is_near_awake(f, i))
        return 0;
    wsk_turn_landed(f, s);
    u64 outer = wsk_outer_arrivals(f, i);
    if (s->rows_active || outer)
        wsk_land_all(f, s, f->cycle + 1);
    else
        wsk_land_due(f, s);
    for (u64 rows = outer; rows; rows &= rows - 1) {
        int status = wsk_arrive_row(f, s, STRIP_ROWS * i + wsk_ctz(rows));
        if (status < 0)
            return status;
    }
    return f->lone ? wsk_arrive_lone(f, s) : 0;
}

#ifndef LEVEL
#define LEVEL base
#endif
#define PHASES_OF(level) wsk_phases_##level
#define PHASES(level) PHASES_OF(level)

const wsk_phases PHASES(LEVEL) = { depart_strip, arrive_strip };
