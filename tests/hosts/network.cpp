// The network of network.hpp under BookSim2's "neighbor" load: every node sends to the one beside it in x and in y, around the
// edges.
#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <numeric>

#include "network.hpp"

static std::uint32_t neighbor(std::uint32_t pe, int size)
{
    auto n = static_cast<std::uint32_t>(size);
    return (pe / n + 1) % n * n + (pe % n + 1) % n;
}

static network make(int size)
{
    network made({ size, size, 1, 2, 4, 1, 1, 0, 0 });
    made.connect({ 0, 0, size - 1, size - 1 }, { 1, 1, size - 1, size - 1 });
    made.connect({ size - 1, 0, 1, size - 1 }, { 0, 1, 1, size - 1 });
    made.connect({ 0, size - 1, size - 1, 1 }, { 1, 0, size - 1, 1 });
    made.connect({ size - 1, size - 1, 1, 1 }, { 0, 0, 1, 1 });
    made.start(8);
    return made;
}

static double sum(const std::uint64_t (&by_color)[WSK_COLORS])
{
    return static_cast<double>(std::accumulate(by_color, by_color + WSK_COLORS, std::uint64_t{ 0 }));
}

// `network CYCLES SIZE [bulk]`: flit-hops per second, every node sending in every cycle that it may.
static int bench(int cycles, int size, bool bulk)
{
    network net = make(size);
    std::clock_t start = std::clock();
    if (bulk) {                                                 // nobody looks at single words
        net.fabric.emplace(net.drawing.build(), wsekern::sinks(WSK_SINK_COUNT));
        std::vector<std::uint32_t> words(static_cast<std::size_t>(cycles), 7);
        for (std::uint32_t pe = 0; pe < net.drawing.pes(); pe++)
            net.fabric->inject(pe, net.ways[pe].at(neighbor(pe, size)), words);
        net.fabric->run(WSK_LAST_CYCLE, WSK_STOP_IDLE);
    }
    for (int cycle = 0; cycle < cycles && !bulk; cycle++) {
        for (std::uint32_t pe = 0; pe < net.drawing.pes(); pe++)
            if (!net.is_full(pe, neighbor(pe, size)))
                net.push(pe, neighbor(pe, size), pe);
        net.cycle();
        for (std::uint32_t pe = 0; pe < net.drawing.pes(); pe++)
            while (!net.is_empty(pe))
                net.pop(pe);
    }
    double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;    // of the processor
    std::printf("%dx%d neighbor, %s: %.2f words per node and cycle, %.0f cycles/s, %.0f flit-hops/s\n", size, size,
                bulk ? "in bulk" : "word by word",
                sum(net.fabric->totals().delivered) / net.drawing.pes() / static_cast<double>(net.fabric->cycle()),
                static_cast<double>(net.fabric->cycle()) / seconds, sum(net.fabric->totals().hops) / seconds);
    return 0;
}

int main(int argc, char **argv)
{
    enum { SIZE = 8, WORDS = 20 };
    if (argc >= 3)
        return bench(std::atoi(argv[1]), std::atoi(argv[2]), argc > 3 && std::strcmp(argv[3], "bulk") == 0);
    network net = make(SIZE);
    std::vector<std::uint32_t> sent(SIZE * SIZE), taken(SIZE * SIZE);
    std::int64_t first = -1, last = -1;
    do {
        for (std::uint32_t pe = 0; pe < SIZE * SIZE; pe++)
            for (; sent[pe] < WORDS && !net.is_full(pe, neighbor(pe, SIZE)); sent[pe]++)
                net.push(pe, neighbor(pe, SIZE), pe << 16 | sent[pe]);
        net.cycle();
        for (std::uint32_t pe = 0; pe < SIZE * SIZE; pe++)
            for (; !net.is_empty(neighbor(pe, SIZE)); net.pop(neighbor(pe, SIZE))) {
                assert(net.top(neighbor(pe, SIZE))->data == (pe << 16 | taken[pe]++));
                last = net.fabric->cycle();
                first = first < 0 ? last : first;
            }
    } while (net.running() || last < 0);
    assert(taken == std::vector<std::uint32_t>(SIZE * SIZE, WORDS));
    assert(first == 2 + 2 + 2 && last == 2 + 2 * (SIZE - 1) + 2 + WORDS - 1);
    std::printf("%d words each, cycles %ld to %ld\n", WORDS, static_cast<long>(first), static_cast<long>(last));
}
