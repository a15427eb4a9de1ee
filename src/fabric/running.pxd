# cython: language_level=3
# running.h for Cython: a run in progress, and what happens between the phases and cycles of it.
from libc.stdint cimport int64_t, uint32_t

from wsekern.team cimport wsk_team
from wsekern.fabric.wsekern_fabric cimport wsk_fabric

cdef extern from "running.h" nogil:
    enum: WSK_RUNNING, WSK_STOPPED
    enum: WSK_PHASE_FEED, WSK_PHASE_DEPART, WSK_PHASE_LAND
    ctypedef struct wsk_running:
        wsk_fabric *fabric
        int64_t start, end, patience
        uint32_t stop, why
        int state
        int (*each)(void *context) noexcept nogil
        void *context
    ctypedef struct wsk_runner:
        wsk_running *run
        int made
    wsk_fabric *wsk_view(wsk_runner *runner, int step)
    int wsk_phase_of(const wsk_running *run, int step)
    void wsk_begin_run(wsk_running *run, wsk_fabric *f, int64_t end)
    void wsk_decide(wsk_running *run)
    int wsk_land_strip(wsk_fabric *f, int i)
    int wsk_run_rounds(wsk_running *run, int threads, void (*work)(wsk_team *, int, void *) noexcept nogil)
