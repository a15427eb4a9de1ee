/* main TEST N SEED: N cases of a test, from a seed on. */
#include "library.h"

int main(int argc, char **argv)
{
    static const struct { const char *name; void (*run)(unsigned seed); } modes[] = {
        { "save", save_and_load }, { "skip", skip_to_events }, { "run", run_until_stopped }, { "host", serve_the_host },
        { "memory", fail_everywhere }, { "abuse", abuse }, { "threads", share_a_process }, { "clock", keep_time },
    };
    unsigned first = argc > 3 ? (unsigned)atoi(argv[3]) : 0, n = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
    for (size_t i = 0; argc > 1 && i < sizeof modes / sizeof *modes; i++)
        if (strcmp(argv[1], modes[i].name) == 0) {
            for (unsigned seed = first; seed < first + n; seed++) {
                begin(seed);
                modes[i].run(seed);
            }
            return 0;
        }
    fprintf(stderr, "usage: %s MODE N SEED\n", argv[0]);
    return 2;
}
