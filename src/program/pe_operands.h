/* Operands of vector instructions: which descriptor, which elements. */
#ifndef WSEKERN_PE_OPERANDS_H
#define WSEKERN_PE_OPERANDS_H

#include "pe_state.h"

static inline const pe_descriptor *descriptor_of(const pe_grid *g, const pe_core *pe, int number)
{
    return g->descriptor + g->program[pe->program].code.descriptor + number;
}

static inline int64_t ring_element(const pe_descriptor *d, int64_t element)
{
    element %= d->wrap;
    return element >= 0 ? element : element + d->wrap;
}

/* Elements from the base to element k. */
static inline int64_t element_of(const pe_descriptor *d, const pe_place *place, int64_t k)
{
    int64_t element = 0;
    if (d->kind == PE_MEM)
        return k * place->stride;
    if (d->kind == PE_RING)
        return ring_element(d, place->at + k * place->stride);
    for (int axis = 3; axis >= 0 && k; axis--) {
        element += k % d->shape[axis] * d->strides[axis];
        k /= d->shape[axis];
    }
    return element;
}

/* The same in repeat r, where begin() has put what a mem1d moves in each. */
static inline int64_t element_at(const pe_descriptor *d, const pe_place *place, int64_t r, int64_t k)
{
    return element_of(d, place, k) + (d->kind == PE_MEM ? r * place->at : 0);
}

static inline int is_memory(int kind) { return kind >= PE_MEM && kind <= PE_FIFO; }

/* The elements that an operand in memory touches, counted from its base: from `low` to `high`. */
static inline void touched(const pe_descriptor *d, const pe_place *place, int64_t extent, int64_t repeat, int64_t *low,
                           int64_t *high)
{
    const int64_t most = (int64_t)1 << 32;
    int64_t reach;
    *low = *high = 0;
    if (d->kind == PE_MEM) {
        reach = (extent - 1) * place->stride;
        *low = pe_min(0, reach);
        *high = pe_max(0, reach);
        reach = (repeat - 1) * place->at;
        *low += pe_min(0, reach);
        *high += pe_max(0, reach);
    } else if (d->kind == PE_MEM4D) {
        for (int axis = 0; axis < 4; axis++) {
            reach = pe_max(-most, pe_min(most, (d->shape[axis] - 1) * (int64_t)d->strides[axis]));
            *low += pe_min(0, reach);
            *high += pe_max(0, reach);
        }
    } else {
        *high = d->wrap - 1;
    }
}

static inline int operand_number(const pe_instruction *i, int which)
{
    return which == 0 ? i->dst : which == 1 ? i->a : which == 2 ? i->b : i->c;
}

#endif
