/* Tasks and threads: which task begins, which thread issues, and what the issued instruction does. (Bodies of cores.c.) */
#ifndef WSEKERN_PE_TASKS_H
#define WSEKERN_PE_TASKS_H

#include "pe_scalar.h"

/* The microthread (its place among those of the PE) that is reading an input queue, so that its words start no task; 0: none. */
static int is_read(const pe_grid *g, const pe_core *pe, int queue)
{
    for (int k = 1; k < g->program[pe->program].thread_count; k++) {
        const pe_thread *th = g->thread + pe->threads + k;
        if (th->state == PE_IDLE)
            continue;
        const pe_instruction *i = g->code + th->pc;
        for (int which = 1; which < 4; which++) {
            int number = operand_number(i, which);
            if (number >= 0) {
                const pe_descriptor *d = descriptor_of(g, pe, number);
                if (d->kind == PE_FABIN && d->queue == queue)
                    return k;
            }
        }
    }
    return 0;
}

/* Instruction at which the task of a word begins, PE_NONE: it starts none. */
static int32_t entry_of_word(const pe_grid *g, const pe_core *pe, int queue, const pe_word *word)
{
    const pe_program *program = &g->program[pe->program].code;
    int32_t entry = PE_NONE;
    if (word->mark & WSK_CONTROL)
        entry = program->control_entry[word->bits >> 16 & 63];
    return entry == PE_NONE ? program->data_entry[queue] : entry;
}

/* Lowest of the queues `among` whose head word starts a task now, PE_NONE: none; `when`: the cycle of the next one. */
static int ready_queue(const pe_grid *g, const pe_core *pe, uint32_t among, int64_t *when)
{
    const pe_loaded *program = g->program + pe->program;
    for (among &= program->task_queues & ~(uint32_t)pe->blocked_queues; among; among &= among - 1) {
        int k = pe_ctz(among);
        const pe_queue *q = pe_input(g, pe, k);
        if (q->count == 0 || entry_of_word(g, pe, k, pe_queue_word(g, q, 0)) == PE_NONE || is_read(g, pe, k))
            continue;
        int64_t stamp = pe_stamp_of(g, pe_queue_word(g, q, 0));
        if (stamp <= g->cycle)
            return k;
        *when = pe_min(*when, stamp);
    }
    return PE_NONE;
}

static void begin_task(pe_grid *g, pe_core *pe, pe_thread *lead, int32_t entry, int64_t when)
{
    lead->pc = g->program[pe->program].code.first + entry;
    lead->word = lead->issued = PE_NONE;
    lead->state = PE_READY;
    lead->resume = when;
    pe->busy |= 1;
    pe->depth = 0;
    pe->tasks++;
    pe_turn(g, pe, pe->threads, lead->pc, PE_SPENT_WORKING, g->cycle);
}

/* A data task gets the word in register 0, a control task its low 16 bits. */
static void begin_word_task(pe_grid *g, wsk_fabric *fabric, pe_core *pe, pe_thread *lead, int k)
{
    pe_queue *q = pe_input(g, pe, k);
    pe_word word = *pe_queue_word(g, q, 0);
    int32_t entry = entry_of_word(g, pe, k, &word);
    int control = word.mark & WSK_CONTROL && entry != g->program[pe->program].code.data_entry[k];
    g->registers[pe->registers] = control ? word.bits & 0xffff : word.bits;
    pop_input(fabric, pe, q);
    pe_note_other(pe, PE_TAKEN, q->color);
    pe->words++;
    begin_task(g, pe, lead, entry, g->cycle + (control ? g->latency.task : g->latency.data_task));
}

/* Begin the next task: high priority first, then local tasks in turns, then words by queue. 0: there is none now. */
static int pick_task(pe_grid *g, wsk_fabric *fabric, pe_core *pe, pe_thread *lead, int64_t *when)
{
    const pe_program *program = &g->program[pe->program].code;
    uint32_t ready = pe->activated & ~pe->blocked;
    for (int turn = 0; turn < 2; turn++) {
        uint32_t chosen = turn == 0 ? ready & (uint32_t)program->high : ready;
        if (chosen) {
            int task = pe_next_task(pe, chosen);
            pe->activated &= ~((uint32_t)1 << task);
            if (program->local_entry[task] == PE_NONE)
                return WSK_ERR_BAD_INSTRUCTION;
            begin_task(g, pe, lead, program->local_entry[task], g->cycle + g->latency.task);
            return 1;
        }
        uint32_t queues = turn == 0 ? (uint32_t)program->high_queues : 0xff;
        int k = queues ? ready_queue(g, pe, queues, when) : PE_NONE;
        if (k != PE_NONE) {
            begin_word_task(g, fabric, pe, lead, k);
            return 1;
        }
    }
    return 0;
}

static int rank_of(const pe_grid *g, int k, const pe_thread *th)
{
    return k == 0 ? PE_MAIN_RANK : g->code[th->pc].priority;
}

/* The thread that issues now: best priority, in turns among equals; PE_NOBODY: none is ready. */
static int choose_thread(pe_grid *g, pe_core *pe)
{
    pe_thread *lead = g->thread + pe->threads;
    uint32_t ready = pe->busy & ~(uint32_t)pe->waits;
    int best = PE_NOBODY, best_rank = 99, nearest = 0;
    if (lead->state == PE_BULK && lead->resume <= g->cycle)
        lead->state = PE_READY;
    if (ready == 1)
        return lead->state == PE_READY && lead->resume <= g->cycle ? 0 : PE_NOBODY;
    for (; ready; ready &= ready - 1) {
        int k = pe_ctz(ready);
        pe_thread *th = g->thread + pe->threads + k;
        if (th->state != PE_READY || th->resume > g->cycle)
            continue;
        int rank = rank_of(g, k, th);
        if (rank > PE_MAIN_RANK && lead->state == PE_BULK) {
            th->resume = lead->resume;          /* a vector instruction of the main thread comes before low priority */
            continue;
        }
        int distance = k > pe->turn[rank] ? k - pe->turn[rank] : k - pe->turn[rank] + PE_THREADS;
        if (rank < best_rank || (rank == best_rank && distance < nearest)) {
            best = k;
            best_rank = rank;
            nearest = distance;
        }
    }
    return best;
}

/* Bind the queues of an instruction that does so. 1: done; 0: a microthread reads one, and the main thread waits for it. */
static int bind_sources(pe_grid *g, wsk_fabric *fabric, pe_core *pe, pe_thread *lead, const pe_instruction *i)
{
    for (int which = 1; which < 4; which++) {
        int number = operand_number(i, which);
        const pe_descriptor *d = number < 0 ? NULL : descriptor_of(g, pe, number);
        if (!d || d->kind != PE_FABIN || d->color < 0)
            continue;
        int reader = is_read(g, pe, d->queue);
        if (reader) {
            wait_for(g, pe, lead, PE_WAIT_THREAD, g->code[g->thread[pe->threads + reader].pc].thread);
            return 0;
        }
        pe_place counted;
        load_place(g, pe, descriptor_of(g, pe, operand_number(i, i->counted)), &counted);
        int64_t words = ((int64_t)pe_max(0, counted.extent) + i->packing - 1) / i->packing;
        int status = bind_queue(fabric, pe, pe_input(g, pe, d->queue), d->color, (int32_t)words);
        if (status < 0)
            return status;
    }
    return 1;
}

/* Whether words of the fabric go straight back to it. */
static int hands_on(const pe_grid *g, const pe_core *pe, const pe_instruction *i)
{
    int takes = 0;
    for (int which = 1; which < 4; which++)
        takes |= operand_number(i, which) >= 0 && descriptor_of(g, pe, operand_number(i, which))->kind == PE_FABIN;
    return takes && descriptor_of(g, pe, i->dst)->kind == PE_FABOUT;
}

/* An asynchronous instruction onto its microthread. 0: the main thread waits until that is free. */
static int launch(pe_grid *g, wsk_fabric *fabric, pe_core *pe, pe_thread *lead, const pe_instruction *i)
{
    pe_thread *th = g->thread + pe->threads + g->program[pe->program].thread_slot[i->thread];
    if (th->state != PE_IDLE) {
        wait_for(g, pe, lead, PE_WAIT_THREAD, i->thread);
        return 0;
    }
    int status = bind_sources(g, fabric, pe, lead, i);
    if (status <= 0)
        return status;
    status = begin(g, pe, th, i);
    if (status < 0)
        return status;
    th->pc = lead->pc;
    th->word = 0;
    lead->issued = lead->pc++;
    if (th->extent == 0) {
        end_vector(g, pe, th, i, 0);
    } else {
        note_queues(g, pe, th, i, th->pc);
        if (i->packing == 2 && th->extent & 1 && hands_on(g, pe, i))
            pe_note(g, pe, PE_ODD, g->cycle, pe_output(g, pe, descriptor_of(g, pe, i->dst)->queue)->color, th->pc, th->extent);
        th->state = PE_READY;
        th->resume = g->cycle + i->cycles;
        pe->busy |= (uint16_t)(1 << (th - lead));
        pe_turn(g, pe, th - g->thread, th->pc, PE_SPENT_WORKING, g->cycle);
    }
    lead->resume = g->cycle + g->latency.launch;
    return 1;
}

static void step_microthread(pe_grid *g, wsk_fabric *fabric, pe_strip *s, int32_t p, int k)
{
    pe_core *pe = g->pe + p;
    pe_thread *th = g->thread + pe->threads + k, *lead = g->thread + pe->threads;
    const pe_instruction *i = g->code + th->pc;
    int done = run_word(g, fabric, s, p, th, i);
    if (done == 0)
        return;
    pe->turn[i->priority] = (uint8_t)k;
    pe->slot_free = g->cycle + 1;
    if (lead->state == PE_BULK)
        lead->resume++;
    if (done == 1) {
        th->resume = g->cycle + i->step;
        pe->slot_free = th->resume;
        return;
    }
    th->state = PE_IDLE;
    pe->busy &= (uint16_t)~(1 << k);
    pe_turn(g, pe, pe->threads + k, PE_NONE, PE_SPENT_WORKING, g->cycle);
    if (lead->state == PE_WAIT_THREAD)
        wake_all(g, pe, PE_WAIT_THREAD, i->thread, g->cycle + 1);
}

/* Whether an instruction touches nothing but its own PE, and so may run ahead of the clock. */
static int runs_ahead(const pe_grid *g, const pe_core *pe, const pe_instruction *i)
{
    if (i->form < PE_SPEND || i->form > PE_LOAD_DESCRIPTOR)
        return 0;
    if (i->form == PE_VECTOR)
        return !i->stream && i->thread == PE_NONE;
    if (i->form == PE_TAKE || i->form == PE_GIVE)
        return is_memory(descriptor_of(g, pe, i->b)->kind);
    return 1;
}

/* An instruction that touches nothing but its own PE, all of it at once; moves on to the next one. Its cycles, or an error;
 * PE_ROUTER_ACCESS: it does touch more, and has not run. */
static int run_ahead(pe_grid *g, pe_core *pe, pe_thread *th, const pe_instruction *i, int64_t now, int64_t *cycles)
{
    int status;
    if (i->form == PE_VECTOR) {
        status = begin(g, pe, th, i);
        if (status < 0)
            return status;
        *cycles = run_in_memory(g, pe, th, i, now);
        th->pc++;
    } else {
        *cycles = 0;
        status = local_operation(g, pe, th, i, now, cycles);
        if (status != WSK_OK) {
            th->pc--;
            return status;
        }
    }
    pe_count(g, pe, i);
    return WSK_OK;
}

/* A synchronous instruction word by word. 1: it ended, and the next issues in the next cycle; 0: not yet. */
static int issue_stream(pe_grid *g, wsk_fabric *fabric, pe_strip *s, int32_t p, pe_thread *th, const pe_instruction *i)
{
    pe_core *pe = g->pe + p;
    if (th->word == PE_NONE) {
        int status = bind_sources(g, fabric, pe, th, i);
        if (status <= 0)
            return status;
        status = begin(g, pe, th, i);
        if (status < 0)
            return status;
        pe_count(g, pe, i);
        if (th->extent == 0) {
            end_vector(g, pe, th, i, 0);
            th->pc++;
            return 1;
        }
        note_queues(g, pe, th, i, th->pc);
        th->word = 0;
        if (i->cycles > 0) {
            th->resume = g->cycle + i->cycles;
            return 0;
        }
    }
    int done = run_word(g, fabric, s, p, th, i);
    if (done == 0)
        return 0;
    if (done == 1) {
        th->resume = g->cycle + i->step;
    } else {
        th->word = PE_NONE;
        th->pc++;
        th->resume = g->cycle + 1;
    }
    pe->slot_free = th->resume;
    return 0;
}

static void end_task(pe_grid *g, pe_core *pe, pe_thread *th)
{
    pe_turn(g, pe, pe->threads, PE_NONE, PE_SPENT_WORKING, g->cycle);
    th->state = PE_IDLE;
    pe->busy &= (uint16_t)~1;
}

/* A stream, or an instruction for a microthread. 1: the main thread goes on in this cycle; 0: it does not. */
static int issue_vector(pe_grid *g, wsk_fabric *fabric, pe_strip *s, int32_t p, pe_thread *th, const pe_instruction *i)
{
    pe_core *pe = g->pe + p;
    int status;
    if (i->thread == PE_NONE) {
        status = issue_stream(g, fabric, s, p, th, i);
    } else {
        status = launch(g, fabric, pe, th, i);
        if (status == 1)
            pe_count(g, pe, i);
    }
    if (status == 1 && th->resume > g->cycle) {
        pe->slot_free = g->cycle + 1;
        return 0;
    }
    return status;
}

/* A scalar instruction that takes or gives a word, or speaks to the router. Where there is no word or no room yet, the thread
 * stays at it. */
static int issue_word(pe_grid *g, wsk_fabric *fabric, pe_strip *s, int32_t p, pe_thread *th, const pe_instruction *i)
{
    pe_core *pe = g->pe + p;
    if (i->form == PE_TAKE || i->form == PE_GIVE) {
        int done = i->form == PE_TAKE ? take_word(g, fabric, pe, th, i) : give_word(g, s, p, th, i);
        if (done <= 0)
            return done;
    } else {
        int status = use_router(g, fabric, pe, th, i);
        if (status < 0)
            return status;
    }
    pe_count(g, pe, i);
    th->issued = th->pc++;
    th->resume = g->cycle + pe_max(1, i->cycles);
    pe->slot_free = g->cycle + 1;
    return WSK_OK;
}

/* Issue on the main thread. Where no microthread is at work, code that touches nothing but its PE runs ahead of the clock. */
static int step_main(pe_grid *g, wsk_fabric *fabric, pe_strip *s, int32_t p, int alone)
{
    pe_core *pe = g->pe + p;
    pe_thread *th = g->thread + pe->threads;
    int64_t now = g->cycle, cycles;
    int32_t last = PE_NONE;
    for (;;) {
        const pe_instruction *i = g->code + th->pc;
        if (runs_ahead(g, pe, i)) {
            int32_t ahead = th->pc;
            int status = run_ahead(g, pe, th, i, now, &cycles);
            if (status < 0)
                return status;
            if (status == WSK_OK) {
                last = ahead;
                pe_turn(g, pe, pe->threads, ahead, PE_SPENT_WORKING, now);
                now += pe_max(0, cycles);
                if (cycles > 0 && (!alone || now >= g->until)) {    /* other threads may issue before the next instruction */
                    th->resume = now;
                    th->issued = last;
                    if (i->form == PE_VECTOR && !alone)
                        th->state = PE_BULK;
                    pe->slot_free = g->cycle + 1;
                    return WSK_OK;
                }
                continue;
            }
        }
        if (now > g->cycle) {           /* an instruction that touches more than its PE waits for the clock */
            th->resume = now;
            th->issued = last;
            return WSK_OK;
        }
        if (i->form == PE_END) {
            end_task(g, pe, th);
            return WSK_OK;
        }
        pe_turn(g, pe, pe->threads, th->pc, PE_SPENT_WORKING, g->cycle);
        if (i->form != PE_VECTOR)
            return issue_word(g, fabric, s, p, th, i);
        alone = alone && i->thread == PE_NONE;
        int status = issue_vector(g, fabric, s, p, th, i);
        if (status <= 0)
            return status;
    }
}

/* After a core has acted: when it acts next, and whether it is at work at all. */
static void settle(pe_grid *g, pe_strip *s, int32_t p, int64_t when, int acted)
{
    pe_core *pe = g->pe + p;
    uint32_t ready = pe->busy & ~(uint32_t)pe->waits;
    int live = pe->busy != 0 || (pe->activated & ~pe->blocked) != 0;
    for (; ready; ready &= ready - 1)
        when = pe_min(when, g->thread[pe->threads + pe_ctz(ready)].resume);
    if (when != INT64_MAX)
        pe_schedule(g, s, p, pe_max(when, pe_max(pe->slot_free, g->cycle + 1)));
    if (live != pe->live) {
        s->live += live - pe->live;
        pe->live = (uint8_t)live;
    }
    if (acted && !live)
        pe->done = s->ended = g->cycle;
}

#endif
