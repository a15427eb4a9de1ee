# cython: language_level=3
# One cycle, and many: words that may be read from now on, cores, ramps, then the routers; strip by strip on a team of threads.
# Within a cycle, what one PE does reaches no other PE, so the order of PEs, and which thread takes them, does not matter.
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint32_t
from libc.stdlib cimport realloc
from libc.string cimport memset

from wsekern.fabric._routing cimport fabric_arrive, fabric_depart, fabric_feed, fabric_tick
from wsekern.fabric.fabric_internal cimport wsk_ctz
from wsekern.team cimport wsk_team, wsk_team_meet, wsk_team_run
from wsekern.fabric.wsekern_fabric cimport (WSK_RAMP, WSK_TORN_DOWN, wsk_delivery, wsk_fabric, wsk_fabric_deliveries,
                                            wsk_fabric_in_flight, wsk_fabric_last_move, wsk_fabric_next_event,
                                            wsk_fabric_offer, wsk_fabric_skip, wsk_fabric_strips,
                                            wsk_fabric_waiting_outside)
from wsekern.wsekern_status cimport WSK_ERR_DEADLINE, WSK_ERR_DEADLOCK, WSK_ERR_NO_MEMORY, WSK_ERR_QUEUE_RANGE, WSK_OK
from wsekern.program.pe_code cimport PE_NONE
from wsekern.program.state cimport (Grid, NOBODY, PATIENCE, Pe, Queue, Strip, TORN_DOWN_TASK, WAIT_INPUT, WAIT_OUTPUT, WHEEL,
                                    Word, activate, input_queue, output_queue, queue_pop, queue_word, schedule,
                                    schedule_ramp, set_word, stamp_of, unschedule, wake_all)
from wsekern.program.tasks cimport act


cdef inline int remember_edge(Strip *s, const wsk_delivery *d, int64_t cycle) noexcept nogil:
    # Keep a word that left the wafer for the host.
    cdef int64_t room
    cdef wsk_delivery *words
    cdef int64_t *cycles
    if s.edge_count == s.edge_room:
        room = 2 * s.edge_room + 256
        words = <wsk_delivery *>realloc(s.edge, room * sizeof(wsk_delivery))
        if words != NULL:
            s.edge = words
        cycles = <int64_t *>realloc(s.edge_cycle, room * sizeof(int64_t))
        if cycles != NULL:
            s.edge_cycle = cycles
        if words == NULL or cycles == NULL:
            return WSK_ERR_NO_MEMORY
        s.edge_room = room
    s.edge[s.edge_count] = d[0]
    s.edge_cycle[s.edge_count] = cycle
    s.edge_count += 1
    return WSK_OK


cdef inline int deliver(Grid *g, Strip *s, const wsk_delivery *d) noexcept nogil:
    # A word that a core may read from this cycle on; credits have kept room for it.
    cdef int32_t p, q
    cdef Pe *pe
    cdef Queue *queue
    cdef int64_t when = g.cycle + g.latency.input
    if d.port != WSK_RAMP:
        return remember_edge(s, d, g.cycle)
    p = g.slot_of[d.pe]
    if p < 0:
        if d.flags & WSK_TORN_DOWN:
            return WSK_OK
        s.fault_pe, s.fault_color = d.pe, d.color
        return WSK_ERR_QUEUE_RANGE
    pe = g.pe + p
    if d.flags & WSK_TORN_DOWN:
        if g.program[pe.program].code.local_entry[TORN_DOWN_TASK] != PE_NONE:
            activate(pe, TORN_DOWN_TASK)
            schedule(g, s, p, g.cycle)
        return WSK_OK
    q = g.program[pe.program].color_queue[d.color]
    if q < 0:
        s.fault_pe, s.fault_color = d.pe, d.color
        return WSK_ERR_QUEUE_RANGE
    queue = input_queue(g, pe, q)
    set_word(queue_word(g, queue, queue.count), d.data, when, d.flags & 3)
    queue.count += 1
    if wake_all(g, pe, WAIT_INPUT, q, when) or not pe.busy & 1:
        schedule(g, s, p, when)
    return WSK_OK


cdef inline int deliver_all(Grid *g, wsk_fabric *fabric, int strip) noexcept nogil:
    cdef const wsk_delivery *words
    cdef int i, n = wsk_fabric_deliveries(fabric, strip, &words), status
    for i in range(n):
        status = deliver(g, g.strip + strip, words + i)
        if status < 0:
            return status
    return WSK_OK


cdef inline int put(Grid *g, wsk_fabric *fabric, Strip *s, int32_t p) noexcept nogil:
    # One word onto the ramp, from the first output queue that can give one; where all are refused, again next cycle.
    cdef Pe *pe = g.pe + p
    cdef Queue *q
    cdef Word *word
    cdef int64_t again = INT64_MAX
    cdef uint32_t filled = pe.filled
    cdef int k, status, sent = 0
    pe.sending = 0
    while filled:
        k = wsk_ctz(filled)
        filled &= filled - 1
        q = output_queue(g, pe, k)
        word = queue_word(g, q, 0)
        if not sent and stamp_of(g, word) <= g.cycle:
            status = wsk_fabric_offer(fabric, pe.at, q.color, word.bits, word.mark & 3)
            if status < 0:
                s.fault_pe, s.fault_color = pe.at, q.color
                return status
            if status:
                sent = 1
                s.progress = g.cycle
                queue_pop(q)
                if wake_all(g, pe, WAIT_OUTPUT, k, g.cycle + 1):
                    schedule(g, s, p, g.cycle + 1)
                if q.count == 0:
                    pe.filled &= ~(1 << k)
                    continue
                word = queue_word(g, q, 0)
        again = min(again, max(stamp_of(g, word), g.cycle + 1))
    if again != INT64_MAX:
        schedule_ramp(g, s, p, again)
    return WSK_OK


cdef inline int32_t take_slot(int32_t *slots, int64_t cycle) noexcept nogil:
    cdef int32_t p = slots[cycle % WHEEL]
    slots[cycle % WHEEL] = NOBODY
    return p


cdef inline int step_cores(Grid *g, wsk_fabric *fabric, int strip) noexcept nogil:
    # The cores' part of a cycle, for one strip.
    cdef Strip *s = g.strip + strip
    cdef int32_t p, following
    cdef int64_t slot = g.cycle % WHEEL
    cdef int status = WSK_OK
    if not g.quiet:
        status = deliver_all(g, fabric, strip)
    while status >= 0 and s.core_slot[slot] != NOBODY:
        p = s.core_slot[slot]
        unschedule(g, s, p)
        status = act(g, fabric, s, p)
    p = take_slot(s.ramp_slot, g.cycle)
    while p != NOBODY and status >= 0:
        following = g.ramp_next[p]
        s.ramp_events -= 1
        status = put(g, fabric, s, p)
        p = following
    return status


# ---- Between two cycles ------------------------------------------------------------------------------------------------

cdef inline int delivering(const wsk_fabric *fabric) noexcept nogil:
    # Whether words have come out of the fabric that the cores have not seen yet.
    cdef const wsk_delivery *words
    cdef int strip
    for strip in range(wsk_fabric_strips(fabric)):
        if wsk_fabric_deliveries(fabric, strip, &words):
            return 1
    return 0


cdef inline bint has_event(const Grid *g, int64_t cycle, bint ramps_only) noexcept nogil:
    cdef int i
    for i in range(g.strips):
        if g.strip[i].ramp_slot[cycle % WHEEL] != NOBODY or (
                not ramps_only and g.strip[i].core_slot[cycle % WHEEL] != NOBODY):
            return True
    return False


cdef inline int64_t live_pes(const Grid *g) noexcept nogil:
    cdef int64_t live = 0
    cdef int i
    for i in range(g.strips):
        live += g.strip[i].live
    return live


cdef inline int64_t events_of(const Grid *g, bint cores_only) noexcept nogil:
    cdef int64_t events = 0
    cdef int i
    for i in range(g.strips):
        events += g.strip[i].core_events + (0 if cores_only else g.strip[i].ramp_events)
    return events


cdef inline int64_t last_progress(const Grid *g) noexcept nogil:
    cdef int64_t last = 0
    cdef int i
    for i in range(g.strips):
        last = max(last, g.strip[i].progress)
    return last


cdef inline int64_t next_event(const Grid *g, int64_t limit) noexcept nogil:
    # First cycle before `limit` in which a core or a ramp does anything.
    cdef int64_t cycle
    cdef int i
    for i in range(g.strips):
        if g.strip[i].core_events + g.strip[i].ramp_events == 0:
            continue
        cycle = g.cycle
        while cycle < limit and g.strip[i].core_slot[cycle % WHEEL] == NOBODY and (
                g.strip[i].ramp_slot[cycle % WHEEL] == NOBODY):
            cycle += 1
        limit = min(limit, cycle)
    return limit


cdef inline void wake_fabric(Grid *g, wsk_fabric *fabric) noexcept nogil:
    # The fabric's clock stands still while it is empty: before a word may be offered, it catches up.
    if g.quiet and has_event(g, g.cycle, g.latency.output > 0):
        wsk_fabric_skip(fabric, g.cycle)
        g.quiet = 0


cdef inline int is_over(const Grid *g, const wsk_fabric *fabric) noexcept nogil:
    # No core has anything to do by itself. 0: words are still moving; 1: all is done; WSK_ERR_DEADLOCK.
    cdef int64_t moved = max(last_progress(g), wsk_fabric_last_move(fabric))
    if events_of(g, True) or (not g.quiet and delivering(fabric)):
        return 0
    if not (g.quiet and events_of(g, False) == 0) and g.cycle - moved <= PATIENCE:
        return 0
    return WSK_ERR_DEADLOCK if live_pes(g) else 1


cdef inline void skip_idle(Grid *g, wsk_fabric *fabric, int64_t deadline) noexcept nogil:
    # Nothing happens in the coming cycle: jump to the next one in which something does.
    cdef int64_t limit = min(deadline, g.cycle + WHEEL - 1)
    if not g.quiet:
        limit = min(limit, wsk_fabric_next_event(fabric))
        if limit <= g.cycle or delivering(fabric):
            return
    limit = next_event(g, limit)
    if not g.quiet:
        wsk_fabric_skip(fabric, limit)
    g.cycle = limit


# ---- Runs ----------------------------------------------------------------------------------------------------------------

cdef struct Run:
    Grid *grid
    wsk_fabric *fabric
    int64_t deadline
    int state                   # RUNNING 0, else the status to return
    int until_done              # 1: to the end of all programs; 0: to the deadline
    int status[3][64]           # by phase, so that nobody overwrites what others still read


cdef inline int failed(const Run *run, int phase, int size) noexcept nogil:
    cdef int i
    for i in range(size):
        if run.status[phase][i] < 0:
            return run.status[phase][i]
    return 0


cdef inline void decide(Run *run) noexcept nogil:
    # Between two cycles, on one thread: go on, jump ahead, or stop and why.
    cdef Grid *g = run.grid
    cdef bint idle = not has_event(g, g.cycle, False)
    cdef int over = 0
    if idle and not g.quiet:
        g.quiet = (wsk_fabric_in_flight(run.fabric) == 0 and wsk_fabric_waiting_outside(run.fabric) == 0
                   and wsk_fabric_next_event(run.fabric) == INT64_MAX and not delivering(run.fabric))
    if idle or g.cycle % 64 == 0:
        over = is_over(g, run.fabric)
    if over and run.until_done:
        run.state = over
        return
    if over and g.quiet:
        g.cycle = max(g.cycle, run.deadline)        # nothing will happen any more: time passes
    elif idle:
        skip_idle(g, run.fabric, run.deadline)
    if g.cycle >= run.deadline:
        run.state = WSK_ERR_DEADLINE
        return
    wake_fabric(g, run.fabric)


cdef inline void close_cycle(wsk_team *team, void *context) noexcept nogil:
    # On one thread, when all strips are done with a cycle.
    cdef Run *run = <Run *>context
    cdef int status = failed(run, 2, team.size)
    if status < 0:
        run.state = status
        return
    if not run.grid.quiet:
        fabric_tick(run.fabric)
    run.grid.cycle += 1
    decide(run)


cdef inline void work(wsk_team *team, int rank, void *context) noexcept nogil:
    # What each member of the team does until the run stops: its own strips, in three phases per cycle.
    cdef Run *run = <Run *>context
    cdef Grid *g = run.grid
    cdef int first = g.strips * rank // team.size, last = g.strips * (rank + 1) // team.size, i, status, quiet
    while run.state == 0:
        quiet = g.quiet
        status = 0 if quiet else fabric_feed(run.fabric, first, last)
        for i in range(first, last):
            if status < 0:
                break
            status = step_cores(g, run.fabric, i)
        if not quiet:
            run.status[0][rank] = status
            wsk_team_meet(team, NULL)
            status = failed(run, 0, team.size)
        if status == 0 and not quiet:
            run.status[1][rank] = fabric_depart(run.fabric, first, last)
            wsk_team_meet(team, NULL)
            status = failed(run, 1, team.size)
            if status == 0:
                status = fabric_arrive(run.fabric, first, last)
        run.status[2][rank] = status
        wsk_team_meet(team, close_cycle)


cdef inline int run_cores(Grid *g, wsk_fabric *fabric, int64_t deadline, bint until_done, int threads) noexcept nogil:
    # Until every core is idle and no word is on its way, an error, or the deadline.
    cdef Run run
    memset(&run, 0, sizeof(Run))
    run.grid, run.fabric, run.deadline, run.until_done = g, fabric, deadline, until_done
    g.until = deadline
    decide(&run)
    if run.state == 0:
        wsk_team_run(min(threads, g.strips), work, &run)
    return WSK_OK if run.state == 1 else run.state
