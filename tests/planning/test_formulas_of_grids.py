"""The estimate by formulas is that of the lists themselves, and so are the bytes of a layer."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.inference.mapping import BlockSizes, Mapping
from wsekern.inference.programs import program_set
from wsekern.inference.step_times import layer_lists
from wsekern.machine import load_machine
from wsekern.machine.machine import in_cycles
from wsekern.planning.estimator import Estimator
from wsekern.planning.head_room import HeadRoom
from wsekern.planning.region_bytes import region_bytes
from wsekern.workload import load_config

WSE3 = in_cycles(load_machine("wse3"))
BY_FORMULAS, BY_LISTS = (Estimator(WSE3, "silicon", "fp16") for _ in range(2))
blocks = st.sampled_from([1, 2, 4, 8])


@pytest.mark.parametrize("model", ["llama3-8b", "qwen3-30b-a3b", "gpt-oss-120b", "deepseek-v3", "qwen3-next-80b-a3b"])
@settings(max_examples=4, deadline=None)
@given(width=st.integers(60, 750), height=st.integers(60, 900), context=st.integers(64, 20000), tokens=st.sampled_from([1, 8]),
       packed=st.sampled_from(["", "", "int8"]), parts=st.tuples(blocks, blocks, blocks))
def test_formulas_give_the_cycles_and_bytes_of_the_lists(model, width, height, context, tokens, packed, parts):
    programs = replace(program_set("default").programs,
                       **dict(zip(("position_blocks", "expert_blocks", "router_copies"), parts, strict=True)))
    grid = Mapping(load_config(model), width, height, "fp16", context=context, chunk=8, programs=programs, layers=2,
                   with_head=False, weight_precision=packed)
    slots = max(1, grid.slots // 2)
    lists = ((count, layer_lists(one, block, tokens, slots))
             for one, (block, count) in zip(grid.single_layers, grid.config.kinds, strict=True))
    whole = sum(count * share * BY_LISTS.steps(steps, width, height) for count, found in lists for steps, share in found)
    assert BY_FORMULAS.layers(grid, tokens, slots) == pytest.approx(whole, rel=1e-12)
    assert [one.needed_bytes for one in (grid, replace(grid, users=3))] == [
        sum(region_bytes(grid).by_use(width, height, 8, (users, context, 0))) for users in (1, 3)]
    assert grid._sizes == [BlockSizes.of(one, one.config.blocks[0]) for one in grid.single_layers]


def test_few_formulas_serve_all_grids():
    """Sizes of tiles stay numbers of formulas: one that is fixed would need others for each size."""
    quick, grid = Estimator(WSE3, "silicon", "fp16"), Mapping(load_config("llama3-8b"), 1, 1, layers=1, with_head=False,
                                                              programs=program_set("default").programs)
    for width in range(100, 400, 25):
        for height in range(100, 400, 50):
            quick.layers(replace(grid, width=width, height=height, context=4 * width, chunk=8), 8, width // 50)
    assert max(len(formulas.ways) for lists in quick._lists.values() for formulas in lists._known.values()) <= 24


@pytest.mark.parametrize(("model", "packed"), [("llama3-8b", ""), ("llama3-8b", "int8"), ("gemma3-27b", ""),
                                               ("gpt-oss-120b", "int4")])
def test_heads_of_all_sizes_have_the_bytes_and_cycles_of_their_regions(model, packed):
    heads = HeadRoom(load_config(model), WSE3, "fp16", program_set("default").programs, None, packed)
    for size in ((width, height) for width in range(50, 756, 151) for height in range(43, 1100, 211)):
        region = heads.region(*size)
        assert heads.memory(*size) == tuple(region.memory.values())
        assert heads.cycles(size, "silicon") == BY_LISTS.head(region)
    assert len(heads.memory.ways) <= 8 and len(heads.steps["silicon"].ways) <= 8
    found = heads.smaller(700, 1000)
    assert heads.quickest_in((700, 1000), "silicon") == min(found, key=lambda size: BY_LISTS.head(heads.region(*size)))
