/* Cores and their fabric as bytes, and back: one description serves both ways. Reading makes second cores first, so that
 * bytes that are refused leave the first as they were. What a core would follow blindly (places in code and memory) is
 * checked here. */
#include "save.h"

#include <string.h>

#include "common/memory.h"
#include "fabric/bytes.h"
#include "findings.h"
#include "profile.h"

/* Of cycles, also of those to come. */
#define LAST (WSK_LAST_CYCLE + ((int64_t)1 << 40))

/* A field that must lie from low to high. */
#define MOVE_WITHIN(b, field, low, high)                                  \
    do {                                                                  \
        WSK_MOVE(b, field);                                               \
        wsk_bytes_need(b, (field) >= (low) && (field) <= (high));         \
    } while (0)

static void move_block(wsk_bytes *b, void *at, size_t n)
{
    if (b->bad || (b->from && n > b->n - b->at)) {
        b->bad = 1;
        return;
    }
    if (b->from && n)
        memcpy(at, b->from + b->at, n);
    else if (b->to && n && n <= b->n && b->at <= b->n - n)
        memcpy(b->to + b->at, at, n);
    b->at += n;
}

static uint64_t sum_words(uint64_t sum, const void *words, size_t bytes)
{
    for (size_t i = 0; i < bytes / 4; i++)
        sum = (sum ^ ((const uint32_t *)words)[i]) * 0x100000001b3u;
    return sum;
}

/* A checksum of what PEs run: the state of no other programs fits them. */
static uint64_t sum_of_programs(const pe_grid *g)
{
    uint64_t sum = sum_words(0xcbf29ce484222325u, &g->latency, sizeof g->latency);
    for (int32_t p = 0; p < g->programs; p++)
        sum = sum_words(sum, &g->program[p].code, sizeof g->program[p].code);
    sum = sum_words(sum, g->code, (size_t)g->codes * sizeof *g->code);
    sum = sum_words(sum, g->descriptor, (size_t)g->descriptors * sizeof *g->descriptor);
    for (int32_t p = 0; p < g->pes; p++) {
        int32_t place[2] = { g->pe[p].at, g->pe[p].program };
        sum = sum_words(sum, place, sizeof place);
    }
    return sum;
}

/* The slot of the wheels in which each PE stands, [2][pes]: for cores, for ramps; PE_NOBODY: none. NULL without memory. */
static int16_t *slots_of(const pe_grid *g)
{
    size_t pes = (size_t)g->pes;
    int16_t *slots = wsk_alloc(2 * pes * sizeof *slots);
    for (size_t p = 0; slots && p < 2 * pes; p++)
        slots[p] = PE_NOBODY;
    for (size_t p = 0; slots && p < pes; p++)
        if (g->pe[p].sending == PE_AWAITS_ROUTER)       /* it asks in every cycle */
            slots[pes + p] = (int16_t)(g->cycle % PE_WHEEL);
    for (int i = 0; slots && i < g->strips; i++)
        for (int16_t slot = 0; slot < PE_WHEEL; slot++) {
            for (int32_t p = g->strip[i].core_slot[slot]; p != PE_NOBODY; p = g->core_next[p])
                slots[p] = slot;
            for (int32_t p = g->strip[i].ramp_slot[slot]; p != PE_NOBODY; p = g->ramp_next[p])
                slots[pes + (size_t)p] = slot;
        }
    return slots;
}

/* ---- One PE ------------------------------------------------------------------------------------------------------------- */

static void move_place(wsk_bytes *b, pe_place *place)
{
    WSK_MOVE(b, place->base);
    WSK_MOVE(b, place->extent);
    WSK_MOVE(b, place->stride);
    WSK_MOVE(b, place->at);
}

/* What no longer matters is left out, so that one state has one form: when a thread that is idle began to be, which
 * instruction the main one was at before, operands that an instruction does not have. What a thread holds of one matters
 * while it is in the middle of it. */
static void forget_past(const pe_grid *g, pe_thread *th, int k)
{
    int runs = th->state == PE_READY || th->state == PE_BULK;
    if (th->state == PE_IDLE)
        th->resume = 0;
    if (k > 0 || !runs || th->word != PE_NONE || th->resume <= g->cycle)
        th->issued = PE_NONE;
    if (th->state == PE_IDLE || th->word == PE_NONE)
        return;
    const pe_instruction *i = g->code + th->pc;
    const int32_t operands[4] = { i->dst, i->a, i->b, i->c };
    for (int which = 0; which < 4; which++)
        if (operands[which] < 0)
            pe_places(g, th)[which] = (pe_place){ 0 };
}

static void move_thread(wsk_bytes *b, const pe_grid *g, pe_core *pe, int k)
{
    const pe_program *code = &g->program[pe->program].code;
    pe_thread *th = g->thread + pe->threads + k;
    if (!b->from)
        forget_past(g, th, k);
    MOVE_WITHIN(b, th->state, PE_IDLE, PE_WAIT_THREAD);
    WSK_MOVE(b, th->queue);
    MOVE_WITHIN(b, th->resume, 0, LAST);
    WSK_MOVE(b, th->pc);
    WSK_MOVE(b, th->word);
    MOVE_WITHIN(b, th->issued, PE_NONE, g->codes);
    if (th->state == PE_IDLE) {
        wsk_bytes_need(b, th->pc >= 0 && th->pc <= g->codes);
        return;
    }
    if (th->word != PE_NONE) {
        WSK_MOVE(b, th->extent);
        for (int i = 0; i < 4; i++)
            move_place(b, pe_places(g, th) + i);
    }
    if (!b->from)
        return;
    pe->busy |= (uint16_t)(1 << k);
    pe->waits |= (uint16_t)(th->state >= PE_WAIT_INPUT ? 1 << k : 0);
    wsk_bytes_need(b, th->pc >= code->first && th->pc < code->first + code->count && pe_is_sound(g, pe, k));
}

/* The words of a queue, which stands at the beginning of its ring when it is read; of an output queue, with their colors. */
static void move_queue(wsk_bytes *b, const pe_grid *g, pe_queue *q, int output)
{
    int16_t n = q->count;
    MOVE_WITHIN(b, n, 0, q->depth);
    MOVE_WITHIN(b, q->color, 0, PE_COLORS - 1);
    MOVE_WITHIN(b, q->due, PE_NONE, INT32_MAX);
    if (b->bad)
        return;
    q->count = n;
    for (int i = 0; i < n; i++) {
        WSK_MOVE(b, pe_queue_word(g, q, i)->bits);
        WSK_MOVE(b, pe_queue_word(g, q, i)->mark);
        if (!output)
            continue;
        WSK_MOVE(b, *pe_word_color(g, q, i));
        wsk_bytes_need(b, *pe_word_color(g, q, i) < PE_COLORS || *pe_word_color(g, q, i) == PE_QUEUE_COLOR);
    }
}

static void move_fifo(wsk_bytes *b, pe_fifo *fifo, int32_t most)
{
    WSK_MOVE(b, fifo->head);
    MOVE_WITHIN(b, fifo->count, -most, most);      /* below 0 where one instruction takes from it twice */
    WSK_MOVE(b, fifo->starved);
    WSK_MOVE(b, fifo->full);
}

/* Where calls under way go back to is in the program's own code. */
static void need_sound_stack(wsk_bytes *b, const pe_grid *g, const pe_core *pe)
{
    const pe_program *code = &g->program[pe->program].code;
    int calls = 0;
    for (int32_t k = 0; pe->depth && k < code->count; k++)
        calls |= g->code[code->first + k].form == PE_CALL;
    wsk_bytes_need(b, calls || !pe->depth);
    for (int k = 0; !b->bad && k < pe->depth; k++) {
        int64_t back = g->registers[pe->registers + code->registers - PE_STACK + k];
        wsk_bytes_need(b, back >= code->first && back < code->first + code->count);
    }
}

static void move_counts(wsk_bytes *b, pe_core *pe)
{
    MOVE_WITHIN(b, pe->words, 0, LAST);
    MOVE_WITHIN(b, pe->vector_cycles, 0, LAST);
    MOVE_WITHIN(b, pe->elements, 0, LAST);
    MOVE_WITHIN(b, pe->done, 0, LAST);
    for (int i = 0; i < 4; i++)
        MOVE_WITHIN(b, pe->stalled[i], 0, LAST);
    MOVE_WITHIN(b, pe->instructions, 0, LAST);
    MOVE_WITHIN(b, pe->conflict_cycles, 0, LAST);
    MOVE_WITHIN(b, pe->tasks, 0, LAST);
}

static void move_record(wsk_bytes *b, pe_grid *g, int32_t p, int16_t core_slot, int16_t ramp_slot)
{
    pe_core *pe = g->pe + p;
    if (!b->from) {
        pe->resume = pe->scheduled ? pe->resume : 0;
        pe->slot_free = pe->slot_free > g->cycle ? pe->slot_free : 0;
    }
    MOVE_WITHIN(b, pe->resume, 0, LAST);
    MOVE_WITHIN(b, pe->slot_free, 0, LAST);
    MOVE_WITHIN(b, pe->live, 0, 1);
    MOVE_WITHIN(b, pe->depth, 0, PE_STACK);
    MOVE_WITHIN(b, pe->task, 0, PE_TASKS - 1);
    for (int i = 0; i < 4; i++)
        MOVE_WITHIN(b, pe->turn[i], 0, PE_MAIN);
    WSK_MOVE(b, pe->blocked_queues);
    WSK_MOVE(b, pe->flushing);
    WSK_MOVE(b, pe->flushed);
    WSK_MOVE(b, pe->activated);
    WSK_MOVE(b, pe->blocked);
    move_counts(b, pe);
    MOVE_WITHIN(b, core_slot, PE_NOBODY, PE_WHEEL - 1);
    MOVE_WITHIN(b, ramp_slot, PE_NOBODY, PE_WHEEL - 1);
    if (!b->from || b->bad)
        return;
    pe_strip *s = pe_strip_of(g, pe);
    s->live += pe->live;
    if (core_slot != PE_NOBODY)
        pe_enter_slot(g, s, p, core_slot);
    if (ramp_slot != PE_NOBODY)
        pe_schedule_ramp(g, s, p, ramp_slot);
}

static void move_core(wsk_bytes *b, const pe_grid *g, pe_core *pe)
{
    const pe_loaded *program = g->program + pe->program;
    const pe_program *code = &program->code;
    for (int k = 0; k < program->thread_count && !b->bad; k++)
        move_thread(b, g, pe, k);
    for (int q = 0; q < PE_QUEUES && !b->bad; q++)
        if (program->in_slot[q] >= 0)
            move_queue(b, g, pe_input(g, pe, q), 0);
    for (int q = 0; q < PE_QUEUES && !b->bad; q++)
        if (program->out_slot[q] >= 0)
            move_queue(b, g, pe_output(g, pe, q), 1);
    for (int q = 0; q < PE_QUEUES; q++)
        if (b->from && program->out_slot[q] >= 0 && pe_output(g, pe, q)->count)
            pe->filled |= (uint8_t)(1 << q);
    for (int k = 0; k < code->own; k++)
        move_place(b, g->own + pe->own + k);
    for (int k = 0; k < code->fifos; k++)
        move_fifo(b, g->fifo + pe->fifos + k, code->memory);
    for (int k = 0; k < code->registers; k++)
        WSK_MOVE(b, g->registers[pe->registers + k]);
    move_block(b, g->memory + pe->memory, (size_t)code->memory);
    if (b->from && !b->bad)
        need_sound_stack(b, g, pe);
}

/* ---- All ---------------------------------------------------------------------------------------------------------------- */

static void move_edge_word(wsk_bytes *b, const pe_grid *g, wsk_delivery *word, int64_t *cycle)
{
    MOVE_WITHIN(b, *cycle, 0, LAST);
    MOVE_WITHIN(b, word->pe, 0, (uint32_t)g->fabric_pes - 1);
    WSK_MOVE(b, word->data);
    MOVE_WITHIN(b, word->color, 0, PE_COLORS - 1);
    WSK_MOVE(b, word->flags);
    MOVE_WITHIN(b, word->port, WSK_NORTH, WSK_WEST);
}

/* What a strip holds, with the words that left the wafer and were not received. 0 or WSK_ERR_NO_MEMORY. */
static int move_strip(wsk_bytes *b, const pe_grid *g, pe_strip *s)
{
    int64_t n = s->edge_count;
    MOVE_WITHIN(b, s->progress, 0, LAST);
    MOVE_WITHIN(b, s->ended, 0, LAST);
    MOVE_WITHIN(b, s->fault_pe, PE_NOBODY, g->fabric_pes - 1);
    MOVE_WITHIN(b, s->fault_color, PE_NOBODY, PE_COLORS - 1);
    MOVE_WITHIN(b, s->fault_pc, PE_NOBODY, g->codes);
    wsk_bytes_count(b, &n, INT64_MAX / 64, 19);
    if (b->from) {
        s->edge = wsk_alloc((size_t)n * sizeof *s->edge);
        s->edge_cycle = wsk_alloc((size_t)n * sizeof *s->edge_cycle);
        if (!s->edge || !s->edge_cycle)
            return WSK_ERR_NO_MEMORY;
        memset(s->edge, 0, (size_t)n * sizeof *s->edge);
        s->edge_count = s->edge_room = n;
    }
    for (int64_t i = 0; i < n; i++)
        move_edge_word(b, g, s->edge + i, s->edge_cycle + i);
    return WSK_OK;
}

/* `slots` is of no use when reading. */
static int move_cores(wsk_bytes *b, pe_grid *g, const int16_t *slots)
{
    uint64_t sum = sum_of_programs(g), is = sum;
    int8_t quiet = (int8_t)g->quiet;
    WSK_MOVE(b, is);
    if (b->from && !b->bad && is != sum)
        return WSK_ERR_OTHER_PLAN;
    MOVE_WITHIN(b, g->cycle, 0, LAST);
    MOVE_WITHIN(b, quiet, 0, 1);
    g->quiet = quiet;
    for (int i = 0; i < g->strips && !b->bad; i++)
        if (move_strip(b, g, g->strip + i) < 0)
            return WSK_ERR_NO_MEMORY;
    for (int32_t p = 0; p < g->pes && !b->bad; p++) {
        move_record(b, g, p, slots ? slots[p] : PE_NOBODY, slots ? slots[g->pes + p] : PE_NOBODY);
        move_core(b, g, g->pe + p);
    }
    return b->bad ? WSK_ERR_BAD_BYTES : WSK_OK;
}

static void move_params(wsk_bytes *b, const pe_grid *g)
{
    for (int64_t i = 0; i < (int64_t)g->fabric_pes * g->params; i++)
        WSK_MOVE(b, g->param[i]);
}

int pe_save(pe_grid *g, wsk_fabric *fabric, void *bytes, size_t room, size_t *needed)
{
    wsk_bytes b = { .to = bytes, .n = room };
    size_t n;
    int status = g->quiet ? wsk_fabric_skip(fabric, g->cycle) : WSK_OK;     /* its clock stood still while it was empty */
    status = status < 0 ? status : wsk_fabric_save(fabric, NULL, 0, &n);
    if (status < 0)
        return status;
    int16_t *slots = slots_of(g);
    if (!slots)
        return WSK_ERR_NO_MEMORY;
    wsk_bytes_begin(&b, WSK_BYTES_SIMULATION);
    uint64_t fabric_bytes = n;
    move_cores(&b, g, slots);
    wsk_free(slots);
    move_params(&b, g);
    WSK_MOVE(&b, fabric_bytes);
    if (b.to && n <= b.n && b.at <= b.n - n)
        status = wsk_fabric_save(fabric, b.to + b.at, n, &n);
    b.at += n;
    return status < 0 ? status : wsk_bytes_end(&b, needed);
}

/* Cores of the same programs as those of `g`, all of them idle, in no slot of a wheel; they share its parameters. */
static int make_like(pe_grid *fresh, const pe_grid *g)
{
    int32_t *program_of = wsk_alloc((size_t)g->fabric_pes * sizeof *program_of);
    *fresh = (pe_grid){ .width = g->width, .fabric_pes = g->fabric_pes, .latency = g->latency, .code = g->code,
                        .descriptor = g->descriptor, .route = g->route, .program = g->program, .param = g->param,
                        .programs = g->programs, .codes = g->codes, .descriptors = g->descriptors, .routes = g->routes,
                        .params = g->params };
    for (int32_t p = 0; program_of && p < g->fabric_pes; p++)
        program_of[p] = g->slot_of[p] < 0 ? PE_NONE : g->pe[g->slot_of[p]].program;
    int made = program_of && pe_make_pools(fresh, program_of);
    wsk_free(program_of);
    if (!made)
        return WSK_ERR_NO_MEMORY;
    pe_lay_out_cores(fresh);
    return WSK_OK;
}

/* Cores, then the fabric; the parameters last, when nothing can fail any more. */
static int read_into(wsk_bytes *b, pe_grid *fresh, wsk_fabric *fabric)
{
    int status = move_cores(b, fresh, NULL);
    wsk_bytes params = *b;
    uint64_t n = 0, skipped = (uint64_t)fresh->fabric_pes * (uint64_t)fresh->params * 4;
    if (status < 0)
        return status;
    if (!wsk_bytes_need(b, skipped <= b->n - b->at))
        return WSK_ERR_BAD_BYTES;
    b->at += skipped;
    WSK_MOVE(b, n);
    if (!wsk_bytes_need(b, n == b->n - b->at))
        return WSK_ERR_BAD_BYTES;
    status = wsk_fabric_load(fabric, b->from + b->at, n);
    if (!status)
        move_params(&params, fresh);
    return status;
}

int pe_load(pe_grid *g, wsk_fabric *fabric, const void *bytes, size_t n)
{
    wsk_bytes b = { .from = bytes, .n = n };
    pe_grid fresh;
    wsk_bytes_begin(&b, WSK_BYTES_SIMULATION);
    if (b.bad)
        return WSK_ERR_BAD_BYTES;
    int status = make_like(&fresh, g);
    if (!status && g->written && !pe_watch_written(&fresh))
        status = WSK_ERR_NO_MEMORY;
    if (!status)
        status = read_into(&b, &fresh, fabric);
    if (!status && g->span)             /* counted anew from here on */
        status = pe_profile(&fresh);
    if (status < 0) {
        pe_free_pools(&fresh);
        return status;
    }
    pe_free_pools(g);
    *g = fresh;
    return WSK_OK;
}
