// A network of BookSim2's shape, as GPU simulators drive it: push, is_full, top, pop, is_empty, cycle, running.
#include <map>
#include <wsekern.hpp>

struct network {
    explicit network(const wsk_rules &rules) : drawing(rules), ways(drawing.pes()), arrived(drawing.pes()) {}
    network(const network &) = delete;                          // the fabric calls this one
    void connect(const wsk_area &from, const wsk_area &to)      // every PE of one area to the same place of the other
    {
        auto colors = drawing.connect(from, to);
        for (std::uint32_t i = 0; i < colors.size(); i++)
            ways[drawing.pe(from, i)][drawing.pe(to, i)] = colors[i];
    }
    void start(int depth)                                       // flits of a way that wait at its end before others are held
    {
        fabric.emplace(drawing.build(), wsekern::sinks(WSK_SINK_CORE));
        fabric->on_delivery([this](const wsk_delivery &flit) { arrived[flit.pe].push_back(flit); });
        for (auto &from : ways)
            for (auto &[to, color] : from)
                fabric->credit(to, color, depth);
    }
    bool is_full(std::uint32_t from, std::uint32_t to) const { return fabric->room(from, ways[from].at(to)) == 0; }
    void push(std::uint32_t from, std::uint32_t to, std::uint32_t flit) { fabric->push(from, ways[from].at(to), flit); }
    bool is_empty(std::uint32_t at) const { return arrived[at].empty(); }
    const wsk_delivery &top(std::uint32_t at) const { return arrived[at].front(); }
    void pop(std::uint32_t at)
    {
        fabric->credit(at, top(at).color, 1);
        arrived[at].erase(arrived[at].begin());
    }
    void cycle() { fabric->step(); }
    bool running() const { return fabric->next_event() < WSK_LAST_CYCLE; }
    wsekern::drawing drawing;
    std::optional<wsekern::fabric> fabric;
    std::vector<std::map<std::uint32_t, int>> ways;             // [from][to]: the color
    std::vector<std::vector<wsk_delivery>> arrived;             // [at]
};
