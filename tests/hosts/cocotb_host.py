"""cocotb: the words of a circuit cross the wafer and come back to it; a clock of the circuit is a cycle."""

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from wsekern.fabric import Fabric, FabricPlan


@cocotb.test()
async def words_cross_the_wafer(dut) -> None:
    """Before each rising edge: the word of the circuit goes in, one that arrived waits at the circuit, the wafer steps."""
    plan = FabricPlan(6, 4, "wse2")
    color = plan.connect((0, 0), (5, 3)).color
    fabric = Fabric(plan)
    out, back = fabric.port(0, 0, color), fabric.port(5, 3, color)
    dut.ready.value = dut.back_valid.value = dut.back_data.value = 0
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start(start_high=False))
    for _ in range(100):
        await FallingEdge(dut.clk)
        valid = dut.valid.value == 1
        dut.ready.value = int(valid and out.offer(int(dut.data.value)))
        word = back.pop()
        dut.back_valid.value = int(word is not None)
        dut.back_data.value = word or 0
        fabric.step()
    assert int(dut.count.value) == 50
    assert int(dut.sum.value) == sum(3 * k + 1 for k in range(50))
    ramps, links = 2 + 2, 5 + 3
    assert int(dut.first.value) == int(dut.last.value) - 49 == ramps + links
