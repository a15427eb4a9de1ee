/* Threads for one run: work(team, rank, context) runs on every member; wsk_team_meet is their barrier. Where there is an
 * `alone`, the last member to come runs alone(team, context) before any goes on. */
#ifndef WSEKERN_TEAM_H
#define WSEKERN_TEAM_H

#include <stdatomic.h>

enum { WSK_TEAM_MOST = 64 };
typedef struct wsk_team wsk_team;
struct wsk_team {
    int size;
    atomic_int here, turn, ready;
    void (*work)(wsk_team *, int, void *);
    void *context;
};

/* Returns the number of members. */
int wsk_team_run(int size, void (*work)(wsk_team *, int, void *), void *context);
void wsk_team_meet(wsk_team *team, void (*alone)(wsk_team *, void *));

#endif
