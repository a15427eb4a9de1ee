/* Writing tapes, and computing the values of all lines by them. */
#include "tape.h"

#include <string.h>

#include "common/memory.h"
#include "common/team.h"
#include "common/wsekern_status.h"
#include "fabric/fabric_internal.h"
#include "pe_operands.h"

enum { FIRST_ROOM = 1024 };

/* ---- Whether it can be done ---------------------------------------------------------------------------------------------- */

/* Operands of an instruction in memory or of the fabric, whose words say nothing by their data. */
static int is_plain_vector(const pe_grid *g, const pe_program *code, const pe_instruction *i)
{
    if (i->imm >= 0 || i->times >= 0 || i->terminate)
        return 0;
    for (int which = 0; which < 4; which++) {
        if (operand_number(i, which) < 0)
            continue;
        const pe_descriptor *d = g->descriptor + code->descriptor + operand_number(i, which);
        if (d->kind == PE_REGISTER || d->kind == PE_FIFO || (d->kind == PE_FABOUT && (d->control || d->index)))
            return 0;
    }
    return 1;
}

/* Forms that neither read nor write a register. */
static int is_plain_form(int form)
{
    return form == PE_END || form == PE_SPEND || form == PE_JUMP || (form >= PE_ACTIVATE && form <= PE_UNBLOCK_QUEUE);
}

int pe_can_tape(const pe_grid *g, const wsk_fabric *fabric)
{
    for (int32_t p = 0; p < g->programs; p++) {
        const pe_program *code = &g->program[p].code;
        for (int q = 0; q < PE_QUEUES; q++)
            if (code->data_entry[q] != PE_NONE)
                return 0;
        for (int t = 0; t < PE_CONTROL_TASKS; t++)
            if (code->control_entry[t] != PE_NONE)
                return 0;
        for (int32_t k = 0; k < code->count; k++) {
            const pe_instruction *i = g->code + code->first + k;
            if (i->form == PE_VECTOR ? !is_plain_vector(g, code, i) : !is_plain_form(i->form))
                return 0;
        }
    }
    return !g->written && !fabric->plan->n_filters;
}

int pe_start_tape(pe_grid *g)
{
    int64_t threads = 0;
    for (int32_t p = 0; p < g->pes; p++)
        threads += g->program[g->pe[p].program].thread_count;
    pe_drop_tape(g);
    pe_tape *t = g->tape = wsk_alloc_zero(1, sizeof *t);
    if (!t)
        return 0;
    t->last = wsk_alloc((size_t)g->pes * sizeof *t->last);
    t->open = wsk_alloc((size_t)threads * sizeof *t->open);
    t->sent = wsk_alloc_zero((size_t)threads, sizeof *t->sent);
    if (!t->last || !t->open || !t->sent) {
        pe_drop_tape(g);
        return 0;
    }
    memset(t->last, 0xff, (size_t)g->pes * sizeof *t->last);            /* PE_NONE */
    memset(t->open, 0xff, (size_t)threads * sizeof *t->open);
    return 1;
}

void pe_drop_tape(pe_grid *g)
{
    pe_tape *t = g->tape;
    g->tape = NULL;
    if (!t)
        return;
    wsk_free(t->deed);
    wsk_free(t->maker);
    wsk_free(t->last);
    wsk_free(t->open);
    wsk_free(t->sent);
    wsk_free(t);
}

/* ---- Writing ------------------------------------------------------------------------------------------------------------- */

/* Room for n more of what is `size` bytes; the status says where there is none. */
static void *grow(pe_tape *t, void *old, int64_t held, int64_t more, int64_t *room, size_t size)
{
    if (t->status || held + more <= *room)
        return old;
    int64_t wanted = pe_max(FIRST_ROOM, 2 * (held + more));
    void *grown = wanted < INT32_MAX ? wsk_realloc(old, (size_t)wanted * size) : NULL;
    if (!grown) {
        t->status = WSK_ERR_NO_MEMORY;
        return old;
    }
    *room = wanted;
    return grown;
}

static int32_t new_deed(pe_grid *g, const pe_core *pe, const pe_thread *th, int32_t first, const int32_t *word)
{
    pe_tape *t = g->tape;
    int32_t p = (int32_t)(pe - g->pe);
    t->deed = grow(t, t->deed, t->deeds, 1, &t->deed_room, sizeof *t->deed);
    if (t->status)
        return PE_NONE;
    pe_deed *deed = t->deed + t->deeds;
    *deed = (pe_deed){ .pe = p, .instruction = th->pc, .first = first, .extent = th->extent, .before = t->last[p] };
    memcpy(deed->place, pe_places(g, th), sizeof deed->place);
    memcpy(deed->word, word, sizeof deed->word);
    for (int which = 0; which < 4; which++) {
        int number = operand_number(g->code + th->pc, which);
        if (number >= 0 && is_memory(descriptor_of(g, pe, number)->kind) && deed->place[which].base & 1)
            t->status = WSK_ERR_BAD_INSTRUCTION;        /* memory is held in halfwords */
    }
    t->last[p] = (int32_t)t->deeds;
    return (int32_t)t->deeds++;
}

void pe_tape_memory(pe_grid *g, const pe_core *pe, const pe_thread *th)
{
    const int32_t none[4] = { PE_NONE, PE_NONE, PE_NONE, PE_NONE };
    int32_t at = new_deed(g, pe, th, 0, none);
    if (at != PE_NONE)
        g->tape->deed[at].count = th->extent;
}

/* The bytes of a PE's memory that operand `which` of a deed may touch; 0: none. */
static int span_of(const pe_grid *g, const pe_deed *deed, int which, int64_t *low, int64_t *high)
{
    const pe_instruction *i = g->code + deed->instruction;
    if (operand_number(i, which) < 0)
        return 0;
    const pe_descriptor *d = descriptor_of(g, g->pe + deed->pe, operand_number(i, which));
    if (!is_memory(d->kind))
        return 0;
    touched(d, &deed->place[which], deed->extent, i->repeat, low, high);
    *low = deed->place[which].base + *low * pe_type_bytes(d->type);
    *high = deed->place[which].base + (*high + 1) * pe_type_bytes(d->type);
    return 1;
}

/* Whether the order of two deeds of one PE matters: one writes what the other touches. */
static int meet(const pe_grid *g, const pe_deed *one, const pe_deed *other)
{
    int64_t low, high, from, to;
    for (int a = 0; a < 4; a++)
        for (int b = a == 0 ? 0 : 4; span_of(g, one, a, &low, &high) && b < 4; b++)
            if (span_of(g, other, b, &from, &to) && low < to && from < high)
                return 1;
    return 0;
}

/* Whether the next word of a stream may be done with the deed that its instruction has: word[] are the numbers of those that it
 * takes, `done` words of the deed are done. */
static int goes_with(const pe_grid *g, const pe_core *pe, int32_t at, const int32_t *word, int32_t done)
{
    const pe_tape *t = g->tape;
    const pe_deed *deed = t->deed + at;
    for (int which = 1; which < 4; which++)
        if (word[which] != PE_NONE && (word[which] != deed->word[which] + done || t->maker[word[which]] >= at))
            return 0;
    for (int32_t later = t->last[pe - g->pe]; later > at; later = t->deed[later].before)
        if (meet(g, deed, t->deed + later) || meet(g, t->deed + later, deed))
            return 0;
    return 1;
}

/* The words of an instruction that begins to send get numbers that follow each other. */
static void open_stream(pe_grid *g, const pe_thread *th, const pe_instruction *i, int sends)
{
    pe_tape *t = g->tape;
    int64_t n = sends ? ((int64_t)th->extent + i->packing - 1) / i->packing : 0;
    t->open[th - g->thread] = PE_NONE;
    t->sent[th - g->thread] = (int32_t)t->words;
    t->maker = grow(t, t->maker, t->words, n, &t->word_room, sizeof *t->maker);
    if (t->status || !n)
        return;
    memset(t->maker + t->words, 0xff, (size_t)n * sizeof *t->maker);    /* PE_NONE */
    t->words += n;
}

uint32_t pe_tape_word(pe_grid *g, const pe_core *pe, const pe_thread *th, const pe_instruction *i, int64_t k, int32_t n)
{
    pe_tape *t = g->tape;
    int64_t thread = th - g->thread;
    int sends = descriptor_of(g, pe, i->dst)->kind == PE_FABOUT;
    int32_t word[4] = { PE_NONE, PE_NONE, PE_NONE, PE_NONE };
    if (th->word == 0)
        open_stream(g, th, i, sends);
    if (t->status)
        return 0;
    if (sends)
        word[0] = t->sent[thread] + th->word;
    for (int which = 1; which < 4; which++) {
        const pe_descriptor *d = operand_number(i, which) < 0 ? NULL : descriptor_of(g, pe, operand_number(i, which));
        if (d && d->kind == PE_FABIN)
            word[which] = (int32_t)pe_queue_word(g, pe_input(g, pe, d->queue), 0)->bits;
    }
    int32_t at = t->open[thread];
    if (at == PE_NONE || !goes_with(g, pe, at, word, th->word - t->deed[at].first / i->packing))
        at = t->open[thread] = new_deed(g, pe, th, (int32_t)k, word);
    if (at == PE_NONE)
        return 0;
    t->deed[at].count += n;
    if (sends)
        t->maker[word[0]] = at;
    return sends ? (uint32_t)word[0] : 0;
}

/* ---- Values of all lines ------------------------------------------------------------------------------------------------- */

typedef struct {
    const pe_replay *work;
    pe_do_deeds *run;
    int status[WSK_TEAM_MOST];
} pe_crew;

/* The memory of all PEs as it was at the start, the same on every line. */
static void spread_memory(const pe_replay *work, uint16_t *memory)
{
    for (int64_t k = 0; k < work->bytes / 2; k++) {
        uint16_t bits;
        memcpy(&bits, work->grid->memory + 2 * k, 2);
        for (int l = 0; l < PE_WIDE; l++)
            memory[k * PE_WIDE + l] = bits;
    }
}

static void lay_in(uint16_t *at, unsigned char *const *host, const pe_tile *tile)
{
    for (int32_t k = 0; k < tile->halves; k++)
        for (int l = 0; l < PE_WIDE; l++)
            memcpy(at + k * PE_WIDE + l, host[l] + tile->at_half[k], 2);
}

static void take_out(const uint16_t *at, unsigned char *const *host, const pe_tile *tile, int lines)
{
    for (int l = 0; l < lines; l++)
        for (int32_t k = 0; k < tile->halves; k++)
            memcpy(host[l] + tile->at_half[k], at + k * PE_WIDE + l, 2);
}

/* Tiles of the PEs of `n` lines from `first` on, into their memory or out of it. */
static void move_tile(const pe_replay *work, const pe_tile *tile, int64_t first, int n, uint16_t *memory)
{
    unsigned char *host[PE_WIDE];
    for (int32_t p = 0; p < work->grid->pes; p++) {
        if (tile->address[p] == PE_NONE)
            continue;
        uint16_t *at = memory + (work->grid->pe[p].memory + tile->address[p]) / 2 * PE_WIDE;
        for (int l = 0; l < PE_WIDE; l++)               /* where there are fewer lines, the last one again */
            host[l] = tile->host + p * tile->by_pe + tile->at_line[first + (l < n ? l : n - 1)];
        if (tile->result)
            take_out(at, host, tile, n);
        else
            lay_in(at, host, tile);
    }
}

static void run_lines(wsk_team *team, int rank, void *context)
{
    pe_crew *crew = context;
    const pe_replay *work = crew->work;
    int64_t blocks = (work->lines + PE_WIDE - 1) / PE_WIDE;
    size_t held = (size_t)work->bytes / 2 * PE_WIDE, words = (size_t)work->grid->tape->words * 2 * PE_WIDE;
    uint16_t *memory = wsk_alloc(held * sizeof *memory), *word = wsk_alloc_zero(words, sizeof *word);
    crew->status[rank] = memory && word ? WSK_OK : WSK_ERR_NO_MEMORY;
    const int64_t end = wsk_team_share(team, rank + 1, blocks);
    for (int64_t b = wsk_team_share(team, rank, blocks); !crew->status[rank] && b < end; b++) {
        int n = (int)pe_min(PE_WIDE, work->lines - b * PE_WIDE);
        spread_memory(work, memory);
        for (int64_t k = 0; k < work->tiles; k++)
            if (!work->tile[k].result)
                move_tile(work, work->tile + k, b * PE_WIDE, n, memory);
        crew->run(work->grid, memory, word);
        for (int64_t k = 0; k < work->tiles; k++)
            if (work->tile[k].result)
                move_tile(work, work->tile + k, b * PE_WIDE, n, memory);
    }
    wsk_free(memory);
    wsk_free(word);
}

int pe_run_tape(const pe_replay *work, int threads, int simd_level)
{
    pe_crew crew = { .work = work, .run = pe_do_deeds_base };
#ifdef WSK_HAVE_X86
    crew.run = simd_level >= 2 ? pe_do_deeds_avx512 : simd_level == 1 ? pe_do_deeds_avx2 : pe_do_deeds_base;
#endif
    (void)simd_level;
    if (!work->grid->tape || work->grid->tape->status)
        return work->grid->tape ? work->grid->tape->status : WSK_ERR_BAD_ARGUMENT;
    int members = wsk_team_run((int)pe_min(pe_max(threads, 1), pe_max(1, work->lines / PE_WIDE)), run_lines, &crew);
    for (int k = 0; k < members; k++)
        if (crew.status[k] < 0)
            return crew.status[k];
    return WSK_OK;
}
