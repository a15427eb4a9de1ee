/* usage: programs play PROGRAM INPUTS FUNCTION OUT, or stream PROGRAM WORDS: what hosts do; or programs CASE SEEDS PROGRAM
 * STATE [PROGRAM STATE ...]. */
#include "programs.h"

_Thread_local long wsk_allocations_left = -1;
atomic_long wsk_allocations;
_Thread_local unsigned current;
static _Thread_local uint64_t chance;

unsigned draw(unsigned below)
{
    chance = chance * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((chance >> 33) % below);
}

void begin(unsigned seed)
{
    current = seed;
    chance = 0x9e3779b97f4a7c15u * (seed + 1u);
    draw(2);
}

bytes read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    CHECK(file && fseek(file, 0, SEEK_END) == 0);
    bytes found = { NULL, (size_t)ftell(file) };
    found.at = malloc(found.n + 1);
    rewind(file);
    CHECK(fread(found.at, 1, found.n, file) == found.n);
    fclose(file);
    return found;
}

bytes saved(wsk_simulation *s)
{
    bytes b = { NULL, 0 };
    CHECK(wsk_simulation_save(s, NULL, 0, &b.n) == 0);
    b.at = malloc(b.n);
    CHECK(wsk_simulation_save(s, b.at, b.n - 1, &b.n) == WSK_ERR_NO_ROOM);
    CHECK(wsk_simulation_save(s, b.at, b.n, &b.n) == 0);
    return b;
}

int is_equal(bytes a, bytes b) { return a.n == b.n && (a.n == 0 || memcmp(a.at, b.at, a.n) == 0); }

wsk_program *open_program(bytes from)
{
    wsk_program *program;
    CHECK(wsk_program_open(&program, from.at, from.n) == 0);
    return program;
}

wsk_simulation *make_simulation(const wsk_program *program)
{
    wsk_simulation *s;
    CHECK(wsk_simulation_create(&s, program) == 0);
    return s;
}

int run(wsk_simulation *s, int64_t until, uint32_t stop, int threads, uint32_t *why)
{
    wsk_run options = { .size = sizeof options, .until = until, .stop = stop, .threads = threads };
    return wsk_simulation_run(s, &options, why);
}

/* ---- A host: arrays in, a function launched, memory and counters out ---------------------------------------------------- */

static uint32_t number_at(const bytes *from, size_t *at)
{
    uint32_t number;
    CHECK(*at + 4 <= from->n);
    memcpy(&number, from->at + *at, 4);
    *at += 4;
    return number;
}

static void write_inputs(wsk_simulation *s, bytes inputs)
{
    for (size_t at = 0; at < inputs.n;) {
        uint32_t pe = number_at(&inputs, &at), name = number_at(&inputs, &at), n = number_at(&inputs, &at);
        CHECK(wsk_simulation_write_array(s, pe, (char *)inputs.at + at, inputs.at + at + name, n) == 0);
        at += name + n;
    }
}

static void write_out(const wsk_program *program, const wsk_simulation *s, FILE *out)
{
    const int pes = wsk_program_width(program) * wsk_program_height(program);
    for (int pe = 0; pe < pes; pe++) {
        wsk_counters c = { .size = sizeof c };
        wsk_array array;
        unsigned char memory[65536];
        if (!wsk_program_name(program, (uint32_t)pe))
            continue;
        CHECK(wsk_simulation_counters(s, (uint32_t)pe, &c) == 0);
        fwrite(&c.done, sizeof c - 8, 1, out);
        for (int i = 0; wsk_program_array(program, (uint32_t)pe, i, &array) == 0; i++) {
            CHECK(wsk_simulation_read_array(s, (uint32_t)pe, array.name, memory, (size_t)array.bytes) == 0);
            fwrite(memory, 1, (size_t)array.bytes, out);
        }
    }
}

static void play(char **arguments)
{
    bytes from = read_file(arguments[0]), inputs = read_file(arguments[1]);
    wsk_program *program = open_program(from);
    wsk_simulation *s = make_simulation(program);
    FILE *out = fopen(arguments[3], "wb");
    uint32_t why;
    char text[500], findings[3000];
    CHECK(wsk_simulation_watch_memory(s) == 0);
    write_inputs(s, inputs);
    CHECK(!*arguments[2] || wsk_simulation_launch_all(s, arguments[2]) == 0);
    CHECK(out && run(s, (int64_t)1 << 40, END, 2, &why) == 0 && (why & END));
    write_out(program, s, out);
    fclose(out);
    CHECK(wsk_simulation_report(s, text, sizeof text) < (int)sizeof text);
    CHECK(wsk_simulation_findings(s, findings, sizeof findings) < (int)sizeof findings);
    printf("%lld\n%s\n%s", (long long)wsk_simulation_ended(s), text, findings);
    wsk_simulation_free(s);
    wsk_program_free(program);
    free(from.at);
    free(inputs.at);
}

/* Words in over the west edge of PE 0 on color 3, and out: told one by one, as they come. */
static void stream(const char *path, unsigned words)
{
    bytes from = read_file(path);
    wsk_program *program = open_program(from);
    wsk_simulation *s = make_simulation(program);
    wsk_received word;
    wsk_thread thread;
    uint32_t why = 0, registers[1];
    for (uint32_t i = 0; i < words; i++)
        CHECK(wsk_simulation_send(s, 0, WSK_WEST, 3, &(uint32_t){ 1000 + i }, NULL, 1) == 0);
    CHECK(wsk_simulation_next_event(s) == 0 && wsk_simulation_step(s) == 0 && wsk_simulation_cycle(s) == 1);
    CHECK(wsk_simulation_thread(s, 0, WSK_MAIN_THREAD, &thread) == 0 && thread.state != WSK_THREAD_IDLE);
    CHECK(wsk_simulation_registers(s, 0, registers, 1) >= 1);
    while (!(why & END)) {
        CHECK(run(s, (int64_t)1 << 40, END | WSK_STOP_DELIVERY, 1, &why) == 0);
        CHECK(why & (END | WSK_STOP_DELIVERY) && wsk_simulation_receive(s, 2, &word, 1) == 0);
        CHECK(wsk_simulation_receive(s, 4, NULL, 0) == (why & WSK_STOP_DELIVERY ? 1 : 0));
        while (wsk_simulation_receive(s, -1, &word, 1) == 1) {
            CHECK(word.cycle == wsk_simulation_cycle(s) - 1);
            printf("%lld %u %u %u %u\n", (long long)word.cycle, word.pe, word.port, word.color, word.data);
        }
    }
    CHECK(why & WSK_STOP_IDLE && wsk_simulation_next_event(s) == INT64_MAX);
    wsk_simulation_free(s);
    wsk_program_free(program);
    free(from.at);
}

int main(int n, char **arguments)
{
    static const struct { const char *name; void (*one)(bytes, bytes, unsigned); } cases[] = {
        { "save", save_and_load }, { "alter", alter }, { "memory", fail_everywhere }, { "abuse", abuse },
        { "threads", share_a_process }, { "tape", tape }, { "profile", profile },
    };
    if (n == 6 && !strcmp(arguments[1], "play"))
        play(arguments + 2);
    if (n == 4 && !strcmp(arguments[1], "stream"))
        stream(arguments[2], (unsigned)atoi(arguments[3]));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (n < 5 || strcmp(cases[i].name, arguments[1]))
            continue;
        for (int k = 3; k + 1 < n; k += 2) {
            bytes program = read_file(arguments[k]), state = read_file(arguments[k + 1]);
            for (int seed = 0; seed < atoi(arguments[2]); seed++) {
                begin((unsigned)(seed + 1000 * k));
                cases[i].one(program, state, current);
                CHECK(wsk_allocations == 0);
            }
            free(program.at);
            free(state.at);
        }
    }
    return 0;
}
