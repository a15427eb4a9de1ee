"""Mixers on a few columns in the middle of a region, and numbers of blocks: what the search tries."""

import math
from dataclasses import replace

import pytest

from wsekern.inference.mapping import Mapping
from wsekern.inference.operation_times import handover_operations
from wsekern.inference.programs import PROGRAM_SETS
from wsekern.inference.step_times import time_handover
from wsekern.machine import load_machine
from wsekern.planning.blocks import with_blocks
from wsekern.planning.candidates import Candidate, Demand
from wsekern.planning.estimator import Estimator
from wsekern.planning.halved import halved, may_be_halved
from wsekern.planning.layout import Placement
from wsekern.planning.placement import search_for
from wsekern.planning.regions import RegionShape
from wsekern.workload import Request, load_config

WSE3 = load_machine("wse3")
DEFAULT = PROGRAM_SETS["default"].programs
QUICKEST = Candidate(200, 90, 1, DEFAULT)


def score(one: Candidate) -> float:
    """Least with 37 columns of mixers of 240; no room for fewer than 20."""
    if one.mixer_width < 20:
        return math.inf
    return abs(one.mixer_width - 37) + abs(one.width - 240)


def wider(one: Candidate) -> list[Candidate]:
    return [one, *(one._replace(width=width) for width in range(one.width + 8, 241, 8))]


def test_the_quickest_number_of_columns_is_found_from_the_best_region_and_from_cuts():
    cuts = [Candidate(240, 80, 1, DEFAULT), Candidate(240, 80, 2, DEFAULT), Candidate(240, 80, 1, DEFAULT, 2)]
    for starts in ([], cuts):
        found = halved(QUICKEST, starts, score, lambda one: one, wider)
        best = min(found, key=score)
        assert (best.mixer_width, best.width, best.layers, best.expert_wafers) == (37, 240, 1, 1)
    assert halved(QUICKEST, cuts, lambda one: math.inf, lambda one: one, wider) == []


def test_mixtures_alone_are_halved():
    assert may_be_halved(load_config("gpt-oss-120b")) and not may_be_halved(load_config("llama3-8b"))
    assert not may_be_halved(load_config("gemma4-26b-a4b"))  # its mixtures lie beside dense parts


def test_scores_of_routers_are_summed_where_a_gather_has_no_room():
    def taken(one: Candidate) -> float:
        copies = one.programs.router_copies
        return math.inf if one.programs.router == "gathered" and copies > 2 else 10 / copies + (one.programs.router == "summed")

    found = with_blocks(QUICKEST, ("expert_blocks", "router_copies"), taken)
    assert (found.programs.router, found.programs.router_copies, found.programs.expert_blocks) == ("summed", 32, 1)
    assert with_blocks(QUICKEST, ("position_blocks",), taken) == QUICKEST


@pytest.mark.parametrize("stacked", [False, True])
def test_the_way_to_the_next_region_is_timed_alike_by_all(stacked):
    mapping = Mapping(load_config("gpt-oss-120b"), 60, 96, layers=1, with_head=False, programs=DEFAULT, feed_width=600,
                      stacked=stacked)
    timed = time_handover(WSE3, mapping, 2, "silicon").cycles
    assert timed == sum(one.cycles for one in handover_operations(WSE3, mapping, 2, "silicon"))
    assert timed <= Estimator(WSE3, "silicon", "fp16").handover(mapping, 2) <= 1.02 * timed
    whole = time_handover(WSE3, replace(mapping, width=660, feed_width=0), 2, "silicon").cycles
    assert timed < 0.9 * whole if stacked else timed == whole


@pytest.mark.parametrize(("width", "alike", "stacked"), [(755, True, True), (300, True, False), (755, False, False)])
def test_mixers_lie_above_mixers_where_all_regions_are_alike_and_fill_the_width(width, alike, stacked):
    shapes = (RegionShape(width, 90, 2, 1, 200), RegionShape(width, 90, 2, 17, 200 if alike else 220))
    placement = Placement(load_config("gpt-oss-120b"), WSE3, Request(16, 16), 12, shapes, (100, 100), programs=DEFAULT)
    assert all(mapping.stacked == stacked for mapping in placement.mappings)


@pytest.mark.parametrize(("width", "expert_wafers"), [(30, 1), (40, 1), (300, 2)])
def test_regions_without_columns_for_feed_forward_parts_have_no_room(width, expert_wafers):
    search = search_for(load_config("qwen3-30b-a3b"), Demand.of(((Request(), 1.0),)), WSE3)
    assert search.room(Candidate(width, 200, 1, DEFAULT, expert_wafers, mixer_width=40)) is None
