# cython: language_level=3
# Making, resetting and freeing cores.
from libc.stdint cimport int16_t, int32_t, int64_t, uint32_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from wsekern.fabric.fabric_internal cimport STRIP_ROWS, wsk_ctz
from wsekern.fabric.wsekern_fabric cimport wsk_fabric, wsk_fabric_credit
from wsekern.program.pe_code cimport PE_COLORS, PE_MAIN, PE_NONE, PE_QUEUES, pe_descriptor, pe_program
from wsekern.program.state cimport (Fifo, Grid, IDLE, NOBODY, Pe, Place, Program, Queue, Strip, Thread, WHEEL,
                                    Word, input_queue, output_queue, schedule, strip_of)
from wsekern.program.tasks cimport begin_task

cdef extern from "<stdlib.h>" nogil:
    void *aligned_alloc(size_t alignment, size_t size)


cdef inline void lay_out_program(Program *program) noexcept nogil:
    # Places of the queues and threads that a program uses, and the color that each input queue serves.
    cdef int q, n = 1
    program.queues = program.words = 0
    for q in range(PE_COLORS):
        program.color_queue[q] = PE_NONE
    for q in range(PE_QUEUES):
        program.in_slot[q] = PE_NONE
        if program.code.in_color[q] >= 0:
            program.in_slot[q] = program.queues
            program.color_queue[program.code.in_color[q]] = q
            program.words += program.code.in_depth[q]
            program.queues += 1
    for q in range(PE_QUEUES):
        program.out_slot[q] = PE_NONE
        if program.code.out_color[q] >= 0:
            program.out_slot[q] = program.queues
            program.words += program.code.out_depth[q]
            program.queues += 1
    for q in range(PE_MAIN):
        program.thread_slot[q] = PE_NONE
        if program.code.threads >> q & 1:
            program.thread_slot[q] = n
            n += 1
    program.thread_slot[PE_MAIN] = 0
    program.thread_count = n


cdef inline Program *make_programs(const pe_program *programs, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t p
    cdef Program *made = <Program *>calloc(max(1, count), sizeof(Program))
    if made != NULL:
        for p in range(count):
            made[p].code = programs[p]
            lay_out_program(made + p)
    return made


cdef inline bint make_pools(Grid *g, const int32_t *program_of, int32_t parameters) noexcept nogil:
    # One record per PE that has a program, and room for all that its program uses.
    cdef int64_t memory = 0, queues = 0, words = 0, threads = 0, own = 0, fifos = 0, registers = 0
    cdef int32_t p, n = 0
    cdef const Program *program
    cdef Pe *pe
    for p in range(g.fabric_pes):
        n += program_of[p] >= 0
    g.pes = n
    g.pe = <Pe *>calloc(n + 1, sizeof(Pe))
    g.slot_of = <int32_t *>calloc(g.fabric_pes + 1, sizeof(int32_t))
    if g.pe == NULL or g.slot_of == NULL:
        return False
    n = 0
    for p in range(g.fabric_pes):
        g.slot_of[p] = NOBODY
        if program_of[p] < 0:
            continue
        program = g.program + program_of[p]
        pe = g.pe + n
        pe.at, pe.program, pe.params = p, program_of[p], p * parameters
        pe.memory, pe.queues, pe.threads = memory, <int32_t>queues, <int32_t>threads
        pe.own, pe.fifos, pe.registers = <int32_t>own, <int32_t>fifos, <int32_t>registers
        g.slot_of[p] = n
        n += 1
        memory += (program.code.memory + 7) & ~7
        queues += program.queues
        words += program.words
        threads += program.thread_count
        own += program.code.own
        fifos += program.code.fifos
        registers += program.code.registers
    g.strips = (g.fabric_pes // max(1, g.width) + STRIP_ROWS - 1) // STRIP_ROWS
    g.memory = <unsigned char *>calloc(memory + 8, 1)
    g.queue = <Queue *>calloc(queues + 1, sizeof(Queue))
    g.word = <Word *>aligned_alloc(64, (words * sizeof(Word) + 127) // 64 * 64)       # a queue of eight words is a cache line
    g.thread = <Thread *>calloc(threads + 1, sizeof(Thread))
    g.own = <Place *>calloc(own + 1, sizeof(Place))
    g.fifo = <Fifo *>calloc(fifos + 1, sizeof(Fifo))
    g.register_ = <uint32_t *>calloc(registers + 1, sizeof(uint32_t))
    g.core_next = <int32_t *>calloc(n + 1, sizeof(int32_t))
    g.core_before = <int32_t *>calloc(n + 1, sizeof(int32_t))
    g.ramp_next = <int32_t *>calloc(n + 1, sizeof(int32_t))
    if (g.memory == NULL or g.queue == NULL or g.word == NULL or g.thread == NULL or g.own == NULL or g.fifo == NULL
            or g.register_ == NULL or g.core_next == NULL or g.core_before == NULL or g.ramp_next == NULL):
        return False
    return make_strips(g)


cdef inline bint make_strips(Grid *g) noexcept nogil:
    cdef int i
    g.strip = <Strip *>calloc(g.strips + 1, sizeof(Strip))
    if g.strip == NULL:
        return False
    for i in range(g.strips):
        g.strip[i].core_slot = <int32_t *>calloc(WHEEL, sizeof(int32_t))
        g.strip[i].ramp_slot = <int32_t *>calloc(WHEEL, sizeof(int32_t))
        if g.strip[i].core_slot == NULL or g.strip[i].ramp_slot == NULL:
            return False
    return True


cdef inline void free_cores(Grid *g) noexcept nogil:
    cdef int i
    if g.strip != NULL:
        for i in range(g.strips):
            free(g.strip[i].core_slot)
            free(g.strip[i].ramp_slot)
            free(g.strip[i].edge)
            free(g.strip[i].edge_cycle)
    free(g.strip)
    free(g.pe)
    free(g.memory)
    free(g.queue)
    free(g.word)
    free(g.thread)
    free(g.own)
    free(g.fifo)
    free(g.register_)
    free(g.core_next)
    free(g.core_before)
    free(g.ramp_next)
    free(g.slot_of)


cdef inline int32_t reset_queue(Queue *q, int32_t slot, int32_t color, int32_t depth) noexcept nogil:
    q.slot, q.color, q.depth = slot, <int16_t>color, <int16_t>depth
    q.head = q.count = 0
    return slot + depth


cdef inline int32_t reset_pe(Grid *g, Pe *pe, int32_t slot) noexcept nogil:
    # A core with its first tasks activated; returns where the words of the next one's queues begin.
    cdef const Program *program = g.program + pe.program
    cdef const pe_program *code = &program.code
    cdef const pe_descriptor *d
    cdef Place *own
    cdef int q
    pe.scheduled = pe.sending = pe.live = pe.depth = pe.filled = 0
    pe.busy = pe.waits = 0
    memset(pe.turn, 0, sizeof(pe.turn))
    pe.slot_free = pe.done = pe.instructions = pe.elements = pe.vector_cycles = pe.conflict_cycles = pe.words = pe.tasks = 0
    memset(pe.stalled, 0, sizeof(pe.stalled))
    pe.activated, pe.blocked, pe.blocked_queues = code.active, code.blocked, <uint8_t>code.blocked_queues
    memset(g.thread + pe.threads, 0, program.thread_count * sizeof(Thread))
    memset(g.register_ + pe.registers, 0, code.registers * sizeof(uint32_t))
    memset(g.fifo + pe.fifos, 0, code.fifos * sizeof(Fifo))
    for q in range(PE_QUEUES):
        if program.in_slot[q] >= 0:
            slot = reset_queue(input_queue(g, pe, q), slot, code.in_color[q], code.in_depth[q])
    for q in range(PE_QUEUES):
        if program.out_slot[q] >= 0:
            slot = reset_queue(output_queue(g, pe, q), slot, code.out_color[q], code.out_depth[q])
    q = 0
    d = g.descriptor + code.descriptor
    while q < code.own:
        if d.own >= 0:
            own = g.own + pe.own + d.own
            own.base, own.extent, own.stride, own.at = d.base, d.extent, d.stride, 0
            q += 1
        d += 1
    return slot


cdef inline void reset_cores(Grid *g) noexcept nogil:
    # Every core at the start of its program at cycle 0, all queues empty; memory stays.
    cdef int32_t p, slot = 0
    cdef int i, k
    cdef Strip *s
    g.cycle = 0
    g.quiet = 1
    for i in range(g.strips):
        s = g.strip + i
        s.core_events = s.ramp_events = s.progress = s.live = s.ended = s.edge_count = 0
        s.fault_pe = s.fault_color = s.fault_pc = NOBODY
        for k in range(WHEEL):
            s.core_slot[k] = s.ramp_slot[k] = NOBODY
    for p in range(g.pes):
        slot = reset_pe(g, g.pe + p, slot)
        if g.pe[p].activated:
            begin_first_task(g, p)


cdef inline void begin_first_task(Grid *g, int32_t p) noexcept nogil:
    # What is activated at the start, or by the host, begins at once: the host's own time is not the wafer's.
    cdef Pe *pe = g.pe + p
    cdef Strip *s = strip_of(g, pe)
    cdef uint32_t ready = pe.activated & ~pe.blocked
    cdef const pe_program *program = &g.program[pe.program].code
    cdef Thread *main = g.thread + pe.threads
    cdef int task
    if not ready or main.state != IDLE:
        return
    task = wsk_ctz(ready & program.high if ready & program.high else ready)
    if program.local_entry[task] == PE_NONE:
        return
    pe.activated &= ~(<uint32_t>1 << task)
    begin_task(g, pe, main, program.local_entry[task], g.cycle)
    if not pe.live:
        pe.live = 1
        s.live += 1
    schedule(g, s, p, g.cycle)


cdef inline void give_credits(Grid *g, wsk_fabric *fabric) noexcept nogil:
    # Tell the fabric how many words each input queue takes.
    cdef int32_t p
    cdef int q
    cdef const Program *program
    for p in range(g.pes):
        program = g.program + g.pe[p].program
        for q in range(PE_QUEUES):
            if program.in_slot[q] >= 0:
                wsk_fabric_credit(fabric, g.pe[p].at, program.code.in_color[q], program.code.in_depth[q])
