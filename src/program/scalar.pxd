# cython: language_level=3
# Scalar code of the main thread: registers, memory, branches, descriptors, tasks, routes.
from libc.stdint cimport int32_t, int64_t, uint32_t

from wsekern.fabric.wsekern_fabric cimport (wsk_fabric, wsk_fabric_rewrite, wsk_fabric_set_position, wsk_fabric_teardown,
                                            wsk_fabric_torn_down)
from wsekern.wsekern_status cimport WSK_ERR_BAD_INSTRUCTION, WSK_ERR_MEMORY_RANGE, WSK_OK
from wsekern.program.pe_code cimport (PE_ACTIVATE, PE_BLOCK, PE_BLOCK_QUEUE, PE_BRANCH, PE_CALL, PE_COLORS, PE_CONSTANT,
                                      PE_CONVERT, PE_GIVE, PE_JUMP, PE_LOAD, PE_LOAD_DESCRIPTOR, PE_MOVE_BASE, PE_PARAMETER,
                                      PE_POSITION, PE_RETURN, PE_RING, PE_ROUTE, PE_SCALAR, PE_SET_BASE, PE_SET_EXTENT,
                                      PE_SPEND, PE_STACK, PE_STORE, PE_TAKE, PE_TIME, PE_TORN_DOWN, PE_UNBLOCK,
                                      PE_UNBLOCK_QUEUE, pe_descriptor, pe_instruction)
from wsekern.program.pe_math cimport (pe_apply, pe_compares, pe_convert, pe_decode, pe_encode, pe_load_bits, pe_store_bits,
                                      pe_type_bytes, pe_value)
from wsekern.program.state cimport (Grid, NOBODY, Pe, Place, Queue, READY, Strip, Thread, WAIT_INPUT, WAIT_OUTPUT, activate,
                                    input_queue, output_queue, pop_input, queue_word, stamp_of, unblock, wait_for)
from wsekern.program.vector cimport descriptor_of, element_of, is_memory, load_place, ring_element, send


cdef inline int64_t checked_address(const Grid *g, const Pe *pe, int64_t base, int64_t element, int type) noexcept nogil:
    # Place in the pool of an element of a PE's memory, NOBODY if it is not there.
    cdef int64_t size = pe_type_bytes(type), address = base + element * size
    if address < 0 or address + size > g.program[pe.program].code.memory:
        return NOBODY
    return pe.memory + address


cdef inline int scalar_operation(Grid *g, const pe_instruction *i, uint32_t *r) noexcept nogil:
    cdef pe_value a, b, c, v
    a.u = b.u = c.u = 0
    if i.a >= 0:
        a = pe_decode(i.type, r[i.a])
    if i.b >= 0:
        b = pe_decode(i.type, r[i.b])
    if i.c >= 0:
        c = pe_decode(i.type, r[i.c])
    v = pe_apply(i.op, i.type, a, b, c)
    r[i.dst] = v.u if pe_compares(i.op) else pe_encode(i.type, v)
    return WSK_OK


cdef inline int load_or_store(Grid *g, Pe *pe, const pe_instruction *i, uint32_t *r) noexcept nogil:
    cdef int64_t at = checked_address(g, pe, i.imm, <int32_t>r[i.a] if i.a >= 0 else 0, i.type)
    if at == NOBODY:
        return WSK_ERR_MEMORY_RANGE
    if i.form == PE_LOAD:
        r[i.dst] = pe_load_bits(i.type, g.memory + at)
    else:
        pe_store_bits(i.type, g.memory + at, r[i.b])
    return WSK_OK


cdef inline int set_descriptor(Grid *g, Pe *pe, const pe_instruction *i, uint32_t *r) noexcept nogil:
    # Change what the PE itself holds of a descriptor.
    cdef const pe_descriptor *d = descriptor_of(g, pe, i.b)
    cdef Place *own = g.own + pe.own + d.own
    cdef int32_t value = <int32_t>r[i.a] if i.a >= 0 else 0
    if i.form == PE_LOAD_DESCRIPTOR:
        load_place(g, pe, descriptor_of(g, pe, i.a), own)
    elif i.form == PE_SET_BASE:
        own.base, own.at = i.imm + value * (pe_type_bytes(d.type) if is_memory(d.kind) else 1), 0
    elif i.form == PE_MOVE_BASE:
        if d.kind == PE_RING:
            own.at = <int32_t>ring_element(d, own.at + value)
        else:
            own.base += value * pe_type_bytes(d.type) if is_memory(d.kind) else value
    elif i.form == PE_SET_EXTENT:
        own.extent = value
    else:
        own.stride = value
    return WSK_OK


cdef inline int take_or_give(Grid *g, Pe *pe, const pe_instruction *i, uint32_t *r) noexcept nogil:
    # An element of a memory descriptor from or to a register.
    cdef const pe_descriptor *d = descriptor_of(g, pe, i.b)
    cdef Place place
    cdef int64_t at
    load_place(g, pe, d, &place)
    at = checked_address(g, pe, place.base, element_of(d, &place, <int32_t>r[i.a] if i.a >= 0 else 0), d.type)
    if at == NOBODY:
        return WSK_ERR_MEMORY_RANGE
    if i.form == PE_TAKE:
        r[i.dst] = pe_load_bits(d.type, g.memory + at)
    else:
        pe_store_bits(d.type, g.memory + at, r[i.c])
    return WSK_OK


cdef inline int take_word(Grid *g, wsk_fabric *fabric, Pe *pe, Thread *th, const pe_instruction *i) noexcept nogil:
    # The next word of an input queue into a register; 0: the thread waits or comes back.
    cdef const pe_descriptor *d = descriptor_of(g, pe, i.b)
    cdef Queue *q = input_queue(g, pe, d.queue)
    cdef int64_t when
    cdef uint32_t bits
    if q.count == 0:
        wait_for(g, pe, th, WAIT_INPUT, d.queue)
        return 0
    when = stamp_of(g, queue_word(g, q, 0))
    if when > g.cycle:
        th.resume, th.state, th.issued = when, READY, th.pc
        return 0
    bits = queue_word(g, q, 0).bits
    g.register_[pe.registers + i.dst] = bits if pe_type_bytes(d.type) == 4 else bits & 0xffff
    pop_input(g, fabric, pe, q)
    pe.words += 1
    return 1


cdef inline int give_word(Grid *g, Strip *s, int32_t p, Thread *th, const pe_instruction *i) noexcept nogil:
    # A register into an output queue; 0: the thread waits for room. With an index, element a is in the high half.
    cdef Pe *pe = g.pe + p
    cdef const pe_descriptor *d = descriptor_of(g, pe, i.b)
    cdef Queue *q = output_queue(g, pe, d.queue)
    cdef uint32_t *r = g.register_ + pe.registers
    cdef uint32_t bits = r[i.c]
    if q.count == q.depth:
        wait_for(g, pe, th, WAIT_OUTPUT, d.queue)
        return 0
    if pe_type_bytes(d.type) == 2:
        bits &= 0xffff
        if d.index and i.a >= 0:
            bits |= r[i.a] << 16
    send(g, s, p, d, bits)
    pe.words += 1
    return 1


cdef inline uint32_t torn_down_colors(wsk_fabric *fabric, const Pe *pe) noexcept nogil:
    cdef int color
    cdef uint32_t mask = 0
    for color in range(PE_COLORS):
        if wsk_fabric_torn_down(fabric, pe.at, color) > 0:
            mask |= <uint32_t>1 << color
    return mask


cdef inline int use_router(Grid *g, wsk_fabric *fabric, Pe *pe, const pe_instruction *i, uint32_t *r) noexcept nogil:
    if i.form == PE_TORN_DOWN:
        r[i.dst] = torn_down_colors(fabric, pe)
        return WSK_OK
    if i.form == PE_ROUTE:
        return wsk_fabric_rewrite(fabric, pe.at, i.imm, g.route + g.program[pe.program].code.route + i.a)
    if i.form == PE_POSITION:
        return wsk_fabric_set_position(fabric, pe.at, i.imm, r[i.a])
    return wsk_fabric_teardown(fabric, pe.at, i.imm, 0)


cdef inline int change_task(Pe *pe, const pe_instruction *i) noexcept nogil:
    if i.form == PE_ACTIVATE:
        activate(pe, i.imm)
    elif i.form == PE_BLOCK:
        pe.blocked |= <uint32_t>1 << i.imm
    elif i.form == PE_UNBLOCK:
        unblock(pe, i.imm)
    elif i.form == PE_BLOCK_QUEUE:
        pe.blocked_queues |= 1 << i.imm
    else:
        pe.blocked_queues &= ~(1 << i.imm)
    return WSK_OK


cdef inline int local_operation(Grid *g, Pe *pe, Thread *th, const pe_instruction *i, int64_t now,
                         int64_t *cycles) noexcept nogil:
    # An instruction that touches nothing but its own PE; moves on to the next one. Its cycles, or an error.
    cdef uint32_t *r = g.register_ + pe.registers
    cdef int32_t first = g.program[pe.program].code.first
    cdef int status = WSK_OK
    cycles[0] = i.cycles
    th.pc += 1
    if i.form == PE_SCALAR:
        scalar_operation(g, i, r)
    elif i.form == PE_CONSTANT:
        r[i.dst] = <uint32_t>i.imm
    elif i.form == PE_LOAD or i.form == PE_STORE:
        status = load_or_store(g, pe, i, r)
    elif i.form == PE_BRANCH:
        if r[i.a] == 0:
            th.pc = first + i.imm
            cycles[0] = i.taken
    elif i.form == PE_JUMP:
        th.pc = first + i.imm
    elif i.form == PE_TAKE or i.form == PE_GIVE:
        status = take_or_give(g, pe, i, r)
    elif i.form == PE_PARAMETER:
        r[i.dst] = <uint32_t>g.param[pe.params + i.imm]
    elif i.form == PE_CONVERT:
        r[i.dst] = pe_encode(i.type, pe_convert(i.b, i.type, pe_decode(i.b, r[i.a])))
    elif i.form == PE_SPEND:
        cycles[0] = i.imm if i.a < 0 else g.param[pe.params + i.a]
    elif i.form == PE_CALL:
        if pe.depth == PE_STACK:
            return WSK_ERR_BAD_INSTRUCTION
        r[g.program[pe.program].code.registers - PE_STACK + pe.depth] = th.pc
        pe.depth += 1
        th.pc = first + i.imm
    elif i.form == PE_RETURN:
        if pe.depth == 0:
            return WSK_ERR_BAD_INSTRUCTION
        pe.depth -= 1
        th.pc = r[g.program[pe.program].code.registers - PE_STACK + pe.depth]
    elif i.form == PE_TIME:
        r[i.dst] = <uint32_t>(now >> (16 * i.imm)) & 0xffff
    elif PE_ACTIVATE <= i.form <= PE_UNBLOCK_QUEUE:
        status = change_task(pe, i)
    else:
        status = set_descriptor(g, pe, i, r)
    return status
