// A network of BookSim2's shape, as GPU simulators drive it: push, is_full, top, pop, is_empty, cycle, running.
#include <map>
#include <wsekern.hpp>

struct network {
    explicit network(const wsk_rules &rules) : drawing(rules), ways(drawing.pes()), arriving(drawing.pes()) {}
    void connect(const wsk_area &from, const wsk_area &to)      // every PE of one area to the same place of the other
    {
        auto colors = drawing.connect(from, to);
        for (std::uint32_t i = 0; i < colors.size(); i++) {
            ways[drawing.pe(from, i)][drawing.pe(to, i)] = colors[i];
            arriving[drawing.pe(to, i)].push_back(colors[i]);
        }
    }
    void start(int depth)                                       // words that wait at a node before the routers hold others back
    {
        fabric.emplace(drawing.build(), wsekern::sinks(WSK_SINK_CORE));
        for (std::uint32_t at = 0; at < drawing.pes(); at++)
            for (int color : arriving[at])
                fabric->listen(at, color, depth);
    }
    bool is_full(std::uint32_t from, std::uint32_t to) const { return fabric->room(from, ways[from].at(to)) == 0; }
    void push(std::uint32_t from, std::uint32_t to, std::uint32_t flit) { fabric->push(from, ways[from].at(to), flit); }
    std::optional<wsk_delivery> top(std::uint32_t at) const
    {
        for (int color : arriving[at])
            if (auto flit = fabric->top(at, color))
                return flit;
        return std::nullopt;
    }
    bool is_empty(std::uint32_t at) const { return !top(at); }
    void pop(std::uint32_t at) { fabric->pop(at, top(at).value().color); }
    void cycle() { fabric->step(); }
    bool running() const { return fabric->next_event() < WSK_LAST_CYCLE; }
    wsekern::drawing drawing;
    std::optional<wsekern::fabric> fabric;
    std::vector<std::map<std::uint32_t, int>> ways;             // [from][to]: the color
    std::vector<std::vector<int>> arriving;                     // [at]: colors
};
