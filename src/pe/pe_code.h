/* The code of PE programs: int32 records, written by wsekern.program and read by the core. Shared by all PEs of a program. */
#ifndef WSEKERN_PE_CODE_H
#define WSEKERN_PE_CODE_H

#include <stdint.h>

enum { PE_COLORS = 24, PE_QUEUES = 8, PE_NONE = -1 };

/* What an instruction does. Vector operations work element by element: dst = a, a + b, a - b, a * b, max(a, b), a + b * c. */
enum pe_op { PE_HALT, PE_SPEND, PE_MOV, PE_ADD, PE_SUB, PE_MUL, PE_MAX, PE_FMA };

/* Where an operand lives: nowhere, in memory, in the words of an input queue, in the words of an output queue. */
enum pe_kind { PE_ABSENT, PE_MEM, PE_FABIN, PE_FABOUT };

enum pe_type { PE_F32, PE_F16, PE_BF16, PE_U32, PE_U16 };

typedef struct {
    int32_t kind;
    int32_t type;
    int32_t queue;          /* of PE_FABIN and PE_FABOUT */
    int32_t base;           /* byte address of the first element */
    int32_t base_param;     /* parameter that is added to base, or PE_NONE */
    int32_t stride;         /* elements from one to the next; 0 is a scalar */
    int32_t advance;        /* elements that base moves in each repeat */
} pe_operand;

typedef struct {
    int32_t op;
    int32_t type;           /* precision of the arithmetic: one rounding to it per element */
    int32_t extent;         /* elements; cycles of PE_SPEND */
    int32_t extent_param;   /* parameter that replaces extent, or PE_NONE */
    int32_t repeat;         /* times the instruction runs, as a map does; memory operands only if not 1 */
    int32_t packing;        /* elements in one wavelet */
    int32_t setup;          /* cycles from issue to first element */
    int32_t between;        /* further cycles in each repeat */
    int32_t rate_num, rate_den;     /* elements per cycle */
    pe_operand dst, a, b, c;
} pe_instruction;

typedef struct {
    int32_t first, count;           /* instructions */
    int32_t memory;                 /* bytes of each PE */
    int32_t in_color[PE_QUEUES];    /* color that each queue is bound to, or PE_NONE */
    int32_t out_color[PE_QUEUES];
    int32_t in_depth[PE_QUEUES];    /* words */
    int32_t out_depth[PE_QUEUES];
} pe_program;

#endif
