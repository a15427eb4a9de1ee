/* usage: bytes N SEED FILE.plan|FILE.fabric|FILE.program|FILE.state ...: N inputs to the functions of the C library that read bytes.
 *
 * Each input is one of the files, changed here and there, with the checksum of what it then is: what is inside is believed. One
 * that reaches code that none before it reached is kept, to be changed further (the library is compiled with
 * -fsanitize-coverage=trace-pc, this file without). A state is loaded into a simulation of the program in the file before it.
 * What is opened is stepped and looked at. Prints how many inputs there were, how many were refused, and how many were kept; a
 * sanitizer ends it otherwise, and so does an input that takes longer than 10 s. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "wsekern.h"

enum { MOST_KEPT = 1 << 14, MOST_BYTES = 1 << 16, EDGES = 1 << 18, CYCLES = 200, SECONDS = 10 };
enum kind { PLAN, FABRIC, PROGRAM, STATE };
typedef struct { uint8_t *at; size_t n; int kind, program; } input;      /* program: of a state, the input that it is one of */

static input kept[MOST_KEPT];
static int n_kept;
static uint64_t chance;
static uint8_t seen[EDGES], hit[EDGES];
static uintptr_t before;
static int news;

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
    uintptr_t here = (uintptr_t)__builtin_return_address(0), edge = (here ^ before >> 1) * 0x9e3779b97f4a7c15u >> 46;
    before = here;
    if (!seen[edge])
        hit[edge] = news = 1;
}

static unsigned draw(unsigned below)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return (unsigned)((chance >> 20) % below);
}

static void late(int signal)
{
    (void)signal;
    static const char text[] = "an input takes longer than 10 s\n";
    if (write(2, text, sizeof text - 1) >= 0)
        _exit(5);
}

/* ---- Inputs ---- */

static void keep(const uint8_t *bytes, size_t n, int kind, int program)
{
    if (n_kept == MOST_KEPT)
        return;
    uint8_t *copy = malloc(n + 1);
    memcpy(copy, bytes, n);
    kept[n_kept++] = (input){ copy, n, kind, program };
}

static void read_file(const char *path)
{
    static const char *const ends[] = { ".plan", ".fabric", ".program", ".state" };
    static int program;
    static uint8_t bytes[MOST_BYTES];
    FILE *file = fopen(path, "rb");
    if (!file)
        exit(2);
    size_t n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    for (int kind = PLAN; kind <= STATE; kind++)
        if (n < sizeof bytes && strlen(path) > 8 && !strcmp(strrchr(path, '.'), ends[kind])) {
            program = kind == PROGRAM ? n_kept : program;
            keep(bytes, n, kind, program);
        }
}

static void seal(uint8_t *bytes, size_t n)
{
    uint64_t sum = 0xcbf29ce484222325u;
    for (size_t i = 0; i + 8 < n; i++)
        sum = (sum ^ bytes[i]) * 0x100000001b3u;
    for (size_t i = 0; i < 8 && n >= 8; i++)
        bytes[n - 8 + i] = (uint8_t)(sum >> 8 * i);
}

/* One change; the length that follows. */
static size_t change(uint8_t *bytes, size_t n)
{
    static const int64_t numbers[] = { 0, 1, -1, 2, 3, 4, 7, 8, 9, 16, 23, 24, 25, 63, 64, 127, 128, 255, 256, 4095, 4096, 65535,
                                       65536, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, (int64_t)1 << 62 };
    size_t at = draw((unsigned)n), size = (size_t)1 << draw(4), other = draw((unsigned)n), length = 1 + draw(32);
    int64_t number;
    switch (draw(32)) {
    case 0: case 9: case 10: case 11: bytes[at] ^= (uint8_t)(1u << draw(8)); break;
    case 1: case 12: case 13: bytes[at] = (uint8_t)draw(256); break;
    case 2: case 14: case 15: case 16: bytes[at] += (uint8_t)(draw(2) ? 1 : -1); break;
    case 3: case 4:
        number = numbers[draw(sizeof numbers / sizeof *numbers)];
        if (at + size <= n)
            memcpy(bytes + at, &number, size);
        break;
    case 5:
        if (at + length <= n && other + length <= n)
            memmove(bytes + at, bytes + other, length);
        break;
    case 6:
        if (at + length < n) {
            memmove(bytes + at, bytes + at + length, n - at - length);
            return n - length;
        }
        break;
    case 7:
        if (n + length <= MOST_BYTES) {
            memmove(bytes + at + length, bytes + at, n - at);
            return n + length;
        }
        break;
    default:                                  /* a small number stands in another's place */
        if (at % 4 == 0 && at + 4 <= n)
            memcpy(bytes + at, (uint32_t[]){ draw(40) }, 4);
    }
    return n;
}

/* ---- What reads them ---- */

static void look(wsk_fabric *f)
{
    char text[200];
    wsk_totals totals;
    for (int i = 0; i < CYCLES && wsk_fabric_step(f) == 0; i++)
        if (i % 40 == 0)
            wsk_fabric_find_circle(f);
    wsk_fabric_explain(f);
    wsk_fabric_totals(f, &totals);
    wsk_report_text(wsk_fabric_report(f), wsk_plan_rules(wsk_fabric_plan(f))->width, text, sizeof text);
    wsk_fabric_free(f);
}

static int read_plan(const uint8_t *bytes, size_t n)
{
    uint8_t sinks[WSK_COLORS];
    wsk_plan *plan;
    wsk_fabric *f;
    int status = wsk_plan_open(&plan, bytes, n);
    memset(sinks, WSK_SINK_LOG, sizeof sinks);
    if (status == 0 && wsk_fabric_create(&f, plan, sinks, WSK_SIMD_AUTO) == 0) {
        const uint32_t words[3] = { 1, 2, 3 };
        for (int color = 0; color < WSK_COLORS; color++)
            wsk_fabric_inject(f, draw(4), WSK_RAMP, color, words, NULL, 3);
        look(f);
    }
    wsk_plan_free(plan);
    return status;
}

static int read_fabric(const uint8_t *bytes, size_t n)
{
    wsk_fabric *f;
    int status = wsk_fabric_open(&f, bytes, n, WSK_SIMD_AUTO);
    if (status == 0)
        look(f);
    return status;
}

static int read_program(const uint8_t *bytes, size_t n, const uint8_t *state, size_t n_state)
{
    wsk_program *program;
    wsk_simulation *s;
    wsk_run options = { .size = sizeof options, .stop = WSK_STOP_IDLE | WSK_STOP_DEADLOCK };
    uint32_t why;
    char text[200];
    int status = wsk_program_open(&program, bytes, n);
    if (status == 0 && (status = wsk_simulation_create(&s, program)) == 0) {
        if (state)
            status = wsk_simulation_load(s, state, n_state);
        options.until = wsk_simulation_cycle(s) + CYCLES;
        for (int i = 0; !state && wsk_program_name(program, 0) && i < 2; i++)
            wsk_simulation_launch_all(s, i ? "later" : "run");
        wsk_simulation_run(s, &options, &why);
        wsk_simulation_report(s, text, sizeof text);
        wsk_simulation_free(s);
    }
    wsk_program_free(program);
    return status;
}

static int read_input(const uint8_t *bytes, size_t n, int kind, int program)
{
    switch (kind) {
    case PLAN: return read_plan(bytes, n);
    case FABRIC: return read_fabric(bytes, n);
    case PROGRAM: return read_program(bytes, n, NULL, 0);
    default: return read_program(kept[program].at, kept[program].n, bytes, n);
    }
}

int main(int count, char **arguments)
{
    long inputs = count > 2 ? atol(arguments[1]) : 0, refused = 0;
    static uint8_t bytes[MOST_BYTES];
    const struct itimerval limit = { .it_value = { .tv_sec = SECONDS } };       /* of this processor's time */
    chance = 0x9e3779b97f4a7c15u * (uint64_t)(count > 2 ? atol(arguments[2]) + 1 : 1);
    for (int i = 3; i < count; i++)
        read_file(arguments[i]);
    if (!n_kept)
        return 2;
    signal(SIGPROF, late);
    for (long i = 0; i < inputs; i++) {
        input *from = kept + draw((unsigned)n_kept);
        size_t n = from->n;
        int kind = from->kind, program = from->program;
        memcpy(bytes, from->at, n);
        for (unsigned k = i < n_kept ? 0 : 1 + draw(3); k > 0 && n > 16; k--)
            n = change(bytes, n);
        if (draw(16))
            seal(bytes, n);
        uint8_t *exact = malloc(n);           /* a sanitizer sees where it ends */
        memcpy(exact, bytes, n);
        before = 0;
        news = 0;
        setitimer(ITIMER_PROF, &limit, NULL);
        refused += read_input(exact, n, kind, program) < 0;
        setitimer(ITIMER_PROF, &(struct itimerval){ 0 }, NULL);
        free(exact);
        if (news) {
            for (int edge = 0; edge < EDGES; edge++)
                seen[edge] |= hit[edge];
            keep(bytes, n, kind, program);
        }
    }
    printf("%ld %ld %d\n", inputs, refused, n_kept);
    return 0;
}
