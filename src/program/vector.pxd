# cython: language_level=3
# Vector instructions: operands, all elements at once in memory, word by word where the fabric or a FIFO takes part.
from libc.stdint cimport int32_t, int64_t, uint32_t

from wsekern.fabric.wsekern_fabric cimport WSK_ADVANCE, WSK_CONTROL, wsk_fabric
from wsekern.wsekern_status cimport WSK_ERR_MEMORY_RANGE, WSK_OK
from wsekern.program.pe_code cimport (PE_FABIN, PE_FABOUT, PE_FIFO, PE_MEM, PE_MEM4D, PE_NONE, PE_REGISTER, PE_RING,
                                      pe_descriptor, pe_instruction)
from wsekern.program.pe_math cimport pe_apply, pe_decode, pe_encode, pe_load, pe_store, pe_type_bytes, pe_value
from wsekern.program.state cimport (Fifo, Grid, Pe, Place, Queue, READY, Strip, Thread, WAIT_FIFO, WAIT_INPUT, WAIT_OUTPUT,
                                    activate, input_queue, output_queue, pop_input, queue_word, schedule_ramp, set_word,
                                    stamp_of, unblock, wait_for, wake_all)


cdef inline const pe_descriptor *descriptor_of(const Grid *g, const Pe *pe, int number) noexcept nogil:
    return g.descriptor + g.program[pe.program].code.descriptor + number


cdef inline void load_place(const Grid *g, const Pe *pe, const pe_descriptor *d, Place *place) noexcept nogil:
    if d.kind == PE_REGISTER:
        place.base, place.extent, place.stride, place.at = <int32_t>g.register_[pe.registers + d.queue], 1, 0, 0
    elif d.own >= 0:
        place[0] = g.own[pe.own + d.own]
    else:
        place.base, place.extent, place.stride, place.at = d.base, d.extent, d.stride, 0


cdef inline int64_t ring_element(const pe_descriptor *d, int64_t element) noexcept nogil:
    element = element % d.wrap
    return element if element >= 0 else element + d.wrap


cdef inline int64_t element_of(const pe_descriptor *d, const Place *place, int64_t k) noexcept nogil:
    # Elements from the base to element k.
    cdef int64_t element = 0
    cdef int axis
    if d.kind == PE_MEM:
        return k * place.stride
    if d.kind == PE_RING:
        return ring_element(d, place.at + k * place.stride)
    for axis in range(3, -1, -1):
        element += k % d.shape[axis] * d.strides[axis]
        k //= d.shape[axis]
    return element


cdef inline bint is_memory(int kind) noexcept nogil:
    return PE_MEM <= kind <= PE_FIFO


cdef inline bint is_within(const Grid *g, const Pe *pe, const pe_descriptor *d, const Place *place, int64_t extent,
                    int64_t repeat) noexcept nogil:
    # Whether all elements that an instruction touches lie in the PE's memory.
    cdef int64_t low = 0, high = 0, reach, size = pe_type_bytes(d.type)
    cdef int axis
    if not is_memory(d.kind) or extent <= 0 or repeat <= 0:
        return True
    if d.kind == PE_MEM:
        reach = (extent - 1) * place.stride
        low, high = min(0, reach), max(0, reach)
        reach = (repeat - 1) * d.advance
        low, high = low + min(0, reach), high + max(0, reach)
    elif d.kind == PE_MEM4D:
        for axis in range(4):
            if d.shape[axis] < 1:           # no elements, however long the descriptor was made
                return False
            reach = (d.shape[axis] - 1) * <int64_t>d.strides[axis]
            low, high = low + min(0, reach), high + max(0, reach)
    else:
        high = d.wrap - 1
    return place.base + low * size >= 0 and place.base + (high + 1) * size <= g.program[pe.program].code.memory


cdef inline int operand_number(const pe_instruction *i, int which) noexcept nogil:
    return i.dst if which == 0 else i.a if which == 1 else i.b if which == 2 else i.c


cdef inline int begin(Grid *g, Pe *pe, Thread *th, const pe_instruction *i) noexcept nogil:
    # Load the operands of an instruction: from here on, changes to its descriptors and registers do not touch it.
    cdef int which
    cdef const pe_descriptor *d
    cdef const pe_descriptor *target = descriptor_of(g, pe, i.dst)
    th.extent = 0
    for which in range(4):
        if operand_number(i, which) >= 0:
            load_place(g, pe, descriptor_of(g, pe, operand_number(i, which)), &th.place[which])
    th.extent = max(0, th.place[i.counted].extent)
    for which in range(4):
        if operand_number(i, which) >= 0:
            d = descriptor_of(g, pe, operand_number(i, which))
            if d.kind == PE_REGISTER:       # the target of a reduction is read anew for each element
                th.place[which].at = target.kind == PE_REGISTER and target.queue == d.queue
            if not is_within(g, pe, d, &th.place[which], th.extent, i.repeat):
                return WSK_ERR_MEMORY_RANGE
    return WSK_OK


cdef inline void end_vector(Grid *g, Pe *pe, Thread *th, const pe_instruction *i, int32_t extent) noexcept nogil:
    # What remains of an instruction of which `extent` elements are done: saved addresses, tasks.
    cdef int which
    cdef const pe_descriptor *d
    cdef Place *own
    for which in range(4):
        if operand_number(i, which) < 0:
            continue
        d = descriptor_of(g, pe, operand_number(i, which))
        if d.own < 0 or not d.save:
            continue
        own = g.own + pe.own + d.own
        if d.kind == PE_RING:
            own.at = <int32_t>ring_element(d, th.place[which].at + <int64_t>extent * th.place[which].stride)
        elif i.repeat > 1:
            own.base = th.place[which].base + i.repeat * d.advance * pe_type_bytes(d.type)
        else:
            own.base = th.place[which].base + extent * th.place[which].stride * pe_type_bytes(d.type)
    activate(pe, i.activate)
    unblock(pe, i.unblock)
    if i.imm >= 0:
        g.register_[pe.registers + i.imm] = extent == th.extent
    pe.elements += <int64_t>extent * i.repeat


cdef inline bint banks_meet(const Grid *g, const Pe *pe, const Thread *th, const pe_instruction *i) noexcept nogil:
    # Whether two vectors that are read begin in the same four of the eight banks; 16-bit words rotate over the banks.
    cdef int which, other
    cdef const pe_descriptor *d
    cdef const pe_descriptor *e
    for which in range(1, 4):
        if operand_number(i, which) < 0:
            continue
        d = descriptor_of(g, pe, operand_number(i, which))
        if not is_memory(d.kind) or th.place[which].stride == 0:
            continue
        for other in range(which + 1, 4):
            if operand_number(i, other) < 0:
                continue
            e = descriptor_of(g, pe, operand_number(i, other))
            if is_memory(e.kind) and th.place[other].stride != 0 and not (
                    ((th.place[which].base - th.place[other].base) >> 1) & 3):
                return True
    return False


cdef inline int64_t bank_cycles(const Grid *g, const Pe *pe, const Thread *th, const pe_instruction *i) noexcept nogil:
    # Cycles that the banks need for the operand whose stride suits them least.
    cdef int which
    cdef int32_t stride, width
    cdef int64_t most = 0
    cdef const pe_descriptor *d
    for which in range(4):
        if operand_number(i, which) < 0:
            continue
        d = descriptor_of(g, pe, operand_number(i, which))
        if not is_memory(d.kind) or d.kind == PE_FIFO:
            continue
        stride = d.strides[3] if d.kind == PE_MEM4D else th.place[which].stride
        width = g.latency.stride_width[(stride * (pe_type_bytes(d.type) >> 1)) & 7]
        if stride != 0 and stride != 1 and width > 0:
            most = max(most, (<int64_t>th.extent + width - 1) // width)
    return most


cdef inline int64_t element_cycles(const Grid *g, Pe *pe, const Thread *th, const pe_instruction *i) noexcept nogil:
    # Cycles of the elements of a memory-to-memory instruction, once.
    cdef int64_t first = th.extent, rest = 0, cycles, slowed
    if i.long_num and first > i.full:
        first, rest = i.full, first - i.full
    cycles = (first * i.den + i.num - 1) // i.num
    if rest:
        cycles += (rest * i.long_den + i.long_num - 1) // i.long_num
    slowed = max(cycles, bank_cycles(g, pe, th, i))
    if i.conflict_num and banks_meet(g, pe, th, i):
        slowed = max(slowed, (<int64_t>th.extent * i.conflict_den + i.conflict_num - 1) // i.conflict_num)
    pe.conflict_cycles += (slowed - cycles) * i.repeat
    return slowed


cdef inline pe_value memory_value(Grid *g, const Pe *pe, const pe_descriptor *d, const Place *place, int64_t r,
                                  int64_t k) noexcept nogil:
    return pe_load(d.type, g.memory + pe.memory + place.base
                   + (r * d.advance + element_of(d, place, k)) * pe_type_bytes(d.type))


cdef inline pe_value fixed_value(Grid *g, const Pe *pe, int number, const Place *place, int64_t r, int64_t k) noexcept nogil:
    # An operand of memory or register, 0 where there is none.
    cdef pe_value v
    cdef const pe_descriptor *d
    v.u = 0
    if number < 0:
        return v
    d = descriptor_of(g, pe, number)
    if d.kind == PE_REGISTER:
        return pe_decode(d.type, g.register_[pe.registers + d.queue] if place.at else <uint32_t>place.base)
    return memory_value(g, pe, d, place, r, k)


cdef inline void set_value(Grid *g, const Pe *pe, const pe_descriptor *d, const Place *place, int64_t r, int64_t k,
                           pe_value v) noexcept nogil:
    if d.kind == PE_REGISTER:
        g.register_[pe.registers + d.queue] = pe_encode(d.type, v)
    else:
        pe_store(d.type, g.memory + pe.memory + place.base
                 + (r * d.advance + element_of(d, place, k)) * pe_type_bytes(d.type), v)


cdef inline int64_t run_in_memory(Grid *g, Pe *pe, Thread *th, const pe_instruction *i) noexcept nogil:
    # All elements of a memory-to-memory instruction at once; its cycles.
    cdef int64_t r, k, cycles
    cdef const pe_descriptor *d = descriptor_of(g, pe, i.dst)
    if th.extent <= 0 or i.repeat <= 0:
        end_vector(g, pe, th, i, 0)
        return 0
    cycles = element_cycles(g, pe, th, i)
    for r in range(i.repeat):
        for k in range(th.extent):
            set_value(g, pe, d, &th.place[0], r, k,
                      pe_apply(i.op, i.type, fixed_value(g, pe, i.a, &th.place[1], r, k),
                               fixed_value(g, pe, i.b, &th.place[2], r, k), fixed_value(g, pe, i.c, &th.place[3], r, k)))
    cycles = i.repeat * (i.between + cycles)
    pe.vector_cycles += cycles
    end_vector(g, pe, th, i, th.extent)
    return i.cycles + cycles


# ---- Streams ---------------------------------------------------------------------------------------------------------

cdef inline int control_word(Grid *g, wsk_fabric *fabric, Pe *pe, Thread *th, const pe_instruction *i, Queue *q) noexcept nogil:
    # A control word at the head of a source that an instruction listens to; 1: it ended the instruction.
    pop_input(g, fabric, pe, q)
    activate(pe, i.control_activate)
    unblock(pe, i.control_unblock)
    return i.terminate


cdef inline bint hears_control(const pe_instruction *i) noexcept nogil:
    return i.terminate or i.control_activate >= 0 or i.control_unblock >= 0


cdef inline int sources_ready(Grid *g, wsk_fabric *fabric, Pe *pe, Thread *th, const pe_instruction *i,
                              int32_t n) noexcept nogil:
    # 1: every source has its next n elements; 0: the thread waits or comes back later; 2: a control word was taken, 3: and
    # ended the instruction; 4: a synchronous instruction met an empty FIFO and ends early.
    cdef int which, number
    cdef const pe_descriptor *d
    cdef Queue *q
    cdef int64_t when
    for which in range(1, 4):
        number = operand_number(i, which)
        if number < 0:
            continue
        d = descriptor_of(g, pe, number)
        if d.kind == PE_FABIN:
            q = input_queue(g, pe, d.queue)
            if q.count == 0:
                wait_for(g, pe, th, WAIT_INPUT, d.queue)
                return 0
            when = stamp_of(g, queue_word(g, q, 0))
            if when > g.cycle:
                th.resume = when
                th.state = READY
                return 0
            if queue_word(g, q, 0).mark & WSK_CONTROL and hears_control(i):
                return 2 + control_word(g, fabric, pe, th, i, q)
        elif d.kind == PE_FIFO and g.fifo[pe.fifos + d.queue].count < n:
            g.fifo[pe.fifos + d.queue].starved = 1
            if i.thread == PE_NONE:
                return 4
            wait_for(g, pe, th, WAIT_FIFO, d.queue)
            return 0
    return 1


cdef inline int target_ready(Grid *g, Pe *pe, Thread *th, const pe_instruction *i, int32_t n) noexcept nogil:
    # 1: the target has room for n elements; 0: the thread waits; 4: a synchronous instruction met a full FIFO.
    cdef const pe_descriptor *d = descriptor_of(g, pe, i.dst)
    cdef Queue *q
    if d.kind == PE_FABOUT:
        q = output_queue(g, pe, d.queue)
        if q.count == q.depth:
            wait_for(g, pe, th, WAIT_OUTPUT, d.queue)
            return 0
    elif d.kind == PE_FIFO and g.fifo[pe.fifos + d.queue].count + n > d.wrap:
        g.fifo[pe.fifos + d.queue].full = 1
        if i.thread == PE_NONE:
            return 4
        wait_for(g, pe, th, WAIT_FIFO, d.queue)
        return 0
    return 1


cdef inline pe_value stream_value(Grid *g, Pe *pe, const pe_instruction *i, int number, const Place *place, int64_t k,
                                  int lane) noexcept nogil:
    cdef const pe_descriptor *d
    if number >= 0:
        d = descriptor_of(g, pe, number)
        if d.kind == PE_FABIN:
            return pe_decode(d.type, queue_word(g, input_queue(g, pe, d.queue), 0).bits >> (16 * lane))
        if d.kind == PE_FIFO:
            k = ring_element(d, g.fifo[pe.fifos + d.queue].head + lane)
            return pe_load(d.type, g.memory + pe.memory + d.base + k * pe_type_bytes(d.type))
    return fixed_value(g, pe, number, place, 0, k)


cdef inline void consume(Grid *g, wsk_fabric *fabric, Pe *pe, int number, int32_t n) noexcept nogil:
    # Take the word or the n elements that an operand has given.
    cdef const pe_descriptor *d
    cdef Fifo *fifo
    if number < 0:
        return
    d = descriptor_of(g, pe, number)
    if d.kind == PE_FABIN:
        pop_input(g, fabric, pe, input_queue(g, pe, d.queue))
    elif d.kind == PE_FIFO:
        fifo = g.fifo + pe.fifos + d.queue
        fifo.head = <int32_t>ring_element(d, fifo.head + n)
        fifo.count -= n
        if fifo.full:
            fifo.full = 0
            activate(pe, d.on_pop)
        wake_all(g, pe, WAIT_FIFO, d.queue, g.cycle + 1)


cdef inline void push_fifo(Grid *g, Pe *pe, const pe_descriptor *d, pe_value v) noexcept nogil:
    cdef Fifo *fifo = g.fifo + pe.fifos + d.queue
    cdef int64_t k = ring_element(d, fifo.head + fifo.count)
    pe_store(d.type, g.memory + pe.memory + d.base + k * pe_type_bytes(d.type), v)
    fifo.count += 1
    if fifo.starved:
        fifo.starved = 0
        activate(pe, d.on_push)
    wake_all(g, pe, WAIT_FIFO, d.queue, g.cycle + 1)


cdef inline void send(Grid *g, Strip *s, int32_t p, const pe_descriptor *d, uint32_t bits) noexcept nogil:
    # A word into an output queue that has room.
    cdef Pe *pe = g.pe + p
    cdef Queue *q = output_queue(g, pe, d.queue)
    set_word(queue_word(g, q, q.count), bits, g.cycle + g.latency.output,
             (WSK_CONTROL if d.control else 0) | (WSK_ADVANCE if d.advance_switch else 0))
    q.count += 1
    pe.filled |= 1 << d.queue
    if not pe.sending:
        schedule_ramp(g, s, p, g.cycle + g.latency.output)


cdef inline int run_word(Grid *g, wsk_fabric *fabric, Strip *s, int32_t p, Thread *th, const pe_instruction *i) noexcept nogil:
    # Try the next word of a streaming instruction. 1: done, 0: the thread waits or comes back, 2: the instruction ended.
    cdef Pe *pe = g.pe + p
    cdef const pe_descriptor *d = descriptor_of(g, pe, i.dst)
    cdef int64_t k = <int64_t>th.word * i.packing
    cdef int32_t n = <int32_t>min(<int64_t>i.packing, th.extent - k)
    cdef pe_value v
    cdef uint32_t bits = 0
    cdef int lane, ready = sources_ready(g, fabric, pe, th, i, n)
    if ready == 1:
        ready = target_ready(g, pe, th, i, n)
    if ready != 1:
        if ready >= 3:
            end_vector(g, pe, th, i, <int32_t>min(<int64_t>th.extent, k))
            return 2
        if ready == 2:
            th.resume = g.cycle + 1
        return 0
    for lane in range(n):
        v = pe_apply(i.op, i.type, stream_value(g, pe, i, i.a, &th.place[1], k + lane, lane),
                     stream_value(g, pe, i, i.b, &th.place[2], k + lane, lane),
                     stream_value(g, pe, i, i.c, &th.place[3], k + lane, lane))
        if d.kind == PE_FABOUT:
            bits |= pe_encode(d.type, v) << (16 * lane)
        elif d.kind == PE_FIFO:
            push_fifo(g, pe, d, v)
        else:
            set_value(g, pe, d, &th.place[0], 0, k + lane, v)
    consume(g, fabric, pe, i.a, n)
    consume(g, fabric, pe, i.b, n)
    consume(g, fabric, pe, i.c, n)
    if d.kind == PE_FABOUT:
        if d.index:
            bits = (bits & 0xffff) | <uint32_t>(th.place[0].base + k) << 16
        send(g, s, p, d, bits)
    th.word += 1
    pe.words += 1
    pe.vector_cycles += i.step
    if k + n >= th.extent:
        end_vector(g, pe, th, i, th.extent)
        return 2
    return 1
