/* Vector instructions: operands, all elements at once in memory, word by word where the fabric or a FIFO takes part. (Bodies
 * of cores.c, one compilation unit, so that the compiler sees all that an event may call.) */
#ifndef WSEKERN_PE_VECTOR_H
#define WSEKERN_PE_VECTOR_H

#include "common/wsekern_status.h"
#include "findings.h"
#include "pe_await.h"
#include "pe_math.h"
#include "pe_operands.h"
#include "profile.h"
#include "tape.h"

/* Take the first word of an input queue; where an instruction has bound it, no word comes in that it does not take. */
static void pop_input(wsk_fabric *fabric, const pe_core *pe, pe_queue *q)
{
    pe_queue_pop(q);
    if (q->due > 0)
        q->due--;
    if (q->due < 0 || q->due >= q->depth)
        wsk_fabric_credit(fabric, (uint32_t)pe->at, q->color, 1);
}

/* Let the router send an input queue words of a color, `due` of them (PE_NONE: no end), and no others. */
static int bind_queue(wsk_fabric *fabric, const pe_core *pe, pe_queue *q, int color, int32_t due)
{
    if (q->count && color != q->color && (due >= 0 || q->due >= 0))     /* words of another color are left in it */
        return WSK_ERR_QUEUE_RANGE;
    int room = due < 0 ? q->depth - q->count : (int)pe_min(due, q->depth) - q->count;
    wsk_fabric_no_credit(fabric, (uint32_t)pe->at, q->color);
    q->color = (int16_t)color;
    q->due = due;
    if (room > 0)
        wsk_fabric_credit(fabric, (uint32_t)pe->at, color, room);       /* a color without a route: none */
    return WSK_OK;
}

static void wait_for(pe_grid *g, pe_core *pe, pe_thread *th, int why, int queue)
{
    if (th->state != why) {
        th->state = (int8_t)why;
        th->resume = g->cycle;
        th->issued = th->pc;
        pe_turn(g, pe, th - g->thread, th->pc, PE_SPENT_WAITING + why - PE_WAIT_INPUT, g->cycle);
    }
    th->queue = (int8_t)queue;
    pe->waits |= (uint16_t)(1 << (th - g->thread - pe->threads));
}

/* Threads of a PE that wait for this go on at `cycle`; whether there is one. */
static int wake_all(pe_grid *g, pe_core *pe, int why, int queue, int64_t cycle)
{
    int found = 0;
    for (uint32_t waits = pe->waits; waits; waits &= waits - 1) {
        int k = pe_ctz(waits);
        pe_thread *th = g->thread + pe->threads + k;
        if (th->state == why && th->queue == queue) {
            pe->stalled[th->state - PE_WAIT_INPUT] += cycle - th->resume;
            pe->waits &= (uint16_t)~(1 << k);
            th->state = PE_READY;
            th->resume = cycle;
            pe_turn(g, pe, th - g->thread, th->pc, PE_SPENT_WORKING, cycle);
            found = 1;
        }
    }
    return found;
}

static void load_place(const pe_grid *g, const pe_core *pe, const pe_descriptor *d, pe_place *place)
{
    if (d->kind == PE_REGISTER)
        *place = (pe_place){ (int32_t)g->registers[pe->registers + d->queue], 1, 0, 0 };
    else if (d->own >= 0)
        *place = g->own[pe->own + d->own];
    else
        *place = (pe_place){ d->base, d->extent, d->stride, 0 };
}

/* Times that an instruction runs. */
static int64_t repeats_of(const pe_grid *g, const pe_core *pe, const pe_instruction *i)
{
    if (i->times < 0)
        return i->repeat;
    return pe_max(0, pe_min((int32_t)g->registers[pe->registers + i->times], PE_MOST_REPEAT));
}

/* Elements that the base of a mem1d moves in each repeat: as stated, or with `save` behind those of the repeat before. */
static int32_t step_of(const pe_descriptor *d, const pe_place *place, int64_t extent)
{
    if (d->advance || d->own < 0 || !d->save)
        return d->advance;
    return (int32_t)pe_max(INT32_MIN, pe_min(INT32_MAX, extent * place->stride));
}

/* Whether all elements that an instruction touches lie in the PE's memory. */
static int is_within(const pe_grid *g, const pe_core *pe, const pe_descriptor *d, const pe_place *place, int64_t extent,
                     int64_t repeat)
{
    int64_t low, high, size = pe_type_bytes(d->type), most = (int64_t)1 << 32;
    if (!is_memory(d->kind) || extent <= 0 || repeat <= 0)
        return 1;
    for (int axis = 0; d->kind == PE_MEM4D && axis < 4; axis++)
        if (d->shape[axis] < 1)             /* no elements, however long the descriptor was made */
            return 0;
    touched(d, place, extent, repeat, &low, &high);
    if (low < -most || high > most)         /* far outside; nor do bytes of so many elements fit a number */
        return 0;
    return place->base + low * size >= 0 && place->base + (high + 1) * size <= g->program[pe->program].code.memory;
}

/* Load the operands of an instruction: from here on, changes to its descriptors and registers do not touch it. */
static int begin(pe_grid *g, pe_core *pe, pe_thread *th, const pe_instruction *i)
{
    const pe_descriptor *target = descriptor_of(g, pe, i->dst);
    int64_t repeat = repeats_of(g, pe, i);
    th->extent = 0;
    for (int which = 0; which < 4; which++)
        if (operand_number(i, which) >= 0)
            load_place(g, pe, descriptor_of(g, pe, operand_number(i, which)), pe_places(g, th) + which);
    th->extent = (int32_t)pe_max(0, pe_places(g, th)[i->counted].extent);
    for (int which = 0; which < 4; which++) {
        if (operand_number(i, which) < 0)
            continue;
        const pe_descriptor *d = descriptor_of(g, pe, operand_number(i, which));
        if (d->kind == PE_REGISTER)         /* the target of a reduction is read anew for each element */
            pe_places(g, th)[which].at = target->kind == PE_REGISTER && target->queue == d->queue;
        if (d->kind == PE_MEM)
            pe_places(g, th)[which].at = step_of(d, pe_places(g, th) + which, th->extent);
        if (!is_within(g, pe, d, pe_places(g, th) + which, th->extent, repeat))
            return WSK_ERR_MEMORY_RANGE;
    }
    return WSK_OK;
}

/* What remains of an instruction of which `extent` elements are done: saved addresses, tasks. */
static void end_vector(pe_grid *g, pe_core *pe, pe_thread *th, const pe_instruction *i, int32_t extent)
{
    int64_t repeat = repeats_of(g, pe, i);
    for (int which = 0; which < 4; which++) {
        if (operand_number(i, which) < 0)
            continue;
        const pe_descriptor *d = descriptor_of(g, pe, operand_number(i, which));
        const pe_place *place = pe_places(g, th) + which;
        if (d->own < 0 || !d->save)
            continue;
        pe_place *own = g->own + pe->own + d->own;
        if (d->kind == PE_RING)
            own->at = (int32_t)ring_element(d, place->at + (int64_t)extent * place->stride);
        else if (repeat > 1)
            own->base = (int32_t)(place->base + repeat * place->at * pe_type_bytes(d->type));
        else
            own->base = (int32_t)(place->base + (int64_t)extent * place->stride * pe_type_bytes(d->type));
    }
    pe_activate(pe, i->activate);
    pe_unblock(pe, i->unblock);
    if (i->imm >= 0)
        g->registers[pe->registers + i->imm] = extent == th->extent;
    pe->elements += extent * repeat;
}

/* Whether two vectors that are read begin in the same four of the eight banks; 16-bit words rotate over the banks. */
static int banks_meet(const pe_grid *g, const pe_core *pe, const pe_thread *th, const pe_instruction *i)
{
    for (int which = 1; which < 4; which++) {
        if (operand_number(i, which) < 0)
            continue;
        const pe_descriptor *d = descriptor_of(g, pe, operand_number(i, which));
        if (!is_memory(d->kind) || pe_places(g, th)[which].stride == 0)
            continue;
        for (int other = which + 1; other < 4; other++) {
            if (operand_number(i, other) < 0)
                continue;
            const pe_descriptor *e = descriptor_of(g, pe, operand_number(i, other));
            if (is_memory(e->kind) && pe_places(g, th)[other].stride != 0
                && !(((pe_places(g, th)[which].base - pe_places(g, th)[other].base) >> 1) & 3))
                return 1;
        }
    }
    return 0;
}

/* Cycles that the banks need for the operand whose stride suits them least. */
static int64_t bank_cycles(const pe_grid *g, const pe_core *pe, const pe_thread *th, const pe_instruction *i)
{
    int64_t most = 0;
    for (int which = 0; which < 4; which++) {
        if (operand_number(i, which) < 0)
            continue;
        const pe_descriptor *d = descriptor_of(g, pe, operand_number(i, which));
        if (!is_memory(d->kind) || d->kind == PE_FIFO)
            continue;
        int32_t stride = d->kind == PE_MEM4D ? d->strides[3] : pe_places(g, th)[which].stride;
        int32_t width = g->latency.stride_width[((uint32_t)stride * (uint32_t)(pe_type_bytes(d->type) >> 1)) & 7];
        if (stride != 0 && stride != 1 && width > 0)
            most = pe_max(most, ((int64_t)th->extent + width - 1) / width);
    }
    return most;
}

/* Cycles of the elements of a memory-to-memory instruction, once. */
static int64_t element_cycles(const pe_grid *g, pe_core *pe, const pe_thread *th, const pe_instruction *i)
{
    int64_t first = th->extent, rest = 0;
    if (i->long_num && first > i->full) {
        rest = first - i->full;
        first = i->full;
    }
    int64_t cycles = (first * i->den + i->num - 1) / i->num;
    if (rest)
        cycles += (rest * i->long_den + i->long_num - 1) / i->long_num;
    int64_t slowed = pe_max(cycles, bank_cycles(g, pe, th, i));
    if (i->conflict_num && banks_meet(g, pe, th, i))
        slowed = pe_max(slowed, ((int64_t)th->extent * i->conflict_den + i->conflict_num - 1) / i->conflict_num);
    pe->conflict_cycles += (slowed - cycles) * repeats_of(g, pe, i);
    return slowed;
}

static pe_value memory_value(pe_grid *g, const pe_core *pe, const pe_descriptor *d, const pe_place *place, int64_t r,
                             int64_t k)
{
    return pe_load(d->type, g->memory + pe->memory + place->base
                   + element_at(d, place, r, k) * pe_type_bytes(d->type));
}

/* An operand of memory or register, 0 where there is none. */
static pe_value fixed_value(pe_grid *g, const pe_core *pe, int number, const pe_place *place, int64_t r, int64_t k)
{
    if (number < 0)
        return (pe_value){ .u = 0 };
    const pe_descriptor *d = descriptor_of(g, pe, number);
    if (d->kind == PE_REGISTER)
        return pe_decode(d->type, place->at ? g->registers[pe->registers + d->queue] : (uint32_t)place->base);
    return memory_value(g, pe, d, place, r, k);
}

static void set_value(pe_grid *g, const pe_core *pe, const pe_descriptor *d, const pe_place *place, int64_t r, int64_t k,
                      pe_value v)
{
    if (d->kind == PE_REGISTER)
        g->registers[pe->registers + d->queue] = pe_encode(d->type, v);
    else
        pe_store(d->type, g->memory + pe->memory + place->base
                 + element_at(d, place, r, k) * pe_type_bytes(d->type), v);
}

/* Whether a microthread other than `self` is at a queue: SHARED_INPUT, a source of its instruction; SHARED_OUTPUT, its target.
 * The main thread is at none while another thread begins: it begins them. */
static int is_used(const pe_grid *g, const pe_core *pe, const pe_thread *self, int rule, int queue)
{
    const pe_thread *lead = g->thread + pe->threads;
    for (uint32_t busy = pe->busy & ~(uint32_t)1; busy; busy &= busy - 1) {
        const pe_thread *th = lead + pe_ctz(busy);
        const pe_instruction *i = g->code + th->pc;
        for (int which = rule == PE_SHARED_INPUT; which < (rule == PE_SHARED_INPUT ? 4 : 1) && th != self; which++) {
            const pe_descriptor *d = operand_number(i, which) < 0 ? NULL : descriptor_of(g, pe, operand_number(i, which));
            if (d && d->queue == queue && d->kind == (rule == PE_SHARED_INPUT ? PE_FABIN : PE_FABOUT))
                return 1;
        }
    }
    return 0;
}

/* A thread begins to use the queue of an operand, if it has one. */
static void note_queue(pe_grid *g, const pe_core *pe, const pe_thread *self, const pe_descriptor *d, int32_t pc)
{
    int rule = d->kind == PE_FABIN ? PE_SHARED_INPUT : PE_SHARED_OUTPUT;
    if ((d->kind != PE_FABIN && d->kind != PE_FABOUT) || !(pe->busy & ~(uint32_t)1) || !is_used(g, pe, self, rule, d->queue))
        return;
    const pe_queue *q = d->kind == PE_FABIN ? pe_input(g, pe, d->queue) : pe_output(g, pe, d->queue);
    pe_note(g, pe, rule, g->cycle, q->color, pc, d->queue);
}

static void note_queues(pe_grid *g, const pe_core *pe, const pe_thread *self, const pe_instruction *i, int32_t pc)
{
    for (int which = 0; which < 4; which++)
        if (operand_number(i, which) >= 0)
            note_queue(g, pe, self, descriptor_of(g, pe, operand_number(i, which)), pc);
}

/* An element at byte `address` of a PE is read, and somebody asks whether it was written. */
static void watch_read(pe_grid *g, const pe_core *pe, int64_t address, int type, int64_t now, int32_t pc)
{
    const unsigned char *written = g->written + pe->memory + address;
    for (int k = 0; k < pe_type_bytes(type); k++)
        if (!written[k]) {
            pe_note(g, pe, PE_UNWRITTEN, now, PE_NONE, pc, address);
            return;
        }
}

/* The same of element k of each operand of an instruction (of its repeat r); what it writes is written from now on. */
static void watch_element(pe_grid *g, const pe_core *pe, const pe_thread *th, const pe_instruction *i, int64_t r, int64_t k,
                          int64_t now)
{
    for (int which = 1; which < 5; which++) {
        int number = operand_number(i, which & 3);
        const pe_descriptor *d = number < 0 ? NULL : descriptor_of(g, pe, number);
        if (!d || !is_memory(d->kind) || d->kind == PE_FIFO)
            continue;
        const pe_place *place = pe_places(g, th) + (which & 3);
        int64_t at = place->base + element_at(d, place, r, k) * pe_type_bytes(d->type);
        if (which < 4)
            watch_read(g, pe, at, d->type, now, th->pc);
        else
            pe_mark(g, g->memory + pe->memory + at, pe_type_bytes(d->type));
    }
}

/* An operand that is one value, or elements at even distances in memory: from one to the next, from one repeat to the next. */
typedef struct { unsigned char *at; int64_t next, again; pe_value fixed; int type; } pe_spaced;

/* Whether operand `which` is such a one. */
static inline int is_spaced(pe_grid *g, const pe_core *pe, const pe_thread *th, const pe_instruction *i, int which,
                            pe_spaced *s)
{
    const pe_place *place = pe_places(g, th) + which;
    int number = operand_number(i, which);
    *s = (pe_spaced){ .at = NULL, .fixed = { .u = 0 } };
    if (number < 0)
        return 1;
    const pe_descriptor *d = descriptor_of(g, pe, number);
    if (d->kind == PE_REGISTER && which > 0 && !place->at) {
        s->fixed = pe_decode(d->type, (uint32_t)place->base);
        return 1;
    }
    int64_t bytes = pe_type_bytes(d->type);
    s->type = d->type;
    s->at = g->memory + pe->memory + place->base;
    s->next = bytes * place->stride;
    s->again = bytes * place->at;
    return d->kind == PE_MEM;
}

static inline pe_value spaced_value(const pe_spaced *s, int64_t r, int64_t k)
{
    return s->at ? pe_load(s->type, s->at + r * s->again + k * s->next) : s->fixed;
}

/* All elements of an instruction on such operands, in the order of `run_elements`. Whether they are. */
static int run_spaced(pe_grid *g, const pe_core *pe, const pe_thread *th, const pe_instruction *i, int64_t repeat)
{
    pe_spaced to, a, b, c;
    if (!is_spaced(g, pe, th, i, 0, &to) || !is_spaced(g, pe, th, i, 1, &a) || !is_spaced(g, pe, th, i, 2, &b)
        || !is_spaced(g, pe, th, i, 3, &c))
        return 0;
    for (int64_t r = 0; r < repeat; r++)
        for (int64_t k = 0; k < th->extent; k++)
            pe_store(to.type, to.at + r * to.again + k * to.next,
                     pe_apply(i->op, i->type, spaced_value(&a, r, k), spaced_value(&b, r, k), spaced_value(&c, r, k)));
    return 1;
}

/* The same for any operands in memory and registers. */
static void run_elements(pe_grid *g, const pe_core *pe, const pe_thread *th, const pe_instruction *i, int64_t repeat)
{
    const pe_descriptor *d = descriptor_of(g, pe, i->dst);
    for (int64_t r = 0; r < repeat; r++)
        for (int64_t k = 0; k < th->extent; k++)
            set_value(g, pe, d, pe_places(g, th), r, k,
                      pe_apply(i->op, i->type, fixed_value(g, pe, i->a, pe_places(g, th) + 1, r, k),
                               fixed_value(g, pe, i->b, pe_places(g, th) + 2, r, k),
                               fixed_value(g, pe, i->c, pe_places(g, th) + 3, r, k)));
}

/* All elements of a memory-to-memory instruction at once; its cycles. */
static int64_t run_in_memory(pe_grid *g, pe_core *pe, pe_thread *th, const pe_instruction *i, int64_t now)
{
    int64_t repeat = repeats_of(g, pe, i), extent = th->extent;
    if (extent <= 0 || repeat <= 0) {
        end_vector(g, pe, th, i, 0);
        return 0;
    }
    int64_t cycles = element_cycles(g, pe, th, i);
    for (int64_t k = 0; g->written && k < repeat * extent; k++)
        watch_element(g, pe, th, i, k / extent, k % extent, now);
    if (g->tape)
        pe_tape_memory(g, pe, th);
    else if (!run_spaced(g, pe, th, i, repeat))
        run_elements(g, pe, th, i, repeat);
    cycles = repeat * (i->between + cycles);
    pe->vector_cycles += cycles;
    end_vector(g, pe, th, i, th->extent);
    return i->cycles + cycles;
}

#endif
