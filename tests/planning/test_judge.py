"""What is said of candidates by numbers is what their placements say."""

from dataclasses import replace

import pytest

from wsekern.machine import load_machine
from wsekern.planning.candidates import Demand, with_programs
from wsekern.planning.layout import filled
from wsekern.planning.placement import search_for
from wsekern.workload import Request, load_config

WSE3 = load_machine("wse3")
ONE, MANY = [(Request(1024, 256), 1.0)], [(Request(3000, 256, 40), 1.0)]
MIX = [(Request(1000, 100, 4), 1.0), (Request(5000, 200, 2), 2.0)]


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
