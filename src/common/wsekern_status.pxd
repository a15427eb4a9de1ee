# cython: language_level=3
# wsekern_status.h for Cython.

cdef extern from "wsekern_status.h" nogil:
    enum: WSEKERN_ABI_VERSION
    enum: WSK_OK, WSK_ERR_NO_MEMORY, WSK_ERR_BAD_ARGUMENT, WSK_ERR_INTERRUPTED
    enum: WSK_ERR_BAD_BYTES, WSK_ERR_OTHER_PLAN, WSK_ERR_NO_ROOM, WSK_ERR_BUSY
    enum: WSK_ERR_UNROUTED, WSK_ERR_TWO_INPUTS, WSK_ERR_DEADLOCK, WSK_ERR_OFF_WAFER, WSK_ERR_DEADLINE, WSK_ERR_LIVELOCK
    enum: WSK_ERR_NO_WAY
    enum: WSK_ERR_BAD_INSTRUCTION, WSK_ERR_MEMORY_RANGE, WSK_ERR_QUEUE_RANGE
    int wsk_abi_version()
    int wsk_status_count()
    int wsk_status_code(int i)
    const char *wsk_status_name(int status)
    const char *wsk_status_text(int status)
