/* A run in progress, shared by its team: run.c's, and the Cython kernel's, whose loops over cycles and strips are its own. */
#ifndef WSEKERN_RUNNING_H
#define WSEKERN_RUNNING_H

#include "fabric_internal.h"
#include "team.h"

enum { WSK_RUNNING = 0, WSK_STOPPED = 1 };
/* A round of the team: words enter, words leave, words arrive. */
enum wsk_phase { WSK_PHASE_FEED, WSK_PHASE_DEPART, WSK_PHASE_ARRIVE };

typedef struct {
    wsk_fabric *fabric;
    int64_t start, end;               /* the clock when it began, and at which to stop */
    int64_t patience;                 /* as in wsk_run */
    int64_t look;                     /* when to look for circles next, 0: not chosen yet */
    u32 stop, why;
    int state;                        /* WSK_RUNNING, WSK_STOPPED or a negative status */
    int any_source;                   /* words wait outside */
    int hosted;                       /* the host listens or is called: on the thread that runs */
    int phase;
    int (*each)(void *context);       /* unless NULL: called on one thread when the clock has moved; 0 or a status */
    void *context;
} wsk_running;

void wsk_begin_run(wsk_running *run, wsk_fabric *f, int64_t end);
void wsk_decide(wsk_running *run);
/* Strips of a cycle on a team of at most so many threads, until the run stops. work claims pieces: strips. */
int wsk_run_rounds(wsk_running *run, int threads, void (*work)(wsk_team *, int, void *));

#endif
