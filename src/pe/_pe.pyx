# cython: language_level=3
"""PE cores of the cycle engine: programs of vector instructions over memory and fabric, stepped by events.

A core that computes, waits or is done costs nothing until something happens to it: cores sit in a wheel of coming cycles,
or wait for a word or for room in a queue and are woken by it. Within a cycle the fabric moves first, then cores act, then
output queues put words on the ramps; what one PE does in a cycle reaches no other PE in the same cycle, so the order of PEs
within a cycle does not matter.
"""
from libc.stdint cimport INT64_MAX, int16_t, int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

import numpy as np

from wsekern._routing cimport (State, fabric_credit, fabric_deliveries, fabric_last_move, fabric_next_event, fabric_offer,
                               fabric_skip, fabric_step, fabric_strips, wsk_delivery, wsk_fabric)

cdef extern from "pe_code.h" nogil:
    enum: PE_COLORS, PE_QUEUES, PE_NONE
    enum: PE_HALT, PE_SPEND, PE_MOV, PE_ADD, PE_SUB, PE_MUL, PE_MAX, PE_FMA
    enum: PE_ABSENT, PE_MEM, PE_FABIN, PE_FABOUT
    ctypedef struct pe_operand:
        int32_t kind, type, queue, base, base_param, stride, advance
    ctypedef struct pe_instruction:
        int32_t op, type, extent, extent_param, repeat, packing, setup, between, rate_num, rate_den
        pe_operand dst, a, b, c
    ctypedef struct pe_program:
        int32_t first, count, memory
        int32_t in_color[8]
        int32_t out_color[8]
        int32_t in_depth[8]
        int32_t out_depth[8]

cdef extern from "pe_math.h" nogil:
    ctypedef union pe_value:
        float f
        uint32_t u
    int pe_type_bytes(int type)
    pe_value pe_decode(int type, uint32_t bits)
    uint32_t pe_encode(int type, pe_value v)
    pe_value pe_load(int type, const unsigned char *p)
    void pe_store(int type, unsigned char *p, pe_value v)
    pe_value pe_apply(int op, int type, pe_value a, pe_value b, pe_value c)

cdef extern from "common/wsekern_status.h" nogil:
    int WSK_OK, WSK_ERR_NO_MEMORY, WSK_ERR_DEADLOCK, WSK_ERR_DEADLINE, WSK_ERR_MEMORY_RANGE, WSK_ERR_QUEUE_RANGE

cdef enum:
    WHEEL = 1024        # slots; a longer delay goes round
    NOBODY = -1
    PATIENCE = 256      # cycles without any movement after which a run is stuck

cdef enum Wait:
    RUNNING, WAIT_INPUT, WAIT_OUTPUT, DONE, OFF

cdef struct Word:
    uint32_t bits
    int32_t stamp       # low bits of the cycle from which it may be used (input) or leaves (output)

cdef struct Queue:
    int32_t slot        # first of its words in the pool
    int16_t depth, head, count
    int16_t color

cdef struct Pe:
    int32_t program
    int32_t pc                  # next instruction, counted in the whole code
    int32_t word                # next word of the instruction in the stream, PE_NONE before issue
    int32_t params              # first of its parameters
    int64_t memory              # first byte of its memory in the pool
    int32_t queues              # first of its queues in the pool: inputs, then outputs
    uint8_t wait, sending
    int64_t resume              # cycle of its event, or the cycle since which it waits
    int64_t done                # cycle at which it ended
    int64_t stalled_input, stalled_output
    int64_t words
cdef struct Program:
    pe_program code
    int32_t queues              # queues in use: inputs, then outputs
    int32_t words               # words of all their depths
    int32_t in_slot[8]          # place of each queue among the PE's, or PE_NONE
    int32_t out_slot[8]
    int32_t color_queue[24]     # input queue of a color, or PE_NONE

cdef struct Core:
    int64_t cycle
    int64_t progress            # last cycle in which a core acted or a ramp took a word
    int64_t live                # PEs that have not ended
    int64_t ended               # cycle at which the last one ended
    int64_t core_events, ramp_events
    int64_t input_latency, output_latency
    int32_t pes
    int32_t quiet               # the fabric is empty, and its clock stands still until a word is offered
    Pe *pe
    Queue *queue
    Word *word
    unsigned char *memory
    const pe_instruction *code
    const Program *program
    const int32_t *param
    int32_t *core_slot          # first PE of each slot of the wheel of core events
    int32_t *core_next
    int32_t *ramp_slot          # the same for output queues that put words on the ramp
    int32_t *ramp_next
    int32_t fault_pe, fault_color   # where an error was met


cdef inline void schedule_core(Core *s, int32_t p, int64_t cycle) noexcept nogil:
    cdef int64_t slot = min(cycle, s.cycle + WHEEL - 1) % WHEEL
    s.pe[p].resume = cycle
    s.pe[p].wait = RUNNING
    s.core_next[p] = s.core_slot[slot]
    s.core_slot[slot] = p
    s.core_events += 1


cdef inline void schedule_ramp(Core *s, int32_t p, int64_t cycle) noexcept nogil:
    cdef int64_t slot = cycle % WHEEL
    s.pe[p].sending = 1
    s.ramp_next[p] = s.ramp_slot[slot]
    s.ramp_slot[slot] = p
    s.ramp_events += 1


cdef inline Queue *input_queue(Core *s, const Pe *pe, int q) noexcept nogil:
    return s.queue + pe.queues + s.program[pe.program].in_slot[q]


cdef inline Queue *output_queue(Core *s, const Pe *pe, int q) noexcept nogil:
    return s.queue + pe.queues + s.program[pe.program].out_slot[q]


cdef inline Word *queue_word(Core *s, const Queue *q, int i) noexcept nogil:
    cdef int at = q.head + i
    return s.word + q.slot + (at if at < q.depth else at - q.depth)


cdef inline void queue_pop(Queue *q) noexcept nogil:
    q.head = q.head + 1 if q.head + 1 < q.depth else 0
    q.count -= 1


cdef void wait_for(Core *s, Pe *pe, Wait why) noexcept nogil:
    if pe.wait != why:
        pe.wait = why
        pe.resume = s.cycle


cdef void wake(Core *s, int32_t p, int64_t cycle) noexcept nogil:
    cdef Pe *pe = s.pe + p
    if pe.wait == WAIT_INPUT:
        pe.stalled_input += cycle - pe.resume
    else:
        pe.stalled_output += cycle - pe.resume
    schedule_core(s, p, cycle)


cdef int deliver(Core *s, const wsk_delivery *d) noexcept nogil:
    # A word that the core may read from this cycle on; credits have kept room for it.
    cdef Pe *pe = s.pe + d.pe
    cdef int32_t q = s.program[pe.program].color_queue[d.color]
    cdef Queue *queue
    cdef Word *word
    if q < 0:
        s.fault_pe, s.fault_color = d.pe, d.color
        return WSK_ERR_QUEUE_RANGE
    queue = input_queue(s, pe, q)
    word = queue_word(s, queue, queue.count)
    word.bits, word.stamp = d.data, s.cycle + s.input_latency
    queue.count += 1
    if pe.wait == WAIT_INPUT:
        wake(s, d.pe, s.cycle + s.input_latency)
    return WSK_OK


cdef inline int32_t base_of(const Core *s, const Pe *pe, const pe_operand *o) noexcept nogil:
    return o.base if o.base_param < 0 else o.base + s.param[pe.params + o.base_param]


cdef inline int32_t extent_of(const Core *s, const Pe *pe, const pe_instruction *i) noexcept nogil:
    return i.extent if i.extent_param < 0 else s.param[pe.params + i.extent_param]


cdef inline unsigned char *element(Core *s, const Pe *pe, const pe_operand *o, int64_t index) noexcept nogil:
    return s.memory + pe.memory + base_of(s, pe, o) + index * pe_type_bytes(o.type)


cdef int64_t run_in_memory(Core *s, Pe *pe, const pe_instruction *i, int32_t extent) noexcept nogil:
    # All elements of a memory-to-memory instruction at once; returns its cycles.
    cdef pe_value a, b, c
    cdef int64_t r, k, cycles = (<int64_t>extent * i.rate_den + i.rate_num - 1) // i.rate_num
    if extent <= 0 or i.repeat <= 0:
        return 0
    for r in range(i.repeat):
        for k in range(extent):
            a = operand(s, pe, &i.a, r, k)
            b = operand(s, pe, &i.b, r, k)
            c = operand(s, pe, &i.c, r, k)
            pe_store(i.dst.type, element(s, pe, &i.dst, r * i.dst.advance + k * i.dst.stride),
                     pe_apply(i.op, i.type, a, b, c))
    return i.setup + i.repeat * (i.between + cycles)


cdef inline pe_value operand(Core *s, const Pe *pe, const pe_operand *o, int64_t r, int64_t k) noexcept nogil:
    cdef pe_value v
    if o.kind == PE_MEM:
        return pe_load(o.type, element(s, pe, o, r * o.advance + k * o.stride))
    v.u = 0
    return v


cdef inline int words_ready(Core *s, Pe *pe, const pe_operand *o, int64_t *when) noexcept nogil:
    # Whether a source has its next word; `when` is raised to the cycle at which it may be used.
    cdef Queue *q
    if o.kind != PE_FABIN:
        return 1
    q = input_queue(s, pe, o.queue)
    if q.count == 0:
        return 0
    when[0] = max(when[0], queue_word(s, q, 0).stamp)
    return 1


cdef inline pe_value stream_operand(Core *s, Pe *pe, const pe_instruction *i, const pe_operand *o, int64_t k,
                                    int lane) noexcept nogil:
    cdef uint32_t bits
    if o.kind != PE_FABIN:
        return operand(s, pe, o, 0, k)
    bits = queue_word(s, input_queue(s, pe, o.queue), 0).bits
    return pe_decode(o.type, bits >> (16 * lane))


cdef inline void consume(Core *s, wsk_fabric *fabric, int32_t p, Pe *pe, const pe_operand *o) noexcept nogil:
    cdef Queue *q
    if o.kind == PE_FABIN:
        q = input_queue(s, pe, o.queue)
        queue_pop(q)
        fabric_credit(fabric, p, q.color, 1)


cdef int run_word(Core *s, wsk_fabric *fabric, int32_t p, Pe *pe, const pe_instruction *i, int32_t extent) noexcept nogil:
    # Try the next word of a streaming instruction; 0 if the core has to wait, which it then does.
    cdef int64_t when = s.cycle, k = <int64_t>pe.word * i.packing
    cdef Queue *out = NULL
    cdef Word *word
    cdef pe_value a, b, c
    cdef uint32_t bits = 0
    cdef int lane
    if not (words_ready(s, pe, &i.a, &when) and words_ready(s, pe, &i.b, &when) and words_ready(s, pe, &i.c, &when)):
        wait_for(s, pe, WAIT_INPUT)
        return 0
    if when > s.cycle:
        schedule_core(s, p, when)
        return 0
    if i.dst.kind == PE_FABOUT:
        out = output_queue(s, pe, i.dst.queue)
        if out.count == out.depth:
            wait_for(s, pe, WAIT_OUTPUT)
            return 0
    for lane in range(i.packing):
        if k + lane >= extent:
            break
        a = stream_operand(s, pe, i, &i.a, k + lane, lane)
        b = stream_operand(s, pe, i, &i.b, k + lane, lane)
        c = stream_operand(s, pe, i, &i.c, k + lane, lane)
        a = pe_apply(i.op, i.type, a, b, c)
        if out == NULL:
            pe_store(i.dst.type, element(s, pe, &i.dst, (k + lane) * i.dst.stride), a)
        else:
            bits |= pe_encode(i.dst.type, a) << (16 * lane)
    consume(s, fabric, p, pe, &i.a)
    consume(s, fabric, p, pe, &i.b)
    consume(s, fabric, p, pe, &i.c)
    if out != NULL:
        word = queue_word(s, out, out.count)
        word.bits, word.stamp = bits, s.cycle + s.output_latency
        out.count += 1
        if not pe.sending:
            schedule_ramp(s, p, word.stamp)
    pe.word += 1
    pe.words += 1
    return 1


cdef inline int streams(const pe_instruction *i) noexcept nogil:
    return i.dst.kind == PE_FABOUT or i.a.kind == PE_FABIN or i.b.kind == PE_FABIN or i.c.kind == PE_FABIN


cdef void act(Core *s, wsk_fabric *fabric, int32_t p) noexcept nogil:
    # The event of one core: issue instructions until one takes time, or execute the next word of the one in the stream.
    cdef Pe *pe = s.pe + p
    cdef const pe_instruction *i
    cdef int32_t extent
    cdef int64_t cycles, words
    if pe.resume > s.cycle:
        schedule_core(s, p, pe.resume)
        return
    s.progress = s.cycle
    while True:
        i = s.code + pe.pc
        if i.op == PE_HALT:
            pe.wait = DONE
            pe.done = s.ended = s.cycle
            s.live -= 1
            return
        extent = extent_of(s, pe, i)
        if pe.word == PE_NONE and streams(i) and extent > 0:
            pe.word = 0
            if i.setup > 0:
                schedule_core(s, p, s.cycle + i.setup)
                return
        if pe.word != PE_NONE:
            if not run_word(s, fabric, p, pe, i, extent):
                return
            words = (extent + i.packing - 1) // i.packing
            if pe.word < words:
                cycles = max(1, (i.packing * i.rate_den + i.rate_num - 1) // i.rate_num)
            else:
                cycles = 1
                pe.word = PE_NONE
                pe.pc += 1
            schedule_core(s, p, s.cycle + cycles)
            return
        cycles = extent if i.op == PE_SPEND else run_in_memory(s, pe, i, extent)
        pe.pc += 1
        if cycles > 0:
            schedule_core(s, p, s.cycle + cycles)
            return


cdef int put(Core *s, wsk_fabric *fabric, int32_t p) noexcept nogil:
    # One word onto the ramp, from the first output queue that can give one; where all are refused, again next cycle.
    cdef Pe *pe = s.pe + p
    cdef const Program *program = s.program + pe.program
    cdef Queue *q
    cdef int64_t again = INT64_MAX
    cdef int k, status, sent = 0
    pe.sending = 0
    if s.quiet:
        fabric_skip(fabric, s.cycle)
        s.quiet = 0
    for k in range(PE_QUEUES):
        if program.out_slot[k] < 0:
            continue
        q = output_queue(s, pe, k)
        if q.count and not sent and queue_word(s, q, 0).stamp <= s.cycle:
            status = fabric_offer(fabric, p, q.color, queue_word(s, q, 0).bits, 0)
            if status < 0:
                s.fault_pe, s.fault_color = p, q.color
                return status
            if status:
                sent = 1
                s.progress = s.cycle
                queue_pop(q)
                if pe.wait == WAIT_OUTPUT:
                    wake(s, p, s.cycle + 1)
        if q.count:
            again = min(again, max(queue_word(s, q, 0).stamp, s.cycle + 1))
    if again != INT64_MAX:
        schedule_ramp(s, p, again)
    return WSK_OK


cdef inline int32_t take_slot(int32_t *slots, int64_t cycle) noexcept nogil:
    cdef int32_t p = slots[cycle % WHEEL]
    slots[cycle % WHEEL] = NOBODY
    return p


cdef int step(Core *s, wsk_fabric *fabric) noexcept nogil:
    # One cycle: words that may be read from now on, cores, ramps, then the routers.
    cdef int status = 0
    cdef int32_t p, following
    if not s.quiet:
        status = deliver_all(s, fabric)
    p = take_slot(s.core_slot, s.cycle)
    while p != NOBODY:
        following = s.core_next[p]
        s.core_events -= 1
        act(s, fabric, p)
        p = following
    p = take_slot(s.ramp_slot, s.cycle)
    while p != NOBODY and status == 0:
        following = s.ramp_next[p]
        s.ramp_events -= 1
        status = put(s, fabric, p)
        p = following
    if status == 0 and not s.quiet:
        status = fabric_step(fabric)
        s.quiet = fabric_next_event(fabric) == INT64_MAX and not delivering(fabric)
    s.cycle += 1
    return status


cdef int deliver_all(Core *s, wsk_fabric *fabric) noexcept nogil:
    cdef const wsk_delivery *list
    cdef int strip, i, n, status
    for strip in range(fabric_strips(fabric)):
        n = fabric_deliveries(fabric, strip, &list)
        for i in range(n):
            status = deliver(s, list + i)
            if status < 0:
                return status
    return WSK_OK


cdef int delivering(const wsk_fabric *fabric) noexcept nogil:
    # Whether words have come out of the fabric that the cores have not seen yet.
    cdef const wsk_delivery *list
    cdef int strip
    for strip in range(fabric_strips(fabric)):
        if fabric_deliveries(fabric, strip, &list):
            return 1
    return 0


cdef void skip_idle(Core *s, wsk_fabric *fabric) noexcept nogil:
    # Jump to the next cycle in which a core, a ramp or the fabric does anything.
    cdef int64_t cycle = s.cycle, limit = cycle + WHEEL - 1
    if s.core_events + s.ramp_events == 0:
        return
    if not s.quiet:
        limit = min(limit, fabric_next_event(fabric))
        if limit <= cycle or delivering(fabric):
            return
    while cycle < limit and s.core_slot[cycle % WHEEL] == NOBODY and s.ramp_slot[cycle % WHEEL] == NOBODY:
        cycle += 1
    if not s.quiet:
        fabric_skip(fabric, cycle)
    s.cycle = cycle


cdef int stuck(Core *s, wsk_fabric *fabric) noexcept nogil:
    # No core can go on by itself, and no word has moved for a while.
    if s.core_events or (not s.quiet and delivering(fabric)):
        return 0
    if s.ramp_events == 0 and s.quiet:
        return 1
    return s.cycle - max(s.progress, fabric_last_move(fabric)) > PATIENCE


cdef int run_until(Core *s, wsk_fabric *fabric, int64_t deadline) noexcept nogil:
    # Until every core has ended, an error, or the deadline.
    cdef int status
    while s.live > 0:
        if s.cycle >= deadline:
            return WSK_ERR_DEADLINE
        status = step(s, fabric)
        if status < 0:
            return status
        if s.live > 0 and stuck(s, fabric):
            return WSK_ERR_DEADLOCK
        skip_idle(s, fabric)
    return WSK_OK


cdef void lay_out_queues(Program *program) noexcept nogil:
    # Places of the queues that a program uses, inputs first, and the color that each input queue serves.
    cdef int q
    program.queues = program.words = 0
    for q in range(PE_COLORS):
        program.color_queue[q] = PE_NONE
    for q in range(2 * PE_QUEUES):
        if q < PE_QUEUES:
            program.in_slot[q] = PE_NONE
            if program.code.in_color[q] < 0:
                continue
            program.in_slot[q] = program.queues
            program.color_queue[program.code.in_color[q]] = q
            program.words += program.code.in_depth[q]
        else:
            program.out_slot[q - PE_QUEUES] = PE_NONE
            if program.code.out_color[q - PE_QUEUES] < 0:
                continue
            program.out_slot[q - PE_QUEUES] = program.queues
            program.words += program.code.out_depth[q - PE_QUEUES]
        program.queues += 1


cdef int32_t reset_queue(Queue *q, int32_t slot, int32_t color, int32_t depth) noexcept nogil:
    q.slot, q.color, q.depth = slot, <int16_t>color, <int16_t>depth
    q.head = q.count = 0
    return slot + depth


cdef void reset_cores(Core *s) noexcept nogil:
    # Every core at the first instruction of its program at cycle 0, all queues empty; memory stays.
    cdef int32_t p, slot = 0
    cdef int q
    cdef Pe *pe
    cdef const Program *program
    s.cycle = s.progress = s.live = s.ended = s.core_events = s.ramp_events = 0
    s.fault_pe = s.fault_color = NOBODY
    s.quiet = 1
    for q in range(WHEEL):
        s.core_slot[q] = s.ramp_slot[q] = NOBODY
    for p in range(s.pes):
        pe = s.pe + p
        pe.wait, pe.sending, pe.word = OFF, 0, PE_NONE
        pe.done = pe.stalled_input = pe.stalled_output = pe.words = 0
        if pe.program < 0:
            continue
        program = s.program + pe.program
        pe.pc = program.code.first
        for q in range(PE_QUEUES):
            if program.in_slot[q] >= 0:
                slot = reset_queue(input_queue(s, pe, q), slot, program.code.in_color[q], program.code.in_depth[q])
        for q in range(PE_QUEUES):
            if program.out_slot[q] >= 0:
                slot = reset_queue(output_queue(s, pe, q), slot, program.code.out_color[q], program.code.out_depth[q])
        s.live += 1
        schedule_core(s, p, 0)


cdef void give_credits(Core *s, wsk_fabric *fabric) noexcept nogil:
    # Tell the fabric how many words each input queue takes.
    cdef int32_t p
    cdef int q
    cdef const Program *program
    for p in range(s.pes):
        if s.pe[p].program < 0:
            continue
        program = s.program + s.pe[p].program
        for q in range(PE_QUEUES):
            if program.in_slot[q] >= 0:
                fabric_credit(fabric, p, program.code.in_color[q], program.code.in_depth[q])


cdef class Cores:
    """Cores of a grid of PEs: const programs, and the mutable state of every PE.

    ``programs`` is int32 (programs, 35): the fields of ``pe_program``; ``code`` int32 (instructions, 38) those of
    ``pe_instruction``; ``program_of`` int32 (PEs,), -1 where a PE has none; ``parameters`` int32 (PEs, n).
    """
    cdef Core core
    cdef Program *programs
    cdef readonly int32_t count
    cdef object keep

    def __cinit__(self, const int32_t[:, ::1] programs, const int32_t[:, ::1] code, const int32_t[::1] program_of,
                  const int32_t[:, ::1] parameters, int input_latency, int output_latency):
        cdef int64_t memory = 0, queues = 0, words = 0
        cdef int32_t p, n = program_of.shape[0]
        cdef Core *s = &self.core
        memset(s, 0, sizeof(Core))
        if programs.shape[1] * 4 != sizeof(pe_program) or code.shape[1] * 4 != sizeof(pe_instruction):
            raise ValueError("records of programs or code have the wrong size")
        self.count = s.pes = n
        self.keep = (np.asarray(code), np.asarray(parameters))
        s.input_latency, s.output_latency = input_latency, output_latency
        s.code = <const pe_instruction *>&code[0, 0]
        s.param = &parameters[0, 0] if parameters.shape[1] else NULL
        self.programs = <Program *>calloc(max(1, programs.shape[0]), sizeof(Program))
        s.pe = <Pe *>calloc(n, sizeof(Pe))
        if self.programs == NULL or s.pe == NULL:
            raise MemoryError
        s.program = self.programs
        for p in range(programs.shape[0]):
            self.programs[p].code = (<const pe_program *>&programs[p, 0])[0]
            lay_out_queues(self.programs + p)
        for p in range(n):
            s.pe[p].program = program_of[p]
            if program_of[p] < 0:
                continue
            s.pe[p].memory, s.pe[p].queues, s.pe[p].params = memory, <int32_t>queues, p * <int32_t>parameters.shape[1]
            memory += (self.programs[program_of[p]].code.memory + 7) & ~7
            queues += self.programs[program_of[p]].queues
            words += self.programs[program_of[p]].words
        s.memory = <unsigned char *>calloc(memory + 8, 1)
        s.queue = <Queue *>calloc(queues + 1, sizeof(Queue))
        s.word = <Word *>calloc(words + 1, sizeof(Word))
        s.core_slot = <int32_t *>calloc(WHEEL, sizeof(int32_t))
        s.ramp_slot = <int32_t *>calloc(WHEEL, sizeof(int32_t))
        s.core_next = <int32_t *>calloc(n, sizeof(int32_t))
        s.ramp_next = <int32_t *>calloc(n, sizeof(int32_t))
        if (s.memory == NULL or s.queue == NULL or s.word == NULL or s.core_slot == NULL or s.ramp_slot == NULL
                or s.core_next == NULL or s.ramp_next == NULL):
            raise MemoryError
        reset_cores(s)

    def __dealloc__(self):
        cdef Core *s = &self.core
        free(self.programs)
        free(s.pe)
        free(s.memory)
        free(s.queue)
        free(s.word)
        free(s.core_slot)
        free(s.ramp_slot)
        free(s.core_next)
        free(s.ramp_next)

    def copy_in(self, int64_t address, const int32_t[::1] pes, const unsigned char[:, ::1] data):
        """Write row i of ``data`` (PEs, bytes) at byte ``address`` of PE ``pes[i]``; returns a status code."""
        cdef Py_ssize_t i, n = data.shape[1]
        for i in range(pes.shape[0]):
            if not self.in_range(pes[i], address, n):
                return WSK_ERR_MEMORY_RANGE
            if n:
                memcpy(self.core.memory + self.core.pe[pes[i]].memory + address, &data[i, 0], n)
        return WSK_OK

    def copy_out(self, int64_t address, const int32_t[::1] pes, unsigned char[:, ::1] data):
        """Read row i of ``data`` (PEs, bytes) from byte ``address`` of PE ``pes[i]``; returns a status code."""
        cdef Py_ssize_t i, n = data.shape[1]
        for i in range(pes.shape[0]):
            if not self.in_range(pes[i], address, n):
                return WSK_ERR_MEMORY_RANGE
            if n:
                memcpy(&data[i, 0], self.core.memory + self.core.pe[pes[i]].memory + address, n)
        return WSK_OK

    cdef bint in_range(self, int32_t p, int64_t address, int64_t n):
        if not 0 <= p < self.core.pes or self.core.pe[p].program < 0:
            return False
        return 0 <= address and address + n <= self.programs[self.core.pe[p].program].code.memory

    def reset(self):
        """All cores to the start of their programs at cycle 0; memory stays."""
        reset_cores(&self.core)

    def attach(self, State fabric):
        """Open the input queues towards a fabric that is at cycle 0."""
        give_credits(&self.core, fabric.fabric)

    def run(self, State fabric, int64_t deadline):
        """Step cores and fabric until all cores have ended, something goes wrong, or cycle ``deadline``: status code."""
        cdef int status
        cdef wsk_fabric *f = fabric.fabric
        with nogil:
            status = run_until(&self.core, f, deadline)
        return status

    @property
    def cycle(self):
        """The coming cycle."""
        return self.core.cycle

    @property
    def ended(self):
        """Cycle at which the last PE so far ended."""
        return self.core.ended

    @property
    def fault(self):
        """(PE, color) where the last error was met, -1 where it has none."""
        return self.core.fault_pe, self.core.fault_color

    def counters(self):
        """int64 (PEs, 4): cycle at which each PE ended, cycles stalled on input and on output, words streamed."""
        cdef int64_t[:, ::1] out = np.zeros((self.core.pes, 4), np.int64)
        cdef int32_t p
        cdef Pe *pe
        for p in range(self.core.pes):
            pe = self.core.pe + p
            out[p, 0], out[p, 1], out[p, 2], out[p, 3] = pe.done, pe.stalled_input, pe.stalled_output, pe.words
        return np.asarray(out)

    def waiting(self):
        """What each PE that has not ended is at: list of (PE, instruction, state), state 1 wants input, 2 room."""
        return [(p, self.core.pe[p].pc - self.programs[self.core.pe[p].program].code.first, self.core.pe[p].wait)
                for p in range(self.core.pes) if self.core.pe[p].wait in (WAIT_INPUT, WAIT_OUTPUT)]
