/* A team of threads for one run: work(team, rank, context) on every member, the caller among them; wsk_team_meet is their
 * barrier. Where there is an `alone`, the last member to come runs alone(team, context) before any goes on.
 *
 * Threads sleep between runs and serve the next. They end before the process forks, so that a child starts with none and
 * makes its own; nothing of a team outlives a run. Any number of teams may run at once, from any threads. */
#ifndef WSEKERN_TEAM_H
#define WSEKERN_TEAM_H

#include <stdatomic.h>
#include <stdint.h>

enum { WSK_TEAM_MOST = 64 };
typedef struct wsk_team wsk_team;
struct wsk_team {
    int size;
    atomic_int here, turn, sleepers, left;
    void (*work)(wsk_team *, int, void *);
    void *context;
};

/* Returns the number of members: fewer than `size` where the system gives no more threads, and never more than WSK_TEAM_MOST. */
int wsk_team_run(int size, void (*work)(wsk_team *, int, void *), void *context);
void wsk_team_meet(wsk_team *team, void (*alone)(wsk_team *, void *));

/* Where the share of member `rank` in n pieces of work begins; that of rank + 1 is where it ends. */
static inline int64_t wsk_team_share(const wsk_team *team, int rank, int64_t n) { return n * rank / team->size; }

#endif
