/* A team of threads for one run: work(team, rank, context) on every member, the caller among them. There are two ways to share
 * the work:
 *
 * - wsk_team_run: each member has its share, and wsk_team_meet is their barrier. Where there is an `alone`, the last member to
 *   come runs alone(team, context) before any goes on.
 * - wsk_team_rounds: a round is some pieces of work in a row, each done in some steps, one after the other: a step of a piece
 *   as soon as the step before it is done of this piece and of the two beside it, whatever the others are at. Members keep to
 *   the pieces that are theirs, whose memory is near them; one that has waited for a while takes a piece over from another, so
 *   that a member that waits for a core holds nobody up but by the piece that it is at, and the run ends without those that
 *   have none. When all is done, one member alone calls turn(team, context), which tells how many steps the next round has.
 *
 * Threads sleep between runs and serve the next. They end before the process forks, so that a child starts with none and
 * makes its own. Any number of teams may run at once, from any threads. */
#ifndef WSEKERN_TEAM_H
#define WSEKERN_TEAM_H

#include <stdatomic.h>
#include <stdint.h>

enum { WSK_TEAM_MOST = 64, WSK_TEAM_LINE = 64 /* bytes that cores hand each other at a time */ };
typedef struct wsk_team wsk_team;

/* A piece of rounds: how many of its steps someone has claimed, and how many are done, of all rounds. */
typedef struct { _Alignas(WSK_TEAM_LINE) _Atomic(int64_t) claimed, done; } wsk_team_piece;
/* Pieces that a member has done of this round and not told of, in a cache line of its own. */
typedef struct { _Alignas(WSK_TEAM_LINE) int64_t done; } wsk_team_member;

struct wsk_team {
    int size;
    atomic_int left;
    void (*work)(wsk_team *, int, void *);
    void *context;
    /* Of rounds only: what every step reads, and few write. */
    int (*next_round)(wsk_team *, void *);
    int64_t pieces, before;           /* before: steps of earlier rounds */
    _Atomic(int64_t) goal;            /* steps of all rounds up to this one */
    _Atomic(uint64_t) failed;         /* of the first step that failed: its number in this round, piece, and status negated */
    atomic_int *owner;                /* by piece: rank */
    wsk_team_piece *piece;
    atomic_int sleepers;
    int on_caller;                    /* next_round is called on the thread of rank 0 */
    _Alignas(WSK_TEAM_LINE) atomic_int turn;
    atomic_int here, users, ended, owed;   /* threads that know of the team; no more rounds; rank 0 is to call next_round */
    _Alignas(WSK_TEAM_LINE) _Atomic(int64_t) open;        /* pieces of this round that are not known to be done */
    wsk_team_member member[WSK_TEAM_MOST];
};

/* Returns the number of members: fewer than `size` where the system gives no more threads, never more than WSK_TEAM_MOST. */
int wsk_team_run(int size, void (*work)(wsk_team *, int, void *), void *context);
void wsk_team_meet(wsk_team *team, void (*alone)(wsk_team *, void *));

/* Rounds of 0 < pieces <= 2^24 pieces and 0 < steps <= 2^24, the first at once; turn: steps of the next round, 0: no more;
 * on_caller: turn is called on the caller's thread. Returns as wsk_team_run. */
int wsk_team_rounds(int size, int64_t pieces, int steps, void (*work)(wsk_team *, int, void *), int (*turn)(wsk_team *, void *),
                    int on_caller, void *context);
/* All that a member does in rounds: steps of pieces, as they may be done. A negative status is that of a failure, and what
 * comes after that step need not be done in this round: later steps, and this one of pieces further on. What context points to
 * may be gone, unless the member is at a piece. */
void wsk_team_do(wsk_team *team, int rank, int (*piece)(void *context, int64_t i, int step), void *context);
/* For turn: the status of the first step that failed in this round (of the first such piece), or 0; where not NULL, which. */
int wsk_team_failure(wsk_team *team, int *step, int64_t *piece);

/* Where the share of member `rank` in n pieces of work begins; that of rank + 1 is where it ends. */
static inline int64_t wsk_team_share(const wsk_team *team, int rank, int64_t n) { return n * rank / team->size; }

#endif
