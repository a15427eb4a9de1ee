# Scalar code of the main thread: registers, memory, branches, descriptors, tasks, routes.

cdef inline int64_t checked_address(const Core *s, const Pe *pe, int64_t base, int64_t element, int type) noexcept nogil:
    # Place in the pool of an element of a PE's memory, NOBODY if it is not there.
    cdef int64_t size = pe_type_bytes(type), address = base + element * size
    if address < 0 or address + size > s.program[pe.program].code.memory:
        return NOBODY
    return pe.memory + address


cdef int scalar_operation(Core *s, const pe_instruction *i, uint32_t *r) noexcept nogil:
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


cdef int load_or_store(Core *s, Pe *pe, const pe_instruction *i, uint32_t *r) noexcept nogil:
    cdef int64_t at = checked_address(s, pe, i.imm, <int32_t>r[i.a] if i.a >= 0 else 0, i.type)
    if at == NOBODY:
        return WSK_ERR_MEMORY_RANGE
    if i.form == PE_LOAD:
        r[i.dst] = pe_load_bits(i.type, s.memory + at)
    else:
        pe_store_bits(i.type, s.memory + at, r[i.b])
    return WSK_OK


cdef int set_descriptor(Core *s, Pe *pe, const pe_instruction *i, uint32_t *r) noexcept nogil:
    # Change what the PE itself holds of a descriptor.
    cdef const pe_descriptor *d = descriptor_of(s, pe, i.b)
    cdef Place *own = s.own + pe.own + d.own
    cdef int32_t value = <int32_t>r[i.a] if i.a >= 0 else 0
    if i.form == PE_LOAD_DESCRIPTOR:
        load_place(s, pe, descriptor_of(s, pe, i.a), own)
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


cdef int take_or_give(Core *s, Pe *pe, const pe_instruction *i, uint32_t *r) noexcept nogil:
    # An element of a memory descriptor from or to a register.
    cdef const pe_descriptor *d = descriptor_of(s, pe, i.b)
    cdef Place place
    cdef int64_t at
    load_place(s, pe, d, &place)
    at = checked_address(s, pe, place.base, element_of(d, &place, <int32_t>r[i.a] if i.a >= 0 else 0), d.type)
    if at == NOBODY:
        return WSK_ERR_MEMORY_RANGE
    if i.form == PE_TAKE:
        r[i.dst] = pe_load_bits(d.type, s.memory + at)
    else:
        pe_store_bits(d.type, s.memory + at, r[i.c])
    return WSK_OK


cdef int take_word(Core *s, wsk_fabric *fabric, Pe *pe, Thread *th, const pe_instruction *i) noexcept nogil:
    # The next word of an input queue into a register; 0: the thread waits or comes back.
    cdef const pe_descriptor *d = descriptor_of(s, pe, i.b)
    cdef Queue *q = input_queue(s, pe, d.queue)
    cdef int64_t when
    cdef uint32_t bits
    if q.count == 0:
        wait_for(s, pe, th, WAIT_INPUT, d.queue)
        return 0
    when = stamp_of(s, queue_word(s, q, 0))
    if when > s.cycle:
        th.resume, th.state, th.issued = when, READY, th.pc
        return 0
    bits = queue_word(s, q, 0).bits
    s.register_[pe.registers + i.dst] = bits if pe_type_bytes(d.type) == 4 else bits & 0xffff
    pop_input(s, fabric, pe, q)
    pe.words += 1
    return 1


cdef int give_word(Core *s, Strip *t, int32_t p, Thread *th, const pe_instruction *i) noexcept nogil:
    # A register into an output queue; 0: the thread waits for room. With an index, element a is in the high half.
    cdef Pe *pe = s.pe + p
    cdef const pe_descriptor *d = descriptor_of(s, pe, i.b)
    cdef Queue *q = output_queue(s, pe, d.queue)
    cdef uint32_t *r = s.register_ + pe.registers
    cdef uint32_t bits = r[i.c]
    if q.count == q.depth:
        wait_for(s, pe, th, WAIT_OUTPUT, d.queue)
        return 0
    if pe_type_bytes(d.type) == 2:
        bits &= 0xffff
        if d.index and i.a >= 0:
            bits |= r[i.a] << 16
    send(s, t, p, d, bits)
    pe.words += 1
    return 1


cdef uint32_t torn_down_colors(wsk_fabric *fabric, const Pe *pe) noexcept nogil:
    cdef int color
    cdef uint32_t mask = 0
    for color in range(PE_COLORS):
        if wsk_fabric_torn_down(fabric, pe.at, color) > 0:
            mask |= <uint32_t>1 << color
    return mask


cdef int use_router(Core *s, wsk_fabric *fabric, Pe *pe, const pe_instruction *i, uint32_t *r) noexcept nogil:
    if i.form == PE_TORN_DOWN:
        r[i.dst] = torn_down_colors(fabric, pe)
        return WSK_OK
    if i.form == PE_ROUTE:
        return wsk_fabric_rewrite(fabric, pe.at, i.imm, s.route + s.program[pe.program].code.route + i.a)
    if i.form == PE_POSITION:
        return wsk_fabric_set_position(fabric, pe.at, i.imm, r[i.a])
    return wsk_fabric_teardown(fabric, pe.at, i.imm, 0)


cdef int change_task(Pe *pe, const pe_instruction *i) noexcept nogil:
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


cdef int local_operation(Core *s, Pe *pe, Thread *th, const pe_instruction *i, int64_t now,
                         int64_t *cycles) noexcept nogil:
    # An instruction that touches nothing but its own PE; moves on to the next one. Its cycles, or an error.
    cdef uint32_t *r = s.register_ + pe.registers
    cdef int32_t first = s.program[pe.program].code.first
    cdef int status = WSK_OK
    cycles[0] = i.cycles
    th.pc += 1
    if i.form == PE_SCALAR:
        scalar_operation(s, i, r)
    elif i.form == PE_CONSTANT:
        r[i.dst] = <uint32_t>i.imm
    elif i.form == PE_LOAD or i.form == PE_STORE:
        status = load_or_store(s, pe, i, r)
    elif i.form == PE_BRANCH:
        if r[i.a] == 0:
            th.pc = first + i.imm
            cycles[0] = i.taken
    elif i.form == PE_JUMP:
        th.pc = first + i.imm
    elif i.form == PE_TAKE or i.form == PE_GIVE:
        status = take_or_give(s, pe, i, r)
    elif i.form == PE_PARAMETER:
        r[i.dst] = <uint32_t>s.param[pe.params + i.imm]
    elif i.form == PE_CONVERT:
        r[i.dst] = pe_encode(i.type, pe_convert(i.b, i.type, pe_decode(i.b, r[i.a])))
    elif i.form == PE_SPEND:
        cycles[0] = i.imm if i.a < 0 else s.param[pe.params + i.a]
    elif i.form == PE_CALL:
        if pe.depth == PE_STACK:
            return WSK_ERR_BAD_INSTRUCTION
        r[s.program[pe.program].code.registers - PE_STACK + pe.depth] = th.pc
        pe.depth += 1
        th.pc = first + i.imm
    elif i.form == PE_RETURN:
        if pe.depth == 0:
            return WSK_ERR_BAD_INSTRUCTION
        pe.depth -= 1
        th.pc = r[s.program[pe.program].code.registers - PE_STACK + pe.depth]
    elif i.form == PE_TIME:
        r[i.dst] = <uint32_t>(now >> (16 * i.imm)) & 0xffff
    elif PE_ACTIVATE <= i.form <= PE_UNBLOCK_QUEUE:
        status = change_task(pe, i)
    else:
        status = set_descriptor(s, pe, i, r)
    return status
