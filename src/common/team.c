/* Teams of threads. Who waits spins first, then gives the core away, then sleeps: another thread may need it more. */
#include "team.h"
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum { SPINS = 300, YIELDS = 200 };   /* some ten microseconds, and a hundred where nobody else wants the core */

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

/* Tell the core that this thread only waits. */
static inline void rest(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* Sleep until `word` is no longer `old`, as long as the system knows how; wake all who do. */
static void wait_while(atomic_int *word, int old)
{
#ifdef __linux__
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
#else
    (void)word, (void)old;
    sched_yield();
#endif
}

static void wake_all(atomic_int *word)
{
#ifdef __linux__
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
#else
    (void)word;
#endif
}

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

/* All who wait for a turn go on. */
static void next_turn(wsk_team *team)
{
    atomic_fetch_add(&team->turn, 1);                 /* before it is asked who sleeps, as they ask in the other order */
    if (atomic_load(&team->sleepers) > 0)
        wake_all(&team->turn);
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

/* ---- Rounds ---- */

static const uint64_t NO_FAILURE = UINT64_MAX;

static void open_round(wsk_team *team)
{
    atomic_store_explicit(&team->open, team->pieces, memory_order_relaxed);       /* before any can be claimed */
    for (int i = 0; i < team->size; i++)
        atomic_store_explicit(&team->share[i].next, team->share[i].begin, memory_order_release);
}

static void turn_round(wsk_team *team)
{
    if (team->next_round(team, team->context))
        open_round(team);
    else
        atomic_store_explicit(&team->ended, 1, memory_order_release);
    next_turn(team);
}

/* The first piece of a share that nobody has, or -1. */
static int64_t claim_of(wsk_team *team, wsk_team_pieces *share)
{
    int64_t i = atomic_load_explicit(&share->next, memory_order_relaxed);
    if (team->size == 1) {
        atomic_store_explicit(&share->next, i + (i < share->end), memory_order_relaxed);
        return i < share->end ? i : -1;
    }
    while (i < share->end)
        if (atomic_compare_exchange_weak_explicit(&share->next, &i, i + 1, memory_order_acquire, memory_order_relaxed))
            return i;
    return -1;
}

/* A piece of the member's own share, then of those after it. */
static int64_t claim_any(wsk_team *team, int rank)
{
    for (int i = 0; i < team->size; i++) {
        wsk_team_pieces *share = team->share + (rank + i < team->size ? rank + i : rank + i - team->size);
        for (int64_t piece; (piece = claim_of(team, share)) >= 0; team->share[rank].done++)
            if ((uint64_t)piece <= atomic_load_explicit(&team->failed, memory_order_relaxed) >> 32)
                return piece;
    }
    return -1;
}

/* Tell what this member has done; the one that makes the round complete ends it. Returns whether it did. */
static int close_round(wsk_team *team, int rank)
{
    int64_t done = team->share[rank].done;
    team->share[rank].done = 0;
    if (!done || atomic_fetch_sub_explicit(&team->open, done, memory_order_acq_rel) != done)
        return 0;
    if (team->on_caller && rank != 0) {
        atomic_store_explicit(&team->owed, 1, memory_order_release);
        next_turn(team);
    } else {
        turn_round(team);
    }
    return 1;
}

int64_t wsk_team_claim(wsk_team *team, int rank)
{
    for (;;) {
        int turn = atomic_load_explicit(&team->turn, memory_order_acquire);       /* before it is asked what there is to do */
        int64_t piece = claim_any(team, rank);
        if (piece >= 0) {
            team->share[rank].done++;                 /* it is told of when there is no other */
            return piece;
        }
        if (close_round(team, rank))
            continue;
        if (atomic_load_explicit(&team->ended, memory_order_acquire))
            return -1;
        if (rank == 0 && atomic_exchange_explicit(&team->owed, 0, memory_order_acquire))
            turn_round(team);
        else
            wait_for_turn(team, turn);
    }
}

void wsk_team_fail(wsk_team *team, int64_t piece, int status)
{
    uint64_t mine = (uint64_t)piece << 32 | (uint32_t)-status;
    uint64_t first = atomic_load_explicit(&team->failed, memory_order_relaxed);
    while (mine < first
           && !atomic_compare_exchange_weak_explicit(&team->failed, &first, mine, memory_order_relaxed, memory_order_relaxed))
        ;
}

void wsk_team_do(wsk_team *team, int rank, int (*piece)(void *context, int64_t i), void *context)
{
    for (int64_t i; (i = wsk_team_claim(team, rank)) >= 0;) {
        int status = piece(context, i);
        if (status < 0)
            wsk_team_fail(team, i, status);
    }
}

int wsk_team_failure(wsk_team *team)
{
    uint64_t failed = atomic_load_explicit(&team->failed, memory_order_relaxed);
    if (failed == NO_FAILURE)
        return 0;
    atomic_store_explicit(&team->failed, NO_FAILURE, memory_order_relaxed);
    return -(int)(uint32_t)failed;
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

/* Make a team of rounds ready; its first round is open. */
static void begin_rounds(wsk_team *team, int64_t pieces, void (*work)(wsk_team *, int, void *), int (*turn)(wsk_team *, void *),
                         int on_caller, void *context)
{
    team->work = work;
    team->context = context;
    team->next_round = turn;
    team->on_caller = on_caller;
    team->pieces = pieces;
    atomic_init(&team->users, team->size);
    atomic_init(&team->turn, 0);
    atomic_init(&team->sleepers, 0);
    atomic_init(&team->ended, 0);
    atomic_init(&team->owed, 0);
    atomic_init(&team->failed, NO_FAILURE);
    for (int i = 0; i < team->size; i++) {
        wsk_team_pieces *share = team->share + i;
        share->begin = wsk_team_share(team, i, pieces);
        share->end = wsk_team_share(team, i + 1, pieces);
        share->done = 0;
    }
    open_round(team);
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

int wsk_team_rounds(int size, int64_t pieces, void (*work)(wsk_team *, int, void *), int (*turn)(wsk_team *, void *),
                    int on_caller, void *context)
{
    wsk_team alone, *team = &alone;
    worker *workers[WSK_TEAM_MOST];
    if (size > 1 && (team = aligned_alloc(WSK_TEAM_LINE, sizeof *team)) == NULL)
        team = &alone;
    team->size = team == &alone ? 1 : gather(workers, size < WSK_TEAM_MOST ? size : WSK_TEAM_MOST);
    begin_rounds(team, pieces, work, turn, on_caller, context);
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
