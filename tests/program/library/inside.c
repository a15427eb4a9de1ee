/* What the C library has for the Python package alone: tapes, and where cycles go by instruction. */
#include "common/wsekern_simd.h"
#include "programs.h"
#include "profile.h"
#include "simulation.h"
#include "tape.h"

/* ---- Tapes -------------------------------------------------------------------------------------------------------------- */

/* Bytes of the memory of one PE, and of all with the gaps between them. */
static int64_t memory_of(const pe_grid *g, int32_t p) { return g->program[g->pe[p].program].code.memory; }

static int64_t memory_of_all(const pe_grid *g)
{
    int64_t bytes = 0;
    for (int32_t p = 0; p < g->pes; p++)
        bytes += (memory_of(g, p) + 7) & ~7;
    return bytes;
}

/* Numbers of every type, none of them a NaN or near an end of its range. */
static bytes some_memory(const pe_grid *g)
{
    bytes made = { NULL, (size_t)memory_of_all(g) };
    made.at = malloc(made.n + 1);
    for (size_t k = 0; k + 1 < made.n; k += 2) {
        uint16_t half = (uint16_t)(0x3800 | draw(1 << 10) | draw(2) << 15);
        memcpy(made.at + k, &half, 2);
    }
    return made;
}

static void play_tape(const pe_grid *g, bytes first, bytes *lines, int n, int threads, int *status)
{
    pe_tile *tile = malloc(2 * (size_t)g->pes * sizeof *tile);
    int32_t *address = malloc((size_t)g->pes * (size_t)g->pes * sizeof *address);
    int64_t *at_half = malloc(sizeof *at_half * 65536), *at_line = malloc(sizeof *at_line * (size_t)n * 2);
    for (int k = 0; k < 65536; k++)
        at_half[k] = 2 * k;
    for (int l = 0; l < n; l++) {
        at_line[l] = 0;                                 /* every line begins alike, and has a place of its own at the end */
        at_line[n + l] = l * (int64_t)first.n;
    }
    memset(address, 0xff, (size_t)g->pes * (size_t)g->pes * sizeof *address);          /* PE_NONE */
    for (int32_t p = 0; p < g->pes; p++) {
        int64_t at = g->pe[p].memory;
        address[p * g->pes + p] = 0;
        tile[p] = (pe_tile){ first.at + at, 0, at_line, at_half, address + p * g->pes, (int32_t)memory_of(g, p) / 2, 0 };
        tile[g->pes + p] = tile[p];
        tile[g->pes + p].host = lines->at + at;
        tile[g->pes + p].at_line = at_line + n;
        tile[g->pes + p].result = 1;
    }
    pe_replay work = { g, tile, 2 * g->pes, n, memory_of_all(g) };
    *status = pe_run_tape(&work, threads, 0);
    free(tile);
    free(address);
    free(at_half);
    free(at_line);
}

/* On every line what a run of its values does; s: a simulation at its start. An allocation may fail: the status. */
static int replay(wsk_simulation *s, bytes first, bytes end)
{
    pe_grid *g = &s->grid;
    uint32_t why;
    int n = 1 + (int)draw(40), status = WSK_ERR_NO_MEMORY;
    bytes lines = { calloc((size_t)n, first.n + 1), first.n * (size_t)n };
    bytes held = { malloc(first.n + 1), first.n };
    memcpy(held.at, g->memory, held.n);
    if (pe_start_tape(g)) {
        status = run(s, LONG, END, 1 + (int)draw(3), &why);
        CHECK(status < 0 || memcmp(held.at, g->memory, held.n) == 0);                  /* while a tape runs, nothing is done */
        if (!status)
            play_tape(g, first, &lines, n, 1 + (int)draw(3), &status);
        for (int l = 0; !status && l < n; l++)
            for (int32_t p = 0; p < g->pes; p++)
                CHECK(!memcmp(lines.at + (size_t)l * first.n + g->pe[p].memory, end.at + g->pe[p].memory,
                              (size_t)memory_of(g, p) & ~(size_t)1));
    }
    pe_drop_tape(g);
    free(lines.at);
    free(held.at);
    return status;
}

/* What fits a tape does to the values of all lines what it does when it is stepped; memory may run out anywhere. */
void tape(bytes from, bytes state, unsigned seed)
{
    wsk_program *program = open_program(from);
    wsk_simulation *s = make_simulation(program);
    uint32_t why = 0;
    (void)state;
    if (pe_can_tape(&s->grid, s->fabric)) {
        bytes first = some_memory(&s->grid), end = { malloc(first.n + 1), first.n };
        memcpy(s->grid.memory, first.at, first.n);
        int ended = run(s, LONG, END, 1, &why);
        memcpy(end.at, s->grid.memory, end.n);
        int status = WSK_ERR_NO_MEMORY;
        for (long after = seed % 2 ? 0 : 100000; status == WSK_ERR_NO_MEMORY && ended == 0 && why & WSK_STOP_IDLE; after++) {
            CHECK(wsk_simulation_reset(s) == 0);
            wsk_allocations_left = after;
            status = replay(s, first, end);
            CHECK(status == 0 || status == WSK_ERR_NO_MEMORY || status == WSK_ERR_BAD_INSTRUCTION);
        }
        wsk_allocations_left = -1;
        free(first.at);
        free(end.at);
    }
    wsk_simulation_free(s);
    wsk_program_free(program);
}

/* ---- Profiles ----------------------------------------------------------------------------------------------------------- */

static int64_t begun(const pe_grid *g)
{
    int64_t n = 0;
    for (int32_t p = 0; p < g->pes; p++)
        n += g->pe[p].instructions;
    return n;
}

static int64_t threads_of(const pe_grid *g)
{
    int64_t n = 0;
    for (int32_t p = 0; p < g->pes; p++)
        n += g->program[g->pe[p].program].thread_count;
    return n;
}

/* Who counts changes nothing; each instruction that begins is counted, and no thread is at two in a cycle. */
void profile(bytes from, bytes state, unsigned seed)
{
    wsk_program *program = open_program(from);
    wsk_simulation *s = make_simulation(program), *other = make_simulation(program);
    pe_grid *g = &s->grid;
    pe_spent *spent = malloc(((size_t)g->codes + 1) * sizeof *spent);
    int64_t all[PE_SPENT] = { 0 }, thread_cycles = 0;
    uint32_t why;
    (void)seed;
    CHECK(wsk_simulation_load(s, state.at, state.n) == 0 && wsk_simulation_load(other, state.at, state.n) == 0);
    for (int after = 0; after < 2; after++) {
        wsk_allocations_left = after;
        CHECK(pe_profile(g) == WSK_ERR_NO_MEMORY && !g->span);
    }
    wsk_allocations_left = -1;
    CHECK(pe_profile(g) == WSK_OK);
    int64_t before = begun(g), since = g->cycle, until = since + 1 + draw(400);
    int ended = run(s, until, END, 1 + (int)draw(3), &why);
    pe_read_profile(g, spent);
    for (int32_t k = 0; k < g->codes; k++)
        for (int what = 0; what < PE_SPENT; what++) {
            CHECK(spent[k].cycles[what] >= 0);
            all[what] += spent[k].cycles[what];
            thread_cycles += what == PE_SPENT_BEGUN ? 0 : spent[k].cycles[what];
        }
    CHECK(all[PE_SPENT_BEGUN] == begun(g) - before && thread_cycles <= threads_of(g) * (g->cycle - since));
    CHECK(run(other, until, END, 1, &why) == ended);
    bytes here = saved(s), there = saved(other);
    CHECK(ended < 0 || is_equal(here, there));
    CHECK(wsk_simulation_load(s, state.at, state.n) == 0 && wsk_simulation_reset(s) == 0);
    pe_read_profile(g, spent);
    free(here.at);
    free(there.at);
    free(spent);
    wsk_simulation_free(other);
    wsk_simulation_free(s);
    wsk_program_free(program);
}
