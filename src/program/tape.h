/* Lines of PEs that are alike: one of them is stepped, and what its instructions do to values is written down, so that it can
 * be done to the values of all lines. While a tape runs, memory keeps its first values and a word carries its own number in
 * place of data. That is exact where nothing but values depends on values: pe_can_tape. */
#ifndef WSEKERN_PE_TAPE_H
#define WSEKERN_PE_TAPE_H

#include "pe_state.h"

enum { PE_WIDE = 16 };                  /* lines whose values are computed together */

/* Elements of one instruction of one PE. Those of a stream are done together where that changes nothing: every word that it
 * takes has been sent before its first one, and nothing between touches the same memory. */
typedef struct {
    int32_t pe, instruction;            /* record of the PE; place in the whole code */
    int32_t first, count;               /* elements, in each repeat of an instruction over memory */
    int32_t extent;                     /* of the whole instruction */
    int32_t word[4];                    /* first word that it sends (0) or takes from each source; PE_NONE: none */
    int32_t before;                     /* the deed before it of the same PE, PE_NONE: it is the first */
    pe_place place[4];
} pe_deed;

struct pe_tape {
    pe_deed *deed;                      /* in an order in which they may be done */
    int64_t deeds, deed_room;
    int32_t *maker;                     /* the deed that sends each word, PE_NONE: not sent yet */
    int64_t words, word_room;
    int32_t *last;                      /* latest deed of each PE, PE_NONE */
    int32_t *open, *sent;               /* of each thread: deed that its instruction adds to, PE_NONE; first word it sends */
    int status;                         /* WSK_OK, or why the tape is of no use */
};

/* A tile on every PE of the lines that are meant, in any order in the host's memory. */
typedef struct {
    unsigned char *host;
    int64_t by_pe;                      /* bytes from a PE to the next of its line */
    const int64_t *at_line;             /* [lines] bytes from `host` to each line */
    const int64_t *at_half;             /* [halves] bytes from the tile to each halfword of it */
    const int32_t *address;             /* [pes] in the memory of each PE, PE_NONE: it has no such tile */
    int32_t halves;                     /* halfwords of each PE */
    int32_t result;                     /* 0: laid into memory at the start; 1: taken from it at the end */
} pe_tile;

/* All that is needed to compute the values of some lines. */
typedef struct {
    const pe_grid *grid;
    const pe_tile *tile;
    int64_t tiles, lines;
    int64_t bytes;                      /* of the memory of all PEs of a line */
} pe_replay;

/* Whether the course of no program depends on values. */
int pe_can_tape(const pe_grid *g, const wsk_fabric *fabric);
/* Write a tape from now on, in place of values. 0: no memory. */
int pe_start_tape(pe_grid *g);
void pe_drop_tape(pe_grid *g);
/* A memory instruction whose operands th holds; and the next word of a stream, its n elements from k on. Answers the bits of
 * the word that goes out, if one does. */
void pe_tape_memory(pe_grid *g, const pe_core *pe, const pe_thread *th);
uint32_t pe_tape_word(pe_grid *g, const pe_core *pe, const pe_thread *th, const pe_instruction *i, int64_t k, int32_t n);
/* The values of the lines of `work` by the tape, on up to `threads` threads; a status. */
int pe_run_tape(const pe_replay *work, int threads, int simd_level);

/* What is at a level of SIMD: all deeds on PE_WIDE lines. memory, words: halfwords of PE_WIDE lines side by side, the low one
 * of 32 bits first; two halfwords to a word. */
typedef void pe_do_deeds(const pe_grid *g, uint16_t *memory, uint16_t *words);
pe_do_deeds pe_do_deeds_base, pe_do_deeds_avx2, pe_do_deeds_avx512;

#endif
