/* main TEST N SEED: N cases of a test, from a seed on.
 * main continue CYCLES THREADS FROM TO: a saved fabric goes on, and is saved again. */
#include "library.h"

/* Never returns with a failure: a check says what went wrong. */
static void go_on(int64_t cycles, int threads, const char *from, const char *to)
{
    static uint8_t bytes[1 << 24];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    CHECK(in && out);
    size_t n = fread(bytes, 1, sizeof bytes, in);
    wsk_fabric *f;
    CHECK(wsk_fabric_open(&f, bytes, n, WSK_SIMD_AUTO) == 0);
    wsk_run run = { .size = sizeof run, .until = wsk_fabric_cycle(f) + cycles, .threads = threads };
    CHECK(wsk_fabric_run(f, &run, NULL) == 0);
    CHECK(wsk_fabric_save(f, bytes, sizeof bytes, &n) == 0 && fwrite(bytes, 1, n, out) == n);
    CHECK(fclose(in) == 0 && fclose(out) == 0 && wsk_fabric_free(f) == 0);
}

int main(int argc, char **argv)
{
    static const struct { const char *name; void (*run)(unsigned seed); } modes[] = {
        { "save", save_and_load }, { "forge", forge }, { "skip", skip_to_events }, { "run", run_until_stopped }, { "host", serve_the_host },
        { "memory", fail_everywhere }, { "abuse", abuse }, { "threads", share_a_process }, { "clock", keep_time },
        { "connect", connect_places }, { "link", link_wafers }, { "registers", address_registers },
    };
    unsigned first = argc > 3 ? (unsigned)atoi(argv[3]) : 0, n = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
    if (argc == 6 && strcmp(argv[1], "continue") == 0) {
        go_on(atoi(argv[2]), atoi(argv[3]), argv[4], argv[5]);
        return 0;
    }
    for (size_t i = 0; argc > 1 && i < sizeof modes / sizeof *modes; i++)
        if (strcmp(argv[1], modes[i].name) == 0) {
            for (unsigned seed = first; seed < first + n; seed++) {
                begin(seed);
                modes[i].run(seed);
                CHECK(wsk_allocations == 0);
            }
            return 0;
        }
    fprintf(stderr, "usage: %s TEST N SEED\n", argv[0]);
    return 2;
}
