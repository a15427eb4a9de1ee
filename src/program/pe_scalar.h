/* Scalar code of the main thread: registers, memory, branches, descriptors, tasks, routes. (Bodies of cores.c.) */
#ifndef WSEKERN_PE_SCALAR_H
#define WSEKERN_PE_SCALAR_H

#include "pe_stream.h"

/* Place in the pool of an element of a PE's memory, PE_NOBODY if it is not there. */
static int64_t checked_address(const pe_grid *g, const pe_core *pe, int64_t base, int64_t element, int type)
{
    int64_t size = pe_type_bytes(type), address = base + element * size;
    if (address < 0 || address + size > g->program[pe->program].code.memory)
        return PE_NOBODY;
    return pe->memory + address;
}

static void scalar_operation(const pe_instruction *i, uint32_t *r)
{
    pe_value a = { .u = 0 }, b = { .u = 0 }, c = { .u = 0 };
    if (i->a >= 0)
        a = pe_decode(i->type, r[i->a]);
    if (i->b >= 0)
        b = pe_decode(i->type, r[i->b]);
    if (i->c >= 0)
        c = pe_decode(i->type, r[i->c]);
    pe_value v = pe_apply(i->op, i->type, a, b, c);
    r[i->dst] = pe_compares(i->op) ? v.u : pe_encode(i->type, v);
}

/* A scalar instruction reads or writes an element at a place in the pool. */
static void watch_scalar(pe_grid *g, const pe_core *pe, int64_t at, int type, int reads, int64_t now, int32_t pc)
{
    if (g->written && reads)
        watch_read(g, pe, at - pe->memory, type, now, pc);
    else if (g->written)
        pe_mark(g, g->memory + at, pe_type_bytes(type));
}

/* The color of the register of the router that lies at a byte address, PE_NONE: none does. */
static int register_at(const pe_program *program, int64_t address, int type, int *of_switch)
{
    const int32_t first[2] = { program->color_registers, program->switch_registers };
    for (int k = 0; k < 2; k++)
        if (first[k] != PE_NONE && pe_type_bytes(type) == 2 && !(address & 1) && address >= first[k]
            && address < first[k] + 2 * PE_COLORS) {
            *of_switch = k;
            return (int)(address - first[k]) / 2;
        }
    return PE_NONE;
}

/* PE_ROUTER_ACCESS: at a register of the router, for which the clock must have come. */
static int load_or_store(pe_grid *g, const pe_core *pe, const pe_instruction *i, uint32_t *r, int64_t now, int32_t pc)
{
    int64_t element = i->a >= 0 ? (int32_t)r[i->a] : 0, at = checked_address(g, pe, i->imm, element, i->type);
    int of_switch;
    if (at == PE_NOBODY) {
        int64_t address = i->imm + element * pe_type_bytes(i->type);
        return register_at(&g->program[pe->program].code, address, i->type, &of_switch) == PE_NONE ? WSK_ERR_MEMORY_RANGE
            : PE_ROUTER_ACCESS;
    }
    watch_scalar(g, pe, at, i->type, i->form == PE_LOAD, now, pc);
    if (i->form == PE_LOAD)
        r[i->dst] = pe_load_bits(i->type, g->memory + at);
    else
        pe_store_bits(i->type, g->memory + at, r[i->b]);
    return WSK_OK;
}

/* Change what the PE itself holds of a descriptor. */
static void set_descriptor(pe_grid *g, const pe_core *pe, const pe_instruction *i, const uint32_t *r)
{
    const pe_descriptor *d = descriptor_of(g, pe, i->b);
    pe_place *own = g->own + pe->own + d->own;
    int32_t value = i->a >= 0 && i->form != PE_LOAD_DESCRIPTOR ? (int32_t)r[i->a] : 0;
    int64_t bytes = is_memory(d->kind) ? (int64_t)value * pe_type_bytes(d->type) : value;
    if (i->form == PE_LOAD_DESCRIPTOR) {
        load_place(g, pe, descriptor_of(g, pe, i->a), own);
    } else if (i->form == PE_SET_BASE) {
        own->base = (int32_t)(i->imm + bytes);
        own->at = 0;
    } else if (i->form == PE_MOVE_BASE) {
        if (d->kind == PE_RING)
            own->at = (int32_t)ring_element(d, (int64_t)own->at + value);
        else
            own->base = (int32_t)(own->base + bytes);
    } else if (i->form == PE_SET_EXTENT) {
        own->extent = value;
    } else {
        own->stride = value;
    }
}

/* An element of a memory descriptor from or to a register. */
static int take_or_give(pe_grid *g, const pe_core *pe, const pe_instruction *i, uint32_t *r, int64_t now, int32_t pc)
{
    const pe_descriptor *d = descriptor_of(g, pe, i->b);
    pe_place place;
    load_place(g, pe, d, &place);
    if (d->kind == PE_MEM4D && (d->shape[0] < 1 || d->shape[1] < 1 || d->shape[2] < 1 || d->shape[3] < 1))
        return WSK_ERR_MEMORY_RANGE;        /* it has no elements */
    int64_t element = element_of(d, &place, i->a >= 0 ? (int32_t)r[i->a] : 0);
    int64_t at = checked_address(g, pe, place.base, element, d->type);
    if (at == PE_NOBODY)
        return WSK_ERR_MEMORY_RANGE;
    watch_scalar(g, pe, at, d->type, i->form == PE_TAKE, now, pc);
    if (i->form == PE_TAKE)
        r[i->dst] = pe_load_bits(d->type, g->memory + at);
    else
        pe_store_bits(d->type, g->memory + at, r[i->c]);
    return WSK_OK;
}

/* The next word of an input queue into a register; 0: the thread waits or comes back; negative: an error. */
static int take_word(pe_grid *g, wsk_fabric *fabric, pe_core *pe, pe_thread *th, const pe_instruction *i)
{
    const pe_descriptor *d = descriptor_of(g, pe, i->b);
    pe_queue *q = pe_input(g, pe, d->queue);
    if (d->color >= 0 && q->due == 0) {
        int status = bind_queue(fabric, pe, q, d->color, 1);
        if (status < 0)
            return status;
    }
    if (q->count == 0) {
        wait_for(g, pe, th, PE_WAIT_INPUT, d->queue);
        return 0;
    }
    int64_t when = pe_stamp_of(g, pe_queue_word(g, q, 0));
    if (when > g->cycle) {
        th->resume = when;
        th->state = PE_READY;
        th->issued = th->pc;
        return 0;
    }
    note_queue(g, pe, th, d, th->pc);
    uint32_t bits = pe_queue_word(g, q, 0)->bits;
    g->registers[pe->registers + i->dst] = pe_type_bytes(d->type) == 4 ? bits : bits & 0xffff;
    pop_input(fabric, pe, q);
    pe_note_other(pe, PE_TAKEN, q->color);
    pe->words++;
    return 1;
}

/* A register into an output queue; 0: the thread waits for room. With an index, element a is in the high half. */
static int give_word(pe_grid *g, pe_strip *s, int32_t p, pe_thread *th, const pe_instruction *i)
{
    pe_core *pe = g->pe + p;
    const pe_descriptor *d = descriptor_of(g, pe, i->b);
    const pe_queue *q = pe_output(g, pe, d->queue);
    const uint32_t *r = g->registers + pe->registers;
    uint32_t bits = r[i->c];
    if (q->count == q->depth) {
        wait_for(g, pe, th, PE_WAIT_OUTPUT, d->queue);
        return 0;
    }
    note_queue(g, pe, th, d, th->pc);
    if (pe_type_bytes(d->type) == 2) {
        bits &= 0xffff;
        if (d->index && i->a >= 0)
            bits |= r[i->a] << 16;
    }
    send_word(g, s, p, d, bits);
    pe_note_other(pe, PE_SENT, d->color >= 0 ? d->color : q->color);
    pe->words++;
    return 1;
}

static uint32_t torn_down_colors(const wsk_fabric *fabric, const pe_core *pe)
{
    uint32_t mask = 0;
    for (int color = 0; color < PE_COLORS; color++)
        if (wsk_fabric_torn_down(fabric, (uint32_t)pe->at, color) > 0)
            mask |= (uint32_t)1 << color;
    return mask;
}

/* A core replaces a route. Words that wait for the end of a teardown are to follow the new one; others are on their way. */
static void note_rewrite(pe_grid *g, const wsk_fabric *fabric, const pe_core *pe, int color, int32_t pc)
{
    const pe_loaded *program = g->program + pe->program;
    int64_t words = wsk_words_at(fabric, (uint32_t)pe->at, color);
    for (int k = 0; k < PE_QUEUES; k++) {
        const pe_queue *q = program->out_slot[k] >= 0 ? pe_output(g, pe, k) : NULL;
        for (int i = 0; q && i < q->count; i++) {
            int of_word = *pe_word_color(g, q, i);
            words += (of_word == PE_QUEUE_COLOR ? q->color : of_word) == color;
        }
    }
    if (words > 0 && wsk_fabric_torn_down(fabric, (uint32_t)pe->at, color) == 0)
        pe_note(g, pe, PE_REWRITTEN, g->cycle, color, pc, words);
}

/* An input queue takes words of another color: the router has room for as many as the queue has, and for none of the color
 * that it was bound to. */
static int bind_input(pe_grid *g, wsk_fabric *fabric, const pe_core *pe, int k, uint32_t color)
{
    pe_queue *q = pe_input(g, pe, k);
    if (color >= PE_COLORS)
        return WSK_ERR_BAD_ARGUMENT;
    if ((int)color == q->color && q->due < 0)
        return WSK_OK;
    if ((int)color != q->color && pe_queue_of(g, pe, (int)color) >= 0)      /* another queue takes that one */
        return WSK_ERR_QUEUE_RANGE;
    return bind_queue(fabric, pe, q, (int)color, PE_NONE);
}

/* An output queue is empty: where that was waited for, it is flushed. 1: a task starts. */
static int flush_ends(const pe_grid *g, pe_core *pe, int k)
{
    if (!(pe->flushing >> k & 1))
        return 0;
    pe->flushing &= (uint8_t)~(1 << k);
    pe->flushed |= (uint8_t)(1 << k);
    if (g->program[pe->program].code.local_entry[PE_TORN_DOWN_TASK] == PE_NONE)
        return 0;
    pe_activate(pe, PE_TORN_DOWN_TASK);
    return 1;
}

/* A load or store at a register of the router. */
static int use_register(pe_grid *g, wsk_fabric *fabric, const pe_core *pe, const pe_thread *th, const pe_instruction *i)
{
    uint32_t at = (uint32_t)pe->at, *r = g->registers + pe->registers;
    int64_t address = i->imm + (int64_t)(i->a >= 0 ? (int32_t)r[i->a] : 0) * pe_type_bytes(i->type);
    int of_switch = 0, color = register_at(&g->program[pe->program].code, address, i->type, &of_switch);
    if (i->form == PE_LOAD) {
        r[i->dst] = (uint32_t)wsk_fabric_register(fabric, at, color, of_switch);
        return WSK_OK;
    }
    note_rewrite(g, fabric, pe, color, th->pc);
    return wsk_fabric_set_register(fabric, at, color, of_switch, (int)(r[i->b] & 0xffff));
}

/* Queues and the router: what depends on words that come and go while other code runs. */
static int use_router(pe_grid *g, wsk_fabric *fabric, pe_core *pe, const pe_thread *th, const pe_instruction *i)
{
    uint32_t at = (uint32_t)pe->at, *r = g->registers + pe->registers;
    switch (i->form) {
    case PE_LOAD: case PE_STORE: return use_register(g, fabric, pe, th, i);
    case PE_TORN_DOWN: r[i->dst] = torn_down_colors(fabric, pe); return WSK_OK;
    case PE_ROUTE:
        note_rewrite(g, fabric, pe, i->imm, th->pc);
        return wsk_fabric_rewrite(fabric, at, i->imm, g->route + g->program[pe->program].code.route + i->a);
    case PE_POSITION: return wsk_fabric_set_position(fabric, at, i->imm, (int)r[i->a]);
    case PE_BIND_INPUT: return bind_input(g, fabric, pe, i->imm, r[i->a]);
    case PE_BIND_OUTPUT:
        if (r[i->a] >= PE_COLORS)
            return WSK_ERR_BAD_ARGUMENT;
        ask_anew(g, pe_strip_of(g, pe), (int32_t)(pe - g->pe));
        pe_output(g, pe, i->imm)->color = (int16_t)r[i->a];
        return WSK_OK;
    case PE_FLUSH:
        pe->flushing |= (uint8_t)(1 << i->imm);
        if (pe_output(g, pe, i->imm)->count == 0)
            flush_ends(g, pe, i->imm);
        return WSK_OK;
    case PE_LEAVE_FLUSH: pe->flushed &= (uint8_t)~(1 << i->imm); return WSK_OK;
    case PE_FLUSHED: r[i->dst] = pe->flushed; return WSK_OK;
    default: return wsk_fabric_teardown(fabric, at, i->imm, 0);
    }
}

static void change_task(pe_core *pe, const pe_instruction *i)
{
    if (i->form == PE_ACTIVATE)
        pe_activate(pe, i->imm);
    else if (i->form == PE_BLOCK)
        pe->blocked |= (uint32_t)1 << i->imm;
    else if (i->form == PE_UNBLOCK)
        pe_unblock(pe, i->imm);
    else if (i->form == PE_BLOCK_QUEUE)
        pe->blocked_queues |= (uint8_t)(1 << i->imm);
    else
        pe->blocked_queues &= (uint8_t)~(1 << i->imm);
}

/* A call within the program, or the way back from one; the instruction behind the call waits in a register of its own. */
static int call_or_return(pe_grid *g, pe_core *pe, pe_thread *th, const pe_instruction *i, uint32_t *r)
{
    const pe_program *program = &g->program[pe->program].code;
    uint32_t *stack = r + program->registers - PE_STACK;
    if (pe->depth == (i->form == PE_CALL ? PE_STACK : 0))
        return WSK_ERR_BAD_INSTRUCTION;
    if (i->form == PE_CALL) {
        stack[pe->depth++] = (uint32_t)th->pc;
        th->pc = program->first + i->imm;
    } else {
        th->pc = (int32_t)stack[--pe->depth];
    }
    return WSK_OK;
}

/* An instruction that touches nothing but its own PE; moves on to the next one. Its cycles, or an error. */
static int local_operation(pe_grid *g, pe_core *pe, pe_thread *th, const pe_instruction *i, int64_t now, int64_t *cycles)
{
    uint32_t *r = g->registers + pe->registers;
    *cycles = i->cycles;
    th->pc++;
    switch (i->form) {
    case PE_SCALAR: scalar_operation(i, r); break;
    case PE_CONSTANT: r[i->dst] = (uint32_t)i->imm; break;
    case PE_LOAD: case PE_STORE: return load_or_store(g, pe, i, r, now, th->pc - 1);
    case PE_BRANCH:
        if (r[i->a] == 0) {
            th->pc = g->program[pe->program].code.first + i->imm;
            *cycles = i->taken;
        }
        break;
    case PE_JUMP: th->pc = g->program[pe->program].code.first + i->imm; break;
    case PE_TAKE: case PE_GIVE: return take_or_give(g, pe, i, r, now, th->pc - 1);
    case PE_PARAMETER: r[i->dst] = (uint32_t)g->param[pe->params + i->imm]; break;
    case PE_CONVERT: r[i->dst] = pe_encode(i->type, pe_convert(i->b, i->type, pe_decode(i->b, r[i->a]))); break;
    case PE_SPEND: *cycles = i->a < 0 ? i->imm : g->param[pe->params + i->a]; break;
    case PE_CALL: case PE_RETURN: return call_or_return(g, pe, th, i, r);
    case PE_TIME: r[i->dst] = (uint32_t)(now >> (16 * i->imm)) & 0xffff; break;
    case PE_ACTIVATE: case PE_BLOCK: case PE_UNBLOCK: case PE_BLOCK_QUEUE: case PE_UNBLOCK_QUEUE:
        change_task(pe, i);
        break;
    default: set_descriptor(g, pe, i, r); break;
    }
    return WSK_OK;
}

#endif
