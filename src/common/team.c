/* Teams of threads. Who waits spins first, then gives the core away, then sleeps: another thread may need it more. */
#include "team_inside.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

/* A thread between two runs, or in one. `given` is the team that it is to serve next, and `rank` its rank there. */
typedef struct worker worker;
struct worker {
    worker *next;                     /* among those that sleep */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t called;
    _Atomic(wsk_team *) given;
    int rank;
};

/* Workers that sleep, or end a run of rounds that nobody waits for; `last` tells the caller of a team that its last worker is
 * done. */
static pthread_mutex_t pool = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t last = PTHREAD_COND_INITIALIZER;
static worker *asleep;
static wsk_team farewell;             /* stands for the team of a worker that is to end */

/* Wait until the turn is no longer `turn`. */
static void wait_for_turn(wsk_team *team, int turn)
{
    for (int n = 0; n < SPINS + YIELDS && atomic_load_explicit(&team->turn, memory_order_acquire) == turn; n++)
        if (n < SPINS)
            rest();
        else
            sched_yield();
    if (atomic_load_explicit(&team->turn, memory_order_acquire) != turn)
        return;
    atomic_fetch_add(&team->sleepers, 1);
    while (atomic_load(&team->turn) == turn)
        wait_while(&team->turn, turn);
    atomic_fetch_sub(&team->sleepers, 1);
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
        next_turn(team);
        return;
    }
    wait_for_turn(team, turn);
}

/* One thread less knows of a team of rounds. */
static void forget(wsk_team *team)
{
    if (atomic_fetch_sub_explicit(&team->users, 1, memory_order_acq_rel) == 1)
        free(team);
}

/* ---- Workers ---- */

/* Give a worker its next team. One that it has not come to has ended without it. */
static void call(worker *w, wsk_team *team, int rank)
{
    pthread_mutex_lock(&w->lock);
    wsk_team *missed = atomic_load_explicit(&w->given, memory_order_relaxed);
    w->rank = rank;
    atomic_store_explicit(&w->given, team, memory_order_release);
    pthread_cond_signal(&w->called);
    pthread_mutex_unlock(&w->lock);
    if (missed)
        forget(missed);
}

static wsk_team *next_team(worker *w, int *rank)
{
    wsk_team *team;
    for (int spins = 0; spins < SPINS && atomic_load_explicit(&w->given, memory_order_relaxed) == NULL; spins++)
        rest();
    pthread_mutex_lock(&w->lock);
    while ((team = atomic_load_explicit(&w->given, memory_order_relaxed)) == NULL)
        pthread_cond_wait(&w->called, &w->lock);
    atomic_store_explicit(&w->given, NULL, memory_order_relaxed);
    *rank = w->rank;
    pthread_mutex_unlock(&w->lock);
    return team;
}

static void *serve(void *argument)
{
    worker *w = argument;
    int rank;
    for (wsk_team *team; (team = next_team(w, &rank)) != &farewell;) {
        team->work(team, rank, team->context);
        if (team->next_round) {               /* who called has gone on, and w may have its next team */
            forget(team);
            continue;
        }
        pthread_mutex_lock(&pool);
        w->next = asleep;
        asleep = w;
        if (atomic_fetch_sub_explicit(&team->left, 1, memory_order_acq_rel) == 1)
            pthread_cond_broadcast(&last);
        pthread_mutex_unlock(&pool);      /* from here on the team may be gone */
    }
    return NULL;
}

/* A new worker, which waits to be called; NULL where the system gives none. Signals are for the host's threads. */
static worker *hire(void)
{
    worker *w = calloc(1, sizeof *w);
    sigset_t all, before;
    if (w == NULL)
        return NULL;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->called, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&w->thread, NULL, serve, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        free(w);
        return NULL;
    }
    return w;
}

/* End all workers that sleep. Called with the pool locked. */
static void dismiss(void)
{
    while (asleep != NULL) {
        worker *w = asleep;
        asleep = w->next;
        call(w, &farewell, 0);
        pthread_join(w->thread, NULL);
        pthread_mutex_destroy(&w->lock);
        pthread_cond_destroy(&w->called);
        free(w);
    }
}

/* Before a fork: no worker sleeps, and nobody is in the pool. Those that work for other threads stay with the parent. */
static void before_fork(void)
{
    pthread_mutex_lock(&pool);
    dismiss();
}

static void after_fork(void) { pthread_mutex_unlock(&pool); }

static void in_child(void)
{
    pthread_cond_init(&last, NULL);       /* who waited for it is not here */
    pthread_mutex_unlock(&pool);
}

static void watch_forks(void) { pthread_atfork(before_fork, after_fork, in_child); }

/* When the program ends, or the library is unloaded. */
__attribute__((destructor)) static void close_pool(void)
{
    if (pthread_mutex_trylock(&pool) == 0) {      /* a signal that ends the program may have met this thread in the pool */
        dismiss();
        pthread_mutex_unlock(&pool);
    }
}

/* Workers for a team of at most `size`: sleeping ones first. Returns how many members it has then. */
static int gather(worker **workers, int size)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int n = 1;
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&pool);
    for (; n < size && asleep != NULL; n++) {
        workers[n] = asleep;
        asleep = asleep->next;
    }
    pthread_mutex_unlock(&pool);
    for (; n < size && (workers[n] = hire()) != NULL; n++)
        ;
    return n;
}

int wsk_team_run(int size, void (*work)(wsk_team *, int, void *), void *context)
{
    wsk_team team = { .size = 1, .work = work, .context = context };
    worker *workers[WSK_TEAM_MOST];
    if (size > 1)
        team.size = gather(workers, size < WSK_TEAM_MOST ? size : WSK_TEAM_MOST);
    team.left = team.size - 1;
    for (int i = 1; i < team.size; i++)
        call(workers[i], &team, i);
    work(&team, 0, context);
    for (int spins = 0; spins < SPINS && atomic_load_explicit(&team.left, memory_order_acquire) > 0; spins++)
        rest();
    if (team.size > 1) {                  /* a worker that counted itself down may still hold the pool */
        pthread_mutex_lock(&pool);
        while (atomic_load_explicit(&team.left, memory_order_relaxed) > 0)
            pthread_cond_wait(&last, &pool);
        pthread_mutex_unlock(&pool);
    }
    return team.size;
}

/* A team with room for so many pieces, or NULL. */
static wsk_team *new_team(int64_t pieces)
{
    size_t owners = ((size_t)pieces * sizeof(atomic_int) + WSK_TEAM_LINE - 1) / WSK_TEAM_LINE * WSK_TEAM_LINE;
    char *at = aligned_alloc(WSK_TEAM_LINE, sizeof(wsk_team) + owners + (size_t)pieces * sizeof(wsk_team_piece));
    wsk_team *team = (wsk_team *)at;
    if (team) {
        team->owner = (atomic_int *)(at + sizeof *team);
        team->piece = (wsk_team_piece *)(at + sizeof *team + owners);
    }
    return team;
}

/* Workers are free as soon as no round is left, wherever they are in the end of this run. */
static void let_go(worker **workers, int size)
{
    pthread_mutex_lock(&pool);
    for (int i = 1; i < size; i++) {
        workers[i]->next = asleep;
        asleep = workers[i];
    }
    pthread_mutex_unlock(&pool);
}

int wsk_team_rounds(int size, int64_t pieces, int steps, void (*work)(wsk_team *, int, void *), int (*turn)(wsk_team *, void *),
                    int on_caller, void *context)
{
    wsk_team alone, *team = &alone;
    worker *workers[WSK_TEAM_MOST];
    if (size > 1 && (team = new_team(pieces)) == NULL)
        team = &alone;
    team->size = team == &alone ? 1 : gather(workers, size < WSK_TEAM_MOST ? size : WSK_TEAM_MOST);
    wsk_begin_rounds(team, pieces, steps, work, turn, on_caller, context);
    for (int i = 1; i < team->size; i++)
        call(workers[i], team, i);
    work(team, 0, context);
    size = team->size;
    if (team == &alone)
        return size;
    let_go(workers, size);
    forget(team);
    return size;
}
