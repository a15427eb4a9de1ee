/* Cores whose output queues wait for the router. All words that such a core could put on the ramp have been refused; it is in
 * no slot of a wheel, but marked by the color of each such word, so that one look serves 64 of them. (Bodies of cores.c.) */
#ifndef WSEKERN_PE_AWAIT_H
#define WSEKERN_PE_AWAIT_H

#include "fabric/fabric_internal.h"
#include "pe_state.h"

/* The color of the first word of an output queue. */
static inline int head_color(const pe_grid *g, const pe_queue *q)
{
    int color = *pe_word_color(g, q, 0);
    return color == PE_QUEUE_COLOR ? q->color : color;
}

/* The place of a core's block of 64 PEs among those of the grid, and its bit there. */
static inline size_t block_of(const pe_grid *g, const pe_core *pe, uint64_t *bit)
{
    int32_t blocks = (g->width + 63) / 64, y = pe->at / g->width, x = pe->at % g->width;
    *bit = (uint64_t)1 << (x % 64);
    return (size_t)y * (size_t)blocks + (size_t)(x / 64);
}

/* From now on the core waits for the router to take one of its first words. */
static void await_ramp(pe_grid *g, pe_strip *s, pe_core *pe)
{
    uint64_t bit;
    size_t block = block_of(g, pe, &bit);
    for (uint32_t filled = pe->filled; filled; filled &= filled - 1) {
        int color = head_color(g, pe_output(g, pe, pe_ctz(filled)));
        g->awaiting[block * PE_COLORS + color] |= bit;
        g->awaited[block] |= (uint32_t)1 << color;
    }
    s->rows_awaited |= (uint64_t)1 << pe->at / g->width % STRIP_ROWS;
    s->ramp_events++;
    s->awaiting++;
    pe->sending = PE_AWAITS_ROUTER;
}

/* It waits no longer. */
static void forget_ramp(pe_grid *g, pe_strip *s, pe_core *pe)
{
    uint64_t bit;
    size_t block = block_of(g, pe, &bit);
    for (uint32_t filled = pe->filled; filled; filled &= filled - 1) {
        int color = head_color(g, pe_output(g, pe, pe_ctz(filled)));
        uint64_t *awaiting = g->awaiting + block * PE_COLORS + color;
        *awaiting &= ~bit;
        if (!*awaiting)
            g->awaited[block] &= ~((uint32_t)1 << color);
    }
    s->ramp_events--;
    s->awaiting--;
    pe->sending = 0;
}

/* Something about a core's output queues changes: it asks the router anew in this cycle, after the cores. */
static inline void ask_anew(pe_grid *g, pe_strip *s, int32_t p)
{
    if (g->pe[p].sending == PE_AWAITS_ROUTER) {
        forget_ramp(g, s, g->pe + p);
        pe_schedule_ramp(g, s, p, g->cycle);
    }
}

#endif
