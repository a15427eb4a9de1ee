// A host in C++ for PE cores: the program comes from Python (`program LAYOUT_BYTES`), the cores run here, saved in the middle.
#include <cassert>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <wsekern.hpp>

int main(int argc, char **argv)
{
    assert(argc == 2);
    std::ifstream file(argv[1], std::ios::binary);
    std::vector<std::uint8_t> bytes((std::istreambuf_iterator<char>(file)), {});
    auto program = wsekern::open_program(bytes);
    wsekern::simulation cores(program), twin(program);
    cores.write<float>(0, "a", { 1, 2, 3, 4 });
    cores.launch("double_it");
    cores.run(cores.cycle() + 3);
    twin.load(cores.save());
    std::uint32_t why = cores.run(1000, WSK_STOP_IDLE);
    twin.run(1000, WSK_STOP_IDLE, 2);
    assert(why == WSK_STOP_IDLE && cores.cycle() == twin.cycle());
    assert((cores.read<float>(0, "a") == std::vector<float>{ 2, 4, 6, 8 }) && twin.read<float>(0, "a") == cores.read<float>(0, "a"));
    try {
        cores.launch("nothing");
        return 1;
    } catch (const wsekern::error &refused) {
        std::printf("%lld\n", static_cast<long long>(wsk_simulation_ended(cores.get())));
    }
}
