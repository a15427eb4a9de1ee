// The network of network.hpp under BookSim2's "neighbor" load: every node sends to the one beside it in x and in y, around the
// edges (`network CYCLES SIZE [bulk]` prints its rate); as a test to the PE to the east, so that every word has its link alone.
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
    network net({ SIZE, SIZE, 1, 2, 4, 1, 1, 0, 0 });
    net.connect({ 0, 0, SIZE - 1, SIZE }, { 1, 0, SIZE - 1, SIZE });
    net.start(8);
    std::vector<std::uint32_t> sent(SIZE * SIZE), taken(SIZE * SIZE);
    std::int64_t first = -1, last = -1;
    std::uint32_t all = 0;
    while (all < WORDS * (SIZE - 1) * SIZE) {
        for (std::uint32_t pe = 0; pe < SIZE * SIZE; pe++)
            for (; pe % SIZE != SIZE - 1 && sent[pe] < WORDS && !net.is_full(pe, pe + 1); sent[pe]++)
                net.push(pe, pe + 1, pe << 16 | sent[pe]);
        net.cycle();
        for (std::uint32_t pe = 0; pe < SIZE * SIZE; pe++)
            for (; !net.is_empty(pe); net.pop(pe), all++) {
                assert(net.top(pe)->data == ((pe - 1) << 16 | taken[pe]));
                taken[pe]++;
                last = net.fabric->cycle();
                first = first < 0 ? last : first;
            }
    }
    assert(!net.running());
    assert(first == 2 + 1 + 2 && last == first + WORDS - 1);    // ramp, hop, ramp; then a word a cycle
    std::printf("%u words, cycles %ld to %ld\n", all, static_cast<long>(first), static_cast<long>(last));
}
