"""The constants of a machine that is made by hand: every one is found where it belongs, and rounded as it should be."""

from fractions import Fraction
from itertools import product

import msgspec
import pytest

from wsekern.description import Listing, Quantity
from wsekern.errors import InputError
from wsekern.machine import Machine, Timing, load_machine
from wsekern.machine.timing import timing

CYCLES = {"output": 3.0, "input": 5.0, "setup": 6.5, "divide": 20.0, "exp": 30.2, "mean": 2.125}
RATES = {"fadds": 2.0, "fmovs": 0.3, "fmuls": 1.6, "fmuls_conflict": 0.75, "fmuls_long": 0.4, "fmachs": 1 / 1001}
SETUPS = {"fadds": 4.2, "fmovs": 0.0}
STREAM_SETUPS = {"fadds": 1.5}


def quantities(numbers: dict[str, float], unit: str) -> dict[str, Quantity]:
    return {key: Quantity(value, unit, "made up") for key, value in numbers.items()}


def made(words: int = 1, frame: int = 1, queues: tuple[int, ...] = (6, 4), latency: dict[str, float] = CYCLES) -> Machine:
    """A machine of its own: hops of 2 cycles, ramps of 3."""
    base = load_machine("wse3")
    profile = msgspec.structs.replace(
        base.profile("silicon"), link_words=Quantity(words, "count", "x"), link_frame=Quantity(frame, "cycles", "x"),
        rate=quantities(RATES, "elements/cycle"), setup=quantities(SETUPS, "cycles"),
        stream_setup=quantities(STREAM_SETUPS, "cycles"), latency=quantities(latency, "cycles"))
    fabric = msgspec.structs.replace(base.fabric, **quantities({"hop_latency": 2, "ramp_latency": 3}, "cycles"))
    core = msgspec.structs.replace(
        base.core, output_queues=Listing(queues, "wavelets", "x"), full_rate=Quantity(32, "elements", "x"),
        stride_width=Listing(tuple(range(1, 9)), "elements/cycle", "x"), simd=quantities({"fmach": 4.0}, "elements/cycle"))
    return msgspec.structs.replace(base, fabric=fabric, core=core, profiles={"silicon": profile})


def of(precision: str = "fp32", **more: object) -> Timing:
    return Timing(made(**more), "silicon", precision)


def test_latencies_are_whole_cycles_and_means_are_not():
    found = of()
    assert (found.hop, found.ramp, found.stage) == (2, 3, 3 + 3 + 3 + 5)
    assert [found.latency(key) for key in ("output", "setup", "exp", "mean")] == [3, 7, 31, 3]
    assert (found.latency("none"), found.latency("none", 9), found.latency("output", 9)) == (0, 9, 3)
    assert (found.exact("mean"), found.exact("setup"), found.exact("none")) == (Fraction(17, 8), Fraction(13, 2), 0)


def test_a_rate_is_the_profiles_then_the_cores_then_one_and_a_short_fraction():
    found = of()
    assert [found.rate(name) for name in ("fadds", "fmovs", "fmach", "fmaxs")] == [2, Fraction(3, 10), 4, 1]
    assert found.rate("fmachs") == Fraction(1, 1000)     # denominators up to 1000
    assert found.rate("fadds") == 2                      # asked again
    assert (found.conflict_rate("fmuls"), found.conflict_rate("fadds")) == (Fraction(3, 4), None)
    assert (found.long_rate("fmuls"), found.long_rate("fadds")) == (Fraction(2, 5), None)
    assert (found.full_rate_elements, found.stride_width) == (32, (1, 2, 3, 4, 5, 6, 7, 8))


def test_functions_of_the_library_take_what_their_calls_take():
    found = of()
    assert [found.call(name) for name in ("lib_div", "lib_exp", "lib_rsqrt", "lib_silu")] == [20, 31, 1, 51]
    assert [found.rate(name) for name in ("lib_div", "lib_silu", "lib_rsqrt")] == [Fraction(1, 20), Fraction(1, 51), 1]
    assert (found.setup("lib_exp"), found.elements("lib_exp", 3), found.vector("lib_exp", 3)) == (0, 93, 93)
    assert of(latency={**CYCLES, "divide": 0.0}).rate("lib_div") == 1     # never more than one a cycle


def test_a_set_up_is_the_instructions_own_else_the_profiles():
    found = of()
    assert [found.setup(name) for name in ("fadds", "fmovs", "fmuls")] == [5, 0, 7]
    assert [found.stream_setup(name) for name in ("fadds", "fmovs", "fmuls")] == [2, 0, 7]
    assert of(latency={"output": 1.0}).setup("fmuls") == 0


def test_elements_take_their_rate_rounded_up_and_none_take_nothing():
    found = of()
    assert [found.elements("fadds", count) for count in (0, 1, 2, 3, 4)] == [0, 1, 1, 2, 2]
    assert [found.elements("fmovs", count) for count in (1, 3, 10)] == [4, 10, 34]
    assert [found.vector("fadds", count) for count in (0, 1, 3)] == [0, 6, 7]


@pytest.mark.parametrize(("precision", "packing", "names"), [
    ("fp32", 1, ["fmovs", "fadds", "fmacs"]), ("fp16", 2, ["fmovh", "faddh", "fmach"]),
    ("fp16_fp32", 1, ["fmovs", "fadds", "fmachs"]), ("bf16", 2, ["fmovh", "faddh", "fmachs"]), ("u32", 1, ["mov32", "add32"])])
def test_a_precision_has_its_instructions_and_its_elements_in_a_word(precision, packing, names):
    found = of(precision)
    operations = ("mov", "add", "fma")[:len(names)]
    assert [found.instruction(operation) for operation in operations] == names and found.packing == packing
    assert of("fp32").instruction("add", "fp16") == "faddh"
    assert [found.wavelets(elements) for elements in (0, 1, 2, 3)] == ([0, 1, 1, 2] if packing == 2 else [0, 1, 2, 3])
    assert found.wavelets(7, 3) == 3


def test_words_of_a_stream_are_as_far_apart_as_their_elements_take():
    found = of()
    assert [found.step(name) for name in ("fadds", "fmaxs", "fmovs")] == [1, 1, 4]
    assert [of("fp16").step(name) for name in ("fadds", "fmaxs", "fmovs")] == [1, 2, 7]
    assert found.step("fmovs", 3) == 10


LINKS = [(1, 1), (2, 2), (1, 2), (2, 3), (8, 9), (2, 5), (3, 7)]


@pytest.mark.parametrize(("words", "frame"), LINKS)
def test_words_that_follow_each_other_over_a_link(words, frame):
    """One every ``step`` cycles, and as many words before as a frame holds lie a frame back."""
    found = of(words=words, frame=frame)
    assert found.link == (words, frame)
    for step in (1, 2, 3):
        crossed: list[int] = []
        for wavelets in range(1, 25):
            paced = crossed[-1] + step if crossed else 0
            crossed.append(max(paced, crossed[-words] + frame) if len(crossed) >= words else paced)
            assert found.stream(wavelets, step) == crossed[-1], (wavelets, step)
    assert found.stream(0) == 0 and found.stream(5) == found.stream(5, 1)


@pytest.mark.parametrize(("words", "frame"), LINKS)
def test_a_core_hands_over_words_at_its_own_pace_until_the_queue_is_full(words, frame):
    """A word leaves its queue 3 cycles after it came at the earliest, and as the link takes it; a cycle later there is room.
    Queues hold what comes in that time."""
    found = of(words=words, frame=frame)
    for (queue, depth), step in product(enumerate((6, 4)), (1, 2, 3)):
        handed: list[int] = []
        left: list[int] = []
        for i in range(24):
            paced = handed[-1] + step if handed else 0
            handed.append(max(paced, left[i - depth] + 1) if i >= depth else paced)
            assert found.sending(i + 1, step, queue) == handed[-1], (queue, step, i)
            left.append(max(handed[-1] + 3, left[i - words] + frame) if i >= words else handed[-1] + 3)
    assert found.sending(0) == 0 and found.sending(9) == found.sending(9, 1, 0)


def test_what_does_not_exist_is_refused_and_a_named_machine_is_kept():
    with pytest.raises(InputError, match="no precision 'fp8': use one of fp32, fp16, fp16_fp32, bf16"):
        of("fp8")
    with pytest.raises(InputError, match="no timing profile 'gold'"):
        Timing(made(), "gold", "fp32")
    assert timing("wse2", "silicon", "fp16") == Timing(load_machine("wse2"), "silicon", "fp16")
    assert timing("wse2", "silicon", "fp16") is timing("wse2", "silicon", "fp16")
