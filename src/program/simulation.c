/* Simulations for hosts in C: made, run, saved, and the words and bytes that go in and out of them. */
#include "simulation.h"

#include <string.h>

#include "common/memory.h"
#include "common/wsekern_status.h"
#include "fabric/fabric_internal.h"
#include "findings.h"
#include "pe_run.h"
#include "save.h"

/* ---- Making ------------------------------------------------------------------------------------------------------------- */

static int make(wsk_simulation *s, const wsk_program *program)
{
    const pe_tables *t = &program->tables;
    uint8_t sinks[WSK_COLORS];
    memset(sinks, WSK_SINK_CORE, sizeof sinks);
    size_t params = (size_t)t->width * (size_t)t->height * (size_t)t->params;
    s->program = program;
    s->grid = (pe_grid){ .width = t->width, .fabric_pes = t->width * t->height, .latency = t->latency, .code = t->code,
                         .descriptor = t->descriptor, .route = t->route, .program = program->loaded,
                         .programs = t->programs, .codes = t->codes, .descriptors = t->descriptors, .routes = t->routes,
                         .params = t->params };
    s->grid.param = wsk_alloc_zero(params + 1, sizeof *s->grid.param);
    if (!s->grid.param || !pe_make_pools(&s->grid, t->program_of))
        return WSK_ERR_NO_MEMORY;
    pe_reset_cores(&s->grid);
    int status = wsk_fabric_create(&s->fabric, program->plan, sinks, WSK_SIMD_AUTO);
    if (status < 0)
        return status;
    pe_give_credits(&s->grid, s->fabric);
    return wsk_simulation_fill(s);
}

int wsk_simulation_create(wsk_simulation **simulation, const wsk_program *program)
{
    if (!simulation)
        return WSK_ERR_BAD_ARGUMENT;
    *simulation = NULL;
    if (!program)
        return WSK_ERR_BAD_ARGUMENT;
    wsk_simulation *s = wsk_alloc_zero(1, sizeof *s);
    int status = s ? make(s, program) : WSK_ERR_NO_MEMORY;
    if (status < 0)
        wsk_simulation_free(s);
    else
        *simulation = s;
    return status;
}

void wsk_simulation_free(wsk_simulation *s)
{
    if (!s)
        return;
    pe_free_pools(&s->grid);
    wsk_free(s->grid.param);
    wsk_fabric_free(s->fabric);
    wsk_free(s);
}

int wsk_simulation_reset(wsk_simulation *s)
{
    if (!s)
        return WSK_ERR_BAD_ARGUMENT;
    int status = wsk_fabric_reset(s->fabric);
    if (status < 0)
        return status;
    pe_reset_cores(&s->grid);
    pe_give_credits(&s->grid, s->fabric);
    s->status = WSK_OK;
    return WSK_OK;
}

static void fill(pe_grid *g, unsigned char *at, const pe_initial *initial)
{
    memcpy(at, initial->data, (size_t)initial->bytes);
    pe_mark(g, at, initial->bytes);
}

int wsk_simulation_fill(wsk_simulation *s)
{
    if (!s)
        return WSK_ERR_BAD_ARGUMENT;
    const pe_tables *t = &s->program->tables;
    memcpy(s->grid.param, t->param, (size_t)s->grid.fabric_pes * (size_t)t->params * sizeof *t->param);
    for (int32_t p = 0; p < s->grid.pes; p++) {
        const pe_core *pe = s->grid.pe + p;
        const pe_names *names = s->program->names + pe->program;
        for (int32_t i = 0; i < names->initials; i++)
            fill(&s->grid, s->grid.memory + pe->memory + names->initial[i].address, names->initial + i);
    }
    return WSK_OK;
}

const wsk_fabric *wsk_simulation_fabric(const wsk_simulation *s) { return s ? s->fabric : NULL; }

int wsk_simulation_save(wsk_simulation *s, void *bytes, size_t room, size_t *needed)
{
    return s && needed ? pe_save(&s->grid, s->fabric, bytes, room, needed) : WSK_ERR_BAD_ARGUMENT;
}

int wsk_simulation_load(wsk_simulation *s, const void *bytes, size_t n)
{
    if (!s || !bytes)
        return WSK_ERR_BAD_ARGUMENT;
    int status = pe_load(&s->grid, s->fabric, bytes, n);
    s->status = status < 0 ? s->status : WSK_OK;
    return status;
}

/* ---- Running ------------------------------------------------------------------------------------------------------------ */

static const pe_named *function_of(const pe_names *names, const char *name)
{
    return names ? pe_find_named(names->function, names->functions, name) : NULL;
}

int wsk_simulation_launch(wsk_simulation *s, uint32_t pe, const char *function)
{
    const pe_named *found = s ? function_of(pe_names_of(s->program, pe), function) : NULL;
    return found ? pe_launch(&s->grid, pe, found->number) : WSK_ERR_BAD_ARGUMENT;
}

int wsk_simulation_launch_all(wsk_simulation *s, const char *function)
{
    int status = WSK_ERR_BAD_ARGUMENT;          /* unless a program has it */
    for (int32_t p = 0; s && p < s->grid.pes; p++) {
        const pe_core *pe = s->grid.pe + p;
        const pe_named *found = function_of(s->program->names + pe->program, function);
        if (found)
            status = pe_launch(&s->grid, pe->at, found->number);
        if (found && status < 0)
            break;
    }
    return status;
}

/* A step of one strip. */
static int run_strip(void *context, int64_t strip, int step)
{
    const pe_run *run = context;
    int i = (int)strip;
    if (step == PE_PHASE_DEPART)
        return wsk_depart_strips(run->fabric, i, i + 1);
    if (step == PE_PHASE_ARRIVE)
        return wsk_arrive_strips(run->fabric, i, i + 1);
    int status = run->grid->quiet ? WSK_OK : wsk_feed_strips(run->fabric, i, i + 1);
    return status ? status : pe_step_cores(run->grid, run->fabric, i);
}

/* What each member of the team does until the run stops: strips, step by step. */
static void work(wsk_team *team, int rank, void *context) { wsk_team_do(team, rank, run_strip, context); }

/* `stop` as in wsk_run; what ended the run, or a status. */
static int run_to(wsk_simulation *s, int64_t until, uint32_t stop, int64_t patience, int threads, uint32_t *why)
{
    pe_run run = { .grid = &s->grid, .fabric = s->fabric, .deadline = until, .patience = patience, .stop = stop };
    if (s->status < 0 && s->status != WSK_ERR_DEADLOCK)
        return s->status;
    s->status = WSK_OK;
    pe_open_run(&run);
    if (run.state == PE_RUNNING)
        pe_run_rounds(&run, threads, work);
    if (run.state < 0)
        s->status = run.state;
    else if (run.why & WSK_STOP_DEADLOCK)
        s->status = WSK_ERR_DEADLOCK;
    if (why)
        *why = run.why;
    return run.state < 0 ? run.state : WSK_OK;
}

int wsk_simulation_step(wsk_simulation *s)
{
    if (!s || s->grid.cycle >= WSK_LAST_CYCLE)
        return WSK_ERR_BAD_ARGUMENT;
    return run_to(s, s->grid.cycle + 1, 0, PE_PATIENCE, 1, NULL);
}

int wsk_simulation_run(wsk_simulation *s, const wsk_run *options, uint32_t *why)
{
    const uint32_t all = WSK_STOP_TIME | WSK_STOP_DELIVERY | WSK_STOP_IDLE | WSK_STOP_HOST | WSK_STOP_DEADLOCK;
    if (!s || !options || options->size < sizeof *options || options->stop & ~all || options->until < s->grid.cycle
        || options->until > WSK_LAST_CYCLE || options->patience < 0 || options->threads < 0
        || options->threads > WSK_TEAM_MOST)
        return WSK_ERR_BAD_ARGUMENT;
    return run_to(s, options->until, options->stop & ~(uint32_t)WSK_STOP_TIME,
                  options->patience ? options->patience : PE_PATIENCE, options->threads, why);
}

int64_t wsk_simulation_cycle(const wsk_simulation *s) { return s ? s->grid.cycle : WSK_ERR_BAD_ARGUMENT; }

int64_t wsk_simulation_ended(const wsk_simulation *s)
{
    int64_t ended = s ? 0 : WSK_ERR_BAD_ARGUMENT;
    for (int i = 0; s && i < s->grid.strips; i++)
        ended = pe_max(ended, s->grid.strip[i].ended);
    return ended;
}

int64_t wsk_simulation_next_event(const wsk_simulation *s)
{
    return s ? pe_next_event(&s->grid, s->fabric) : WSK_ERR_BAD_ARGUMENT;
}

/* ---- Memory ------------------------------------------------------------------------------------------------------------- */

static unsigned char *bytes_at(const wsk_simulation *s, uint32_t pe, int64_t address, size_t n)
{
    return n > INT32_MAX ? NULL : pe_bytes_at(&s->grid, pe, address, (int64_t)n);
}

int wsk_simulation_read(const wsk_simulation *s, uint32_t pe, int64_t address, void *bytes, size_t n)
{
    if (!s || (n && !bytes))
        return WSK_ERR_BAD_ARGUMENT;
    const unsigned char *from = bytes_at(s, pe, address, n);
    if (from && n)
        memcpy(bytes, from, n);
    return from ? WSK_OK : WSK_ERR_MEMORY_RANGE;
}

int wsk_simulation_write(wsk_simulation *s, uint32_t pe, int64_t address, const void *bytes, size_t n)
{
    if (!s || (n && !bytes))
        return WSK_ERR_BAD_ARGUMENT;
    unsigned char *to = bytes_at(s, pe, address, n);
    if (to && n)
        memcpy(to, bytes, n);
    if (to)
        pe_mark(&s->grid, to, (int64_t)n);
    return to ? WSK_OK : WSK_ERR_MEMORY_RANGE;
}

int wsk_simulation_watch_memory(wsk_simulation *s)
{
    int first = s && !s->grid.written;
    if (!s)
        return WSK_ERR_BAD_ARGUMENT;
    if (!pe_watch(&s->grid))
        return WSK_ERR_NO_MEMORY;
    for (int32_t p = 0; first && p < s->grid.pes; p++) {
        const pe_core *pe = s->grid.pe + p;
        const pe_names *names = s->program->names + pe->program;
        for (int32_t i = 0; i < names->initials; i++)
            pe_mark(&s->grid, s->grid.memory + pe->memory + names->initial[i].address, names->initial[i].bytes);
    }
    return WSK_OK;
}

/* Where the first n bytes of an array lie; negative: a status. */
static int64_t address_of(const wsk_simulation *s, uint32_t pe, const char *name, size_t n)
{
    wsk_array array;
    int status = s ? wsk_program_find(s->program, pe, name, &array) : WSK_ERR_BAD_ARGUMENT;
    if (status < 0)
        return status;
    return n <= (size_t)array.bytes ? array.address : WSK_ERR_MEMORY_RANGE;
}

int wsk_simulation_read_array(const wsk_simulation *s, uint32_t pe, const char *name, void *bytes, size_t n)
{
    int64_t address = address_of(s, pe, name, n);
    return address < 0 ? (int)address : wsk_simulation_read(s, pe, address, bytes, n);
}

int wsk_simulation_write_array(wsk_simulation *s, uint32_t pe, const char *name, const void *bytes, size_t n)
{
    int64_t address = address_of(s, pe, name, n);
    return address < 0 ? (int)address : wsk_simulation_write(s, pe, address, bytes, n);
}

int wsk_simulation_set_parameter(wsk_simulation *s, uint32_t pe, const char *name, int32_t value)
{
    const pe_names *names = s ? pe_names_of(s->program, pe) : NULL;
    const pe_named *found = names ? pe_find_named(names->parameter, names->parameters, name) : NULL;
    if (!found)
        return WSK_ERR_BAD_ARGUMENT;
    s->grid.param[(int64_t)pe * s->grid.params + found->number] = value;
    return WSK_OK;
}
