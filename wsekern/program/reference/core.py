"""The rules of the cores as plain Python: slow, readable, the specification that the kernel is compared with.

Every core acts in every cycle, instruction by instruction; nothing runs ahead and nothing sleeps. The rules in words are in
``docs/machine-model.md``, arithmetic in :mod:`wsekern.program.reference.math`, routers in :mod:`wsekern.fabric.reference`.
"""

from collections import deque

from wsekern.fabric.reference import Word
from wsekern.program.instructions import Scalar, Vector
from wsekern.program.layout import Layout
from wsekern.program.operands import TYPE_BYTES, Fabric, Fifo, Named, Operand
from wsekern.program.reference.fillings import Fillings
from wsekern.program.reference.parts import BrokenProgram, FifoState, Placed, Thread
from wsekern.program.reference.scalar import ScalarUnit
from wsekern.program.reference.vector import VectorUnit

MAIN, TEARDOWN_TASK, TASKS, INPUT_DEPTH = 8, 29, 32, 255
Found = tuple[int, int, int, int]
"""A note: cycle, color, instruction, number."""
WAITS = ("input", "output", "fifo", "microthread")
"""What a thread may wait for."""
_RANKS = {"high": 0, "medium": 1, "main": 2, "low": 3}


class ReferenceCore(VectorUnit, ScalarUnit):
    """One PE."""

    def __init__(self, placed: Placed, layout: Layout, x: int, y: int, parameters: list[int]) -> None:
        self.placed, self.program, self.timing, self.banks = placed, placed.program, layout.timing, layout.banks
        self.x, self.y, self.parameters = x, y, parameters
        self.memory = bytearray(self.program.data_bytes)
        self.written = bytearray(self.program.data_bytes)
        self.local = {number: placed.labels[self.program.tasks[name].label] for name, number in placed.tasks.items()}
        by_kind = {kind: [task for task in self.program.tasks.values() if task.kind == kind] for kind in ("data", "control")}
        self.data = {self.program.input_queue(task.number): task for task in by_kind["data"]}
        self.control = {task.number: placed.labels[task.label] for task in by_kind["control"]}
        self.high = {placed.tasks[name] for name in placed.tasks if self.program.tasks[name].priority == "high"}
        self.reset()

    def reset(self) -> None:
        """At the start of the program; memory stays."""
        program, ids = self.program, self.placed.tasks
        self.registers: dict[int, int] = {}
        self.threads = {MAIN: Thread(MAIN)} | {number: Thread(number) for number in self.microthreads()}
        self.activated = {ids[name] for name in ids if program.tasks[name].active}
        self.blocked = {ids[name] for name in ids if program.tasks[name].blocked}
        self.blocked_queues = {queue for queue, task in self.data.items() if task.blocked} | set(program.blocked_queues)
        self.inputs = {queue: deque() for queue in program.inputs}
        self.outputs = {queue: deque() for queue in program.outputs}
        self.hears, self.speaks = dict(program.inputs), dict(program.outputs)
        """Color of each input and output queue now."""
        self.due: dict[int, int] = dict.fromkeys(program.late_queues(), 0)
        """Of input queues that instructions bind: words that the last one still takes."""
        self.flushing: set[int] = set()
        self.flushed: set[int] = set()
        self.own = {name: self.stated_place(program.stated(Named(name))) for name in program.descriptors}
        self.fifos = {name: FifoState() for name in program.fifos}
        self.calls: list[int] = []
        self.last_task = TASKS - 1
        """Local task that began last."""
        self.slot = self.now = self.done = 0
        self.turn = dict.fromkeys(_RANKS, MAIN)
        self.counters = dict.fromkeys((*WAITS, "instructions", "elements",
                                       "vector_cycles", "conflict_cycles", "words", "tasks"), 0)
        self.found: dict[str, list[Found]] = {}
        self.fillings = Fillings()
        self.spent: dict[int, list[int]] = {}
        """By instruction: how often it began, cycles of threads at work at it, and waiting (WAITS)."""
        self.begin_at_once()

    def microthreads(self) -> list[int]:
        """Microthreads that the program uses."""
        vectors = [item for item in self.placed.code if isinstance(item, Vector) and item.microthread is not None]
        return sorted({self.microthread_of(item) for item in vectors})

    def microthread_of(self, item: Vector) -> int:
        """As given, else the number of the instruction's queue, output before input."""
        queues = [operand.queue for operand in map(self.program.stated, item.operands) if isinstance(operand, Fabric)]
        return item.microthread if item.microthread >= 0 else (queues or [0])[0]

    # ---- tasks

    def begin(self, entry: int, when: int) -> None:
        main = self.threads[MAIN]
        main.at, main.word, main.state, main.resume = entry, -1, "ready", when
        main.issued, main.awake = entry, 0
        self.calls.clear()
        self.counters["tasks"] += 1

    def begin_at_once(self) -> None:
        """What is active at the start, or launched by the host, begins in the coming cycle."""
        ready = self.activated - self.blocked
        if ready and self.threads[MAIN].state == "idle":
            task = self.next_task(ready & self.high or ready)
            self.activated.remove(task)
            self.begin(self.local[task], self.now)

    def next_task(self, ready: set[int]) -> int:
        """The local task that begins next: in turns, by number."""
        self.last_task = min((task for task in ready if task > self.last_task), default=min(ready))
        return self.last_task

    def launch(self, function: str) -> None:
        """The host launches a function."""
        self.activated.add(self.placed.tasks[function])
        self.begin_at_once()

    def pick_task(self) -> None:
        """The next task: high priority first, then local tasks in turns, then words by queue."""
        ready, latency = self.activated - self.blocked, self.timing.latency
        urgent = {queue for queue, task in self.data.items() if task.priority == "high"}
        for tasks, queues in ((ready & self.high, urgent), (ready, set(self.inputs))):
            if tasks:
                task = self.next_task(tasks)
                self.activated.remove(task)
                self.begin(self.local[task], self.now + latency("task"))
                return
            for queue in sorted(queues - self.blocked_queues):
                if self.inputs[queue] and self.entry_of(queue) is not None and self.reader_of(queue) is None and \
                        self.inputs[queue][0][2] <= self.now:
                    self.begin_word_task(queue)
                    return

    def entry_of(self, queue: int) -> int | None:
        """Where the task of a queue's first word begins."""
        bits, control, _ = self.inputs[queue][0]
        if control and bits >> 16 & 63 in self.control:
            return self.control[bits >> 16 & 63]
        return self.placed.labels[self.data[queue].label] if queue in self.data else None

    def reader_of(self, queue: int) -> int | None:
        """The microthread that is reading a queue."""
        return next((thread.number for thread in self.threads.values() if thread.number != MAIN and thread.state != "idle"
                     for loaded in thread.loaded[1:] if loaded is not None and isinstance(loaded.stated, Fabric)
                     and loaded.stated.queue == queue), None)

    def begin_word_task(self, queue: int) -> None:
        entry = self.entry_of(queue)
        bits, control, _ = self.pop(queue, alone=True)
        is_control = control and bits >> 16 & 63 in self.control
        self.registers[0] = bits & 0xFFFF if is_control else bits
        self.counters["words"] += 1
        self.begin(entry, self.now + self.timing.latency("task" if is_control else "data_task"))

    # ---- threads

    def wait(self, thread: Thread, what: str, number: int) -> None:
        if thread.state != what:
            thread.state, thread.resume = what, self.now
        thread.waits = number

    def wake(self, what: str, number: int, when: int) -> None:
        """Threads that wait for this go on at ``when``."""
        for thread in self.threads.values():
            if thread.state == what and thread.waits == number:
                self.counters[what] += when - thread.resume
                thread.state, thread.resume = "ready", when
                thread.awake, thread.waited = when, what

    def rank(self, thread: Thread) -> str:
        return "main" if thread.number == MAIN else self.placed.code[thread.at].priority

    def choose(self) -> Thread | None:
        """The thread that issues: best priority first, in turns among equals."""
        main = self.threads[MAIN]
        if main.state == "busy" and main.resume <= self.now:
            main.state = "ready"
        ready = [thread for thread in self.threads.values() if thread.state == "ready" and thread.resume <= self.now]
        if main.state == "busy":
            ready = [thread for thread in ready if self.rank(thread) != "low"]
        if not ready:
            return None
        best = min((self.rank(thread) for thread in ready), key=_RANKS.get)
        equals = [thread for thread in ready if self.rank(thread) == best]
        return min(equals, key=lambda thread: (thread.number - self.turn[best] - 1) % (MAIN + 1))

    def act(self) -> None:
        """What this core does in one cycle."""
        main, acted = self.threads[MAIN], False
        while self.slot <= self.now:
            if main.state == "idle":
                self.pick_task()
            thread = self.choose()
            if thread is None:
                break
            acted = True
            if thread is main:
                self.issue()
            else:
                self.next_word(thread)
        if main.state == "idle":
            self.pick_task()
        if acted and not self.live:
            self.done = self.now
        for thread in self.threads.values():
            self.spend(thread)

    def count(self) -> None:
        """The instruction that the main thread is at begins."""
        self.counters["instructions"] += 1
        self.spent.setdefault(self.at, [0] * (2 + len(WAITS)))[0] += 1

    def spend(self, thread: Thread) -> None:
        """What a thread did in this cycle, for the profile."""
        if thread.state == "idle":
            return
        waits = thread.state if thread.state in WAITS else thread.waited if self.now < thread.awake else None
        at = thread.issued if thread.number == MAIN and waits is None else thread.at
        column = 1 if waits is None else 2 + WAITS.index(waits)
        self.spent.setdefault(at, [0] * (2 + len(WAITS)))[column] += 1

    @property
    def live(self) -> bool:
        """Whether the core is at work."""
        return bool(self.activated - self.blocked) or any(thread.state != "idle" for thread in self.threads.values())

    # ---- what is hardly meant: enum pe_rule of pe_state.h

    def note(self, rule: str, color: int = -1, number: int = 0) -> None:
        """The instruction that the core is at breaks a rule."""
        self.found.setdefault(rule, []).append((self.now, color, self.at, number))

    def note_queue(self, thread: Thread, stated: Operand, is_target: bool) -> None:
        """A thread begins to use a queue: is a microthread at it already?"""
        if not isinstance(stated, Fabric):
            return
        for other in self.threads.values():
            operands = other.loaded[:1] if is_target else other.loaded[1:]
            if other is not thread and other.number != MAIN and other.state != "idle" and any(
                    loaded is not None and isinstance(loaded.stated, Fabric) and loaded.stated.queue == stated.queue
                    for loaded in operands):
                bound = self.speaks if is_target else self.hears
                self.note("shared-output" if is_target else "shared-input", bound[stated.queue], stated.queue)
                return

    def note_vector(self, thread: Thread, item: Vector) -> None:
        """A stream begins: queues that are in use, and an odd number of elements that a microthread hands on in pairs."""
        stated = [None if loaded is None else loaded.stated for loaded in thread.loaded]
        for k, operand in enumerate(stated):
            self.note_queue(thread, operand, k == 0)
        hands_on = isinstance(stated[0], Fabric) and any(isinstance(operand, Fabric) for operand in stated[1:])
        if thread.number != MAIN and hands_on and self.packing(item) == 2 and thread.extent % 2:
            self.note("odd", self.speaks[stated[0].queue], thread.extent)

    def note_rewrite(self, color: int) -> None:
        """A route is replaced: are words on their way, that do not wait for the end of a teardown?"""
        queue = self.fabric.queues.get((self.x, self.y, color))
        words = queue.reserved if queue else 0
        words += sum(color == (self.speaks[bound] if own is None else own) for bound, held in self.outputs.items()
                     for *_, own in held)
        if words and not (queue and queue.frozen):
            self.note("rewritten", color, words)

    def next_word(self, thread: Thread) -> None:
        """One word of a microthread."""
        self.at = thread.at
        item, main = self.placed.code[thread.at], self.threads[MAIN]
        outcome = self.run_word(thread, item)
        if outcome == "waits":
            return
        self.turn[item.priority] = thread.number
        if main.state == "busy":
            main.resume += 1
        self.slot = self.now + 1
        if outcome == "done":
            self.slot = thread.resume = self.now + self.step(item)
        else:
            thread.state = "idle"
            self.wake("microthread", thread.number, self.now + 1)

    # ---- what the main thread issues

    def issue(self) -> None:
        main = self.threads[MAIN]
        self.at, item = main.at, self.placed.code[main.at]
        main.issued = main.at
        if isinstance(item, Vector):
            self.issue_vector(main, item)
        elif item.form == "end":
            main.state = "idle"
        else:
            self.issue_scalar(main, item)

    def issue_vector(self, main: Thread, item: Vector) -> None:
        if item.microthread is not None:
            self.launch_vector(main, item)
        elif any(isinstance(self.program.stated(operand), (Fabric, Fifo)) for operand in item.operands):
            self.issue_stream(main, item)
        else:
            self.load_operands(main, item)
            self.count()
            cycles = self.run_in_memory(main, item)
            main.at += 1
            if cycles:
                main.state, main.resume, self.slot = "busy", self.now + cycles, self.now + 1

    def launch_vector(self, main: Thread, item: Vector) -> None:
        thread = self.threads[self.microthread_of(item)]
        if thread.state != "idle":
            self.wait(main, "microthread", thread.number)
            return
        if not self.bind_sources(main, item):
            return
        self.load_operands(thread, item)
        thread.at, thread.word = main.at, 0
        main.at += 1
        self.count()
        if thread.extent == 0:
            self.end_vector(thread, item, 0)
        else:
            self.note_vector(thread, item)
            thread.state, thread.resume = "ready", self.now + self.setup(item)
        main.resume = self.now + self.timing.latency("launch", 1)
        self.slot = self.now + min(1, main.resume - self.now)

    def issue_stream(self, main: Thread, item: Vector) -> None:
        if main.word < 0:
            if not self.bind_sources(main, item):
                return
            self.load_operands(main, item)
            self.count()
            if main.extent == 0:
                self.end_vector(main, item, 0)
                main.at += 1
                return
            self.note_vector(main, item)
            main.word, main.resume = 0, self.now + self.setup(item)
            if main.resume > self.now:
                return
        outcome = self.run_word(main, item)
        if outcome == "waits":
            return
        main.resume = self.now + self.step(item) if outcome == "done" else self.now + 1
        self.slot = main.resume
        if outcome == "ended":
            main.word, main.at = -1, main.at + 1

    def issue_scalar(self, main: Thread, item: Scalar) -> None:
        cycles, taken = self.cycles(item, self.placed.code[main.at + 1])
        if item.form in ("take", "give") and isinstance(self.program.stated(item.target), Fabric):
            if not (self.take_word(main, item) if item.form == "take" else self.give_word(main, item)):
                return
            cycles = max(1, cycles)
        self.count()
        main.at += 1
        if item.form == "branch":
            if self.registers.get(item.a, 0) == 0:
                main.at, cycles = self.placed.labels[item.target], taken
        elif item.form in ("jump", "call", "return"):
            self.go(main, item)
        else:
            getattr(self, f"do_{item.form}")(item)
        if cycles:
            main.resume, self.slot = self.now + cycles, self.now + 1

    # ---- words

    def pop(self, queue: int, alone: bool = False) -> tuple[int, bool, int]:
        """The first word of an input queue; there is room for another one."""
        word = self.inputs[queue].popleft()
        if alone:
            self.fillings.note_other("taken", self.hears[queue])
        if queue in self.due:
            self.due[queue] = max(0, self.due[queue] - 1)
        if self.due.get(queue, INPUT_DEPTH) >= self.input_depth(queue):
            self.fabric.give_credit(self.x, self.y, self.hears[queue])
        return word

    def bind(self, queue: int, color: int, due: int | None) -> None:
        """Let an input queue take words of a color: ``due`` of them, None: no end of them."""
        if self.inputs[queue] and color != self.hears[queue] and (due is not None or queue in self.due):
            raise BrokenProgram(f"words of color {self.hears[queue]} are left in input queue {queue}")
        depth = self.input_depth(queue)
        room = (depth if due is None else min(due, depth)) - len(self.inputs[queue])
        self.fabric.take_credit(self.x, self.y, self.hears[queue])
        self.hears[queue] = color
        self.due.pop(queue, None)
        if due is not None:
            self.due[queue] = due
        if room > 0 and (self.x, self.y, color) in self.fabric.queues:
            self.fabric.give_credit(self.x, self.y, color, room)

    def bind_sources(self, main: Thread, item: Vector) -> bool:
        """Bind the queues of an instruction that does so; False: the main thread waits for a microthread that reads one."""
        for operand in item.operands[1:]:
            stated = self.program.stated(operand)
            if not isinstance(stated, Fabric) or stated.color is None:
                continue
            reader = self.reader_of(stated.queue)
            if reader is not None:
                self.wait(main, "microthread", reader)
                return False
            packing = self.packing(item)
            loaded = [self.load(each, None) if each is not None else None for each in (item.dst, item.a, item.b, item.c)]
            extent = max(0, self.counted(loaded).place.extent)
            self.bind(stated.queue, stated.color, -(-extent // packing))
        return True

    def push(self, operand: Fabric, bits: int) -> None:
        word = Word(bits, operand.control, operand.advance_switch)
        self.outputs[operand.queue].append((word, self.now + self.timing.latency("output"), operand.color))
        self.counters["words"] += 1

    def take_word(self, main: Thread, item: Scalar) -> bool:
        """Whether the next word of a queue has come into a register."""
        operand = self.program.stated(item.target)
        words = self.inputs[operand.queue]
        if operand.color is not None and self.due.get(operand.queue) == 0:
            self.bind(operand.queue, operand.color, 1)
        if not words:
            self.wait(main, "input", operand.queue)
        elif words[0][2] > self.now:
            main.resume = words[0][2]
        else:
            self.note_queue(main, operand, False)
            bits = self.pop(operand.queue, alone=True)[0]
            self.registers[item.dst] = bits & (0xFFFFFFFF if TYPE_BYTES[operand.type] == 4 else 0xFFFF)
            self.counters["words"] += 1
            return True
        return False

    def give_word(self, main: Thread, item: Scalar) -> bool:
        """Whether a register has gone into a queue."""
        operand, bits = self.program.stated(item.target), self.registers.get(item.c, 0)
        if len(self.outputs[operand.queue]) == self.depth(operand.queue):
            self.wait(main, "output", operand.queue)
            return False
        self.note_queue(main, operand, True)
        if TYPE_BYTES[operand.type] == 2:
            bits &= 0xFFFF
            if operand.index is not None and item.a is not None:
                bits |= self.registers.get(item.a, 0) << 16 & 0xFFFFFFFF
        self.push(operand, bits)
        self.fillings.note_other("sent", self.speaks[operand.queue] if operand.color is None else operand.color)
        return True

    def input_depth(self, queue: int) -> int:
        return self.timing.machine.core.input_queues.values[queue]

    def depth(self, queue: int) -> int:
        return self.timing.machine.core.output_queues.values[queue]

    def hear(self, color: int, data: int, control: bool, torn_down: bool) -> None:
        """A word, or the news of a teardown, arrives."""
        if torn_down:
            if TEARDOWN_TASK in self.local:
                self.activated.add(TEARDOWN_TASK)
            return
        queue = next((queue for queue, bound in self.hears.items() if bound == color), None)
        if queue is None:
            raise BrokenProgram(f"a word of color {color}, which no input queue takes")
        when = self.now + self.timing.latency("input")
        self.inputs[queue].append((data, control, when))
        self.wake("input", queue, when)

    def speak(self) -> None:
        """One word onto the ramp, from the first output queue that can give one."""
        for queue in sorted(self.outputs):
            words = self.outputs[queue]
            if not words or words[0][1] > self.now:
                continue
            word, _, color = words[0]
            if self.fabric.offer(self.x, self.y, self.speaks[queue] if color is None else color, word):
                words.popleft()
                self.wake("output", queue, self.now + 1)
                self.end_flush(queue)
                return

    def end_flush(self, queue: int) -> None:
        """An output queue that is flushed and empty starts the teardown task."""
        if queue in self.flushing and not self.outputs[queue]:
            self.flushing.remove(queue)
            self.flushed.add(queue)
            if TEARDOWN_TASK in self.local:
                self.activated.add(TEARDOWN_TASK)
