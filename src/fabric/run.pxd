# cython: language_level=3
# The loop over the wafer grid that Python starts: cycles, and the strips of each. What happens in a strip, and whether the run
# goes on after a cycle, is C (step.c, run.c). (Bodies of _routing.pyx: inline functions, no module of their own.)
from libc.stdint cimport int64_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy

from wsekern.fabric.fabric_internal cimport wsk_arrive_strip, wsk_depart_strip, wsk_fabric_inside, wsk_feed_strip
from wsekern.fabric.running cimport WSK_RUNNING, wsk_end_cycle, wsk_end_phase, wsk_running
from wsekern.team cimport wsk_team
from wsekern.fabric.wsekern_fabric cimport (
    wsk_delivery, wsk_fabric, wsk_fabric_cycle, wsk_fabric_deliveries, wsk_fabric_strips)
from wsekern.wsekern_status cimport WSK_ERR_NO_MEMORY

ctypedef struct Log:
    wsk_fabric *fabric
    wsk_delivery *words
    int64_t *cycles
    int64_t length, room


cdef inline int make_room(Log *log, int64_t n) noexcept nogil:
    """Room for ``n`` words in all."""
    cdef wsk_delivery *more_words
    cdef int64_t *more_cycles
    if n <= log.room:
        return 0
    more_words = <wsk_delivery *>realloc(log.words, n * sizeof(wsk_delivery))
    if more_words != NULL:
        log.words = more_words
    more_cycles = <int64_t *>realloc(log.cycles, n * sizeof(int64_t))
    if more_cycles != NULL:
        log.cycles = more_cycles
    if more_words == NULL or more_cycles == NULL:
        return WSK_ERR_NO_MEMORY
    log.room = n
    return 0


cdef inline int append_log(void *context) noexcept nogil:
    """Copy the deliveries of the current cycle to the log."""
    cdef Log *log = <Log *>context
    cdef const wsk_delivery *words
    cdef int64_t cycle = wsk_fabric_cycle(log.fabric), j
    cdef int i, n
    for i in range(wsk_fabric_strips(log.fabric)):
        n = wsk_fabric_deliveries(log.fabric, i, &words)
        if not n:
            continue
        if log.length + n > log.room and make_room(log, 2 * (log.length + n) + 1024) < 0:
            return WSK_ERR_NO_MEMORY
        memcpy(log.words + log.length, words, n * sizeof(wsk_delivery))
        for j in range(n):
            log.cycles[log.length + j] = cycle
        log.length += n
    return 0


cdef inline void work(wsk_team *team, int rank, void *context) noexcept nogil:
    """What each member of the team does until the run stops: its own strips, in three phases per cycle."""
    cdef wsk_running *run = <wsk_running *>context
    cdef wsk_fabric *f = run.fabric
    cdef wsk_fabric_inside *inside = <wsk_fabric_inside *>f
    cdef int first = inside.strips * rank // team.size, last = inside.strips * (rank + 1) // team.size, i, status
    while run.state == WSK_RUNNING:
        status = 0
        if run.any_source:
            for i in range(first, last):
                status = wsk_feed_strip(f, inside.strip + i)
                if status < 0:
                    break
            status = wsk_end_phase(team, rank, run, 0, status)
        if status == 0:
            for i in range(first, last):
                status = wsk_depart_strip(f, i)
                if status < 0:
                    break
            status = wsk_end_phase(team, rank, run, 1, status)
        if status == 0:
            for i in range(first, last):
                status = wsk_arrive_strip(f, i)
                if status < 0:
                    break
        wsk_end_cycle(team, rank, run, status)
