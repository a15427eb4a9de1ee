# cython: language_level=3
# The loop over the wafer grid that Python starts: the strips of each phase of a cycle. What happens in a strip, and whether
# the run goes on after a cycle, is C (step.c, run.c). (Bodies of _routing.pyx: inline functions, no module of their own.)
from libc.stdint cimport int64_t

from wsekern.fabric.fabric_internal cimport wsk_arrive_strip, wsk_depart_strip, wsk_fabric_inside, wsk_feed_strip
from wsekern.fabric.running cimport (WSK_PHASE_DEPART, WSK_PHASE_FEED, WSK_PHASE_LAND, wsk_land_strip, wsk_phase_of, wsk_runner,
                                     wsk_running, wsk_view)
from wsekern.fabric.wsekern_fabric cimport wsk_fabric
from wsekern.team cimport wsk_team, wsk_team_do


cdef inline int run_strip(void *context, int64_t strip, int step) noexcept nogil:
    """A step of one strip."""
    cdef wsk_runner *runner = <wsk_runner *>context
    cdef wsk_fabric *fabric = wsk_view(runner, step)
    cdef int i = <int>strip, phase = wsk_phase_of(runner.run, step)
    if phase == WSK_PHASE_FEED:
        return wsk_feed_strip(fabric, (<wsk_fabric_inside *>fabric).strip + i)
    if phase == WSK_PHASE_DEPART:
        return wsk_depart_strip(fabric, i)
    return wsk_land_strip(fabric, i) if phase == WSK_PHASE_LAND else wsk_arrive_strip(fabric, i)


cdef inline void work(wsk_team *team, int rank, void *context) noexcept nogil:
    """What each member of the team does until the run stops: strips, step by step."""
    cdef wsk_runner runner
    runner.run, runner.made = <wsk_running *>context, 0
    wsk_team_do(team, rank, run_strip, &runner)
