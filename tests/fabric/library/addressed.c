/* Registers of routers, as programs read and write them at their addresses: whatever is written is a route or is refused. */
#include "library.h"
#include "fabric_internal.h"

static int read_register(const wsk_fabric *f, unsigned pe, int color, int of_switch)
{
    int bits = wsk_fabric_register(f, pe, color, of_switch);
    CHECK(bits >= 0 && bits < 1 << 16);
    return bits;
}

/* What is read of a register that was written can be written, and is then read again; but for the position of a switch, which
 * goes on at the way in behind the commands that wait there. */
enum { POSITION = 3 << 13 };

static void write_somewhere(wsk_fabric *f, unsigned pes, int colors)
{
    unsigned pe = draw(pes);
    int color = draw(8) ? (int)draw((unsigned)colors) : (int)draw(WSK_COLORS), of_switch = (int)draw(2);
    int before = read_register(f, pe, color, of_switch), bits = draw(2) ? (int)draw(1 << 16) : before ^ 1 << draw(16);
    if (wsk_fabric_set_register(f, pe, color, of_switch, bits) < 0)
        return;
    int written = read_register(f, pe, color, of_switch);
    CHECK(wsk_fabric_set_register(f, pe, color, of_switch, written) == 0);
    CHECK(!((read_register(f, pe, color, of_switch) ^ written) & (of_switch ? ~POSITION : ~0)));
}

void address_registers(unsigned seed)
{
    kind k = make_kind();
    wsk_plan *plan;
    wsk_fabric *f;
    story s = { 0 };
    CHECK(make_plan(&k, &plan) == 0);
    if (wsk_fabric_create(&f, plan, k.sinks, (int)draw(4) - 1) == 0) {
        for (int round = 0; round < 4 && !s.status; round++) {
            s = live(f, &k, seed, s.cycle + draw(20), (int)draw(3), s);
            for (int i = 0; i < 20; i++)
                write_somewhere(f, (unsigned)(k.rules.width * k.rules.height), k.colors);
        }
        CHECK(wsk_fabric_free(f) == 0);
    }
    wsk_plan_free(plan);
}
