/* Ways between PEs of one fabric, painted with colors that are free where they go; and links between the edges of two fabrics.
 * Arguments, threads and ownership are as in wsekern_fabric.h. */
#ifndef WSEKERN_CONNECT_H
#define WSEKERN_CONNECT_H

#include "wsekern_fabric.h"

/* A rectangle of PEs. */
typedef struct { int32_t x, y, width, height; } wsk_area;

/* What was painted, or why nothing was. Set size to sizeof(wsk_connection). */
typedef struct {
    uint32_t size;
    uint32_t colors;                  /* mask of the colors that the ways took */
    int32_t links;                    /* links of all ways together */
    int32_t longest;                  /* links from a source to the farthest of its destinations, at most */
    int32_t x, y, to_x, to_y;         /* where no way was found: from which PE to which; else -1 */
    uint32_t tried, at_source, at_destination;    /* there: colors that might be taken, those in use at the source already, or
                                       * at the destination; routes between them cut the others off */
    int32_t sources;                  /* PEs that were to be connected */
} wsk_connection;

/* A plan under construction: which colors are free at which PE, and the routes and rectangles of the ways that were painted. */
typedef struct wsk_ways wsk_ways;

/* Of `lanes` rows or columns of the edge of one fabric to as many of another. A word that leaves the first fabric by from_port
 * of row or column from_first + i enters the second by to_port of to_first + i. `latency`: cycles from the one in which it can
 * be read at the edge to the one in which it waits at the other. The link carries at most `words` words in any `frame` cycles,
 * in the order in which they came (at once: by lane); words beyond that queue up before it without limit, as an edge never
 * holds a word back. Set size to sizeof(wsk_link_rules). */
typedef struct {
    uint32_t size;
    int32_t from_port, from_first, to_port, to_first, lanes;
    int32_t latency;                  /* 1..1,000,000,000 */
    int32_t words, frame;             /* 1..65536 words in 1..1,000,000 cycles */
} wsk_link_rules;

/* A word on a link: it waits at the far edge from cycle `due` on. */
typedef struct {
    int64_t due;
    uint32_t data;
    uint16_t lane;
    uint8_t color, flags;             /* flags: WSK_CONTROL, WSK_ADVANCE */
} wsk_link_word;

typedef struct wsk_link wsk_link;

/* One link of several fabrics that are stepped together: numbers of the fabrics that it leads from and to. */
typedef struct { wsk_link *link; int32_t from, to; } wsk_joint;

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Ways ----------------------------------------------------------------------------------------------------------- */

/* What the plan has is taken; it may be freed afterwards. */
WSK_API int wsk_ways_create(wsk_ways **ways, const wsk_plan *plan);
WSK_API void wsk_ways_free(wsk_ways *ways);       /* NULL: nothing */
/* Paint a way from every PE of `from`: to all PEs of all rectangles `to` where it is one PE (a path or a multicast tree), else
 * to the PE at the same place of each of them (they have its size). Of `colors` (a mask) each way takes one that has no route,
 * no filter and no words passing at any PE on it: the lowest that leads to every destination without a detour, else the one
 * whose longest way is shortest. A word sent on that color from its source arrives once at each destination and nowhere else;
 * each way is a tree of its own, which cannot deadlock by itself. color_of: NULL, or the color of each source, row by row. All
 * or nothing: WSK_ERR_NO_WAY where colors run out, and `found` says where and why. */
WSK_API int wsk_connect(wsk_ways *ways, uint32_t colors, const wsk_area *from, const wsk_area *to, int n_to, uint8_t *color_of,
                        wsk_connection *found);
/* Routes of the plan and, behind them, of the ways; how many, in *routes. */
WSK_API int wsk_ways_routes(const wsk_ways *ways, const wsk_route **routes);
/* Rectangles of the ways painted so far, for wsk_plan_create behind those of the plan; how many, in *rects. */
WSK_API int wsk_ways_rects(const wsk_ways *ways, const wsk_rect **rects);
/* A connection as a sentence; as wsk_report_text. */
WSK_API int wsk_connection_text(const wsk_connection *found, char *text, size_t room);

/* ---- Links ---------------------------------------------------------------------------------------------------------- */

WSK_API int wsk_link_create(wsk_link **link, const wsk_link_rules *rules);
WSK_API void wsk_link_free(wsk_link *link);       /* NULL: nothing */
/* Take over the words that leave a fabric by the link's lanes in its present cycle: after each step of it, once; how many. */
WSK_API int wsk_link_collect(wsk_link *link, const wsk_fabric *from);
/* The same for one word, which left by a lane at a cycle not before that of the last one. */
WSK_API int wsk_link_put(wsk_link *link, int64_t cycle, int lane, int color, uint32_t data, int flags);
/* Let the words that are due by now wait at the edge of a fabric: before each step of it; how many there were. */
WSK_API int wsk_link_deliver(wsk_link *link, wsk_fabric *to);
/* Carry words from a process to another: take the first ones (at most room) away here, give them to a link with the same rules
 * there, in the same order. How many were taken. */
WSK_API int wsk_link_take(wsk_link *link, wsk_link_word *words, int room);
WSK_API int wsk_link_give(wsk_link *link, const wsk_link_word *words, int n);
/* When the first word is due, INT64_MAX: there is none. Words on the link. */
WSK_API int64_t wsk_link_next(const wsk_link *link);
WSK_API int64_t wsk_link_waiting(const wsk_link *link);
WSK_API int wsk_link_reset(wsk_link *link);       /* no words; the bandwidth of old ones forgotten */
/* Step fabrics whose clocks are equal, cycle by cycle and links between, until `until` or, with idle, until no word is left. */
WSK_API int wsk_link_run(wsk_fabric *const *fabrics, int n_fabrics, const wsk_joint *joints, int n_joints, int64_t until,
                         int idle);

#ifdef __cplusplus
}
#endif

#endif
