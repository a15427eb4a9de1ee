# cython: language_level=3
# The loop over the wafer grid that Python starts: the strips of each phase of a cycle. What happens in a strip, and whether
# the run goes on after a cycle, is C (step.c, run.c). (Bodies of _routing.pyx: inline functions, no module of their own.)
from libc.stdint cimport int64_t

from wsekern.fabric.fabric_internal cimport wsk_arrive_strip, wsk_depart_strip, wsk_fabric_inside, wsk_feed_strip
from wsekern.fabric.running cimport WSK_PHASE_DEPART, WSK_PHASE_FEED, wsk_running
from wsekern.team cimport wsk_team, wsk_team_do


cdef inline int run_strip(void *context, int64_t strip) noexcept nogil:
    """One strip in this phase of the cycle."""
    cdef wsk_running *run = <wsk_running *>context
    cdef int i = <int>strip
    if run.phase == WSK_PHASE_FEED:
        return wsk_feed_strip(run.fabric, (<wsk_fabric_inside *>run.fabric).strip + i)
    if run.phase == WSK_PHASE_DEPART:
        return wsk_depart_strip(run.fabric, i)
    return wsk_arrive_strip(run.fabric, i)


cdef inline void work(wsk_team *team, int rank, void *context) noexcept nogil:
    """What each member of the team does until the run stops: strips that nobody has claimed, in three phases per cycle."""
    wsk_team_do(team, rank, run_strip, context)
