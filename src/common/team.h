/* A team of threads for one run: work(team, rank, context) on every member, the caller among them. There are two ways to share
 * the work:
 *
 * - wsk_team_run: each member has its share, and wsk_team_meet is their barrier. Where there is an `alone`, the last member to
 *   come runs alone(team, context) before any goes on.
 * - wsk_team_rounds: a round is so many pieces of work, each for whoever claims it first. When all are done, one member alone
 *   calls turn(team, context), and another round begins where that says so. A member that waits for a core holds nobody up but
 *   by the piece that it is at, and the run ends without those that have none.
 *
 * Threads sleep between runs and serve the next. They end before the process forks, so that a child starts with none and
 * makes its own. Any number of teams may run at once, from any threads. */
#ifndef WSEKERN_TEAM_H
#define WSEKERN_TEAM_H

#include <stdatomic.h>
#include <stdint.h>

enum { WSK_TEAM_MOST = 64, WSK_TEAM_LINE = 64 /* bytes that cores hand each other at a time */ };
typedef struct wsk_team wsk_team;

/* The pieces that a member claims before it takes others', in a cache line of its own. */
typedef struct {
    _Alignas(WSK_TEAM_LINE) _Atomic(int64_t) next;        /* the first that nobody has claimed */
    int64_t begin, end;
    int64_t done;                     /* pieces of any share that this member has done and not told of */
} wsk_team_pieces;

struct wsk_team {
    int size;
    atomic_int here, turn, sleepers, left;
    void (*work)(wsk_team *, int, void *);
    void *context;
    /* Of rounds only. */
    int (*next_round)(wsk_team *, void *);
    int on_caller;                    /* next_round is called on the thread of rank 0 */
    atomic_int users, ended, owed;    /* threads that know of the team; no more rounds; rank 0 is to call next_round */
    _Atomic(int64_t) open;            /* pieces of this round that are not known to be done */
    int64_t pieces;
    _Atomic(uint64_t) failed;         /* of the first piece that failed: its number, and below it the status negated */
    wsk_team_pieces share[WSK_TEAM_MOST];
};

/* Returns the number of members: fewer than `size` where the system gives no more threads, never more than WSK_TEAM_MOST. */
int wsk_team_run(int size, void (*work)(wsk_team *, int, void *), void *context);
void wsk_team_meet(wsk_team *team, void (*alone)(wsk_team *, void *));

/* Rounds of 0 < pieces <= 2^31 pieces, the first at once; on_caller: turn is called on the caller's thread. Returns as
 * wsk_team_run. */
int wsk_team_rounds(int size, int64_t pieces, void (*work)(wsk_team *, int, void *), int (*turn)(wsk_team *, void *),
                    int on_caller, void *context);
/* The next piece for a member, which has done the one that it claimed before; -1: no more rounds. What context points to may be
 * gone, unless the member has a piece. */
int64_t wsk_team_claim(wsk_team *team, int rank);
/* All that a member does in rounds: claim pieces and do them, one by one; a negative status is that of a failure. */
void wsk_team_do(wsk_team *team, int rank, int (*piece)(void *context, int64_t i), void *context);
/* A piece failed: those after it need not be done in this round. For turn: the status of the first that failed since it was
 * asked last, or 0. */
void wsk_team_fail(wsk_team *team, int64_t piece, int status);
int wsk_team_failure(wsk_team *team);

/* Where the share of member `rank` in n pieces of work begins; that of rank + 1 is where it ends. */
static inline int64_t wsk_team_share(const wsk_team *team, int rank, int64_t n) { return n * rank / team->size; }

#endif
