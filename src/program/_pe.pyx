# cython: language_level=3
"""PE cores of the cycle engine: tasks, microthreads and vector instructions over memory and fabric, stepped by events.

A core that computes, waits or is idle costs nothing until something happens to it: cores sit in a wheel of coming cycles,
or wait for a word or for room in a queue and are woken by it. Within a cycle words are delivered first, then cores act,
then output queues put words on the ramps, then the routers move.
"""
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

import numpy as np

from wsekern._common cimport simd_level_code
from wsekern.errors import raise_for_status
from wsekern.fabric._host import DELIVERED, NO_WORDS
from wsekern.fabric._host cimport Delivered
from wsekern.fabric._routing import ROUTE
from wsekern.fabric._routing cimport Plan
from wsekern.fabric._routing cimport State as FabricState
from wsekern.fabric.fabric_internal cimport wsk_arrive_strips, wsk_depart_strips, wsk_feed_strips
from wsekern.team cimport wsk_team, wsk_team_do
from wsekern.fabric.wsekern_fabric cimport WSK_CONTROL, wsk_fabric, wsk_route
from wsekern.wsekern_status cimport WSK_ERR_BAD_ARGUMENT, WSK_ERR_MEMORY_RANGE, WSK_OK
from wsekern.program.pe_code cimport (PE_MAIN, PE_NONE, PE_QUEUES, PE_STACK, PE_TASKS, PE_THREADS, pe_descriptor,
                                      pe_descriptor_fields, pe_field, pe_form_names, pe_instruction,
                                      pe_instruction_fields, pe_kind_names, pe_latency, pe_latency_fields, pe_op_names,
                                      pe_program, pe_program_fields, pe_type_names)
from wsekern.program.pe_state cimport (PE_PATIENCE, PE_PHASE_ARRIVE, PE_PHASE_DEPART, PE_RULES, PE_RUNNING, PE_SPENT, pe_bytes_at,
                                       pe_can_tape, pe_core, pe_core_at, pe_doing_of, pe_drop_tape, pe_find, pe_found,
                                       pe_free_pools, pe_give_credits, pe_grid, pe_input, pe_launch, pe_loaded, pe_load,
                                       pe_make_pools, pe_make_programs, pe_mark, pe_open_fabric, pe_open_run, pe_output,
                                       pe_next_event, pe_profile, pe_queue, pe_queue_word, pe_read_profile, pe_receive,
                                       pe_replay, pe_reset_cores, pe_run, pe_run_rounds, pe_run_tape, pe_save, pe_seal,
                                       pe_spent, pe_start_tape, pe_step_cores, pe_strip, pe_thread, pe_tile, pe_watch,
                                       wsk_received)


cdef int run_strip(void *context, int64_t strip, int step) noexcept nogil:
    """A step of one strip."""
    cdef pe_run *run = <pe_run *>context
    cdef int status, i = <int>strip
    if step == PE_PHASE_DEPART:
        return wsk_depart_strips(run.fabric, i, i + 1)
    if step == PE_PHASE_ARRIVE:
        return wsk_arrive_strips(run.fabric, i, i + 1)
    status = WSK_OK if run.grid.quiet else wsk_feed_strips(run.fabric, i, i + 1)
    return status if status < 0 else pe_step_cores(run.grid, run.fabric, i)


cdef void work(wsk_team *team, int rank, void *context) noexcept nogil:
    """What each member of the team does until the run stops: strips, step by step."""
    wsk_team_do(team, rank, run_strip, context)


cdef int run_cores(pe_grid *g, wsk_fabric *fabric, int64_t until, uint32_t stop, int64_t patience, int threads) noexcept nogil:
    """Until a cycle or a reason of ``stop``: the reasons that hold then, or a status."""
    cdef pe_run run
    memset(&run, 0, sizeof(pe_run))
    run.grid, run.fabric, run.deadline, run.patience, run.stop = g, fabric, until, patience, stop
    pe_open_run(&run)
    if run.state == PE_RUNNING:
        pe_run_rounds(&run, threads, work)
    return run.state if run.state < 0 else <int>run.why


cdef codes_of(const char **names):
    """Codes by the names that Python has for them."""
    cdef int n = 0
    codes = {}
    while names[n] != NULL:
        codes[names[n].decode().removeprefix("PE_").lower()] = n
        n += 1
    return codes


cdef record_of(const pe_field *fields, size_t size):
    """The numpy type of a record of ``pe_code.h``: every field by its name, at its place in the C struct."""
    cdef int n = 0
    names, formats, offsets = [], [], []
    while fields[n].name != NULL:
        names.append(fields[n].name.decode())
        formats.append((np.int32, (fields[n].count,)) if fields[n].count else np.int32)
        offsets.append(fields[n].offset)
        n += 1
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": size})


NONE, STACK, THREADS, MAIN_THREAD, TASKS = PE_NONE, PE_STACK, PE_THREADS, PE_MAIN, PE_TASKS
"""What a field says where there is none; calls within each other; threads of a core, and the number of the main one."""
FORM_CODES, OPERATION_CODES = codes_of(pe_form_names), codes_of(pe_op_names)
TYPE_CODES, KIND_CODES = codes_of(pe_type_names), codes_of(pe_kind_names)
"""Codes of the forms of instructions, of what they compute, of element types, of kinds of operands."""
PROGRAM = record_of(pe_program_fields, sizeof(pe_program))
INSTRUCTION = record_of(pe_instruction_fields, sizeof(pe_instruction))
DESCRIPTOR = record_of(pe_descriptor_fields, sizeof(pe_descriptor))
LATENCY = record_of(pe_latency_fields, sizeof(pe_latency))
"""Records that a core reads, as they are in ``pe_code.h``."""
STATES = ("idle", "ready", "busy", "input", "output", "fifo", "microthread", "starting")
"""What a thread does in the coming cycle: nothing; issue an instruction, if its turn has come; go on with one; wait for words, for
room in an output queue, for a FIFO, for a microthread; begin a task, of which it has issued nothing yet."""
RULES = ("unread", "rewritten", "shared-input", "shared-output", "odd", "unwritten", "half", "packing")
"""By number of ``enum pe_rule``."""
COUNTERS = ("done", "input", "output", "fifo", "microthread", "instructions", "elements", "vector_cycles", "conflict_cycles",
            "words", "tasks")
"""Columns of :meth:`Cores.counters`: cycle at which a PE became idle; thread-cycles that it waited for words, for room in
an output queue, for a FIFO, for a microthread; instructions; elements of vector instructions, the cycles that these took,
and how many of them bank conflicts added; words taken and sent; tasks."""


def seal(const uint8_t[::1] tables, Plan plan not None):
    """Bytes that ``wsk_program_open`` reads: tables and names of programs, and the plan of their routes."""
    cdef size_t n = 0
    status = pe_seal(&tables[0], tables.shape[0], plan.plan, NULL, 0, &n)
    sealed = bytearray(n)
    cdef uint8_t[::1] room = sealed
    if status == WSK_OK:
        status = pe_seal(&tables[0], tables.shape[0], plan.plan, &room[0], n, &n)
    raise_for_status(status)
    return bytes(sealed)


cdef class Cores:
    """Cores of a grid of PEs: const programs, and the mutable state of every PE that has one.

    ``programs`` of ``PROGRAM``, ``code`` of ``INSTRUCTION``, ``descriptors`` of ``DESCRIPTOR``, ``latency`` one ``LATENCY``;
    ``routes`` of ``wsekern.fabric._routing.ROUTE``; ``program_of`` int32 (PEs,) of a grid ``width`` wide, -1 where a PE has
    none; ``parameters`` int32 (PEs, n).
    """
    cdef pe_grid grid
    cdef pe_loaded *programs
    cdef object keep

    def __cinit__(self, programs, code, descriptors, routes, const int32_t[::1] program_of, int32_t[:, ::1] parameters,
                  latency, int width):
        cdef pe_grid *g = &self.grid
        self.keep = [np.asarray(parameters)]
        g.latency = (<const pe_latency *>self.records(latency, LATENCY))[0]
        g.code = <const pe_instruction *>self.records(code, INSTRUCTION)
        g.descriptor = <const pe_descriptor *>self.records(descriptors, DESCRIPTOR)
        g.route = <const wsk_route *>self.records(routes, ROUTE)
        g.param = &parameters[0, 0] if parameters.shape[1] else NULL
        g.fabric_pes, g.width, g.params = <int32_t>program_of.shape[0], width, <int32_t>parameters.shape[1]
        g.programs, g.codes, g.descriptors, g.routes = len(programs), len(code), len(descriptors), len(routes)
        g.program = self.programs = pe_make_programs(<const pe_program *>self.records(programs, PROGRAM), len(programs))
        if self.programs == NULL or not pe_make_pools(g, &program_of[0]):
            raise MemoryError
        pe_reset_cores(g)

    cdef const void *records(self, array, kind) except? NULL:
        """Where the records of an array begin, which is kept as long as the cores; NULL where it has none."""
        cdef const uint8_t[::1] data
        if array.dtype != kind:
            raise ValueError(f"records of type {array.dtype}: expected {kind}")
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self.keep.append(data)
        return &data[0] if data.shape[0] else NULL

    def __dealloc__(self):
        pe_free_pools(&self.grid)
        free(self.programs)

    @property
    def count(self):
        """PEs that have a program."""
        return self.grid.pes

    def copy_in(self, int64_t address, const int32_t[::1] pes, const unsigned char[:, ::1] data):
        """Write row i of ``data`` (PEs, bytes) at byte ``address`` of PE ``pes[i]``; returns a status code."""
        cdef Py_ssize_t i, n = data.shape[1]
        cdef unsigned char *at
        if data.shape[0] != pes.shape[0]:
            return WSK_ERR_BAD_ARGUMENT
        for i in range(pes.shape[0]):
            at = pe_bytes_at(&self.grid, pes[i], address, n)
            if at == NULL:
                return WSK_ERR_MEMORY_RANGE
            if n:
                memcpy(at, &data[i, 0], n)
                pe_mark(&self.grid, at, n)
        return WSK_OK

    def copy_out(self, int64_t address, const int32_t[::1] pes, unsigned char[:, ::1] data):
        """Read row i of ``data`` (PEs, bytes) from byte ``address`` of PE ``pes[i]``; returns a status code."""
        cdef Py_ssize_t i, n = data.shape[1]
        cdef unsigned char *at
        if data.shape[0] != pes.shape[0]:
            return WSK_ERR_BAD_ARGUMENT
        for i in range(pes.shape[0]):
            at = pe_bytes_at(&self.grid, pes[i], address, n)
            if at == NULL:
                return WSK_ERR_MEMORY_RANGE
            if n:
                memcpy(&data[i, 0], at, n)
        return WSK_OK

    def reset(self):
        """All cores to the start of their programs at cycle 0; memory stays."""
        pe_reset_cores(&self.grid)

    def attach(self, FabricState fabric not None):
        """Open the input queues towards a fabric that is at cycle 0."""
        pe_give_credits(&self.grid, fabric.fabric)

    def save(self, FabricState fabric not None):
        """All that cores and fabric hold at this cycle, parameters included, as bytes."""
        cdef size_t n = 0
        raise_for_status(pe_save(&self.grid, fabric.fabric, NULL, 0, &n))
        saved = bytearray(n)
        cdef uint8_t[::1] room = saved
        raise_for_status(pe_save(&self.grid, fabric.fabric, &room[0], n, &n))
        return bytes(saved)

    def load(self, FabricState fabric not None, const uint8_t[::1] saved):
        """Cores and fabric as they were saved, which must be of the same programs; where that fails, they stay as they are."""
        raise_for_status(pe_load(&self.grid, fabric.fabric, &saved[0] if saved.shape[0] else NULL, saved.shape[0]))

    def launch(self, const int32_t[::1] pes, int task):
        """Activate local task ``task`` on PEs, from the coming cycle on; returns a status code."""
        cdef Py_ssize_t i
        cdef int status = WSK_OK
        for i in range(pes.shape[0]):
            status = pe_launch(&self.grid, pes[i], task)
            if status < 0:
                break
        return status

    def open_fabric(self, FabricState fabric not None):
        """Bring the clock of an empty fabric up to date, before the host offers words to it."""
        pe_open_fabric(&self.grid, fabric.fabric)

    def run(self, FabricState fabric not None, int64_t until, uint32_t stop=0, int64_t patience=0, int threads=1):
        """Step cores and fabric to cycle ``until``, or to a reason of ``stop`` (``wsk_stop``; deadlock: after ``patience`` cycles
        without movement, 0: as many as always): the reasons that hold then, or a negative status."""
        cdef int found
        cdef wsk_fabric *f = fabric.fabric
        with nogil:
            found = run_cores(&self.grid, f, until, stop, patience if patience > 0 else PE_PATIENCE, threads)
        return found

    def next_event(self, FabricState fabric not None):
        """The next cycle in which anything can happen while the host does nothing; None: nothing ever does."""
        cdef int64_t cycle = pe_next_event(&self.grid, fabric.fabric)
        return None if cycle == INT64_MAX else cycle

    def can_tape(self, FabricState fabric not None):
        """Whether nothing but values depends on values, so that :meth:`start_tape` may be called."""
        return bool(pe_can_tape(&self.grid, fabric.fabric))

    def start_tape(self):
        """From now on write down what is done to values, in place of doing it; until :meth:`drop_tape`."""
        if not pe_start_tape(&self.grid):
            raise MemoryError

    def drop_tape(self):
        """Compute values again."""
        pe_drop_tape(&self.grid)

    @property
    def tape(self):
        """(deeds, words, status) of the tape; None where none is written."""
        if self.grid.tape == NULL:
            return None
        return self.grid.tape.deeds, self.grid.tape.words, self.grid.tape.status

    def run_tape(self, tiles, int64_t lines, int threads):
        """Do what the tape says on ``lines`` lines of PEs that are alike; a status. ``tiles``: (address of the first byte, bytes
        from PE to PE, bytes from there to each line, to each halfword of a tile, place in each PE's memory or -1, whether it is
        a result) each."""
        cdef Py_ssize_t n = len(tiles), k
        cdef int32_t p
        cdef pe_replay work
        cdef const int64_t[::1] at_line, at_half
        cdef const int32_t[::1] address
        cdef int status, level = simd_level_code()
        room = bytearray(max(1, n) * sizeof(pe_tile))
        cdef pe_tile *tile = <pe_tile *><char *>room
        work.grid, work.tile, work.tiles, work.lines, work.bytes = &self.grid, tile, n, lines, 0
        for p in range(self.grid.pes):
            work.bytes += (self.programs[self.grid.pe[p].program].code.memory + 7) & ~7
        for k in range(n):
            host, by_pe, at_line, at_half, address, result = tiles[k]
            if at_line.shape[0] != lines or address.shape[0] != self.grid.pes or not lines or not at_half.shape[0]:
                return WSK_ERR_BAD_ARGUMENT
            tile[k].host, tile[k].by_pe, tile[k].at_line = <unsigned char *><size_t>host, by_pe, &at_line[0]
            tile[k].at_half, tile[k].halves = &at_half[0], <int32_t>at_half.shape[0]
            tile[k].address, tile[k].result = &address[0], result
        with nogil:
            status = pe_run_tape(&work, threads, level)
        return status

    @property
    def cycle(self):
        """The coming cycle."""
        return self.grid.cycle

    @property
    def ended(self):
        """Cycle at which the last PE so far became idle."""
        cdef int i
        return max([self.grid.strip[i].ended for i in range(self.grid.strips)], default=0)

    @property
    def fault(self):
        """(PE, color, instruction) where the last error was met, -1 where it has none."""
        cdef int i
        cdef pe_strip *s
        for i in range(self.grid.strips):
            s = self.grid.strip + i
            if s.fault_pe >= 0:
                return s.fault_pe, s.fault_color, s.fault_pc
        return -1, -1, -1

    def watch(self):
        """From now on note reads of memory that nothing has written since; ``copy_in`` writes it too."""
        if not pe_watch(&self.grid):
            raise MemoryError

    def profile(self):
        """From now on, and anew after a reset or load, count what :meth:`spent` tells."""
        raise_for_status(pe_profile(&self.grid))

    def spent(self):
        """int64 (instructions of all programs, 6): how often each began, and thread-cycles of all PEs at work and waiting for
        words, room to send, FIFOs and microthreads, since :meth:`profile`; None where nothing is counted."""
        if self.grid.span == NULL:
            return None
        cdef int64_t[:, ::1] out = np.zeros((self.grid.codes + 1, PE_SPENT), np.int64)
        pe_read_profile(&self.grid, <pe_spent *>&out[0, 0])
        return np.asarray(out)[:self.grid.codes]

    def findings(self, FabricState fabric not None):
        """What the programs did that is hardly meant: of each rule that was broken ``(rule, count, cycle, PE, color, program,
        instruction, number)``, where ``cycle`` and what follows are those of the first time, -1 where there is none, and
        ``instruction`` is counted in its program. ``number``: as ``enum pe_rule`` of ``pe_state.h`` says."""
        cdef int rule, program
        cdef pe_found found
        cdef const pe_core *pe
        rows = []
        for rule in range(PE_RULES):
            if pe_find(&self.grid, fabric.fabric, rule, &found):
                pe = pe_core_at(&self.grid, found.at)
                program = PE_NONE if pe == NULL else pe.program
                at = PE_NONE if found.pc < 0 or pe == NULL else found.pc - self.grid.program[program].code.first
                rows.append((RULES[rule], found.count, found.cycle, found.at, found.color, program, at, found.number))
        return rows

    def counters(self):
        """int64 (PEs, 11): what each PE did so far, in the columns of ``COUNTERS``; zeros where a PE has no program."""
        cdef int64_t[:, ::1] out = np.zeros((self.grid.fabric_pes, 11), np.int64)
        cdef int32_t p
        cdef int k
        cdef pe_core *pe
        for p in range(self.grid.pes):
            pe = self.grid.pe + p
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
        for p in range(self.grid.pes):
            if not self.grid.pe[p].live:
                continue
            for k in range(PE_THREADS):
                seen = self.thread_of(self.grid.pe + p, k)
                if seen is not None and seen[1] in STATES[3:7]:
                    found.append((self.grid.pe[p].at, *seen))
        return found

    cdef thread_of(self, const pe_core *pe, int k):
        """(thread, state, instruction, next word, queue, since or until cycle) of thread k, 8 the main one; None where it
        does not exist."""
        cdef const pe_thread *th
        cdef int32_t at = 0
        cdef int state = pe_doing_of(&self.grid, pe, k, &at)
        if state < 0:
            return None
        th = self.grid.thread + pe.threads + self.programs[pe.program].thread_slot[k]
        return (k, STATES[state], at, th.word, th.queue, th.resume)

    def activity(self):
        """int32 (PEs with programs, 1 + 9 + 9): place of a PE in the grid, and of each thread (8: main) its state, as a place
        in ``STATES`` (-1: it does not exist), and the instruction that it is at."""
        cdef int32_t[:, ::1] out = np.zeros((self.grid.pes, 1 + 2 * PE_THREADS), np.int32)
        cdef int32_t p
        cdef int k
        for p in range(self.grid.pes):
            out[p, 0] = self.grid.pe[p].at
            for k in range(PE_THREADS):
                out[p, 1 + k] = pe_doing_of(&self.grid, self.grid.pe + p, k, &out[p, 1 + PE_THREADS + k])
        return np.asarray(out)

    def state_of(self, int64_t p):
        """All that a PE holds beside its memory, as a dict; None where it has no program."""
        cdef pe_core *pe = pe_core_at(&self.grid, p)
        cdef int k
        if pe == NULL:
            return None
        program = self.programs[pe.program].code
        threads = [self.thread_of(pe, k) for k in range(PE_THREADS)]
        return {
            "threads": {thread[0]: thread[1:] for thread in threads if thread is not None},
            "registers": [self.grid.registers[pe.registers + k] for k in range(program.registers)],
            "activated": pe.activated, "blocked": pe.blocked, "blocked_queues": pe.blocked_queues, "live": bool(pe.live),
            "inputs": {k: self.words_of(pe, k, True) for k in range(PE_QUEUES) if program.in_color[k] >= 0},
            "outputs": {k: self.words_of(pe, k, False) for k in range(PE_QUEUES) if program.out_color[k] >= 0},
            "descriptors": [(self.grid.own[pe.own + k].base, self.grid.own[pe.own + k].extent, self.grid.own[pe.own + k].stride,
                             self.grid.own[pe.own + k].at) for k in range(program.own)],
            "fifos": [(self.grid.fifo[pe.fifos + k].head, self.grid.fifo[pe.fifos + k].count) for k in range(program.fifos)],
        }

    cdef words_of(self, pe_core *pe, int k, bint inputs):
        cdef pe_queue *q = pe_input(&self.grid, pe, k) if inputs else pe_output(&self.grid, pe, k)
        cdef int i
        return [pe_queue_word(&self.grid, q, i).bits for i in range(q.count)]

    def receive(self, int color):
        """Take away the words of a color (-1: of all) that left the wafer: ``DELIVERED`` records of ``wsekern.fabric._host`` in
        order of cycle, PE, port and color."""
        cdef int64_t i, n = pe_receive(&self.grid, color, NULL, 0)
        cdef wsk_received *words
        if n == 0:
            return NO_WORDS
        taken, held = bytearray(n * sizeof(wsk_received)), bytearray(n * sizeof(Delivered))
        words = <wsk_received *><char *>taken
        cdef Delivered *out = <Delivered *><char *>held
        if pe_receive(&self.grid, color, words, n) < n:
            raise MemoryError
        for i in range(n):
            out[i].cycle, out[i].x, out[i].y = words[i].cycle, words[i].pe % self.grid.width, words[i].pe // self.grid.width
            out[i].color, out[i].port, out[i].data = words[i].color, words[i].port, words[i].data
            out[i].control, out[i].teardown = words[i].flags & WSK_CONTROL != 0, 0
        return np.frombuffer(held, DELIVERED)
