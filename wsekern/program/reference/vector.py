"""Vector instructions of :mod:`wsekern.program.reference.core`: operands, elements in memory, words of streams."""

from fractions import Fraction
from math import ceil
from typing import Any

from wsekern.program.instructions import INSTRUCTIONS, MAX_REPEAT, Vector
from wsekern.program.operands import MEMORY, TYPE_BYTES, Fabric, Fifo, Mem, Mem4d, Named, Operand, Register, Ring
from wsekern.program.program import Program
from wsekern.program.reference import math as numbers
from wsekern.program.reference.fillings import ALONE, ODD_PAIRS, PAIRS
from wsekern.program.reference.parts import BrokenProgram, Loaded, Place, Thread


def vector_types(program: Program, item: Vector) -> tuple[str, str, list[str | None]]:
    """What a vector instruction does, in which arithmetic, and as what it reads and writes dst, a, b, c.

    A move between elements of one width moves their bits, except from one 16-bit float format to the other; integer
    instructions take elements of their width as what they compute in; half-precision ones compute in bf16 on bf16.
    """
    operation, arithmetic = INSTRUCTIONS[item.name]
    types = [None if operand is None else program.type_of(operand) for operand in (item.dst, item.a, item.b, item.c)]
    there = {type for type in types if type}
    if arithmetic == "fp16" and "bf16" in there:
        arithmetic = "bf16"
    widths = {TYPE_BYTES[type] for type in there}
    if operation in ("from_integer", "to_integer"):
        types = [type and (type if numbers.is_float(type) else "i16") for type in types]
    elif operation == "mov" and len(widths) == 1 and not {"fp16", "bf16"} <= there:
        arithmetic = "u32" if widths == {4} else "u16"
        types = [type and arithmetic for type in types]
    elif not numbers.is_float(arithmetic):
        types = [arithmetic if type and TYPE_BYTES[type] == TYPE_BYTES[arithmetic] else type for type in types]
    return operation, arithmetic, types


class VectorUnit:
    """What a core does with vector instructions; the rest of it is :class:`wsekern.program.reference.core.ReferenceCore`."""

    nans = 0
    """Results so far that were no number: their bits are not specified."""

    def count_nans(self, value: Any) -> None:
        """Count results that are no number."""
        self.nans += value != value

    # ---- memory

    def checked(self, at: int, type: str) -> int:
        if at < 0 or at + TYPE_BYTES[type] > len(self.memory):
            raise BrokenProgram(f"byte {at} of {len(self.memory)}")
        return at

    def bits_at(self, at: int, type: str) -> int:
        if not all(self.written[at:at + TYPE_BYTES[type]]):
            self.note("unwritten", number=at)
        return int.from_bytes(self.memory[at:at + TYPE_BYTES[type]], "little")

    def put_bits(self, at: int, type: str, bits: int) -> None:
        size = TYPE_BYTES[type]
        self.written[at:at + size] = b"\1" * size
        self.memory[at:at + size] = (bits & (1 << 8 * size) - 1).to_bytes(size, "little")

    # ---- operands

    def stated_place(self, stated: Operand) -> Place:
        """Where a descriptor begins as its program states it."""
        if isinstance(stated, Register):
            return Place(0, 1, 0)
        if isinstance(stated, Fabric):
            return Place(stated.index or 0, stated.extent, 0)
        type = self.program.type_of(stated)
        offset = stated.offset if isinstance(stated, (Mem, Mem4d)) else 0
        stride = stated.stride if isinstance(stated, (Mem, Ring)) else 1
        return Place(self.placed.addresses[stated.symbol] + offset * TYPE_BYTES[type], stated.extent, stride)

    def load(self, operand: Operand, type: str | None) -> Loaded:
        """An operand as it is now; later changes of descriptors and registers do not touch it."""
        stated = self.program.stated(operand)
        if isinstance(operand, Named):
            own = self.own[operand.name]
            place = Place(own.base, own.extent, own.stride, own.at)
        else:
            place = self.stated_place(stated)
        if isinstance(stated, Register):
            place = Place(self.registers.get(stated.number, 0), 1, 0)
        return Loaded(operand, stated, type or self.program.type_of(stated), place)

    def load_operands(self, thread: Thread, item: Vector) -> None:
        """Issue: the operands, and how many elements the instruction has."""
        _, _, types = vector_types(self.program, item)
        thread.loaded = [None if operand is None else self.load(operand, type)
                         for operand, type in zip((item.dst, item.a, item.b, item.c), types, strict=True)]
        thread.extent = max(0, self.counted(thread.loaded).place.extent)
        target = thread.loaded[0].stated
        for loaded in thread.loaded:
            if loaded is None:
                continue
            loaded.live = isinstance(target, Register) and isinstance(loaded.stated, Register) and \
                loaded.stated.number == target.number
            if isinstance(loaded.stated, Mem):
                loaded.step = self.step_of(loaded, thread.extent)
            if isinstance(loaded.stated, (*MEMORY, Fifo)) and thread.extent and self.repeats_of(item) > 0:
                self.check_reach(loaded, thread.extent, self.repeats_of(item))

    def repeats_of(self, item: Vector) -> int:
        """Times that an instruction runs."""
        if item.times is None:
            return item.repeat
        bits = self.registers.get(item.times, 0)
        return 0 if bits >> 31 else min(bits, MAX_REPEAT)

    @staticmethod
    def step_of(loaded: Loaded, extent: int) -> int:
        """Elements that a mem1d moves in each repeat: as stated, or with ``save`` behind those of the repeat before."""
        stated = loaded.stated
        follows = isinstance(loaded.operand, Named) and stated.save and not stated.advance
        return extent * loaded.place.stride if follows else stated.advance

    @staticmethod
    def counted(operands: list[Loaded | None]) -> Loaded:
        """The operand that says how many elements: the first that is no scalar, of the sources and then the target; a FIFO only
        where there is no other."""
        there = [loaded for loaded in (*operands[1:], operands[0]) if loaded is not None]
        scalars = [loaded for loaded in there if isinstance(loaded.stated, Register)
                   or (isinstance(loaded.stated, Mem) and loaded.stated.stride == 0)]
        vectors = [loaded for loaded in there if loaded not in scalars]
        return next((loaded for loaded in vectors if not isinstance(loaded.stated, Fifo)), (vectors or operands)[0])

    def check_reach(self, loaded: Loaded, extent: int, repeat: int) -> None:
        """All elements that an instruction may touch lie in the memory."""
        stated, size = loaded.stated, TYPE_BYTES[loaded.type]
        if isinstance(stated, Mem):
            corners = [k * loaded.place.stride + r * loaded.step for k in (0, extent - 1) for r in (0, repeat - 1)]
        elif isinstance(stated, Mem4d):
            spans = [(n - 1) * stride for n, stride in zip(stated.shape, stated.strides, strict=True)]
            corners = [sum(min(0, span) for span in spans), sum(max(0, span) for span in spans)]
        else:
            corners = [0, self.program.symbols[stated.symbol][1] - 1]
        for corner in corners:
            self.checked(loaded.place.base + corner * size, loaded.type)

    def address(self, loaded: Loaded, k: int, repeat: int = 0) -> int:
        """Byte address of element ``k``."""
        stated, place = loaded.stated, loaded.place
        if isinstance(stated, Mem):
            element = k * place.stride + repeat * loaded.step
        elif isinstance(stated, Ring):
            element = (place.at + k * place.stride) % self.program.symbols[stated.symbol][1]
        else:
            element = 0
            for n, stride in zip(reversed(stated.shape), reversed(stated.strides), strict=True):
                element += k % n * stride
                k //= n
        return place.base + element * TYPE_BYTES[loaded.type]

    def fifo_address(self, loaded: Loaded, element: int) -> int:
        stated = loaded.stated
        return self.placed.addresses[stated.symbol] + element % self.program.symbols[stated.symbol][1] * TYPE_BYTES[loaded.type]

    def value(self, loaded: Loaded | None, k: int, repeat: int = 0, lane: int = 0) -> Any:
        """Element ``k`` of a source: of a word or a FIFO, the one at ``lane``."""
        if loaded is None:
            return 0
        stated = loaded.stated
        if isinstance(stated, Register):
            bits = self.registers.get(stated.number, 0) if loaded.live else loaded.place.base
        elif isinstance(stated, Fabric):
            bits = self.inputs[stated.queue][0][0] >> 16 * lane
        elif isinstance(stated, Fifo):
            bits = self.bits_at(self.fifo_address(loaded, self.fifos[stated.name].head + lane), loaded.type)
        else:
            bits = self.bits_at(self.address(loaded, k, repeat), loaded.type)
        return numbers.decode(loaded.type, bits)

    def compute(self, thread: Thread, item: Vector, k: int, repeat: int = 0, lane: int = 0) -> int:
        """Bits of element ``k`` of the result."""
        operation, arithmetic, _ = vector_types(self.program, item)
        result = numbers.apply(operation, arithmetic, *(self.value(s, k, repeat, lane) for s in thread.loaded[1:]))
        self.count_nans(result)
        return numbers.encode(thread.loaded[0].type, result)

    def put_element(self, target: Loaded, k: int, repeat: int, bits: int) -> None:
        if isinstance(target.stated, Register):
            self.registers[target.stated.number] = bits
        else:
            self.put_bits(self.address(target, k, repeat), target.type, bits)

    # ---- memory to memory

    def run_in_memory(self, thread: Thread, item: Vector) -> int:
        """All elements one after the other; the cycles that they take."""
        repeats, between = self.repeats_of(item), self.timing.latency("map") if item.between < 0 else item.between
        if thread.extent == 0 or repeats <= 0:
            self.end_vector(thread, item, 0)
            return 0
        cycles = self.element_cycles(thread, item)
        for repeat in range(repeats):
            for k in range(thread.extent):
                self.put_element(thread.loaded[0], k, repeat, self.compute(thread, item, k, repeat))
        self.end_vector(thread, item, thread.extent)
        self.counters["vector_cycles"] += repeats * (between + cycles)
        return self.setup(item) + repeats * (between + cycles)

    def setup(self, item: Vector) -> int:
        """Cycles from issue to first element; few where every operand is a register or an explicit descriptor."""
        stated = map(self.program.stated, item.operands)
        streams = any(isinstance(operand, Fabric) for operand in stated)
        cycles = self.timing.stream_setup(item.name) if streams else self.timing.setup(item.name)
        if any(not isinstance(operand, (Named, Register)) for operand in item.operands):
            return cycles
        return min(cycles, self.timing.latency("setup_loaded", cycles))

    def rate(self, item: Vector) -> Fraction:
        """Elements per cycle; where the target is one scalar and a source too, an element waits for the one before."""
        target, *sources = map(self.program.stated, item.operands)
        one = isinstance(target, Register) or (isinstance(target, Mem) and target.stride == 0)
        wait = max(1, self.timing.latency("scalar", 1)) if self.banks and one and target in sources else 0
        return min(self.timing.rate(item.name), Fraction(1, wait)) if wait else self.timing.rate(item.name)

    def element_cycles(self, thread: Thread, item: Vector) -> int:
        """Cycles of the elements of one repeat in memory: the first ones at the full rate, and what the banks add."""
        timing, n, rate = self.timing, thread.extent, self.rate(item)
        long = timing.long_rate(item.name) if self.banks and rate == timing.rate(item.name) else None
        first = n if long is None else min(n, timing.full_rate_elements)
        cycles = ceil(first / rate) + (ceil((n - first) / long) if n > first else 0)
        needs = [cycles]
        slow = timing.conflict_rate(item.name)
        if self.banks:
            needs += [ceil(n / width) for width in map(self.stride_width, thread.loaded) if width]
            if slow is not None and self.banks_meet(thread.loaded[1:]):
                needs.append(ceil(n / slow))
        self.counters["conflict_cycles"] += (max(needs) - cycles) * self.repeats_of(item)
        return max(needs)

    def stride_width(self, loaded: Loaded | None) -> int:
        """Elements that the banks give an operand in a cycle; 0: no limit."""
        if loaded is None or not isinstance(loaded.stated, MEMORY):
            return 0
        stride = loaded.stated.strides[-1] if isinstance(loaded.stated, Mem4d) else loaded.place.stride
        return 0 if stride in (0, 1) else self.timing.stride_width[stride * TYPE_BYTES[loaded.type] // 2 % 8]

    @staticmethod
    def banks_meet(sources: list[Loaded | None]) -> bool:
        """Whether two vectors that are read begin in the same four of the eight banks."""
        banks = [s.place.base // 2 % 4 for s in sources if s is not None and isinstance(s.stated, (*MEMORY, Fifo))
                 and s.place.stride]
        return len(set(banks)) < len(banks)

    def end_vector(self, thread: Thread, item: Vector, extent: int) -> None:
        """What remains of an instruction of which ``extent`` elements are done."""
        for loaded in thread.loaded:
            if loaded is not None and isinstance(loaded.operand, Named) and getattr(loaded.stated, "save", False):
                self.save(loaded, item, extent)
        self.tell(item.activate, activate=True)
        self.tell(item.unblock, activate=False)
        if item.done is not None:
            self.registers[item.done] = int(extent == thread.extent)
        self.counters["elements"] += extent * self.repeats_of(item)

    def save(self, loaded: Loaded, item: Vector, extent: int) -> None:
        """A named descriptor goes on where its last instruction ended."""
        own, place, size = self.own[loaded.operand.name], loaded.place, TYPE_BYTES[loaded.type]
        if isinstance(loaded.stated, Ring):
            own.at = (place.at + extent * place.stride) % self.program.symbols[loaded.stated.symbol][1]
        elif self.repeats_of(item) > 1:
            own.base = place.base + self.repeats_of(item) * loaded.step * size
        else:
            own.base = place.base + extent * place.stride * size

    def tell(self, name: str | int | None, activate: bool) -> None:
        """Activate or unblock a task, or unblock an input queue."""
        if name is None:
            return
        if isinstance(name, int):
            self.blocked_queues.discard(name)
        elif activate:
            self.activated.add(self.placed.tasks[name])
        else:
            self.blocked.discard(self.placed.tasks[name])

    # ---- streams

    def packing(self, item: Vector) -> int:
        """Elements in a word of the instruction."""
        return max((operand.elements_per_word for operand in map(self.program.stated, item.operands)
                    if isinstance(operand, Fabric)), default=1)

    def step(self, item: Vector) -> int:
        """Cycles from one word to the next."""
        return max(1, ceil(self.packing(item) / self.rate(item)))

    def run_word(self, thread: Thread, item: Vector) -> str:
        """Try the next word: "done", "ended" with it or before it, or "waits"."""
        packing = self.packing(item)
        k = thread.word * packing
        n = min(packing, thread.extent - k)
        outcome = self.sources_ready(thread, item, n) or self.target_ready(thread, item, n)
        if outcome:
            if outcome == "ended":
                self.end_vector(thread, item, k)
                self.note_filling(thread, item, k)
            return outcome
        bits, target = 0, thread.loaded[0]
        for lane in range(n):
            element = self.compute(thread, item, k + lane, lane=lane)
            if isinstance(target.stated, Fabric):
                bits |= element << 16 * lane
            elif isinstance(target.stated, Fifo):
                self.push_fifo(target, element)
            else:
                self.put_element(target, k + lane, 0, element)
        for source in thread.loaded[1:]:
            self.consume(source, n)
        if isinstance(target.stated, Fabric):
            if target.stated.index is not None:
                step = 0 if target.stated.same_index else k
                bits = bits & 0xFFFF | (target.place.base + step) << 16 & 0xFFFFFFFF
            self.push(target.stated, bits)
        else:
            self.counters["words"] += 1
        thread.word += 1
        self.counters["vector_cycles"] += self.step(item)
        if k + n < thread.extent:
            return "done"
        self.end_vector(thread, item, thread.extent)
        self.note_filling(thread, item, thread.extent)
        return "ended"

    def note_filling(self, thread: Thread, item: Vector, elements: int) -> None:
        """How an instruction that has ended has filled the words of its colors, or found them filled."""
        filling = ALONE if self.packing(item) == 1 else ODD_PAIRS if elements % 2 else PAIRS
        hears = item.terminate or item.control_activate is not None or item.control_unblock is not None
        for k, loaded in enumerate(thread.loaded if elements else ()):
            if loaded is None or not isinstance(loaded.stated, Fabric):
                continue
            stated, end = loaded.stated, "taken" if k else "sent"
            color = self.hears[stated.queue] if k else self.speaks[stated.queue] if stated.color is None else stated.color
            if TYPE_BYTES[loaded.type] != 2 or stated.index is not None or stated.control or hears:
                self.fillings.note_other(end, color)
            else:
                pe = self.y * self.fabric.plan.width + self.x
                self.fillings.note(end, color, filling, (self.now, pe, color, self.at, elements))

    def sources_ready(self, thread: Thread, item: Vector, n: int) -> str:
        """Empty where every source has its next ``n`` elements."""
        for source in thread.loaded[1:]:
            if source is None:
                continue
            if isinstance(source.stated, Fabric):
                words = self.inputs[source.stated.queue]
                if not words:
                    self.wait(thread, "input", source.stated.queue)
                    return "waits"
                if words[0][2] > self.now:
                    thread.resume = words[0][2]
                    return "waits"
                if words[0][1] and (item.terminate or item.control_activate is not None
                                    or item.control_unblock is not None):
                    return self.hear_control(thread, item, source.stated.queue)
            elif isinstance(source.stated, Fifo) and self.fifos[source.stated.name].count < n:
                self.fifos[source.stated.name].starved = True
                return self.fifo_stops(thread, item, source.stated)
        return ""

    def hear_control(self, thread: Thread, item: Vector, queue: int) -> str:
        """Take a control wavelet, which may end the instruction."""
        self.pop(queue)
        self.tell(item.control_activate, activate=True)
        self.tell(item.control_unblock, activate=False)
        thread.resume = self.now + 1
        return "ended" if item.terminate else "waits"

    def fifo_stops(self, thread: Thread, item: Vector, fifo: Fifo) -> str:
        """An empty or full FIFO holds an asynchronous instruction, and ends a synchronous one."""
        if item.microthread is None:
            return "ended"
        self.wait(thread, "fifo", list(self.program.fifos).index(fifo.name))
        return "waits"

    def target_ready(self, thread: Thread, item: Vector, n: int) -> str:
        """Empty where the target has room for ``n`` elements."""
        stated = thread.loaded[0].stated
        if isinstance(stated, Fabric) and len(self.outputs[stated.queue]) == self.depth(stated.queue):
            self.wait(thread, "output", stated.queue)
            return "waits"
        if isinstance(stated, Fifo) and self.fifos[stated.name].count + n > self.program.symbols[stated.symbol][1]:
            self.fifos[stated.name].full = True
            return self.fifo_stops(thread, item, stated)
        return ""

    def consume(self, source: Loaded | None, n: int) -> None:
        """Take the word or the ``n`` elements that a source has given."""
        if source is None:
            return
        if isinstance(source.stated, Fabric):
            self.pop(source.stated.queue)
        elif isinstance(source.stated, Fifo):
            fifo = self.fifos[source.stated.name]
            fifo.head = (fifo.head + n) % self.program.symbols[source.stated.symbol][1]
            fifo.count -= n
            if fifo.full:
                fifo.full = False
                self.tell(source.stated.on_pop, activate=True)
            self.wake_fifo(source.stated)

    def push_fifo(self, target: Loaded, bits: int) -> None:
        fifo = self.fifos[target.stated.name]
        self.put_bits(self.fifo_address(target, fifo.head + fifo.count), target.type, bits)
        fifo.count += 1
        if fifo.starved:
            fifo.starved = False
            self.tell(target.stated.on_push, activate=True)
        self.wake_fifo(target.stated)

    def wake_fifo(self, fifo: Fifo) -> None:
        self.wake("fifo", list(self.program.fifos).index(fifo.name), self.now + 1)
