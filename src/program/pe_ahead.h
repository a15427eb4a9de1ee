/* What coming events touch, asked for while those before them are worked on. The state of a PE lies where no other's does, so
 * that each event would wait for memory, line after line; where the next lines are, the ones before them say: the record of a
 * PE, then its threads and queues, then their words. Nothing depends on it but time. (Bodies of cores.c.) */
#ifndef WSEKERN_PE_AHEAD_H
#define WSEKERN_PE_AHEAD_H

#include "fabric/fabric_internal.h"
#include "pe_state.h"

static inline void fetch(const void *begin, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += PE_LINE)
        WSK_ASK_FOR((const char *)begin + at);
}

static inline void fetch_queues(const pe_grid *g, int32_t p)
{
    const pe_core *pe = g->pe + p;
    fetch(g->queue + pe->queues, (size_t)g->program[pe->program].queues * sizeof *g->queue);
}

/* The threads up to the last one that is at work, and where the operands are of those that may issue. */
static inline void fetch_threads(const pe_grid *g, int32_t p)
{
    const pe_core *pe = g->pe + p;
    fetch(g->thread + pe->threads, (size_t)(32 - __builtin_clz(pe->busy | 1)) * sizeof *g->thread);
    for (uint32_t ready = pe->busy & ~(uint32_t)pe->waits; ready; ready &= ready - 1)
        WSK_ASK_FOR(g->place + 4 * (pe->threads + pe_ctz(ready)));
}

/* The next elements in memory of the threads that may issue: a word of a stream is four bytes. */
static inline void fetch_elements(const pe_grid *g, int32_t p)
{
    const pe_core *pe = g->pe + p;
    for (uint32_t ready = pe->busy & ~(uint32_t)pe->waits; ready; ready &= ready - 1) {
        const pe_thread *th = g->thread + pe->threads + pe_ctz(ready);
        for (int which = 0; which < 4; which++) {
            const pe_place *place = pe_places(g, th) + which;
            if (place->extent)
                WSK_ASK_FOR((const char *)((uintptr_t)g->memory + (uintptr_t)(pe->memory + place->base)
                                           + (uintptr_t)4 * (uintptr_t)th->word * (uintptr_t)place->stride));
        }
    }
}

/* What a core may take. */
static inline void fetch_inputs(const pe_grid *g, int32_t p)
{
    const pe_core *pe = g->pe + p;
    const pe_queue *q = g->queue + pe->queues;
    for (const pe_queue *end = q + g->program[pe->program].inputs; q < end; q++)
        if (q->count)
            WSK_ASK_FOR(pe_queue_word(g, q, 0));
}

/* What it may put on the ramp. */
static inline void fetch_outputs(const pe_grid *g, int32_t p)
{
    const pe_core *pe = g->pe + p;
    for (uint32_t filled = pe->filled; filled; filled &= filled - 1) {
        const pe_queue *q = pe_output(g, pe, pe_ctz(filled));
        WSK_ASK_FOR(pe_queue_word(g, q, 0));
        WSK_ASK_FOR(pe_word_color(g, q, 0));
    }
}

/* Three PEs of a slot of a wheel, each farther from the one whose turn it is. */
typedef struct { int32_t near, middle, far; } pe_view;

static inline int32_t skip(const int32_t *next, int32_t p, int n)
{
    while (n-- > 0 && p != PE_NOBODY)
        p = next[p];
    return p;
}

/* `step` events from one to the next, the first one that far from p. */
static inline pe_view open_view(const int32_t *next, int32_t p, int step)
{
    pe_view v = { .near = skip(next, p, step) };
    v.middle = skip(next, v.near, step);
    v.far = skip(next, v.middle, step);
    return v;
}

static inline void move_view(const int32_t *next, pe_view *v)
{
    v->near = skip(next, v->near, 1);
    v->middle = skip(next, v->middle, 1);
    v->far = skip(next, v->far, 1);
}

/* For core events. */
static inline void look_ahead(const pe_grid *g, pe_view *v)
{
    if (v->near != PE_NOBODY) {
        fetch_inputs(g, v->near);
        fetch_elements(g, v->near);
    }
    if (v->middle != PE_NOBODY) {
        fetch_threads(g, v->middle);
        fetch_queues(g, v->middle);
    }
    if (v->far != PE_NOBODY)
        fetch(g->pe + v->far, 2 * PE_LINE);
    move_view(g->core_next, v);
}

/* For ramps. */
static inline void look_ahead_of_ramps(const pe_grid *g, pe_view *v)
{
    if (v->near != PE_NOBODY)
        fetch_outputs(g, v->near);
    if (v->middle != PE_NOBODY)
        fetch_queues(g, v->middle);
    if (v->far != PE_NOBODY)
        WSK_ASK_FOR(g->pe + v->far);
    move_view(g->ramp_next, v);
}

/* For words on their way into cores: number i of n comes next. */
static inline void look_ahead_of_words(const pe_grid *g, const wsk_delivery *d, int i, int n)
{
    int32_t p;
    int q;
    if (i + 2 < n && (p = g->slot_of[d[i + 2].pe]) >= 0 && (q = g->program[g->pe[p].program].color_queue[d[i + 2].color]) >= 0)
        WSK_ASK_FOR(pe_queue_word(g, pe_input(g, g->pe + p, q), pe_input(g, g->pe + p, q)->count));
    if (i + 5 < n && (p = g->slot_of[d[i + 5].pe]) >= 0) {
        fetch_queues(g, p);
        fetch(g->thread + g->pe[p].threads, (size_t)(32 - __builtin_clz(g->pe[p].waits | 1)) * sizeof *g->thread);
    }
    if (i + 8 < n && (p = g->slot_of[d[i + 8].pe]) >= 0)
        WSK_ASK_FOR(g->pe + p);
}

#endif
