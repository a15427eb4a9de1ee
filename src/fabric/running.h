/* A run in progress, shared by its team: run.c's, and the Cython kernel's, whose loops over cycles and strips are its own. */
#ifndef WSEKERN_RUNNING_H
#define WSEKERN_RUNNING_H

#include "fabric_internal.h"
#include "team.h"

enum { WSK_RUNNING = 0, WSK_STOPPED = 1 };

typedef struct {
    wsk_fabric *fabric;
    int64_t start, end;               /* the clock when it began, and at which to stop */
    int64_t patience;                 /* as in wsk_run */
    int64_t look;                     /* when to look for circles next, 0: not chosen yet */
    u32 stop, why;
    int state;                        /* WSK_RUNNING, WSK_STOPPED or a negative status */
    int any_source;                   /* words wait outside */
    int hosted;                       /* the host listens or is called */
    int status[3][WSK_TEAM_MOST];     /* by phase, so that nobody overwrites what others still read */
    int (*each)(void *context);       /* unless NULL: called on one thread when the clock has moved; 0 or a status */
    void *context;
} wsk_running;

void wsk_begin_run(wsk_running *run, wsk_fabric *f, int64_t end);
void wsk_decide(wsk_running *run);
/* The end of phase 0 (words enter) or 1 (words leave) for one member: the status of all. The end of a cycle. */
int wsk_end_phase(wsk_team *team, int rank, wsk_running *run, int phase, int status);
void wsk_end_cycle(wsk_team *team, int rank, wsk_running *run, int status);

#endif
