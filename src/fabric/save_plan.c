/* A plan as bytes: what it was created from, so that opening it checks all of it again. */
#include "bytes.h"
#include "common/memory.h"

static void move_rules(wsk_bytes *b, wsk_rules *r)
{
    WSK_MOVE(b, r->width);
    WSK_MOVE(b, r->height);
    WSK_MOVE(b, r->hop_latency);
    WSK_MOVE(b, r->ramp_latency);
    WSK_MOVE(b, r->buffer_depth);
    WSK_MOVE(b, r->link_words);
    WSK_MOVE(b, r->link_frame);
    WSK_MOVE(b, r->multicast_all);
    WSK_MOVE(b, r->open_edges);
}

void wsk_move_route(wsk_bytes *b, wsk_route *r)
{
    WSK_MOVE(b, r->positions);
    WSK_MOVE(b, r->initial);
    WSK_MOVE(b, r->ring);
    WSK_MOVE(b, r->pop);
    WSK_MOVE(b, r->swap);
    WSK_MOVE(b, r->teardown);
    for (int p = 0; p < WSK_POSITIONS; p++) {
        WSK_MOVE(b, r->in[p]);
        WSK_MOVE(b, r->out[p]);
    }
}

static void move_rect(wsk_bytes *b, wsk_rect *t)
{
    WSK_MOVE(b, t->color);
    WSK_MOVE(b, t->x);
    WSK_MOVE(b, t->y);
    WSK_MOVE(b, t->width);
    WSK_MOVE(b, t->height);
    WSK_MOVE(b, t->route);
}

static void move_filter(wsk_bytes *b, wsk_filter *t)
{
    WSK_MOVE(b, t->color);
    WSK_MOVE(b, t->x);
    WSK_MOVE(b, t->y);
    WSK_MOVE(b, t->width);
    WSK_MOVE(b, t->height);
    WSK_MOVE(b, t->kind);
    WSK_MOVE(b, t->low);
    WSK_MOVE(b, t->high);
    WSK_MOVE(b, t->limit);
    WSK_MOVE(b, t->limit2);
    WSK_MOVE(b, t->start);
    WSK_MOVE(b, t->count_data);
    WSK_MOVE(b, t->count_control);
}

/* Room for n records that are read. */
static void *room_for(wsk_bytes *b, int64_t n, size_t size, int *status)
{
    void *room = b->bad ? NULL : wsk_alloc_zero((size_t)n, size);
    if (!room && !b->bad)
        *status = WSK_ERR_NO_MEMORY;
    return room;
}

/* The lists of a plan, which are its own when it is written and new when it is read. */
static int move_lists(wsk_bytes *b, wsk_plan *p)
{
    int64_t routes = p->n_routes, rects = p->n_rects, filters = p->n_filters;
    int status = 0;
    wsk_bytes_count(b, &routes, 65534, 6 + 2 * WSK_POSITIONS);
    wsk_bytes_count(b, &rects, INT32_MAX, 24);
    wsk_bytes_count(b, &filters, 65535, 52);
    if (b->from) {
        p->routes = room_for(b, routes, sizeof *p->routes, &status);
        p->rects = room_for(b, rects, sizeof *p->rects, &status);
        p->filters = room_for(b, filters, sizeof *p->filters, &status);
        p->n_routes = (int)routes;
        p->n_rects = (int)rects;
        p->n_filters = (int)filters;
    }
    for (int i = 0; i < p->n_routes && !status && !b->bad; i++)
        wsk_move_route(b, p->routes + i);
    for (int i = 0; i < p->n_rects && !status && !b->bad; i++)
        move_rect(b, p->rects + i);
    for (int i = 0; i < p->n_filters && !status && !b->bad; i++)
        move_filter(b, p->filters + i);
    return status;
}

void wsk_write_plan(wsk_bytes *b, const wsk_plan *plan)
{
    wsk_plan p = *plan;
    move_rules(b, &p.rules);
    move_lists(b, &p);
}

int wsk_read_plan(wsk_bytes *b, wsk_plan **plan)
{
    wsk_plan p = { .n_routes = 0 };
    *plan = NULL;
    move_rules(b, &p.rules);
    int status = move_lists(b, &p);
    if (!status && b->bad)
        status = WSK_ERR_BAD_BYTES;
    if (!status)
        status = wsk_plan_create(plan, &p.rules, p.routes, p.n_routes, p.rects, p.n_rects, p.filters, p.n_filters, NULL);
    wsk_free(p.routes);
    wsk_free(p.rects);
    wsk_free(p.filters);
    return status && status != WSK_ERR_NO_MEMORY ? WSK_ERR_BAD_BYTES : status;
}

int wsk_plan_save(const wsk_plan *plan, void *bytes, size_t room, size_t *needed)
{
    wsk_bytes b = { .to = bytes, .n = room };
    if (needed)
        *needed = 0;
    if (!plan || (!bytes && !needed))
        return WSK_ERR_BAD_ARGUMENT;
    wsk_bytes_begin(&b, WSK_BYTES_PLAN);
    wsk_write_plan(&b, plan);
    return wsk_bytes_end(&b, needed);
}

int wsk_plan_open(wsk_plan **plan, const void *bytes, size_t n)
{
    wsk_bytes b = { .from = bytes, .n = n };
    if (plan)
        *plan = NULL;
    if (!plan || !bytes)
        return WSK_ERR_BAD_ARGUMENT;
    wsk_bytes_begin(&b, WSK_BYTES_PLAN);
    int status = b.bad ? WSK_ERR_BAD_BYTES : wsk_read_plan(&b, plan);
    if (!status)
        status = wsk_bytes_end(&b, NULL);
    if (status < 0) {
        wsk_plan_free(*plan);
        *plan = NULL;
    }
    return status;
}
