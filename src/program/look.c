/* What hosts in C see of a simulation: words in and out, registers, counters, threads, and where it stands as a sentence. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/memory.h"
#include "common/wsekern_status.h"
#include "findings.h"
#include "pe_run.h"
#include "simulation.h"

/* ---- Words -------------------------------------------------------------------------------------------------------------- */

int wsk_simulation_send(wsk_simulation *s, uint32_t pe, int port, int color, const uint32_t *data, const uint8_t *flags,
                        int64_t n)
{
    if (!s || n < 0 || (n && !data))
        return WSK_ERR_BAD_ARGUMENT;
    pe_open_fabric(&s->grid, s->fabric);
    return wsk_fabric_inject(s->fabric, pe, port, color, data, flags, n);
}

/* A word that left the wafer, and where it is kept. */
typedef struct { wsk_received word; int64_t at; int strip; } kept;

static int compare(int64_t a, int64_t b) { return (a > b) - (a < b); }

static int by_cycle(const void *a, const void *b)
{
    const wsk_received *x = &((const kept *)a)->word, *y = &((const kept *)b)->word;
    int order = compare(x->cycle, y->cycle);
    order = order ? order : compare(x->pe, y->pe);
    order = order ? order : compare(x->port, y->port);
    return order ? order : compare(x->color, y->color);
}

/* Words of a color in all strips; writes them to `found` unless NULL. */
static int64_t collect(const pe_grid *g, int color, kept *found)
{
    int64_t n = 0;
    for (int i = 0; i < g->strips; i++)
        for (int64_t k = 0; k < g->strip[i].edge_count; k++) {
            const wsk_delivery *d = g->strip[i].edge + k;
            if (color >= 0 && d->color != color)
                continue;
            if (found)
                found[n] = (kept){ { .cycle = g->strip[i].edge_cycle[k], .pe = d->pe, .data = d->data, .port = d->port,
                                     .color = d->color, .flags = d->flags }, k, i };
            n++;
        }
    return n;
}

/* Close the gaps that words which were taken (cycle -1) have left. */
static void compact(pe_strip *s)
{
    int64_t n = 0;
    for (int64_t k = 0; k < s->edge_count; k++)
        if (s->edge_cycle[k] >= 0) {
            s->edge[n] = s->edge[k];
            s->edge_cycle[n++] = s->edge_cycle[k];
        }
    s->edge_count = n;
}

int64_t pe_receive(pe_grid *g, int color, wsk_received *list, int64_t room)
{
    int64_t n = collect(g, color, NULL);
    if (!list || !n || !room)
        return list ? 0 : n;
    kept *found = wsk_alloc((size_t)n * sizeof *found);
    if (!found)
        return WSK_ERR_NO_MEMORY;
    collect(g, color, found);
    qsort(found, (size_t)n, sizeof *found, by_cycle);
    n = pe_min(n, room);
    for (int64_t i = 0; i < n; i++) {
        list[i] = found[i].word;
        g->strip[found[i].strip].edge_cycle[found[i].at] = -1;
    }
    for (int i = 0; i < g->strips; i++)
        compact(g->strip + i);
    wsk_free(found);
    return n;
}

int64_t wsk_simulation_receive(wsk_simulation *s, int color, wsk_received *list, int64_t room)
{
    if (!s || color < -1 || color >= WSK_COLORS || room < 0)
        return WSK_ERR_BAD_ARGUMENT;
    return pe_receive(&s->grid, color, list, room);
}

/* ---- One PE ---------------------------------------------------------------------------------------------------------------- */

int wsk_simulation_registers(const wsk_simulation *s, uint32_t p, uint32_t *values, int room)
{
    const pe_core *pe = s ? pe_core_at(&s->grid, p) : NULL;
    if (!pe || room < 0 || (room && !values))
        return WSK_ERR_BAD_ARGUMENT;
    int n = s->grid.program[pe->program].code.registers;
    for (int k = 0; k < n && k < room; k++)
        values[k] = s->grid.registers[pe->registers + k];
    return n;
}

int wsk_simulation_counters(const wsk_simulation *s, uint32_t p, wsk_counters *c)
{
    const pe_core *pe = s ? pe_core_at(&s->grid, p) : NULL;
    if (!pe || !c || c->size < sizeof *c)
        return WSK_ERR_BAD_ARGUMENT;
    *c = (wsk_counters){ .size = c->size, .done = pe->done, .input = pe->stalled[0], .output = pe->stalled[1],
                         .fifo = pe->stalled[2], .microthread = pe->stalled[3], .instructions = pe->instructions,
                         .elements = pe->elements, .vector_cycles = pe->vector_cycles,
                         .conflict_cycles = pe->conflict_cycles, .words = pe->words, .tasks = pe->tasks };
    return WSK_OK;
}

/* A thread that a program uses as pe_doing_of shows it. */
static int thread_of(const pe_grid *g, const pe_core *pe, int k, wsk_thread *out)
{
    int32_t at = 0;
    int state = pe_doing_of(g, pe, k, &at);
    if (state < 0)
        return WSK_ERR_BAD_ARGUMENT;
    const pe_thread *th = g->thread + pe->threads + g->program[pe->program].thread_slot[k];
    *out = (wsk_thread){ .thread = k, .state = state, .instruction = at, .word = th->word, .queue = th->queue,
                         .cycle = th->resume };
    return WSK_OK;
}

int wsk_simulation_thread(const wsk_simulation *s, uint32_t p, int k, wsk_thread *out)
{
    const pe_core *pe = s ? pe_core_at(&s->grid, p) : NULL;
    return pe && out && k >= 0 && k < PE_THREADS ? thread_of(&s->grid, pe, k, out) : WSK_ERR_BAD_ARGUMENT;
}

/* ---- A sentence --------------------------------------------------------------------------------------------------------- */

typedef struct { char *text; size_t room, length; } sentence;

__attribute__((format(printf, 2, 3))) static void add(sentence *t, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int n = t->length < t->room ? vsnprintf(t->text + t->length, t->room - t->length, format, values)
                                : vsnprintf(NULL, 0, format, values);
    va_end(values);
    t->length += n > 0 ? (size_t)n : 0;
}

/* Where an instruction stands in the text of its program. */
static void add_code(sentence *t, const wsk_simulation *s, int program, int32_t instruction)
{
    const pe_names *names = s->program->names + program;
    if (instruction < 0 || instruction >= s->program->tables.program[program].count)
        return;
    const pe_line *line = names->line + instruction;
    add(t, ", program %s, task %s, line %d of its text (%s)", names->name, line->task, line->line, line->text);
}

static void add_wait(sentence *t, const pe_grid *g, const pe_core *pe, const wsk_thread *th)
{
    const pe_program *code = &g->program[pe->program].code;
    int queue = th->queue & (PE_QUEUES - 1);
    switch (th->state) {
    case WSK_THREAD_INPUT: add(t, ", for words of color %d", code->in_color[queue]); break;
    case WSK_THREAD_OUTPUT: add(t, ", for room to send on color %d", code->out_color[queue]); break;
    case WSK_THREAD_FIFO: add(t, ", for FIFO %d", th->queue); break;
    default: add(t, ", for microthread %d", th->queue); break;
    }
    add(t, " since cycle %lld", (long long)th->cycle);
    if (th->word > 0)
        add(t, ", after %d word%s", th->word, th->word == 1 ? "" : "s");
}

/* Threads that wait: how many, and the first in order of PEs. */
static void add_waits(sentence *t, const wsk_simulation *s)
{
    const pe_grid *g = &s->grid;
    const pe_core *first = NULL;
    wsk_thread th, waits = { 0 };
    int64_t n = 0;
    for (int32_t p = 0; p < g->pes; p++)
        for (int k = 0; k < PE_THREADS && g->pe[p].live; k++) {
            if (thread_of(g, g->pe + p, k, &th) < 0 || th.state < WSK_THREAD_INPUT || th.state > WSK_THREAD_MICROTHREAD)
                continue;
            if (n++ == 0) {
                first = g->pe + p;
                waits = th;
            }
        }
    if (!first) {
        add(t, "; no thread waits");
        return;
    }
    if (n > 1)
        add(t, "; %lld threads wait, the first of PE (%d, %d)", (long long)n, first->at % g->width, first->at / g->width);
    else
        add(t, "; one thread waits, that of PE (%d, %d)", first->at % g->width, first->at / g->width);
    add_code(t, s, first->program, waits.instruction);
    add_wait(t, g, first, &waits);
}

/* Where the cores met the last error, or else what the routers report. */
static void add_fault(sentence *t, const wsk_simulation *s)
{
    const pe_grid *g = &s->grid;
    for (int i = 0; i < g->strips; i++) {
        const pe_strip *strip = g->strip + i;
        if (strip->fault_pe < 0)
            continue;
        add(t, "PE (%d, %d)", strip->fault_pe % g->width, strip->fault_pe / g->width);
        if (strip->fault_color >= 0)
            add(t, ", color %d", strip->fault_color);
        const pe_core *pe = pe_core_at(g, strip->fault_pe);
        if (pe && strip->fault_pc >= 0)
            add_code(t, s, pe->program, strip->fault_pc - g->program[pe->program].code.first);
        add(t, ", cycle %lld", (long long)g->cycle);
        return;
    }
    size_t room = t->length < t->room ? t->room - t->length : 0;
    int n = wsk_report_text(wsk_fabric_report(s->fabric), g->width, room ? t->text + t->length : NULL, room);
    t->length += n > 0 ? (size_t)n : 0;
}

/* The array in which an address of a PE's memory lies. */
static const char *array_at(const wsk_simulation *s, int32_t p, int64_t address)
{
    wsk_array array = { 0 };
    for (int i = 0; wsk_program_array(s->program, (uint32_t)p, i, &array) == WSK_OK; i++)
        if (address >= array.address && address < array.address + array.bytes)
            return array.name;
    return "memory";
}

static void add_rule(sentence *t, const wsk_simulation *s, int rule, const pe_found *f)
{
    long long n = f->number;
    switch (rule) {
    case PE_UNREAD: add(t, "%lld word%s unread", n, n == 1 ? " lies" : "s lie"); break;
    case PE_REWRITTEN: add(t, "its route is replaced with %lld word%s on the way", n, n == 1 ? "" : "s"); break;
    case PE_SHARED_INPUT: add(t, "two threads read input queue %lld at once", n); break;
    case PE_SHARED_OUTPUT: add(t, "two threads send by output queue %lld at once", n); break;
    case PE_ODD: add(t, "%lld elements are handed on two to a word: on a WSE-3 an odd number never ends", n); break;
    case PE_HALF: add(t, "%lld elements of 16 bits go two to a word, and an even number at the other end of the color", n); break;
    case PE_PACKING: add(t, "elements of 16 bits are taken %lld to a word, and sent %lld to a word", n, 3 - n); break;
    default: add(t, "byte %lld (%s) is read, which nothing has written", n, array_at(s, f->at, n)); break;
    }
}

int wsk_simulation_findings(wsk_simulation *s, char *text, size_t room)
{
    sentence t = { text, room, 0 };
    pe_found f;
    if (!s || (room && !text))
        return WSK_ERR_BAD_ARGUMENT;
    if (room)
        *text = 0;
    for (int rule = 0; rule < PE_RULES; rule++) {
        if (!pe_find(&s->grid, s->fabric, rule, &f))
            continue;
        const pe_core *pe = pe_core_at(&s->grid, f.at);
        add(&t, "%sPE (%d, %d)", t.length ? "\n" : "", f.at % s->grid.width, f.at / s->grid.width);
        if (f.color >= 0)
            add(&t, ", color %d", f.color);
        if (pe && f.pc >= 0)
            add_code(&t, s, pe->program, f.pc - s->grid.program[pe->program].code.first);
        add(&t, ", cycle %lld: ", (long long)f.cycle);
        add_rule(&t, s, rule, &f);
        if (f.count > (rule == PE_UNREAD ? f.number : 1))
            add(&t, " (%lld in all)", (long long)f.count);
    }
    return (int)t.length;
}

int wsk_simulation_report(const wsk_simulation *s, char *text, size_t room)
{
    sentence t = { text, room, 0 };
    if (!s || (room && !text))
        return WSK_ERR_BAD_ARGUMENT;
    if (room)
        *text = 0;
    if (s->status < 0)
        add(&t, "%s: ", wsk_status_text(s->status));
    if (s->status < 0 && s->status != WSK_ERR_DEADLOCK) {
        add_fault(&t, s);
    } else {
        add(&t, "cycle %lld", (long long)s->grid.cycle);
        add_waits(&t, s);
    }
    return (int)t.length;
}
