# cython: language_level=3
# team.h for Cython.
from libc.stdint cimport int64_t

cdef extern from "team.h" nogil:
    enum: WSK_TEAM_MOST
    ctypedef struct wsk_team:
        int size
    int wsk_team_run(int size, void (*work)(wsk_team *, int, void *) noexcept nogil, void *context)
    void wsk_team_meet(wsk_team *team, void (*alone)(wsk_team *, void *) noexcept nogil)
    int64_t wsk_team_share(const wsk_team *team, int rank, int64_t n)
    int wsk_team_rounds(int size, int64_t pieces, int steps, void (*work)(wsk_team *, int, void *) noexcept nogil,
                        int (*turn)(wsk_team *, void *) noexcept nogil, int on_caller, void *context)
    void wsk_team_do(wsk_team *team, int rank, int (*piece)(void *, int64_t, int) noexcept nogil, void *context)
