# cython: language_level=3
# Declarations of pe_code.h, which holds the order of all codes and fields and says what each is.
from libc.stdint cimport int32_t

cdef extern from "pe_code.h" nogil:
    enum: PE_COLORS, PE_QUEUES, PE_MAIN, PE_THREADS, PE_TASKS, PE_CONTROL_TASKS, PE_STACK, PE_NONE
    enum: PE_END, PE_SPEND, PE_VECTOR, PE_SCALAR, PE_CONSTANT, PE_PARAMETER, PE_CONVERT, PE_LOAD, PE_STORE, PE_TAKE, PE_GIVE
    enum: PE_JUMP, PE_BRANCH, PE_CALL, PE_RETURN, PE_ACTIVATE, PE_BLOCK, PE_UNBLOCK, PE_BLOCK_QUEUE, PE_UNBLOCK_QUEUE
    enum: PE_TIME, PE_SET_BASE, PE_MOVE_BASE, PE_SET_EXTENT, PE_SET_STRIDE, PE_LOAD_DESCRIPTOR, PE_ROUTE, PE_POSITION
    enum: PE_LEAVE_TEARDOWN, PE_TORN_DOWN, PE_BIND_INPUT, PE_BIND_OUTPUT, PE_FLUSH, PE_LEAVE_FLUSH, PE_FLUSHED
    enum: PE_ABSENT, PE_MEM, PE_MEM4D, PE_RING, PE_FIFO, PE_REGISTER, PE_FABIN, PE_FABOUT
    ctypedef struct pe_descriptor:
        int32_t kind, type, queue, base, extent, stride, advance, save, wrap
        int32_t shape[4]
        int32_t strides[4]
        int32_t control, advance_switch, index, color, own, on_push, on_pop
    ctypedef struct pe_instruction:
        int32_t form, op, type, dst, a, b, c, imm, cycles, taken, repeat, times, between, num, den, conflict_num, conflict_den
        int32_t full, long_num, long_den, packing, step, counted, stream, thread, priority, activate, unblock, terminate
        int32_t control_activate, control_unblock
    ctypedef struct pe_program:
        int32_t first, count, descriptor, memory, registers, own, fifos, threads, route
        int32_t color_registers, switch_registers, active, blocked, high
        int32_t blocked_queues, high_queues, late_queues
        int32_t in_color[8]
        int32_t out_color[8]
        int32_t in_depth[8]
        int32_t out_depth[8]
        int32_t local_entry[32]
        int32_t data_entry[8]
        int32_t control_entry[64]
    ctypedef struct pe_latency:
        int32_t input, output, task, data_task, launch
        int32_t stride_width[8]

cdef extern from "pe_tables.h" nogil:
    ctypedef struct pe_field:
        const char *name
        int32_t offset, count
    const pe_field *pe_descriptor_fields
    const pe_field *pe_instruction_fields
    const pe_field *pe_program_fields
    const pe_field *pe_latency_fields
    const char **pe_form_names
    const char **pe_op_names
    const char **pe_type_names
    const char **pe_kind_names
