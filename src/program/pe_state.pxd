# cython: language_level=3
# pe_state.h, tape.h, pe_run.h, save.h and compiled.h for Cython: what _pe.pyx reads of cores, and the C functions it calls.
from libc.stdint cimport int16_t, int32_t, int64_t, int8_t, uint16_t, uint32_t, uint8_t

from wsekern.team cimport wsk_team
from wsekern.fabric.wsekern_fabric cimport wsk_delivery, wsk_fabric, wsk_plan, wsk_route
from wsekern.program.pe_code cimport pe_descriptor, pe_instruction, pe_latency, pe_program

cdef extern from "pe_state.h" nogil:
    enum: PE_IDLE, PE_READY, PE_BULK, PE_WAIT_INPUT, PE_WAIT_OUTPUT, PE_WAIT_FIFO, PE_WAIT_THREAD, PE_STARTING
    ctypedef struct pe_word:
        uint32_t bits
    ctypedef struct pe_queue:
        int16_t count
    ctypedef struct pe_place:
        int32_t base, extent, stride, at
    ctypedef struct pe_fifo:
        int32_t head, count
    ctypedef struct pe_thread:
        int64_t resume
        int32_t pc, word, extent, issued
        int8_t state, queue
    ctypedef struct pe_core:
        int32_t at, program, queues, threads
        uint8_t blocked_queues, live
        uint32_t activated, blocked
        int64_t words, vector_cycles, elements, memory
        int32_t registers, own, fifos
        int64_t done
        int64_t stalled[4]
        int64_t instructions, conflict_cycles, tasks
    ctypedef struct pe_loaded:
        pe_program code
        int32_t thread_slot[9]
    enum: PE_RULES
    ctypedef struct pe_found:
        int64_t cycle, count, number
        int32_t at, color, pc
    ctypedef struct pe_span:
        int64_t since
    ctypedef struct pe_strip:
        int64_t ended
        int32_t fault_pe, fault_color, fault_pc
        int64_t edge_count
        wsk_delivery *edge
        int64_t *edge_cycle
    ctypedef struct pe_grid:
        int64_t cycle
        int32_t pes, strips, width, quiet, fabric_pes
        pe_latency latency
        pe_core *pe
        pe_thread *thread
        pe_place *own
        pe_fifo *fifo
        uint32_t *registers
        pe_span *span
        int32_t *slot_of
        pe_strip *strip
        const pe_instruction *code
        const pe_descriptor *descriptor
        const wsk_route *route
        const pe_loaded *program
        pe_tape *tape
        int32_t *param
        int32_t programs, codes, descriptors, routes, params
    pe_queue *pe_input(const pe_grid *g, const pe_core *pe, int q)
    pe_queue *pe_output(const pe_grid *g, const pe_core *pe, int q)
    pe_word *pe_queue_word(const pe_grid *g, const pe_queue *q, int i)
    pe_loaded *pe_make_programs(const pe_program *programs, int64_t count)
    int pe_make_pools(pe_grid *g, const int32_t *program_of)
    void pe_free_pools(pe_grid *g)
    void pe_reset_cores(pe_grid *g)
    void pe_give_credits(const pe_grid *g, wsk_fabric *fabric)
    pe_core *pe_core_at(const pe_grid *g, int64_t p)
    unsigned char *pe_bytes_at(const pe_grid *g, int64_t p, int64_t address, int64_t n)
    int pe_step_cores(pe_grid *g, wsk_fabric *fabric, int strip)
    int pe_launch(pe_grid *g, int64_t p, int task)
    int pe_doing_of(const pe_grid *g, const pe_core *pe, int k, int32_t *at)

cdef extern from "findings.h" nogil:
    int pe_find(const pe_grid *g, wsk_fabric *fabric, int rule, pe_found *found)
    int pe_watch(pe_grid *g)
    void pe_mark(pe_grid *g, const unsigned char *at, int64_t n)

cdef extern from "tape.h" nogil:
    ctypedef struct pe_tape:
        int64_t deeds, words
        int status
    ctypedef struct pe_tile:
        unsigned char *host
        int64_t by_pe
        const int64_t *at_line
        const int64_t *at_half
        const int32_t *address
        int32_t halves, result
    ctypedef struct pe_replay:
        const pe_grid *grid
        const pe_tile *tile
        int64_t tiles, lines, bytes
    int pe_can_tape(const pe_grid *g, const wsk_fabric *fabric)
    int pe_start_tape(pe_grid *g)
    void pe_drop_tape(pe_grid *g)
    int pe_run_tape(const pe_replay *work, int threads, int simd_level)

cdef extern from "profile.h" nogil:
    enum: PE_SPENT
    ctypedef struct pe_spent:
        int64_t cycles[6]
    int pe_profile(pe_grid *g)
    void pe_read_profile(const pe_grid *g, pe_spent *out)

cdef extern from "pe_run.h" nogil:
    enum: PE_RUNNING, PE_PATIENCE
    enum: PE_PHASE_DEPART, PE_PHASE_ARRIVE
    ctypedef struct pe_run:
        pe_grid *grid
        wsk_fabric *fabric
        int64_t deadline, patience
        uint32_t stop, why
        int state
    void pe_open_run(pe_run *run)
    int pe_run_rounds(pe_run *run, int threads, void (*work)(wsk_team *, int, void *) noexcept nogil)
    void pe_open_fabric(pe_grid *g, wsk_fabric *fabric)
    int64_t pe_next_event(const pe_grid *g, const wsk_fabric *fabric)

cdef extern from "save.h" nogil:
    int pe_save(pe_grid *g, wsk_fabric *fabric, void *bytes, size_t room, size_t *needed)
    int pe_load(pe_grid *g, wsk_fabric *fabric, const void *bytes, size_t n)

cdef extern from "compiled.h" nogil:
    int pe_seal(const uint8_t *tables, size_t n, const wsk_plan *plan, void *bytes, size_t room, size_t *needed)

cdef extern from "simulation.h" nogil:
    ctypedef struct wsk_received:
        int64_t cycle
        uint32_t pe, data
        uint8_t port, color, flags
    int64_t pe_receive(pe_grid *g, int color, wsk_received *words, int64_t room)
