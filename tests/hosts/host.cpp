// A host in C++: a multicast tree that finds its own color, two fabrics in two threads, a state that travels as bytes.
#include <cassert>
#include <cstdio>
#include <thread>
#include <wsekern.hpp>

int main()
{
    wsekern::drawing drawing({ 8, 8, 1, 2, 4, 1, 1, 0, 0 });             // 8 x 8 PEs, hop 1, ramp 2, queues of 4
    int color = drawing.connect(0, 0, { 4, 4, 4, 4 });                    // PE (0, 0) to a square of 4 x 4
    auto plan = drawing.build();
    auto run = [&](std::uint32_t base, std::vector<std::int64_t> &cycles) {
        wsekern::fabric fabric(plan, wsekern::sinks(WSK_SINK_LOG));
        fabric.on_delivery([&](const wsk_delivery &word) {
            assert(word.color == color && word.data >= base);
            cycles.push_back(fabric.cycle());
        });
        for (std::uint32_t i = 0; i < 10; i++)
            while (!fabric.push(0, color, base + i))
                fabric.step();
        wsekern::fabric twin(fabric.save());                              // words on their way and all
        std::uint32_t why = fabric.run(1000, WSK_STOP_IDLE);
        twin.run(1000, WSK_STOP_IDLE);
        assert(why == WSK_STOP_IDLE && twin.cycle() == fabric.cycle());
        assert(twin.totals().checksum[color] == fabric.totals().checksum[color]);
    };
    std::vector<std::int64_t> one, other;
    std::thread beside(run, 1000, std::ref(other));
    run(1000, one);
    beside.join();
    assert(one == other && one.size() == 10 * 16);
    assert(one.front() == 2 + 8 + 2 && one.back() == 2 + 14 + 2 + 9);     // the nearest PE, the last word at the farthest
    try {
        drawing.connect(0, 0, { 99, 0, 1, 1 });
        assert(false);
    } catch (const wsekern::error &refused) {
        std::printf("%zu words on color %d; %s\n", one.size(), color, refused.what());
    }
}
