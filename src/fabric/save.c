/* A state as bytes, and back. Reading makes a second state first, so that bytes that are refused leave the first as it was. */
#include "bytes.h"
#include "common/memory.h"
#include <string.h>

static void move_sinks(wsk_bytes *b, const wsk_plan *plan, u8 sinks[WSK_COLORS])
{
    for (int color = 0; color < WSK_COLORS; color++) {
        WSK_MOVE(b, sinks[color]);
        wsk_bytes_need(b, sinks[color] <= WSK_SINK_CORE && (wsk_plan_configured(plan, color) || !sinks[color]));
    }
}

static void sinks_of(const wsk_fabric *f, u8 sinks[WSK_COLORS])
{
    memset(sinks, 0, WSK_COLORS);
    for (int c = 0; c < f->n_colors; c++)
        sinks[f->plan->color_of[c]] = f->sinks[c];
}

/* All that changes while words move. */
static int move_state(wsk_bytes *b, wsk_fabric *f)
{
    WSK_MOVE(b, f->cycle);
    if (!wsk_bytes_need(b, f->cycle >= 0 && f->cycle <= WSK_LAST_CYCLE))
        return WSK_ERR_BAD_BYTES;
    int status = wsk_move_overrides(b, f);
    if (!status && !b->bad)
        wsk_move_lanes(b, f);
    if (!status && !b->bad)
        wsk_move_links(b, f);
    if (!status && !b->bad)
        status = wsk_move_strips(b, f);
    if (!status && !b->bad)
        status = wsk_move_inboxes(b, f);
    for (int y = 0; b->from && y < f->height; y++)
        f->row_busy[y] = f->row_active[y];
    for (int i = 0; b->from && i < f->strips; i++)
        f->strip[i].rows_busy = f->strip[i].rows_active;
    return !status && b->bad ? WSK_ERR_BAD_BYTES : status;
}

int wsk_fabric_save(wsk_fabric *f, void *bytes, size_t room, size_t *needed)
{
    wsk_bytes b = { .to = bytes, .n = room };
    u8 sinks[WSK_COLORS];
    if (needed)
        *needed = 0;
    if (!f || (!bytes && !needed))
        return WSK_ERR_BAD_ARGUMENT;
    if (f->busy)
        return WSK_ERR_BUSY;
    if (f->failed)
        return f->failed;
    for (int i = 0; i < f->strips; i++)
        wsk_keep_lone(f, f->strip + i);
    sinks_of(f, sinks);
    wsk_bytes_begin(&b, WSK_BYTES_FABRIC);
    wsk_write_plan(&b, f->plan);
    move_sinks(&b, f->plan, sinks);
    move_state(&b, f);
    return wsk_bytes_end(&b, needed);
}

/* The rest of the bytes, behind plan and sinks, into a new state. */
static int read_state(wsk_bytes *b, wsk_fabric **fabric, const wsk_plan *plan, const u8 sinks[WSK_COLORS], int simd_level)
{
    int status = wsk_fabric_create(fabric, plan, sinks, simd_level);
    if (!status)
        status = move_state(b, *fabric);
    if (!status)
        status = wsk_bytes_end(b, NULL);
    if (status < 0) {
        wsk_fabric_free(*fabric);
        *fabric = NULL;
    }
    return status < 0 && status != WSK_ERR_NO_MEMORY ? WSK_ERR_BAD_BYTES : status;
}

/* Pass over the plan in the bytes, if it is that of a state: by its own bytes, which are cheaper than a plan that is opened. */
static int pass_plan(wsk_bytes *b, const wsk_fabric *f)
{
    wsk_bytes own = { .to = NULL };
    wsk_write_plan(&own, f->plan);
    size_t n = own.at;
    own = (wsk_bytes){ .to = wsk_alloc(n), .n = n };
    if (!own.to)
        return WSK_ERR_NO_MEMORY;
    wsk_write_plan(&own, f->plan);
    int same = n <= b->n - b->at && memcmp(own.to, b->from + b->at, n) == 0;
    wsk_free(own.to);
    b->at += same ? n : 0;
    return same ? 0 : WSK_ERR_OTHER_PLAN;
}

/* Give a state what another holds; the other takes the old one. The host's callbacks, and who frees the plan, stay. */
static int exchange(wsk_fabric *f, wsk_fabric *other)
{
    if (f->host && !wsk_host_of(other))
        return WSK_ERR_NO_MEMORY;
    wsk_fabric old = *f;
    *f = *other;
    *other = old;
    f->own_plan = old.own_plan;
    other->own_plan = NULL;
    if (old.host) {
        f->host->delivered = old.host->delivered;
        f->host->delivered_context = old.host->delivered_context;
        f->host->roomy = old.host->roomy;
        f->host->room_context = old.host->room_context;
    }
    return 0;
}

int wsk_fabric_load(wsk_fabric *f, const void *bytes, size_t n)
{
    wsk_bytes b = { .from = bytes, .n = n };
    wsk_fabric *read = NULL;
    u8 sinks[WSK_COLORS], own[WSK_COLORS];
    if (!f || !bytes)
        return WSK_ERR_BAD_ARGUMENT;
    if (f->busy)
        return WSK_ERR_BUSY;
    wsk_bytes_begin(&b, WSK_BYTES_FABRIC);
    int status = b.bad ? WSK_ERR_BAD_BYTES : pass_plan(&b, f);
    if (status < 0)
        return status;
    move_sinks(&b, f->plan, sinks);
    sinks_of(f, own);
    status = b.bad ? WSK_ERR_BAD_BYTES : memcmp(own, sinks, sizeof own) != 0 ? WSK_ERR_OTHER_PLAN : 0;
    if (!status)
        status = read_state(&b, &read, f->plan, sinks, f->simd_level);
    if (!status)
        status = exchange(f, read);
    wsk_fabric_free(read);
    return status;
}

int wsk_fabric_open(wsk_fabric **fabric, const void *bytes, size_t n, int simd_level)
{
    wsk_bytes b = { .from = bytes, .n = n };
    wsk_plan *plan = NULL;
    u8 sinks[WSK_COLORS];
    if (fabric)
        *fabric = NULL;
    if (!fabric || !bytes || simd_level < WSK_SIMD_AUTO || simd_level > 2)
        return WSK_ERR_BAD_ARGUMENT;
    wsk_bytes_begin(&b, WSK_BYTES_FABRIC);
    int status = b.bad ? WSK_ERR_BAD_BYTES : wsk_read_plan(&b, &plan);
    if (!status) {
        move_sinks(&b, plan, sinks);
        status = b.bad ? WSK_ERR_BAD_BYTES : read_state(&b, fabric, plan, sinks, simd_level);
    }
    if (status < 0)
        wsk_plan_free(plan);
    else
        (*fabric)->own_plan = plan;
    return status;
}
