"""PE programs: what runs on the cores of the cycle engine, and the layouts that place programs and routes."""

from wsekern.program.instructions import INSTRUCTIONS
from wsekern.program.layout import Layout
from wsekern.program.operands import Array, Fabric, Fifo, Mem, Mem4d, Ring
from wsekern.program.program import Program
from wsekern.program.simulation import Simulation

__all__ = ["INSTRUCTIONS", "Array", "Fabric", "Fifo", "Layout", "Mem", "Mem4d", "Program", "Ring", "Simulation"]
