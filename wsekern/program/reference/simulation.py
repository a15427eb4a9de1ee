"""All cores of :mod:`wsekern.program.reference.core` and their fabric, in step with :class:`wsekern.program.Simulation`."""

from wsekern.fabric.reference import ReferenceFabric
from wsekern.fabric.routes import Port
from wsekern.program._pe import RULES
from wsekern.program.layout import Layout
from wsekern.program.reference.core import ReferenceCore
from wsekern.program.reference.fillings import broken
from wsekern.program.reference.parts import place


class ReferenceSimulation:
    """Same layout, same cycles, same memory as :class:`wsekern.program.Simulation`."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        placed = [place(program, layout.timing) for program in layout.programs]
        self.cores = {}
        for y in range(layout.height):
            for x in range(layout.width):
                which = layout.program_of[y, x]
                if which >= 0:
                    parameters = [int(value) for value in layout.parameters[y, x]]
                    missing = len(placed[which].program.parameters) - len(parameters)
                    self.cores[x, y] = ReferenceCore(placed[which], layout, x, y, parameters + [0] * max(0, missing))
                    self._fill(self.cores[x, y])
        self.reset()

    @staticmethod
    def _fill(core: ReferenceCore) -> None:
        for symbol, values in core.program.initial.items():
            at = core.placed.addresses[symbol]
            core.memory[at:at + values.nbytes] = values.tobytes()
            core.written[at:at + values.nbytes] = b"\1" * values.nbytes

    def reset(self) -> None:
        """All cores and routers at cycle 0; memory stays."""
        self.cycle = 0
        self.edge: list[tuple[int, ...]] = []
        """Words that left the grid: (cycle, x, y, color, port, control, data)."""
        self.fabric = ReferenceFabric(self.layout.fabric)
        for queue in self.fabric.queues.values():
            queue.credit = 0
        depths = self.layout.machine.core.input_queues.values
        for (x, y), core in self.cores.items():
            core.fabric = self.fabric
            core.reset()
            for queue, color in core.program.inputs.items():
                if queue not in core.due:
                    self.fabric.give_credit(x, y, color, depths[queue])

    def findings(self) -> list[tuple]:
        """What was noted, by rule: how often, and cycle, PE, color, instruction and number of the first time; the first queue
        in which words lie: PE, color, and how many."""
        found: list[tuple] = []
        for rule in RULES[1:]:
            notes = [(cycle, y * self.layout.width + x, color, at, number) for (x, y), core in self.cores.items()
                     for cycle, color, at, number in core.found.get(rule, [])]
            if notes:
                found.append((rule, len(notes), *min(notes, key=lambda note: note[:2])))
        swaps = any(item.route and (item.route.swap_ew or item.route.swap_ns) for item in self.layout.fabric.painted)
        found += broken([core.fillings for core in self.cores.values()],
                        {color for streams in self.fabric.streams.values() for color in streams}, swaps)
        for (x, y), core in sorted(self.cores.items(), key=lambda item: item[0][::-1]):
            for queue in sorted(core.inputs):
                if core.inputs[queue]:
                    where = y * self.layout.width + x, core.hears[queue], len(core.inputs[queue])
                    return [*found, ("unread", *where)]
        return found

    def step(self, cycles: int = 1) -> None:
        """Run for ``cycles``."""
        for _ in range(cycles):
            self.fabric.feed()
            for x, y, color, port, control, torn_down, data in self.fabric.heard():
                if port != Port.RAMP:
                    self.edge.append((self.cycle, x, y, color, port, control, data))
                elif (x, y) in self.cores:
                    self.cores[x, y].hear(color, data, control, torn_down)
            for core in self.cores.values():
                core.act()
            for core in self.cores.values():
                core.speak()
            self.fabric.route()
            self.cycle += 1
            for core in self.cores.values():
                core.now = self.cycle
