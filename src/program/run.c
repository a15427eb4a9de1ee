/* Between two cycles: whether all is done, whether nothing can move any more, and how far the clock may jump. */
#include "common/wsekern_status.h"
#include "fabric/fabric_internal.h"
#include "pe_run.h"

/* Whether words have come out of the fabric that the cores have not seen yet. */
static int delivering(const wsk_fabric *fabric)
{
    const wsk_delivery *words;
    for (int strip = 0; strip < wsk_fabric_strips(fabric); strip++)
        if (wsk_fabric_deliveries(fabric, strip, &words))
            return 1;
    return 0;
}

static int has_event(const pe_grid *g, int64_t cycle, int ramps_only)
{
    for (int i = 0; i < g->strips; i++)
        if (g->strip[i].ramp_slot[cycle % PE_WHEEL] != PE_NOBODY || g->strip[i].awaiting
            || (!ramps_only && g->strip[i].core_slot[cycle % PE_WHEEL] != PE_NOBODY))
            return 1;
    return 0;
}

static int64_t live_pes(const pe_grid *g)
{
    int64_t live = 0;
    for (int i = 0; i < g->strips; i++)
        live += g->strip[i].live;
    return live;
}

static int64_t events_of(const pe_grid *g, int cores_only)
{
    int64_t events = 0;
    for (int i = 0; i < g->strips; i++)
        events += g->strip[i].core_events + (cores_only ? 0 : g->strip[i].ramp_events);
    return events;
}

static int64_t last_progress(const pe_grid *g)
{
    int64_t last = 0;
    for (int i = 0; i < g->strips; i++)
        last = pe_max(last, g->strip[i].progress);
    return last;
}

/* First cycle before `limit` in which a core or a ramp does anything. */
static int64_t next_of_cores(const pe_grid *g, int64_t limit)
{
    for (int i = 0; i < g->strips; i++) {
        const pe_strip *s = g->strip + i;
        int64_t cycle = g->cycle;
        if (s->core_events + s->ramp_events == 0)
            continue;
        while (cycle < limit && !s->awaiting && s->core_slot[cycle % PE_WHEEL] == PE_NOBODY
               && s->ramp_slot[cycle % PE_WHEEL] == PE_NOBODY)
            cycle++;
        limit = pe_min(limit, cycle);
    }
    return limit;
}

void pe_open_fabric(pe_grid *g, wsk_fabric *fabric)
{
    if (g->quiet) {
        wsk_fabric_skip(fabric, g->cycle);
        g->quiet = 0;
    }
}

/* The last cycle in which anything moved. */
static int64_t last_moved(const pe_grid *g, const wsk_fabric *fabric)
{
    return pe_max(last_progress(g), wsk_fabric_last_move(fabric));
}

/* No core has anything to do by itself. 0: words are still moving; WSK_STOP_IDLE: all is done; WSK_STOP_DEADLOCK. */
static uint32_t is_over(const pe_run *run)
{
    const pe_grid *g = run->grid;
    if (events_of(g, 1) || (!g->quiet && delivering(run->fabric)))
        return 0;
    if (!(g->quiet && events_of(g, 0) == 0) && g->cycle - last_moved(g, run->fabric) <= run->patience)
        return 0;
    return live_pes(g) ? WSK_STOP_DEADLOCK : WSK_STOP_IDLE;
}

/* Nothing happens in the coming cycle: jump to the next one in which something does, or in which patience ends. */
static void skip_idle(const pe_run *run)
{
    pe_grid *g = run->grid;
    int64_t limit = pe_min(run->deadline, g->cycle + PE_WHEEL - 1);
    if (!g->quiet) {
        limit = pe_min(limit, wsk_fabric_next_event(run->fabric));
        if (!events_of(g, 1))
            limit = pe_min(limit, pe_max(last_moved(g, run->fabric) + run->patience, g->cycle) + 1);
        if (limit <= g->cycle || delivering(run->fabric))
            return;
    }
    limit = next_of_cores(g, limit);
    if (!g->quiet)
        wsk_fabric_skip(run->fabric, limit);
    g->cycle = limit;
}

/* Whether words that left the wafer wait for the host. */
static int has_delivered(const pe_grid *g)
{
    for (int i = 0; i < g->strips; i++)
        if (g->strip[i].edge_count)
            return 1;
    return 0;
}

static int is_empty(const wsk_fabric *fabric)
{
    return wsk_fabric_next_event(fabric) == INT64_MAX && wsk_fabric_in_flight(fabric) == 0
        && wsk_fabric_waiting_outside(fabric) == 0 && !delivering(fabric);
}

static void decide(pe_run *run)
{
    pe_grid *g = run->grid;
    int idle = !has_event(g, g->cycle, 0);
    uint32_t over = 0;
    if (idle && !g->quiet)
        g->quiet = is_empty(run->fabric);
    if (idle || g->cycle % 64 == 0)
        over = is_over(run);
    run->why = run->stop & (over | (has_delivered(g) ? WSK_STOP_DELIVERY : 0));
    if (!run->why) {
        if (over && g->quiet)
            g->cycle = pe_max(g->cycle, run->deadline);     /* nothing will happen any more: time passes */
        else if (idle)
            skip_idle(run);
    }
    if (g->cycle >= run->deadline)
        run->why |= WSK_STOP_TIME;
    if (run->why)
        run->state = PE_STOPPED;
    else if (has_event(g, g->cycle, g->latency.output > 0))
        pe_open_fabric(g, run->fabric);                     /* it stands still while it is empty */
}

void pe_open_run(pe_run *run)
{
    run->grid->until = run->deadline;
    decide(run);
}

static int steps_of_cycle(const pe_run *run) { return run->grid->quiet ? 1 : PE_PHASES; }

/* When all strips are done with a cycle: go on, jump ahead, or stop and why. */
static int next_cycle(wsk_team *team, void *context)
{
    pe_run *run = context;
    int status = wsk_team_failure(team, NULL, NULL);
    if (status < 0) {
        run->state = status;
        return 0;
    }
    if (!run->grid->quiet)
        wsk_tick(run->fabric, WSK_OK);
    run->grid->cycle++;
    decide(run);
    return run->state == PE_RUNNING ? steps_of_cycle(run) : 0;
}

int pe_run_rounds(pe_run *run, int threads, void (*work)(wsk_team *, int, void *))
{
    int strips = run->grid->strips;
    return wsk_team_rounds((int)pe_min(pe_max(threads, 1), strips), strips, steps_of_cycle(run), work, next_cycle, 0, run);
}

int64_t pe_next_event(const pe_grid *g, const wsk_fabric *fabric)
{
    if (!g->quiet && delivering(fabric))
        return g->cycle;
    int64_t limit = g->quiet ? INT64_MAX : wsk_fabric_next_event(fabric);
    if (events_of(g, 0))
        limit = pe_min(limit, next_of_cores(g, pe_min(limit, g->cycle + PE_WHEEL - 1)));
    return limit;
}
