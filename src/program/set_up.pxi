# Making, resetting and freeing cores.

cdef void lay_out_program(Program *program) noexcept nogil:
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


cdef Program *make_programs(const int32_t[:, ::1] programs) noexcept:
    cdef Py_ssize_t p
    cdef Program *made = <Program *>calloc(max(1, programs.shape[0]), sizeof(Program))
    if made != NULL:
        for p in range(programs.shape[0]):
            made[p].code = (<const pe_program *>&programs[p, 0])[0]
            lay_out_program(made + p)
    return made


cdef bint make_pools(Core *s, const int32_t[::1] program_of, int32_t parameters) noexcept:
    # One record per PE that has a program, and room for all that its program uses.
    cdef int64_t memory = 0, queues = 0, words = 0, threads = 0, own = 0, fifos = 0, registers = 0
    cdef int32_t p, n = 0
    cdef const Program *program
    cdef Pe *pe
    for p in range(s.grid):
        n += program_of[p] >= 0
    s.pes = n
    s.pe = <Pe *>calloc(n + 1, sizeof(Pe))
    s.slot_of = <int32_t *>calloc(s.grid + 1, sizeof(int32_t))
    if s.pe == NULL or s.slot_of == NULL:
        return False
    n = 0
    for p in range(s.grid):
        s.slot_of[p] = NOBODY
        if program_of[p] < 0:
            continue
        program = s.program + program_of[p]
        pe = s.pe + n
        pe.at, pe.program, pe.params = p, program_of[p], p * parameters
        pe.memory, pe.queues, pe.threads = memory, <int32_t>queues, <int32_t>threads
        pe.own, pe.fifos, pe.registers = <int32_t>own, <int32_t>fifos, <int32_t>registers
        s.slot_of[p] = n
        n += 1
        memory += (program.code.memory + 7) & ~7
        queues += program.queues
        words += program.words
        threads += program.thread_count
        own += program.code.own
        fifos += program.code.fifos
        registers += program.code.registers
    s.strips = (s.grid // max(1, s.width) + STRIP_ROWS - 1) // STRIP_ROWS
    s.memory = <unsigned char *>calloc(memory + 8, 1)
    s.queue = <Queue *>calloc(queues + 1, sizeof(Queue))
    s.word = <Word *>aligned_alloc(64, (words * sizeof(Word) + 127) // 64 * 64)       # a queue of eight words is a cache line
    s.thread = <Thread *>calloc(threads + 1, sizeof(Thread))
    s.own = <Place *>calloc(own + 1, sizeof(Place))
    s.fifo = <Fifo *>calloc(fifos + 1, sizeof(Fifo))
    s.register_ = <uint32_t *>calloc(registers + 1, sizeof(uint32_t))
    s.core_next = <int32_t *>calloc(n + 1, sizeof(int32_t))
    s.core_before = <int32_t *>calloc(n + 1, sizeof(int32_t))
    s.ramp_next = <int32_t *>calloc(n + 1, sizeof(int32_t))
    if (s.memory == NULL or s.queue == NULL or s.word == NULL or s.thread == NULL or s.own == NULL or s.fifo == NULL
            or s.register_ == NULL or s.core_next == NULL or s.core_before == NULL or s.ramp_next == NULL):
        return False
    return make_strips(s)


cdef bint make_strips(Core *s) noexcept nogil:
    cdef int i
    s.strip = <Strip *>calloc(s.strips + 1, sizeof(Strip))
    if s.strip == NULL:
        return False
    for i in range(s.strips):
        s.strip[i].core_slot = <int32_t *>calloc(WHEEL, sizeof(int32_t))
        s.strip[i].ramp_slot = <int32_t *>calloc(WHEEL, sizeof(int32_t))
        if s.strip[i].core_slot == NULL or s.strip[i].ramp_slot == NULL:
            return False
    return True


cdef void free_core(Core *s) noexcept nogil:
    cdef int i
    if s.strip != NULL:
        for i in range(s.strips):
            free(s.strip[i].core_slot)
            free(s.strip[i].ramp_slot)
            free(s.strip[i].edge)
            free(s.strip[i].edge_cycle)
    free(s.strip)
    free(s.pe)
    free(s.memory)
    free(s.queue)
    free(s.word)
    free(s.thread)
    free(s.own)
    free(s.fifo)
    free(s.register_)
    free(s.core_next)
    free(s.core_before)
    free(s.ramp_next)
    free(s.slot_of)


cdef int32_t reset_queue(Queue *q, int32_t slot, int32_t color, int32_t depth) noexcept nogil:
    q.slot, q.color, q.depth = slot, <int16_t>color, <int16_t>depth
    q.head = q.count = 0
    return slot + depth


cdef int32_t reset_pe(Core *s, Pe *pe, int32_t slot) noexcept nogil:
    # A core with its first tasks activated; returns where the words of the next one's queues begin.
    cdef const Program *program = s.program + pe.program
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
    memset(s.thread + pe.threads, 0, program.thread_count * sizeof(Thread))
    memset(s.register_ + pe.registers, 0, code.registers * sizeof(uint32_t))
    memset(s.fifo + pe.fifos, 0, code.fifos * sizeof(Fifo))
    for q in range(PE_QUEUES):
        if program.in_slot[q] >= 0:
            slot = reset_queue(input_queue(s, pe, q), slot, code.in_color[q], code.in_depth[q])
    for q in range(PE_QUEUES):
        if program.out_slot[q] >= 0:
            slot = reset_queue(output_queue(s, pe, q), slot, code.out_color[q], code.out_depth[q])
    q = 0
    d = s.descriptor + code.descriptor
    while q < code.own:
        if d.own >= 0:
            own = s.own + pe.own + d.own
            own.base, own.extent, own.stride, own.at = d.base, d.extent, d.stride, 0
            q += 1
        d += 1
    return slot


cdef void reset_cores(Core *s) noexcept nogil:
    # Every core at the start of its program at cycle 0, all queues empty; memory stays.
    cdef int32_t p, slot = 0
    cdef int i, k
    cdef Strip *t
    s.cycle = 0
    s.quiet = 1
    for i in range(s.strips):
        t = s.strip + i
        t.core_events = t.ramp_events = t.progress = t.live = t.ended = t.edge_count = 0
        t.fault_pe = t.fault_color = t.fault_pc = NOBODY
        for k in range(WHEEL):
            t.core_slot[k] = t.ramp_slot[k] = NOBODY
    for p in range(s.pes):
        slot = reset_pe(s, s.pe + p, slot)
        if s.pe[p].activated:
            begin_first_task(s, p)


cdef void begin_first_task(Core *s, int32_t p) noexcept nogil:
    # What is activated at the start, or by the host, begins at once: the host's own time is not the wafer's.
    cdef Pe *pe = s.pe + p
    cdef Strip *t = strip_of(s, pe)
    cdef uint32_t ready = pe.activated & ~pe.blocked
    cdef const pe_program *program = &s.program[pe.program].code
    cdef Thread *main = s.thread + pe.threads
    cdef int task
    if not ready or main.state != IDLE:
        return
    task = wsk_ctz(ready & program.high if ready & program.high else ready)
    if program.local_entry[task] == PE_NONE:
        return
    pe.activated &= ~(<uint32_t>1 << task)
    begin_task(s, pe, main, program.local_entry[task], s.cycle)
    if not pe.live:
        pe.live = 1
        t.live += 1
    schedule(s, t, p, s.cycle)


cdef void give_credits(Core *s, wsk_fabric *fabric) noexcept nogil:
    # Tell the fabric how many words each input queue takes.
    cdef int32_t p
    cdef int q
    cdef const Program *program
    for p in range(s.pes):
        program = s.program + s.pe[p].program
        for q in range(PE_QUEUES):
            if program.in_slot[q] >= 0:
                wsk_fabric_credit(fabric, s.pe[p].at, program.code.in_color[q], program.code.in_depth[q])
