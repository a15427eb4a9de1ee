// A network of ASTRA-sim's shape: sends and receives that call back, timers; rank r is PE r, a cycle is a nanosecond.
#include <map>
#include <wsekern.hpp>

using call = std::pair<void (*)(void *), void *>;
using key = std::tuple<std::uint32_t, std::uint32_t, int>;      // from, to, tag: one message at a time
struct message { std::size_t size = 0, here = 0; call arrived; };                // words; each holds its tag on the wafer

struct wafer {
    void run() {                                                // until nothing is left to happen
        for (unsigned why = 0; why != WSK_STOP_IDLE || !timers.empty();) {
            unsigned stop = WSK_STOP_DELIVERY | (timers.empty() ? unsigned{ WSK_STOP_IDLE } : 0u);
            why = fabric.run(timers.empty() ? WSK_LAST_CYCLE : timers.begin()->first, stop);
            for (auto &[ends, color] : colors)
                while (auto word = fabric.pop(ends.second, color))
                    finish({ ends.first, ends.second, static_cast<int>(word->data) }, 1);
            for (; !timers.empty() && timers.begin()->first <= fabric.cycle(); timers.erase(timers.begin()))
                timers.begin()->second.first(timers.begin()->second.second);
        }
    }
    void finish(key k, std::size_t more) {                      // with every word, and as the receiver is ready
        message &m = messages[k];
        if ((m.here += more) == m.size && m.size && m.arrived.first)
            sim_schedule(0, messages.extract(k).mapped().arrived);
    }
    void sim_send(std::uint32_t me, std::uint32_t to, int tag, std::size_t words, call sent) {
        fabric.inject(me, colors.at({ me, to }), std::vector<std::uint32_t>(words, static_cast<std::uint32_t>(tag)));
        messages[{ me, to, tag }].size = words;
        sim_schedule(static_cast<std::int64_t>(words), sent);   // the ramp takes a word a cycle
    }
    void sim_recv(std::uint32_t me, std::uint32_t from, int tag, call arrived) {
        messages[{ from, me, tag }].arrived = arrived, finish({ from, me, tag }, 0);
    }
    void sim_schedule(std::int64_t after, call c) { timers.emplace(fabric.cycle() + after, c); }
    wsekern::fabric fabric;
    std::map<std::pair<std::uint32_t, std::uint32_t>, int> colors;
    std::map<key, message> messages;
    std::multimap<std::int64_t, call> timers;
};
