/* Vector instructions word by word, where the fabric or a FIFO takes part. (Bodies of cores.c.) */
#ifndef WSEKERN_PE_STREAM_H
#define WSEKERN_PE_STREAM_H

#include "pe_vector.h"

/* A control word at the head of a source that an instruction listens to; 1: it ended the instruction. */
static int control_word(pe_grid *g, wsk_fabric *fabric, pe_core *pe, const pe_instruction *i, pe_queue *q)
{
    pop_input(fabric, pe, q);
    pe_activate(pe, i->control_activate);
    pe_unblock(pe, i->control_unblock);
    return i->terminate;
}

static int hears_control(const pe_instruction *i)
{
    return i->terminate || i->control_activate >= 0 || i->control_unblock >= 0;
}

/* One source of a stream: sources_ready says what the numbers mean. */
static int source_ready(pe_grid *g, wsk_fabric *fabric, pe_core *pe, pe_thread *th, const pe_instruction *i,
                        const pe_descriptor *d, int32_t n)
{
    if (d->kind == PE_FABIN) {
        pe_queue *q = pe_input(g, pe, d->queue);
        if (q->count == 0) {
            wait_for(g, pe, th, PE_WAIT_INPUT, d->queue);
            return 0;
        }
        int64_t when = pe_stamp_of(g, pe_queue_word(g, q, 0));
        if (when > g->cycle) {
            th->resume = when;
            th->state = PE_READY;
            return 0;
        }
        if (pe_queue_word(g, q, 0)->mark & WSK_CONTROL && hears_control(i))
            return 2 + control_word(g, fabric, pe, i, q);
    } else if (d->kind == PE_FIFO && g->fifo[pe->fifos + d->queue].count < n) {
        g->fifo[pe->fifos + d->queue].starved = 1;
        if (i->thread == PE_NONE)
            return 4;
        wait_for(g, pe, th, PE_WAIT_FIFO, d->queue);
        return 0;
    }
    return 1;
}

/* 1: every source has its next n elements; 0: the thread waits or comes back later; 2: a control word was taken, 3: and ended
 * the instruction; 4: a synchronous instruction met an empty FIFO and ends early. */
static int sources_ready(pe_grid *g, wsk_fabric *fabric, pe_core *pe, pe_thread *th, const pe_instruction *i, int32_t n)
{
    for (int which = 1; which < 4; which++) {
        int number = operand_number(i, which);
        if (number < 0)
            continue;
        int ready = source_ready(g, fabric, pe, th, i, descriptor_of(g, pe, number), n);
        if (ready != 1)
            return ready;
    }
    return 1;
}

/* 1: the target has room for n elements; 0: the thread waits; 4: a synchronous instruction met a full FIFO. */
static int target_ready(pe_grid *g, pe_core *pe, pe_thread *th, const pe_instruction *i, int32_t n)
{
    const pe_descriptor *d = descriptor_of(g, pe, i->dst);
    if (d->kind == PE_FABOUT) {
        const pe_queue *q = pe_output(g, pe, d->queue);
        if (q->count == q->depth) {
            wait_for(g, pe, th, PE_WAIT_OUTPUT, d->queue);
            return 0;
        }
    } else if (d->kind == PE_FIFO && g->fifo[pe->fifos + d->queue].count + n > d->wrap) {
        g->fifo[pe->fifos + d->queue].full = 1;
        if (i->thread == PE_NONE)
            return 4;
        wait_for(g, pe, th, PE_WAIT_FIFO, d->queue);
        return 0;
    }
    return 1;
}

static pe_value stream_value(pe_grid *g, pe_core *pe, int number, const pe_place *place, int64_t k, int lane)
{
    if (number >= 0) {
        const pe_descriptor *d = descriptor_of(g, pe, number);
        if (d->kind == PE_FABIN)
            return pe_decode(d->type, pe_queue_word(g, pe_input(g, pe, d->queue), 0)->bits >> (16 * lane));
        if (d->kind == PE_FIFO) {
            k = ring_element(d, (int64_t)g->fifo[pe->fifos + d->queue].head + lane);
            return pe_load(d->type, g->memory + pe->memory + d->base + k * pe_type_bytes(d->type));
        }
    }
    return fixed_value(g, pe, number, place, 0, k);
}

/* Take the word or the n elements that an operand has given. */
static void consume(pe_grid *g, wsk_fabric *fabric, pe_core *pe, int number, int32_t n)
{
    if (number < 0)
        return;
    const pe_descriptor *d = descriptor_of(g, pe, number);
    if (d->kind == PE_FABIN) {
        pop_input(fabric, pe, pe_input(g, pe, d->queue));
    } else if (d->kind == PE_FIFO) {
        pe_fifo *fifo = g->fifo + pe->fifos + d->queue;
        fifo->head = (int32_t)ring_element(d, (int64_t)fifo->head + n);
        fifo->count -= n;
        if (fifo->full) {
            fifo->full = 0;
            pe_activate(pe, d->on_pop);
        }
        wake_all(g, pe, PE_WAIT_FIFO, d->queue, g->cycle + 1);
    }
}

static void push_fifo(pe_grid *g, pe_core *pe, const pe_descriptor *d, pe_value v)
{
    pe_fifo *fifo = g->fifo + pe->fifos + d->queue;
    int64_t k = ring_element(d, (int64_t)fifo->head + fifo->count);
    pe_store(d->type, g->memory + pe->memory + d->base + k * pe_type_bytes(d->type), v);
    if (g->written)
        pe_mark(g, g->memory + pe->memory + d->base + k * pe_type_bytes(d->type), pe_type_bytes(d->type));
    fifo->count++;
    if (fifo->starved) {
        fifo->starved = 0;
        pe_activate(pe, d->on_push);
    }
    wake_all(g, pe, PE_WAIT_FIFO, d->queue, g->cycle + 1);
}

/* A word into an output queue that has room. */
static void send_word(pe_grid *g, pe_strip *s, int32_t p, const pe_descriptor *d, uint32_t bits)
{
    pe_core *pe = g->pe + p;
    pe_queue *q = pe_output(g, pe, d->queue);
    if (q->count == 0)
        ask_anew(g, s, p);
    pe_set_word(pe_queue_word(g, q, q->count), bits, g->cycle + g->latency.output,
                (d->control ? WSK_CONTROL : 0) | (d->advance_switch ? WSK_ADVANCE : 0));
    *pe_word_color(g, q, q->count) = d->color >= 0 ? (uint8_t)d->color : PE_QUEUE_COLOR;
    q->count++;
    pe->filled |= (uint8_t)(1 << d->queue);
    if (!pe->sending)
        pe_schedule_ramp(g, s, p, g->cycle + g->latency.output);
}

/* The n elements of a word: computed, and put where they go. The bits of the word, where it goes out to the fabric. */
static uint32_t compute_word(pe_grid *g, pe_core *pe, pe_thread *th, const pe_instruction *i, const pe_descriptor *d,
                             int64_t k, int32_t n)
{
    uint32_t bits = 0;
    for (int lane = 0; lane < n; lane++) {
        if (g->written)
            watch_element(g, pe, th, i, 0, k + lane, g->cycle);
        pe_value v = pe_apply(i->op, i->type, stream_value(g, pe, i->a, pe_places(g, th) + 1, k + lane, lane),
                              stream_value(g, pe, i->b, pe_places(g, th) + 2, k + lane, lane),
                              stream_value(g, pe, i->c, pe_places(g, th) + 3, k + lane, lane));
        if (d->kind == PE_FABOUT)
            bits |= pe_encode(d->type, v) << (16 * lane);
        else if (d->kind == PE_FIFO)
            push_fifo(g, pe, d, v);
        else
            set_value(g, pe, d, pe_places(g, th), 0, k + lane, v);
    }
    return bits;
}

/* How an instruction that ends has filled the words of its colors, or found them filled. */
static void note_filling(pe_grid *g, pe_strip *s, pe_core *pe, const pe_thread *th, const pe_instruction *i, int64_t elements)
{
    int filling = i->packing == 1 ? PE_ALONE : elements & 1 ? PE_ODD_PAIRS : PE_PAIRS;
    for (int which = 0; which < 4 && elements; which++) {
        const pe_descriptor *d = operand_number(i, which) < 0 ? NULL : descriptor_of(g, pe, operand_number(i, which));
        if (!d || (d->kind != PE_FABIN && d->kind != PE_FABOUT))
            continue;
        int end = which ? PE_TAKEN : PE_SENT;
        int color = which ? pe_input(g, pe, d->queue)->color : d->color >= 0 ? d->color : pe_output(g, pe, d->queue)->color;
        if (pe_type_bytes(d->type) != 2 || d->index || d->control || hears_control(i))
            pe_note_other(pe, end, color);
        else if (color >= 0)
            pe_add(&s->filled[end][color][filling], pe, g->cycle, color, th->pc, elements);
    }
}

/* Try the next word of a streaming instruction. 1: done, 0: the thread waits or comes back, 2: the instruction ended. */
static int run_word(pe_grid *g, wsk_fabric *fabric, pe_strip *s, int32_t p, pe_thread *th, const pe_instruction *i)
{
    pe_core *pe = g->pe + p;
    const pe_descriptor *d = descriptor_of(g, pe, i->dst);
    int64_t k = (int64_t)th->word * i->packing;
    int32_t n = (int32_t)pe_min(i->packing, th->extent - k);
    int ready = sources_ready(g, fabric, pe, th, i, n);
    if (ready == 1)
        ready = target_ready(g, pe, th, i, n);
    if (ready != 1) {
        if (ready >= 3) {
            end_vector(g, pe, th, i, (int32_t)pe_min(th->extent, k));
            note_filling(g, s, pe, th, i, k);
            return 2;
        }
        if (ready == 2)
            th->resume = g->cycle + 1;
        return 0;
    }
    uint32_t bits = g->tape ? pe_tape_word(g, pe, th, i, k, n) : compute_word(g, pe, th, i, d, k, n);
    consume(g, fabric, pe, i->a, n);
    consume(g, fabric, pe, i->b, n);
    consume(g, fabric, pe, i->c, n);
    if (d->kind == PE_FABOUT) {
        if (d->index)
            bits = (bits & 0xffff) | (uint32_t)(pe_places(g, th)[0].base + (d->index == 1 ? k : 0)) << 16;
        send_word(g, s, p, d, bits);
    }
    th->word++;
    pe->words++;
    pe->vector_cycles += i->step;
    if (k + n >= th->extent) {
        end_vector(g, pe, th, i, th->extent);
        note_filling(g, s, pe, th, i, th->extent);
        return 2;
    }
    return 1;
}

#endif
