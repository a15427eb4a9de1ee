/* Lone words on long straight ways. In a strip where every word is alone, one that goes straight on through routers that lone
 * words may take is not moved hop by hop: it is kept as it will be where its way turns, ends or leaves the strip, with the cycle
 * in which it lands there; where it is before that follows from it. It comes back to the lists of lone.c as it is then
 *
 * - when it lands,
 * - when another lone word that turns, forks or starts wants the same port of the same router in the same cycle: words that fly
 *   the same way keep their distances, so a line and a phase say which one that would be,
 * - when a word that is not alone is in the strip or comes to it,
 * - when the run ends, so that nothing outside a run knows of flights. */
#include "fabric_internal.h"
#include <string.h>

enum { WORTH = 4, NOBODY = -1 };      /* hops for which a flight is worth while; the end of a chain */

static inline int is_across(int d) { return d == WSK_EAST || d == WSK_WEST; }

/* ---- Which one flies where ---- */

/* The same for a word in all routers that it flies over, in the cycle in which it is there: its line, and where it is on it. */
static inline int64_t phase_of(const wsk_fabric *f, int d, int x, int y, int64_t cycle)
{
    return (int64_t)(dx[d] * x + dy[d] * y) * f->hop - cycle;
}

static inline int32_t *chain_of(const wsk_flights *t, int line, int64_t phase)
{
    u32 mixed = (u32)line * 0x9e3779b1u ^ (u32)phase * 0x85ebca6bu;
    return t->first + ((mixed ^ mixed >> 15) & t->mask);
}

static inline int32_t *chain_at(const wsk_fabric *f, const wsk_flights *t, int d, int i)
{
    const wsk_lone *w = t->of + i;
    return chain_of(t, is_across(d) ? w->y : w->x, phase_of(f, d, w->x, w->y, t->lands[i]));
}

/* In the chain of flight i, what points to it. */
static int32_t *link_to(const wsk_fabric *f, const wsk_flights *t, int d, int i)
{
    int32_t *at = chain_at(f, t, d, i);
    while (*at != i)
        at = t->next + *at;
    return at;
}

/* The flight by side d that is over (x, y) in a cycle. */
static int flight_over(const wsk_fabric *f, const wsk_flights *t, int d, int x, int y, int64_t cycle)
{
    const int line = is_across(d) ? y : x;
    const int64_t phase = phase_of(f, d, x, y, cycle);
    for (int32_t i = *chain_of(t, line, phase); i != NOBODY; i = t->next[i]) {
        const wsk_lone *w = t->of + i;
        if ((is_across(d) ? w->y : w->x) == line && phase_of(f, d, w->x, w->y, t->lands[i]) == phase)
            return i;
    }
    return NOBODY;
}

/* ---- Taking off ---- */

static inline int goes_straight(int ports, int d) { return (ports & ((1 << PORTS) - 1)) == 1 << d; }
static inline int hears(int ports, int d) { return ports >> (PORTS + (d ^ 2)) & 1; }

/* How many bits are set from one on: up, or down. */
static inline int run_of_bits(u64 m, int from, int up)
{
    m = up ? ~(m >> from) : ~(m << (63 - from));
    return !m ? 64 : up ? wsk_ctz(m) : __builtin_clzll(m);
}

/* Routers from (x, y) on, along a row, that words of a color index go straight over. */
static int straight_in_row(const wsk_fabric *f, int x, int y, int c, int d)
{
    const int up = d == WSK_EAST;
    for (int n = 0;;) {
        int block = up ? 64 - x % 64 : x % 64 + 1, some = run_of_bits(*wsk_row_ways(f, x, y, c, d), x % 64, up);
        n += some < block ? some : block;
        x += up ? block : -block;
        if (some < block || x < 0 || x >= f->width)
            return n;
    }
}

/* Links that a word of color index c that comes to (x, y) by side d passes from there, straight on: all in one strip. */
static int links_ahead(const wsk_fabric *f, int x, int y, int c, int d)
{
    const int row = y % STRIP_ROWS, rest = d == WSK_SOUTH ? STRIP_ROWS - 1 - row : row;
    int n = is_across(d) ? straight_in_row(f, x, y, c, d) : run_of_bits(*wsk_column_ways(f, x, y, c, d), row, d == WSK_SOUTH);
    if (!is_across(d) && n > rest)
        return rest;
    if (!n)
        return 0;
    x += n * dx[d];
    y += n * dy[d];
    return n - !hears(wsk_simple_ports(f, wsk_lane_at(f, y, x / 64, c), x, y, c), d);
}

int wsk_may_fly(const wsk_fabric *f, const wsk_strip *s)
{
    return f->flies_until - f->cycle > WORTH * f->hop && !s->rows_active && !s->waiting
        && !s->n_pending[(f->cycle + 1) % f->ring];
}

int wsk_take_off(wsk_fabric *f, wsk_strip *s, const wsk_lone *w, int d)
{
    wsk_flights *t = s->flights + d;
    int x = w->x + dx[d], y = w->y + dy[d], n = t->n < s->room_lone ? 1 + links_ahead(f, x, y, w->index, d) : 1;
    if (n < WORTH)
        return 0;
    wsk_lone there = { .word = w->word, .x = (u16)(w->x + n * dx[d]), .y = (u16)(w->y + n * dy[d]), .run = (u16)(w->run + n),
                       .index = w->index, .from = (u8)(d ^ 2) };
    there.block = (u32)wsk_block_at(f, there.y, there.x / 64);
    t->of[t->n] = there;
    t->lands[t->n] = f->cycle + (int64_t)n * f->hop;
    int32_t *first = chain_at(f, t, d, t->n);
    t->next[t->n] = *first;
    *first = t->n++;
    s->flying[f->cycle % f->hop][w->index]++;
    return 1;
}

/* The words that fly leave the routers that they are over. */
void wsk_fly_on(const wsk_fabric *f, wsk_strip *s)
{
    const u32 *leave = s->flying[f->cycle % f->hop];
    for (int c = 0; c < f->n_colors; c++)
        if (leave[c]) {
            s->totals.hops[c] += leave[c];
            s->last_move = f->cycle;
        }
}

/* ---- Coming down ---- */

/* Count the links from north to south, or back, behind a word that came down. */
static void count_column(wsk_fabric *f, wsk_lone *w, int d)
{
    const size_t row = (size_t)f->blocks * f->n_colors;
    size_t lane = wsk_lane_at(f, w->y, w->x / 64, w->index);
    for (; w->run; w->run--) {
        lane -= row * (size_t)dy[d];
        wsk_count_any(f, lane, d, (u64)1 << (w->x % 64));
    }
}

/* Flight i by side d is again a word of the lists, that lands next, in cycle `now` at the earliest. */
static void come_down(wsk_fabric *f, wsk_strip *s, int d, int i, int64_t now)
{
    wsk_flights *t = s->flights + d;
    wsk_lone w = t->of[i];
    const int left = (int)((t->lands[i] - now) / f->hop), last = --t->n;
    const int64_t lands = t->lands[i] - (int64_t)left * f->hop;
    *link_to(f, t, d, i) = t->next[i];
    if (i != last) {
        *link_to(f, t, d, last) = i;
        t->of[i] = t->of[last];
        t->lands[i] = t->lands[last];
        t->next[i] = t->next[last];
    }
    s->flying[lands % f->hop][w.index]--;
    w.x = (u16)(w.x - left * dx[d]);
    w.y = (u16)(w.y - left * dy[d]);
    w.run = (u16)(w.run - left);
    w.block = (u32)wsk_block_at(f, w.y, w.x / 64);
    w.out = (u8)(wsk_simple_ports(f, (size_t)w.block * f->n_colors + w.index, w.x, w.y, w.index) & ((1 << PORTS) - 1));
    if (!is_across(d))
        count_column(f, &w, d);
    wsk_lones *list = s->lone[lands % f->ring] + d;
    list->of[list->n++] = w;
}

void wsk_land_all(wsk_fabric *f, wsk_strip *s, int64_t now)
{
    for (int d = 0; d < SIDES; d++)
        while (s->flights[d].n)
            come_down(f, s, d, s->flights[d].n - 1, now);
}

/* Of those from place i on, the first that lands in a cycle. */
static inline int next_due(const wsk_flights *t, int i, int64_t cycle)
{
    for (; i + 8 <= t->n; i += 8) {
        int due = 0;
        for (int j = 0; j < 8; j++)
            due |= t->lands[i + j] == cycle;
        if (due)
            break;
    }
    while (i < t->n && t->lands[i] != cycle)
        i++;
    return i;
}

void wsk_land_due(wsk_fabric *f, wsk_strip *s)
{
    for (int d = 0; d < SIDES; d++)
        for (int i = next_due(s->flights + d, 0, f->cycle + 1); i < s->flights[d].n;
             i = next_due(s->flights + d, i, f->cycle + 1))
            come_down(f, s, d, i, f->cycle + 1);
}

/* Words that land now and leave by `ports` otherwise than straight: who flies by there comes down. */
static void clear_way(wsk_fabric *f, wsk_strip *s, const wsk_lone *w, int ports)
{
    for (ports &= ~(1 << WSK_RAMP); ports; ports &= ports - 1) {
        int d = __builtin_ctz((unsigned)ports), i = flight_over(f, s->flights + d, d, w->x, w->y, f->cycle + 1);
        if (i != NOBODY)
            come_down(f, s, d, i, f->cycle + 1);
    }
}

void wsk_clear_ways(wsk_fabric *f, wsk_strip *s)
{
    if (!wsk_has_flights(s))
        return;
    for (int d = 0; d < SIDES; d++) {
        const wsk_lones *landing = s->lone[(f->cycle + 1) % f->ring] + d;
        for (int i = 0; i < landing->n; i++) {
            const wsk_lone *w = landing->of + i;
            int ports = wsk_simple_ports(f, (size_t)w->block * f->n_colors + w->index, w->x, w->y, w->index);
            if (!goes_straight(ports, d))
                clear_way(f, s, w, ports & ((1 << PORTS) - 1));
        }
    }
}
