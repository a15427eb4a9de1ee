/* When something happens next, and the clock set forward to it. */
#include "fabric_internal.h"
#include <string.h>

/* Whether strip s did, in the cycle before this one, nothing that this cycle would not do in the same way: no word moved or
 * landed, no link rested, the host changed nothing. */
static int is_at_rest(const wsk_fabric *f, const wsk_strip *s)
{
    const u64 *landed = s->rows_sent[f->cycle % f->hop];
    int64_t rest = f->plan->rules.link_frame > f->plan->rules.link_words ? 2 : 1;     /* a link that rested works again */
    return s->touched < f->cycle && s->last_move < f->cycle - rest && !(landed[0] | landed[1] | landed[2] | landed[3])
        && !s->n_landing && !wsk_has_lone(f, s);
}

/* The first cycle whose step makes words land in strip s, or at which words of it become readable. */
static int64_t next_landing(const wsk_fabric *f, const wsk_strip *s)
{
    int64_t next = s->last_out > f->cycle ? s->last_out : INT64_MAX;
    for (int ahead = f->ring - 1; ahead >= 1; ahead--) {
        int slot = (int)((f->cycle + ahead) % f->ring), lands = s->n_pending[slot];
        for (int d = 0; d < SIDES; d++)
            lands |= s->lone[slot][d].n;
        if (lands && f->cycle + ahead - 1 < next)
            next = f->cycle + ahead - 1;
        if (s->n_out[slot] && f->cycle + ahead < next)
            next = f->cycle + ahead;
    }
    for (int ahead = 1; ahead < f->hop; ahead++) {            /* sent in cycle + ahead - hop, to land at the end of this one */
        const u64 *sent = s->rows_sent[(f->cycle + ahead) % f->hop];
        if ((sent[0] | sent[1] | sent[2] | sent[3]) && f->cycle + ahead - 1 < next)
            next = f->cycle + ahead - 1;
    }
    return next;
}

int64_t wsk_fabric_next_event(const wsk_fabric *f)
{
    int64_t next = INT64_MAX;
    int rest = 1, words = 0;
    if (!f)
        return WSK_ERR_BAD_ARGUMENT;
    for (int i = 0; i < f->strips; i++) {
        const wsk_strip *s = f->strip + i;
        rest &= is_at_rest(f, s);
        words |= s->rows_active != 0 || s->waiting || wsk_has_lone(f, s);
        if (words && !rest)
            return f->cycle;
    }
    for (int i = 0; i < f->strips; i++) {
        int64_t lands = next_landing(f, f->strip + i);
        next = lands < next ? lands : next;
    }
    return next;
}

/* Every head that stands still for n cycles counts them. */
static void add_stalls(wsk_fabric *f, wsk_strip *s, int y, int64_t n)
{
    for (u64 blocks = f->row_active[y]; blocks; blocks &= blocks - 1) {
        int k = wsk_ctz(blocks);
        for (u32 colors = f->block[wsk_block_at(f, y, k)].active; colors; colors &= colors - 1) {
            int c = __builtin_ctz(colors);
            size_t at = wsk_lane_at(f, y, k, c);
            u64 m = f->lane[at].head & ~f->lane[at].frozen;
            s->totals.stalls[c] += (u64)wsk_popcount(m) * (u64)n;
            for (int i = 0; i < LOW_BITS + COUNTER_BITS; i++)
                if (n >> i & 1)
                    wsk_count_from(f, at, PORTS, m, i);
        }
    }
}

/* The clock to a cycle, not after the next event. */
void wsk_skip_to(wsk_fabric *f, int64_t cycle)
{
    for (int i = 0; i < f->strips; i++) {
        wsk_strip *s = f->strip + i;
        for (u64 rows = s->rows_active; rows; rows &= rows - 1)
            add_stalls(f, s, STRIP_ROWS * i + wsk_ctz(rows), cycle - f->cycle);
        for (int64_t c = f->cycle; c < cycle && c < f->cycle + f->ring; c++) {
            s->n_out[c % f->ring] = 0;
            memset(s->rows_sent[c % f->hop], 0, sizeof s->rows_sent[0]);
        }
        s->n_landing = 0;
    }
    f->cycle = cycle;
}

int wsk_fabric_skip(wsk_fabric *f, int64_t cycle)
{
    int status = wsk_refuse_to_move(f);
    if (status)
        return status;
    if (cycle < f->cycle || cycle > WSK_LAST_CYCLE || cycle > wsk_fabric_next_event(f))
        return WSK_ERR_BAD_ARGUMENT;
    if (cycle == f->cycle)
        return 0;
    wsk_skip_to(f, cycle);
    return f->host ? wsk_settle(f) : 0;
}
