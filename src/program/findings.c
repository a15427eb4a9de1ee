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

/* ---- Sender and receiver that fill words differently -------------------------------------------------------------------- */

/* A note joins those of other strips: the first of all, and how many. */
static void join(pe_found *found, const pe_found *here)
{
    int64_t count = found->count + here->count;
    if (here->count && (!found->count || here->cycle < found->cycle || (here->cycle == found->cycle && here->at < found->at)))
        *found = *here;
    found->count = count;
}

static uint32_t others(const pe_grid *g, int end)
{
    uint32_t mask = 0;
    for (int32_t p = 0; p < g->pes; p++)
        mask |= g->pe[p].others[end];
    return mask;
}

/* Colors of words that came in from outside. */
static uint32_t colors_of_host(const wsk_fabric *f)
{
    uint32_t mask = 0;
    for (int i = 0; i < f->strips; i++)
        for (int k = 0; k < f->strip[i].n_sources; k++)
            for (int c = 0; c < f->n_colors; c++)
                if (f->strip[i].sources[k]->of[c].room)
                    mask |= (uint32_t)1 << f->plan->color_of[c];
    return mask;
}

/* Of a color, the instructions that break HALF or PACKING. other: whether words of it were sent, taken in another way. */
static void add_filling(int rule, pe_found filled[PE_ENDS][PE_FILLINGS], const int other[PE_ENDS], pe_found *found)
{
    const pe_found *sent = filled[PE_SENT], *taken = filled[PE_TAKEN];
    if (rule == PE_HALF) {
        if (sent[PE_ODD_PAIRS].count && taken[PE_PAIRS].count && !taken[PE_ODD_PAIRS].count && !other[PE_TAKEN])
            join(found, sent + PE_ODD_PAIRS);
        if (taken[PE_ODD_PAIRS].count && sent[PE_PAIRS].count && !sent[PE_ODD_PAIRS].count && !other[PE_SENT])
            join(found, taken + PE_ODD_PAIRS);
        return;
    }
    pe_found pairs[PE_ENDS] = { sent[PE_PAIRS], taken[PE_PAIRS] };
    for (int end = 0; end < PE_ENDS; end++)
        join(pairs + end, filled[end] + PE_ODD_PAIRS);
    pairs[PE_TAKEN].number = 2;
    pe_found alone = taken[PE_ALONE];
    alone.number = 1;
    if (other[PE_SENT] || other[PE_TAKEN])
        return;
    if (alone.count && !pairs[PE_TAKEN].count && pairs[PE_SENT].count && !sent[PE_ALONE].count)
        join(found, &alone);
    if (pairs[PE_TAKEN].count && !alone.count && sent[PE_ALONE].count && !pairs[PE_SENT].count)
        join(found, pairs + PE_TAKEN);
}

static void add_fillings(const pe_grid *g, const wsk_fabric *fabric, int rule, pe_found *found)
{
    if (fabric->plan->has_swap)         /* words are sent on one color and taken on another */
        return;
    uint32_t sent = others(g, PE_SENT) | colors_of_host(fabric), taken = others(g, PE_TAKEN);
    for (int color = 0; color < PE_COLORS; color++) {
        pe_found filled[PE_ENDS][PE_FILLINGS] = { 0 };
        for (int i = 0; i < g->strips; i++)
            for (int k = 0; k < PE_ENDS * PE_FILLINGS; k++)
                join(&filled[k / PE_FILLINGS][k % PE_FILLINGS],
                     &g->strip[i].filled[k / PE_FILLINGS][color][k % PE_FILLINGS]);
        add_filling(rule, filled, (int[]){ sent >> color & 1, taken >> color & 1 }, found);
    }
}

int pe_find(const pe_grid *g, wsk_fabric *fabric, int rule, pe_found *found)
{
    *found = (pe_found){ .count = 0 };
    if (rule == PE_HALF || rule == PE_PACKING) {
        add_fillings(g, fabric, rule, found);
        return found->count > 0;
    }
    if (rule == PE_UNREAD) {
        for (int32_t p = 0; p < g->pes; p++)
            add_queues(g, g->pe + p, found);
        if (!g->quiet)
            add_routers(g, fabric, found);
        return found->count > 0;
    }
    for (int i = 0; i < g->strips; i++)
        join(found, g->strip[i].found + rule);
    return found->count > 0;
}
