/* States saved and loaded, altered bytes, memory that runs out, anything for any argument, threads. */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "programs.h"

/* A simulation of a program in a state. */
static wsk_simulation *in_state(const wsk_program *program, bytes state)
{
    wsk_simulation *s = make_simulation(program);
    CHECK(wsk_simulation_load(s, state.at, state.n) == 0);
    return s;
}

/* The state in which a run of at most LONG cycles ends; n is 0 where a rule was broken. */
static bytes end_of(wsk_simulation *s, int threads, uint32_t stop)
{
    uint32_t why;
    int status = run(s, LONG, stop, threads, &why);
    return status < 0 ? (bytes){ NULL, 0 } : saved(s);
}

/* Saved at any cycle, loaded in another process with other threads: the same end bit for bit. */
void save_and_load(bytes from, bytes state, unsigned seed)
{
    wsk_program *program = open_program(from);
    wsk_simulation *s = in_state(program, state), *other = make_simulation(program);
    uint32_t why, stop = draw(2) ? END : 0;
    (void)seed;
    bytes end = end_of(s, 1, stop);
    CHECK(wsk_simulation_load(s, state.at, state.n) == 0);
    int64_t cycle = wsk_simulation_cycle(s);
    if (run(s, cycle + 1 + draw(400), END, 1 + (int)draw(3), &why) == 0) {
        bytes middle = saved(s);
        CHECK(wsk_simulation_load(other, middle.at, middle.n) == 0);
        bytes again = saved(other);
        CHECK(is_equal(middle, again));
        pid_t child = fork();
        if (child == 0) {
            bytes there = end_of(other, 1 + (int)draw(4), stop);
            _exit(is_equal(there, end) ? 0 : 3);
        }
        int ended;
        CHECK(waitpid(child, &ended, 0) == child && WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
        free(middle.at);
        free(again.at);
    }
    free(end.at);
    wsk_simulation_free(other);
    wsk_simulation_free(s);
    wsk_program_free(program);
}

/* ---- Altered bytes ------------------------------------------------------------------------------------------------------ */

/* The checksum that stands behind saved bytes, so that what is inside is believed. */
static void seal(bytes b)
{
    uint64_t sum = 0xcbf29ce484222325u;
    for (size_t i = 0; i + 8 < b.n; i++)
        sum = (sum ^ b.at[i]) * 0x100000001b3u;
    for (int i = 0; i < 8; i++)
        b.at[b.n - 8 + i] = (unsigned char)(sum >> (8 * i));
}

/* Whatever the bytes say, a process that believes them lives, as long as it takes. */
static void live_with(bytes program, bytes state)
{
    pid_t child = fork();
    if (child == 0) {
        wsk_program *p;
        wsk_simulation *s;
        char text[300];
        uint32_t why;
        alarm(2);
        if (wsk_program_open(&p, program.at, program.n) < 0 || wsk_simulation_create(&s, p) < 0)
            _exit(0);
        wsk_simulation_load(s, state.at, state.n);
        if (wsk_simulation_cycle(s) < LONG)
            run(s, LONG, END, 1, &why);
        wsk_simulation_report(s, text, sizeof text);
        _exit(0);
    }
    int ended;
    CHECK(waitpid(child, &ended, 0) == child);
    CHECK(WIFEXITED(ended) ? WEXITSTATUS(ended) == 0 : WTERMSIG(ended) == SIGALRM);
}

static bytes copy_of(bytes b)
{
    bytes copy = { malloc(b.n), b.n };
    memcpy(copy.at, b.at, b.n);
    return copy;
}

void alter(bytes from, bytes state, unsigned seed)
{
    wsk_program *program = open_program(from), *none;
    wsk_simulation *s = in_state(program, state);
    bytes p = copy_of(from), t = copy_of(state), *which = draw(2) ? &p : &t, before = saved(s), after;
    size_t at = (size_t)draw((unsigned)which->n), cut = (size_t)draw((unsigned)which->n);
    (void)seed;
    which->at[at] ^= (unsigned char)(1 + draw(255));
    if (which == &p) {
        CHECK(wsk_program_open(&none, p.at, p.n) == WSK_ERR_BAD_BYTES && !none);
        CHECK(wsk_program_open(&none, from.at, cut) == WSK_ERR_BAD_BYTES && !none);
    } else {
        CHECK(wsk_simulation_load(s, t.at, t.n) == WSK_ERR_BAD_BYTES);
        CHECK(wsk_simulation_load(s, state.at, cut) == WSK_ERR_BAD_BYTES);
    }
    after = saved(s);
    CHECK(is_equal(before, after));
    for (unsigned more = draw(4); more > 0; more--)
        which->at[draw((unsigned)which->n)] = (unsigned char)(draw(3) ? draw(256) : draw(2) ? 0 : 255);
    seal(*which);
    live_with(p, t);
    free(p.at);
    free(t.at);
    free(before.at);
    free(after.at);
    wsk_simulation_free(s);
    wsk_program_free(program);
}

/* ---- Memory that runs out ----------------------------------------------------------------------------------------------- */

/* All that a host does once; 0, or the status of the first function that failed. */
static int host(bytes from, bytes state)
{
    const uint32_t words[2] = { 1, 2 };
    wsk_program *program = NULL;
    wsk_simulation *s = NULL;
    wsk_received list[4];
    bytes b = { NULL, 0 };
    uint32_t why;
    int status = wsk_program_open(&program, from.at, from.n);
    if (!status)
        status = wsk_simulation_create(&s, program);
    if (!status)
        status = wsk_simulation_load(s, state.at, state.n);
    if (!status)
        status = wsk_simulation_send(s, 0, WSK_RAMP, 23, words, NULL, 2) == WSK_ERR_NO_MEMORY ? WSK_ERR_NO_MEMORY : 0;
    if (!status)
        status = run(s, 300, END, 2, &why) == WSK_ERR_NO_MEMORY ? WSK_ERR_NO_MEMORY : 0;
    if (!status)
        status = wsk_simulation_receive(s, -1, list, 4) == WSK_ERR_NO_MEMORY ? WSK_ERR_NO_MEMORY : 0;
    if (!status)
        status = wsk_simulation_reset(s);
    if (!status)
        status = wsk_simulation_save(s, NULL, 0, &b.n);
    b.at = malloc(b.n + 1);
    if (!status)
        status = wsk_simulation_save(s, b.at, b.n, &b.n);
    if (!status)
        status = wsk_simulation_load(s, b.at, b.n);
    free(b.at);
    wsk_simulation_free(s);
    wsk_program_free(program);
    return status;
}

void fail_everywhere(bytes from, bytes state, unsigned seed)
{
    int status = WSK_ERR_NO_MEMORY;
    (void)seed;
    for (long after = 0; status == WSK_ERR_NO_MEMORY; after++) {
        wsk_allocations_left = after;
        status = host(from, state);
        CHECK(status == 0 || status == WSK_ERR_NO_MEMORY);
        CHECK(wsk_allocations == 0);
    }
    wsk_allocations_left = -1;
}

/* ---- Anything for any argument ------------------------------------------------------------------------------------------ */

static int odd(void)
{
    static const int numbers[] = { -1, 0, 1, 2, 3, 8, 9, 23, 24, 255, 4096, 1 << 20, INT32_MAX, INT32_MIN };
    return numbers[draw(sizeof numbers / sizeof *numbers)];
}

static void *maybe(void *pointer) { return draw(4) ? pointer : NULL; }

static void abuse_program(const wsk_program *p, bytes from)
{
    wsk_program *none;
    wsk_simulation *s;
    wsk_array array;
    const char *names[] = { "", "main", "later", "nothing", NULL };
    switch (draw(8)) {
    case 0: wsk_program_width(maybe((void *)p)); wsk_program_height(maybe((void *)p)); wsk_program_plan(NULL); break;
    case 1: wsk_program_name(maybe((void *)p), (uint32_t)odd()); break;
    case 2: wsk_program_array(maybe((void *)p), (uint32_t)odd(), odd(), maybe(&array)); break;
    case 3: wsk_program_find(maybe((void *)p), (uint32_t)odd(), names[draw(5)], maybe(&array)); break;
    case 4: CHECK(wsk_program_open(NULL, from.at, from.n) < 0 && wsk_program_open(&none, NULL, from.n) < 0); break;
    case 5: CHECK(wsk_program_open(&none, from.at, draw(64)) < 0 && !none); break;
    case 6: CHECK(wsk_simulation_create(&s, NULL) < 0 && !s && wsk_simulation_create(NULL, p) < 0); break;
    default: wsk_program_free(NULL); wsk_simulation_free(NULL); break;
    }
}

static void abuse_running(wsk_simulation *s)
{
    wsk_run options = { .size = draw(4) ? sizeof options : draw(8), .stop = (uint32_t)odd(),
                        .until = draw(3) ? draw(500) : odd(), .patience = odd(), .threads = draw(2) ? (int)draw(4) : odd() };
    unsigned char some[64] = { 0 };
    size_t n;
    uint32_t why;
    options.until = options.until > LONG ? -1 : options.until;
    switch (draw(9)) {
    case 0: wsk_simulation_run(maybe(s), maybe(&options), maybe(&why)); break;
    case 1: wsk_simulation_step(maybe(s)); break;
    case 2: wsk_simulation_launch(maybe(s), (uint32_t)odd(), draw(2) ? "later" : maybe("main")); break;
    case 3: wsk_simulation_launch_all(maybe(s), draw(2) ? "later" : maybe("none")); break;
    case 4: wsk_simulation_reset(maybe(s)); break;
    case 5: wsk_simulation_fill(maybe(s)); break;
    case 6: wsk_simulation_save(maybe(s), maybe(some), draw(64), maybe(&n)); break;
    case 7: CHECK(wsk_simulation_load(maybe(s), maybe(some), draw(64)) < 0); break;
    default: wsk_simulation_cycle(maybe(s)); wsk_simulation_ended(maybe(s)); wsk_simulation_next_event(maybe(s)); break;
    }
}

static void abuse_looking(wsk_simulation *s)
{
    uint32_t words[9] = { 0 };
    wsk_received list[4];
    wsk_counters counters = { .size = draw(2) ? sizeof counters : (uint32_t)odd() };
    wsk_thread thread;
    char text[40];
    counters.size = counters.size > sizeof counters ? 0 : counters.size;
    int room = odd() % 10, n = room < 0 ? room : draw(4) ? room : 0;
    switch (draw(12)) {
    case 0: wsk_simulation_send(maybe(s), (uint32_t)odd(), odd(), odd(), maybe(words), NULL, n); break;
    case 1: wsk_simulation_receive(maybe(s), odd(), maybe(list), n > 4 ? 4 : n); break;
    case 2: wsk_simulation_read(maybe(s), (uint32_t)odd(), odd(), maybe(words), draw(37)); break;
    case 3: wsk_simulation_write(maybe(s), (uint32_t)odd(), odd(), maybe(words), draw(37)); break;
    case 4: wsk_simulation_read_array(maybe(s), (uint32_t)odd(), maybe("stamps"), maybe(words), draw(37)); break;
    case 5: wsk_simulation_write_array(maybe(s), (uint32_t)odd(), maybe("commands"), maybe(words), draw(37)); break;
    case 6: wsk_simulation_registers(maybe(s), (uint32_t)odd(), maybe(words), n); break;
    case 7: wsk_simulation_counters(maybe(s), (uint32_t)odd(), maybe(&counters)); break;
    case 8: wsk_simulation_thread(maybe(s), (uint32_t)odd(), odd(), maybe(&thread)); break;
    case 9: wsk_simulation_findings(maybe(s), maybe(text), draw(41)); break;
    case 10: wsk_simulation_watch_memory(maybe(s)); break;
    default: CHECK(wsk_simulation_report(maybe(s), maybe(text), draw(41)) != 0); break;
    }
    wsk_simulation_set_parameter(maybe(s), (uint32_t)odd(), maybe("who"), odd());
}

void abuse(bytes from, bytes state, unsigned seed)
{
    wsk_program *program = open_program(from);
    wsk_simulation *s = in_state(program, state);
    (void)seed;
    for (int i = 0; i < 60; i++) {
        abuse_program(program, from);
        abuse_running(s);
        abuse_looking(s);
    }
    wsk_simulation_free(s);
    wsk_program_free(program);
}

/* ---- Two simulations of one program in two threads ---------------------------------------------------------------------- */

typedef struct { const wsk_program *program; bytes state, end; } life;

static void *live(void *context)
{
    life *l = context;
    wsk_simulation *s = in_state(l->program, l->state);
    l->end = end_of(s, 2, END);
    wsk_simulation_free(s);
    return NULL;
}

void share_a_process(bytes from, bytes state, unsigned seed)
{
    wsk_program *program = open_program(from);
    life lives[3];
    pthread_t threads[3];
    (void)seed;
    for (int i = 0; i < 3; i++) {
        lives[i] = (life){ program, state, { NULL, 0 } };
        CHECK(pthread_create(threads + i, NULL, live, lives + i) == 0);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 3; i++)
        CHECK(is_equal(lives[0].end, lives[i].end));
    for (int i = 0; i < 3; i++)
        free(lives[i].end.at);
    wsk_program_free(program);
}
