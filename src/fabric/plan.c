/* Plan: rules and routes, checked and flattened. Rows with the same routes share their spans. */
#include "fabric_internal.h"
#include "common/memory.h"
#include <string.h>

static int bad(wsk_report *report, int status, int x, int y, const wsk_rules *rules, int color, int port)
{
    if (report) {
        memset(report, 0, sizeof *report);
        report->status = status;
        report->pe = (u32)(y * rules->width + x);
        report->color = color;
        report->port = port;
        report->other_port = -1;
    }
    return status;
}

static int check_rules(const wsk_rules *r)
{
    int links = r->link_words >= 1 && (r->link_frame == r->link_words
                                       || (r->link_words <= 15 && r->link_frame == r->link_words + 1));
    if (r->width < 1 || r->width > 4096 || r->height < 1 || r->height > 65536 || !links
        || r->hop_latency < 1 || r->hop_latency > WSK_MAX_LATENCY || r->ramp_latency < 1
        || r->ramp_latency > WSK_MAX_LATENCY || r->buffer_depth < 1 || r->buffer_depth > WSK_MAX_DEPTH)
        return WSK_ERR_BAD_ARGUMENT;
    return 0;
}

static int check_route(const wsk_route *route)
{
    if (route->positions < 1 || route->positions > WSK_POSITIONS || route->initial >= route->positions
        || route->pop > WSK_POP_ON_ADVANCE_NOP || route->swap & ~(WSK_SWAP_EW | WSK_SWAP_NS))
        return WSK_ERR_BAD_ARGUMENT;
    for (int p = 0; p < route->positions; p++)
        if (!route->in[p] || !route->out[p] || route->in[p] >> PORTS || route->out[p] >> PORTS)
            return WSK_ERR_BAD_ARGUMENT;
    return 0;
}

/* The first port by which a rectangle's route leads off the wafer, -1 if none. */
static int off_wafer(const wsk_rules *r, const wsk_rect *rect, const wsk_route *route)
{
    int out = 0;
    for (int p = 0; p < route->positions; p++)
        out |= route->out[p];
    if (rect->y == 0 && out >> WSK_NORTH & 1)
        return WSK_NORTH;
    if (rect->x + rect->width == r->width && out >> WSK_EAST & 1)
        return WSK_EAST;
    if (rect->y + rect->height == r->height && out >> WSK_SOUTH & 1)
        return WSK_SOUTH;
    if (rect->x == 0 && out >> WSK_WEST & 1)
        return WSK_WEST;
    return -1;
}

static int check_rects(const wsk_rules *r, const wsk_route *routes, int n_routes, const wsk_rect *rects, int n_rects,
                       wsk_report *report)
{
    for (int i = 0; i < n_rects; i++) {
        const wsk_rect *t = rects + i;
        if (t->color < 0 || t->color >= WSK_COLORS || t->route < -1 || t->route >= n_routes || t->width < 1
            || t->height < 1 || t->x < 0 || t->y < 0 || t->x > r->width - t->width || t->y > r->height - t->height)
            return WSK_ERR_BAD_ARGUMENT;
        if (t->route < 0 || r->open_edges)
            continue;
        int port = off_wafer(r, t, routes + t->route);
        if (port >= 0)
            return bad(report, WSK_ERR_OFF_WAFER, port == WSK_EAST ? r->width - 1 : t->x,
                       port == WSK_SOUTH ? r->height - 1 : t->y, r, t->color, port);
    }
    return 0;
}

static int check_filters(const wsk_rules *r, const wsk_filter *filters, int n_filters)
{
    for (int i = 0; i < n_filters; i++) {
        const wsk_filter *t = filters + i;
        if (t->color < 0 || t->color >= WSK_COLORS || t->width < 1 || t->height < 1 || t->x < 0 || t->y < 0
            || t->x > r->width - t->width || t->y > r->height - t->height
            || t->kind < WSK_FILTER_RANGE || t->kind > WSK_FILTER_SPARSE)
            return WSK_ERR_BAD_ARGUMENT;
    }
    return 0;
}

/* Paint one color's rectangles into ids[height][width] (route + 1, 0: none). */
static void paint(u32 *ids, const wsk_rules *r, const wsk_rect *rects, int n_rects, int color)
{
    memset(ids, 0, (size_t)r->width * r->height * sizeof *ids);
    for (int i = 0; i < n_rects; i++)
        if (rects[i].color == color)
            for (int y = rects[i].y; y < rects[i].y + rects[i].height; y++)
                for (int x = rects[i].x; x < rects[i].x + rects[i].width; x++)
                    ids[(size_t)y * r->width + x] = (u32)(rects[i].route + 1);
}

static int add_span(wsk_plan *p, int *room, int x0, int x1, int route)
{
    if (p->n_spans == *room) {
        int more = *room ? 2 * *room : 256;
        wsk_span *grown = wsk_realloc(p->spans, (size_t)more * sizeof *grown);
        if (!grown)
            return WSK_ERR_NO_MEMORY;
        p->spans = grown;
        *room = more;
    }
    p->spans[p->n_spans++] = (wsk_span){ x0, x1, route };
    return 0;
}

static int cut_spans(wsk_plan *p, int *room, const u32 *ids, int c)
{
    int width = p->rules.width, height = p->rules.height;
    for (int y = 0; y < height; y++) {
        const u32 *row = ids + (size_t)y * width;
        size_t at = (size_t)c * height + y;
        if (y && !memcmp(row, row - width, (size_t)width * sizeof *row)) {
            p->row_first[at] = p->row_first[at - 1];
            p->row_count[at] = p->row_count[at - 1];
            continue;
        }
        p->row_first[at] = p->n_spans;
        for (int x = 0, x1; x < width; x = x1) {
            for (x1 = x + 1; x1 < width && row[x1] == row[x]; x1++) {}
            if (row[x] && add_span(p, room, x, x1, (int)row[x] - 1) < 0)
                return WSK_ERR_NO_MEMORY;
        }
        p->row_count[at] = p->n_spans - p->row_first[at];
    }
    return 0;
}

static void choose_colors(wsk_plan *p, const wsk_route *routes, const wsk_rect *rects, int n_rects)
{
    u32 used = 0;
    for (int i = 0; i < n_rects; i++) {
        if (rects[i].route < 0)
            continue;
        used |= (u32)1 << rects[i].color;
        if (routes[rects[i].route].swap) {
            used |= (u32)1 << (rects[i].color ^ 1);
            p->has_swap = 1;
        }
    }
    for (int color = 0; color < WSK_COLORS; color++) {
        p->index_of[color] = -1;
        if (used >> color & 1) {
            p->index_of[color] = (int8_t)p->n_colors;
            p->color_of[p->n_colors++] = (u8)color;
        }
    }
}

static void *copy_of(const void *from, size_t bytes)
{
    void *to = wsk_alloc(bytes ? bytes : 1);
    if (to && bytes)
        memcpy(to, from, bytes);
    return to;
}

int wsk_plan_create(wsk_plan **plan, const wsk_rules *rules, const wsk_route *routes, int n_routes,
                    const wsk_rect *rects, int n_rects, const wsk_filter *filters, int n_filters, wsk_report *report)
{
    u32 *ids = NULL;
    wsk_plan *p = NULL;
    int room = 0;
    if (plan)
        *plan = NULL;
    if (!plan || !rules || n_routes < 0 || n_rects < 0 || n_filters < 0 || n_routes > 65534 || n_filters > 65535
        || (n_routes && !routes) || (n_rects && !rects) || (n_filters && !filters))
        return WSK_ERR_BAD_ARGUMENT;
    int status = check_rules(rules);
    for (int i = 0; i < n_routes && !status; i++)
        status = check_route(routes + i);
    if (!status)
        status = check_rects(rules, routes, n_routes, rects, n_rects, report);
    if (!status)
        status = check_filters(rules, filters, n_filters);
    if (status)
        return status;

    status = WSK_ERR_NO_MEMORY;
    p = wsk_alloc_zero(1, sizeof *p);
    if (!p)
        goto out;
    p->rules = *rules;
    choose_colors(p, routes, rects, n_rects);
    p->n_routes = n_routes;
    p->n_filters = n_filters;
    p->routes = copy_of(routes, (size_t)n_routes * sizeof *routes);
    p->filters = copy_of(filters, (size_t)n_filters * sizeof *filters);
    p->rects = copy_of(rects, (size_t)n_rects * sizeof *rects);
    p->n_rects = n_rects;
    p->row_first = wsk_alloc_zero((size_t)p->n_colors * rules->height + 1, sizeof *p->row_first);
    p->row_count = wsk_alloc_zero((size_t)p->n_colors * rules->height + 1, sizeof *p->row_count);
    ids = wsk_alloc((size_t)rules->width * rules->height * sizeof *ids);
    if (!p->routes || !p->filters || !p->rects || !p->row_first || !p->row_count || !ids)
        goto out;
    for (int c = 0; c < p->n_colors; c++) {
        paint(ids, rules, rects, n_rects, p->color_of[c]);
        if (cut_spans(p, &room, ids, c) < 0)
            goto out;
    }
    *plan = p;
    p = NULL;
    status = 0;
out:
    wsk_free(ids);
    wsk_plan_free(p);
    return status;
}

void wsk_plan_free(wsk_plan *p)
{
    if (!p)
        return;
    wsk_free(p->routes);
    wsk_free(p->filters);
    wsk_free(p->rects);
    wsk_free(p->spans);
    wsk_free(p->row_first);
    wsk_free(p->row_count);
    wsk_free(p);
}

const wsk_rules *wsk_plan_rules(const wsk_plan *p) { return p ? &p->rules : NULL; }

int wsk_plan_configured(const wsk_plan *p, int color) 
{
    return p && color >= 0 && color < WSK_COLORS && p->index_of[color] >= 0;
}

const wsk_route *wsk_plan_route(const wsk_plan *p, int x, int y, int color)
{
    int c = wsk_plan_configured(p, color) ? p->index_of[color] : -1;
    if (c < 0 || x < 0 || y < 0 || x >= p->rules.width || y >= p->rules.height)
        return NULL;
    size_t at = (size_t)c * p->rules.height + y;
    int low = p->row_first[at], high = low + p->row_count[at];
    while (low < high) {
        int middle = (low + high) / 2;
        if (p->spans[middle].x1 <= x)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < p->row_first[at] + p->row_count[at] && p->spans[low].x0 <= x)
        return p->routes + p->spans[low].route;
    return NULL;
}
