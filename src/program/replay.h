/* The deeds of a tape on PE_WIDE lines at once, at the SIMD level that the including file is compiled for: include with
 * PE_DO_DEEDS naming the function. Each element is rounded as pe_apply does it; where a result is no number, whose bits depend
 * on the order of operands, and in operations that are rare, pe_apply itself does it line by line. */
#include "pe_math.h"
#include "pe_operands.h"
#include "tape.h"

#define EACH_LINE for (int l = 0; l < PE_WIDE; l++)
#define EACH_VECTOR for (int l = 0; l < PE_WIDE; l += LANES)

/* Where an operand's elements lie: halfwords of all lines. at: of the next element. */
typedef struct {
    uint16_t *base, *at;
    int64_t step;                       /* from one element to the next; 0 where `d` tells */
    const pe_descriptor *d;             /* of an operand in memory that does not go on in steps */
    const pe_place *place;
    int type;
} operand;

INLINE uint32_t bits_at(const operand *o, int l)
{
    return pe_type_bytes(o->type) == 2 ? o->at[l] : o->at[l] | (uint32_t)o->at[PE_WIDE + l] << 16;
}

INLINE void set_bits(const operand *o, int l, uint32_t bits)
{
    o->at[l] = (uint16_t)bits;
    if (pe_type_bytes(o->type) == 4)
        o->at[PE_WIDE + l] = (uint16_t)(bits >> 16);
}

INLINE void load_floats(int type, const uint16_t *at, float *to)
{
    if (type == PE_FP16)
        EACH_VECTOR v_store(to + l, h_load(at + l));
    else if (type == PE_BF16)
        EACH_LINE to[l] = wsk_bits_to_float((uint32_t)at[l] << 16);
    else
        EACH_LINE to[l] = wsk_bits_to_float(at[l] | (uint32_t)at[PE_WIDE + l] << 16);
}

/* Rounded to `type`. */
INLINE void store_floats(int type, uint16_t *at, const float *from)
{
    if (type == PE_FP16) {
        EACH_VECTOR h_store(at + l, v_load(from + l));
    } else if (type == PE_BF16) {
        EACH_VECTOR b_store(at + l, v_load(from + l));
    } else {
        EACH_LINE at[l] = (uint16_t)wsk_float_to_bits(from[l]);
        EACH_LINE at[PE_WIDE + l] = (uint16_t)(wsk_float_to_bits(from[l]) >> 16);
    }
}

/* The operations that are worth it; 0: another one. */
INLINE int apply_floats(int op, int type, const float *a, const float *b, const float *c, float *r)
{
    switch (op) {
    case PE_MOV: EACH_VECTOR v_store(r + l, v_load(a + l)); return 1;
    case PE_ADD: EACH_VECTOR v_store(r + l, v_add(v_load(a + l), v_load(b + l))); return 1;
    case PE_SUB: EACH_VECTOR v_store(r + l, v_sub(v_load(a + l), v_load(b + l))); return 1;
    case PE_MUL: EACH_VECTOR v_store(r + l, v_mul(v_load(a + l), v_load(b + l))); return 1;
    case PE_DIV: EACH_VECTOR v_store(r + l, v_div(v_load(a + l), v_load(b + l))); return 1;
    case PE_SQRT: EACH_VECTOR v_store(r + l, v_sqrt(v_load(a + l))); return 1;
    case PE_MAX: EACH_VECTOR v_store(r + l, v_larger(v_load(a + l), v_load(b + l))); return 1;
    case PE_MIN: EACH_VECTOR v_store(r + l, v_smaller(v_load(a + l), v_load(b + l))); return 1;
    case PE_LIBRARY_EXP: EACH_VECTOR v_store(r + l, v_exp(v_load(a + l))); return 1;
    case PE_LIBRARY_RSQRT: EACH_VECTOR v_store(r + l, v_rsqrt(v_load(a + l))); return 1;
    case PE_LIBRARY_SILU: EACH_VECTOR v_store(r + l, v_silu(v_load(a + l))); return 1;
    case PE_FMA:
        if (type == PE_FP32)
            EACH_VECTOR v_store(r + l, v_fma(v_load(b + l), v_load(c + l), v_load(a + l)));
        else if (type == PE_FP16)
            EACH_VECTOR v_store(r + l, h_round(h_fma_odd(v_load(b + l), v_load(c + l), v_load(a + l))));
        else
            return 0;
        return 1;
    default: return 0;
    }
}

/* One element on each line, of floats; 0: line by line. The types are those of the instruction, the target and the sources. */
INLINE int do_floats(int op, int type, const operand *o)
{
    float v[4][PE_WIDE];
    int odd = 0;
    for (int which = 1; which < 4; which++)
        if (o[which].at)
            load_floats(o[which].type, o[which].at, v[which]);
        else
            EACH_LINE v[which][l] = 0;
    if (!apply_floats(op, type, v[1], v[2], v[3], v[0]))
        return 0;
    EACH_LINE odd |= v[0][l] != v[0][l];
    if (odd)
        return 0;
    if (type != o[0].type && type != PE_FP32) {
        uint16_t rounded[2 * PE_WIDE];
        store_floats(type, rounded, v[0]);
        load_floats(type, rounded, v[0]);
    }
    store_floats(o[0].type, o[0].at, v[0]);
    return 1;
}

static void do_line_by_line(const pe_instruction *i, const operand *o)
{
    EACH_LINE {
        pe_value v[4] = { { .u = 0 } };
        for (int which = 1; which < 4; which++)
            if (o[which].at)
                v[which] = pe_decode(o[which].type, bits_at(o + which, l));
        set_bits(o, l, pe_encode(o[0].type, pe_apply(i->op, i->type, v[1], v[2], v[3])));
    }
}

/* Whether an integer goes from one place to another as it is. */
static int is_copy(const pe_instruction *i, const operand *o)
{
    return i->op == PE_MOV && pe_is_integer(i->type) && i->type == o[0].type && i->type == o[1].type;
}

static void do_copies(operand *o, int64_t n)
{
    size_t bytes = (size_t)pe_type_bytes(o[0].type) * PE_WIDE;
    for (int64_t k = 0; k < n; k++) {
        memmove(o[0].at, o[1].at, bytes);
        o[0].at += o[0].step;
        o[1].at += o[1].step;
    }
}

/* Whether all is in floats, and a product of halves is of halves. */
static int is_of_floats(const pe_instruction *i, const operand *o)
{
    int floats = !pe_is_integer(i->type), halves = 1;
    for (int which = 0; which < 4; which++)
        if (which == 0 || o[which].base) {
            floats &= !pe_is_integer(o[which].type);
            halves &= o[which].type == PE_FP16;
        }
    return floats && !pe_compares(i->op) && (i->op != PE_FMA || i->type == PE_FP32 || (i->type == PE_FP16 && halves));
}

/* To element k of repeat r. */
INLINE void go_to(operand *o, int64_t r, int64_t k)
{
    if (!o->base)
        return;
    int64_t element = o->d ? element_at(o->d, o->place, r, k) : k;
    o->at = o->base + element * (o->d ? pe_type_bytes(o->type) / 2 * PE_WIDE : o->step);
}

/* n elements, of which one follows the other in steps. */
INLINE void do_steps(const pe_instruction *i, const int op, const int type, operand *o, int64_t n, const int floats)
{
    for (int64_t k = 0; k < n; k++) {
        if (!floats || !do_floats(op, type, o))
            do_line_by_line(i, o);
        for (int which = 0; which < 4; which++)
            if (o[which].at)
                o[which].at += o[which].step;
    }
}

/* The same, compiled apart for what is common. */
static void do_row(const pe_instruction *i, operand *o, int64_t n, int floats)
{
    int alike = floats;
    if (is_copy(i, o)) {
        do_copies(o, n);
        return;
    }
    for (int which = 0; which < 4; which++)
        alike &= !o[which].base || o[which].type == PE_FP16;
    if (alike && i->type == PE_FP16) {
        operand h[4];
        for (int which = 0; which < 4; which++) {
            h[which] = o[which];
            h[which].type = PE_FP16;
        }
        switch (i->op) {
        case PE_MOV: do_steps(i, PE_MOV, PE_FP16, h, n, 1); return;
        case PE_ADD: do_steps(i, PE_ADD, PE_FP16, h, n, 1); return;
        case PE_FMA: do_steps(i, PE_FMA, PE_FP16, h, n, 1); return;
        default: break;
        }
    }
    do_steps(i, i->op, i->type, o, n, floats);
}

static operand operand_of(const pe_grid *g, const pe_deed *deed, int which, uint16_t *memory, uint16_t *words)
{
    const pe_instruction *i = g->code + deed->instruction;
    const pe_core *pe = g->pe + deed->pe;
    if (operand_number(i, which) < 0)
        return (operand){ .type = PE_FP16 };
    const pe_descriptor *d = descriptor_of(g, pe, operand_number(i, which));
    int halves = pe_type_bytes(d->type) / 2;
    if (!is_memory(d->kind))
        return (operand){ .base = words + ((int64_t)deed->word[which] * 2 - (int64_t)deed->first * (2 / i->packing)) * PE_WIDE,
                          .step = 2 / i->packing * PE_WIDE, .type = d->type };
    operand o = { .base = memory + (pe->memory + deed->place[which].base) / 2 * PE_WIDE, .d = d, .place = &deed->place[which],
                  .type = d->type };
    if (d->kind == PE_MEM)
        o.step = (int64_t)deed->place[which].stride * halves * PE_WIDE;
    return o;
}

/* Halves of words that no element fills are zero. */
static void clear_rests(const pe_instruction *i, const pe_deed *deed, const operand *target)
{
    if (deed->word[0] == PE_NONE || pe_type_bytes(target->type) == 4)
        return;
    for (int64_t k = deed->first; k < deed->first + deed->count; k++)
        if (i->packing == 1 || (!(k & 1) && k == deed->extent - 1))
            memset(target->base + k * target->step + PE_WIDE, 0, PE_WIDE * sizeof(uint16_t));
}

static void do_deed(const pe_grid *g, const pe_deed *deed, uint16_t *memory, uint16_t *words)
{
    const pe_instruction *i = g->code + deed->instruction;
    operand o[4];
    int in_steps = 1;
    for (int which = 0; which < 4; which++) {
        o[which] = operand_of(g, deed, which, memory, words);
        in_steps &= !o[which].d || o[which].d->kind == PE_MEM;
    }
    int floats = is_of_floats(i, o);
    int64_t length = in_steps ? deed->count : 1, end = deed->first + deed->count;
    for (int64_t r = 0; r < i->repeat; r++)
        for (int64_t k = deed->first; k < end; k += length) {
            for (int which = 0; which < 4; which++)
                go_to(o + which, r, k);
            do_row(i, o, length, floats);
        }
    clear_rests(i, deed, o);
}

void PE_DO_DEEDS(const pe_grid *g, uint16_t *memory, uint16_t *words)
{
    for (int64_t k = 0; k < g->tape->deeds; k++)
        do_deed(g, g->tape->deed + k, memory, words);
}
