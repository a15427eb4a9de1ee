/* Rounds of a team: who does which step of which piece, and who ends a round. */
#include "team_inside.h"

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

static int64_t first_of(const wsk_team *team, int rank) { return wsk_team_share(team, rank, team->pieces); }

/* A member takes the pieces back that it began with. Returns how many others had. */
static int take_back(wsk_team *team, int rank)
{
    int taken = 0;
    for (int64_t i = first_of(team, rank); i < first_of(team, rank + 1); i++)
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
        } else if (rank == 0 && atomic_load_explicit(&team->owed, memory_order_acquire)) {
            atomic_store_explicit(&team->owed, 0, memory_order_relaxed);
            turn_round(team);
            waited = 0;
        } else {
            wait_a_while(team, turn, waited++);
            if (waited >= STAY && !(waited & (waited - 1)) && !take_back(team, rank))
                take_over(team, rank);
        }
    }
}

void wsk_begin_rounds(wsk_team *team, int64_t pieces, int steps, void (*work)(wsk_team *, int, void *),
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
        for (int64_t i = first_of(team, rank); team->size > 1 && i < first_of(team, rank + 1); i++) {
            atomic_init(team->owner + i, rank);
            atomic_init(&team->piece[i].claimed, 0);
            atomic_init(&team->piece[i].done, 0);
        }
    }
    open_round(team, steps);
}
