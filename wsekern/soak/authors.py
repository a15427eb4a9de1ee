"""Random programs and layouts, which the kernel and the plain reference both run."""

import random

import numpy as np

from wsekern.fabric import Port, RangeFilter
from wsekern.fabric.reference import OPPOSITE, STEP
from wsekern.fabric.routes import Position, control_payload
from wsekern.program import INSTRUCTIONS, Layout, Mem, Mem4d, Program, Ring
from wsekern.program.instructions import SOURCES
from wsekern.program.operands import INTEGERS, NUMPY_TYPES, TYPE_BYTES, Fabric, Fifo

TYPES = tuple(TYPE_BYTES)
ELEMENTS = 24
"""Elements of every symbol that random programs use."""
SCALAR_OPERATIONS = ("mov", "add", "sub", "mul", "max", "min", "fma", "neg", "abs", "lt", "le", "eq", "ne", "div")
OF_INTEGERS = ("and", "or", "xor", "shl", "shr", "mod", "clz", "ctz", "popcnt")
OF_FLOATS = ("sqrt", "floor", "exp", "log", "sin", "cos", "library_exp", "library_rsqrt", "library_silu")


def values_of(rng: random.Random, type: str, elements: int) -> np.ndarray:
    """Random elements; floats are small, so that few results are no number."""
    if type in INTEGERS:
        return np.array([rng.getrandbits(32) if rng.random() < 0.5 else rng.randrange(5) for _ in range(elements)],
                        np.uint32).astype(NUMPY_TYPES[type])
    numbers = np.array([rng.uniform(-4, 4) for _ in range(elements)], np.float32)
    return (numbers.view(np.uint32) >> 16).astype(np.uint16) if type == "bf16" else numbers.astype(NUMPY_TYPES[type])


class Author:
    """Writes one random program: ``hears`` and ``speaks`` are the colors whose words it may take and send; a ``brief`` one has
    fewer statements."""

    def __init__(self, rng: random.Random, name: str, machine: str, hears: list[int], speaks: list[int], brief: bool) -> None:
        self.rng, self.machine, self.hears, self.speaks, self.brief = rng, machine, hears, speaks, brief
        self.weights = rng.choice([[4, 2, 3, 2, 6, 2, 3, 0.5], [1, 1, 2, 1, 12, 3, 1, 0.2], [1, 1, 1, 4, 4, 0, 1, 0]])
        self.most = rng.choice([3, 7, 12])
        self.program = program = Program(name)
        self.arrays = {}
        for type in TYPES:
            for k in range(2):
                self.arrays.setdefault(type, []).append(
                    program.array(f"{type}{k}", type, ELEMENTS, values_of(rng, type, ELEMENTS) if rng.random() < 0.9 else None))
        words = [control_payload(rng.choices([0, 0, 1, 2, 3], k=rng.randrange(1, 3)), entry_point=rng.randrange(3),
                                 ignore_in_core=rng.random() < 0.1) for _ in range(ELEMENTS)]
        self.commands = program.array("commands", "u32", ELEMENTS, np.array(words, np.uint32))
        self.stamps = program.array("stamps", "u16", 3)
        self.variables = {type: program.variable(f"v{type}", type, 1) for type in TYPES}
        program.route("back", "RAMP", "RAMP")
        self.tasks = rng.sample(["one", "two", "three"], rng.randrange(1, 4))
        self.fifos = [program.fifo(f"fifo{k}", type, rng.randrange(2, 7), *(rng.choice([None, *self.tasks]) for _ in "io"))
                      for k, type in enumerate(rng.sample(TYPES, 2))]
        self.named = {}
        for type in rng.sample(TYPES, 3):
            self.named[type] = [program.descriptor(f"d{type}{k}", self.stated(type)) for k in range(2)]
        self.live: list = []
        self.late = hears[1:] if machine == "wse2" and len(hears) > 1 and rng.random() < 0.5 else []
        self.write()

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    # ---- operands

    def stated(self, type: str, extent: int | None = None):
        """A descriptor of memory of one type; of any extent where none is given."""
        rng, array = self.rng, self.rng.choice(self.arrays[type])
        extent = rng.randrange(0, self.most) if extent is None else extent
        if self.chance(0.12):
            seen = rng.choice(self.arrays[rng.choice(TYPES)]).as_type(type)
            return seen.view(extent, rng.randrange(2)) if seen.elements > extent else array.view(extent)
        kind = rng.random()
        if kind < 0.15:
            return Ring(array, extent, rng.choice([1, 2, -3]), self.chance(0.7))
        if kind < 0.3 and extent and extent % 2 == 0:
            return Mem4d(array, (extent // 2, 2), (rng.choice([1, 2, -1]), rng.choice([1, 4])), rng.randrange(8, 12))
        if kind < 0.4:
            return Mem(array, extent, 12, -1, save=self.chance(0.5))
        return Mem(array, extent, rng.randrange(3), rng.choice([1, 1, 1, 2]), save=self.chance(0.5))

    def source(self, type: str, extent: int):
        """A source in memory or a scalar."""
        kind = self.rng.random()
        if kind < 0.12:
            return self.variables[type]
        if kind < 0.24:
            return Mem(self.rng.choice(self.arrays[type]), 1, self.rng.randrange(ELEMENTS), 0)
        if kind < 0.36:
            return self.value(type)
        return self.named_or(type, extent)

    def named_or(self, type: str, extent: int):
        if type in self.named and self.chance(0.35):
            return self.rng.choice(self.named[type])
        return self.stated(type, extent)

    def target(self, type: str, extent: int):
        if self.chance(0.12):
            return self.variables[type]
        if self.chance(0.12):
            return self.value(type)
        return self.named_or(type, extent)

    def types_for(self, name: str) -> tuple[str, int]:
        """Type of the operands of an instruction, and how many sources it has."""
        operation, arithmetic = INSTRUCTIONS[name]
        choices = {"fp16": ["fp16", "bf16"], "u16": ["u16", "i16"], "i16": ["u16", "i16"], "u32": ["u32", "i32"],
                   "i32": ["u32", "i32"]}.get(arithmetic, [arithmetic])
        return self.rng.choice(choices), SOURCES.get(operation, 2)

    def operand_types(self, name: str, mixed: bool = True) -> list[str]:
        """Types of target and sources: mostly one, mixed for the instructions that mix."""
        type, sources = self.types_for(name)
        if name in ("fmachs", "faddhs"):
            return ["fp32", "fp32", *self.rng.choices(["fp16", "bf16", "fp32"], k=sources - 1)]
        if name.startswith("lib_") and mixed:
            return self.rng.choices(["fp32", "fp16", "bf16"], k=1 + sources)
        if name == "fh2s":
            return ["fp32", self.rng.choice(["fp16", "bf16"])]
        if INSTRUCTIONS[name][0] in ("from_integer", "to_integer"):
            real = "fp32" if name in ("xp162fs", "fs2xp16") else self.rng.choice(["fp16", "bf16"])
            pair = [real, self.rng.choice(["u16", "i16"])]
            return pair if name.startswith("xp") else pair[::-1]
        if name == "fs2h":
            return [self.rng.choice(["fp16", "bf16"]), "fp32"]
        if INSTRUCTIONS[name][0] == "mov" and self.chance(0.3):
            same = [other for other in TYPES if TYPE_BYTES[other] == TYPE_BYTES[type]]
            return self.rng.choices(same, k=2)
        return [type] * (1 + sources)

    # ---- scalars

    def value(self, type: str):
        """A value of one type: one at hand, or a new one."""
        at_hand = [value for value in self.live if value.type == type]
        if at_hand and self.chance(0.7):
            return self.rng.choice(at_hand)
        made = self.code.let(type, self.rng.choice([0, 1, 2, 3]))
        self.live.append(made)
        return made

    def scalar(self) -> None:
        code, type = self.code, self.rng.choice(TYPES)
        op = self.rng.choice(SCALAR_OPERATIONS * 2 + (OF_INTEGERS if type in INTEGERS else OF_FLOATS))
        others = [self.value(type) for _ in range(SOURCES.get(op, 2) - 1)]
        if self.chance(0.2) and op in ("add", "sub", "mul"):
            code.in_place(op, self.value(type), *others)
        elif self.chance(0.15):
            code.set(self.value(type), self.value(type) if self.chance(0.5) else self.rng.randrange(4))
        elif self.chance(0.15):
            self.live.append(code.convert(self.value(type), self.rng.choice(TYPES)))
        elif self.chance(0.1):
            self.live.append(code.get_parameter("who", "i32"))
        else:
            self.live.append(code.scalar(op, self.value(type), *others))

    def memory_access(self) -> None:
        code, type = self.code, self.rng.choice(TYPES)
        array = self.rng.choice(self.arrays[type])
        index = self.rng.choice([None, self.rng.randrange(ELEMENTS), self.value("i32") & 7])
        kind = self.rng.random()
        if kind < 0.3:
            self.live.append(code.read(array, index))
        elif kind < 0.6:
            code.write(array, index, self.value(type))
        elif kind < 0.7:
            code.put(self.variables[type], self.value(type))
        elif kind < 0.85:
            self.live.append(code.take(array.view(), index))
        else:
            code.give(array.view(), self.value(type), index)

    # ---- vectors

    def vector(self) -> None:
        """A vector instruction from memory to memory."""
        name, extent = self.rng.choice(list(INSTRUCTIONS)), self.rng.randrange(0, self.most)
        types, more = self.operand_types(name), {}
        if self.chance(0.15):
            more = {"repeat": self.rng.randrange(0, 4), "between": self.rng.randrange(-1, 3)}
            if self.chance(0.3):
                more = {"times": self.value("i32") & 3, "between": more["between"]}
            operands = [Mem(self.rng.choice(self.arrays[type]), extent, 0, 1, self.rng.choice([0, 1, 4])) for type in types]
            if self.chance(0.3):
                operands[0] = self.named_or(types[0], extent)
        else:
            operands = [self.target(types[0], extent)] + [self.source(type, extent) for type in types[1:]]
        if self.chance(0.2):
            more["activate"] = self.rng.choice(self.tasks)
        self.code.vector(name, *operands, **more)

    def descriptor(self) -> None:
        code, type = self.code, self.rng.choice(list(self.named))
        one, other = self.named[type]
        small = self.rng.choice([self.rng.randrange(0, 4), self.value("i32") & 3])
        kind = self.rng.randrange(5)
        if kind == 0:
            code.set_base(one, self.rng.choice(self.arrays[type]), small)
        elif kind == 1:
            code.move_base(one, small)
        elif kind == 2:
            code.set_length(one, small)
        elif kind == 3:
            code.set_stride(one, small)
        elif self.program.stated(one).__class__ is self.program.stated(other).__class__ is Mem:
            code.load_descriptor(one, other)

    def stream(self) -> None:
        """A vector instruction with operands of the fabric or a FIFO, on the main thread or a microthread."""
        rng, extent = self.rng, self.rng.randrange(0, self.most)
        name = rng.choice([name for name in INSTRUCTIONS if name not in ("fh2s", "fs2h", "fmachs", "faddhs")
                           and "integer" not in INSTRUCTIONS[name][0]])
        types, program = self.operand_types(name, mixed=False), self.program
        packing = rng.choice([1, 2]) if TYPE_BYTES[types[0]] == 2 else 1
        sources = [self.source(type, extent) for type in types[1:]]
        target = self.target(types[0], extent)
        place = rng.choice(["in", "in", "out", "out", "both", "fifo", "fifo"])
        if place in ("in", "both") and self.hears:
            sources[rng.randrange(len(sources))] = self.fabin(types[1], extent, packing)
        if place in ("out", "both") and self.speaks:
            target = self.fabout(types[0], extent, packing)
        if place == "fifo":
            fifo = rng.choice(self.fifos)
            type = program.type_of(fifo)
            name = {"fp32": "fmovs", "fp16": "fmovh", "bf16": "fmovh"}.get(type, "mov32" if TYPE_BYTES[type] == 4 else "mov16")
            packing = rng.choice([1, 2]) if TYPE_BYTES[type] == 2 else 1
            sources, target = [self.source(type, extent)], self.stated(type, extent)
            if self.hears and self.chance(0.6):
                sources = [self.fabin(type, extent, packing)]
            elif self.speaks and self.chance(0.6):
                target = program.fabout(rng.choice(self.speaks), extent, type, packing)
            if self.chance(0.5) and not isinstance(target, Fabric):
                target = fifo.of(extent)
            else:
                sources = [fifo.of(extent)]
        ways = self.ways(target, sources)
        if name.startswith("lib_"):
            ways.pop("asynchronous", None)
            ways.pop("microthread", None)
        self.code.vector(name, target, *sources, **ways)

    def fabin(self, type: str, extent: int, packing: int) -> Fabric:
        """Words of a color; those of ``late`` share a queue that instructions bind."""
        color = self.rng.choice(self.hears)
        if color not in self.late:
            return self.program.fabin(color, extent, type, packing)
        return Fabric(self.program.input_queue(self.late[0]), extent, type, packing, color=color)

    def fabout(self, type: str, extent: int, packing: int) -> Fabric:
        rng, more = self.rng, {}
        if self.chance(0.2) and packing == 1 and TYPE_BYTES[type] == 2:
            more |= {"index": rng.randrange(200), "same_index": self.chance(0.4)}
        if self.chance(0.15):
            more["advance_switch"] = True
        if self.machine == "wse2" and self.program.outputs and self.chance(0.3):
            more["queue"] = rng.choice(list(self.program.outputs))
            if self.program.outputs[more["queue"]] not in self.speaks:
                del more["queue"]
        return self.program.fabout(rng.choice(self.speaks), extent, type, packing, **more)

    def ways(self, target, sources) -> dict:
        """How an instruction runs: where, and what its end does."""
        rng, more = self.rng, {}
        if any(isinstance(operand, (Fabric, Fifo)) for operand in (target, *sources)) and self.chance(0.6):
            more["asynchronous"] = True
            if self.machine == "wse3" and self.chance(0.6):
                more["microthread"] = rng.randrange(8)
            more["priority"] = rng.choice(["high", "medium", "medium", "low"])
        for key in ("activate", "unblock", "control_activate", "control_unblock"):
            if self.chance(0.2):
                queues = list(self.program.inputs) if "unblock" in key else []
                more[key] = rng.choice([*self.tasks, *queues])
        if self.chance(0.2):
            more["terminate"] = True
        if self.chance(0.2):
            more["done"] = self.value("u16")
        return more

    def word(self) -> None:
        """A word taken or given by scalar code, or control wavelets."""
        kind = self.rng.random()
        type = self.rng.choice(TYPES)
        if kind < 0.35 and self.hears:
            self.live.append(self.code.take(self.fabin(type, 1, 1)))
        elif kind < 0.6 and self.speaks:
            index = self.rng.choice([None, 7]) if TYPE_BYTES[type] == 2 else None
            out = self.program.fabout(self.rng.choice(self.speaks), 1, type, 1, index=index)
            self.code.give(out, self.value(type), index)
        elif self.speaks:
            extent = self.rng.randrange(1, 3)
            out = self.program.fabout(self.rng.choice(self.speaks), extent, "u32", control=True)
            self.code.mov32(out, self.commands.view(extent, self.rng.randrange(20)))

    # ---- control

    def branch(self, depth: int) -> None:
        condition = self.value(self.rng.choice(["u16", "i32"])) < self.value("i32")
        with self.code.if_(condition):
            self.block(depth + 1)
        if self.chance(0.5):
            with self.code.else_():
                self.block(depth + 1)

    def repeat(self, depth: int) -> None:
        if self.chance(0.7):
            with self.code.range(self.rng.choice([self.rng.randrange(4), self.value("i32") & 3])) as i:
                self.block(depth + 1)
                self.code.write(self.arrays["i32"][0], i & 7, i)
            return
        counter = self.code.let("i32", 0)
        with self.code.loop() as loop:
            self.block(depth + 1)
            counter += 1
            loop.leave_if(counter > 2)

    def task(self) -> None:
        code, rng = self.code, self.rng
        kind = rng.randrange(8)
        names = [*self.tasks, *([self.listener] if self.listener else [])]
        if kind == 0:
            code.activate(rng.choice(self.tasks))
        elif kind == 1:
            code.block(rng.choice(names))
        elif kind in (2, 3):
            code.unblock(rng.choice(names))
        elif kind == 4:
            code.timestamp(self.stamps)
        elif kind == 5:
            code.spend(rng.randrange(9))
        elif kind == 7:
            if self.hears:
                own = [color for color in self.hears if color not in self.late]
                rng.choice([code.block_color, code.unblock_color])(rng.choice(own))
        elif self.entry == "main" or rng.random() < 0.5:
            code.call("sub") if self.entry != "sub" else None

    def router(self) -> None:
        code, colors = self.code, [*self.hears, *self.speaks]
        kind = self.rng.random()
        if kind < 0.4:
            self.live.append(code.colors_torn_down())
        elif kind < 0.7 and colors:
            code.leave_teardown(self.rng.choice(colors))
        elif kind < 0.85 and colors:
            code.set_position(self.rng.choice(colors), 0)
        elif self.speaks and kind < 0.92:
            code.set_route(self.rng.choice(self.speaks), "back")
        else:
            self.queue()

    def queue(self) -> None:
        """Queues: bound to another color, or to the same again, and flushed."""
        code, rng, kind = self.code, self.rng, self.rng.randrange(6)
        if kind == 0 and self.program.inputs:
            queue = rng.choice(list(self.program.inputs))
            code.bind_input(queue, rng.choice([self.program.inputs[queue], *self.hears]))
        elif kind == 1:
            self.live.append(code.flushed())
        elif self.program.outputs:
            queue = rng.choice(list(self.program.outputs))
            if kind == 2:
                code.bind_output(queue, rng.choice([self.program.outputs[queue], *self.speaks]))
            else:
                (code.leave_flush if kind == 3 else code.flush)(queue)

    def statement(self, depth: int) -> None:
        kinds = [self.scalar, self.memory_access, self.vector, self.descriptor, self.stream, self.word, self.task, self.router]
        if depth < 2 and self.chance(0.2):
            self.rng.choice([self.branch, self.repeat])(depth)
        else:
            self.rng.choices(kinds, self.weights)[0]()

    def block(self, depth: int) -> None:
        kept = list(self.live)
        for _ in range(self.rng.randrange(1, 4)):
            self.statement(depth)
        self.live = kept

    def body(self, code, entry: str, statements: int) -> None:
        self.code, self.entry, self.live = code, entry, []
        with code:
            if entry in ("data", "control"):
                self.code.write(self.arrays["u32"][0], 1, self.code.word + 1)
            for _ in range(self.rng.randrange(1 + (statements + 1) // 2) if self.brief else statements):
                self.statement(0)
            self.live = []

    def write(self) -> None:
        rng, program = self.rng, self.program
        self.listener = None
        if self.hears and self.chance(0.6):
            self.listener = "listener"
            self.body(program.data_task("listener", self.hears[0], blocked=self.chance(0.3),
                                        priority=rng.choice(["low", "high"])), "data", 2)
        for entry in range(rng.randrange(3)):
            self.body(program.control_task(f"control{entry}", entry), "control", 2)
        if self.chance(0.3):
            self.body(program.teardown_task(), "teardown", 2)
        self.body(program.subroutine("sub"), "sub", 3)
        for name in self.tasks:
            self.body(program.task(name, active=self.chance(0.2), blocked=self.chance(0.2),
                                   priority=rng.choice(["low", "high"])), name, 3)
        self.body(program.task("main", active=True), "main", rng.randrange(3, 12))
        self.body(program.function("later"), "later", 3)


def random_tree(rng: random.Random, width: int, height: int) -> dict[tuple[int, int], tuple[Port, set[Port]]]:
    """A multicast tree from a random ramp, or from outside the grid, that may also leave it: place -> (where words come from,
    where they go)."""
    x, y = place = (rng.randrange(width), rng.randrange(height))
    root = rng.choice([Port.RAMP] * 6 + [port for port, (dx, dy) in STEP.items()
                                         if not (0 <= x + dx < width and 0 <= y + dy < height)])
    tree, places = {place: (root, set())}, [place]
    for _ in range(2 * (width + height)):
        x, y = rng.choice(places)
        port = rng.choice(list(STEP))
        there = (x + STEP[port][0], y + STEP[port][1])
        if there not in tree and 0 <= there[0] < width and 0 <= there[1] < height:
            tree[x, y][1].add(port)
            tree[there] = (OPPOSITE[port], set())
            places.append(there)
        elif rng.random() < 0.05 and tree[x, y][0] != port and not (0 <= there[0] < width and 0 <= there[1] < height):
            tree[x, y][1].add(port)
    for _, tx in tree.values():
        if not tx or rng.random() < 0.4:
            tx.add(Port.RAMP)
    return tree


def make_layout(rng: random.Random, machine: str, profile: str, width: int, height: int,
                brief: bool = False) -> tuple[Layout, list]:
    """Routes of a few colors, on each PE a program that uses them, and where words may enter: (x, y, color, port)."""
    layout = Layout(machine, width, height, profile, banks=rng.random() < 0.8, open_edges=True)
    hears, speaks, entries = {}, {}, []
    for color in rng.sample([0, 1, 2, 3, 8, 12], rng.randrange(1, 4)):
        for (x, y), (source, tx) in random_tree(rng, width, height).items():
            switches = [Position(tx=[rng.choice(sorted(tx))]) for _ in range(rng.randrange(3))] if rng.random() < 0.3 else []
            layout.fabric.paint(color, [source], sorted(tx), x=x, y=y, switches=tuple(switches),
                                ring_mode=rng.random() < 0.5, pop_mode=rng.choice(["no_pop", "always_pop", "pop_on_advance"]))
            if Port.RAMP in tx:
                hears.setdefault((x, y), []).append(color)
                if rng.random() < 0.1:
                    layout.fabric.filter(color, RangeFilter(0, 60000), x=x, y=y)
            if source == Port.RAMP:
                speaks.setdefault((x, y), []).append(color)
            if source == Port.RAMP or ((dx := STEP[source]) and not (0 <= x + dx[0] < width and 0 <= y + dx[1] < height)):
                entries.append((x, y, color, source))
    authors = {}
    for y in range(height):
        for x in range(width):
            role = hears.get((x, y), []), speaks.get((x, y), [])
            if str(role) not in authors or (width < 4 and height < 4 and rng.random() < 0.7):
                authors[str(role)] = Author(rng, f"p{x}_{y}", machine, *role, brief)
            if rng.random() < 0.9:
                layout.set_program(authors[str(role)].program, x, y)
    for program in layout.programs:
        program.parameter("who")
        layout.set_parameter(program, "who", [[rng.randrange(9) for _ in range(width)] for _ in range(height)])
    return layout, entries
