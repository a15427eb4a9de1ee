# cython: language_level=3
# What a core holds. One record per PE that has a program, in the order of rows; everything of variable size lies in pools.
from libc.stdint cimport int16_t, int32_t, int64_t, int8_t, uint16_t, uint32_t, uint8_t

from wsekern.fabric.fabric_internal cimport STRIP_ROWS, wsk_ctz
from wsekern.fabric.wsekern_fabric cimport wsk_delivery, wsk_fabric, wsk_fabric_credit, wsk_route
from wsekern.program.pe_code cimport pe_descriptor, pe_instruction, pe_latency, pe_program

cdef enum:
    WHEEL = 1024        # slots of coming cycles; a longer delay goes round
    NOBODY = -1
    PATIENCE = 256      # cycles without any movement after which a run is stuck
    MAIN_RANK = 2       # priority of the main thread: between medium (1) and low (3)
    TORN_DOWN_TASK = 29

cdef enum State:
    IDLE, READY, BULK, WAIT_INPUT, WAIT_OUTPUT, WAIT_FIFO, WAIT_THREAD
    STARTING            # only as it is shown: READY in a task that has issued nothing yet

cdef struct Word:
    uint32_t bits
    uint32_t mark       # bits 0, 1: WSK_CONTROL, WSK_ADVANCE; above: low bits of the cycle from which it may be used or leaves

cdef struct Queue:
    int32_t slot        # first of its words in the pool
    int16_t depth, head, count, color

cdef struct Place:      # where a descriptor begins: of the PE, or of an instruction that is under way
    int32_t base        # byte address
    int32_t extent      # elements
    int32_t stride      # elements
    int32_t at          # element of a ring at which it goes on

cdef struct Fifo:
    int32_t head, count
    int32_t starved, full   # a pop found it empty, a push found it full, since the last task that was told

cdef struct Thread:
    int64_t resume      # cycle at which it goes on, or since which it waits
    int32_t pc          # main thread: next instruction; microthread: its instruction; counted in the whole code
    int32_t word        # next word of the instruction in the stream, PE_NONE before issue
    int32_t extent      # elements of that instruction
    int32_t issued      # main thread: instruction that it is at until `resume`, PE_NONE: none yet of its task
    int8_t state, queue # queue: which one it waits for
    Place place[4]      # operands dst, a, b, c

cdef struct Pe:                 # what every event touches comes first
    int64_t resume              # cycle of its event
    int64_t slot_free           # first cycle in which an instruction may issue
    int32_t at                  # its place in the fabric: y * width + x
    int32_t program, queues, threads        # queues, threads: firsts in the pools
    uint16_t busy, waits        # masks of threads (bit 0: the main one): not idle, and waiting
    uint8_t filled              # mask of output queues that hold words
    uint8_t blocked_queues, sending, scheduled, live, depth     # depth: of calls
    uint8_t turn[4]             # microthread of each priority that issued last
    uint32_t activated, blocked # local tasks
    int64_t words, vector_cycles, elements
    int64_t memory              # first byte of its memory in the pool
    int32_t registers, own, fifos, params   # firsts in the pools
    int64_t done                # cycle at which it became idle
    int64_t stalled[4]          # thread-cycles waiting for input, output, a FIFO, a microthread
    int64_t instructions, conflict_cycles, tasks

cdef struct Program:
    pe_program code
    int32_t queues              # queues in use: inputs, then outputs
    int32_t words               # words of all their depths
    int32_t thread_count        # the main thread and the microthreads in use
    int32_t in_slot[8]          # place of each queue among the PE's, or PE_NONE
    int32_t out_slot[8]
    int32_t thread_slot[9]
    int32_t color_queue[24]     # input queue of a color, or PE_NONE

cdef struct Strip:              # rows whose PEs one thread steps
    int32_t *core_slot          # first PE of each slot of the wheel of core events
    int32_t *ramp_slot          # the same for output queues that put words on the ramp
    int64_t core_events, ramp_events
    int64_t progress            # last cycle in which a core acted or a ramp took a word
    int64_t live, ended         # PEs that are at work; cycle at which the last one stopped
    int32_t status, fault_pe, fault_color, fault_pc
    int64_t edge_count, edge_room
    wsk_delivery *edge          # words that left the wafer
    int64_t *edge_cycle
    char pad[32]

cdef struct Grid:                # all cores, and what they share
    int64_t cycle
    int64_t until               # no core runs ahead of this cycle
    int32_t pes, strips, width
    int32_t quiet               # the fabric is empty, and its clock stands still until a word is offered
    int32_t fabric_pes          # PEs of the fabric, with and without a program
    pe_latency latency
    Pe *pe
    Thread *thread
    Queue *queue
    Word *word
    Place *own
    Fifo *fifo
    uint32_t *register_
    unsigned char *memory
    int32_t *core_next
    int32_t *core_before
    int32_t *ramp_next
    int32_t *slot_of            # record of each PE of the fabric, NOBODY: it has no program
    Strip *strip
    const pe_instruction *code
    const pe_descriptor *descriptor
    const wsk_route *route
    const Program *program
    const int32_t *param


cdef inline Strip *strip_of(Grid *g, const Pe *pe) noexcept nogil:
    return g.strip + pe.at // g.width // STRIP_ROWS


cdef inline void unschedule(Grid *g, Strip *s, int32_t p) noexcept nogil:
    cdef Pe *pe = g.pe + p
    cdef int32_t before = g.core_before[p], after = g.core_next[p]
    if before >= 0:
        g.core_next[before] = after
    else:
        s.core_slot[-1 - before] = after
    if after != NOBODY:
        g.core_before[after] = before
    pe.scheduled = 0
    s.core_events -= 1


cdef inline void schedule(Grid *g, Strip *s, int32_t p, int64_t cycle) noexcept nogil:
    # The PE acts at `cycle` or before.
    cdef Pe *pe = g.pe + p
    cdef int64_t slot
    if pe.scheduled:
        if pe.resume <= cycle:
            return
        unschedule(g, s, p)
    slot = min(cycle, g.cycle + WHEEL - 1) % WHEEL
    pe.resume = cycle
    pe.scheduled = 1
    g.core_before[p] = -1 - <int32_t>slot       # negative: first of that slot
    g.core_next[p] = s.core_slot[slot]
    if s.core_slot[slot] != NOBODY:
        g.core_before[s.core_slot[slot]] = p
    s.core_slot[slot] = p
    s.core_events += 1


cdef inline void schedule_ramp(Grid *g, Strip *s, int32_t p, int64_t cycle) noexcept nogil:
    cdef int64_t slot = cycle % WHEEL
    g.pe[p].sending = 1
    g.ramp_next[p] = s.ramp_slot[slot]
    s.ramp_slot[slot] = p
    s.ramp_events += 1


cdef inline Queue *input_queue(Grid *g, const Pe *pe, int q) noexcept nogil:
    return g.queue + pe.queues + g.program[pe.program].in_slot[q]


cdef inline Queue *output_queue(Grid *g, const Pe *pe, int q) noexcept nogil:
    return g.queue + pe.queues + g.program[pe.program].out_slot[q]


cdef inline Word *queue_word(Grid *g, const Queue *q, int i) noexcept nogil:
    cdef int at = q.head + i
    return g.word + q.slot + (at if at < q.depth else at - q.depth)


cdef inline void queue_pop(Queue *q) noexcept nogil:
    q.head = q.head + 1 if q.head + 1 < q.depth else 0
    q.count -= 1


cdef inline void set_word(Word *word, uint32_t bits, int64_t cycle, uint32_t flags) noexcept nogil:
    word.bits, word.mark = bits, <uint32_t>(cycle << 2) | flags


cdef inline int64_t stamp_of(const Grid *g, const Word *word) noexcept nogil:
    return g.cycle + (<int32_t>((word.mark & ~<uint32_t>3) - <uint32_t>(g.cycle << 2)) >> 2)


cdef inline void pop_input(Grid *g, wsk_fabric *fabric, const Pe *pe, Queue *q) noexcept nogil:
    queue_pop(q)
    wsk_fabric_credit(fabric, pe.at, q.color, 1)


cdef inline void activate(Pe *pe, int task) noexcept nogil:
    if task >= 0:
        pe.activated |= <uint32_t>1 << task


cdef inline void unblock(Pe *pe, int task) noexcept nogil:
    if task >= 0:
        pe.blocked &= ~(<uint32_t>1 << task)


cdef inline void wait_for(Grid *g, Pe *pe, Thread *th, State why, int queue) noexcept nogil:
    if th.state != why:
        th.state = why
        th.resume = g.cycle
        th.issued = th.pc
    th.queue = queue
    pe.waits |= 1 << <int>(th - g.thread - pe.threads)


cdef inline int wake_all(Grid *g, Pe *pe, State why, int queue, int64_t cycle) noexcept nogil:
    # Threads of a PE that wait for this go on at `cycle`; whether there is one.
    cdef int k, found = 0
    cdef uint32_t waits = pe.waits
    cdef Thread *th
    while waits:
        k = wsk_ctz(waits)
        waits &= waits - 1
        th = g.thread + pe.threads + k
        if th.state == why and th.queue == queue:
            pe.stalled[th.state - WAIT_INPUT] += cycle - th.resume
            pe.waits &= ~(1 << k)
            th.state, th.resume = READY, cycle
            found = 1
    return found
