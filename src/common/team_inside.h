/* What the files of teams share: how a thread waits, and how rounds begin. */
#ifndef WSEKERN_TEAM_INSIDE_H
#define WSEKERN_TEAM_INSIDE_H

#include "team.h"
#include <limits.h>
#include <sched.h>
#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* Some ten microseconds, and a hundred where nobody else wants the core; as long as it takes to move a piece's memory. */
enum { SPINS = 300, YIELDS = 200, STAY = 32 };

/* Tell the core that this thread only waits. */
static inline void rest(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* Sleep until `word` is no longer `old`, as long as the system knows how; wake all who do. */
static inline void wait_while(atomic_int *word, int old)
{
#ifdef __linux__
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
#else
    (void)word, (void)old;
    sched_yield();
#endif
}

static inline void wake_all(atomic_int *word)
{
#ifdef __linux__
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
#else
    (void)word;
#endif
}

/* All who wait for a turn go on. */
static inline void next_turn(wsk_team *team)
{
    atomic_fetch_add(&team->turn, 1);                 /* before it is asked who sleeps, as they ask in the other order */
    if (atomic_load(&team->sleepers) > 0)
        wake_all(&team->turn);
}

/* rounds.c: make a team of rounds ready; its first round is open. */
void wsk_begin_rounds(wsk_team *team, int64_t pieces, int steps, void (*work)(wsk_team *, int, void *),
                      int (*turn)(wsk_team *, void *), int on_caller, void *context);

#endif
