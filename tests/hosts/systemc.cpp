// A wafer in SystemC: TLM-2.0 writes in (the address is a color), a FIFO out, one cycle of the wafer per clock.
#include <systemc>
#include <tlm_utils/simple_initiator_socket.h>
#include <tlm_utils/simple_target_socket.h>
#include <wsekern.hpp>

using namespace sc_core;

struct wafer : sc_module {
    tlm_utils::simple_target_socket<wafer> in{ "in" };
    sc_fifo_out<std::uint32_t> out{ "out" };
    sc_in<bool> clock{ "clock" };

    SC_HAS_PROCESS(wafer);
    wafer(sc_module_name name, wsekern::fabric &fabric, std::uint32_t from, std::uint32_t to, int color)
        : sc_module(name), fabric(fabric), from(from), to(to), color(color)
    {
        in.register_b_transport(this, &wafer::write);
        fabric.listen(to, color, 4);
        SC_METHOD(cycle);
        sensitive << clock.pos();
        dont_initialize();
    }

private:
    void write(tlm::tlm_generic_payload &payload, sc_time &)
    {
        bool one_word = payload.is_write() && payload.get_data_length() == 4;
        while (one_word && !fabric.push(from, static_cast<int>(payload.get_address()), *reinterpret_cast<std::uint32_t *>(payload.get_data_ptr())))
            wait(clock.posedge_event());                                  // back-pressure: the initiator waits
        payload.set_response_status(one_word ? tlm::TLM_OK_RESPONSE : tlm::TLM_COMMAND_ERROR_RESPONSE);
    }
    void cycle()
    {
        fabric.step();
        while (out->num_free() > 0)                                       // else the word waits, and holds its credit
            if (auto word = fabric.pop(to, color))
                out->write(word->data);
            else
                break;
    }
    wsekern::fabric &fabric;
    std::uint32_t from, to;
    int color;
};
