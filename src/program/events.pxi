# One cycle, and many: words that may be read from now on, cores, ramps, then the routers; strip by strip on a team of threads.
# Within a cycle, what one PE does reaches no other PE, so the order of PEs, and which thread takes them, does not matter.

cdef int remember_edge(Strip *t, const wsk_delivery *d, int64_t cycle) noexcept nogil:
    # Keep a word that left the wafer for the host.
    cdef int64_t room
    cdef wsk_delivery *words
    cdef int64_t *cycles
    if t.edge_count == t.edge_room:
        room = 2 * t.edge_room + 256
        words = <wsk_delivery *>realloc(t.edge, room * sizeof(wsk_delivery))
        if words != NULL:
            t.edge = words
        cycles = <int64_t *>realloc(t.edge_cycle, room * sizeof(int64_t))
        if cycles != NULL:
            t.edge_cycle = cycles
        if words == NULL or cycles == NULL:
            return WSK_ERR_NO_MEMORY
        t.edge_room = room
    t.edge[t.edge_count] = d[0]
    t.edge_cycle[t.edge_count] = cycle
    t.edge_count += 1
    return WSK_OK


cdef int deliver(Core *s, Strip *t, const wsk_delivery *d) noexcept nogil:
    # A word that a core may read from this cycle on; credits have kept room for it.
    cdef int32_t p, q
    cdef Pe *pe
    cdef Queue *queue
    cdef int64_t when = s.cycle + s.latency.input
    if d.port != WSK_RAMP:
        return remember_edge(t, d, s.cycle)
    p = s.slot_of[d.pe]
    if p < 0:
        if d.flags & WSK_TORN_DOWN:
            return WSK_OK
        t.fault_pe, t.fault_color = d.pe, d.color
        return WSK_ERR_QUEUE_RANGE
    pe = s.pe + p
    if d.flags & WSK_TORN_DOWN:
        if s.program[pe.program].code.local_entry[TORN_DOWN_TASK] != PE_NONE:
            activate(pe, TORN_DOWN_TASK)
            schedule(s, t, p, s.cycle)
        return WSK_OK
    q = s.program[pe.program].color_queue[d.color]
    if q < 0:
        t.fault_pe, t.fault_color = d.pe, d.color
        return WSK_ERR_QUEUE_RANGE
    queue = input_queue(s, pe, q)
    set_word(queue_word(s, queue, queue.count), d.data, when, d.flags & 3)
    queue.count += 1
    if wake_all(s, pe, WAIT_INPUT, q, when) or not pe.busy & 1:
        schedule(s, t, p, when)
    return WSK_OK


cdef int deliver_all(Core *s, wsk_fabric *fabric, int strip) noexcept nogil:
    cdef const wsk_delivery *words
    cdef int i, n = wsk_fabric_deliveries(fabric, strip, &words), status
    for i in range(n):
        status = deliver(s, s.strip + strip, words + i)
        if status < 0:
            return status
    return WSK_OK


cdef int put(Core *s, wsk_fabric *fabric, Strip *t, int32_t p) noexcept nogil:
    # One word onto the ramp, from the first output queue that can give one; where all are refused, again next cycle.
    cdef Pe *pe = s.pe + p
    cdef Queue *q
    cdef Word *word
    cdef int64_t again = INT64_MAX
    cdef uint32_t filled = pe.filled
    cdef int k, status, sent = 0
    pe.sending = 0
    while filled:
        k = wsk_ctz(filled)
        filled &= filled - 1
        q = output_queue(s, pe, k)
        word = queue_word(s, q, 0)
        if not sent and stamp_of(s, word) <= s.cycle:
            status = wsk_fabric_offer(fabric, pe.at, q.color, word.bits, word.mark & 3)
            if status < 0:
                t.fault_pe, t.fault_color = pe.at, q.color
                return status
            if status:
                sent = 1
                t.progress = s.cycle
                queue_pop(q)
                if wake_all(s, pe, WAIT_OUTPUT, k, s.cycle + 1):
                    schedule(s, t, p, s.cycle + 1)
                if q.count == 0:
                    pe.filled &= ~(1 << k)
                    continue
                word = queue_word(s, q, 0)
        again = min(again, max(stamp_of(s, word), s.cycle + 1))
    if again != INT64_MAX:
        schedule_ramp(s, t, p, again)
    return WSK_OK


cdef inline int32_t take_slot(int32_t *slots, int64_t cycle) noexcept nogil:
    cdef int32_t p = slots[cycle % WHEEL]
    slots[cycle % WHEEL] = NOBODY
    return p


cdef int step_cores(Core *s, wsk_fabric *fabric, int strip) noexcept nogil:
    # The cores' part of a cycle, for one strip.
    cdef Strip *t = s.strip + strip
    cdef int32_t p, following
    cdef int64_t slot = s.cycle % WHEEL
    cdef int status = WSK_OK
    if not s.quiet:
        status = deliver_all(s, fabric, strip)
    while status >= 0 and t.core_slot[slot] != NOBODY:
        p = t.core_slot[slot]
        unschedule(s, t, p)
        status = act(s, fabric, t, p)
    p = take_slot(t.ramp_slot, s.cycle)
    while p != NOBODY and status >= 0:
        following = s.ramp_next[p]
        t.ramp_events -= 1
        status = put(s, fabric, t, p)
        p = following
    return status


# ---- Between two cycles ------------------------------------------------------------------------------------------------

cdef int delivering(const wsk_fabric *fabric) noexcept nogil:
    # Whether words have come out of the fabric that the cores have not seen yet.
    cdef const wsk_delivery *words
    cdef int strip
    for strip in range(wsk_fabric_strips(fabric)):
        if wsk_fabric_deliveries(fabric, strip, &words):
            return 1
    return 0


cdef inline bint has_event(const Core *s, int64_t cycle, bint ramps_only) noexcept nogil:
    cdef int i
    for i in range(s.strips):
        if s.strip[i].ramp_slot[cycle % WHEEL] != NOBODY or (
                not ramps_only and s.strip[i].core_slot[cycle % WHEEL] != NOBODY):
            return True
    return False


cdef int64_t live_pes(const Core *s) noexcept nogil:
    cdef int64_t live = 0
    cdef int i
    for i in range(s.strips):
        live += s.strip[i].live
    return live


cdef int64_t events_of(const Core *s, bint cores_only) noexcept nogil:
    cdef int64_t events = 0
    cdef int i
    for i in range(s.strips):
        events += s.strip[i].core_events + (0 if cores_only else s.strip[i].ramp_events)
    return events


cdef int64_t last_progress(const Core *s) noexcept nogil:
    cdef int64_t last = 0
    cdef int i
    for i in range(s.strips):
        last = max(last, s.strip[i].progress)
    return last


cdef int64_t next_event(const Core *s, int64_t limit) noexcept nogil:
    # First cycle before `limit` in which a core or a ramp does anything.
    cdef int64_t cycle
    cdef int i
    for i in range(s.strips):
        if s.strip[i].core_events + s.strip[i].ramp_events == 0:
            continue
        cycle = s.cycle
        while cycle < limit and s.strip[i].core_slot[cycle % WHEEL] == NOBODY and (
                s.strip[i].ramp_slot[cycle % WHEEL] == NOBODY):
            cycle += 1
        limit = min(limit, cycle)
    return limit


cdef void wake_fabric(Core *s, wsk_fabric *fabric) noexcept nogil:
    # The fabric's clock stands still while it is empty: before a word may be offered, it catches up.
    if s.quiet and has_event(s, s.cycle, s.latency.output > 0):
        wsk_fabric_skip(fabric, s.cycle)
        s.quiet = 0


cdef int is_over(const Core *s, const wsk_fabric *fabric) noexcept nogil:
    # No core has anything to do by itself. 0: words are still moving; 1: all is done; WSK_ERR_DEADLOCK.
    cdef int64_t moved = max(last_progress(s), wsk_fabric_last_move(fabric))
    if events_of(s, True) or (not s.quiet and delivering(fabric)):
        return 0
    if not (s.quiet and events_of(s, False) == 0) and s.cycle - moved <= PATIENCE:
        return 0
    return WSK_ERR_DEADLOCK if live_pes(s) else 1


cdef void skip_idle(Core *s, wsk_fabric *fabric, int64_t deadline) noexcept nogil:
    # Nothing happens in the coming cycle: jump to the next one in which something does.
    cdef int64_t limit = min(deadline, s.cycle + WHEEL - 1)
    if not s.quiet:
        limit = min(limit, wsk_fabric_next_event(fabric))
        if limit <= s.cycle or delivering(fabric):
            return
    limit = next_event(s, limit)
    if not s.quiet:
        wsk_fabric_skip(fabric, limit)
    s.cycle = limit


# ---- Runs ----------------------------------------------------------------------------------------------------------------

cdef struct Run:
    Core *core
    wsk_fabric *fabric
    int64_t deadline
    int state                   # RUNNING 0, else the status to return
    int until_done              # 1: to the end of all programs; 0: to the deadline
    int status[3][64]           # by phase, so that nobody overwrites what others still read


cdef int failed(const Run *run, int phase, int size) noexcept nogil:
    cdef int i
    for i in range(size):
        if run.status[phase][i] < 0:
            return run.status[phase][i]
    return 0


cdef void decide(Run *run) noexcept nogil:
    # Between two cycles, on one thread: go on, jump ahead, or stop and why.
    cdef Core *s = run.core
    cdef bint idle = not has_event(s, s.cycle, False)
    cdef int over = 0
    if idle and not s.quiet:
        s.quiet = wsk_fabric_next_event(run.fabric) == INT64_MAX and not delivering(run.fabric)
    if idle or s.cycle % 64 == 0:
        over = is_over(s, run.fabric)
    if over and run.until_done:
        run.state = over
        return
    if over and s.quiet:
        s.cycle = max(s.cycle, run.deadline)        # nothing will happen any more: time passes
    elif idle:
        skip_idle(s, run.fabric, run.deadline)
    if s.cycle >= run.deadline:
        run.state = WSK_ERR_DEADLINE
        return
    wake_fabric(s, run.fabric)


cdef void close_cycle(wsk_team *team, void *context) noexcept nogil:
    # On one thread, when all strips are done with a cycle.
    cdef Run *run = <Run *>context
    cdef int status = failed(run, 2, team.size)
    if status < 0:
        run.state = status
        return
    if not run.core.quiet:
        fabric_tick(run.fabric)
    run.core.cycle += 1
    decide(run)


cdef void work(wsk_team *team, int rank, void *context) noexcept nogil:
    # What each member of the team does until the run stops: its own strips, in three phases per cycle.
    cdef Run *run = <Run *>context
    cdef Core *s = run.core
    cdef int first = s.strips * rank // team.size, last = s.strips * (rank + 1) // team.size, i, status, quiet
    while run.state == 0:
        quiet = s.quiet
        status = 0 if quiet else fabric_feed(run.fabric, first, last)
        for i in range(first, last):
            if status < 0:
                break
            status = step_cores(s, run.fabric, i)
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


cdef int run_cores(Core *s, wsk_fabric *fabric, int64_t deadline, bint until_done, int threads) noexcept nogil:
    # Until every core is idle and no word is on its way, an error, or the deadline.
    cdef Run run
    memset(&run, 0, sizeof(Run))
    run.core, run.fabric, run.deadline, run.until_done = s, fabric, deadline, until_done
    s.until = deadline
    decide(&run)
    if run.state == 0:
        wsk_team_run(min(threads, s.strips), work, &run)
    return WSK_OK if run.state == 1 else run.state
