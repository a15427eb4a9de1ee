// The wafer behind verilator.sv: a row of PEs; a credit goes back when the receiver takes a word, and arrives a cycle later.
#include <cassert>
#include <cstdio>
#include <wsekern.hpp>

#include "Vverilator.h"
#include "Vverilator__Dpi.h"

enum { WIDTH = 16, COLOR = 3 };

static wsekern::fabric &wafer()
{
    static wsekern::fabric fabric = [] {
        wsekern::drawing drawing({ WIDTH, 1, 1, 2, 4, 1, 1, 0, 0 });
        drawing.connect(0, 0, { WIDTH - 1, 0, 1, 1 }, 1 << COLOR);
        wsekern::fabric made(drawing.build(), wsekern::sinks(WSK_SINK_CORE));
        made.listen(WIDTH - 1, COLOR, 4);
        return made;
    }();
    return fabric;
}
static svBit returned;

void wafer_offer(int word, svBit *taken) { *taken = wafer().offer(0, COLOR, static_cast<std::uint32_t>(word)); }

void wafer_pop(int *word, svBit *valid)
{
    auto found = wafer().pop(WIDTH - 1, COLOR);
    *valid = returned = found.has_value();
    *word = found ? static_cast<int>(found->data) : 0;
}

void wafer_step(svBit *credit)
{
    wafer().step();
    *credit = std::exchange(returned, svBit{ 0 });
}

int main()
{
    VerilatedContext context;
    Vverilator design(&context);
    auto tick = [&](int reset) {
        for (int level = 0; level < 2; level++) {
            design.clock = static_cast<unsigned char>(level);
            design.reset = static_cast<unsigned char>(reset);
            design.eval();
        }
    };
    tick(1);
    for (int cycle = 0; cycle < 1000 && !design.done; cycle++)
        tick(0);
    design.final();
    std::printf("done %d, cycles %d to %d\n", design.done, design.first, design.last);
    // A word is on its way for 2 + 15 + 2 cycles, is taken in an even one, and its credit serves in the next: 20 cycles for
    // each of the ten turns of four credits, whose words are taken two cycles apart.
    return design.done && design.first == 20 && design.last == 9 * 20 + 20 + 3 * 2 ? 0 : 1;
}
