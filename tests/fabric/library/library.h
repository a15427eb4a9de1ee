/* The C library of the fabric, tested from C: what its tests share. A failed check prints its line and ends with 1. */
#ifndef LIBRARY_H
#define LIBRARY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "wsekern_connect.h"
#include "wsekern_fabric.h"

#define CHECK(holds)                                                                                   \
    do {                                                                                               \
        if (!(holds)) {                                                                                \
            fprintf(stderr, "%s, line %d, seed %u: %s\n", __FILE__, __LINE__, current, #holds);        \
            exit(1);                                                                                   \
        }                                                                                              \
    } while (0)

extern _Thread_local unsigned current;        /* the seed of the case that runs */
extern _Thread_local long wsk_allocations_left;       /* as in memory.h */
extern atomic_long wsk_allocations;
void begin(unsigned seed);
unsigned draw(unsigned below);                /* a number of chance */
void draw_by(uint64_t number);                /* from now on by this number */

enum { N = 1 << WSK_NORTH, E = 1 << WSK_EAST, S = 1 << WSK_SOUTH, W = 1 << WSK_WEST, R = 1 << WSK_RAMP, MOST_PES = 150 * 150 };

/* What a plan and its fabrics are made of. */
typedef struct {
    wsk_rules rules;
    wsk_route routes[64]; int n_routes;
    wsk_rect rects[64]; int n_rects;
    wsk_filter filters[8]; int n_filters;
    uint8_t sinks[WSK_COLORS];
    int colors;
} kind;
kind make_kind(void);
void paint(kind *k, wsk_route route, int color, int x, int y, int width, int height);
int make_plan(const kind *k, wsk_plan **plan);
static inline wsk_route plain(int in, int out)
{
    return (wsk_route){ .positions = 1, .in = { (uint8_t)in }, .out = { (uint8_t)out } };
}

/* What a fabric has been through: a hash of its words, its clock, how it went. */
typedef struct { uint64_t words; int64_t cycle; int status; } story;
void act(wsk_fabric *f, const kind *k, unsigned seed);
story live(wsk_fabric *f, const kind *k, unsigned seed, int64_t until, int threads, story s);
void check_alike(const wsk_fabric *a, const wsk_fabric *b);
void listen_somewhere(wsk_fabric *f, const kind *k);

/* One case of each test. */
void save_and_load(unsigned seed);
void forge(unsigned seed);
void skip_to_events(unsigned seed);
void run_until_stopped(unsigned seed);
void share_a_process(unsigned seed);
void serve_the_host(unsigned seed);
void fail_everywhere(unsigned seed);
void keep_time(unsigned seed);
void abuse(unsigned seed);
void connect_places(unsigned seed);
void link_wafers(unsigned seed);
void address_registers(unsigned seed);

#endif
