# cython: language_level=3
# Tasks and threads: which task begins, which thread issues, and what the issued instruction does.
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint32_t, uint8_t

from wsekern.fabric.fabric_internal cimport wsk_ctz
from wsekern.fabric.wsekern_fabric cimport WSK_CONTROL, wsk_fabric
from wsekern.wsekern_status cimport WSK_ERR_BAD_INSTRUCTION, WSK_OK
from wsekern.program.pe_code cimport (PE_END, PE_FABIN, PE_GIVE, PE_LOAD_DESCRIPTOR, PE_NONE, PE_QUEUES, PE_SPEND, PE_TAKE,
                                      PE_THREADS, PE_VECTOR, pe_descriptor, pe_instruction, pe_program)
from wsekern.program.state cimport (BULK, Grid, IDLE, MAIN_RANK, NOBODY, Pe, Program, Queue, READY, Strip, Thread,
                                    WAIT_THREAD, Word, input_queue, pop_input, queue_word, schedule, stamp_of, wait_for,
                                    wake_all)
from wsekern.program.vector cimport begin, descriptor_of, end_vector, is_memory, operand_number, run_in_memory, run_word
from wsekern.program.scalar cimport give_word, local_operation, take_word, use_router


cdef inline bint is_read(const Grid *g, const Pe *pe, int queue) noexcept nogil:
    # Whether a microthread is reading an input queue, so that its words start no task.
    cdef int k, which, number
    cdef const Thread *th
    cdef const pe_instruction *i
    cdef const pe_descriptor *d
    for k in range(1, g.program[pe.program].thread_count):
        th = g.thread + pe.threads + k
        if th.state == IDLE:
            continue
        i = g.code + th.pc
        for which in range(1, 4):
            number = operand_number(i, which)
            if number >= 0:
                d = descriptor_of(g, pe, number)
                if d.kind == PE_FABIN and d.queue == queue:
                    return True
    return False


cdef inline int32_t entry_of_word(const Grid *g, const Pe *pe, int queue, const Word *word) noexcept nogil:
    # Instruction at which the task of a word begins, PE_NONE: it starts none.
    cdef const pe_program *program = &g.program[pe.program].code
    cdef int32_t entry = PE_NONE
    if word.mark & WSK_CONTROL:
        entry = program.control_entry[word.bits >> 16 & 63]
    return program.data_entry[queue] if entry == PE_NONE else entry


cdef inline int ready_queue(Grid *g, const Pe *pe, uint32_t among, int64_t *when) noexcept nogil:
    # Lowest of the queues `among` whose head word starts a task now, PE_NONE: none; `when`: the cycle of the next one.
    cdef const Program *program = g.program + pe.program
    cdef Queue *q
    cdef int k
    cdef int64_t stamp
    for k in range(PE_QUEUES):
        if program.in_slot[k] < 0 or not among >> k & 1 or pe.blocked_queues >> k & 1:
            continue
        q = input_queue(g, pe, k)
        if q.count == 0 or entry_of_word(g, pe, k, queue_word(g, q, 0)) == PE_NONE or is_read(g, pe, k):
            continue
        stamp = stamp_of(g, queue_word(g, q, 0))
        if stamp <= g.cycle:
            return k
        when[0] = min(when[0], stamp)
    return PE_NONE


cdef inline void begin_task(Grid *g, Pe *pe, Thread *main, int32_t entry, int64_t when) noexcept nogil:
    main.pc = g.program[pe.program].code.first + entry
    main.word = main.issued = PE_NONE
    main.state, main.resume = READY, when
    pe.busy |= 1
    pe.depth = 0
    pe.tasks += 1


cdef inline void begin_word_task(Grid *g, wsk_fabric *fabric, Pe *pe, Thread *main, int k) noexcept nogil:
    # A data task gets the word in register 0, a control task its low 16 bits.
    cdef Queue *q = input_queue(g, pe, k)
    cdef Word word = queue_word(g, q, 0)[0]
    cdef int32_t entry = entry_of_word(g, pe, k, &word)
    cdef bint control = word.mark & WSK_CONTROL and entry != g.program[pe.program].code.data_entry[k]
    g.register_[pe.registers] = word.bits & 0xffff if control else word.bits
    pop_input(g, fabric, pe, q)
    pe.words += 1
    begin_task(g, pe, main, entry, g.cycle + (g.latency.task if control else g.latency.data_task))


cdef inline int pick_task(Grid *g, wsk_fabric *fabric, Pe *pe, Thread *main, int64_t *when) noexcept nogil:
    # Begin the next task: high priority first, then local tasks by number, then words by queue. 0: there is none now.
    cdef const pe_program *program = &g.program[pe.program].code
    cdef uint32_t ready = pe.activated & ~pe.blocked, chosen, queues
    cdef int turn, k, task
    for turn in range(2):
        chosen = ready & program.high if turn == 0 else ready
        if chosen:
            task = wsk_ctz(chosen)
            pe.activated &= ~(<uint32_t>1 << task)
            if program.local_entry[task] == PE_NONE:
                return WSK_ERR_BAD_INSTRUCTION
            begin_task(g, pe, main, program.local_entry[task], g.cycle + g.latency.task)
            return 1
        queues = program.high_queues if turn == 0 else 0xff
        k = ready_queue(g, pe, queues, when) if queues else PE_NONE
        if k != PE_NONE:
            begin_word_task(g, fabric, pe, main, k)
            return 1
    return 0


cdef inline int rank_of(const Grid *g, int k, const Thread *th) noexcept nogil:
    return MAIN_RANK if k == 0 else g.code[th.pc].priority


cdef inline int choose_thread(Grid *g, Pe *pe) noexcept nogil:
    # The thread that issues now: best priority, in turns among equals; NOBODY: none is ready.
    cdef Thread *main = g.thread + pe.threads
    cdef Thread *th
    cdef uint32_t ready = pe.busy & ~pe.waits
    cdef int k, best = NOBODY, best_rank = 99, rank, distance, nearest = 0
    if main.state == BULK and main.resume <= g.cycle:
        main.state = READY
    if ready == 1:
        return 0 if main.state == READY and main.resume <= g.cycle else NOBODY
    while ready:
        k = wsk_ctz(ready)
        ready &= ready - 1
        th = g.thread + pe.threads + k
        if th.state != READY or th.resume > g.cycle:
            continue
        rank = rank_of(g, k, th)
        if rank > MAIN_RANK and main.state == BULK:
            th.resume = main.resume         # a vector instruction of the main thread comes before low priority
            continue
        distance = k - pe.turn[rank] if k > pe.turn[rank] else k - pe.turn[rank] + PE_THREADS
        if rank < best_rank or (rank == best_rank and distance < nearest):
            best, best_rank, nearest = k, rank, distance
    return best


cdef inline int launch(Grid *g, Pe *pe, Thread *main, const pe_instruction *i) noexcept nogil:
    # An asynchronous instruction onto its microthread. 0: the main thread waits until that is free.
    cdef Thread *th = g.thread + pe.threads + g.program[pe.program].thread_slot[i.thread]
    cdef int status
    if th.state != IDLE:
        wait_for(g, pe, main, WAIT_THREAD, i.thread)
        return 0
    status = begin(g, pe, th, i)
    if status < 0:
        return status
    th.pc, th.word = main.pc, 0
    main.issued = main.pc
    main.pc += 1
    if th.extent == 0:
        end_vector(g, pe, th, i, 0)
    else:
        th.state, th.resume = READY, g.cycle + i.cycles
        pe.busy |= 1 << <int>(th - main)
    main.resume = g.cycle + g.latency.launch
    return 1


cdef inline int step_microthread(Grid *g, wsk_fabric *fabric, Strip *s, int32_t p, int k) noexcept nogil:
    cdef Pe *pe = g.pe + p
    cdef Thread *th = g.thread + pe.threads + k
    cdef Thread *main = g.thread + pe.threads
    cdef const pe_instruction *i = g.code + th.pc
    cdef int done = run_word(g, fabric, s, p, th, i)
    if done == 0:
        return WSK_OK
    pe.turn[i.priority] = <uint8_t>k
    pe.slot_free = g.cycle + 1
    if main.state == BULK:
        main.resume += 1
    if done == 1:
        th.resume = g.cycle + i.step
        pe.slot_free = th.resume
        return WSK_OK
    th.state = IDLE
    pe.busy &= ~(1 << k)
    if main.state == WAIT_THREAD:
        wake_all(g, pe, WAIT_THREAD, i.thread, g.cycle + 1)
    return WSK_OK


cdef inline bint runs_ahead(const Grid *g, const Pe *pe, const pe_instruction *i) noexcept nogil:
    # Whether an instruction touches nothing but its own PE, and so may run ahead of the clock.
    if not PE_SPEND <= i.form <= PE_LOAD_DESCRIPTOR:
        return False
    if i.form == PE_VECTOR:
        return not i.stream and i.thread == PE_NONE
    if i.form == PE_TAKE or i.form == PE_GIVE:
        return is_memory(descriptor_of(g, pe, i.b).kind)
    return True


cdef inline int run_ahead(Grid *g, Pe *pe, Thread *th, const pe_instruction *i, int64_t now, int64_t *cycles) noexcept nogil:
    # An instruction that touches nothing but its own PE, all of it at once; moves on to the next one. Its cycles, or an error.
    cdef int status
    if i.form == PE_VECTOR:
        status = begin(g, pe, th, i)
        if status < 0:
            return status
        cycles[0] = run_in_memory(g, pe, th, i)
        th.pc += 1
    else:
        cycles[0] = 0
        status = local_operation(g, pe, th, i, now, cycles)
        if status < 0:
            th.pc -= 1
            return status
    pe.instructions += 1
    return WSK_OK


cdef inline int issue_stream(Grid *g, wsk_fabric *fabric, Strip *s, int32_t p, Thread *th,
                             const pe_instruction *i) noexcept nogil:
    # A synchronous instruction word by word. 1: it ended, and the next issues in the next cycle; 0: not yet.
    cdef Pe *pe = g.pe + p
    cdef int done
    if th.word == PE_NONE:
        done = begin(g, pe, th, i)
        if done < 0:
            return done
        pe.instructions += 1
        if th.extent == 0:
            end_vector(g, pe, th, i, 0)
            th.pc += 1
            return 1
        th.word = 0
        if i.cycles > 0:
            th.resume = g.cycle + i.cycles
            return 0
    done = run_word(g, fabric, s, p, th, i)
    if done == 0:
        return 0
    if done == 1:
        th.resume = g.cycle + i.step
    else:
        th.word = PE_NONE
        th.pc += 1
        th.resume = g.cycle + 1
    pe.slot_free = th.resume
    return 0


cdef inline void end_task(Pe *pe, Thread *th) noexcept nogil:
    th.state = IDLE
    pe.busy &= ~1


cdef inline int issue_vector(Grid *g, wsk_fabric *fabric, Strip *s, int32_t p, Thread *th,
                             const pe_instruction *i) noexcept nogil:
    # A stream, or an instruction for a microthread. 1: the main thread goes on in this cycle; 0: it does not.
    cdef Pe *pe = g.pe + p
    cdef int status
    if i.thread == PE_NONE:
        status = issue_stream(g, fabric, s, p, th, i)
    else:
        status = launch(g, pe, th, i)
        pe.instructions += status == 1
    if status == 1 and th.resume > g.cycle:
        pe.slot_free = g.cycle + 1
        return 0
    return status


cdef inline int issue_word(Grid *g, wsk_fabric *fabric, Strip *s, int32_t p, Thread *th,
                           const pe_instruction *i) noexcept nogil:
    # A scalar instruction that takes or gives a word, or speaks to the router. Where there is no word or no room yet, the
    # thread stays at it.
    cdef Pe *pe = g.pe + p
    cdef int status
    if i.form == PE_TAKE or i.form == PE_GIVE:
        if not (take_word(g, fabric, pe, th, i) if i.form == PE_TAKE else give_word(g, s, p, th, i)):
            return WSK_OK
    else:
        status = use_router(g, fabric, pe, i, g.register_ + pe.registers)
        if status < 0:
            return status
    pe.instructions += 1
    th.issued = th.pc
    th.pc += 1
    th.resume = g.cycle + max(1, i.cycles)
    pe.slot_free = g.cycle + 1
    return WSK_OK


cdef inline int step_main(Grid *g, wsk_fabric *fabric, Strip *s, int32_t p, bint alone) noexcept nogil:
    # Issue on the main thread. Where no microthread is at work, code that touches nothing but its PE runs ahead of the clock.
    cdef Pe *pe = g.pe + p
    cdef Thread *th = g.thread + pe.threads
    cdef const pe_instruction *i
    cdef int64_t now = g.cycle, cycles
    cdef int status
    while True:
        i = g.code + th.pc
        if runs_ahead(g, pe, i):
            status = run_ahead(g, pe, th, i, now, &cycles)
            if status < 0:
                return status
            now += max(0, cycles)
            if cycles > 0 and (not alone or now >= g.until):        # other threads may issue before the next instruction
                th.resume, th.issued = now, <int32_t>(i - g.code)
                if i.form == PE_VECTOR and not alone:
                    th.state = BULK
                pe.slot_free = g.cycle + 1
                return WSK_OK
            continue
        if now > g.cycle:           # an instruction that touches more than its PE waits for the clock
            th.resume = now
            return WSK_OK
        if i.form == PE_END:
            end_task(pe, th)
            return WSK_OK
        if i.form != PE_VECTOR:
            return issue_word(g, fabric, s, p, th, i)
        alone = alone and i.thread == PE_NONE
        status = issue_vector(g, fabric, s, p, th, i)
        if status <= 0:
            return status


cdef inline void settle(Grid *g, Strip *s, int32_t p, int64_t when, bint acted) noexcept nogil:
    # After a core has acted: when it acts next, and whether it is at work at all.
    cdef Pe *pe = g.pe + p
    cdef const Thread *th
    cdef uint32_t ready = pe.busy & ~pe.waits
    cdef int live = pe.busy != 0 or (pe.activated & ~pe.blocked) != 0
    while ready:
        th = g.thread + pe.threads + wsk_ctz(ready)
        ready &= ready - 1
        when = min(when, th.resume)
    if when != INT64_MAX:
        schedule(g, s, p, max(when, max(pe.slot_free, g.cycle + 1)))
    if live != pe.live:
        s.live += live - pe.live
        pe.live = live
    if acted and not live:
        pe.done = s.ended = g.cycle


cdef inline int act(Grid *g, wsk_fabric *fabric, Strip *s, int32_t p) noexcept nogil:
    # The event of one core: begin tasks, issue what can be issued in this cycle.
    cdef Pe *pe = g.pe + p
    cdef Thread *main = g.thread + pe.threads
    cdef int64_t when = INT64_MAX
    cdef int k, acted = 0, status = WSK_OK
    pe.scheduled = 0
    if pe.resume > g.cycle:
        schedule(g, s, p, pe.resume)
        return WSK_OK
    s.progress = g.cycle
    while pe.slot_free <= g.cycle:
        when = INT64_MAX
        if main.state == IDLE:
            status = pick_task(g, fabric, pe, main, &when)
            if status < 0:
                break
        k = choose_thread(g, pe)
        if k == NOBODY:
            break
        acted = 1
        if k == 0:
            status = step_main(g, fabric, s, p, pe.busy == 1)
        else:
            status = step_microthread(g, fabric, s, p, k)
        if status < 0:
            break
    if status >= 0 and main.state == IDLE:      # tasks that this cycle has activated
        when = INT64_MAX
        status = pick_task(g, fabric, pe, main, &when)
    if status < 0:
        s.fault_pe, s.fault_pc = pe.at, main.pc
        return status
    settle(g, s, p, when, acted)
    return WSK_OK
