/* What a program did that is hardly meant: the notes of all strips, and words that nobody has taken. */
#include "findings.h"

#include <string.h>

#include "common/memory.h"
#include "fabric/fabric_internal.h"

/* ---- Memory ------------------------------------------------------------------------------------------------------------- */

static int64_t memory_bytes(const pe_grid *g)
{
    const pe_core *last = g->pes ? g->pe + g->pes - 1 : NULL;
    return last ? last->memory + g->program[last->program].code.memory + 8 : 8;
}

int pe_watch(pe_grid *g)
{
    if (!g->written)
        g->written = wsk_alloc_zero((size_t)memory_bytes(g), 1);
    return g->written != NULL;
}

int pe_watch_written(pe_grid *g)
{
    if (!pe_watch(g))
        return 0;
    memset(g->written, 1, (size_t)memory_bytes(g));
    return 1;
}

void pe_mark(pe_grid *g, const unsigned char *at, int64_t n)
{
    if (g->written && n > 0)
        memset(g->written + (at - g->memory), 1, (size_t)n);
}

/* ---- Words that nobody has taken ---------------------------------------------------------------------------------------- */

static int reads_queue(const pe_grid *g, const pe_program *code, const pe_instruction *i, int queue)
{
    const int32_t sources[3] = { i->a, i->b, i->c };
    for (int which = 0; which < 3; which++) {
        int32_t number = i->form == PE_VECTOR ? sources[which] : i->form == PE_TAKE && which == 1 ? i->b : PE_NONE;
        if (number < 0)
            continue;
        const pe_descriptor *d = g->descriptor + code->descriptor + number;
        if (d->kind == PE_FABIN && d->queue == queue)
            return 1;
    }
    return 0;
}

/* The first instruction of a program that takes words of a queue: of its data task, or one that reads it. */
static int32_t reader_of(const pe_grid *g, const pe_program *code, int queue)
{
    if (code->data_entry[queue] >= 0)
        return code->first + code->data_entry[queue];
    for (int32_t k = code->first; k < code->first + code->count; k++)
        if (reads_queue(g, code, g->code + k, queue))
            return k;
    return PE_NONE;
}

static void add_queues(const pe_grid *g, const pe_core *pe, pe_found *found)
{
    const pe_loaded *program = g->program + pe->program;
    for (int k = 0; k < PE_QUEUES; k++) {
        const pe_queue *q = program->in_slot[k] < 0 ? NULL : pe_input(g, pe, k);
        if (!q || !q->count)
            continue;
        if (!found->count)
            *found = (pe_found){ .cycle = g->cycle, .number = q->count, .at = pe->at, .color = q->color,
                                 .pc = reader_of(g, &program->code, k) };
        found->count += q->count;
    }
}

/* Where words stand that are in no queue of a core: at the end of the chain of those that wait. */
static void add_routers(const pe_grid *g, wsk_fabric *fabric, pe_found *found)
{
    int64_t words = wsk_fabric_in_flight(fabric) + wsk_fabric_waiting_outside(fabric);
    if (words > 0 && !found->count && wsk_fabric_report(fabric)->status >= 0) {
        wsk_fabric_explain(fabric);
        const wsk_report *report = wsk_fabric_report(fabric);
        int n = report->chain_length < WSK_CHAIN ? report->chain_length : WSK_CHAIN;
        *found = (pe_found){ .cycle = g->cycle, .number = words, .at = (int32_t)(n ? report->chain[n - 1].pe : report->pe),
                             .color = n ? report->chain[n - 1].color : report->color, .pc = PE_NONE };
        wsk_forget_reports(fabric);
    }
    found->count += words;
}

int pe_find(const pe_grid *g, wsk_fabric *fabric, int rule, pe_found *found)
{
    *found = (pe_found){ .count = 0 };
    if (rule == PE_UNREAD) {
        for (int32_t p = 0; p < g->pes; p++)
            add_queues(g, g->pe + p, found);
        if (!g->quiet)
            add_routers(g, fabric, found);
        return found->count > 0;
    }
    for (int i = 0; i < g->strips; i++) {
        const pe_found *here = g->strip[i].found + rule;
        int64_t count = found->count + here->count;
        if (here->count && (!found->count || here->cycle < found->cycle || (here->cycle == found->cycle
                                                                             && here->at < found->at)))
            *found = *here;
        found->count = count;
    }
    return found->count > 0;
}
