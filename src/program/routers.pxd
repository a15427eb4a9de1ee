# cython: language_level=3
# What the cores ask of the routers (src/fabric), and the team of threads that steps both.
from libc.stdint cimport int64_t, uint32_t

from wsekern.fabric._routing cimport (fabric_arrive, fabric_depart, fabric_feed, fabric_tick, wsk_delivery, wsk_fabric,
                                      wsk_route)

cdef extern from "wsekern_fabric.h" nogil:
    int WSK_RAMP, WSK_CONTROL, WSK_ADVANCE, WSK_TORN_DOWN
    int wsk_fabric_offer(wsk_fabric *fabric, uint32_t pe, int color, uint32_t data, int flags)
    void wsk_fabric_credit(wsk_fabric *fabric, uint32_t pe, int color, int words)
    int wsk_fabric_strips(const wsk_fabric *fabric)
    int wsk_fabric_deliveries(const wsk_fabric *fabric, int strip, const wsk_delivery **words)
    int wsk_fabric_rewrite(wsk_fabric *fabric, uint32_t pe, int color, const wsk_route *route)
    int wsk_fabric_set_position(wsk_fabric *fabric, uint32_t pe, int color, int position)
    int wsk_fabric_teardown(wsk_fabric *fabric, uint32_t pe, int color, int frozen)
    int wsk_fabric_torn_down(const wsk_fabric *fabric, uint32_t pe, int color)
    int64_t wsk_fabric_last_move(const wsk_fabric *fabric)
    int64_t wsk_fabric_next_event(const wsk_fabric *fabric)
    int wsk_fabric_skip(wsk_fabric *fabric, int64_t cycle)

cdef extern from "fabric_internal.h" nogil:
    enum: STRIP_ROWS    # rows that one thread steps
    int wsk_ctz(unsigned long long m)

cdef extern from "team.h" nogil:
    ctypedef struct wsk_team:
        int size
    int wsk_team_run(int size, void (*work)(wsk_team *, int, void *) noexcept nogil, void *context)
    void wsk_team_meet(wsk_team *team, void (*alone)(wsk_team *, void *) noexcept nogil)

cdef extern from "common/wsekern_status.h" nogil:
    int WSK_OK, WSK_ERR_NO_MEMORY, WSK_ERR_DEADLOCK, WSK_ERR_DEADLINE, WSK_ERR_BAD_INSTRUCTION, WSK_ERR_MEMORY_RANGE
    int WSK_ERR_QUEUE_RANGE, WSK_ERR_BAD_ARGUMENT
