"""Whole-cycle costs of one machine, profile and precision: the constants that both engines share."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from math import ceil

from wsekern.errors import InputError
from wsekern.garbage import lasting
from wsekern.hashed import HashedOnce
from wsekern.machine.machine import Machine, load_machine
from wsekern.shown import Shown

PRECISIONS = ("fp32", "fp16", "fp16_fp32", "bf16")
"""fp32; fp16 with fp16 accumulation; fp16 with fp32 accumulation; bf16."""

_INSTRUCTIONS = {
    "u32": {"mov": "mov32", "add": "add32"},
    "fp32": {"mov": "fmovs", "add": "fadds", "sub": "fsubs", "mul": "fmuls", "fma": "fmacs", "max": "fmaxs",
             "neg": "fnegs", "abs": "fabss"},
    "fp16": {"mov": "fmovh", "add": "faddh", "sub": "fsubh", "mul": "fmulh", "fma": "fmach", "max": "fmaxh",
             "neg": "fnegh", "abs": "fabsh"},
    "fp16_fp32": {"mov": "fmovs", "add": "fadds", "sub": "fsubs", "mul": "fmulh", "fma": "fmachs", "max": "fmaxs",
             "neg": "fnegh", "abs": "fabsh"},
    "bf16": {"mov": "fmovh", "add": "faddh", "sub": "fsubh", "mul": "fmulh", "fma": "fmachs", "max": "fmaxh",
             "neg": "fnegh", "abs": "fabsh"},
}

LIBRARY = {"lib_div": ("divide",), "lib_exp": ("exp",), "lib_rsqrt": ("rsqrt",), "lib_silu": ("exp", "divide")}
"""Functions of the software library, called element by element, and the latencies that make up one call."""


@lasting
@lru_cache(maxsize=1024)
def _fraction(value: float) -> Fraction:
    """A measured number as a short fraction."""
    return Fraction(value).limit_denominator(1000)


@dataclass(frozen=True, repr=False)
class Timing(HashedOnce, Shown):
    """What things cost on ``machine`` under ``profile`` for ``precision``, in whole cycles.

    The rules are those of ``docs/machine-model.md``: an instruction issued at ``s`` executes its first element at
    ``s + setup``, then one word every ``step`` cycles as the words arrive; the next one issues a cycle after its last
    element. A word sent by the element executed at ``e`` can be used ``stage + hops * hop`` cycles later.
    """

    machine: Machine
    profile: str
    precision: str

    def __post_init__(self) -> None:
        if self.precision not in _INSTRUCTIONS:
            raise InputError(f"no precision {self.precision!r}: use one of {', '.join(PRECISIONS)}")
        self.machine.profile(self.profile)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Reckoned once: timings are keys of many caches."""
        return hash((self.machine, self.profile, self.precision))

    def of(self, precision: str) -> "Timing":
        """The same in another number format, kept."""
        if precision == self.precision:
            return self
        if precision not in self._others:
            self._others[precision] = Timing(self.machine, self.profile, precision)
        return self._others[precision]

    @cached_property
    def _others(self) -> "dict[str, Timing]":
        """Those that were asked for."""
        return {}

    @property
    def hop(self) -> int:
        """Cycles from one router to the next."""
        return int(self.machine.fabric.hop_latency)

    @property
    def ramp(self) -> int:
        """Cycles between a core's queues and its router, either way (T_R)."""
        return int(self.machine.fabric.ramp_latency)

    @cached_property
    def stage(self) -> int:
        """Cycles from an element that sends a word to the element that uses it on a PE zero hops away."""
        return self.latency("output") + self.ramp + self.ramp + self.latency("input")

    @cached_property
    def link(self) -> tuple[int, int]:
        """A link carries at most ``link[0]`` words in any ``link[1]`` consecutive cycles."""
        profile = self.machine.profile(self.profile)
        return int(profile.link_words), int(profile.link_frame)

    def latency(self, key: str, default: int = 0) -> int:
        """Fixed cost ``key`` of the profile's latency table, or ``default`` where the profile has none."""
        found = self._latencies.get(key)
        return default if found is None else found

    @cached_property
    def _latencies(self) -> dict[str, int]:
        """The latency table in whole cycles."""
        return {key: ceil(found.value) for key, found in self.machine.profile(self.profile).latency.items()}

    def exact(self, key: str) -> Fraction:
        """As :meth:`latency`, not rounded up: a mean over many calls; 0 where the profile has none."""
        found = self.machine.profile(self.profile).latency.get(key)
        return Fraction(0) if found is None else _fraction(found.value)

    def instruction(self, operation: str, precision: str | None = None) -> str:
        """Vector instruction (``fadds``, ``fmach``) that does ``operation`` (``add``, ``fma``) here, or in ``precision``."""
        return _INSTRUCTIONS[precision or self.precision][operation]

    def rate(self, instruction: str) -> Fraction:
        """Elements per cycle of a vector instruction: the profile's, else the core's SIMD width, else one; of a function of the
        software library as its calls take."""
        if instruction not in self._rates:
            self._rates[instruction] = self._rate(instruction)
        return self._rates[instruction]

    @cached_property
    def _rates(self) -> dict[str, Fraction]:
        """Those that were asked for."""
        return {}

    def _rate(self, instruction: str) -> Fraction:
        if instruction in LIBRARY:
            return Fraction(1, max(1, self.call(instruction)))
        found = self.machine.profile(self.profile).rate.get(instruction) or self.machine.core.simd.get(instruction)
        return Fraction(1) if found is None else _fraction(found.value)

    def call(self, function: str) -> int:
        """Cycles of one call of a function of the software library."""
        return sum(self.latency(part, 1) for part in LIBRARY[function])

    def conflict_rate(self, instruction: str) -> Fraction | None:
        """Elements per cycle where two operands meet in a memory bank; None where the profile knows no difference."""
        found = self.machine.profile(self.profile).rate.get(f"{instruction}_conflict")
        return None if found is None else _fraction(found.value)

    def long_rate(self, instruction: str) -> Fraction | None:
        """Elements per cycle of one long vector, after its first :attr:`full_rate_elements`; None: no difference."""
        found = self.machine.profile(self.profile).rate.get(f"{instruction}_long")
        return None if found is None else _fraction(found.value)

    @property
    def full_rate_elements(self) -> int:
        """Elements of a vector that run at the full rate where the profile has a lower one for long vectors."""
        return int(self.machine.core.full_rate)

    @property
    def stride_width(self) -> tuple[int, ...]:
        """Elements that the memory banks give in a cycle, by stride modulo 8 in 16-bit words."""
        return self.machine.core.stride_width.values

    def setup(self, instruction: str) -> int:
        """Cycles from the issue of a vector instruction, memory to memory, to its first element: its own, else the profile's
        ``setup``; none of a function of the software library, whose calls hold all they take."""
        if instruction in LIBRARY:
            return 0
        found = self._setups.get(instruction)
        return self.latency("setup") if found is None else found

    @cached_property
    def _setups(self) -> dict[str, int]:
        """The set-up table in whole cycles."""
        return {key: ceil(found.value) for key, found in self.machine.profile(self.profile).setup.items()}

    def stream_setup(self, instruction: str) -> int:
        """As :meth:`setup`, of a vector instruction that takes words from the fabric or sends some: its own in streams where
        the profile has one."""
        found = self.machine.profile(self.profile).stream_setup.get(instruction)
        return self.setup(instruction) if found is None else ceil(found.value)

    def follows(self, instruction: str, elements: int) -> bool:
        """Whether an instruction may add to what it made so many ``elements`` before without waiting for the result, which is
        there ``latency.scalar`` cycles later."""
        rate = self.rate(instruction)
        return elements * rate.denominator >= rate.numerator * self.latency("scalar", 1)

    def elements(self, instruction: str, count: int) -> int:
        """Cycles in which a vector instruction executes ``count`` elements, memory to memory, without its set-up."""
        rate = self.rate(instruction)
        return -(-count * rate.denominator // rate.numerator)

    def vector(self, instruction: str, count: int) -> int:
        """Set-up and elements of one vector instruction, memory to memory."""
        return self.setup(instruction) + self.elements(instruction, count) if count else 0

    @property
    def packing(self) -> int:
        """Elements of the precision in one 32-bit wavelet."""
        return 2 if self.precision in ("fp16", "bf16") else 1

    def wavelets(self, elements: int, packing: int | None = None) -> int:
        """Wavelets that carry ``elements`` elements."""
        return -(-elements // (packing or self.packing))

    def step(self, instruction: str, packing: int | None = None) -> int:
        """Cycles between two wavelets that a streaming ``instruction`` takes in or puts out."""
        rate = self.rate(instruction)
        return max(1, -(-(packing or self.packing) * rate.denominator // rate.numerator))

    def stream(self, wavelets: int, step: int = 1) -> int:
        """Cycles from the first to the last of ``wavelets`` words that follow each other over a link."""
        words, frame = self.link
        last = max(0, wavelets - 1)
        if step * words >= frame:
            return last * step
        return last // words * frame + last % words * step

    def sending(self, wavelets: int, step: int = 1, queue: int = 0) -> int:
        """Cycles from the first to the last word that a core hands to output queue ``queue``: its own pace, until the
        queue is full of words that wait for the ramp."""
        depth = self.machine.core.output_queues.values[queue]
        own = max(0, wavelets - 1) * step
        return own if wavelets <= depth else max(own, self.latency("output") + 1 + self.stream(wavelets - depth, step))


@lasting
@lru_cache(maxsize=128)
def timing(machine: str, profile: str, precision: str) -> Timing:
    """The :class:`Timing` of a named machine."""
    return Timing(load_machine(machine), profile, precision)
