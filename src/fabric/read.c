/* Reading a state: clock, totals, counters, occupancies, moves of the last cycle. */
#include "fabric_internal.h"
#include <string.h>

int64_t wsk_fabric_cycle(const wsk_fabric *f) { return f ? f->cycle : WSK_ERR_BAD_ARGUMENT; }
int wsk_fabric_strips(const wsk_fabric *f) { return f ? f->strips : WSK_ERR_BAD_ARGUMENT; }
const wsk_plan *wsk_fabric_plan(const wsk_fabric *f) { return f ? f->plan : NULL; }

int wsk_fabric_sink(const wsk_fabric *f, int color)
{
    int c = wsk_color_at(f, 0, color);
    return c < 0 ? WSK_ERR_BAD_ARGUMENT : f->sinks[c];
}

int wsk_fabric_deliveries(const wsk_fabric *f, int strip, const wsk_delivery **list)
{
    if (!f || !list || strip < 0 || strip >= f->strips)
        return WSK_ERR_BAD_ARGUMENT;
    const wsk_strip *s = f->strip + strip;
    int bucket = (int)(f->cycle % f->ring);
    *list = s->out[bucket];
    return s->awake_until < f->cycle ? 0 : s->n_out[bucket];
}

size_t wsk_fabric_bytes(const wsk_fabric *f)
{
    return !f ? 0 : sizeof *f + f->arena_bytes + (size_t)f->strips * sizeof *f->strip;
}

int64_t wsk_fabric_last_move(const wsk_fabric *f)
{
    int64_t last = -1;
    if (!f)
        return WSK_ERR_BAD_ARGUMENT;
    for (int i = 0; i < f->strips; i++)
        if (f->strip[i].last_move > last)
            last = f->strip[i].last_move;
    return last;
}

int64_t wsk_fabric_in_flight(const wsk_fabric *f)
{
    int64_t n = 0;
    if (!f)
        return WSK_ERR_BAD_ARGUMENT;
    for (int i = 0; i < f->strips; i++)
        n += f->strip[i].stored;
    return n;
}

int64_t wsk_fabric_waiting_outside(const wsk_fabric *f)
{
    int64_t n = 0;
    if (!f)
        return WSK_ERR_BAD_ARGUMENT;
    for (int i = 0; i < f->strips; i++)
        n += f->strip[i].waiting;
    return n;
}

int wsk_fabric_totals(const wsk_fabric *f, wsk_totals *totals)
{
    if (!f || !totals)
        return WSK_ERR_BAD_ARGUMENT;
    memset(totals, 0, sizeof *totals);
    for (int i = 0; i < f->strips; i++) {
        const u64 *from = (const u64 *)&f->strip[i].totals;
        u64 by_index[sizeof *totals / sizeof(u64)];
        memcpy(by_index, from, sizeof by_index);
        for (size_t group = 0; group < sizeof *totals / sizeof(u64) / WSK_COLORS; group++)
            for (int c = 0; c < f->n_colors; c++)
                ((u64 *)totals)[group * WSK_COLORS + f->plan->color_of[c]] += by_index[group * WSK_COLORS + c];
    }
    return 0;
}

/* Add the counts of one lane to those of its PEs. */
static void add_counts(const wsk_fabric *f, size_t lane, int which, int n, uint32_t *counts)
{
    const u64 *high = wsk_counter_at(f, lane, which), *low = wsk_counted_at(f, lane, which);
    for (int b = 0; b < n; b++)
        counts[b] += (u32)wsk_bits_at(high, COUNTER_BITS, b) << LOW_BITS | (u32)wsk_bits_at(low, LOW_BITS, b);
}

static void read_counter(const wsk_fabric *f, int which, int color, uint32_t *counts)
{
    memset(counts, 0, (size_t)f->width * f->height * sizeof *counts);
    for (int y = 0; y < f->height; y++)
        for (int k = 0; k < f->blocks; k++)
            for (int c = 0; c < f->n_colors; c++)
                if (color < 0 || f->plan->color_of[c] == color)
                    add_counts(f, wsk_lane_at(f, y, k, c), which, f->width - 64 * k < 64 ? f->width - 64 * k : 64,
                               counts + (size_t)y * f->width + 64 * k);
}

int wsk_fabric_link_counts(const wsk_fabric *f, int port, int color, uint32_t *counts)
{
    if (!f || !counts || port < 0 || port >= PORTS || color < -1 || color >= WSK_COLORS)
        return WSK_ERR_BAD_ARGUMENT;
    read_counter(f, port, color, counts);
    for (int i = 0; i < f->strips; i++)
        wsk_add_lone_counts(f, f->strip + i, port, color, counts);
    return 0;
}

int wsk_fabric_stall_counts(const wsk_fabric *f, int color, uint32_t *counts)
{
    if (!f || !counts || color < -1 || color >= WSK_COLORS)
        return WSK_ERR_BAD_ARGUMENT;
    read_counter(f, PORTS, color, counts);
    return 0;
}

int wsk_fabric_occupancy(const wsk_fabric *f, int color, uint8_t *words)
{
    if (!f || !words || color < 0 || color >= WSK_COLORS)
        return WSK_ERR_BAD_ARGUMENT;
    int c = color >= 0 && color < WSK_COLORS ? f->plan->index_of[color] : -1;
    for (int y = 0; y < f->height; y++)
        for (int x = 0; x < f->width; x++)
            words[(size_t)y * f->width + x] =
                c < 0 ? 0 : (u8)wsk_bits_at(f->lane[wsk_lane_at(f, y, x / 64, c)].occupied, COUNT_BITS, x % 64);
    for (int i = 0; i < f->strips; i++)
        wsk_add_lone_words(f, f->strip + i, c, words);
    return 0;
}

int wsk_words_at(const wsk_fabric *f, u32 pe, int color)
{
    int c = wsk_color_at(f, pe, color), x = (int)(pe % (u32)f->width), y = (int)(pe / (u32)f->width);
    if (c < 0)
        return 0;
    return wsk_bits_at(f->lane[wsk_lane_at(f, y, x / 64, c)].occupied, COUNT_BITS, x % 64)
        + wsk_lone_words_at(f, wsk_strip_of(f, y), c, x, y);
}

int64_t wsk_fabric_moves(const wsk_fabric *f, wsk_delivery *list, int64_t room)
{
    int64_t n = 0;
    if (!f || room < 0 || (room && !list))
        return WSK_ERR_BAD_ARGUMENT;
    if (f->cycle == 0)
        return 0;
    int slot = (int)((f->cycle - 1) % f->hop);
    for (int i = 0; i < f->strips; i++)
        n = wsk_lone_moves(f, f->strip + i, list, n, room);
    for (int y = 0; y < f->height; y++)
        for (int d = 0; d < SIDES; d++) {
            if (!(wsk_strip_of(f, y)->rows_sent[slot][d] >> (y % STRIP_ROWS) & 1))
                continue;
            for (u64 blocks = wsk_row_sent_at(f, slot, y)[d]; blocks; blocks &= blocks - 1) {
                int k = wsk_ctz(blocks);
                for (u32 colors = wsk_sent_at(f, slot, y, k)->sent[d]; colors; colors &= colors - 1) {
                    int c = wsk_ctz(colors);
                    const wsk_wire *wire = wsk_wire_at(f, slot, wsk_lane_at(f, y, k, c));
                    const u32 *words = wsk_stage_at(f, slot, y, c) + 64 * k;
                    for (u64 m = wire->to[d]; m; m &= m - 1, n++) {
                        int b = wsk_ctz(m);
                        if (n < room)
                            list[n] = (wsk_delivery){ (u32)(y * f->width + 64 * k + b), wire->single ? wire->word : words[b],
                                                      f->plan->color_of[c], (u8)(wire->control >> b & 1), (u8)d, 0 };
                    }
                }
            }
        }
    return n;
}
