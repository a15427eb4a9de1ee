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

/* A thread between two runs, or in one. `given` is the team that it is to serve next. */
typedef struct worker worker;
struct worker {
    worker *next;                     /* among those that sleep */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t called;
    _Atomic(wsk_team *) given;
    int rank;
};

/* Workers that sleep; `last` tells the caller of a team that its last worker is done. */
static pthread_mutex_t pool = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t last = PTHREAD_COND_INITIALIZER;
static worker *asleep;
static wsk_team farewell;             /* the team of a worker that is to end */

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
        atomic_store(&team->turn, turn + 1);          /* before it is asked who sleeps, as they ask in the other order */
        if (atomic_load(&team->sleepers) > 0)
            wake_all(&team->turn);
        return;
    }
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

static void call(worker *w, wsk_team *team)
{
    pthread_mutex_lock(&w->lock);
    atomic_store_explicit(&w->given, team, memory_order_release);
    pthread_cond_signal(&w->called);
    pthread_mutex_unlock(&w->lock);
}

static wsk_team *next_team(worker *w)
{
    wsk_team *team;
    for (int spins = 0; spins < SPINS && atomic_load_explicit(&w->given, memory_order_relaxed) == NULL; spins++)
        rest();
    pthread_mutex_lock(&w->lock);
    while ((team = atomic_load_explicit(&w->given, memory_order_relaxed)) == NULL)
        pthread_cond_wait(&w->called, &w->lock);
    atomic_store_explicit(&w->given, NULL, memory_order_relaxed);
    pthread_mutex_unlock(&w->lock);
    return team;
}

static void *serve(void *argument)
{
    worker *w = argument;
    for (wsk_team *team; (team = next_team(w)) != &farewell;) {
        team->work(team, w->rank, team->context);
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
        call(w, &farewell);
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
    for (int i = 1; i < team.size; i++) {
        workers[i]->rank = i;
        call(workers[i], &team);
    }
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
