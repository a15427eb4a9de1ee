/* Many cycles of cores and fabric: what happens between two cycles, on one thread while the others wait. */
#ifndef WSEKERN_PE_RUN_H
#define WSEKERN_PE_RUN_H

#include "common/team.h"
#include "pe_state.h"

enum { PE_RUNNING, PE_STOPPED };

/* The steps of a strip in a cycle: words enter and cores step, words leave, words arrive. Of a quiet fabric only cores step. */
enum pe_phase { PE_PHASE_STEP, PE_PHASE_DEPART, PE_PHASE_ARRIVE, PE_PHASES };

typedef struct {
    pe_grid *grid;
    wsk_fabric *fabric;
    int64_t deadline;
    int64_t patience;                   /* cycles without any movement after which nothing will move any more */
    uint32_t stop, why;                 /* masks of enum wsk_stop: what ends the run beside the deadline, what did */
    int state;                          /* PE_RUNNING, PE_STOPPED, or the negative status that ended the run */
} pe_run;

/* Before the first cycle. */
void pe_open_run(pe_run *run);
/* Strips of a cycle on a team of at most so many threads, until the run stops. work claims pieces: strips. */
int pe_run_rounds(pe_run *run, int threads, void (*work)(wsk_team *, int, void *));
/* When something happens next by itself: INT64_MAX where nothing does. */
int64_t pe_next_event(const pe_grid *g, const wsk_fabric *fabric);
/* Bring the clock of an empty fabric up to date, before the host offers words to it. */
void pe_open_fabric(pe_grid *g, wsk_fabric *fabric);

#endif
