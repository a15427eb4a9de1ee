/* The cores' part of a cycle: words that may be read from now on, cores, ramps. The compiler sees all that one event may
 * call. Within a cycle, what one PE does reaches no other PE, so the order of PEs, and which thread takes them, does not
 * matter. */
#include "common/memory.h"
#include "fabric/fabric_internal.h"
#include "pe_ahead.h"
#include "pe_tasks.h"

/* The event of one core: begin tasks, issue what can be issued in this cycle. */
static int act(pe_grid *g, wsk_fabric *fabric, pe_strip *s, int32_t p)
{
    pe_core *pe = g->pe + p;
    pe_thread *lead = g->thread + pe->threads;
    int64_t when = INT64_MAX;
    int acted = 0, status = WSK_OK;
    pe->scheduled = 0;
    if (pe->resume > g->cycle) {
        pe_schedule(g, s, p, pe->resume);
        return WSK_OK;
    }
    s->progress = g->cycle;
    while (pe->slot_free <= g->cycle) {
        when = INT64_MAX;
        if (lead->state == PE_IDLE) {
            status = pick_task(g, fabric, pe, lead, &when);
            if (status < 0)
                break;
        }
        int k = choose_thread(g, pe);
        if (k == PE_NOBODY)
            break;
        acted = 1;
        if (k == 0)
            status = step_main(g, fabric, s, p, pe->busy == 1);
        else
            step_microthread(g, fabric, s, p, k);
        if (status < 0)
            break;
    }
    if (status >= 0 && lead->state == PE_IDLE) {        /* tasks that this cycle has activated */
        when = INT64_MAX;
        status = pick_task(g, fabric, pe, lead, &when);
    }
    if (status < 0) {
        s->fault_pe = pe->at;
        s->fault_pc = lead->pc;
        return status;
    }
    settle(g, s, p, when, acted);
    return WSK_OK;
}

/* Keep a word that left the wafer for the host. */
static int remember_edge(pe_strip *s, const wsk_delivery *d, int64_t cycle)
{
    if (s->edge_count == s->edge_room) {
        int64_t room = 2 * s->edge_room + 256;
        wsk_delivery *words = wsk_realloc(s->edge, (size_t)room * sizeof *words);
        if (words)
            s->edge = words;
        int64_t *cycles = wsk_realloc(s->edge_cycle, (size_t)room * sizeof *cycles);
        if (cycles)
            s->edge_cycle = cycles;
        if (!words || !cycles)
            return WSK_ERR_NO_MEMORY;
        s->edge_room = room;
    }
    s->edge[s->edge_count] = *d;
    s->edge_cycle[s->edge_count++] = cycle;
    return WSK_OK;
}

static int no_queue(pe_strip *s, const wsk_delivery *d)
{
    s->fault_pe = (int32_t)d->pe;
    s->fault_color = d->color;
    return WSK_ERR_QUEUE_RANGE;
}

/* Whether the host takes the words of a color that routers give to their cores. */
static int host_takes(const wsk_fabric *f, int color)
{
    int c = f->plan->index_of[color];
    return c >= 0 && f->sinks[c] == WSK_SINK_LOG;
}

/* A word that a core may read from this cycle on; credits have kept room for it. */
static int deliver(pe_grid *g, const wsk_fabric *fabric, pe_strip *s, const wsk_delivery *d)
{
    int64_t when = g->cycle + g->latency.input;
    if (d->port != WSK_RAMP || (!(d->flags & WSK_TORN_DOWN) && host_takes(fabric, d->color)))
        return remember_edge(s, d, g->cycle);
    int32_t p = g->slot_of[d->pe];
    if (p < 0)
        return d->flags & WSK_TORN_DOWN ? WSK_OK : no_queue(s, d);
    pe_core *pe = g->pe + p;
    if (d->flags & WSK_TORN_DOWN) {
        if (g->program[pe->program].code.local_entry[PE_TORN_DOWN_TASK] != PE_NONE) {
            pe_activate(pe, PE_TORN_DOWN_TASK);
            pe_schedule(g, s, p, g->cycle);
        }
        return WSK_OK;
    }
    int q = pe_queue_of(g, pe, d->color);
    if (q < 0)
        return no_queue(s, d);
    pe_queue *queue = pe_input(g, pe, q);
    if (queue->count == queue->depth)       /* only where saved bytes have given credit for more than there is room */
        return no_queue(s, d);
    pe_set_word(pe_queue_word(g, queue, queue->count), d->data, when, d->flags & 3);
    queue->count++;
    if (wake_all(g, pe, PE_WAIT_INPUT, q, when) || !(pe->busy & 1))
        pe_schedule(g, s, p, when);
    return WSK_OK;
}

static int deliver_all(pe_grid *g, wsk_fabric *fabric, int strip)
{
    const wsk_delivery *words;
    int n = wsk_fabric_deliveries(fabric, strip, &words);
    for (int i = 0; i < n; i++) {
        look_ahead_of_words(g, words, i, n);
        int status = deliver(g, fabric, g->strip + strip, words + i);
        if (status < 0)
            return status;
    }
    return WSK_OK;
}

/* The first word of an output queue, which may leave now, onto the ramp: 1, or 0 where the router refuses it. */
static int put_word(pe_grid *g, wsk_fabric *fabric, pe_strip *s, int32_t p, int k)
{
    pe_core *pe = g->pe + p;
    pe_queue *q = pe_output(g, pe, k);
    const pe_word *word = pe_queue_word(g, q, 0);
    int color = head_color(g, q);
    int status = wsk_fabric_offer(fabric, (uint32_t)pe->at, color, word->bits, (int)(word->mark & 3));
    if (status < 0) {
        s->fault_pe = pe->at;
        s->fault_color = color;
    }
    if (status <= 0)
        return status;
    s->progress = g->cycle;
    pe_queue_pop(q);
    if (wake_all(g, pe, PE_WAIT_OUTPUT, k, g->cycle + 1))
        pe_schedule(g, s, p, g->cycle + 1);
    if (q->count == 0) {
        if (flush_ends(g, pe, k))
            pe_schedule(g, s, p, g->cycle + 1);
        pe->filled &= (uint8_t)~(1 << k);
    }
    return 1;
}

/* One word onto the ramp, from the first output queue that can give one. Where the router refuses all of them, the core waits
 * for it. */
static int put(pe_grid *g, wsk_fabric *fabric, pe_strip *s, int32_t p)
{
    pe_core *pe = g->pe + p;
    int64_t again = INT64_MAX;
    int sent = 0, refused = 1;
    pe->sending = PE_SENDS_NOTHING;
    for (uint32_t filled = pe->filled; filled && !(sent && again == g->cycle + 1); filled &= filled - 1) {
        int k = pe_ctz(filled);
        const pe_queue *q = pe_output(g, pe, k);
        int ready = pe_stamp_of(g, pe_queue_word(g, q, 0)) <= g->cycle;
        if (ready && !sent) {
            sent = put_word(g, fabric, s, p, k);
            if (sent < 0)
                return sent;
            if (q->count == 0)
                continue;
        }
        refused &= ready && !sent;
        again = pe_min(again, pe_max(pe_stamp_of(g, pe_queue_word(g, q, 0)), g->cycle + 1));
    }
    if (again == INT64_MAX)
        return WSK_OK;
    if (refused)
        await_ramp(g, s, pe);
    else
        pe_schedule_ramp(g, s, p, again);
    return WSK_OK;
}

/* The cores of a block of 64 PEs that wait for their routers: words of those that take one now. */
static int put_awaited(pe_grid *g, wsk_fabric *fabric, pe_strip *s, int y, int k)
{
    size_t block = wsk_block_at(fabric, y, k);
    uint64_t ready = 0;
    for (uint32_t colors = g->awaited[block]; colors; colors &= colors - 1) {
        int color = pe_ctz(colors);
        ready |= wsk_may_enter(fabric, y, k, color, g->awaiting[block * PE_COLORS + color]);
    }
    for (; ready; ready &= ready - 1) {
        int32_t p = g->slot_of[y * g->width + 64 * k + wsk_ctz(ready)];
        forget_ramp(g, s, g->pe + p);
        int status = put(g, fabric, s, p);
        if (status < 0)
            return status;
    }
    return WSK_OK;
}

static int put_all_awaited(pe_grid *g, wsk_fabric *fabric, int strip)
{
    pe_strip *s = g->strip + strip;
    for (uint64_t rows = s->awaiting ? s->rows_awaited : 0; rows; rows &= rows - 1) {
        int y = STRIP_ROWS * strip + wsk_ctz(rows), any = 0;
        for (int k = 0; k < fabric->blocks; k++) {
            if (!g->awaited[wsk_block_at(fabric, y, k)])
                continue;
            any = 1;
            int status = put_awaited(g, fabric, s, y, k);
            if (status < 0)
                return status;
        }
        if (!any)
            s->rows_awaited &= ~(rows & -rows);
    }
    return WSK_OK;
}

int pe_step_cores(pe_grid *g, wsk_fabric *fabric, int strip)
{
    pe_strip *s = g->strip + strip;
    int64_t slot = g->cycle % PE_WHEEL;
    int status = g->quiet ? WSK_OK : deliver_all(g, fabric, strip);
    pe_view view = open_view(g->core_next, s->core_slot[slot], 2);
    while (status >= 0 && s->core_slot[slot] != PE_NOBODY) {
        int32_t p = s->core_slot[slot];
        look_ahead(g, &view);
        pe_unschedule(g, s, p);
        status = act(g, fabric, s, p);
    }
    if (status >= 0)
        status = put_all_awaited(g, fabric, strip);
    int32_t p = s->ramp_slot[slot];
    s->ramp_slot[slot] = PE_NOBODY;
    view = open_view(g->ramp_next, p, 3);
    while (p != PE_NOBODY && status >= 0) {
        int32_t following = g->ramp_next[p];
        s->ramp_events--;
        look_ahead_of_ramps(g, &view);
        status = put(g, fabric, s, p);
        p = following;
    }
    return status;
}

/* What is activated at the start, or by the host, begins at once: the host's own time is not the wafer's. */
void pe_begin_first_task(pe_grid *g, int32_t p)
{
    pe_core *pe = g->pe + p;
    pe_strip *s = pe_strip_of(g, pe);
    const pe_program *program = &g->program[pe->program].code;
    pe_thread *lead = g->thread + pe->threads;
    uint32_t ready = pe->activated & ~pe->blocked, high = ready & (uint32_t)program->high;
    if (!ready || lead->state != PE_IDLE)
        return;
    int task = pe_next_task(pe, high ? high : ready);
    if (program->local_entry[task] == PE_NONE)
        return;
    pe->activated &= ~((uint32_t)1 << task);
    begin_task(g, pe, lead, program->local_entry[task], g->cycle);
    if (!pe->live) {
        pe->live = 1;
        s->live++;
    }
    pe_schedule(g, s, p, g->cycle);
}

int pe_launch(pe_grid *g, int64_t p, int task)
{
    pe_core *pe = pe_core_at(g, p);
    if (!pe || task < 0 || task >= PE_TASKS || g->program[pe->program].code.local_entry[task] == PE_NONE)
        return WSK_ERR_BAD_ARGUMENT;
    pe_activate(pe, task);
    pe_begin_first_task(g, g->slot_of[p]);
    return WSK_OK;
}

/* Whether the operands of an instruction under way lie in the PE's memory, as begin() saw to. */
static int has_sound_places(const pe_grid *g, const pe_core *pe, const pe_thread *th, const pe_instruction *i)
{
    for (int which = 0; which < 4; which++)
        if (operand_number(i, which) >= 0
            && !is_within(g, pe, descriptor_of(g, pe, operand_number(i, which)), pe_places(g, th) + which, th->extent,
                          repeats_of(g, pe, i)))
            return 0;
    return 1;
}

int pe_is_sound(const pe_grid *g, const pe_core *pe, int k)
{
    const pe_thread *th = g->thread + pe->threads + k;
    const pe_instruction *i = g->code + th->pc;
    if (th->state == PE_IDLE || (k == 0 && th->word == PE_NONE))
        return 1;
    int thread = i->form != PE_VECTOR ? PE_NOBODY : i->thread == PE_NONE ? 0 : g->program[pe->program].thread_slot[i->thread];
    return thread == k && (k > 0 || (i->stream && th->state != PE_BULK)) && th->word >= 0
        && (int64_t)th->word * i->packing < th->extent && has_sound_places(g, pe, th, i);
}
