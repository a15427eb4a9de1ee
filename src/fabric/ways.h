/* Ways under construction: which colors are free at which PE, and the search for a tree through such PEs. */
#ifndef WSEKERN_WAYS_H
#define WSEKERN_WAYS_H

#include "wsekern_connect.h"
#include "fabric_internal.h"

typedef struct { int32_t node, distance, next; } wsk_step;

struct wsk_ways {
    wsk_rules rules;
    int32_t pes;
    u32 *closed;                      /* [PE] colors that no new way may take there */
    wsk_route *routes; int n_routes, room_routes;
    wsk_rect *rects; int n_rects, room_rects;
    int32_t *above;                   /* [width] while painting: the last rectangle that begins in this column, -1: none */
    /* The search under way, by PE. A mark is the number of the search that set it. */
    u32 search, *wanted, *reached, *joined;
    int32_t *distance;                /* links from the tree, of those reached */
    int32_t *depth;                   /* links from the source, of the tree */
    u8 *towards, *out;                /* port towards the tree; outputs of the tree */
    int32_t *tree; int n_tree;        /* PEs of the tree */
    int remaining, x0, y0, x1, y1;    /* destinations that are left; what encloses all */
    /* PEs to look at, in buckets by the length of a way through them, estimated from below */
    wsk_step *steps; int n_steps, room_steps;
    int32_t *first, *last, most;
    int no_memory;
};

/* A new search: its destinations are the PEs that are marked from now on. */
void wsk_begin_search(wsk_ways *w);
void wsk_mark_destinations(wsk_ways *w, wsk_area area);
/* A tree of one color from a source to all destinations: 1; 0: there is none. no_memory says whether that is why. */
int wsk_grow(wsk_ways *w, int32_t source, int color);
/* An array with room for one more than n. */
void *wsk_room_for(wsk_ways *w, void *old, int n, int *room, size_t size);

#endif
