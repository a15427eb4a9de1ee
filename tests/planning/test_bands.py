"""Bands of regions that differ: what they hold, where they lie, and that they are quickest."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from tests.inference.conftest import random_model
from tests.planning.small import SMALL, wafer
from wsekern.errors import BudgetError, InputError
from wsekern.inference.grid import Grid
from wsekern.inference.outer import head_steps, outer_tiles
from wsekern.inference.steps import View
from wsekern.machine import load_machine
from wsekern.machine.machine import sides_of
from wsekern.ops.engines.both import BothEngines
from wsekern.planning import _strips, reference
from wsekern.planning.bands import Bands
from wsekern.planning.candidates import Demand
from wsekern.planning.layout import Placement
from wsekern.planning.placement import place_model, search_for
from wsekern.planning.plan_file import load_plan, plan_text
from wsekern.planning.regions import RegionShape, pack
from wsekern.planning.service import Offer, Service
from wsekern.planning.strips import Strip, Strips, dealt
from wsekern.workload import Request, load_config

REQUEST = Request(128, 32)


def tight(kilobytes: int = 18):
    """A wafer that the small model fills."""
    return wafer(60, 80, kilobytes)


def test_strips_are_the_quickest_of_all_sums():
    strips = [Strip(3, 1, 5.0, "a"), Strip(5, 2, 8.0, "b"), Strip(4, 1, 3.0, "c")]
    found = Strips(strips, 13, 5)
    for layers, length in product(range(6), range(14)):
        sums = [sum(count * strip.cycles for count, strip in zip(counts, strips, strict=True))
                for counts in product(range(5), repeat=3)
                if sum(count * strip.layers for count, strip in zip(counts, strips, strict=True)) == layers
                and sum(count * strip.size for count, strip in zip(counts, strips, strict=True)) <= length]
        assert found.cycles(length)[layers] == min(sums, default=np.inf)
        if sums:
            chosen = found.chosen(layers, length)
            assert sum(strip.cycles for strip in chosen) == min(sums) and sum(strip.size for strip in chosen) <= length


@pytest.mark.parametrize("seed", range(20))
def test_the_kernel_of_strips_gives_what_its_reference_gives(seed):
    random = np.random.default_rng(seed)
    count, rows, length = int(random.integers(0, 8)), int(random.integers(1, 12)), int(random.integers(1, 40))
    strips = [Strip(int(random.integers(1, 12)), int(random.integers(1, 5)), int(random.integers(1, 4)) / 3, None)
              for _ in range(count)]
    found = [sums.Sums(strips, length, rows) for sums in (_strips, reference)]
    for place in range(length + 1):
        own, same = (one.on(place).tolist() for one in found)
        assert own == same
        for row in np.flatnonzero(np.isfinite(own)).tolist():
            assert found[0].chosen(row, place) == found[1].chosen(row, place)


@pytest.mark.parametrize("seed", range(20))
def test_layers_are_dealt_to_wafers_as_the_best_of_all_ways_is(seed):
    random = np.random.default_rng(seed)
    layers, crossing = int(random.integers(1, 8)), float(random.choice([0.7, 1.0]))
    wafers = [np.append(0.0, np.where(random.random(6) < 0.2, np.inf, random.integers(1, 6, 6))) for _ in range(4)]

    def cycles(way):
        before = [sum(way[:number]) for number in range(len(way))]
        return sum(own[count] + crossing * bool(count and first) for own, count, first in zip(wafers, way, before, strict=True))

    ways = [(cycles(way), way) for way in product(range(7), repeat=4) if sum(way) == layers]
    least, best = min(ways)
    found = dealt(wafers, layers, crossing)
    if not np.isfinite(least):
        assert found == ()
    elif crossing == 1.0:  # sums are exact
        assert found == best
    else:
        assert sum(found) == layers and cycles(found) == pytest.approx(least)


def bands(machine, halves=True, programs="default") -> Bands:
    search = search_for(SMALL, Demand.of([(REQUEST, 1.0)]), machine, programs)
    return Bands(search.config, search.machine, search.service, search.programs, search.load, search.seconds, 1, halves)


@pytest.mark.parametrize("height", [20, 32])
def test_regions_fit_and_are_wider_the_more_layers_they_keep(height):
    machine = tight()
    shapes = bands(machine).shapes(height)
    assert all(fits(machine, shape) and 0 <= shape.feed_width < shape.width for shape in shapes)
    narrowest = [shape for shape in shapes if not shape.feed_width and not fits(machine, replace(shape, width=shape.width - 1))]
    halves = [shape for shape in shapes if shape.feed_width]
    for kind in (narrowest, halves):
        assert kind and [shape.width for shape in kind] == sorted(shape.width for shape in kind)
        assert [shape.layers for shape in kind] == sorted(shape.layers for shape in kind)


@pytest.mark.parametrize("part", ["whole", "mixers", "feeds"])
def test_the_kernel_of_narrow_regions_gives_what_its_reference_gives(part):
    own = bands(tight())
    known, more, sram = own._bytes_of(part), own._code_of_layer(part), int(own.machine.core.sram)
    context = own.service.request.context
    for height in (20, 32, 71):
        expected = reference.narrowest(lambda width, height=height: known.by_use(width, height, 1, (3, context, 0)), sram,
                                       more, 12, 60)
        assert known.narrowest(height, 1, (3, context, 0), sram, more, 12, 60) == expected


def fits(machine, shape: RegionShape) -> bool:
    grid = bands(machine)._grid(shape.width - shape.feed_width, shape.height, shape.layers, feed_width=shape.feed_width)
    return grid.fits(machine)


def fewest(holds) -> int:
    return next(wafers for wafers in range(1, 20) if holds(wafers))


def test_halves_dealt_heads_and_bands_hold_a_model_on_fewer_wafers_than_equal_regions():
    machine = tight()
    search = search_for(SMALL, Demand.of([(REQUEST, 1.0)]), machine)
    equal = fewest(search.holds_all)
    least = fewest(lambda wafers: bands(machine).placement(wafers) is not None)
    assert least < equal
    placement = place_model(SMALL, REQUEST, machine, least)
    assert placement.fits() and placement.wafers == least
    width, height = sides_of(placement.machine)
    cells = np.zeros((least, height, width), int)
    for region in placement.rectangles:
        cells[region.wafer, region.y:region.y + region.height, region.x:region.x + region.width] += 1
    assert cells.max() == 1
    held = [layer for region in placement.rectangles for layer in range(region.first_layer, region.first_layer + region.layers)]
    assert held == list(range(SMALL.layers))
    assert any(shape.feed_width for shape in placement.shapes) or placement.head_wafers > 1
    assert placement.memory_used() <= placement.memory_there()
    with pytest.raises(BudgetError, match="does not fit"):
        place_model(SMALL, REQUEST, machine, least - 1)


def test_in_bands_never_slower_than_equal_regions():
    machine = wafer(100, 120)
    search = search_for(SMALL, Demand.of([(Request(), 1.0)]), machine)
    equal = search.best(2)
    assert place_model(SMALL, Request(), machine, 2).request_seconds() <= equal.request_seconds()


def test_a_dealt_head_takes_two_steps_more_and_lies_on_each_of_its_wafers():
    alone = Placement(SMALL, wafer(), REQUEST, 4, (RegionShape(150, 190, 3, 4),), (160, 10))
    dealt = replace(alone, head=(160, 3), head_wafers=4)
    latency = float(alone.machine.system.io_latency)
    assert dealt.head_mapping.config.vocab * 4 == SMALL.vocab
    heads = [region for region in dealt.rectangles if region.kind == "head"]
    assert [region.wafer for region in heads] == [0, 1, 2, 3] and {(one.x, one.y) for one in heads} == {(0, 197)}
    assert dealt.crossing_seconds(0) == pytest.approx(alone.crossing_seconds(0) + 2 * latency)
    assert pack((10, 10), 2, (RegionShape(10, 9, 1, 2),), (10, 1), 2) is not None
    assert pack((10, 10), 2, (RegionShape(10, 9, 1, 1), RegionShape(10, 10, 1, 1)), (10, 1), 2) is None


def test_the_logits_of_a_dealt_vocabulary_are_those_of_the_whole():
    config, weights = random_model(vocab=96)
    outer, x = weights.outer, np.random.default_rng(1).standard_normal((6, 1, 1, 6)).astype(np.float32).repeat(4, axis=1)
    engine = BothEngines(wafer(), 4, 6, precision="fp32")

    def logits(first: int, count: int) -> np.ndarray:
        part = replace(config, vocab=count)
        grid = Grid(part, 4, 6, "fp32", layers=0)
        own = outer | {"head": outer["head"][:, first:first + count], "embedding": outer["embedding"][first:first + count]}
        values = outer_tiles(grid, own) | {"x": x}
        for step in head_steps(grid):
            step.run(values) if isinstance(step, View) else step.run(engine, values)
        found = values["logits"]
        line = (found.full() if hasattr(found, "full") else found)[0]
        return line.swapaxes(0, 1).reshape(-1)[:count]

    np.testing.assert_array_equal(np.concatenate([logits(0, 48), logits(48, 48)]), logits(0, 96))
    assert engine.operations_by_wavelet and not engine.clock_difference


def test_a_plan_file_keeps_halves_and_dealt_heads(tmp_path):
    config, machine = load_config("llama3-8b"), load_machine("wse3")
    service = Service(1280)
    shapes = (RegionShape(359, 205, 4, 8, 280),)
    placement = Placement(config, machine, service.longest(1, "fp16"), 2, shapes, (755, 60), 1, head_wafers=2)
    path = tmp_path / "plan.toml"
    path.write_text(plan_text("llama3-8b", "wse3", Offer(service, placement)))
    found = load_plan(path).placement
    assert found.shapes == shapes and found.head_wafers == 2 and found.head == (755, 60)
    assert found.mapping.feed_width == 280 and found.mapping.width == 79
    for change, new, message in (("feed_width = 280", "feed_width = 359", r"regions\[0\].feed_width is 359"),
                                 ("wafers = 2  # the last", "wafers = 9  # the last", "head.wafers is 9")):
        path.write_text(plan_text("llama3-8b", "wse3", Offer(service, placement)).replace(change, new))
        with pytest.raises(InputError, match=message):
            load_plan(path)
    path.write_text(plan_text("llama3-8b", "wse3", Offer(service, placement)).replace("width = 359", "width = 320"))
    with pytest.raises(BudgetError, match="columns of a region of 40x205 PEs does not fit"):
        load_plan(path)
