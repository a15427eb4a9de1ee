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

/* Some ten microseconds, and a hundred where nobody else wants the core; as long as it takes to move a piece's memory. */
enum { SPINS = 300, YIELDS = 200, STAY = 32 };

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
enum { PIECE_BITS = 24, STATUS_BITS = 16 };

static uint64_t place_of(int64_t step, int64_t piece) { return (uint64_t)step << PIECE_BITS | (uint64_t)piece; }

static void fail(wsk_team *team, uint64_t place, int status)
{
    uint64_t mine = place << STATUS_BITS | (uint32_t)-status, first = atomic_load_explicit(&team->failed, memory_order_relaxed);
    while (mine < first
           && !atomic_compare_exchange_weak_explicit(&team->failed, &first, mine, memory_order_relaxed, memory_order_relaxed))
        ;
}

int wsk_team_failure(wsk_team *team, int *step, int64_t *piece)
{
    uint64_t failed = atomic_load_explicit(&team->failed, memory_order_relaxed);
    if (failed == NO_FAILURE)
        return 0;
    atomic_store_explicit(&team->failed, NO_FAILURE, memory_order_relaxed);
    if (step)
        *step = (int)(failed >> (PIECE_BITS + STATUS_BITS));
    if (piece)
        *piece = (int64_t)(failed >> STATUS_BITS & (((uint64_t)1 << PIECE_BITS) - 1));
    return -(int)(failed & (((uint64_t)1 << STATUS_BITS) - 1));
}

static void open_round(wsk_team *team, int steps)
{
    int64_t goal = atomic_load_explicit(&team->goal, memory_order_relaxed);
    atomic_store_explicit(&team->open, team->pieces, memory_order_relaxed);       /* before any can be claimed */
    team->before = goal;
    atomic_store_explicit(&team->goal, goal + steps, memory_order_release);
}

static void turn_round(wsk_team *team)
{
    int steps = team->next_round(team, team->context);
    if (steps)
        open_round(team, steps);
    else
        atomic_store_explicit(&team->ended, 1, memory_order_release);
    next_turn(team);
}

static int is_done(wsk_team *team, int64_t i, int64_t steps)
{
    return i < 0 || i == team->pieces || atomic_load(&team->piece[i].done) >= steps;
}

/* Whether the next step of a piece may be done, and nobody is at it; its number. */
static int is_ready(wsk_team *team, int64_t i, int64_t *step)
{
    *step = atomic_load(&team->piece[i].claimed);
    return *step < atomic_load_explicit(&team->goal, memory_order_acquire) && is_done(team, i, *step)
        && is_done(team, i - 1, *step) && is_done(team, i + 1, *step);
}

/* A step of a piece, if it may be done now. Returns whether it was. */
static int do_step(wsk_team *team, int rank, int64_t i, int (*piece)(void *, int64_t, int), void *context)
{
    wsk_team_piece *p = team->piece + i;
    int64_t step;
    if (!is_ready(team, i, &step)
        || !atomic_compare_exchange_strong_explicit(&p->claimed, &step, step + 1, memory_order_acquire, memory_order_relaxed))
        return 0;
    uint64_t place = place_of(step - team->before, i);
    if (place <= atomic_load_explicit(&team->failed, memory_order_relaxed) >> STATUS_BITS) {
        int status = piece(context, i, (int)(step - team->before));
        if (status < 0)
            fail(team, place, status);
    }
    team->member[rank].done += step + 1 == atomic_load_explicit(&team->goal, memory_order_relaxed);
    atomic_store(&p->done, step + 1);                 /* before it is asked who sleeps, as they ask in the other order */
    if (atomic_load(&team->sleepers) > 0)
        next_turn(team);
    return 1;
}

static int owner_of(wsk_team *team, int64_t i)
{
    return i < 0 || i == team->pieces ? -1 : atomic_load_explicit(team->owner + i, memory_order_relaxed);
}

/* How many of the pieces beside one are not a member's. */
static int strangers(wsk_team *team, int64_t i, int rank)
{
    return (owner_of(team, i - 1) != rank) + (owner_of(team, i + 1) != rank);
}

/* A step of each of the member's pieces that may go on, first of those that others wait for. Returns how many. */
static int do_own(wsk_team *team, int rank, int (*piece)(void *, int64_t, int), void *context)
{
    int done = 0;
    for (int outer = 1; outer >= 0; outer--)
        for (int64_t i = 0; i < team->pieces; i++)
            if (owner_of(team, i) == rank && (strangers(team, i, rank) > 0) == outer)
                done += do_step(team, rank, i, piece, context);
    return done;
}

/* A member takes the pieces back that it began with. Returns how many others had. */
static int take_back(wsk_team *team, int rank)
{
    int taken = 0;
    for (int64_t i = wsk_team_share(team, rank, team->pieces); i < wsk_team_share(team, rank + 1, team->pieces); i++)
        taken += atomic_exchange_explicit(team->owner + i, rank, memory_order_relaxed) != rank;
    return taken;
}

/* A member that has waited for long takes over a piece that may go on: beside its own, if there is such a one. */
static void take_over(wsk_team *team, int rank)
{
    int64_t found = -1, step;
    for (int64_t i = 0; i < team->pieces && (found < 0 || strangers(team, found, rank) == 2); i++)
        if (owner_of(team, i) != rank && is_ready(team, i, &step))
            found = i;
    if (found >= 0)
        atomic_store_explicit(team->owner + found, rank, memory_order_relaxed);
}

/* Tell what this member has done; the one that makes the round complete ends it. Returns whether it did. */
static int close_round(wsk_team *team, int rank)
{
    int64_t done = team->member[rank].done;
    team->member[rank].done = 0;
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

/* Wait, the n-th time in a row; a sleeper wakes when a step is done or a turn begins. */
static void wait_a_while(wsk_team *team, int turn, int n)
{
    if (n < SPINS) {
        rest();
    } else if (n < SPINS + YIELDS) {
        sched_yield();
    } else {
        int64_t step;
        int ready = 0;
        atomic_fetch_add(&team->sleepers, 1);
        for (int64_t i = 0; i < team->pieces && !ready; i++)
            ready = is_ready(team, i, &step);
        if (!ready && atomic_load(&team->turn) == turn)
            wait_while(&team->turn, turn);
        atomic_fetch_sub(&team->sleepers, 1);
    }
}

static void do_alone(wsk_team *team, int (*piece)(void *, int64_t, int), void *context)
{
    for (int steps = (int)team->goal; steps; steps = team->next_round(team, team->context)) {
        int status = 0;
        for (int step = 0; step < steps && status >= 0; step++)
            for (int64_t i = 0; i < team->pieces && status >= 0; i++)
                if ((status = piece(context, i, step)) < 0)
                    fail(team, place_of(step, i), status);
    }
}

void wsk_team_do(wsk_team *team, int rank, int (*piece)(void *context, int64_t i, int step), void *context)
{
    if (team->size == 1) {
        do_alone(team, piece, context);
        return;
    }
    for (int waited = 0;;) {
        int turn = atomic_load_explicit(&team->turn, memory_order_acquire);       /* before it is asked what there is to do */
        if (do_own(team, rank, piece, context) || close_round(team, rank)) {
            waited = 0;
        } else if (atomic_load_explicit(&team->ended, memory_order_acquire)) {
            return;
        } else if (rank == 0 && atomic_exchange_explicit(&team->owed, 0, memory_order_acquire)) {
            turn_round(team);
            waited = 0;
        } else {
            wait_a_while(team, turn, waited++);
            if (waited >= STAY && !(waited & (waited - 1)) && !take_back(team, rank))
                take_over(team, rank);
        }
    }
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
static void begin_rounds(wsk_team *team, int64_t pieces, int steps, void (*work)(wsk_team *, int, void *),
                         int (*turn)(wsk_team *, void *), int on_caller, void *context)
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
    atomic_init(&team->goal, 0);
    for (int rank = 0; rank < team->size; rank++) {
        team->member[rank].done = 0;
        for (int64_t i = wsk_team_share(team, rank, pieces); team->size > 1 && i < wsk_team_share(team, rank + 1, pieces); i++) {
            atomic_init(team->owner + i, rank);
            atomic_init(&team->piece[i].claimed, 0);
            atomic_init(&team->piece[i].done, 0);
        }
    }
    open_round(team, steps);
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
    begin_rounds(team, pieces, steps, work, turn, on_caller, context);
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
