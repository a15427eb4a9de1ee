/* libwsekern for C++17: the functions of wsekern.h as classes that free what they own and throw where C answers a negative
 * status. Header only; all numbers, orders and thread rules are those of the C headers. */
#ifndef WSEKERN_HPP
#define WSEKERN_HPP

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "wsekern.h"

namespace wsekern {

/* A negative status, and what the library says about it. */
class error : public std::runtime_error {
public:
    explicit error(int status, const std::string &more = "")
        : std::runtime_error(wsk_status_text(status) + (more.empty() ? more : ": " + more)), status(status) {}
    const int status;
};

/* A status that is no failure, or an error. */
inline int check(int status)
{
    if (status < 0)
        throw error(status);
    return status;
}

/* Of a report: where, when, who waits for whom. */
inline std::string text(const wsk_report &report, int width)
{
    std::string line(static_cast<std::size_t>(check(wsk_report_text(&report, width, nullptr, 0))) + 1, '\0');
    wsk_report_text(&report, width, line.data(), line.size());
    line.pop_back();
    return line;
}

/* Throw unless the header and the library that runs belong together. */
inline void check_abi()
{
    if (wsk_abi_version() != WSEKERN_ABI_VERSION)
        throw std::runtime_error("the header has wsekern's ABI version " + std::to_string(WSEKERN_ABI_VERSION)
                                 + ", the library " + std::to_string(wsk_abi_version()));
}

/* A route with one position: from these ports (a mask of 1 << enum wsk_port) to those. */
inline wsk_route route(unsigned in, unsigned out)
{
    wsk_route made{};
    made.positions = 1;
    made.in[0] = static_cast<std::uint8_t>(in);
    made.out[0] = static_cast<std::uint8_t>(out);
    return made;
}

/* Rules, routes and filters in the making: paint rectangles, connect PEs, then build a plan. */
class drawing {
public:
    explicit drawing(const wsk_rules &rules) : rules(rules) {}
    std::uint32_t pes() const { return static_cast<std::uint32_t>(rules.width) * static_cast<std::uint32_t>(rules.height); }
    /* PE number i of an area, row by row, as the fabric counts. */
    std::uint32_t pe(const wsk_area &area, std::uint32_t i) const
    {
        auto width = static_cast<std::uint32_t>(area.width);
        return (static_cast<std::uint32_t>(area.y) + i / width) * static_cast<std::uint32_t>(rules.width)
               + static_cast<std::uint32_t>(area.x) + i % width;
    }
    void paint(int color, const wsk_route &route, int x, int y, int width = 1, int height = 1)
    {
        routes.push_back(route);
        rects.push_back({ color, x, y, width, height, static_cast<std::int32_t>(routes.size() - 1) });
    }
    /* A way from one PE to all PEs of an area, on one of `colors` (a mask) that is free there: which. */
    int connect(int x, int y, const wsk_area &to, std::uint32_t colors = (1u << WSK_COLORS) - 1)
    {
        wsk_area from{ x, y, 1, 1 };
        return connect(from, to, colors).front();
    }
    /* Ways from the PEs of one area to those at the same places of another; the color of each source. */
    std::vector<std::uint8_t> connect(const wsk_area &from, const wsk_area &to, std::uint32_t colors = (1u << WSK_COLORS) - 1)
    {
        std::vector<std::uint8_t> taken(static_cast<std::size_t>(from.width) * static_cast<std::size_t>(from.height));
        auto built = build();
        wsk_ways *made = nullptr;
        check(wsk_ways_create(&made, built.get()));
        std::unique_ptr<wsk_ways, void (*)(wsk_ways *)> ways(made, wsk_ways_free);
        wsk_connection found{};
        found.size = sizeof found;
        int status = wsk_connect(made, colors, &from, &to, 1, taken.data(), &found);
        if (status < 0)
            throw error(status, text(found));
        const wsk_route *all;
        const wsk_rect *painted;
        int n = check(wsk_ways_routes(made, &all)), m = check(wsk_ways_rects(made, &painted));
        routes.assign(all, all + n);
        rects.insert(rects.end(), painted, painted + m);
        return taken;
    }
    /* The plan, shared by as many fabrics as like. */
    std::shared_ptr<wsk_plan> build() const
    {
        wsk_plan *plan = nullptr;
        wsk_report report{};
        int status = wsk_plan_create(&plan, &rules, routes.data(), static_cast<int>(routes.size()), rects.data(),
                                     static_cast<int>(rects.size()), filters.data(), static_cast<int>(filters.size()), &report);
        if (status < 0)
            throw error(status, report.status == status ? wsekern::text(report, rules.width) : "");
        return { plan, wsk_plan_free };
    }

    wsk_rules rules;
    std::vector<wsk_route> routes;
    std::vector<wsk_rect> rects;
    std::vector<wsk_filter> filters;

private:
    static std::string text(const wsk_connection &found)
    {
        std::string line(static_cast<std::size_t>(wsk_connection_text(&found, nullptr, 0)) + 1, '\0');
        wsk_connection_text(&found, line.data(), line.size());
        line.pop_back();
        return line;
    }
};

/* Sinks for all colors alike. */
inline std::array<std::uint8_t, WSK_COLORS> sinks(wsk_sink kind)
{
    std::array<std::uint8_t, WSK_COLORS> all;
    all.fill(static_cast<std::uint8_t>(kind));
    return all;
}

/* A fabric. It keeps its plan; it moves, and does not copy (`copy_from` takes over a state). */
class fabric {
public:
    fabric(std::shared_ptr<wsk_plan> plan, const std::array<std::uint8_t, WSK_COLORS> &sinks, int simd_level = WSK_SIMD_AUTO)
        : plan_(std::move(plan))
    {
        check_abi();
        wsk_fabric *made = nullptr;
        check(wsk_fabric_create(&made, plan_.get(), sinks.data(), simd_level));
        state_.reset(made);
    }
    /* From saved bytes alone. */
    explicit fabric(const std::vector<std::uint8_t> &bytes, int simd_level = WSK_SIMD_AUTO)
    {
        check_abi();
        wsk_fabric *made = nullptr;
        check(wsk_fabric_open(&made, bytes.data(), bytes.size(), simd_level));
        state_.reset(made);
    }

    wsk_fabric *get() const { return state_.get(); }
    const wsk_rules &rules() const { return *wsk_plan_rules(wsk_fabric_plan(get())); }
    std::uint32_t pe(int x, int y) const { return static_cast<std::uint32_t>(y * rules().width + x); }
    std::int64_t cycle() const { return wsk_fabric_cycle(get()); }
    std::int64_t in_flight() const { return wsk_fabric_in_flight(get()); }
    std::int64_t next_event() const { return wsk_fabric_next_event(get()); }

    void step() { told(wsk_fabric_step(get())); }
    void skip(std::int64_t cycle) { told(wsk_fabric_skip(get(), cycle)); }
    /* Until a cycle, or a reason among `stop` (enum wsk_stop): the reasons that hold. */
    std::uint32_t run(std::int64_t until, std::uint32_t stop = 0, int threads = 1, std::int64_t patience = 0)
    {
        wsk_run options{};
        options.size = sizeof options;
        options.until = until;
        options.stop = stop;
        options.threads = threads;
        options.patience = patience;
        std::uint32_t why = 0;
        told(wsk_fabric_run(get(), &options, &why));
        return why;
    }

    bool offer(std::uint32_t pe, int color, std::uint32_t data, int flags = 0)
    {
        return told(wsk_fabric_offer(get(), pe, color, data, flags)) == 1;
    }
    void inject(std::uint32_t pe, int color, const std::vector<std::uint32_t> &data, int port = WSK_RAMP)
    {
        told(wsk_fabric_inject(get(), pe, port, color, data.data(), nullptr, static_cast<std::int64_t>(data.size())));
    }
    bool push(std::uint32_t pe, int color, std::uint32_t data, int flags = 0)
    {
        return told(wsk_fabric_push(get(), pe, color, data, flags)) == 1;
    }
    int room(std::uint32_t pe, int color) const { return told(wsk_fabric_room(get(), pe, color)); }
    void listen(std::uint32_t pe, int color, int depth = 0) { told(wsk_fabric_listen(get(), pe, color, depth)); }
    std::optional<wsk_delivery> top(std::uint32_t pe, int color) const
    {
        wsk_delivery word;
        return told(wsk_fabric_top(get(), pe, color, &word)) ? std::optional(word) : std::nullopt;
    }
    std::optional<wsk_delivery> pop(std::uint32_t pe, int color)
    {
        wsk_delivery word;
        return told(wsk_fabric_pop(get(), pe, color, &word)) ? std::optional(word) : std::nullopt;
    }
    void credit(std::uint32_t pe, int color, int words) { told(wsk_fabric_credit(get(), pe, color, words)); }

    /* Called between two cycles, on the thread that steps. No exception may leave the call; an empty one ends the calls. */
    void on_delivery(std::function<void(const wsk_delivery &)> call)
    {
        auto kept = std::make_unique<std::function<void(const wsk_delivery &)>>(std::move(call));
        auto tell = [](void *context, wsk_fabric *, const wsk_delivery *word) noexcept {
            (*static_cast<std::function<void(const wsk_delivery &)> *>(context))(*word);
        };
        told(wsk_fabric_on_delivery(get(), *kept ? +tell : nullptr, kept.get()));
        delivered_ = std::move(kept);
    }
    void on_room(std::function<void(std::uint32_t pe, int color)> call)
    {
        auto kept = std::make_unique<std::function<void(std::uint32_t, int)>>(std::move(call));
        auto tell = [](void *context, wsk_fabric *, std::uint32_t pe, int color) noexcept {
            (*static_cast<std::function<void(std::uint32_t, int)> *>(context))(pe, color);
        };
        told(wsk_fabric_on_room(get(), *kept ? +tell : nullptr, kept.get()));
        room_ = std::move(kept);
    }

    std::vector<std::uint8_t> save() const
    {
        std::size_t needed = 0;
        told(wsk_fabric_save(get(), nullptr, 0, &needed));
        std::vector<std::uint8_t> bytes(needed);
        told(wsk_fabric_save(get(), bytes.data(), bytes.size(), &needed));
        return bytes;
    }
    void load(const std::vector<std::uint8_t> &bytes) { told(wsk_fabric_load(get(), bytes.data(), bytes.size())); }
    void copy_from(const fabric &other) { told(wsk_fabric_copy(get(), other.get())); }
    void reset() { told(wsk_fabric_reset(get())); }

    wsk_totals totals() const
    {
        wsk_totals sums;
        told(wsk_fabric_totals(get(), &sums));
        return sums;
    }
    /* Who waits for whom, as a sentence. */
    std::string explain()
    {
        wsk_fabric_explain(get());
        return text(*wsk_fabric_report(get()), rules().width);
    }

private:
    struct freed { void operator()(wsk_fabric *f) const { wsk_fabric_free(f); } };

    int told(int status) const
    {
        const wsk_report *report = status < 0 ? wsk_fabric_report(get()) : nullptr;
        if (status < 0)
            throw error(status, report && report->status == status ? text(*report, rules().width) : "");
        return status;
    }

    std::shared_ptr<wsk_plan> plan_;
    std::unique_ptr<std::function<void(const wsk_delivery &)>> delivered_;
    std::unique_ptr<std::function<void(std::uint32_t, int)>> room_;
    std::unique_ptr<wsk_fabric, freed> state_;      /* freed first */
};

/* A program from the bytes of Layout.to_bytes(), shared by as many simulations as like. */
inline std::shared_ptr<wsk_program> open_program(const std::vector<std::uint8_t> &bytes)
{
    check_abi();
    wsk_program *program = nullptr;
    check(wsk_program_open(&program, bytes.data(), bytes.size()));
    return { program, wsk_program_free };
}

/* PE cores at work. It keeps its program; it moves, and does not copy. */
class simulation {
public:
    explicit simulation(std::shared_ptr<wsk_program> program) : program_(std::move(program))
    {
        wsk_simulation *made = nullptr;
        check(wsk_simulation_create(&made, program_.get()));
        state_.reset(made);
    }

    wsk_simulation *get() const { return state_.get(); }
    std::int64_t cycle() const { return wsk_simulation_cycle(get()); }
    std::int64_t next_event() const { return wsk_simulation_next_event(get()); }
    void launch(const char *function) { told(wsk_simulation_launch_all(get(), function)); }
    void launch(std::uint32_t pe, const char *function) { told(wsk_simulation_launch(get(), pe, function)); }
    void step() { told(wsk_simulation_step(get())); }
    /* Until a cycle, or a reason among `stop` (enum wsk_stop): the reasons that hold. */
    std::uint32_t run(std::int64_t until, std::uint32_t stop = 0, int threads = 1, std::int64_t patience = 0)
    {
        wsk_run options{};
        options.size = sizeof options;
        options.until = until;
        options.stop = stop;
        options.threads = threads;
        options.patience = patience;
        std::uint32_t why = 0;
        told(wsk_simulation_run(get(), &options, &why));
        return why;
    }

    void send(std::uint32_t pe, int port, int color, const std::vector<std::uint32_t> &data)
    {
        told(wsk_simulation_send(get(), pe, port, color, data.data(), nullptr, static_cast<std::int64_t>(data.size())));
    }
    std::optional<wsk_received> receive(int color = -1)
    {
        wsk_received word;
        return told(static_cast<int>(wsk_simulation_receive(get(), color, &word, 1))) ? std::optional(word) : std::nullopt;
    }
    /* All of an array of a PE, by its name, in elements of the host's type. */
    template <typename T> std::vector<T> read(std::uint32_t pe, const char *name) const
    {
        wsk_array array;
        check(wsk_program_find(program_.get(), pe, name, &array));
        std::vector<T> values(static_cast<std::size_t>(array.bytes) / sizeof(T));
        told(wsk_simulation_read_array(get(), pe, name, values.data(), values.size() * sizeof(T)));
        return values;
    }
    template <typename T> void write(std::uint32_t pe, const char *name, const std::vector<T> &values)
    {
        told(wsk_simulation_write_array(get(), pe, name, values.data(), values.size() * sizeof(T)));
    }

    std::vector<std::uint8_t> save() const
    {
        std::size_t needed = 0;
        told(wsk_simulation_save(get(), nullptr, 0, &needed));
        std::vector<std::uint8_t> bytes(needed);
        told(wsk_simulation_save(get(), bytes.data(), bytes.size(), &needed));
        return bytes;
    }
    void load(const std::vector<std::uint8_t> &bytes) { told(wsk_simulation_load(get(), bytes.data(), bytes.size())); }

    /* What the programs did that is hardly meant, a line for each kind. */
    std::string findings()
    {
        std::string lines(static_cast<std::size_t>(check(wsk_simulation_findings(get(), nullptr, 0))) + 1, '\0');
        wsk_simulation_findings(get(), lines.data(), lines.size());
        lines.pop_back();
        return lines;
    }
    /* From now on reads of memory that nobody has written are findings too. */
    void watch_memory() { check(wsk_simulation_watch_memory(get())); }

    /* Where things stand, as a sentence. */
    std::string explain() const
    {
        std::string line(static_cast<std::size_t>(check(wsk_simulation_report(get(), nullptr, 0))) + 1, '\0');
        wsk_simulation_report(get(), line.data(), line.size());
        line.pop_back();
        return line;
    }

private:
    struct freed { void operator()(wsk_simulation *s) const { wsk_simulation_free(s); } };

    int told(int status) const
    {
        if (status < 0)
            throw error(status, explain());
        return status;
    }

    std::shared_ptr<wsk_program> program_;
    std::unique_ptr<wsk_simulation, freed> state_;      /* freed first */
};

} // namespace wsekern

#endif
