/* PE programs on a simulated wafer: a compiled layout, and simulations of it, stepped by events.
 *
 * A program comes from Layout.to_bytes() of Python: the programs, which PE has which, their routes, names and first values. A
 * core that computes, waits or is idle costs nothing until something happens to it. Within a cycle words are delivered first,
 * then cores act, then output queues put words on the ramps, then the routers move (wsekern_fabric.h). The cycles, memories
 * and counters are those of the same Layout in Python, whatever the number of threads.
 *
 * Arguments. As in wsekern_fabric.h: handles and ranges are checked, WSK_ERR_BAD_ARGUMENT where they are wrong. A PE is y *
 * width + x.
 *
 * Threads. Two simulations, of one program or of two, may be used in two threads at once; one simulation by one thread at a
 * time. A program is only read.
 *
 * Who owns what. The host frees programs and simulations that it made; a program must outlive its simulations. Names live as
 * long as their program. What is passed in is copied. */
#ifndef WSEKERN_PROGRAM_H
#define WSEKERN_PROGRAM_H

#include "wsekern_fabric.h"

enum wsk_type { WSK_FP32, WSK_FP16, WSK_BF16, WSK_U32, WSK_U16, WSK_I32, WSK_I16 };
/* What a thread does in the coming cycle: nothing; issue an instruction, if its turn has come; go on with one; wait for
 * words, for room in an output queue, for a FIFO, for a microthread; begin a task, of which it has issued nothing yet. */
enum wsk_thread_state { WSK_THREAD_IDLE, WSK_THREAD_READY, WSK_THREAD_BUSY, WSK_THREAD_INPUT, WSK_THREAD_OUTPUT,
                        WSK_THREAD_FIFO, WSK_THREAD_MICROTHREAD, WSK_THREAD_STARTING };
enum { WSK_MAIN_THREAD = 8, WSK_THREADS = 9 };

/* An array of a program: where it lies in the memory of each of its PEs. */
typedef struct {
    const char *name;
    int32_t type, elements;           /* enum wsk_type */
    int32_t address, bytes;
} wsk_array;

/* A word that left the wafer: readable outside from this cycle on. */
typedef struct {
    int64_t cycle;
    uint32_t pe, data;
    uint8_t port, color, flags, unused;
} wsk_received;

/* Of one PE so far: cycle at which it became idle; thread-cycles that it waited, by what for; instructions; elements of
 * vector instructions, the cycles that these took, and how many of them bank conflicts added; words taken and sent; tasks. */
typedef struct {
    uint32_t size, unused;            /* set size to sizeof(wsk_counters): it may grow */
    int64_t done, input, output, fifo, microthread, instructions, elements, vector_cycles, conflict_cycles, words, tasks;
} wsk_counters;

/* A thread of a PE: what it does, the instruction of its program that it is at, the next word of a stream, the queue that it
 * waits for (of a FIFO or microthread: its number), and since or until which cycle. */
typedef struct {
    int32_t thread, state, instruction, word, queue, unused;
    int64_t cycle;
} wsk_thread;

typedef struct wsk_program wsk_program;
typedef struct wsk_simulation wsk_simulation;

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Programs: checked, read-only, shared by any number of simulations -------------------------------------------------- */

/* From the bytes of Layout.to_bytes(). WSK_ERR_BAD_BYTES: cut, altered, of another version, or no program that a core can
 * run. */
WSK_API int wsk_program_open(wsk_program **program, const void *bytes, size_t n);
WSK_API void wsk_program_free(wsk_program *program);      /* NULL: nothing */
WSK_API int wsk_program_width(const wsk_program *program);
WSK_API int wsk_program_height(const wsk_program *program);
WSK_API const wsk_plan *wsk_program_plan(const wsk_program *program);     /* goes with the program */
/* The name of the program of a PE, NULL: it has none. */
WSK_API const char *wsk_program_name(const wsk_program *program, uint32_t pe);
/* Array number i (0 to the first that answers WSK_ERR_BAD_ARGUMENT) of a PE's program; the array of a name. */
WSK_API int wsk_program_array(const wsk_program *program, uint32_t pe, int i, wsk_array *array);
WSK_API int wsk_program_find(const wsk_program *program, uint32_t pe, const char *name, wsk_array *array);

/* ---- Simulations -------------------------------------------------------------------------------------------------------- */

WSK_API int wsk_simulation_create(wsk_simulation **simulation, const wsk_program *program);
WSK_API void wsk_simulation_free(wsk_simulation *simulation);     /* NULL: nothing */
/* Programs back to their start at cycle 0; memory stays as it is. */
WSK_API int wsk_simulation_reset(wsk_simulation *simulation);
/* First values of arrays and of parameters again. */
WSK_API int wsk_simulation_fill(wsk_simulation *simulation);
/* Its routers, to look at: link counts, stalls, totals, positions. Their clock stands still while they are empty. Stepping or
 * changing them by themselves is an error that nothing notices. */
WSK_API const wsk_fabric *wsk_simulation_fabric(const wsk_simulation *simulation);

/* All of a simulation as bytes, at any cycle, and back into one of the same program, however many threads saved it: as
 * wsk_fabric_save and wsk_fabric_load. Words that left the wafer and were not received are in it. */
WSK_API int wsk_simulation_save(wsk_simulation *simulation, void *bytes, size_t room, size_t *needed);
WSK_API int wsk_simulation_load(wsk_simulation *simulation, const void *bytes, size_t n);

/* ---- Running ------------------------------------------------------------------------------------------------------------ */

/* Let a function (a local task) begin in the coming cycle on one PE; on every PE whose program has it. */
WSK_API int wsk_simulation_launch(wsk_simulation *simulation, uint32_t pe, const char *function);
WSK_API int wsk_simulation_launch_all(wsk_simulation *simulation, const char *function);
/* One cycle on the calling thread. Returns 0 or a negative status. */
WSK_API int wsk_simulation_step(wsk_simulation *simulation);
/* Many cycles, as wsk_fabric_run. DELIVERY: a word that left the wafer waits to be received. IDLE: every core is idle and no
 * word is on its way. DEADLOCK: a core is at work, but nothing has moved for `patience` cycles (0: 256) and nothing will.
 * HOST never holds. After a failure wsk_simulation_report says more. */
WSK_API int wsk_simulation_run(wsk_simulation *simulation, const wsk_run *options, uint32_t *why);
WSK_API int64_t wsk_simulation_cycle(const wsk_simulation *simulation);       /* the coming one */
WSK_API int64_t wsk_simulation_ended(const wsk_simulation *simulation);       /* when the last PE so far became idle */
/* The next cycle in which anything can happen as long as the host does nothing: INT64_MAX where nothing does. A cycle up to
 * 1,022 ahead may turn out to be one in which nothing happens after all. */
WSK_API int64_t wsk_simulation_next_event(const wsk_simulation *simulation);

/* ---- Words in and out --------------------------------------------------------------------------------------------------- */

/* Words that wait outside an edge, or before a ramp (port WSK_RAMP), and come in one a cycle. flags may be NULL. */
WSK_API int wsk_simulation_send(wsk_simulation *simulation, uint32_t pe, int port, int color, const uint32_t *data,
                                const uint8_t *flags, int64_t n);
/* Words that left the wafer (of one color; -1: of all) in order of cycle, PE, port and color: takes at most `room` away and
 * returns how many. With list NULL it takes none, and returns how many there are. */
WSK_API int64_t wsk_simulation_receive(wsk_simulation *simulation, int color, wsk_received *list, int64_t room);

/* ---- Memory ------------------------------------------------------------------------------------------------------------- */

/* n bytes from byte `address` of a PE on. WSK_ERR_MEMORY_RANGE: the PE does not have them. */
WSK_API int wsk_simulation_read(const wsk_simulation *simulation, uint32_t pe, int64_t address, void *bytes, size_t n);
WSK_API int wsk_simulation_write(wsk_simulation *simulation, uint32_t pe, int64_t address, const void *bytes, size_t n);
/* The first n bytes of an array by its name; n may be less than the array has. */
WSK_API int wsk_simulation_read_array(const wsk_simulation *simulation, uint32_t pe, const char *name, void *bytes, size_t n);
WSK_API int wsk_simulation_write_array(wsk_simulation *simulation, uint32_t pe, const char *name, const void *bytes, size_t n);
/* A parameter of a PE's program by its name. */
WSK_API int wsk_simulation_set_parameter(wsk_simulation *simulation, uint32_t pe, const char *name, int32_t value);

/* ---- Looking ------------------------------------------------------------------------------------------------------------ */

/* Scalar registers of a PE: writes at most `room`, returns how many it has. */
WSK_API int wsk_simulation_registers(const wsk_simulation *simulation, uint32_t pe, uint32_t *values, int room);
WSK_API int wsk_simulation_counters(const wsk_simulation *simulation, uint32_t pe, wsk_counters *counters);
/* A thread of a PE, 0 to 7 or WSK_MAIN_THREAD; WSK_ERR_BAD_ARGUMENT: its program does not use it. */
WSK_API int wsk_simulation_thread(const wsk_simulation *simulation, uint32_t pe, int thread, wsk_thread *state);
/* What the programs did so far that the hardware allows and that is hardly meant, a line for each kind: words that lie unread
 * (as things stand now: ask when all is idle), routes replaced under words that were on their way, queues that two threads used
 * at once, odd numbers of packed elements, memory that was read and never written, 16-bit elements that fill words otherwise
 * where they are sent than where they are taken. Each says the PE, the color and the line of
 * the first time, and how often. As wsk_simulation_report; empty where there is none. */
WSK_API int wsk_simulation_findings(wsk_simulation *simulation, char *text, size_t room);
/* From now on reads of memory that neither code nor host has written are findings too, until the simulation is freed; memory
 * that was loaded counts as written. */
WSK_API int wsk_simulation_watch_memory(wsk_simulation *simulation);
/* Where things stand, as a sentence: what went wrong in the last run and where, or who waits for what. Writes at most `room`
 * bytes, the last of them 0, and returns the length of the whole sentence; text may be NULL if room is 0. */
WSK_API int wsk_simulation_report(const wsk_simulation *simulation, char *text, size_t room);

#ifdef __cplusplus
}
#endif

#endif
