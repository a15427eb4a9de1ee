# cython: language_level=3
# Runs: many cycles on a team of threads. (Bodies of _routing.pyx, as cycle.pxd.)
from libc.stdint cimport int64_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy

from wsekern.fabric.cycle cimport arrive_strips, depart_strips, feed_strips
from wsekern.fabric.fabric_internal cimport wsk_fabric_inside
from wsekern.team cimport WSK_TEAM_MOST, wsk_team, wsk_team_meet
from wsekern.fabric.wsekern_fabric cimport (
    wsk_delivery, wsk_fabric, wsk_fabric_cycle, wsk_fabric_deliveries, wsk_fabric_in_flight, wsk_fabric_last_move,
    wsk_fabric_strips, wsk_fabric_waiting_outside)
from wsekern.wsekern_status cimport WSK_ERR_DEADLOCK, WSK_ERR_NO_MEMORY

cdef enum:
    RUNNING = 0
    IDLE = 1
    ENDED = 2

ctypedef struct Run:
    wsk_fabric *fabric
    int64_t end                      # cycle at which to stop
    int64_t start                    # cycle at which the run began
    int64_t patience                 # cycles without movement that mean deadlock
    int until_idle
    int state                        # RUNNING, IDLE, ENDED or a negative status
    int any_source
    int keep_log
    int status[3][WSK_TEAM_MOST]     # by phase, so that nobody overwrites what others still read
    wsk_delivery **log_words
    int64_t **log_cycles
    int64_t *log_length
    int64_t *log_room


cdef inline int stuck(wsk_fabric *f) noexcept nogil:
    """Whether words are in routers, on links, on on-ramps or waiting outside."""
    return wsk_fabric_in_flight(f) > 0 or wsk_fabric_waiting_outside(f) > 0


cdef inline int is_idle(wsk_fabric *f) noexcept nogil:
    cdef wsk_fabric_inside *inside = <wsk_fabric_inside *>f
    cdef int i
    for i in range(inside.strips):
        if inside.strip[i].last_out > inside.cycle:
            return 0
    return not stuck(f)


cdef inline int sources_wait(wsk_fabric *f) noexcept nogil:
    cdef wsk_fabric_inside *inside = <wsk_fabric_inside *>f
    cdef int i
    for i in range(inside.strips):
        if inside.strip[i].waiting:
            return 1
    return 0


cdef inline int append_log(Run *run) noexcept nogil:
    """Copy the deliveries of the current cycle to the log."""
    cdef const wsk_delivery *words
    cdef wsk_delivery *more_words
    cdef int64_t *more_cycles
    cdef int64_t cycle = wsk_fabric_cycle(run.fabric), room, j, at
    cdef int i, n
    for i in range(wsk_fabric_strips(run.fabric)):
        if (<wsk_fabric_inside *>run.fabric).strip[i].awake_until < cycle:
            continue
        n = wsk_fabric_deliveries(run.fabric, i, &words)
        if not n:
            continue
        at = run.log_length[0]
        if at + n > run.log_room[0]:
            room = 2 * (at + n) + 1024
            more_words = <wsk_delivery *>realloc(run.log_words[0], room * sizeof(wsk_delivery))
            if more_words != NULL:
                run.log_words[0] = more_words
            more_cycles = <int64_t *>realloc(run.log_cycles[0], room * sizeof(int64_t))
            if more_cycles != NULL:
                run.log_cycles[0] = more_cycles
            if more_words == NULL or more_cycles == NULL:
                return WSK_ERR_NO_MEMORY
            run.log_room[0] = room
        memcpy(run.log_words[0] + at, words, n * sizeof(wsk_delivery))
        for j in range(n):
            run.log_cycles[0][at + j] = cycle
        run.log_length[0] = at + n
    return 0


cdef inline void decide(Run *run) noexcept nogil:
    """Between two cycles, on one thread: go on, or stop and why."""
    cdef int64_t cycle = wsk_fabric_cycle(run.fabric), last
    run.any_source = sources_wait(run.fabric)
    if run.until_idle and is_idle(run.fabric):
        run.state = IDLE
    elif cycle >= run.end:
        run.state = ENDED
    elif run.patience > 0:
        last = max(wsk_fabric_last_move(run.fabric), run.start)
        if cycle - last > run.patience and stuck(run.fabric):
            run.state = WSK_ERR_DEADLOCK


cdef inline int failed(Run *run, int phase, int size) noexcept nogil:
    cdef int i
    for i in range(size):
        if run.status[phase][i] < 0:
            return run.status[phase][i]
    return 0


cdef inline void close_cycle(wsk_team *team, void *context) noexcept nogil:
    """On one thread, when all strips are done with a cycle: the clock ticks, and the run goes on or stops."""
    cdef Run *run = <Run *>context
    cdef wsk_fabric_inside *inside = <wsk_fabric_inside *>run.fabric
    cdef int status = failed(run, 2, team.size)
    if status < 0:
        run.state = inside.failed = status
        return
    inside.cycle += 1
    if run.keep_log and append_log(run) < 0:
        run.state = WSK_ERR_NO_MEMORY
    else:
        decide(run)


cdef inline void work(wsk_team *team, int rank, void *context) noexcept nogil:
    """What each member of the team does until the run stops: its own strips, in three phases per cycle."""
    cdef Run *run = <Run *>context
    cdef wsk_fabric *f = run.fabric
    cdef wsk_fabric_inside *inside = <wsk_fabric_inside *>f
    cdef int first = inside.strips * rank // team.size, last = inside.strips * (rank + 1) // team.size, status
    while run.state == RUNNING:
        status = 0
        if run.any_source:
            run.status[0][rank] = feed_strips(f, first, last)
            wsk_team_meet(team, NULL)
            status = failed(run, 0, team.size)
        if status == 0:
            run.status[1][rank] = depart_strips(f, first, last)
            wsk_team_meet(team, NULL)
            status = failed(run, 1, team.size)
        run.status[2][rank] = arrive_strips(f, first, last) if status == 0 else status
        wsk_team_meet(team, close_cycle)
