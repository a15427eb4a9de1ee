/* The code of PE programs: int32 records, written by wsekern.program and read by the core. Shared by all PEs of a program.
 *
 * Every list of codes and every record is one table here. The enumerators, the structs and (pe_tables.h) the names and places
 * from which Python makes its numpy records come out of it: nothing about them is written down twice. */
#ifndef WSEKERN_PE_CODE_H
#define WSEKERN_PE_CODE_H

#include <stdint.h>

enum { PE_COLORS = 24, PE_QUEUES = 8, PE_MAIN = 8, PE_THREADS = 9, PE_TASKS = 32, PE_CONTROL_TASKS = 64, PE_STACK = 8,
       PE_MOST_REPEAT = 1 << 16, PE_NONE = -1 };

/* ---- Codes: X(enumerator). Python knows each by its name without PE_, in lower case. ---- */

#define PE_AS_ENUMERATOR(name) name,

/* What an instruction is. A task runs to its PE_END on the main thread. */
#define PE_FORM_TABLE(X)                                                                                               \
    X(PE_END)             /* of a task */                                                                              \
    X(PE_SPEND)           /* imm cycles, or as many as parameter a says */                                             \
    X(PE_VECTOR)          /* dst = op(a, b, c) for each element; operands are descriptors */                           \
    X(PE_SCALAR)          /* dst = op(a, b, c); operands are registers */                                              \
    X(PE_CONSTANT)        /* dst = imm */                                                                              \
    X(PE_PARAMETER)       /* dst = parameter imm of the PE */                                                          \
    X(PE_CONVERT)         /* dst = a, of type b, as type; floats to integers toward zero */                            \
    X(PE_LOAD)            /* dst = element a of the memory at imm */                                                   \
    X(PE_STORE)           /* element a of the memory at imm = b */                                                     \
    X(PE_TAKE)            /* dst = element a of descriptor b; the next word where it is of the fabric */               \
    X(PE_GIVE)            /* element a of descriptor b = c; the next word where it is of the fabric */                 \
    X(PE_JUMP)            /* to imm */                                                                                 \
    X(PE_BRANCH)          /* to imm where a is zero */                                                                 \
    X(PE_CALL)            /* imm */                                                                                    \
    X(PE_RETURN)                                                                                                       \
    X(PE_ACTIVATE)        /* local task imm */                                                                         \
    X(PE_BLOCK)           /* local task imm */                                                                         \
    X(PE_UNBLOCK)                                                                                                      \
    X(PE_BLOCK_QUEUE)     /* input queue imm: it starts no task */                                                     \
    X(PE_UNBLOCK_QUEUE)                                                                                                \
    X(PE_TIME)            /* dst = 16 bits of the time-stamp counter, from bit 16 * imm */                             \
    X(PE_SET_BASE)        /* descriptor b begins at byte address imm, and a elements on */                             \
    X(PE_MOVE_BASE)       /* descriptor b begins a elements later */                                                   \
    X(PE_SET_EXTENT)      /* descriptor b has a elements */                                                            \
    X(PE_SET_STRIDE)      /* descriptor b has stride a */                                                              \
    X(PE_LOAD_DESCRIPTOR) /* descriptor b = descriptor a, as it is now */                                              \
    X(PE_ROUTE)           /* color imm takes route a of the program */                                                 \
    X(PE_POSITION)        /* switch of color imm to position a (a register) */                                         \
    X(PE_LEAVE_TEARDOWN)  /* of color imm */                                                                           \
    X(PE_TORN_DOWN)       /* dst = colors in teardown, as a mask */                                                    \
    X(PE_BIND_INPUT)      /* input queue imm takes words of color a (a register) from now on */                        \
    X(PE_BIND_OUTPUT)     /* words of output queue imm leave on color a (a register) from now on */                    \
    X(PE_FLUSH)           /* once output queue imm is empty, task 29 starts */                                         \
    X(PE_LEAVE_FLUSH)     /* output queue imm has been flushed, and that is known */                                   \
    X(PE_FLUSHED)         /* dst = output queues that have been flushed, as a mask */

enum pe_form { PE_FORM_TABLE(PE_AS_ENUMERATOR) };

/* What PE_VECTOR and PE_SCALAR compute. FMA: a + b * c. Comparisons give 1 or 0; from PE_MOD to PE_COS on scalars only.
 * PE_LIBRARY: the functions of the software library, as the tile kernels compute them. PE_CLZ, PE_CTZ, PE_POPCNT: zeros before
 * the first one, behind the last one, and ones among the bits of the type. PE_FROM_INTEGER: a float of an i16; PE_TO_INTEGER: an
 * i16 of a float, as PE_CONVERT. */
#define PE_OP_TABLE(X)                                                                                                 \
    X(PE_MOV) X(PE_ADD) X(PE_SUB) X(PE_MUL) X(PE_MAX) X(PE_MIN) X(PE_FMA) X(PE_NEG) X(PE_ABS) X(PE_AND) X(PE_OR) X(PE_XOR) \
    X(PE_SHL) X(PE_SHR) X(PE_DIV) X(PE_MOD) X(PE_LT) X(PE_LE) X(PE_EQ) X(PE_NE) X(PE_SQRT) X(PE_FLOOR) X(PE_EXP) X(PE_LOG) \
    X(PE_SIN) X(PE_COS) X(PE_LIBRARY_EXP) X(PE_LIBRARY_RSQRT) X(PE_LIBRARY_SILU) X(PE_CLZ) X(PE_CTZ) X(PE_POPCNT) \
    X(PE_FROM_INTEGER) X(PE_TO_INTEGER)

enum pe_op { PE_OP_TABLE(PE_AS_ENUMERATOR) };

#define PE_TYPE_TABLE(X) X(PE_FP32) X(PE_FP16) X(PE_BF16) X(PE_U32) X(PE_U16) X(PE_I32) X(PE_I16)

enum pe_type { PE_TYPE_TABLE(PE_AS_ENUMERATOR) };

static inline int pe_type_bytes(int type) { return type == PE_FP32 || type == PE_U32 || type == PE_I32 ? 4 : 2; }

/* Where an operand lives. PE_REGISTER: a scalar register for all elements. PE_FIFO: a ring in memory that is filled and
 * emptied; PE_RING: a mem1d that begins again after `wrap` elements. */
#define PE_KIND_TABLE(X)                                                                                               \
    X(PE_ABSENT) X(PE_MEM) X(PE_MEM4D) X(PE_RING) X(PE_FIFO) X(PE_REGISTER) X(PE_FABIN) X(PE_FABOUT)

enum pe_kind { PE_KIND_TABLE(PE_AS_ENUMERATOR) };

/* ---- Records: ONE(field) is an int32, MANY(field, n) n of them. ---- */

#define PE_AS_MEMBER(name) int32_t name;
#define PE_AS_MEMBERS(name, n) int32_t name[n];

#define PE_DESCRIPTOR_TABLE(ONE, MANY)                                                                                 \
    ONE(kind) ONE(type)                                                                                                \
    ONE(queue)          /* of PE_FABIN and PE_FABOUT; number of a PE_FIFO; of a PE_REGISTER */                         \
    ONE(base)           /* byte address of the first element */                                                        \
    ONE(extent)         /* elements */                                                                                 \
    ONE(stride)         /* elements from one to the next; 0 is a scalar */                                             \
    ONE(advance)        /* elements that base moves in each repeat */                                                  \
    ONE(save)           /* 1: base stays where the last element left it */                                             \
    ONE(wrap)           /* elements of a PE_RING or PE_FIFO */                                                         \
    MANY(shape, 4) MANY(strides, 4)         /* of PE_MEM4D, the last one fastest */                                    \
    ONE(control) ONE(advance_switch)        /* of PE_FABOUT: marks of its words */                                     \
    ONE(index)          /* of PE_FABOUT: the high half of a word is its index, `base` in the first and (1) one more in */ \
                        /* each, (2) in all */                                                                         \
    ONE(color)          /* of PE_FABOUT: of its words, of PE_FABIN: that an instruction binds its queue to, for as many */ \
                        /* words as it takes; PE_NONE: that of the queue */                                            \
    ONE(own)            /* place among the descriptors that each PE holds for itself, PE_NONE: it never changes */     \
    ONE(on_push) ONE(on_pop)    /* of PE_FIFO: tasks activated by a push after it was empty, by a pop after it was full */

typedef struct { PE_DESCRIPTOR_TABLE(PE_AS_MEMBER, PE_AS_MEMBERS) } pe_descriptor;

#define PE_INSTRUCTION_TABLE(ONE, MANY)                                                                                \
    ONE(form) ONE(op)                                                                                                  \
    ONE(type)           /* precision of the arithmetic; one rounding to it per element */                              \
    ONE(dst) ONE(a) ONE(b) ONE(c)                                                                                      \
    ONE(imm)                                                                                                           \
    ONE(cycles)         /* scalar: cycles; vector: from issue to first element; branch: not taken */                   \
    ONE(taken)          /* branch: cycles where taken */                                                               \
    ONE(repeat)         /* times a vector instruction runs, as a map does; memory operands only if not 1 */            \
    ONE(times)          /* register that holds the times instead, PE_NONE: none does */                                \
    ONE(between)        /* further cycles in each repeat */                                                            \
    ONE(num) ONE(den)   /* elements per cycle */                                                                       \
    ONE(conflict_num) ONE(conflict_den)     /* the same where two sources meet in a bank; 0: no difference */          \
    ONE(full) ONE(long_num) ONE(long_den)   /* elements of a memory vector after the first `full`; 0: no difference */ \
    ONE(packing)        /* elements in one wavelet */                                                                  \
    ONE(step)           /* cycles between two wavelets of a stream */                                                  \
    ONE(counted)        /* which operand (0 dst, 1 a, 2 b, 3 c) tells the number of elements */                        \
    ONE(stream)         /* 1: an operand is of the fabric or a FIFO */                                                 \
    ONE(thread)         /* microthread of an asynchronous instruction, PE_NONE: the main thread */                     \
    ONE(priority)       /* of the microthread: 0 high, 1 medium; the main thread; 3 low */                             \
    ONE(activate) ONE(unblock)              /* when the last element is done: a local task; PE_TASKS + an input queue */ \
                                            /* is unblocked too */                                                     \
    ONE(terminate)      /* 1: a control word ends the instruction */                                                   \
    ONE(control_activate) ONE(control_unblock)      /* the same when a control word comes */

typedef struct { PE_INSTRUCTION_TABLE(PE_AS_MEMBER, PE_AS_MEMBERS) } pe_instruction;

#define PE_PROGRAM_TABLE(ONE, MANY)                                                                                    \
    ONE(first) ONE(count)                   /* instructions */                                                         \
    ONE(descriptor)                         /* first descriptor */                                                     \
    ONE(memory)                             /* bytes of each PE */                                                     \
    ONE(registers) ONE(own) ONE(fifos)      /* what each PE holds */                                                   \
    ONE(threads)                            /* mask of microthreads in use */                                          \
    ONE(route)                              /* first of its routes, for PE_ROUTE */                                    \
    ONE(color_registers) ONE(switch_registers)  /* byte addresses of 24 registers of 16 bits each, of the router's routes */ \
                                            /* and of its switches; PE_NONE: none */                                   \
    ONE(active) ONE(blocked) ONE(high)      /* masks of local tasks: activated, blocked at the start, of high priority */ \
    ONE(blocked_queues) ONE(high_queues)    /* masks of input queues */                                                \
    ONE(late_queues)                        /* the same: bound by instructions alone */                                \
    MANY(in_color, PE_QUEUES) MANY(out_color, PE_QUEUES)    /* color that each queue is bound to, or PE_NONE */        \
    MANY(in_depth, PE_QUEUES) MANY(out_depth, PE_QUEUES)    /* words */                                                \
    MANY(local_entry, PE_TASKS)             /* instruction where a task begins, counted from `first`, or PE_NONE */    \
    MANY(data_entry, PE_QUEUES)                                                                                        \
    MANY(control_entry, PE_CONTROL_TASKS)

typedef struct { PE_PROGRAM_TABLE(PE_AS_MEMBER, PE_AS_MEMBERS) } pe_program;

/* Latencies of the core, in cycles. */
#define PE_LATENCY_TABLE(ONE, MANY)                                                                                    \
    ONE(input) ONE(output)      /* from a queue to the first stage that uses a word; from there to a queue */          \
    ONE(task) ONE(data_task)    /* from the event to the first instruction of a local or control task, of a data task */ \
    ONE(launch)                 /* issue of an asynchronous instruction, for the thread that issues it */              \
    MANY(stride_width, 8)       /* elements that banks give in a cycle, by stride modulo 8 in 16-bit words; 0: no limit */

typedef struct { PE_LATENCY_TABLE(PE_AS_MEMBER, PE_AS_MEMBERS) } pe_latency;

#endif
