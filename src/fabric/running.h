/* A run in progress, shared by its team: run.c's, and the Cython kernel's, whose loops over cycles and strips are its own. */
#ifndef WSEKERN_RUNNING_H
#define WSEKERN_RUNNING_H

#include "fabric_internal.h"
#include "team.h"

enum { WSK_RUNNING = 0, WSK_STOPPED = 1 };
/* The steps of a strip in a cycle: words enter, words leave, words arrive. At the end of a run, words that fly come down. */
enum wsk_phase { WSK_PHASE_FEED, WSK_PHASE_DEPART, WSK_PHASE_ARRIVE, WSK_PHASES, WSK_PHASE_LAND = WSK_PHASES };

typedef struct {
    wsk_fabric *fabric;
    int64_t start, end;               /* the clock when it began, and at which to stop */
    int64_t patience;                 /* as in wsk_run */
    int64_t look;                     /* when to look for circles next, 0: not chosen yet */
    u32 stop, why;
    int state;                        /* WSK_RUNNING, WSK_STOPPED or a negative status */
    int any_source;                   /* words wait outside */
    int hosted;                       /* the host listens or is called: on the thread that runs */
    int64_t first;                    /* this round: its first cycle, how many cycles, and the first step of each */
    int ahead, first_phase;
    int (*each)(void *context);       /* unless NULL: called on one thread when the clock has moved; 0 or a status */
    void *context;
} wsk_running;

void wsk_begin_run(wsk_running *run, wsk_fabric *f, int64_t end);
void wsk_decide(wsk_running *run);
/* A member of the team. Strips may be at different cycles in a round of several: then it has its own view of the fabric. */
typedef struct { wsk_running *run; int made; wsk_fabric view; } wsk_runner;
wsk_fabric *wsk_view(wsk_runner *runner, int step);
int wsk_phase_of(const wsk_running *run, int step);
/* When a rule was broken, the words have left for the next cycle already. */
int wsk_land_strip(wsk_fabric *f, int i);
/* Strips of a cycle on a team of at most so many threads, until the run stops. work claims pieces: strips. */
int wsk_run_rounds(wsk_running *run, int threads, void (*work)(wsk_team *, int, void *));

#endif
