// The wafer of systemc.hpp between an initiator and a reader: data, and the clock of the first and the last word.
#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>

#include <tlm_utils/simple_initiator_socket.h>

#include "systemc.hpp"

using namespace sc_core;

static const sc_time NS(1, SC_NS);

struct writer : sc_module {
    tlm_utils::simple_initiator_socket<writer> socket{ "socket" };
    SC_HAS_PROCESS(writer);
    writer(sc_module_name, int color, int words) : color(color), words(words) { SC_THREAD(run); }
    void run()
    {
        for (std::uint32_t word = 0; word < static_cast<std::uint32_t>(words); word++) {
            tlm::tlm_generic_payload payload;
            sc_time delay = SC_ZERO_TIME;
            payload.set_write();
            payload.set_address(static_cast<std::uint64_t>(color));
            payload.set_data_ptr(reinterpret_cast<unsigned char *>(&word));
            payload.set_data_length(4);
            socket->b_transport(payload, delay);
            assert(payload.is_response_ok());
        }
    }
    int color, words;
};

struct reader : sc_module {
    sc_fifo_in<std::uint32_t> in{ "in" };
    SC_HAS_PROCESS(reader);
    reader(sc_module_name, int words) : words(words) { SC_THREAD(run); }
    void run()
    {
        for (std::uint32_t word = 0; word < static_cast<std::uint32_t>(words); word++) {
            assert(in.read() == word);
            last = sc_time_stamp();
            first = word == 0 ? last : first;
        }
        sc_stop();
    }
    int words;
    sc_time first, last;
};

// `systemc CYCLES SIZE` prints cycles per second of the bare library and of SystemC, every row streaming if SIZE < 0.
static int bench(long cycles, int size)
{
    bool quiet = size > 0;
    size = std::abs(size);
    wsekern::drawing drawing({ size, size, 1, 2, 4, 1, 1, 0, 0 });
    drawing.paint(1, wsekern::route(1 << WSK_RAMP, 1 << WSK_EAST), 0, 0, 1, size);
    drawing.paint(1, wsekern::route(1 << WSK_WEST, 1 << WSK_EAST), 1, 0, size - 2, size);
    drawing.paint(1, wsekern::route(1 << WSK_WEST, 1 << WSK_RAMP), size - 1, 0, 1, size);
    drawing.paint(0, wsekern::route(1 << WSK_EAST, 1 << WSK_RAMP), 0, 0);          // listened to: nothing comes
    auto kinds = wsekern::sinks(WSK_SINK_COUNT);
    kinds[0] = WSK_SINK_CORE;
    wsekern::fabric fabric(drawing.build(), kinds);
    for (int y = 0; y < size && !quiet; y++)
        fabric.inject(fabric.pe(0, y), 1, std::vector<std::uint32_t>(static_cast<std::size_t>(2 * cycles + 2000), 7));
    auto seconds = [start = std::clock()]() mutable {           // of the processor since the last call: others may use it too
        std::clock_t was = std::exchange(start, std::clock());
        return static_cast<double>(start - was) / CLOCKS_PER_SEC;
    };
    fabric.run(1000);
    seconds();
    for (long i = 0; i < cycles; i++)
        fabric.step();
    double bare = static_cast<double>(cycles) / seconds();
    sc_clock clock("clock", NS);
    sc_fifo<std::uint32_t> fifo(16);
    wafer dut("wafer", fabric, 0, 0, 0);
    writer idle("idle", 0, 0);
    idle.socket.bind(dut.in);
    dut.out(fifo);
    dut.clock(clock);
    seconds();
    sc_start(NS * static_cast<double>(cycles));
    double hosted = static_cast<double>(cycles) / seconds();
    std::printf("%dx%d %s: %.0f cycles/s bare, %.0f cycles/s in SystemC, %.0f %%\n", size, size, quiet ? "quiet" : "streaming",
                bare, hosted, 100 * hosted / bare);
    return 0;
}

int sc_main(int argc, char **argv)
{
    if (argc == 3)
        return bench(std::atol(argv[1]), std::atoi(argv[2]));
    enum { WIDTH = 16, WORDS = 100 };
    wsekern::drawing drawing({ WIDTH, 1, 1, 2, 4, 1, 1, 0, 0 });
    int color = drawing.connect(0, 0, { WIDTH - 1, 0, 1, 1 });
    wsekern::fabric fabric(drawing.build(), wsekern::sinks(WSK_SINK_CORE));
    sc_clock clock("clock", NS);
    sc_fifo<std::uint32_t> fifo(2);
    wafer dut("wafer", fabric, 0, WIDTH - 1, color);
    writer from("from", color, WORDS);
    reader to("to", WORDS);
    from.socket.bind(dut.in);
    dut.out(fifo);
    dut.clock(clock);
    to.in(fifo);
    sc_start();
    // The step of cycle c is the clock edge at c ns; a word that can be read after cycle c is in the FIFO at that edge.
    assert(to.first == NS * (2 + WIDTH - 1 + 2 - 1));
    assert(to.last == to.first + NS * (WORDS - 1));
    std::printf("%d words, %s to %s\n", WORDS, to.first.to_string().c_str(), to.last.to_string().c_str());
    return 0;
}
