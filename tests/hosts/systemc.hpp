// A wafer in SystemC: TLM-2.0 writes in (the address is a color), a FIFO out, one cycle of the wafer per clock.
#include <systemc>
#include <tlm_utils/simple_target_socket.h>
#include <wsekern.hpp>

struct wafer : sc_core::sc_module {
    tlm_utils::simple_target_socket<wafer> in{ "in" };
    sc_core::sc_fifo_out<std::uint32_t> out{ "out" };
    sc_core::sc_in<bool> clock{ "clock" };

    SC_HAS_PROCESS(wafer);
    wafer(sc_core::sc_module_name, wsekern::fabric &fabric, std::uint32_t from, std::uint32_t to, int color)
        : fabric(fabric), from(from), to(to), color(color)
    {
        fabric.listen(to, color, 4);                            // the core's queue: words beyond it wait in the routers
        in.register_b_transport(this, &wafer::write);
        SC_METHOD(cycle);
        sensitive << clock.pos();
        dont_initialize();
    }
    void write(tlm::tlm_generic_payload &payload, sc_core::sc_time &)
    {
        auto word = reinterpret_cast<std::uint32_t *>(payload.get_data_ptr());
        bool good = payload.is_write() && payload.get_data_length() == 4;
        while (good && !fabric.push(from, static_cast<int>(payload.get_address()), *word))
            wait(clock.posedge_event());                        // no room: the initiator waits
        payload.set_response_status(good ? tlm::TLM_OK_RESPONSE : tlm::TLM_COMMAND_ERROR_RESPONSE);
    }
    void cycle()
    {
        fabric.step();
        for (; out->num_free() > 0 && fabric.top(to, color); fabric.pop(to, color))
            out->write(fabric.top(to, color)->data);            // no room: the word stays, and its credit with it
    }
    wsekern::fabric &fabric;
    std::uint32_t from, to;
    int color;
};
