"""Functions in the core's own vector instructions: the steps of exp, SiLU, reciprocal and others, as data.

Every step is one vector instruction over all elements, rounded once; together they define the values. No table and no branch:
exponents are moved as integers on the bits of the floats, fractions come from short polynomials and Newton steps.

* 2^y: adding a number whose last bit counts ones leaves the nearest whole number n in the low bits; y - n goes through a
  polynomial; n, shifted to where exponents lie, is added to its bits. An exponential of what is at most 0 is computed 2^K times
  too large, so that the last product underflows as it should.
* 1 / d: of the fraction alone, between 1 and 2: a parabola or cubic, then Newton: r + r (1 - d r).
* softplus: max(0, x) + log(1 + exp(-|x|)), the logarithm by a polynomial. Sigmoid: g = e / (1 + e), or 1 - g, as the sign bit
  says.
* SiLU: max(0, x) - |x| g with g = e / (1 + e), e = exp(-|x|): small errors for either sign, no overflow. GELU in its tanh
  form is x times the logistic function of 2 sqrt(2 / pi) (x + 0.044715 x^3): the same from there.

``work`` is the type that steps compute in, ``stored`` the type of what comes in and goes out. In fp32 a product and a sum are
two instructions: on WSE-3 silicon these take 1.5 cycles an element, fmacs 2 (where a single rounding matters it is fmacs).

>>> print(recipe("rsqrt", "fp16", "fp16").text())
g.top = slr16(x.top, 1)
g.top = sub16(22958, g.top)
half = mul(x, -0.5)
u = mul(half, g)
u = fma(0.5, u, g)
r = fma(g, g, u)
u = mul(half, r)
u = fma(0.5, u, r)
out = fma(r, r, u)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import e as euler
from math import inf, ldexp, log2, pi, sqrt

from wsekern.errors import InputError
from wsekern.ops.local.arithmetic import evaluate, nearest
from wsekern.ops.local.recipe import Recipe, Source, Step
from wsekern.program.operands import ElementType

_POWER_OF_TWO = {
    3: (1.0, 0.6932829273456677, 0.24221096179809296, 0.05500893139178731),
    4: (1.0, 0.6931241933751301, 0.24024098611035416, 0.0559064249725711, 0.009582853159727154),
    6: (1.0, 0.6931472028550907, 0.24022647913628223, 0.055503324710567195, 0.00961843735758609, 0.0013398874446256814,
        0.00015353361999761658),
}
"""2^f for f of -1/2 to 1/2, least relative error with 2^0 = 1: 1.0e-4, 2.8e-6, 2.0e-9 (reweighted least squares)."""
_ONE_OVER = {
    2: (0.9898990355279196, -0.8080809213547031, 0.32323236784569387),
    3: (0.9982669094095841, -0.9428076927757478, 0.6655113565650574, -0.2218371184568459),
}
"""1 / (1 + e) for e of 0 to 1, least relative error: 1.0e-2, 1.7e-3."""
_LOG_OF_ONE_MORE = {
    4: (0.9999432775612438, -0.4969777939420688, 0.3063008731922392, -0.15742711782804217, 0.0413472579895052),
    6: (0.9999987315270658, -0.4998696558146649, 0.33109448309186246, -0.23503857537092607, 0.1492238201283997,
        -0.06640175136229495, 0.014141007585394952),
    8: (0.9999999698793597, -0.4999949313793296, 0.33319096754457145, -0.24842981791098342, 0.19106005106929788,
        -0.13663242277347754, 0.07822591041121447, -0.02950521331232772, 0.005232687909326669),
}
"""log(1 + e) / e for e of 0 to 1, least relative error: 5.7e-5, 1.3e-6, 3.0e-8."""


@dataclass(frozen=True)
class Format:
    """A type in which steps compute: its top 16 bits, and where its exponentials end."""

    fraction_bits: int
    """Of the fraction, in the top 16 bits."""
    bias: int
    magic: float
    """Its last bit counts ones, for sums with numbers of about -64 to 64 or more."""
    magic_low: int
    """Low 16 bits of ``magic``."""
    rsqrt_magic: int
    """This minus half of the top bits of x are the top bits of about 1 / sqrt(x), within 3.5 %."""
    least: float
    """exp of what lies below is 0."""
    largest: float
    """exp of what lies above is infinite."""

    @property
    def exponent_mask(self) -> int:
        """Exponent bits of the top 16 bits."""
        return 0x8000 - (1 << self.fraction_bits)

    @property
    def two(self) -> int:
        """Top bits of -2: what makes a fraction a number from -4 to -2."""
        return 0x8000 | self.bias + 1 << self.fraction_bits


FORMATS = {
    "fp16": Format(10, 15, 1536.0, 0x6600, 0x59AE, -17.4, 11.2),
    "bf16": Format(7, 127, 192.0, 0x4340, 0x5F37, -88.5, 89.0),
    "fp32": Format(7, 127, 12582912.0, 0x0000, 0x5F37, -104.0, 89.0),
}
_FIRST_OF_BF16 = -43.25
"""Differences below have no exponential in bf16 steps: their n goes down to -64, and what is left there is taken off."""

_ONE_OVER_MAGIC = 0x7EF3
"""This minus the top bits of an fp32 number are the top bits of about 1 over it, within 6 %."""
_ERFC_RATE = 0.3275911 / sqrt(2)
_ERFC = tuple(0.5 * c for c in (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429))
"""Half of erfc(a / sqrt(2)) exp(a^2 / 2) as a polynomial in r = 1 / (1 + rate a), times r: within 1.5e-7 (Abramowitz and
Stegun, 7.1.26)."""
_FIRST_OF_FP16 = -30.0
"""In fp32 steps on fp16: 64 times the exponential of what lies below is still 0 in fp16."""


@dataclass
class _Writer:
    """Steps of a function that computes in ``work`` on what is ``stored``."""

    work: ElementType
    stored: ElementType
    factor: float = 1.0
    steps: list[Step] = field(default_factory=list)

    @property
    def format(self) -> Format:
        return FORMATS[self.work]

    @property
    def is_full(self) -> bool:
        """Whether results have all bits of fp32."""
        return self.stored == "fp32"

    def do(self, operation: str, target: str, *sources: Source) -> None:
        self.steps.append(Step(operation, target, sources))

    def fma(self, target: str, a: Source, b: Source, c: Source, spare: str = "") -> None:
        """``target`` = a + b * c. In fp32 two instructions, where the result is not fp32 itself; ``spare`` takes the product
        where ``target`` is a."""
        if self.work != "fp32" or self.is_full:
            return self.do("fma", target, a, b, c)
        room = target if target != a else spare
        self.do("mul", room, b, c)
        self.do("add", target, a, room)

    def polynomial(self, target: str, coefficients: Sequence[float], x: str) -> None:
        """``target`` = c0 + c1 x + c2 x^2 + ..."""
        *rest, second, first = coefficients
        self.fma(target, second, x, first)
        for coefficient in reversed(rest):
            self.fma(target, coefficient, target, x)

    def minus_abs(self, target: str, x: str) -> None:
        """``target`` = -|x| in the type of x."""
        if (x == "x" and self.stored == "fp32") or (x != "x" and self.work == "fp32"):
            self.do("abs", target, x)
            return self.do("neg", target, target)
        self.do("or16", f"{target}.top", f"{x}.top", 0x8000)

    # ---- exponentials

    def power(self, x: str, factor: float, scale: float) -> None:
        """``p`` = ``scale`` * 2^(``factor`` * x), from the nearest whole number of the exponent and what is left of it."""
        fmt = self.format
        high = nearest(self.work, factor)
        low = nearest(self.work, factor - high)
        self.fma("t", fmt.magic, x, high)
        self.do("sll16", "s", "t.low", fmt.fraction_bits)
        self.do("sub", "t", fmt.magic, "t")
        self.fma("t", "t", x, high, spare="p")
        if low and (self.work != "fp32" or self.is_full):
            self.do("fma", "t", "t", x, low)
        moved = fmt.magic_low << fmt.fraction_bits & 0xFFFF         # what the shift leaves of the magic number itself
        scale = ldexp(-scale if moved >> 15 else scale, -((moved & 0x7FFF) >> fmt.fraction_bits))
        degree = 6 if self.is_full else 4 if self.work == "fp32" else 3
        self.polynomial("p", [scale * c for c in _POWER_OF_TWO[degree]], "t")
        self.do("add16", "p.top", "p.top", "s")

    def least(self, rate: float = log2(euler)) -> float:
        """Below, 2^(``rate`` * z), an exponential of what is at most 0, is 0."""
        last = _FIRST_OF_FP16 if self.stored == "fp16" and self.work == "fp32" else self.format.least
        return (_FIRST_OF_BF16 if self.work == "bf16" else last) * (log2(euler) / rate)

    def falling(self, sign: int, rate: float = log2(euler)) -> None:
        """``p`` = ``sign`` * 2^(``rate`` * z), of z between :meth:`least` and 0."""
        places = 0 if self.work == "bf16" or (self.work, self.stored) == ("fp32", "fp16") else 14 if self.work == "fp16" else 32
        self.power("z", rate, ldexp(sign, places))
        if self.work == "bf16":
            self.do("sub", "p", "p", sign * _ends_with(nearest("bf16", self.least(rate)), rate))
        elif places:
            self.do("mul", "p", "p", ldexp(1.0, -places))

    # ---- quotients

    def newton(self, d: str, r: str, u: str, times: int, out: str = "out") -> None:
        """``out`` = -1 / d from a guess ``r``, closer by squares: u = 1 + d r, r + r u."""
        for k in range(times):
            self.fma(u, 1.0, d, r)
            target = out if k == times - 1 else "r"
            self.fma(target, r, r, u, spare=u)
            r = target

    def logistic(self) -> None:
        """``p`` = -e / (1 + e) of ``p`` = -e."""
        c = _ONE_OVER[3 if self.work == "fp32" else 2]
        self.polynomial("t", [factor * (-1) ** k for k, factor in enumerate(c)], "p")
        for _ in range(2 if self.is_full else 1):
            if self.work == "fp32" and not self.is_full:
                self.do("mul", "n", "p", "t")
                self.do("sub", "n", "n", "t")
                self.do("add", "n", 1.0, "n")
            else:
                self.do("sub", "n", 1.0, "t")
                self.do("fma", "n", "n", "p", "t")
            self.fma("t", "t", "t", "n", spare="n")
        self.do("mul", "p", "p", "t")

    # ---- the functions

    def exp(self) -> None:
        """As the square of exp(x / 2), whose exponent no type is too small for; NaN by way of the last maximum, as e^x > x."""
        fmt = self.format
        self.do("max", "z", "x", fmt.least)
        self.do("neg", "z", "z")
        self.do("max", "z", "z", -fmt.largest)
        self.power("z", -log2(euler) / 2, 1.0)
        if self.work == "bf16":
            self.do("fma", "p", -_rest_of_bf16_square(), "p", "p")
        else:
            self.do("mul", "p", "p", "p")
        self.do("max", "out", "p", "x")

    def expsub(self) -> None:
        self.do("sub", "d", "x", "y")
        self.do("max", "z", "d", self.least())
        self.falling(1)
        self.do("max", "out", "p", "d")

    def exp2sub(self) -> None:
        self.do("sub", "d", "x", "y")
        self.do("max", "z", "d", self.least(1.0))
        self.falling(1, 1.0)
        self.do("max", "out", "p", "d")

    def share_exp(self) -> None:
        """exp of what is at most 0, within 3e-6, 2^-115 at least: for sums of a few that are rounded to 16 bits. In fp32."""
        rate = nearest(self.work, log2(euler))
        self.do("max", "z", -80.0, "x")         # NaN stays
        self.do("fma", "t", self.format.magic, "z", rate)
        self.do("sll16", "s", "t.low", self.format.fraction_bits)
        self.do("sub", "t", self.format.magic, "t")
        self.do("fma", "t", "t", "z", rate)
        self.polynomial("out", _POWER_OF_TWO[4], "t")
        self.do("add16", "out.top", "out.top", "s")

    def silu(self, out: str = "out", rate: float = 1.0) -> None:
        """x / (1 + exp(-``rate`` x))."""
        room = "z" if self.stored == self.work else "out"         # -|x| as it is stored: the result is not there yet
        self.minus_abs(room, "x")
        self.gated(room, rate)
        self.do("neg", "z", "z")
        self.product(out)

    def gelu(self, out: str = "out") -> None:
        slope = 2 * sqrt(2 / pi)
        self.do("mul", "z", "x", "x")
        self.fma("z", slope, "z", 0.044715 * slope)
        self.do("mul", "z", "z", "x")
        self.minus_abs("z", "z")
        self.gated("z")
        room = "z" if self.stored == self.work else "out"
        self.minus_abs(room, "x")
        self.do("max", "z", room, -64.0)        # infinity times 0 is no number
        self.do("neg", "z", "z")
        self.product(out)

    def gated(self, exponent: str, rate: float = 1.0) -> None:
        """``p`` = -g of ``rate`` * ``exponent``, which is at most 0; ``z``: the exponent, limited to where g is 0."""
        self.do("max", "z", exponent, self.least(rate * log2(euler)))
        self.falling(-1, rate * log2(euler))
        self.logistic()

    def product(self, out: str) -> None:
        """``out`` = max(0, x) + ``z`` * ``p``: |x| and -g."""
        self.do("max", "t", 0.0, "x")
        if self.work == "fp32" and not self.is_full:
            self.do("mul", "p", "z", "p")
            return self.do("add", out, "t", "p")
        self.do("fma", out, "t", "z", "p")

    def quick_gelu(self, out: str = "out") -> None:
        self.silu(out, 1.702)

    def relu2(self, out: str = "out") -> None:
        self.do("max", "t", "x", 0.0)
        self.do("mul", out, "t", "t")

    def softcap(self) -> None:
        """``factor`` * tanh(x / ``factor``): of |x| 1 - 2 g; the sign comes last."""
        room = "z" if self.stored == self.work else "out"
        self.minus_abs(room, "x")
        self.do("mul", "z", room, 2.0 / self.factor)
        self.gated("z")
        self.fma("t", 1.0, "p", 2.0)
        self.do("mul", "out", "t", self.factor)
        self.do("and16", "s", "x.top", 0x8000)
        self.do("or16", "out.top", "out.top", "s")

    def gelu_erf(self, out: str = "out") -> None:
        """max(0, x) - |x| g with g = erfc(|x| / sqrt(2)) / 2 = exp(-x^2 / 2) times a polynomial in 1 / (1 + c |x|)."""
        self.do("mov", "a", "x")
        self.minus_abs("a", "a")
        self.do("max", "a", "a", -14.0)         # infinity times 0 is no number
        self.do("mul", "z", "a", "a")
        self.do("mul", "z", "z", -0.5)
        self.do("max", "z", "z", self.least())
        self.falling(-1)
        self.do("mul", "d", "a", _ERFC_RATE)
        self.do("sub", "u", 1.0, "d")
        self.do("sub", "d", "d", 1.0)
        self.do("sub16", "g.top", _ONE_OVER_MAGIC, "u.top")
        self.newton("d", "g", "u", 3 if self.is_full else 2, "r")
        self.polynomial("t", _ERFC, "r")
        self.do("mul", "t", "t", "r")
        self.do("mul", "p", "p", "t")
        self.do("neg", "z", "a")
        self.product(out)

    def clamped_silu(self) -> None:
        """c / (1 + exp(-1.702 c)) * (1 + y) with both numbers limited, x from above and y from both sides."""
        self.do("neg", "c", "x")
        self.do("max", "c", "c", -self.factor)
        self.do("neg", "c", "c")
        self.minus_abs("z", "c")
        self.gated("z", 1.702)
        self.do("neg", "z", "z")
        self.do("max", "t", 0.0, "c")
        self.fma("t", "t", "z", "p", spare="p")
        self.do("neg", "u", "y")
        self.do("max", "u", "u", -self.factor)
        self.do("sub", "u", 1.0, "u")
        self.do("max", "u", "u", 1.0 - self.factor)
        self.do("mul", "out", "t", "u")

    def limited(self, target: str, room: str, x: str) -> None:
        """``x`` limited to ``factor`` on both sides."""
        self.do("neg", room, x)
        self.do("max", room, room, -self.factor)
        self.do("neg", room, room)
        self.do("max", target, room, -self.factor)

    def clip(self) -> None:
        self.limited("out", "t", "x")

    def sigmoid(self, out: str = "out") -> None:
        """1 + ``p``, with ``p`` = -g, or 0 + g of negative numbers; NaN by way of the last maximum: no result is below 0."""
        fmt, room = self.format, "v" if self.work == self.stored else "out"
        self.minus_abs(room, "x")
        self.gated(room)
        self.do("and16", "s", "x.top", 0x8000)
        self.do("sub16", "p.top", "p.top", "s")
        self.do("slr16", "s", "s", 15)
        self.do("sub16", "s", "s", 1)
        self.do("and16", "one.top", "s", fmt.bias << fmt.fraction_bits)
        self.do("add", "p", "one", "p")
        self.do("max", out, "p", room)

    def softplus(self) -> None:
        room = "v" if self.work == self.stored else "out"
        self.minus_abs(room, "x")
        self.do("max", "z", room, self.least())
        self.falling(1)
        self.polynomial("t", _LOG_OF_ONE_MORE[8 if self.is_full else 6 if self.work == "fp32" else 4], "p")
        self.do("max", "z", 0.0, "x")
        if self.work == "fp32" and not self.is_full:
            self.do("mul", "p", "p", "t")
            return self.do("add", "out", "z", "p")
        self.do("fma", "out", "z", "p", "t")

    def reciprocal(self) -> None:
        """Exponent and fraction apart: 2^(E - 1) of the one, 1 / d with d = -2 to -4 of the other; the sign comes last."""
        fmt, wide = self.format, self.work != self.stored
        if self.work == "fp32":
            self.do("mov", "d", "x")
        x = "d" if self.work == "fp32" else "x"
        self.do("and16", "scale.top", f"{x}.top", fmt.exponent_mask)
        self.do("sub16", "scale.top", fmt.exponent_mask, "scale.top")
        self.do("and16", "d.top", f"{x}.top", (1 << fmt.fraction_bits) - 1)
        self.do("or16", "d.top", "d.top", fmt.two)
        c = _about_one(_ONE_OVER[3 if wide else 2])
        self.polynomial("r", [factor * (-0.5) ** k / 2 for k, factor in enumerate(c)], "d")
        self.newton("d", "r", "u", 2 if self.is_full else 1, "r")
        self.do("mul", "r", "r", "scale")
        self.minus_abs("out" if wide else "u", "x")
        self.do("max", "out", "r", "out" if wide else "u")      # NaN: the larger of a magnitude and -|x|
        self.do("and16", "s", "x.top", 0x8000)
        self.do("or16", "out.top", "out.top", "s")

    def one_over(self) -> None:
        """1 / x of numbers from 2^-126 to 2^125, in fp32: the first guess ``g`` from the bits, then Newton three times."""
        self.do("sub16", "g.top", _ONE_OVER_MAGIC, "x.top")
        self.do("neg", "d", "x")
        self.newton("d", "g", "u", 3)

    def rsqrt(self) -> None:
        """For positive normal numbers; the first guess ``g``, in its top bits alone, from half of the exponent."""
        x = "x"
        if self.work != self.stored:
            self.do("mov", "half", "x")
            x = "half"
        self.do("slr16", "g.top", f"{x}.top", 1)
        self.do("sub16", "g.top", self.format.rsqrt_magic, "g.top")
        self.do("mul", "half", x, -0.5)
        times = 3 if self.is_full else 2
        for k in range(times):
            r = "r" if k else "g"
            self.do("mul", "u", "half", r)
            self.fma("u", 0.5, "u", r)
            self.fma("out" if k == times - 1 else "r", r, r, "u", spare="u")


def _about_one(c: Sequence[float]) -> list[float]:
    """A polynomial in e as one in m = 1 + e."""
    terms = [0.0] * len(c)
    for factor in reversed(c):          # Horner, with (m - 1) for e
        terms = [before - now for before, now in zip([0.0, *terms[:-1]], terms, strict=True)]
        terms[0] += factor
    return terms


@lru_cache(maxsize=1)
def _rest_of_bf16_square() -> float:
    """The same of general exponentials: the square of what the steps give for half of the least x, rounded."""
    half = _ends_with(FORMATS["bf16"].least, log2(euler) / 2)
    return nearest("bf16", half * half)


@lru_cache(maxsize=4)
def _ends_with(least: float, factor: float) -> float:
    """What bf16 steps give for 2^(``factor`` * ``least``)."""
    writer = _Writer("bf16", "bf16")
    writer.do("max", "z", "x", least)
    writer.power("z", factor, 1.0)
    writer.do("mov", "out", "p")
    return float(evaluate(Recipe("power", "bf16", "bf16", tuple(writer.steps)), nearest("bf16", least)))


def _times_y(function: Callable[..., None]) -> Callable[["_Writer"], None]:
    """A function times a second number."""
    def steps(writer: _Writer) -> None:
        function(writer, "t")
        writer.do("mul", "out", "t", "y")

    return steps


_GATES: dict[str, Callable[..., None]] = {
    "silu": _Writer.silu, "gelu": _Writer.gelu, "gelu_erf": _Writer.gelu_erf, "quick_gelu": _Writer.quick_gelu,
    "relu": lambda writer, out="out": writer.do("max", out, "x", 0.0), "relu2": _Writer.relu2, "sigmoid": _Writer.sigmoid,
}
"""Functions of one number that are also there times a second one."""
_STEPS: dict[str, Callable[[_Writer], None]] = {
    "exp": _Writer.exp, "reciprocal": _Writer.reciprocal, "rsqrt": _Writer.rsqrt, **_GATES,
    **{f"{name}_mul": _times_y(function) for name, function in _GATES.items()}, "softplus": _Writer.softplus,
    "expsub": _Writer.expsub, "exp2sub": _Writer.exp2sub, "softcap": _Writer.softcap, "clip": _Writer.clip,
    "clamped_silu": _Writer.clamped_silu, "one_over": _Writer.one_over, "share_exp": _Writer.share_exp,
}
FUNCTIONS = tuple(name for name in _STEPS if name not in ("one_over", "share_exp"))
"""``..._mul``: times a second vector; ``expsub``, ``exp2sub``: exp and 2^ of the difference of two, which is at most 0 (of 2^,
or a little above it); ``clamped_silu``: of two vectors."""
DIFFERENCES = ("expsub", "exp2sub")
"""Functions of a row and of a number that is taken off it."""
WIDE = ("gelu_erf", "gelu_erf_mul", "softcap")
"""Functions whose steps are in fp32 whatever is stored: in 16 bits they would lose what they compute."""


def check_factor(function: str, factor: float) -> None:
    """Refuse a cap or limit that is not positive."""
    if function in ("softcap", "clip", "clamped_silu") and not 0 < factor < inf:
        raise InputError(f"{function} with factor {factor}: expected a positive number")


@lru_cache(maxsize=128)
def recipe(function: str, work: ElementType, stored: ElementType, factor: float = 1.0) -> Recipe:
    """The steps of ``function`` (:data:`FUNCTIONS`) on ``stored`` values, computed in ``work``: fp16, bf16, fp32 on themselves,
    or fp32 on fp16 and bf16. ``factor``: the cap of ``softcap``, the limit of ``clip`` and ``clamped_silu``."""
    if function not in _STEPS:
        raise InputError(f"no function {function!r} in vector instructions: use one of {', '.join(FUNCTIONS)}")
    if work not in FORMATS or stored not in FORMATS or work not in (stored, "fp32"):
        raise InputError(f"{function} of {stored} in steps of {work}: expected fp32, or {stored} itself")
    check_factor(function, factor)
    writer = _Writer("fp32" if function in WIDE else work, stored, factor)
    _STEPS[function](writer)
    return Recipe(function, writer.work, stored, tuple(writer.steps))
