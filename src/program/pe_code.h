/* The code of PE programs: int32 records, written by wsekern.program and read by the core. Shared by all PEs of a program. */
#ifndef WSEKERN_PE_CODE_H
#define WSEKERN_PE_CODE_H

#include <stdint.h>

enum { PE_COLORS = 24, PE_QUEUES = 8, PE_MAIN = 8, PE_THREADS = 9, PE_TASKS = 32, PE_CONTROL_TASKS = 64, PE_STACK = 8,
       PE_NONE = -1 };

/* What an instruction is. A task runs to its PE_END on the main thread. */
enum pe_form {
    PE_END,             /* of a task */
    PE_SPEND,           /* imm cycles, or as many as parameter a says */
    PE_VECTOR,          /* dst = op(a, b, c) for each element; operands are descriptors */
    PE_SCALAR,          /* dst = op(a, b, c); operands are registers */
    PE_CONSTANT,        /* dst = imm */
    PE_PARAMETER,       /* dst = parameter imm of the PE */
    PE_CONVERT,         /* dst = a, of type b, as type; floats to integers toward zero */
    PE_LOAD,            /* dst = element a of the memory at imm */
    PE_STORE,           /* element a of the memory at imm = b */
    PE_TAKE,            /* dst = element a of descriptor b; the next word where it is of the fabric */
    PE_GIVE,            /* element a of descriptor b = c; the next word where it is of the fabric */
    PE_JUMP,            /* to imm */
    PE_BRANCH,          /* to imm where a is zero */
    PE_CALL,            /* imm */
    PE_RETURN,
    PE_ACTIVATE,        /* local task imm */
    PE_BLOCK,           /* local task imm */
    PE_UNBLOCK,
    PE_BLOCK_QUEUE,     /* input queue imm: it starts no task */
    PE_UNBLOCK_QUEUE,
    PE_TIME,            /* dst = 16 bits of the time-stamp counter, from bit 16 * imm */
    PE_SET_BASE,        /* descriptor b begins at byte address imm, and a elements on */
    PE_MOVE_BASE,       /* descriptor b begins a elements later */
    PE_SET_EXTENT,      /* descriptor b has a elements */
    PE_SET_STRIDE,      /* descriptor b has stride a */
    PE_LOAD_DESCRIPTOR, /* descriptor b = descriptor a, as it is now */
    PE_ROUTE,           /* color imm takes route a of the program */
    PE_POSITION,        /* switch of color imm to position a (a register) */
    PE_LEAVE_TEARDOWN,  /* of color imm */
    PE_TORN_DOWN        /* dst = colors in teardown, as a mask */
};

/* What PE_VECTOR and PE_SCALAR compute. FMA: a + b * c. Comparisons give 1 or 0; from PE_MOD to PE_COS on scalars only.
 * PE_LIB: the functions of the software library, as the tile kernels compute them. */
enum pe_op { PE_MOV, PE_ADD, PE_SUB, PE_MUL, PE_MAX, PE_MIN, PE_FMA, PE_NEG, PE_ABS, PE_AND, PE_OR, PE_XOR, PE_SHL, PE_SHR,
             PE_DIV, PE_MOD, PE_LT, PE_LE, PE_EQ, PE_NE, PE_SQRT, PE_FLOOR, PE_EXP, PE_LOG, PE_SIN, PE_COS,
             PE_LIB_EXP, PE_LIB_RSQRT, PE_LIB_SILU };

enum pe_type { PE_F32, PE_F16, PE_BF16, PE_U32, PE_U16, PE_I32, PE_I16 };

/* Where an operand lives. PE_REGISTER: a scalar register for all elements. PE_FIFO: a ring in memory that is filled and
 * emptied; PE_RING: a mem1d that begins again after `wrap` elements. */
enum pe_kind { PE_ABSENT, PE_MEM, PE_MEM4D, PE_RING, PE_FIFO, PE_REGISTER, PE_FABIN, PE_FABOUT };

typedef struct {
    int32_t kind, type;
    int32_t queue;          /* of PE_FABIN and PE_FABOUT; number of a PE_FIFO; of a PE_REGISTER */
    int32_t base;           /* byte address of the first element */
    int32_t extent;         /* elements */
    int32_t stride;         /* elements from one to the next; 0 is a scalar */
    int32_t advance;        /* elements that base moves in each repeat */
    int32_t save;           /* 1: base stays where the last element left it */
    int32_t wrap;           /* elements of a PE_RING or PE_FIFO */
    int32_t shape[4], strides[4];   /* of PE_MEM4D, the last one fastest */
    int32_t control, advance_switch;    /* of PE_FABOUT: marks of its words */
    int32_t index;          /* of PE_FABOUT, 1: the high half of a word is its index, `base` in the first, one more in each */
    int32_t own;            /* place among the descriptors that each PE holds for itself, PE_NONE: it never changes */
    int32_t on_push, on_pop;    /* of PE_FIFO: tasks activated by a push after it was empty, by a pop after it was full */
} pe_descriptor;

typedef struct {
    int32_t form, op, type;     /* type: precision of the arithmetic; one rounding to it per element */
    int32_t dst, a, b, c;
    int32_t imm;
    int32_t cycles;             /* scalar: cycles; vector: from issue to first element; branch: not taken */
    int32_t taken;              /* branch: cycles where taken */
    int32_t repeat;             /* times a vector instruction runs, as a map does; memory operands only if not 1 */
    int32_t between;            /* further cycles in each repeat */
    int32_t num, den;           /* elements per cycle */
    int32_t conflict_num, conflict_den;     /* the same where two sources meet in a bank; 0: no difference */
    int32_t full, long_num, long_den;   /* elements after the first `full` ones of a vector in memory; 0: no difference */
    int32_t packing;            /* elements in one wavelet */
    int32_t step;               /* cycles between two wavelets of a stream */
    int32_t counted;            /* which operand (0 dst, 1 a, 2 b, 3 c) tells the number of elements */
    int32_t stream;             /* 1: an operand is of the fabric or a FIFO */
    int32_t thread;             /* microthread of an asynchronous instruction, PE_NONE: the main thread */
    int32_t priority;           /* of the microthread: 0 high, 1 medium; the main thread; 3 low */
    int32_t activate, unblock;  /* local tasks, when the last element is done */
    int32_t terminate;          /* 1: a control word ends the instruction */
    int32_t control_activate, control_unblock;  /* local tasks, when a control word comes */
} pe_instruction;

typedef struct {
    int32_t first, count;           /* instructions */
    int32_t descriptor;             /* first descriptor */
    int32_t memory;                 /* bytes of each PE */
    int32_t registers, own, fifos, threads;     /* what each PE holds; threads: mask of microthreads in use */
    int32_t route;                  /* first of its routes, for PE_ROUTE */
    int32_t active, blocked, high;  /* masks of local tasks: activated and blocked at the start, of high priority */
    int32_t blocked_queues, high_queues;    /* masks of input queues */
    int32_t in_color[PE_QUEUES];    /* color that each queue is bound to, or PE_NONE */
    int32_t out_color[PE_QUEUES];
    int32_t in_depth[PE_QUEUES];    /* words */
    int32_t out_depth[PE_QUEUES];
    int32_t local_entry[PE_TASKS];  /* instruction where a task begins, counted from `first`, or PE_NONE */
    int32_t data_entry[PE_QUEUES];
    int32_t control_entry[PE_CONTROL_TASKS];
} pe_program;

/* Latencies of the core, in cycles. */
typedef struct {
    int32_t input, output;          /* from a queue to the first stage that uses a word; from there to a queue */
    int32_t task, data_task;        /* from the event to the first instruction of a local or control task, of a data task */
    int32_t launch;                 /* issue of an asynchronous instruction, for the thread that issues it */
    int32_t stride_width[8];        /* elements that banks give in a cycle, by stride modulo 8 in 16-bit words; 0: no limit */
} pe_latency;

#endif
