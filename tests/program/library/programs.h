/* Programs and simulations of the C library, tested from C: what its tests share. A failed check prints its line and ends
 * with 1. */
#ifndef PROGRAMS_H
#define PROGRAMS_H

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "wsekern_program.h"

#define CHECK(holds)                                                                                   \
    do {                                                                                               \
        if (!(holds)) {                                                                                \
            fprintf(stderr, "%s, line %d, seed %u: %s\n", __FILE__, __LINE__, current, #holds);        \
            exit(1);                                                                                   \
        }                                                                                              \
    } while (0)

/* The seed of the case that runs; when an allocation fails, and how many there are (src/common/memory.h). */
extern _Thread_local unsigned current;
extern _Thread_local long wsk_allocations_left;
extern atomic_long wsk_allocations;
void begin(unsigned seed);
unsigned draw(unsigned below);

/* Bytes of a file or of something saved; free them. */
typedef struct { unsigned char *at; size_t n; } bytes;
bytes read_file(const char *path);
bytes saved(wsk_simulation *s);
int is_equal(bytes a, bytes b);

wsk_program *open_program(bytes from);
wsk_simulation *make_simulation(const wsk_program *program);
/* Run to a cycle, or to the end; what a run says. */
int run(wsk_simulation *s, int64_t until, uint32_t stop, int threads, uint32_t *why);
enum { END = WSK_STOP_IDLE | WSK_STOP_DEADLOCK, LONG = 4000 };

/* One case of each test, of a program and of a state of it to begin with. */
void save_and_load(bytes program, bytes state, unsigned seed);
void alter(bytes program, bytes state, unsigned seed);
void fail_everywhere(bytes program, bytes state, unsigned seed);
void abuse(bytes program, bytes state, unsigned seed);
void share_a_process(bytes program, bytes state, unsigned seed);
void tape(bytes program, bytes state, unsigned seed);
void profile(bytes program, bytes state, unsigned seed);

#endif
