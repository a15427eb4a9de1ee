"""PE programs: what runs on the cores of the cycle engine, and the layouts that place programs and routes."""

from wsekern.program.layout import Layout, Simulation
from wsekern.program.program import INSTRUCTIONS, Fabric, Mem, Program

__all__ = ["INSTRUCTIONS", "Fabric", "Layout", "Mem", "Program", "Simulation"]
