"""Candidates by numbers beside placements that are built for them: the same rooms, the same seconds."""

import random
from dataclasses import replace

import pytest

from wsekern.machine import load_machine
from wsekern.planning.candidates import Candidate, Demand, with_programs
from wsekern.planning.estimate import QuickPlacement
from wsekern.planning.judge import Room
from wsekern.planning.layout import filled
from wsekern.planning.placement import search_for
from wsekern.planning.regions import shapes_of
from wsekern.planning.search import Search
from wsekern.workload import Request, load_config

WSE3 = load_machine("wse3")
ONE, MANY = [(Request(1024, 256), 1.0)], [(Request(3000, 256, 40), 1.0)]
MIX = [(Request(1000, 100, 4), 1.0), (Request(5000, 200, 2), 2.0)]


def placed(search: Search, candidate: Candidate, room: Room) -> QuickPlacement:
    """The candidate as a placement."""
    feeds = candidate.mixer_width and candidate.width - candidate.mixer_width
    shapes = shapes_of(search.config, candidate.width, candidate.height, candidate.layers, feeds)
    return QuickPlacement(search.config, WSE3, search.service.request, search.needed(candidate), shapes, search.heads.usual,
                          chunk=room.chunk, programs=candidate.programs, expert_wafers=candidate.expert_wafers,
                          inside=room.inside, **search.load)


def drawn(search: Search, chance: random.Random) -> tuple[Candidate, int]:
    """Regions of some size and programs, and a chunk."""
    blocks = {"position_blocks": chance.choice([1, 2]), "expert_blocks": 2, "router_copies": 2}
    width, layers = chance.randint(20, 750), chance.choice([1, 3, 5])
    together = chance.choice([1, 1, 2]) if search.config.mixtures else 1
    mixers = chance.choice([0, width // 2]) if together == 1 else 0
    return Candidate(width, chance.randint(20, 990), layers, replace(search.programs, **blocks), together, mixers), \
        chance.choice([1, 8, 64])


@pytest.mark.parametrize(("model", "load"), [
    ("llama3-8b", {"think_seconds": 2.0}), ("gemma3-4b", {"weight_precision": "fp8"}), ("gpt-oss-20b", {}),
    ("deepseek-v2-lite", {"cached": 100})])
def test_numbers_say_of_candidates_what_placements_say(model, load):
    chance = random.Random(3)
    for users in (1, 40, 700):
        request = Request(chance.choice([500, 4096]), chance.choice([2, 256]), users)
        search = search_for(load_config(model), Demand.of([(request, 1.0)]), WSE3, **load)
        for _ in range(6):
            candidate, chunk = drawn(search, chance)
            served = filled(placed(search, candidate, Room(chunk, None)))
            room = search.judge.room(candidate, chunk)
            assert room == (None if served is None else Room(chunk, served.inside))
            any_room = room or Room(chunk, chance.choice([None, 1, users]))
            seconds = search.judge.seconds(candidate, any_room, search.needed(candidate))
            assert seconds == pytest.approx(placed(search, candidate, any_room).request_seconds(), rel=1e-12)


@pytest.mark.parametrize(("sides", "layers"), [((200, 300), 16), ((300, 200), 4), ((100, 100), 8)])
def test_fewer_users_have_room_where_the_buffers_of_all_of_them_have_none(sides, layers):
    search = search_for(load_config("llama3.2-1b"), Demand.of([(Request(100, 20, 20_000), 1.0)]), WSE3)
    candidate = Candidate(*sides, layers, search.programs)
    served = filled(placed(search, candidate, Room(1, None)), 0.0)
    assert search.judge.room(candidate, 1, 0.0) == (None if served is None else Room(1, served.inside))


@pytest.mark.parametrize("model", ["llama3-8b", "gpt-oss-120b", "gemma3-27b", "deepseek-v3"])
@pytest.mark.parametrize("mix", [ONE, MANY, MIX], ids=["one", "many", "mix"])
def test_room_and_seconds_are_those_of_the_placement(model, mix):
    search = search_for(load_config(model), Demand.of(mix), WSE3)
    cuts = search._light_cuts(search.fewest(64))
    tried = [cut for cut in cuts if search.room(cut)][::20][:3]
    assert tried
    for cut in (*tried, with_programs(tried[0], position_blocks=2)):
        if search.room(cut):
            placement = search.placement(cut)
            assert filled(replace(placement, inside=None)).inside == placement.inside
            assert search.score(cut) == search.seconds(placement)
            quickest = cut._replace(any_chunk=True)
            assert search.score(quickest) == search.seconds(search.placement(quickest)) <= search.score(cut)
