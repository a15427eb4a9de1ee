/* Many cycles of cores and fabric: what happens between two cycles, on one thread while the others wait. */
#ifndef WSEKERN_PE_RUN_H
#define WSEKERN_PE_RUN_H

#include "common/team.h"
#include "pe_state.h"

enum { PE_RUNNING, PE_STOPPED };

typedef struct {
    pe_grid *grid;
    wsk_fabric *fabric;
    int64_t deadline;
    int64_t patience;                   /* cycles without any movement after which nothing will move any more */
    uint32_t stop, why;                 /* masks of enum wsk_stop: what ends the run beside the deadline, what did */
    int state;                          /* PE_RUNNING, PE_STOPPED, or the negative status that ended the run */
    int status[3][WSK_TEAM_MOST];       /* by phase, so that nobody overwrites what others still read */
} pe_run;

/* Before the first cycle. */
void pe_open_run(pe_run *run);
/* The first failure of a phase, WSK_OK. */
int pe_failed(const pe_run *run, int phase, int size);
/* When all strips are done with a cycle (`alone` of wsk_team_meet, context a pe_run): go on, jump ahead, or stop and why. */
void pe_close_cycle(wsk_team *team, void *run);
/* When something happens next by itself: INT64_MAX where nothing does. */
int64_t pe_next_event(const pe_grid *g, const wsk_fabric *fabric);
/* Bring the clock of an empty fabric up to date, before the host offers words to it. */
void pe_open_fabric(pe_grid *g, wsk_fabric *fabric);

#endif
