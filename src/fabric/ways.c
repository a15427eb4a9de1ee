/* The search for a way: a tree, grown from its source to the nearest destination, from the tree so far to the next one, and so
 * on, by shortest paths through routers where the color is free. */
#include "ways.h"
#include "common/memory.h"
#include <limits.h>
#include <string.h>

/* ---- What is free --------------------------------------------------------------------------------------------------- */

/* The PE beside one by a side, -1: off the fabric. */
static int32_t beside(const wsk_rules *r, int32_t pe, int side)
{
    static const int dx[SIDES] = { 0, 1, 0, -1 }, dy[SIDES] = { -1, 0, 1, 0 };
    int x = pe % r->width + dx[side], y = pe / r->width + dy[side];
    return x < 0 || y < 0 || x >= r->width || y >= r->height ? -1 : y * r->width + x;
}

/* A PE with a route is taken (of a color that it swaps, the partner too), and so are those that it sends to: a word might come. */
static void close_route(wsk_ways *w, int32_t pe, int color, const wsk_route *route)
{
    w->closed[pe] |= (u32)1 << color | (route->swap ? (u32)1 << (color ^ 1) : 0);
    for (int side = 0; side < SIDES; side++) {
        int32_t there = beside(&w->rules, pe, side);
        int sends = 0;
        for (int p = 0; p < route->positions; p++)
            sends |= route->out[p] >> side & 1;
        if (sends && there >= 0)
            w->closed[there] |= (u32)1 << color;
    }
}

static void close_plan(wsk_ways *w, const wsk_plan *plan)
{
    for (int c = 0; c < plan->n_colors; c++)
        for (int y = 0; y < w->rules.height; y++) {
            size_t row = (size_t)c * w->rules.height + y;
            for (int i = plan->row_first[row]; i < plan->row_first[row] + plan->row_count[row]; i++)
                for (int x = plan->spans[i].x0; x < plan->spans[i].x1; x++)
                    close_route(w, y * w->rules.width + x, plan->color_of[c], plan->routes + plan->spans[i].route);
        }
    for (int i = 0; i < plan->n_filters; i++) {
        const wsk_filter *t = plan->filters + i;
        for (int y = t->y; y < t->y + t->height; y++)
            for (int x = t->x; x < t->x + t->width; x++)
                w->closed[y * w->rules.width + x] |= (u32)1 << t->color;
    }
}

void *wsk_room_for(wsk_ways *w, void *old, int n, int *room, size_t size)
{
    if (n < *room)
        return old;
    int more = *room ? 2 * *room : 64;
    void *grown = wsk_realloc(old, (size_t)more * size);
    if (!grown) {
        w->no_memory = 1;
        return old;
    }
    *room = more;
    return grown;
}

void wsk_ways_free(wsk_ways *w)
{
    if (!w)
        return;
    void *held[] = { w->closed, w->routes, w->rects, w->above, w->wanted, w->reached, w->joined, w->distance, w->depth,
                     w->towards, w->out, w->tree, w->steps, w->first, w->last };
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        wsk_free(held[i]);
    wsk_free(w);
}

/* Space for searches. A length may be that of a way through every PE, and what may be left behind it. */
static int allocate(wsk_ways *w)
{
    size_t pes = (size_t)w->pes, buckets = pes + (size_t)w->rules.width + (size_t)w->rules.height;
    u32 **marks[] = { &w->closed, &w->wanted, &w->reached, &w->joined };
    int32_t **numbers[] = { &w->distance, &w->depth, &w->tree };
    for (int i = 0; i < 4; i++)
        if (!(*marks[i] = wsk_alloc_zero(pes, sizeof **marks[i])))
            return WSK_ERR_NO_MEMORY;
    for (int i = 0; i < 3; i++)
        if (!(*numbers[i] = wsk_alloc_zero(pes, sizeof **numbers[i])))
            return WSK_ERR_NO_MEMORY;
    w->first = wsk_alloc(buckets * sizeof *w->first);
    w->last = wsk_alloc(buckets * sizeof *w->last);
    w->above = wsk_alloc((size_t)w->rules.width * sizeof *w->above);
    w->towards = wsk_alloc_zero(pes, 1);
    w->out = wsk_alloc_zero(pes, 1);
    if (!w->first || !w->last || !w->above || !w->towards || !w->out)
        return WSK_ERR_NO_MEMORY;
    memset(w->first, -1, buckets * sizeof *w->first);
    return 0;
}

int wsk_ways_create(wsk_ways **ways, const wsk_plan *plan)
{
    if (ways)
        *ways = NULL;
    if (!ways || !plan)
        return WSK_ERR_BAD_ARGUMENT;
    wsk_ways *w = wsk_alloc_zero(1, sizeof *w);
    if (!w)
        return WSK_ERR_NO_MEMORY;
    w->rules = plan->rules;
    w->pes = plan->rules.width * plan->rules.height;
    w->room_routes = plan->n_routes + 16;
    w->routes = wsk_alloc((size_t)w->room_routes * sizeof *w->routes);
    if (allocate(w) < 0 || !w->routes) {
        wsk_ways_free(w);
        return WSK_ERR_NO_MEMORY;
    }
    w->n_routes = plan->n_routes;
    if (plan->n_routes)
        memcpy(w->routes, plan->routes, (size_t)plan->n_routes * sizeof *w->routes);
    close_plan(w, plan);
    *ways = w;
    return 0;
}

/* ---- A tree --------------------------------------------------------------------------------------------------------- */

/* Links that a PE is away from what encloses all destinations. */
static int outside_by(const wsk_ways *w, int32_t pe)
{
    int x = pe % w->rules.width, y = pe / w->rules.width;
    return (x < w->x0 ? w->x0 - x : x > w->x1 ? x - w->x1 : 0) + (y < w->y0 ? w->y0 - y : y > w->y1 ? y - w->y1 : 0);
}

/* Look at a PE later: the newest first on the way to the destinations, which leads straight on; in turn among them, which
 * spreads. */
static void look_at(wsk_ways *w, int32_t pe, int32_t distance)
{
    int away = outside_by(w, pe), bucket = distance + away, i = w->n_steps;
    w->steps = wsk_room_for(w, w->steps, w->n_steps, &w->room_steps, sizeof *w->steps);
    if (w->no_memory)
        return;
    w->n_steps++;
    w->reached[pe] = w->search;
    w->distance[pe] = distance;
    w->most = bucket > w->most ? bucket : w->most;
    w->steps[i] = (wsk_step){ pe, distance, -1 };
    if (w->first[bucket] < 0)
        w->first[bucket] = w->last[bucket] = i;
    else if (away) {
        w->steps[i].next = w->first[bucket];
        w->first[bucket] = i;
    } else {
        w->steps[w->last[bucket]].next = i;
        w->last[bucket] = i;
    }
}

/* A PE that was reached and the path that led to it become part of the tree. */
static void join(wsk_ways *w, int32_t pe)
{
    int32_t node = pe, before = w->n_tree;
    u8 out = 0;
    for (; w->joined[node] != w->search; node = beside(&w->rules, node, w->towards[node])) {
        if (w->wanted[node] == w->search) {
            w->remaining--;
            out |= 1 << WSK_RAMP;
        }
        w->joined[node] = w->search;
        w->out[node] = out;
        w->tree[w->n_tree++] = node;
        out = (u8)(1 << (w->towards[node] + 2) % SIDES);
    }
    w->out[node] |= out;
    for (int32_t i = w->n_tree - 1; i >= before; i--) {
        w->depth[w->tree[i]] = w->depth[node] + (w->n_tree - i);
        look_at(w, w->tree[i], 0);
    }
}

/* Begin at a source, with destinations that are marked. */
static void plant(wsk_ways *w, int32_t source)
{
    w->n_tree = w->n_steps = 0;
    w->joined[source] = w->search;
    w->out[source] = w->wanted[source] == w->search ? 1 << WSK_RAMP : 0;
    w->remaining -= w->wanted[source] == w->search;
    w->towards[source] = WSK_RAMP;
    w->depth[source] = 0;
    w->tree[w->n_tree++] = source;
    look_at(w, source, 0);
}

/* A tree of one color from a source to all marked destinations; whether there is one. */
int wsk_grow(wsk_ways *w, int32_t source, int color)
{
    if (w->closed[source] >> color & 1)
        return 0;
    plant(w, source);
    for (int bucket = 0; w->remaining && bucket <= w->most && !w->no_memory; ) {
        int i = w->first[bucket];
        if (i < 0) {
            bucket++;
            continue;
        }
        wsk_step step = w->steps[i];
        w->first[bucket] = step.next;
        if (step.distance > w->distance[step.node])
            continue;
        if (w->wanted[step.node] == w->search && w->joined[step.node] != w->search) {
            join(w, step.node);
            bucket = 0;
            continue;
        }
        for (int side = 0; side < SIDES; side++) {
            int32_t there = beside(&w->rules, step.node, side);
            if (there < 0 || w->closed[there] >> color & 1 || w->joined[there] == w->search
                || (w->reached[there] == w->search && w->distance[there] <= step.distance + 1))
                continue;
            w->towards[there] = (u8)((side + 2) % SIDES);
            look_at(w, there, step.distance + 1);
            if (outside_by(w, there) + step.distance + 1 < bucket)
                bucket = outside_by(w, there) + step.distance + 1;
        }
    }
    memset(w->first, -1, ((size_t)w->most + 1) * sizeof *w->first);
    w->most = 0;
    return !w->remaining;
}

void wsk_begin_search(wsk_ways *w)
{
    w->search++;
    w->remaining = 0;
    w->x0 = w->y0 = INT_MAX;
    w->x1 = w->y1 = -1;
}

void wsk_mark_destinations(wsk_ways *w, wsk_area a)
{
    w->x0 = a.x < w->x0 ? a.x : w->x0;
    w->y0 = a.y < w->y0 ? a.y : w->y0;
    w->x1 = a.x + a.width - 1 > w->x1 ? a.x + a.width - 1 : w->x1;
    w->y1 = a.y + a.height - 1 > w->y1 ? a.y + a.height - 1 : w->y1;
    for (int y = a.y; y < a.y + a.height; y++)
        for (int x = a.x; x < a.x + a.width; x++) {
            w->remaining += w->wanted[y * w->rules.width + x] != w->search;
            w->wanted[y * w->rules.width + x] = w->search;
        }
}
