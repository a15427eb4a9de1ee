/* Making, resetting and freeing cores. */
#include <string.h>

#include "common/memory.h"
#include "fabric/fabric_internal.h"
#include "profile.h"
#include "tape.h"

/* Places of the queues and threads that a program uses, and the color that each input queue serves. */
static void lay_out(pe_loaded *program)
{
    const pe_program *code = &program->code;
    int n = 1;
    int controls = 0;
    for (int t = 0; t < PE_CONTROL_TASKS; t++)
        controls |= code->control_entry[t] != PE_NONE;
    for (int c = 0; c < PE_COLORS; c++)
        program->color_queue[c] = PE_NONE;
    for (int q = 0; q < PE_QUEUES; q++) {
        program->in_slot[q] = PE_NONE;
        if (code->in_color[q] >= 0) {
            program->in_slot[q] = program->queues++;
            program->color_queue[code->in_color[q]] = q;
            program->words += code->in_depth[q];
            program->task_queues |= controls || code->data_entry[q] != PE_NONE ? (uint32_t)1 << q : 0;
        }
    }
    program->inputs = program->queues;
    for (int q = 0; q < PE_QUEUES; q++) {
        program->out_slot[q] = PE_NONE;
        if (code->out_color[q] >= 0) {
            program->out_slot[q] = program->queues++;
            program->words += code->out_depth[q];
        }
    }
    for (int k = 0; k < PE_MAIN; k++)
        program->thread_slot[k] = code->threads >> k & 1 ? n++ : PE_NONE;
    program->thread_slot[PE_MAIN] = 0;
    program->thread_count = n;
}

pe_loaded *pe_make_programs(const pe_program *programs, int64_t count)
{
    pe_loaded *made = wsk_alloc_zero((size_t)pe_max(1, count), sizeof *made);
    for (int64_t p = 0; made && p < count; p++) {
        made[p].code = programs[p];
        lay_out(made + p);
    }
    return made;
}

/* How much of each pool is taken. */
typedef struct { int64_t memory, queues, words, threads, own, fifos, registers; } pools;

static void take(pools *used, pe_core *pe, const pe_loaded *program)
{
    pe->memory = used->memory;
    pe->queues = (int32_t)used->queues;
    pe->threads = (int32_t)used->threads;
    pe->own = (int32_t)used->own;
    pe->fifos = (int32_t)used->fifos;
    pe->registers = (int32_t)used->registers;
    used->memory += (program->code.memory + 7) & ~7;
    used->queues += program->queues;
    used->words += program->words;
    used->threads += program->thread_count;
    used->own += program->code.own;
    used->fifos += program->code.fifos;
    used->registers += program->code.registers;
}

static int make_strips(pe_grid *g)
{
    g->strips = (g->fabric_pes / (int32_t)pe_max(1, g->width) + STRIP_ROWS - 1) / STRIP_ROWS;
    g->strip = wsk_alloc_zero((size_t)g->strips + 1, sizeof *g->strip);
    for (int i = 0; g->strip && i < g->strips; i++) {
        g->strip[i].core_slot = wsk_alloc_zero(PE_WHEEL, sizeof(int32_t));
        g->strip[i].ramp_slot = wsk_alloc_zero(PE_WHEEL, sizeof(int32_t));
        if (!g->strip[i].core_slot || !g->strip[i].ramp_slot)
            return 0;
    }
    return g->strip != NULL;
}

/* Room for n things at the next cache line: where it begins. Before there is memory it is only counted. */
static void *section(unsigned char *memory, size_t *at, int64_t n, size_t size)
{
    size_t begins = (*at + PE_LINE - 1) / PE_LINE * PE_LINE;
    *at = begins + ((size_t)n + 1) * size;
    return memory ? memory + begins : NULL;
}

/* Where each pool is in `memory`; bytes of all of them. */
static size_t divide(pe_grid *g, unsigned char *memory, const pools *used, int64_t n)
{
    size_t at = 0;
    g->pe = section(memory, &at, n, sizeof *g->pe);
    g->thread = section(memory, &at, used->threads, sizeof *g->thread);
    g->place = section(memory, &at, used->threads, 4 * sizeof *g->place);
    g->queue = section(memory, &at, used->queues, sizeof *g->queue);
    g->word = section(memory, &at, used->words, sizeof *g->word);
    g->word_color = section(memory, &at, used->words, 1);
    g->memory = section(memory, &at, used->memory + 7, 1);
    g->own = section(memory, &at, used->own, sizeof *g->own);
    g->fifo = section(memory, &at, used->fifos, sizeof *g->fifo);
    g->registers = section(memory, &at, used->registers, sizeof *g->registers);
    g->core_next = section(memory, &at, n, sizeof *g->core_next);
    g->core_before = section(memory, &at, n, sizeof *g->core_before);
    g->ramp_next = section(memory, &at, n, sizeof *g->ramp_next);
    return at;
}

static int make_room(pe_grid *g, const pools *used, int64_t n)
{
    g->pools = wsk_alloc_pages(divide(g, NULL, used, n) + PE_LINE, 1);
    if (!g->pools)
        return 0;
    divide(g, (unsigned char *)(((uintptr_t)g->pools + PE_LINE - 1) / PE_LINE * PE_LINE), used, n);
    return 1;
}

/* Blocks of 64 PEs of a row, in all rows. */
static size_t blocks_of(const pe_grid *g)
{
    return (size_t)(g->fabric_pes / pe_max(1, g->width)) * (size_t)((g->width + 63) / 64);
}

/* One record per PE that has a program, and room for all that its program uses. */
int pe_make_pools(pe_grid *g, const int32_t *program_of)
{
    pools used = { 0 };
    g->slot_of = wsk_alloc_zero((size_t)g->fabric_pes + 1, sizeof *g->slot_of);
    g->awaiting = wsk_alloc_zero(blocks_of(g) * PE_COLORS, sizeof *g->awaiting);
    g->awaited = wsk_alloc_zero(blocks_of(g), sizeof *g->awaited);
    if (!g->slot_of || !g->awaiting || !g->awaited)
        return 0;
    g->pes = 0;
    for (int32_t p = 0; p < g->fabric_pes; p++) {
        pe_core counted;
        g->slot_of[p] = program_of[p] < 0 ? PE_NOBODY : g->pes++;
        if (program_of[p] >= 0)
            take(&used, &counted, g->program + program_of[p]);
    }
    if (!make_room(g, &used, g->pes) || !make_strips(g))
        return 0;
    used = (pools){ 0 };
    for (int32_t p = 0; p < g->fabric_pes; p++) {
        if (program_of[p] < 0)
            continue;
        pe_core *pe = g->pe + g->slot_of[p];
        pe->at = p;
        pe->program = program_of[p];
        pe->params = p * g->params;
        take(&used, pe, g->program + pe->program);
    }
    return 1;
}

void pe_free_pools(pe_grid *g)
{
    pe_drop_tape(g);
    for (int i = 0; g->strip && i < g->strips; i++) {
        wsk_free(g->strip[i].core_slot);
        wsk_free(g->strip[i].ramp_slot);
        wsk_free(g->strip[i].edge);
        wsk_free(g->strip[i].edge_cycle);
        wsk_free(g->strip[i].spent);
    }
    wsk_free(g->strip);
    wsk_free(g->pools);
    wsk_free(g->written);
    wsk_free(g->span);
    wsk_free(g->slot_of);
    wsk_free(g->awaiting);
    wsk_free(g->awaited);
}

static int32_t reset_queue(pe_queue *q, int32_t slot, int32_t color, int32_t depth, int late)
{
    *q = (pe_queue){ .slot = slot, .depth = (int16_t)depth, .color = (int16_t)color, .due = late ? 0 : PE_NONE };
    return slot + depth;
}

/* A core with its first tasks activated; returns where the words of the next one's queues begin. */
static int32_t reset_pe(pe_grid *g, pe_core *pe, int32_t slot)
{
    const pe_loaded *program = g->program + pe->program;
    const pe_program *code = &program->code;
    pe_core fresh = { .at = pe->at, .program = pe->program, .queues = pe->queues, .threads = pe->threads,
                      .memory = pe->memory, .registers = pe->registers, .own = pe->own, .fifos = pe->fifos,
                      .params = pe->params, .activated = (uint32_t)code->active, .blocked = (uint32_t)code->blocked,
                      .blocked_queues = (uint8_t)code->blocked_queues, .task = PE_TASKS - 1 };
    *pe = fresh;
    memset(g->thread + pe->threads, 0, (size_t)program->thread_count * sizeof *g->thread);
    memset(pe_places(g, g->thread + pe->threads), 0, (size_t)program->thread_count * 4 * sizeof *g->place);
    memset(g->registers + pe->registers, 0, (size_t)code->registers * sizeof *g->registers);
    memset(g->fifo + pe->fifos, 0, (size_t)code->fifos * sizeof *g->fifo);
    for (int q = 0; q < PE_QUEUES; q++)
        if (program->in_slot[q] >= 0)
            slot = reset_queue(pe_input(g, pe, q), slot, code->in_color[q], code->in_depth[q], code->late_queues >> q & 1);
    for (int q = 0; q < PE_QUEUES; q++)
        if (program->out_slot[q] >= 0)
            slot = reset_queue(pe_output(g, pe, q), slot, code->out_color[q], code->out_depth[q], 0);
    int32_t found = 0;
    for (const pe_descriptor *d = g->descriptor + code->descriptor; found < code->own; d++)
        if (d->own >= 0) {
            g->own[pe->own + d->own] = (pe_place){ d->base, d->extent, d->stride, 0 };
            found++;
        }
    return slot;
}

void pe_lay_out_cores(pe_grid *g)
{
    int32_t slot = 0;
    g->cycle = 0;
    g->quiet = 1;
    for (int i = 0; i < g->strips; i++) {
        pe_strip *s = g->strip + i;
        s->rows_awaited = 0;
        s->awaiting = 0;
        s->core_events = s->ramp_events = s->progress = s->live = s->ended = s->edge_count = 0;
        s->fault_pe = s->fault_color = s->fault_pc = PE_NOBODY;
        memset(s->found, 0, sizeof s->found);
        memset(s->filled, 0, sizeof s->filled);
        for (int k = 0; k < PE_WHEEL; k++)
            s->core_slot[k] = s->ramp_slot[k] = PE_NOBODY;
    }
    memset(g->awaiting, 0, blocks_of(g) * PE_COLORS * sizeof *g->awaiting);
    memset(g->awaited, 0, blocks_of(g) * sizeof *g->awaited);
    for (int32_t p = 0; p < g->pes; p++)
        slot = reset_pe(g, g->pe + p, slot);
}

void pe_reset_cores(pe_grid *g)
{
    pe_lay_out_cores(g);
    if (g->span)
        pe_profile(g);
    for (int32_t p = 0; p < g->pes; p++)
        if (g->pe[p].activated)
            pe_begin_first_task(g, p);
}

/* Tell the fabric how many words each input queue takes; those that instructions bind, none yet. */
void pe_give_credits(const pe_grid *g, wsk_fabric *fabric)
{
    for (int32_t p = 0; p < g->pes; p++) {
        const pe_loaded *program = g->program + g->pe[p].program;
        for (int q = 0; q < PE_QUEUES; q++)
            if (program->in_slot[q] >= 0 && !(program->code.late_queues >> q & 1))
                wsk_fabric_credit(fabric, (uint32_t)g->pe[p].at, program->code.in_color[q], program->code.in_depth[q]);
    }
}
