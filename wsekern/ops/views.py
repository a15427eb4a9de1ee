"""The three views of an operation along a line, side by side, as text."""

from typing import Any

import numpy as np

from wsekern.machine import load_machine
from wsekern.machine.timing import Timing
from wsekern.number_formats import NUMPY_DTYPES
from wsekern.ops.engines.flow import FlowEngine
from wsekern.ops.engines.programs import run_on_cycle_engine
from wsekern.ops.operation import Operation
from wsekern.ops.schedule.schedule import Schedule
from wsekern.ops.schedule.steps import Step


def step_text(schedule: Schedule, step: Step) -> str:
    """One instruction in words: what it writes, from what, and over which color."""
    def words_of(operand: Any) -> str:
        if not isinstance(operand, int):
            return operand[0] if operand[1] == 0 else f"{operand[0]}[{operand[1]}:]"
        message = schedule.messages[operand]
        if message.source == step.pe:
            to = "all" if message.multicast else f"PE {message.high if message.source == message.low else message.low}"
            return f"{to} over color {schedule.colors[operand]}"
        return f"PE {message.source}"

    combine = {"sum": " + ", "max": " max "}.get(step.op, "")
    right = words_of(step.a) if step.b is None or not combine else f"{words_of(step.a)}{combine}{words_of(step.b)}"
    return f"PE {step.pe}: {words_of(step.dst)} <- {right}  ({schedule.instruction(step.op)}, {step.elements} elements)"


def three_views(operation: Operation, pes: int, machine: str = "wse2", profile: str = "vendor-simulator",
                precision: str = "fp32") -> str:
    """What an operation given by a schedule computes, how it runs, and what it costs, on a line of ``pes`` PEs along x.

    PE k holds the words k + 1. Both engines run it: their values and the clocks of every PE stand side by side.
    """
    schedule = operation.schedule(pes, Timing(load_machine(machine), profile, precision))
    tile = np.repeat(np.arange(1, pes + 1), schedule.elements).reshape(1, pes, -1).astype(NUMPY_DTYPES[precision])
    flow = FlowEngine(machine, pes, 1, profile, precision)
    values = flow.run(operation, tile)
    run = run_on_cycle_engine(operation, machine, pes, 1, profile, precision, tile)
    lines = ["1. what it computes: first word of every PE, before and after",
             f"   {[value.item() for value in tile[0, :, 0]]} -> {[value.item() for value in values[0, :, 0]]}",
             "2. how it runs: instructions of every PE in order, cycle engine's last cycle of each PE",
             *(f"   {step_text(schedule, step)}" for step in schedule.steps),
             f"   {run.clock[0].tolist()}, values {'the same' if run.values.tobytes() == values.tobytes() else 'DIFFER'}",
             "3. what it costs: flow engine's clock of each PE, causes on the critical path, link traversals",
             f"   {flow.clock[0].tolist()}, {flow.breakdown}, {flow.link_traversals}"]
    return "\n".join(lines)
