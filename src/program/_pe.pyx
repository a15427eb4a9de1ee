# cython: language_level=3
"""PE cores of the cycle engine: tasks, microthreads and vector instructions over memory and fabric, stepped by events.

A core that computes, waits or is idle costs nothing until something happens to it: cores sit in a wheel of coming cycles,
or wait for a word or for room in a queue and are woken by it. Within a cycle words are delivered first, then cores act,
then output queues put words on the ramps, then the routers move.
"""
from libc.stdint cimport INT64_MAX, int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

import numpy as np

from wsekern.fabric._routing cimport State as FabricState, fabric_arrive, fabric_depart, fabric_feed, fabric_tick
from wsekern.fabric.fabric_internal cimport STRIP_ROWS, wsk_ctz
from wsekern.fabric.team cimport wsk_team, wsk_team_meet, wsk_team_run
from wsekern.fabric.wsekern_fabric cimport (
    WSK_ADVANCE, WSK_CONTROL, WSK_RAMP, WSK_TORN_DOWN, wsk_delivery, wsk_fabric, wsk_fabric_credit, wsk_fabric_deliveries,
    wsk_fabric_last_move, wsk_fabric_next_event, wsk_fabric_offer, wsk_fabric_rewrite, wsk_fabric_set_position,
    wsk_fabric_skip, wsk_fabric_strips, wsk_fabric_teardown, wsk_fabric_torn_down, wsk_route)
from wsekern.wsekern_status cimport (
    WSK_ERR_BAD_ARGUMENT, WSK_ERR_BAD_INSTRUCTION, WSK_ERR_DEADLINE, WSK_ERR_DEADLOCK, WSK_ERR_MEMORY_RANGE,
    WSK_ERR_NO_MEMORY, WSK_ERR_QUEUE_RANGE, WSK_OK)

cdef extern from "<stdlib.h>" nogil:
    void *aligned_alloc(size_t alignment, size_t size)

cdef extern from "pe_code.h" nogil:
    enum: PE_COLORS, PE_QUEUES, PE_MAIN, PE_THREADS, PE_TASKS, PE_CONTROL_TASKS, PE_STACK, PE_NONE
    enum: PE_END, PE_SPEND, PE_VECTOR, PE_SCALAR, PE_CONSTANT, PE_PARAMETER, PE_CONVERT, PE_LOAD, PE_STORE, PE_TAKE, PE_GIVE
    enum: PE_JUMP, PE_BRANCH, PE_CALL, PE_RETURN, PE_ACTIVATE, PE_BLOCK, PE_UNBLOCK, PE_BLOCK_QUEUE, PE_UNBLOCK_QUEUE
    enum: PE_TIME, PE_SET_BASE, PE_MOVE_BASE, PE_SET_EXTENT, PE_SET_STRIDE, PE_LOAD_DESCRIPTOR, PE_ROUTE, PE_POSITION
    enum: PE_LEAVE_TEARDOWN, PE_TORN_DOWN
    enum: PE_ABSENT, PE_MEM, PE_MEM4D, PE_RING, PE_FIFO, PE_REGISTER, PE_FABIN, PE_FABOUT
    ctypedef struct pe_descriptor:
        int32_t kind, type, queue, base, extent, stride, advance, save, wrap
        int32_t shape[4]
        int32_t strides[4]
        int32_t control, advance_switch, index, own, on_push, on_pop
    ctypedef struct pe_instruction:
        int32_t form, op, type, dst, a, b, c, imm, cycles, taken, repeat, between, num, den, conflict_num, conflict_den
        int32_t full, long_num, long_den, packing, step, counted, stream, thread, priority, activate, unblock, terminate
        int32_t control_activate, control_unblock
    ctypedef struct pe_program:
        int32_t first, count, descriptor, memory, registers, own, fifos, threads, route, active, blocked, high
        int32_t blocked_queues, high_queues
        int32_t in_color[8]
        int32_t out_color[8]
        int32_t in_depth[8]
        int32_t out_depth[8]
        int32_t local_entry[32]
        int32_t data_entry[8]
        int32_t control_entry[64]
    ctypedef struct pe_latency:
        int32_t input, output, task, data_task, launch
        int32_t stride_width[8]

cdef extern from "pe_math.h" nogil:
    ctypedef union pe_value:
        float f
        uint32_t u
        int32_t i
    int pe_type_bytes(int type)
    int pe_compares(int op)
    pe_value pe_decode(int type, uint32_t bits)
    uint32_t pe_encode(int type, pe_value v)
    uint32_t pe_load_bits(int type, const unsigned char *p)
    void pe_store_bits(int type, unsigned char *p, uint32_t bits)
    pe_value pe_load(int type, const unsigned char *p)
    void pe_store(int type, unsigned char *p, pe_value v)
    pe_value pe_apply(int op, int type, pe_value a, pe_value b, pe_value c)
    pe_value pe_convert(int source, int target, pe_value v)

include "state.pxi"
include "vector.pxi"
include "scalar.pxi"
include "tasks.pxi"
include "events.pxi"
include "set_up.pxi"

STATES = ("idle", "ready", "busy", "input", "output", "fifo", "microthread", "starting")
"""What a thread does in the coming cycle: nothing; issue an instruction, if its turn has come; go on with one; wait for words, for
room in an output queue, for a FIFO, for a microthread; begin a task, of which it has issued nothing yet."""
COUNTERS = ("done", "input", "output", "fifo", "microthread", "instructions", "elements", "vector_cycles", "conflict_cycles",
            "words", "tasks")
"""Columns of :meth:`Cores.counters`: cycle at which a PE became idle; thread-cycles that it waited for words, for room in
an output queue, for a FIFO, for a microthread; instructions; elements of vector instructions, the cycles that these took,
and how many of them bank conflicts added; words taken and sent; tasks."""


cdef class Cores:
    """Cores of a grid of PEs: const programs, and the mutable state of every PE that has one.

    Records of int32 as in ``pe_code.h``: ``programs`` (programs, 150), ``code`` (instructions, 30), ``descriptors``
    (descriptors, 23); ``routes`` (routes, 14) uint8; ``program_of`` int32 (PEs,) of a grid ``width`` wide, -1 where a PE has
    none; ``parameters`` int32 (PEs, n); ``latencies`` input, output, task, data task, launch; ``stride_width`` (8).
    """
    cdef Core core
    cdef Program *programs
    cdef object keep

    def __cinit__(self, const int32_t[:, ::1] programs, const int32_t[:, ::1] code, const int32_t[:, ::1] descriptors,
                  const uint8_t[:, ::1] routes, const int32_t[::1] program_of, const int32_t[:, ::1] parameters,
                  latencies, stride_width, int width):
        cdef Core *s = &self.core
        if (programs.shape[1] * 4 != sizeof(pe_program) or code.shape[1] * 4 != sizeof(pe_instruction)
                or descriptors.shape[1] * 4 != sizeof(pe_descriptor) or routes.shape[1] != 14):
            raise ValueError("records of programs, code, descriptors or routes have the wrong size")
        self.keep = (np.asarray(code), np.asarray(parameters), np.asarray(descriptors), np.asarray(routes))
        s.latency.input, s.latency.output, s.latency.task, s.latency.data_task, s.latency.launch = latencies
        s.latency.stride_width = stride_width
        s.code = <const pe_instruction *>(&code[0, 0] if code.shape[0] else NULL)
        s.descriptor = <const pe_descriptor *>(&descriptors[0, 0] if descriptors.shape[0] else NULL)
        s.route = <const wsk_route *>(&routes[0, 0] if routes.shape[0] else NULL)
        s.param = &parameters[0, 0] if parameters.shape[1] else NULL
        s.grid, s.width = <int32_t>program_of.shape[0], width
        s.program = self.programs = make_programs(programs)
        if self.programs == NULL or not make_pools(s, program_of, <int32_t>parameters.shape[1]):
            raise MemoryError
        reset_cores(s)

    def __dealloc__(self):
        free_core(&self.core)
        free(self.programs)

    @property
    def count(self):
        """PEs that have a program."""
        return self.core.pes

    def copy_in(self, int64_t address, const int32_t[::1] pes, const unsigned char[:, ::1] data):
        """Write row i of ``data`` (PEs, bytes) at byte ``address`` of PE ``pes[i]``; returns a status code."""
        cdef Py_ssize_t i, n = data.shape[1]
        cdef unsigned char *at
        for i in range(pes.shape[0]):
            at = self.bytes_of(pes[i], address, n)
            if at == NULL:
                return WSK_ERR_MEMORY_RANGE
            if n:
                memcpy(at, &data[i, 0], n)
        return WSK_OK

    def copy_out(self, int64_t address, const int32_t[::1] pes, unsigned char[:, ::1] data):
        """Read row i of ``data`` (PEs, bytes) from byte ``address`` of PE ``pes[i]``; returns a status code."""
        cdef Py_ssize_t i, n = data.shape[1]
        cdef unsigned char *at
        for i in range(pes.shape[0]):
            at = self.bytes_of(pes[i], address, n)
            if at == NULL:
                return WSK_ERR_MEMORY_RANGE
            if n:
                memcpy(&data[i, 0], at, n)
        return WSK_OK

    cdef Pe *record(self, int64_t p):
        if not 0 <= p < self.core.grid or self.core.slot_of[p] < 0:
            return NULL
        return self.core.pe + self.core.slot_of[p]

    cdef unsigned char *bytes_of(self, int64_t p, int64_t address, int64_t n):
        cdef Pe *pe = self.record(p)
        if pe == NULL or address < 0 or address + n > self.programs[pe.program].code.memory:
            return NULL
        return self.core.memory + pe.memory + address

    def reset(self):
        """All cores to the start of their programs at cycle 0; memory stays."""
        reset_cores(&self.core)

    def attach(self, FabricState fabric):
        """Open the input queues towards a fabric that is at cycle 0."""
        give_credits(&self.core, fabric.fabric)

    def launch(self, const int32_t[::1] pes, int task):
        """Activate local task ``task`` on PEs, from the coming cycle on; returns a status code."""
        cdef Py_ssize_t i
        cdef Pe *pe
        for i in range(pes.shape[0]):
            pe = self.record(pes[i])
            if pe == NULL or self.programs[pe.program].code.local_entry[task] == PE_NONE:
                return WSK_ERR_BAD_ARGUMENT
            activate(pe, task)
            begin_first_task(&self.core, self.core.slot_of[pes[i]])
        return WSK_OK

    def open_fabric(self, FabricState fabric):
        """Bring the clock of an empty fabric up to date, before the host offers words to it."""
        if self.core.quiet:
            wsk_fabric_skip(fabric.fabric, self.core.cycle)
            self.core.quiet = 0

    def run(self, FabricState fabric, int64_t deadline, bint until_done=True, int threads=1):
        """Step cores and fabric until all is done, something goes wrong, or cycle ``deadline``: status code."""
        cdef int status
        cdef wsk_fabric *f = fabric.fabric
        with nogil:
            status = run_cores(&self.core, f, deadline, until_done, threads)
        return status

    @property
    def cycle(self):
        """The coming cycle."""
        return self.core.cycle

    @property
    def ended(self):
        """Cycle at which the last PE so far became idle."""
        cdef int i
        return max([self.core.strip[i].ended for i in range(self.core.strips)], default=0)

    @property
    def fault(self):
        """(PE, color, instruction) where the last error was met, -1 where it has none."""
        cdef int i
        cdef Strip *t
        for i in range(self.core.strips):
            t = self.core.strip + i
            if t.fault_pe >= 0:
                return t.fault_pe, t.fault_color, t.fault_pc
        return -1, -1, -1

    def counters(self):
        """int64 (PEs, 11): what each PE did so far, in the columns of ``COUNTERS``; zeros where a PE has no program."""
        cdef int64_t[:, ::1] out = np.zeros((self.core.grid, 11), np.int64)
        cdef int32_t p
        cdef int k
        cdef Pe *pe
        for p in range(self.core.pes):
            pe = self.core.pe + p
            out[pe.at, 0] = pe.done
            for k in range(4):
                out[pe.at, 1 + k] = pe.stalled[k]
            out[pe.at, 5], out[pe.at, 6], out[pe.at, 7] = pe.instructions, pe.elements, pe.vector_cycles
            out[pe.at, 8], out[pe.at, 9], out[pe.at, 10] = pe.conflict_cycles, pe.words, pe.tasks
        return np.asarray(out)

    def waiting(self):
        """Threads that wait: list of (PE, thread, state, instruction of its program, next word, queue, since cycle)."""
        cdef int32_t p
        cdef int k
        found = []
        for p in range(self.core.pes):
            if not self.core.pe[p].live:
                continue
            for k in range(PE_THREADS):
                seen = self.thread_of(self.core.pe + p, k)
                if seen is not None and seen[1] in STATES[3:7]:
                    found.append((self.core.pe[p].at, *seen))
        return found

    cdef int doing(self, const Pe *pe, int k, int32_t *at):
        # State (place in STATES) of thread k, 8 the main one, and the instruction that it is at; -1 where it does not exist.
        cdef const Program *program = self.programs + pe.program
        cdef const Thread *th
        if program.thread_slot[k] < 0:
            return -1
        th = self.core.thread + pe.threads + program.thread_slot[k]
        at[0] = th.pc - program.code.first
        if (th.state != READY and th.state != BULK) or th.resume <= self.core.cycle:
            return READY if th.state == BULK else th.state
        if k == PE_MAIN and th.word == PE_NONE:     # its counter is at the next instruction already
            if th.issued == PE_NONE:
                return STARTING
            at[0] = th.issued - program.code.first
        return BULK

    cdef thread_of(self, const Pe *pe, int k):
        """(thread, state, instruction, next word, queue, since or until cycle) of thread k, 8 the main one; None where it
        does not exist."""
        cdef const Thread *th
        cdef int32_t at = 0
        cdef int state = self.doing(pe, k, &at)
        if state < 0:
            return None
        th = self.core.thread + pe.threads + self.programs[pe.program].thread_slot[k]
        return (k, STATES[state], at, th.word, th.queue, th.resume)

    def activity(self):
        """int32 (PEs with programs, 1 + 9 + 9): place of a PE in the grid, and of each thread (8: main) its state, as a place
        in ``STATES`` (-1: it does not exist), and the instruction that it is at."""
        cdef int32_t[:, ::1] out = np.zeros((self.core.pes, 1 + 2 * PE_THREADS), np.int32)
        cdef int32_t p
        cdef int k
        for p in range(self.core.pes):
            out[p, 0] = self.core.pe[p].at
            for k in range(PE_THREADS):
                out[p, 1 + k] = self.doing(self.core.pe + p, k, &out[p, 1 + PE_THREADS + k])
        return np.asarray(out)

    def state_of(self, int64_t p):
        """All that a PE holds beside its memory, as a dict; None where it has no program."""
        cdef Pe *pe = self.record(p)
        cdef int k
        if pe == NULL:
            return None
        program = self.programs[pe.program].code
        threads = [self.thread_of(pe, k) for k in range(PE_THREADS)]
        return {
            "threads": {thread[0]: thread[1:] for thread in threads if thread is not None},
            "registers": [self.core.register_[pe.registers + k] for k in range(program.registers)],
            "activated": pe.activated, "blocked": pe.blocked, "blocked_queues": pe.blocked_queues, "live": bool(pe.live),
            "inputs": {k: self.words_of(pe, k, True) for k in range(PE_QUEUES) if program.in_color[k] >= 0},
            "outputs": {k: self.words_of(pe, k, False) for k in range(PE_QUEUES) if program.out_color[k] >= 0},
            "descriptors": [(self.core.own[pe.own + k].base, self.core.own[pe.own + k].extent, self.core.own[pe.own + k].stride,
                             self.core.own[pe.own + k].at) for k in range(program.own)],
            "fifos": [(self.core.fifo[pe.fifos + k].head, self.core.fifo[pe.fifos + k].count) for k in range(program.fifos)],
        }

    cdef words_of(self, Pe *pe, int k, bint inputs):
        cdef Queue *q = input_queue(&self.core, pe, k) if inputs else output_queue(&self.core, pe, k)
        cdef int i
        return [queue_word(&self.core, q, i).bits for i in range(q.count)]

    def edge_words(self):
        """Words that left the wafer since the last call, by strip: list of (cycle, PE, port, color, control, data)."""
        cdef int i
        cdef int64_t n
        cdef Strip *t
        found = []
        for i in range(self.core.strips):
            t = self.core.strip + i
            for n in range(t.edge_count):
                found.append((t.edge_cycle[n], t.edge[n].pe, t.edge[n].port, t.edge[n].color,
                              bool(t.edge[n].flags & WSK_CONTROL), t.edge[n].data))
            t.edge_count = 0
        return sorted(found)
