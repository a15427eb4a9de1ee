# cython: language_level=3
# wsekern_program.h for Cython: every function, record and constant of programs and simulations of the C library, declared once.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from wsekern.fabric.wsekern_fabric cimport wsk_fabric, wsk_plan, wsk_run

cdef extern from "wsekern_program.h" nogil:
    enum: WSK_FP32, WSK_FP16, WSK_BF16, WSK_U32, WSK_U16, WSK_I32, WSK_I16
    enum: WSK_THREAD_IDLE, WSK_THREAD_READY, WSK_THREAD_BUSY, WSK_THREAD_INPUT, WSK_THREAD_OUTPUT, WSK_THREAD_FIFO
    enum: WSK_THREAD_MICROTHREAD, WSK_THREAD_STARTING, WSK_MAIN_THREAD, WSK_THREADS

    ctypedef struct wsk_program
    ctypedef struct wsk_simulation
    ctypedef struct wsk_array:
        const char *name
        int32_t type, elements, address, bytes
    ctypedef struct wsk_received:
        int64_t cycle
        uint32_t pe, data
        uint8_t port, color, flags, unused
    ctypedef struct wsk_counters:
        uint32_t size, unused
        int64_t done, input, output, fifo, microthread, instructions, elements, vector_cycles, conflict_cycles, words, tasks
    ctypedef struct wsk_thread:
        int32_t thread, state, instruction, word, queue, unused
        int64_t cycle

    int wsk_program_open(wsk_program **program, const void *bytes, size_t n)
    void wsk_program_free(wsk_program *program)
    int wsk_program_width(const wsk_program *program)
    int wsk_program_height(const wsk_program *program)
    const wsk_plan *wsk_program_plan(const wsk_program *program)
    const char *wsk_program_name(const wsk_program *program, uint32_t pe)
    int wsk_program_array(const wsk_program *program, uint32_t pe, int i, wsk_array *array)
    int wsk_program_find(const wsk_program *program, uint32_t pe, const char *name, wsk_array *array)

    int wsk_simulation_create(wsk_simulation **simulation, const wsk_program *program)
    void wsk_simulation_free(wsk_simulation *simulation)
    int wsk_simulation_reset(wsk_simulation *simulation)
    int wsk_simulation_fill(wsk_simulation *simulation)
    const wsk_fabric *wsk_simulation_fabric(const wsk_simulation *simulation)
    int wsk_simulation_save(wsk_simulation *simulation, void *bytes, size_t room, size_t *needed)
    int wsk_simulation_load(wsk_simulation *simulation, const void *bytes, size_t n)

    int wsk_simulation_launch(wsk_simulation *simulation, uint32_t pe, const char *function)
    int wsk_simulation_launch_all(wsk_simulation *simulation, const char *function)
    int wsk_simulation_step(wsk_simulation *simulation)
    int wsk_simulation_run(wsk_simulation *simulation, const wsk_run *options, uint32_t *why)
    int64_t wsk_simulation_cycle(const wsk_simulation *simulation)
    int64_t wsk_simulation_ended(const wsk_simulation *simulation)
    int64_t wsk_simulation_next_event(const wsk_simulation *simulation)

    int wsk_simulation_send(wsk_simulation *simulation, uint32_t pe, int port, int color, const uint32_t *data,
                            const uint8_t *flags, int64_t n)
    int64_t wsk_simulation_receive(wsk_simulation *simulation, int color, wsk_received *list, int64_t room)

    int wsk_simulation_read(const wsk_simulation *simulation, uint32_t pe, int64_t address, void *bytes, size_t n)
    int wsk_simulation_write(wsk_simulation *simulation, uint32_t pe, int64_t address, const void *bytes, size_t n)
    int wsk_simulation_read_array(const wsk_simulation *simulation, uint32_t pe, const char *name, void *bytes, size_t n)
    int wsk_simulation_write_array(wsk_simulation *simulation, uint32_t pe, const char *name, const void *bytes, size_t n)
    int wsk_simulation_set_parameter(wsk_simulation *simulation, uint32_t pe, const char *name, int32_t value)

    int wsk_simulation_registers(const wsk_simulation *simulation, uint32_t pe, uint32_t *values, int room)
    int wsk_simulation_counters(const wsk_simulation *simulation, uint32_t pe, wsk_counters *counters)
    int wsk_simulation_thread(const wsk_simulation *simulation, uint32_t pe, int thread, wsk_thread *state)
    int wsk_simulation_findings(wsk_simulation *simulation, char *text, size_t room)
    int wsk_simulation_watch_memory(wsk_simulation *simulation)
    int wsk_simulation_report(const wsk_simulation *simulation, char *text, size_t room)
