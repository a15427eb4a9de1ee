# cython: language_level=3
# The loop over the wafer grid that Python starts: cycles, and the strips of each. What happens in a strip, and whether the run
# goes on after a cycle, is C (step.c, run.c). (Bodies of _routing.pyx: inline functions, no module of their own.)
from wsekern.fabric.fabric_internal cimport wsk_arrive_strip, wsk_depart_strip, wsk_fabric_inside, wsk_feed_strip
from wsekern.fabric.running cimport WSK_RUNNING, wsk_end_cycle, wsk_end_phase, wsk_running
from wsekern.team cimport wsk_team
from wsekern.fabric.wsekern_fabric cimport wsk_fabric


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
