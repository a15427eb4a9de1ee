/* What serves the host between two cycles: the queues that it pushes to and pops from, and its callbacks. */
#include "fabric_internal.h"
#include "common/memory.h"
#include <string.h>

wsk_host *wsk_host_of(wsk_fabric *f)
{
    if (!f->host)
        f->host = wsk_alloc_zero(1, sizeof *f->host);
    return f->host;
}

void wsk_free_inboxes(wsk_host *host)
{
    for (int i = 0; i < host->n_inboxes; i++)
        wsk_free(host->inboxes[i].words);
    wsk_free(host->inboxes);
    for (int c = 0; c < WSK_COLORS; c++) {
        wsk_free(host->inbox_at[c]);
        host->inbox_at[c] = NULL;
    }
    host->inboxes = NULL;
    host->n_inboxes = host->room_inboxes = 0;
}

void wsk_free_host(wsk_host *host)
{
    if (host)
        wsk_free_inboxes(host);
    wsk_free(host);
}

/* ---- Words to the host ---- */

/* The queue of color index c at a PE, NULL: the host does not listen there. */
wsk_inbox *wsk_inbox_of(const wsk_fabric *f, u32 pe, int c)
{
    const wsk_host *host = f->host;
    if (!host || c < 0 || !host->inbox_at[c] || !host->inbox_at[c][pe])
        return NULL;
    return host->inboxes + host->inbox_at[c][pe] - 1;
}

/* Room for one word more. */
static int grow_inbox(wsk_inbox *box)
{
    if (box->n < box->room)
        return 0;
    if (box->at > box->room / 2) {
        memmove(box->words, box->words + box->at, (size_t)(box->n - box->at) * sizeof *box->words);
        box->n -= box->at;
        box->at = 0;
        return 0;
    }
    int64_t more = box->room ? 2 * box->room : 8;
    wsk_delivery *grown = wsk_realloc(box->words, (size_t)more * sizeof *grown);
    if (!grown)
        return WSK_ERR_NO_MEMORY;
    box->words = grown;
    box->room = more;
    return 0;
}

int wsk_fill_inbox(wsk_inbox *box, const wsk_delivery *word)
{
    int status = grow_inbox(box);
    if (!status)
        box->words[box->n++] = *word;
    return status;
}

/* A queue for color index c at a PE, which had none. */
wsk_inbox *wsk_new_inbox(wsk_fabric *f, u32 pe, int c, int depth)
{
    wsk_host *host = wsk_host_of(f);
    if (!host)
        return NULL;
    if (!host->inbox_at[c])
        host->inbox_at[c] = wsk_alloc_zero((size_t)f->width * f->height, sizeof *host->inbox_at[c]);
    if (!host->inbox_at[c])
        return NULL;
    if (host->n_inboxes == host->room_inboxes) {
        int more = host->room_inboxes ? 2 * host->room_inboxes : 16;
        wsk_inbox *grown = wsk_realloc(host->inboxes, (size_t)more * sizeof *grown);
        if (!grown)
            return NULL;
        host->inboxes = grown;
        host->room_inboxes = more;
    }
    host->inboxes[host->n_inboxes++] = (wsk_inbox){ .pe = pe, .index = (u8)c, .depth = (u8)depth };
    host->inbox_at[c][pe] = (u32)host->n_inboxes;
    return host->inboxes + host->n_inboxes - 1;
}

int wsk_fabric_listen(wsk_fabric *f, uint32_t pe, int color, int depth)
{
    int c = wsk_color_at(f, pe, color), core = c >= 0 && f->sinks[c] == WSK_SINK_CORE;
    if (c < 0 || f->sinks[c] == WSK_SINK_COUNT || (core && (depth < 1 || depth > 255)))
        return WSK_ERR_BAD_ARGUMENT;
    if (wsk_inbox_of(f, pe, c))
        return 0;
    if (!wsk_new_inbox(f, pe, c, core ? depth : 0))
        return WSK_ERR_NO_MEMORY;
    return core ? wsk_fabric_credit(f, pe, color, depth) : 0;
}

/* After a reset: nothing to pop, and credit for all places. */
void wsk_clear_inboxes(wsk_fabric *f)
{
    for (int i = 0; f->host && i < f->host->n_inboxes; i++) {
        wsk_inbox *box = f->host->inboxes + i;
        box->n = box->at = 0;
        if (box->depth)
            wsk_fabric_credit(f, box->pe, f->plan->color_of[box->index], box->depth);
    }
}

int wsk_copy_inboxes(wsk_fabric *to, const wsk_fabric *from)
{
    if (to->host)
        wsk_free_inboxes(to->host);
    for (int i = 0; from->host && i < from->host->n_inboxes; i++) {
        const wsk_inbox *old = from->host->inboxes + i;
        wsk_inbox *box = wsk_new_inbox(to, old->pe, old->index, old->depth);
        for (int64_t j = old->at; box && j < old->n; j++)
            if (wsk_fill_inbox(box, old->words + j) < 0)
                return WSK_ERR_NO_MEMORY;
        if (!box)
            return WSK_ERR_NO_MEMORY;
    }
    return 0;
}

int wsk_fabric_top(const wsk_fabric *f, uint32_t pe, int color, wsk_delivery *word)
{
    const wsk_inbox *box = f ? wsk_inbox_of(f, pe, wsk_color_at(f, pe, color)) : NULL;
    if (!box)
        return WSK_ERR_BAD_ARGUMENT;
    if (box->at == box->n)
        return 0;
    if (word)
        *word = box->words[box->at];
    return 1;
}

int wsk_fabric_pop(wsk_fabric *f, uint32_t pe, int color, wsk_delivery *word)
{
    wsk_delivery taken;
    int found = wsk_fabric_top(f, pe, color, &taken);
    if (found != 1)
        return found;
    wsk_inbox *box = wsk_inbox_of(f, pe, wsk_color_at(f, pe, color));
    if (++box->at == box->n)
        box->at = box->n = 0;
    if (box->depth && !(taken.flags & WSK_TORN_DOWN))
        wsk_fabric_credit(f, pe, color, 1);
    if (word)
        *word = taken;
    return 1;
}

/* ---- Words from the host ---- */

int wsk_fabric_room(const wsk_fabric *f, uint32_t pe, int color)
{
    int c = wsk_color_at(f, pe, color);
    if (c < 0)
        return WSK_ERR_BAD_ARGUMENT;
    u32 at = *wsk_source_index(f, pe, WSK_RAMP);
    if (!at)
        return WSK_PUSH_DEPTH;
    const wsk_stream *stream = wsk_strip_of(f, (int)(pe / (u32)f->width))->sources[at - 1]->of + c;
    int64_t waiting = stream->n - stream->at;
    return waiting < WSK_PUSH_DEPTH ? WSK_PUSH_DEPTH - (int)waiting : 0;
}

/* Remember to tell the host when there is room again, at a ramp where words wait. */
int wsk_remember_refusal(wsk_fabric *f, u32 pe, int c)
{
    wsk_strip *s = wsk_strip_of(f, (int)(pe / (u32)f->width));
    wsk_source *source = s->sources[*wsk_source_index(f, pe, WSK_RAMP) - 1];
    if (source->refused >> c & 1)
        return 0;
    if (s->n_refused == s->room_refused) {
        int more = s->room_refused ? 2 * s->room_refused : 16;
        wsk_refusal *grown = wsk_realloc(s->refused, (size_t)more * sizeof *grown);
        if (!grown)
            return WSK_ERR_NO_MEMORY;
        s->refused = grown;
        s->room_refused = more;
    }
    source->refused |= (u32)1 << c;
    s->refused[s->n_refused++] = (wsk_refusal){ source, (u8)c };
    return 0;
}

int wsk_fabric_push(wsk_fabric *f, uint32_t pe, int color, uint32_t data, int flags)
{
    const u8 bits = (u8)flags;
    int c = f ? wsk_color_at(f, pe, color) : -1;
    if (c >= 0 && !(flags & ~3) && !wsk_fabric_room(f, pe, color))
        return f->host && f->host->roomy ? wsk_remember_refusal(f, pe, c) : 0;
    if (!f || flags & ~3)
        return WSK_ERR_BAD_ARGUMENT;
    int status = wsk_fabric_inject(f, pe, WSK_RAMP, color, &data, flags ? &bits : NULL, 1);
    return status < 0 ? status : 1;
}

/* ---- Callbacks ---- */

int wsk_fabric_on_delivery(wsk_fabric *f, wsk_on_delivery call, void *context)
{
    if (!f)
        return WSK_ERR_BAD_ARGUMENT;
    wsk_host *host = wsk_host_of(f);
    if (!host)
        return WSK_ERR_NO_MEMORY;
    host->delivered = call;
    host->delivered_context = context;
    return 0;
}

int wsk_fabric_on_room(wsk_fabric *f, wsk_on_room call, void *context)
{
    if (!f)
        return WSK_ERR_BAD_ARGUMENT;
    wsk_host *host = wsk_host_of(f);
    if (!host)
        return WSK_ERR_NO_MEMORY;
    host->roomy = call;
    host->room_context = context;
    return 0;
}

/* The words that became readable in strip i. */
static int settle_deliveries(wsk_fabric *f, int i)
{
    const wsk_delivery *list;
    int n = wsk_fabric_deliveries(f, i, &list), status = 0;
    for (int j = 0; j < n && !status; j++) {
        wsk_inbox *box = list[j].port == WSK_RAMP ? wsk_inbox_of(f, list[j].pe, f->plan->index_of[list[j].color]) : NULL;
        status = box ? wsk_fill_inbox(box, list + j) : 0;
    }
    for (int j = 0; j < n && !status && f->host->delivered; j++)
        f->host->delivered(f->host->delivered_context, f, list + j);
    return status;
}

/* Tell of room where pushes were refused. The host may be refused again meanwhile: such words come to the end of the list. */
static void settle_refusals(wsk_fabric *f, wsk_strip *s)
{
    int n = s->n_refused, kept = 0;
    for (int i = 0; i < n; i++) {
        wsk_refusal refusal = s->refused[i];
        int color = f->plan->color_of[refusal.index];
        if (f->host->roomy && !wsk_fabric_room(f, refusal.source->pe, color)) {
            s->refused[kept++] = refusal;
            continue;
        }
        refusal.source->refused &= ~((u32)1 << refusal.index);
        if (f->host->roomy)
            f->host->roomy(f->host->room_context, f, refusal.source->pe, color);
    }
    memmove(s->refused + kept, s->refused + n, (size_t)(s->n_refused - n) * sizeof *s->refused);
    s->n_refused -= n - kept;
}

/* A word that finds no memory is lost: the fabric stands still for good then. */
int wsk_settle(wsk_fabric *f)
{
    int status = 0;
    f->busy = 1;
    for (int i = 0; i < f->strips && !status; i++)
        status = settle_deliveries(f, i);
    for (int i = 0; i < f->strips && !status; i++)
        if (f->strip[i].n_refused)
            settle_refusals(f, f->strip + i);
    f->busy = 0;
    if (status < 0)
        f->failed = status;
    return status;
}
