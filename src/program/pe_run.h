/* Many cycles of cores and fabric: what happens between two cycles, on one thread while the others wait. */
#ifndef WSEKERN_PE_RUN_H
#define WSEKERN_PE_RUN_H

#include "fabric/team.h"
#include "pe_state.h"

enum pe_run_state { PE_RUNNING, PE_DONE, PE_DELIVERED };        /* negative: a status */

typedef struct {
    pe_grid *grid;
    wsk_fabric *fabric;
    int64_t deadline;
    int state;                          /* enum pe_run_state, or the status that ended the run */
    int until_done;                     /* 1: to the end of all programs; 0: to the deadline */
    int until_delivery;                 /* 1: to the first cycle in which a word leaves the wafer */
    int status[3][WSK_TEAM_MOST];       /* by phase, so that nobody overwrites what others still read */
} pe_run;

/* Before the first cycle. */
void pe_open_run(pe_run *run);
/* The first failure of a phase, WSK_OK. */
int pe_failed(const pe_run *run, int phase, int size);
/* When all strips are done with a cycle (`alone` of wsk_team_meet, context a pe_run): go on, jump ahead, or stop and why. */
void pe_close_cycle(wsk_team *team, void *run);
/* Whether anything can still happen by itself, and when: INT64_MAX where nothing does. */
int64_t pe_next_event(const pe_grid *g, const wsk_fabric *fabric);
/* Bring the clock of an empty fabric up to date, before the host offers words to it. */
void pe_open_fabric(pe_grid *g, wsk_fabric *fabric);

#endif
