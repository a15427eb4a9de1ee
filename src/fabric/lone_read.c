/* Reading the lists of lone words (lone.c): whether there are any, where they are, what they have passed. */
#include "fabric_internal.h"

int wsk_has_lone(const wsk_fabric *f, const wsk_strip *s)
{
    const wsk_lones *here = s->lone[f->cycle % f->ring];
    return (here[0].n | here[1].n | here[2].n | here[3].n) != 0 || wsk_has_flights(s);
}

/* Whether a lone word comes, in a cycle, to the router (x, y) by a port. */
int wsk_lone_from(const wsk_fabric *f, const wsk_strip *s, int x, int y, int c, int port, int64_t cycle)
{
    const wsk_lones *landing = s->lone[cycle % f->ring] + (port ^ 2);
    for (int i = 0; i < landing->n; i++) {
        const wsk_lone *w = landing->of + i;
        if (w->x == x && w->y == y && w->index == c)
            return 1;
    }
    return 0;
}

/* Add the links that are still to be counted. */
void wsk_add_lone_counts(const wsk_fabric *f, const wsk_strip *s, int port, int color, u32 *counts)
{
    for (int b = 0; port < SIDES && b < f->ring; b++) {
        const wsk_lones *list = s->lone[b] + port;
        for (int i = 0; i < list->n; i++) {
            const wsk_lone *w = list->of + i;
            if (color >= 0 && f->plan->color_of[w->index] != color)
                continue;
            for (int n = 1; n <= w->run; n++)
                counts[(size_t)w->y * f->width + w->x - n * dx[port]]++;
        }
    }
}

/* Add the words that have no place in a queue. */
void wsk_add_lone_words(const wsk_fabric *f, const wsk_strip *s, int c, u8 *words)
{
    for (int b = 0; b < f->ring; b++)
        for (int d = 0; d < SIDES; d++)
            for (int i = 0; i < s->lone[b][d].n; i++) {
                const wsk_lone *w = s->lone[b][d].of + i;
                if (w->index == c && !w->state)
                    words[(size_t)w->y * f->width + w->x]++;
            }
}

/* Of one router: those that have no place in its queue. */
int wsk_lone_words_at(const wsk_fabric *f, const wsk_strip *s, int c, int x, int y)
{
    int n = 0;
    for (int b = 0; b < f->ring; b++)
        for (int d = 0; d < SIDES; d++)
            for (int i = 0; i < s->lone[b][d].n; i++) {
                const wsk_lone *w = s->lone[b][d].of + i;
                n += w->index == c && !w->state && w->x == x && w->y == y;
            }
    return n;
}

/* List the words that left in the cycle just stepped, from place n on; how many are listed then. */
int64_t wsk_lone_moves(const wsk_fabric *f, const wsk_strip *s, wsk_delivery *list, int64_t n, int64_t room)
{
    for (int d = 0; d < SIDES; d++) {
        const wsk_lones *sent = s->lone[(f->cycle - 1 + f->hop) % f->ring] + d;
        for (int i = 0; i < sent->n; i++, n++) {
            const wsk_lone *w = sent->of + i;
            u32 pe = (u32)((w->y - dy[d]) * f->width + w->x - dx[d]);
            if (n < room)
                list[n] = (wsk_delivery){ pe, w->word, f->plan->color_of[w->index], 0, (u8)d, 0 };
        }
    }
    return n;
}
