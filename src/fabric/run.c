/* Runs: many cycles on a team of threads, and why they stop. */
#include "fabric_internal.h"
#include "running.h"
#include <string.h>

enum { MOST_AHEAD = 64 };             /* cycles of a round at most: that many could be done one by one instead of skipped */

/* Whether words are in routers, on links, on on-ramps or waiting outside. */
static int is_stuck(const wsk_fabric *f) { return wsk_fabric_in_flight(f) > 0 || wsk_fabric_waiting_outside(f) > 0; }

static int is_idle(const wsk_fabric *f)
{
    for (int i = 0; i < f->strips; i++)
        if (f->strip[i].last_out > f->cycle)
            return 0;
    return !is_stuck(f);
}

static int sources_wait(const wsk_fabric *f)
{
    for (int i = 0; i < f->strips; i++)
        if (f->strip[i].waiting)
            return 1;
    return 0;
}

static int has_deliveries(const wsk_fabric *f)
{
    const wsk_delivery *list;
    for (int i = 0; i < f->strips; i++)
        if (wsk_fabric_deliveries(f, i, &list))
            return 1;
    return 0;
}

/* The head words of a row that their cores take no more of. */
static int core_waits_in_row(const wsk_fabric *f, int y)
{
    for (u64 blocks = f->row_active[y]; blocks; blocks &= blocks - 1) {
        int k = wsk_ctz(blocks);
        for (u32 colors = f->block[wsk_block_at(f, y, k)].active; colors; colors &= colors - 1) {
            int c = __builtin_ctz(colors);
            const wsk_lane *lane = f->lane + wsk_lane_at(f, y, k, c);
            if (f->sinks[c] == WSK_SINK_CORE && (lane->head & ~lane->frozen & lane->out[WSK_RAMP] & lane->shut))
                return 1;
        }
    }
    return 0;
}

static int core_waits(const wsk_fabric *f)
{
    for (int i = 0; i < f->strips; i++)
        for (u64 rows = f->strip[i].rows_active; rows; rows &= rows - 1)
            if (core_waits_in_row(f, STRIP_ROWS * i + wsk_ctz(rows)))
                return 1;
    return 0;
}

/* Since when nothing has moved, as far as this run is concerned. */
static int64_t still_since(const wsk_running *run)
{
    int64_t last = wsk_fabric_last_move(run->fabric);
    return last > run->start ? last : run->start;
}

static int is_dead(const wsk_running *run)
{
    const wsk_fabric *f = run->fabric;
    if (run->patience > 0 && f->cycle - still_since(run) <= run->patience)
        return 0;
    return is_stuck(f) && (run->patience > 0 || wsk_fabric_next_event(f) == INT64_MAX);
}

static u32 reasons(const wsk_running *run)
{
    const wsk_fabric *f = run->fabric;
    u32 why = f->cycle >= run->end ? WSK_STOP_TIME : 0;
    if ((run->stop & WSK_STOP_DELIVERY) && f->cycle > run->start && has_deliveries(f))
        why |= WSK_STOP_DELIVERY;
    if ((run->stop & WSK_STOP_IDLE) && is_idle(f))
        why |= WSK_STOP_IDLE;
    if ((run->stop & WSK_STOP_HOST) && core_waits(f))
        why |= WSK_STOP_HOST;
    if ((run->stop & WSK_STOP_DEADLOCK) && is_dead(run))
        why |= WSK_STOP_DEADLOCK;
    return why;
}

/* While words move but none comes out, now and then: do they run in a circle? */
static int look_for_circles(wsk_running *run)
{
    wsk_fabric *f = run->fabric;
    const u32 both = WSK_STOP_IDLE | WSK_STOP_DEADLOCK;
    if ((run->stop & both) != both)
        return 0;
    if (!run->look)
        run->look = f->cycle + 16 * ((int64_t)f->height + f->width) + 1000;
    if (f->cycle < run->look)
        return 0;
    run->look = f->cycle + 2 * (f->cycle - run->start);
    return wsk_fabric_find_circle(f);
}

/* Up to which cycle the steps would do nothing. */
static int64_t quiet_until(const wsk_running *run)
{
    int64_t next = wsk_fabric_next_event(run->fabric), last = still_since(run) + run->patience + 1;
    if (next > run->end)
        next = run->end;
    return (run->stop & WSK_STOP_DEADLOCK) && run->patience > 0 && next > last && is_stuck(run->fabric) ? last : next;
}

/* What is done with the words that have become readable. */
static int hand_over(wsk_running *run)
{
    int status = run->each ? run->each(run->context) : 0;
    return status || !run->hosted ? status : wsk_settle(run->fabric);
}

/* Between two cycles, on one thread: go on, over quiet cycles at once, or stop and why. */
void wsk_decide(wsk_running *run)
{
    wsk_fabric *f = run->fabric;
    for (int status = 0; run->state == WSK_RUNNING;) {
        run->any_source = sources_wait(f);
        run->why = reasons(run);
        if (run->why) {
            run->state = WSK_STOPPED;
            return;
        }
        int64_t next = quiet_until(run);
        if (next <= f->cycle) {
            run->state = look_for_circles(run);
            return;
        }
        wsk_skip_to(f, next);
        status = hand_over(run);
        if (status < 0)
            run->state = status;
    }
}

static void go_on(wsk_running *run)
{
    int status = hand_over(run);
    if (status < 0)
        run->state = status;
    else
        wsk_decide(run);
}

/* When a rule was broken, the words have left for the next cycle already. */
int wsk_land_strip(wsk_fabric *f, int i)
{
    wsk_land_all(f, f->strip + i, f->cycle + (f->failed < 0));
    return 0;
}

wsk_fabric *wsk_view(wsk_runner *runner, int step)
{
    const wsk_running *run = runner->run;
    if (run->ahead == 1)
        return run->fabric;
    if (!runner->made)
        runner->view = *run->fabric;
    runner->made = 1;
    runner->view.cycle = run->first + step / (WSK_PHASES - run->first_phase);
    return &runner->view;
}

int wsk_phase_of(const wsk_running *run, int step)
{
    return run->ahead == 1 ? run->first_phase + step : run->first_phase + step % (WSK_PHASES - run->first_phase);
}

/* A step of one strip. */
static int run_piece(void *context, int64_t piece, int step)
{
    wsk_runner *runner = context;
    wsk_fabric *f = wsk_view(runner, step);
    int strip = (int)piece;
    switch (wsk_phase_of(runner->run, step)) {
    case WSK_PHASE_FEED: return wsk_feed_strips(f, strip, strip + 1);
    case WSK_PHASE_DEPART: return wsk_depart_strip(f, strip);
    case WSK_PHASE_LAND: return wsk_land_strip(f, strip);
    default: return wsk_arrive_strip(f, strip);
    }
}

/* Whether nobody looks at the fabric before the run's end, whatever happens. */
static int is_unseen(const wsk_running *run)
{
    const wsk_fabric *f = run->fabric;
    int seen = run->hosted || !f->silent || run->stop & ~(u32)WSK_STOP_TIME;
    for (int i = 0; i < f->strips && !seen; i++) {
        seen = f->strip[i].commanded;
        for (int slot = 0; slot < f->ring && !seen; slot++)
            seen = f->strip[i].n_out[slot];
    }
    return !seen;
}

static int has_flights(const wsk_fabric *f)
{
    for (int i = 0; i < f->strips; i++)
        if (wsk_has_flights(f->strip + i))
            return 1;
    return 0;
}

/* How many steps the coming cycles have, or what is left to do after the last one. Where nobody looks, a round has twice as
 * many cycles as the one before, as long as the clock does not skip any. */
static int open_round(wsk_running *run)
{
    const wsk_fabric *f = run->fabric;
    if (run->state != WSK_RUNNING) {
        run->first_phase = WSK_PHASE_LAND;
        run->ahead = 1;
        return has_flights(f);
    }
    int ahead = run->ahead && f->cycle == run->first + run->ahead && is_unseen(run) ? 2 * run->ahead : 1;
    run->ahead = ahead > MOST_AHEAD ? MOST_AHEAD : ahead;
    if (run->ahead > run->end - f->cycle)
        run->ahead = (int)(run->end - f->cycle);
    run->first = f->cycle;
    run->first_phase = run->any_source ? WSK_PHASE_FEED : WSK_PHASE_DEPART;
    return (WSK_PHASES - run->first_phase) * run->ahead;
}

/* Where a rule was broken first, the clock stands still; strips further on may have broken others since. */
static int stand_still(wsk_running *run, int status, int step, int64_t strip)
{
    wsk_fabric *f = run->fabric;
    f->cycle = run->first + step / (WSK_PHASES - run->first_phase);
    for (int i = 0; i < f->strips; i++)
        if (i != strip)
            f->strip[i].report.status = 0;
    wsk_tick(f, status);
    return status;
}

static int next_round(wsk_team *team, void *context)
{
    wsk_running *run = context;
    int64_t strip = 0;
    int step = 0, status = wsk_team_failure(team, &step, &strip);
    if (run->first_phase == WSK_PHASE_LAND)
        return 0;
    if (status < 0) {
        run->state = stand_still(run, status, step, strip);
    } else {
        run->fabric->cycle = run->first + run->ahead - 1;
        wsk_tick(run->fabric, status);
        go_on(run);
    }
    return open_round(run);
}

/* What each member of the team does until the run stops: strips, step by step. */
static void work(wsk_team *team, int rank, void *context)
{
    wsk_runner runner;
    runner.run = context;
    runner.made = 0;
    wsk_team_do(team, rank, run_piece, &runner);
}

/* Words may fly while nobody looks at them. */
int wsk_run_rounds(wsk_running *run, int threads, void (*work)(wsk_team *, int, void *))
{
    wsk_fabric *f = run->fabric;
    int strips = f->strips;
    f->flies_until = run->hosted ? 0 : run->end;
    int status = wsk_team_rounds(threads < strips ? threads : strips, strips, open_round(run), work, next_round, run->hosted,
                                 run);
    f->flies_until = 0;
    return status;
}

void wsk_begin_run(wsk_running *run, wsk_fabric *f, int64_t end)
{
    memset(run, 0, sizeof *run);
    run->fabric = f;
    run->start = f->cycle;
    run->end = end;
    run->hosted = f->host != NULL;
    wsk_forget_reports(f);
}

/* Of a bigger record, which a newer host may hand over, nothing may be set that is not known here. */
static int knows_all(const wsk_run *options)
{
    if (options->size < sizeof *options || options->size > 4096)
        return 0;
    for (size_t i = sizeof *options; i < options->size; i++)
        if (((const u8 *)options)[i])
            return 0;
    return 1;
}

int wsk_fabric_run(wsk_fabric *f, const wsk_run *options, uint32_t *why)
{
    wsk_running run;
    const u32 known = WSK_STOP_TIME | WSK_STOP_DELIVERY | WSK_STOP_IDLE | WSK_STOP_HOST | WSK_STOP_DEADLOCK;
    if (why)
        *why = 0;
    if (!f || !options || !knows_all(options) || options->stop & ~known || options->unused || options->patience < 0
        || options->threads < 0 || options->threads > WSK_TEAM_MOST || options->until < f->cycle
        || options->until > WSK_LAST_CYCLE)
        return WSK_ERR_BAD_ARGUMENT;
    if (f->busy)
        return WSK_ERR_BUSY;
    if (f->failed)
        return f->failed;
    wsk_begin_run(&run, f, options->until);
    run.stop = options->stop;
    run.patience = options->patience;
    wsk_decide(&run);
    if (run.state == WSK_RUNNING)
        wsk_run_rounds(&run, options->threads, work);
    if (run.why & WSK_STOP_DEADLOCK)
        wsk_fabric_explain(f);
    if (why)
        *why = run.why;
    return run.state == WSK_STOPPED ? 0 : run.state;
}
