/* A team of threads that live for one run and meet at a barrier: spin first, then give the core away. */
#include "team.h"
#include <pthread.h>
#include <sched.h>

enum { SPINS = 300 };                 /* some ten microseconds at most; then another thread may need the core more */
typedef struct { wsk_team *team; int rank; } member;

/* Tell the core that this thread only waits. */
static inline void rest(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

void wsk_team_meet(wsk_team *team, void (*alone)(wsk_team *, void *))
{
    if (team->size == 1) {
        if (alone)
            alone(team, team->context);
        return;
    }
    int turn = atomic_load_explicit(&team->turn, memory_order_acquire);
    if (atomic_fetch_add_explicit(&team->here, 1, memory_order_acq_rel) + 1 == team->size) {
        if (alone)
            alone(team, team->context);
        atomic_store_explicit(&team->here, 0, memory_order_relaxed);
        atomic_store_explicit(&team->turn, turn + 1, memory_order_release);
        return;
    }
    for (int spins = 0; atomic_load_explicit(&team->turn, memory_order_acquire) == turn; spins++)
        if (spins > SPINS)
            sched_yield();
        else
            rest();
}

static void *enter(void *argument)
{
    member *m = argument;
    while (!atomic_load_explicit(&m->team->ready, memory_order_acquire))
        sched_yield();
    m->team->work(m->team, m->rank, m->team->context);
    return NULL;
}

/* If the system gives fewer threads than asked for, the team is smaller: the results are the same. */
int wsk_team_run(int size, void (*work)(wsk_team *, int, void *), void *context)
{
    wsk_team team = { .size = 1, .work = work, .context = context };
    pthread_t threads[WSK_TEAM_MOST];
    member members[WSK_TEAM_MOST];
    if (size > WSK_TEAM_MOST)
        size = WSK_TEAM_MOST;
    while (team.size < size) {
        members[team.size] = (member){ &team, team.size };
        if (pthread_create(threads + team.size, NULL, enter, members + team.size) != 0)
            break;
        team.size++;
    }
    atomic_store_explicit(&team.ready, 1, memory_order_release);
    work(&team, 0, context);
    for (int i = 1; i < team.size; i++)
        pthread_join(threads[i], NULL);
    return team.size;
}
