// A ring of four ranks on the network of astra.hpp, each an object of the shape that ASTRA-sim's system layer calls: every rank
// sends a block to the next, and the one that it received in the round after.
#include <cassert>
#include <cstdio>

#include "astra.hpp"

enum { RANKS = 4, WORDS = 64, ROUNDS = 3, THINKS = 100 };

static std::uint32_t after(std::uint32_t rank) { return (rank + 1) % RANKS; }
static std::uint32_t before(std::uint32_t rank) { return (rank + RANKS - 1) % RANKS; }

struct network_api {                                            // the arguments that ASTRA-sim's system layer passes
    wafer &net;
    std::uint32_t rank;
    using handler = void (*)(void *);
    int sim_send(void *, std::uint64_t bytes, int, int to, int tag, void *, handler sent, void *argument)
    {
        net.sim_send(rank, static_cast<std::uint32_t>(to), tag, (bytes + 3) / 4, { sent, argument });
        return 0;
    }
    int sim_recv(void *, std::uint64_t, int, int from, int tag, void *, handler arrived, void *argument)
    {
        net.sim_recv(rank, static_cast<std::uint32_t>(from), tag, { arrived, argument });
        return 0;
    }
    void sim_schedule(double later, handler then, void *argument)
    {
        net.sim_schedule(static_cast<std::int64_t>(later), { then, argument });
    }
    double sim_get_time() const { return static_cast<double>(net.fabric.cycle()); }
};

struct node {
    network_api api;
    int round = 0, sent = 0;
    double finished[ROUNDS] = {};

    void begin()
    {
        api.sim_recv(nullptr, 4 * WORDS, 0, static_cast<int>(before(api.rank)), round, nullptr, [](void *self) {
            static_cast<node *>(self)->next();
        }, this);
        api.sim_send(nullptr, 4 * WORDS, 0, static_cast<int>(after(api.rank)), round, nullptr, [](void *self) {
            static_cast<node *>(self)->sent++;
        }, this);
    }
    void next()
    {
        finished[round++] = api.sim_get_time();
        if (round < ROUNDS)
            api.sim_schedule(THINKS, [](void *self) { static_cast<node *>(self)->begin(); }, this);
    }
};

int main()
{
    wsekern::drawing drawing({ RANKS, 1, 1, 2, 4, 1, 1, 0, 0 });
    wafer wafer{ { drawing.build(), wsekern::sinks(WSK_SINK_LOG) }, {}, {}, {} };
    for (std::uint32_t from = 0; from < RANKS; from++) {
        wsk_area to{ static_cast<int>(after(from)), 0, 1, 1 };
        wafer.colors[{ from, after(from) }] = drawing.connect(static_cast<int>(from), 0, to);
    }
    wafer.fabric = { drawing.build(), wsekern::sinks(WSK_SINK_LOG) };
    for (auto &[ends, color] : wafer.colors)
        wafer.fabric.listen(ends.second, color);
    std::vector<node> nodes;
    for (std::uint32_t rank = 0; rank < RANKS; rank++)
        nodes.push_back({ { wafer, rank } });
    for (auto &node : nodes)
        node.begin();
    wafer.run();
    std::vector<double> starts(RANKS, 0);                       // of a round, rank by rank
    for (int round = 0; round < ROUNDS; round++) {
        std::vector<double> ends;
        for (std::uint32_t rank = 0; rank < RANKS; rank++) {    // around the end of the ring a block goes all along the row
            ends.push_back(starts[before(rank)] + 2 + (rank == 0 ? RANKS - 1 : 1) + 2 + WORDS - 1);
            assert(nodes[rank].finished[round] == ends[rank]);
        }
        starts = ends;
        for (double &start : starts)
            start += THINKS;
    }
    for (auto &node : nodes)
        assert(node.round == ROUNDS && node.sent == ROUNDS);
    assert(wafer.messages.empty());
    std::printf("%d rounds of %d ranks, the last block at %.0f ns\n", ROUNDS, RANKS, nodes[0].finished[ROUNDS - 1]);
}
