"""The search for placements: its estimate, its guarantees, and where regions lie."""

import os
import random
import subprocess
import sys
from dataclasses import fields, replace
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest

from tests.planning.old_rule import old_rule
from tests.planning.small import SMALL, WSE3, wafer
from wsekern.errors import InputError
from wsekern.inference.mapping import Mapping
from wsekern.inference.programs import PROGRAM_SETS
from wsekern.inference.step_times import time_layers
from wsekern.machine import load_machine
from wsekern.machine.machine import sides_of
from wsekern.ops import AllGather, AllReduce, Broadcast, FlowEngine, Gemm, Local
from wsekern.planning.estimate import QuickPlacement
from wsekern.planning.estimator import estimator
from wsekern.planning.layout import Placement
from wsekern.planning.placement import front, place_model, place_service
from wsekern.planning.regions import RegionShape, pack
from wsekern.workload import Request, load_config


@cache
def placed(model: str, request: Request, wafers: int) -> Placement:
    return place_model(load_config(model), request, WSE3, wafers)


@pytest.mark.parametrize(("model", "count"), [("llama3-8b", 4), ("gpt-oss-20b", 3), ("deepseek-v2-lite", 3)])
def test_the_estimate_is_within_a_hundredth_of_the_flow_engine_and_never_less(model, count):
    rng, known, config = random.Random(model), estimator(WSE3, "silicon", "fp16"), load_config(model)
    for _ in range(count):
        programs = PROGRAM_SETS[rng.choice(["default", "2024-08"])].programs
        mapping = Mapping(config, rng.randint(60, 755), rng.randint(60, 1170), context=rng.choice([512, 8192]), chunk=8,
                          layers=1, with_head=False, programs=programs)
        tokens, slots = rng.choice([1, 8]), rng.randint(1, mapping.slots)
        exact = time_layers(WSE3, mapping, tokens, slots, "silicon").cycles
        assert exact <= known.layers(mapping, tokens, slots) * (1 + 1e-12) <= 1.01 * exact


@pytest.mark.parametrize("operation", [
    AllReduce(7, "x", groups=9), AllReduce(40, "y", groups=6), AllReduce(5, "x", groups=3, segment=11), Broadcast(9, "x"),
    Gemm(1, 30, 20), Local("silu_mul", 30, 2), AllGather(2, "x"), AllGather(26, "x"), AllGather(180, "x", segment=59),
    AllGather(6, "y"), AllGather(8, "x", segment=9)])
@pytest.mark.parametrize("name", ["wse1", "wse3"])
def test_an_operation_alone_takes_what_the_flow_engine_says(operation, name):
    machine = load_machine(name)
    engine = FlowEngine(machine, 88, 37)
    engine.time(operation)
    assert estimator(machine, "silicon", "fp16").operation(operation, 88, 37) == engine.cycles


def test_a_service_that_is_asked_for_again_lies_where_it_lay():
    machine = wafer()
    assert place_model(SMALL, Request(), machine) is place_model(SMALL, Request(), machine)


@pytest.mark.parametrize("model", ["llama3-8b", "gpt-oss-20b"])
def test_longer_contexts_never_take_less_memory(model):
    rng, config = random.Random(model), load_config(model)
    for _ in range(3):
        programs = replace(PROGRAM_SETS["default"].programs, position_blocks=rng.choice([1, 2, 4]))
        mapping = Mapping(config, rng.randint(60, 400), rng.randint(60, 400), chunk=rng.choice([1, 3, 8]), layers=1,
                          with_head=False, programs=programs, users=rng.choice([1, 5]))
        sizes = [sum(replace(mapping, context=rows * mapping.height).memory.values()) for rows in range(1, 50)]
        assert sizes == sorted(sizes)


def test_never_slower_than_the_rule_of_equal_cuts_on_a_whole_wafer():
    old = old_rule(load_config("llama3-8b"), Request(), WSE3, 1)
    assert placed("llama3-8b", Request(), 1).request_seconds() <= old.request_seconds()


@pytest.mark.parametrize("request_", [Request(), Request(2048, 64, 8), Request(64, 512, 3)])
@pytest.mark.parametrize("wafers", [1, 3])
@pytest.mark.parametrize("programs", ["default", "2024-08"])
def test_never_slower_than_the_rule_of_equal_cuts(request_, wafers, programs):
    old = old_rule(SMALL, request_, wafer(), wafers, programs)
    assert place_model(SMALL, request_, wafer(), wafers, programs=programs).request_seconds() <= old.request_seconds()


@pytest.mark.parametrize("request_", [Request(), Request(2048, 64, 8)])
def test_more_wafers_that_may_be_used_and_more_memory_are_never_slower(request_):
    wafers = [place_model(SMALL, request_, wafer(), count).request_seconds() for count in (1, 2, 3, 5)]
    memory = [place_model(SMALL, request_, wafer(kilobytes=size), 1).request_seconds() for size in (44, 48, 64)]
    assert wafers == sorted(wafers, reverse=True) and memory == sorted(memory, reverse=True)


def test_fewer_users_are_served_no_later_than_where_more_are_placed():
    asked = Request(6607, 157, 72)  # with chunks of 8 tokens smaller regions are quicker, which have no room for 16
    more = placed("llama3.2-1b", replace(asked, batch=76), 1).serving(asked)
    assert placed("llama3.2-1b", asked, 1).request_seconds() <= more.request_seconds()


def test_prompts_shorter_than_a_chunk_are_placed():
    for prompt in (1, 5):
        assert place_model(SMALL, Request(prompt, 4, 2), wafer(), 1).chunk <= prompt


def test_the_answer_is_the_same_whatever_the_hash_seed():
    root = Path(__file__).parents[2]  # after the installed package, which is not the folder of that name in the root
    code = (f"import sys; sys.path.append({str(root)!r}); from tests.planning.small import SMALL, wafer; "
            "from wsekern.planning.placement import place_model; from wsekern.workload import Request; "
            "found = place_model(SMALL, Request(), wafer()); "
            "print(found.shapes, found.head, found.chunk, found.programs, found.request_seconds())")
    seen = {subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True,
                           text=True, check=True, timeout=300, cwd=root).stdout for seed in ("1", "2")}
    assert len(seen) == 1


@pytest.mark.parametrize(("model", "wafers"), [("llama3-8b", 1), ("llama3-70b", 5)])
def test_regions_lie_on_the_wafers_beside_each_other_with_all_layers(model, wafers):
    placement = placed(model, Request(), wafers)
    width, height = sides_of(placement.machine)                        # of a wafer turned by a quarter, maybe
    assert {width, height} == set(sides_of(WSE3))
    for region in placement.rectangles:
        assert 0 <= region.x <= width - region.width and 0 <= region.y <= height - region.height
        assert 0 <= region.wafer < wafers
    for one, other in combinations(placement.rectangles, 2):
        assert (one.wafer != other.wafer or one.x + one.width <= other.x or other.x + other.width <= one.x
                or one.y + one.height <= other.y or other.y + other.height <= one.y)
    held = [layer for region in placement.rectangles for layer in range(region.first_layer, region.first_layer + region.layers)]
    assert held == list(range(placement.config.layers)) and placement.rectangles[-1].kind == "head"
    assert placement.fits()


def test_rest_strips_take_what_fits_them():
    packed = pack((10, 10), 1, (RegionShape(6, 5, 1, 2), RegionShape(4, 2, 1, 4)), (4, 2))
    assert packed is not None and not packed.free
    assert pack((10, 10), 1, (RegionShape(6, 5, 1, 2), RegionShape(4, 3, 1, 3)), (4, 2)) is None


def test_regions_that_differ_take_the_sum_of_their_times():
    whole = placed("llama3-8b", Request(), 1)
    shape, last = whole.shapes[0], RegionShape(whole.width - 20, whole.height, 1, 1)
    rest = whole.config.layers - last.layers - shape.layers * shape.count
    shapes = (shape, RegionShape(shape.width, shape.height, rest, 1), last) if rest > 0 else (
        RegionShape(shape.width, shape.height, shape.layers, shape.count - 1),
        RegionShape(shape.width, shape.height, shape.layers - 1, 1), last)
    mixed = replace(whole, wafers=2, shapes=shapes)
    passes = sum(one.count * mixed.region_seconds(1, -(-mixed.token_position // one.height), index)
                 for index, one in enumerate(shapes))
    expected = passes + mixed.head_seconds + mixed.crossing_seconds(1)
    assert mixed.token_seconds() == pytest.approx(expected, rel=1e-12)
    assert mixed.passed == pytest.approx(passes / max(mixed.region_seconds(1, -(-mixed.token_position // one.height), index)
                                                      for index, one in enumerate(shapes)))


def test_one_placement_serves_a_mix_of_requests():
    mix = ((Request(128, 256), 3.0), (Request(2048, 64), 1.0))
    service = place_service(SMALL, mix, wafer(), context=4096, users=4, wafers=2)
    assert service.request.context == 4096 and service.request.batch == 4 and service.fits()
    for request, _ in mix:
        assert service.serving(request).shapes == service.shapes
    with pytest.raises(InputError, match=r"a request of [\d,]+ tokens does not fit where model is placed for 4,096"):
        service.serving(Request(10_000_000, 1))
    with pytest.raises(InputError, match="each with a share above 0"):
        place_service(SMALL, ((Request(), 0.0),), wafer())


def test_the_front_has_no_point_that_another_beats():
    points = front(SMALL, ((Request(512, 64), 1.0),), wafer(), users=(1, 64))
    merits = [(point.tokens_per_second, point.users, -point.wafers) for point in points]
    assert merits and not any(one != other and all(a >= b for a, b in zip(one, other, strict=True))
                              for one in merits for other in merits)


def test_quick_and_exact_placements_have_the_same_fields():
    exact = placed("llama3-8b", Request(), 1)
    quick = QuickPlacement(**{one.name: getattr(exact, one.name) for one in fields(exact)})
    assert quick.exact() == exact and exact.request_seconds() <= quick.request_seconds() <= 1.02 * exact.request_seconds()
