/* Status codes of every wsekern C function: 0 or a positive count is success, negative is a failure.
 * Grouped by topic (tens digit); wsekern/errors.py maps each code to one exception and one sentence. */
#ifndef WSEKERN_STATUS_H
#define WSEKERN_STATUS_H

/* Changes whenever a public function, struct or constant changes in a way that a compiled host would notice. */
#define WSEKERN_ABI_VERSION 1

/* Marks what the library exports; everything else in it is hidden. */
#ifndef WSK_API
#if defined(WSEKERN_EXPORT) && (defined(__GNUC__) || defined(__clang__))
#define WSK_API __attribute__((visibility("default")))
#else
#define WSK_API
#endif
#endif

#define WSK_STATUS_TABLE(X)                                                              \
    /* code, name, text */                                                               \
    X(0, WSK_OK, "success")                                                              \
    X(-1, WSK_ERR_NO_MEMORY, "out of memory")                                            \
    X(-2, WSK_ERR_BAD_ARGUMENT, "an argument is out of range")                           \
    X(-3, WSK_ERR_INTERRUPTED, "interrupted")                                            \
    X(-4, WSK_ERR_BAD_BYTES, "the bytes are no saved state, or were cut or altered")     \
    X(-5, WSK_ERR_OTHER_PLAN, "the saved state is of another plan, or of other sinks")   \
    X(-6, WSK_ERR_NO_ROOM, "the space that was given is too small")                      \
    X(-7, WSK_ERR_BUSY, "it is at work: callbacks and other threads may not step, load, reset or free it") \
    X(-10, WSK_ERR_UNROUTED, "a wavelet arrived on a color that has no route")           \
    X(-11, WSK_ERR_TWO_INPUTS, "one color arrived from two ports in the same cycle")     \
    X(-12, WSK_ERR_DEADLOCK, "nothing moved while wavelets were waiting")                \
    X(-13, WSK_ERR_OFF_WAFER, "a route leads off the edge of the wafer")                 \
    X(-14, WSK_ERR_DEADLINE, "the deadline passed before the condition was met")         \
    X(-15, WSK_ERR_LIVELOCK, "wavelets run in a circle and can never leave")             \
    X(-16, WSK_ERR_NO_WAY, "no color is free for a way between PEs")                     \
    X(-20, WSK_ERR_BAD_INSTRUCTION, "a PE met an instruction it cannot execute")         \
    X(-21, WSK_ERR_MEMORY_RANGE, "a PE accessed memory outside its 48 KB")               \
    X(-22, WSK_ERR_QUEUE_RANGE, "a PE used a queue that its machine does not have")

enum wsk_status {
#define WSK_AS_ENUM(code, name, text) name = code,
    WSK_STATUS_TABLE(WSK_AS_ENUM)
#undef WSK_AS_ENUM
};

#ifdef __cplusplus
extern "C" {
#endif

/* WSEKERN_ABI_VERSION of the library that runs: a host compares it with the header's. */
WSK_API int wsk_abi_version(void);
/* The name of a status and what it says; of a positive one those of WSK_OK, of an unknown one "unknown status". Never NULL. */
WSK_API const char *wsk_status_name(int status);
WSK_API const char *wsk_status_text(int status);
/* Codes of the table, 0 <= i < wsk_status_count(); 1, which no status has, for another i. */
WSK_API int wsk_status_count(void);
WSK_API int wsk_status_code(int i);

#ifdef __cplusplus
}
#endif

#endif
