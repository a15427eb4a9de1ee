# Tasks and threads: which task begins, which thread issues, and what the issued instruction does.

cdef bint is_read(const Core *s, const Pe *pe, int queue) noexcept nogil:
    # Whether a microthread is reading an input queue, so that its words start no task.
    cdef int k, which, number
    cdef const Thread *th
    cdef const pe_instruction *i
    cdef const pe_descriptor *d
    for k in range(1, s.program[pe.program].thread_count):
        th = s.thread + pe.threads + k
        if th.state == IDLE:
            continue
        i = s.code + th.pc
        for which in range(1, 4):
            number = operand_number(i, which)
            if number >= 0:
                d = descriptor_of(s, pe, number)
                if d.kind == PE_FABIN and d.queue == queue:
                    return True
    return False


cdef int32_t entry_of_word(const Core *s, const Pe *pe, int queue, const Word *word) noexcept nogil:
    # Instruction at which the task of a word begins, PE_NONE: it starts none.
    cdef const pe_program *program = &s.program[pe.program].code
    cdef int32_t entry = PE_NONE
    if word.mark & WSK_CONTROL:
        entry = program.control_entry[word.bits >> 16 & 63]
    return program.data_entry[queue] if entry == PE_NONE else entry


cdef int ready_queue(Core *s, const Pe *pe, uint32_t among, int64_t *when) noexcept nogil:
    # Lowest of the queues `among` whose head word starts a task now, PE_NONE: none; `when`: the cycle of the next one.
    cdef const Program *program = s.program + pe.program
    cdef Queue *q
    cdef int k
    cdef int64_t stamp
    for k in range(PE_QUEUES):
        if program.in_slot[k] < 0 or not among >> k & 1 or pe.blocked_queues >> k & 1:
            continue
        q = input_queue(s, pe, k)
        if q.count == 0 or entry_of_word(s, pe, k, queue_word(s, q, 0)) == PE_NONE or is_read(s, pe, k):
            continue
        stamp = stamp_of(s, queue_word(s, q, 0))
        if stamp <= s.cycle:
            return k
        when[0] = min(when[0], stamp)
    return PE_NONE


cdef void begin_task(Core *s, Pe *pe, Thread *main, int32_t entry, int64_t when) noexcept nogil:
    main.pc = s.program[pe.program].code.first + entry
    main.word = main.issued = PE_NONE
    main.state, main.resume = READY, when
    pe.busy |= 1
    pe.depth = 0
    pe.tasks += 1


cdef void begin_word_task(Core *s, wsk_fabric *fabric, Pe *pe, Thread *main, int k) noexcept nogil:
    # A data task gets the word in register 0, a control task its low 16 bits.
    cdef Queue *q = input_queue(s, pe, k)
    cdef Word word = queue_word(s, q, 0)[0]
    cdef int32_t entry = entry_of_word(s, pe, k, &word)
    cdef bint control = word.mark & WSK_CONTROL and entry != s.program[pe.program].code.data_entry[k]
    s.register_[pe.registers] = word.bits & 0xffff if control else word.bits
    pop_input(s, fabric, pe, q)
    pe.words += 1
    begin_task(s, pe, main, entry, s.cycle + (s.latency.task if control else s.latency.data_task))


cdef int pick_task(Core *s, wsk_fabric *fabric, Pe *pe, Thread *main, int64_t *when) noexcept nogil:
    # Begin the next task: high priority first, then local tasks by number, then words by queue. 0: there is none now.
    cdef const pe_program *program = &s.program[pe.program].code
    cdef uint32_t ready = pe.activated & ~pe.blocked, chosen, queues
    cdef int turn, k, task
    for turn in range(2):
        chosen = ready & program.high if turn == 0 else ready
        if chosen:
            task = wsk_ctz(chosen)
            pe.activated &= ~(<uint32_t>1 << task)
            if program.local_entry[task] == PE_NONE:
                return WSK_ERR_BAD_INSTRUCTION
            begin_task(s, pe, main, program.local_entry[task], s.cycle + s.latency.task)
            return 1
        queues = program.high_queues if turn == 0 else 0xff
        k = ready_queue(s, pe, queues, when) if queues else PE_NONE
        if k != PE_NONE:
            begin_word_task(s, fabric, pe, main, k)
            return 1
    return 0


cdef inline int rank_of(const Core *s, int k, const Thread *th) noexcept nogil:
    return MAIN_RANK if k == 0 else s.code[th.pc].priority


cdef int choose_thread(Core *s, Pe *pe) noexcept nogil:
    # The thread that issues now: best priority, in turns among equals; NOBODY: none is ready.
    cdef Thread *main = s.thread + pe.threads
    cdef Thread *th
    cdef uint32_t ready = pe.busy & ~pe.waits
    cdef int k, best = NOBODY, best_rank = 99, rank, distance, nearest = 0
    if main.state == BULK and main.resume <= s.cycle:
        main.state = READY
    if ready == 1:
        return 0 if main.state == READY and main.resume <= s.cycle else NOBODY
    while ready:
        k = wsk_ctz(ready)
        ready &= ready - 1
        th = s.thread + pe.threads + k
        if th.state != READY or th.resume > s.cycle:
            continue
        rank = rank_of(s, k, th)
        if rank > MAIN_RANK and main.state == BULK:
            th.resume = main.resume         # a vector instruction of the main thread comes before low priority
            continue
        distance = k - pe.turn[rank] if k > pe.turn[rank] else k - pe.turn[rank] + PE_THREADS
        if rank < best_rank or (rank == best_rank and distance < nearest):
            best, best_rank, nearest = k, rank, distance
    return best


cdef int launch(Core *s, Pe *pe, Thread *main, const pe_instruction *i) noexcept nogil:
    # An asynchronous instruction onto its microthread. 0: the main thread waits until that is free.
    cdef Thread *th = s.thread + pe.threads + s.program[pe.program].thread_slot[i.thread]
    cdef int status
    if th.state != IDLE:
        wait_for(s, pe, main, WAIT_THREAD, i.thread)
        return 0
    status = begin(s, pe, th, i)
    if status < 0:
        return status
    th.pc, th.word = main.pc, 0
    main.issued = main.pc
    main.pc += 1
    if th.extent == 0:
        end_vector(s, pe, th, i, 0)
    else:
        th.state, th.resume = READY, s.cycle + i.cycles
        pe.busy |= 1 << <int>(th - main)
    main.resume = s.cycle + s.latency.launch
    return 1


cdef int step_microthread(Core *s, wsk_fabric *fabric, Strip *t, int32_t p, int k) noexcept nogil:
    cdef Pe *pe = s.pe + p
    cdef Thread *th = s.thread + pe.threads + k
    cdef Thread *main = s.thread + pe.threads
    cdef const pe_instruction *i = s.code + th.pc
    cdef int done = run_word(s, fabric, t, p, th, i)
    if done == 0:
        return WSK_OK
    pe.turn[i.priority] = <uint8_t>k
    pe.slot_free = s.cycle + 1
    if main.state == BULK:
        main.resume += 1
    if done == 1:
        th.resume = s.cycle + i.step
        pe.slot_free = th.resume
        return WSK_OK
    th.state = IDLE
    pe.busy &= ~(1 << k)
    if main.state == WAIT_THREAD:
        wake_all(s, pe, WAIT_THREAD, i.thread, s.cycle + 1)
    return WSK_OK


cdef inline bint is_local(int form) noexcept nogil:
    # Whether an instruction, if it has no operand in the fabric, touches nothing but its own PE.
    return PE_SPEND <= form <= PE_LOAD_DESCRIPTOR


cdef int issue_stream(Core *s, wsk_fabric *fabric, Strip *t, int32_t p, Thread *th, const pe_instruction *i) noexcept nogil:
    # A synchronous instruction word by word. 1: it ended, and the next issues in the next cycle; 0: not yet.
    cdef Pe *pe = s.pe + p
    cdef int done
    if th.word == PE_NONE:
        done = begin(s, pe, th, i)
        if done < 0:
            return done
        pe.instructions += 1
        if th.extent == 0:
            end_vector(s, pe, th, i, 0)
            th.pc += 1
            return 1
        th.word = 0
        if i.cycles > 0:
            th.resume = s.cycle + i.cycles
            return 0
    done = run_word(s, fabric, t, p, th, i)
    if done == 0:
        return 0
    if done == 1:
        th.resume = s.cycle + i.step
    else:
        th.word = PE_NONE
        th.pc += 1
        th.resume = s.cycle + 1
    pe.slot_free = th.resume
    return 0


cdef int step_main(Core *s, wsk_fabric *fabric, Strip *t, int32_t p, bint alone) noexcept nogil:
    # Issue on the main thread. Where no microthread is at work, code that touches nothing but its PE runs ahead of the clock.
    cdef Pe *pe = s.pe + p
    cdef Thread *th = s.thread + pe.threads
    cdef const pe_instruction *i
    cdef int64_t now = s.cycle, cycles
    cdef int status
    while True:
        i = s.code + th.pc
        cycles = 0
        if is_local(i.form) and not (i.form == PE_VECTOR and (i.stream or i.thread != PE_NONE)) and not (
                (i.form == PE_TAKE or i.form == PE_GIVE) and not is_memory(descriptor_of(s, pe, i.b).kind)):
            if i.form == PE_VECTOR:
                status = begin(s, pe, th, i)
                if status < 0:
                    return status
                cycles = run_in_memory(s, pe, th, i)
                th.pc += 1
            else:
                status = local_operation(s, pe, th, i, now, &cycles)
                if status < 0:
                    th.pc -= 1
                    return status
            pe.instructions += 1
            if cycles > 0:
                now += cycles
                if not alone or now >= s.until:
                    th.resume, th.issued = now, <int32_t>(i - s.code)
                    if i.form == PE_VECTOR and not alone:
                        th.state = BULK
                    pe.slot_free = s.cycle + 1
                    return WSK_OK
            continue
        if now > s.cycle:
            th.resume = now
            return WSK_OK
        if i.form == PE_END:
            th.state = IDLE
            pe.busy &= ~1
            return WSK_OK
        if i.form == PE_VECTOR:
            if i.thread != PE_NONE:
                status = launch(s, pe, th, i)
                pe.instructions += status == 1
                alone = False
            else:
                status = issue_stream(s, fabric, t, p, th, i)
            if status < 0:
                return status
            if status == 1 and th.resume <= s.cycle:
                continue
            if status == 1:
                pe.slot_free = s.cycle + 1
            return WSK_OK
        if i.form == PE_TAKE or i.form == PE_GIVE:
            status = take_word(s, fabric, pe, th, i) if i.form == PE_TAKE else give_word(s, t, p, th, i)
            if status == 0:
                return WSK_OK
        else:
            status = use_router(s, fabric, pe, i, s.register_ + pe.registers)
            if status < 0:
                return status
        pe.instructions += 1
        th.issued = th.pc
        th.pc += 1
        th.resume = s.cycle + max(1, i.cycles)
        pe.slot_free = s.cycle + 1
        return WSK_OK


cdef void settle(Core *s, Strip *t, int32_t p, int64_t when, bint acted) noexcept nogil:
    # After a core has acted: when it acts next, and whether it is at work at all.
    cdef Pe *pe = s.pe + p
    cdef const Thread *th
    cdef uint32_t ready = pe.busy & ~pe.waits
    cdef int live = pe.busy != 0 or (pe.activated & ~pe.blocked) != 0
    while ready:
        th = s.thread + pe.threads + wsk_ctz(ready)
        ready &= ready - 1
        when = min(when, th.resume)
    if when != INT64_MAX:
        schedule(s, t, p, max(when, max(pe.slot_free, s.cycle + 1)))
    if live != pe.live:
        t.live += live - pe.live
        pe.live = live
    if acted and not live:
        pe.done = t.ended = s.cycle


cdef int act(Core *s, wsk_fabric *fabric, Strip *t, int32_t p) noexcept nogil:
    # The event of one core: begin tasks, issue what can be issued in this cycle.
    cdef Pe *pe = s.pe + p
    cdef Thread *main = s.thread + pe.threads
    cdef int64_t when = INT64_MAX
    cdef int k, acted = 0, status = WSK_OK
    pe.scheduled = 0
    if pe.resume > s.cycle:
        schedule(s, t, p, pe.resume)
        return WSK_OK
    t.progress = s.cycle
    while pe.slot_free <= s.cycle:
        when = INT64_MAX
        if main.state == IDLE:
            status = pick_task(s, fabric, pe, main, &when)
            if status < 0:
                break
        k = choose_thread(s, pe)
        if k == NOBODY:
            break
        acted = 1
        if k == 0:
            status = step_main(s, fabric, t, p, pe.busy == 1)
        else:
            status = step_microthread(s, fabric, t, p, k)
        if status < 0:
            break
    if status >= 0 and main.state == IDLE:      # tasks that this cycle has activated
        when = INT64_MAX
        status = pick_task(s, fabric, pe, main, &when)
    if status < 0:
        t.fault_pe, t.fault_pc = pe.at, main.pc
        return status
    settle(s, t, p, when, acted)
    return WSK_OK
