/* Words out: by off-ramps, past filters, and by edges. */
#include "fabric_internal.h"
#include "copy_words.h"

/* List a word that leaves for a core, an edge or a teardown handler. */
void wsk_emit(wsk_fabric *f, wsk_strip *s, u32 pe, int c, u32 data, int flags, int port, int latency)
{
    int bucket = (int)((f->cycle + latency) % f->ring);
    s->out[bucket][s->n_out[bucket]++] = (wsk_delivery){ pe, data, f->plan->color_of[c], (u8)flags, (u8)port, 0 };
    if (s->last_out < f->cycle + latency)
        s->last_out = f->cycle + latency;
}

static wsk_filter_state *filter_of(const wsk_strip *s, u64 key)
{
    int low = 0, high = s->n_filter_states;
    while (low < high) {
        int middle = (low + high) / 2;
        if (s->filter_states[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return s->filter_states + low;
}

/* Whether the filter lets the word into the core; counters move. */
static int passes(const wsk_filter *t, wsk_filter_state *state, u32 data, int control)
{
    if (t->kind == WSK_FILTER_RANGE)
        return control || (data >> 16 >= t->low && data >> 16 <= t->high);
    if (!(control ? t->count_control : t->count_data))
        return 1;
    u32 limit = t->kind == WSK_FILTER_SPARSE && !state->wrapped ? t->limit2 : t->limit, count = state->count;
    if (count >= limit) {
        state->count = 0;
        state->wrapped = 1;
    } else {
        state->count = count + 1;
    }
    return count <= t->high;
}

/* Words of a lane that leave for the core: m of words[64]. */
void wsk_deliver(wsk_fabric *f, wsk_strip *s, int y, int k, int c, u64 m, const u32 *words, u64 control)
{
    wsk_lane *lane = f->lane + wsk_lane_at(f, y, k, c);
    u32 first = (u32)(y * f->width + 64 * k);
    for (u64 judged = f->plan->n_filters ? m & lane->filtered : 0; judged; judged &= judged - 1) {
        int b = wsk_ctz(judged);
        wsk_filter_state *state = filter_of(s, (u64)(first + b) * WSK_COLORS + c);
        if (!passes(f->plan->filters + state->which, state, words[b], (int)(control >> b & 1))) {
            m &= ~((u64)1 << b);
            s->totals.dropped[c]++;
        }
    }
    s->totals.delivered[c] += (u64)wsk_popcount(m);
    s->totals.checksum[c] += wsk_sum_words(words, m);
    if (s->last_out < f->cycle + f->ramp)
        s->last_out = f->cycle + f->ramp;
    if (f->sinks[c] == WSK_SINK_COUNT)
        return;
    u8 *credits = f->sinks[c] == WSK_SINK_CORE ? f->credits + ((size_t)y * f->n_colors + c) * f->width + 64 * k : NULL;
    for (; m; m &= m - 1) {
        int b = wsk_ctz(m);
        wsk_emit(f, s, first + (u32)b, c, words[b], control >> b & 1 ? WSK_CONTROL : 0, WSK_RAMP, f->ramp);
        if (credits && --credits[b] == 0)
            lane->shut |= (u64)1 << b;
    }
}
