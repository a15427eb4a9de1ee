// The network of network.hpp: every node sends to the one east of it, and each word has its link alone. `network CYCLES SIZE
// [bulk]` prints flit-hops per second where every node sends to its four neighbors.
#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <numeric>

#include "network.hpp"

static double sum(const std::uint64_t (&by_color)[WSK_COLORS])
{
    return static_cast<double>(std::accumulate(by_color, by_color + WSK_COLORS, std::uint64_t{ 0 }));
}

static int bench(int cycles, int size, bool bulk)
{
    network net({ size, size, 1, 2, 4, 1, 1, 0, 0 });
    net.connect({ 0, 0, size - 1, size }, { 1, 0, size - 1, size });
    net.connect({ 1, 0, size - 1, size }, { 0, 0, size - 1, size });
    net.connect({ 0, 0, size, size - 1 }, { 0, 1, size, size - 1 });
    net.connect({ 0, 1, size, size - 1 }, { 0, 0, size, size - 1 });
    net.start(8);
    std::vector<std::vector<std::uint32_t>> beside(net.ways.size());
    for (std::uint32_t pe = 0; pe < beside.size(); pe++)
        for (auto &[to, color] : net.ways[pe])
            beside[pe].push_back(to);
    std::clock_t start = std::clock();
    if (bulk) {                                                 // nobody looks at single words
        net.fabric.emplace(net.drawing.build(), wsekern::sinks(WSK_SINK_COUNT));
        std::vector<std::uint32_t> words(static_cast<std::size_t>(cycles / 4), 7);
        for (std::uint32_t pe = 0; pe < beside.size(); pe++)
            for (std::uint32_t to : beside[pe])
                net.fabric->inject(pe, net.ways[pe].at(to), words);
        net.fabric->run(WSK_LAST_CYCLE, WSK_STOP_IDLE);
    }
    for (std::size_t cycle = 0; cycle < static_cast<std::size_t>(cycles) && !bulk; cycle++) {
        for (std::uint32_t pe = 0; pe < beside.size(); pe++) {
            std::uint32_t to = beside[pe][cycle % beside[pe].size()];
            if (!net.is_full(pe, to))
                net.push(pe, to, pe);
        }
        net.cycle();
        for (std::uint32_t pe = 0; pe < beside.size(); pe++)
            while (!net.is_empty(pe))
                net.pop(pe);
    }
    double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;    // of the processor
    auto cycle = static_cast<double>(net.fabric->cycle());
    std::printf("%dx%d, four neighbors, %s: %.2f words per node and cycle, %.0f cycles/s, %.0f flit-hops/s\n", size, size,
                bulk ? "in bulk" : "word by word", sum(net.fabric->totals().delivered) / net.drawing.pes() / cycle,
                cycle / seconds, sum(net.fabric->totals().hops) / seconds);
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
                assert(net.top(pe).data == ((pe - 1) << 16 | taken[pe]));
                taken[pe]++;
                last = net.fabric->cycle();
                first = first < 0 ? last : first;
            }
    }
    assert(!net.running());
    assert(first == 2 + 1 + 2 && last == first + WORDS - 1);    // ramp, hop, ramp; then a word a cycle
    std::printf("%u words, cycles %ld to %ld\n", all, static_cast<long>(first), static_cast<long>(last));
}
