"""Bytes of code: counted from programs, the same for any number of rows, and on no grid more than a mapping reserves."""

from dataclasses import fields
from typing import get_args, get_type_hints

import numpy as np
import pytest

from wsekern.inference.code import BESIDE_PROGRAMS, TOKENS, ProgramSizes, code_bytes, layer_sizes, program_bytes
from wsekern.inference.grid import Grid
from wsekern.inference.layer import layer_steps
from wsekern.inference.mapping import Mapping
from wsekern.inference.programs import PROGRAM_SETS, Programs
from wsekern.machine.timing import timing
from wsekern.ops import AllReduce, Gemm, Local, MeshGemm
from wsekern.ops.engines.code import DESCRIPTOR_BYTES, LOOP_BYTES, code_size, library_bytes
from wsekern.program.program import SCALAR_BYTES, VECTOR_BYTES
from wsekern.workload import load_config

COSTS = timing("wse3", "silicon", "fp16")
GRIDS = [(8, 12), (33, 77), (130, 377), (377, 130)]


def whole_sizes(grid: Grid) -> list[ProgramSizes]:
    """Of layers, each from its first step to its last."""
    return [ProgramSizes.of(grid, layer_steps(grid, block, TOKENS, grid.slots)) for block, _ in grid.config.kinds]


@pytest.mark.parametrize("name", ["llama3-8b", "gemma3-27b", "gpt-oss-120b", "deepseek-v3.2", "qwen3-next-80b-a3b"])
@pytest.mark.parametrize("seed", range(3))
def test_mixers_and_all_else_have_the_code_of_whole_layers(name, seed):
    """Whatever the other part's choices are."""
    random = np.random.default_rng(seed)
    chosen = {field.name: random.choice(get_args(hint)) if (hint := get_type_hints(Programs)[field.name]) is not int else
              2 ** int(random.integers(4)) for field in fields(Programs)}
    grid = Grid(load_config(name), 128, 96, layers=1, with_head=False, programs=Programs(**chosen))
    for block, _ in grid.config.kinds:
        parts, whole = layer_sizes(grid, block), ProgramSizes.of(grid, layer_steps(grid, block, TOKENS, grid.slots))
        assert program_bytes(parts, "fp16") == program_bytes([whole], "fp16")
        assert frozenset[str]().union(*(part.tiles for part in parts)) == whole.tiles


@pytest.mark.parametrize("name", ["llama3.1-8b", "gpt-oss-120b", "deepseek-v3", "qwen3-next-80b-a3b"])
def test_no_grid_takes_more_code_than_is_reserved(name):
    config = load_config(name)
    for programs in {programs.programs for programs in PROGRAM_SETS.values()}:
        grids = [Grid(config, *sides, layers=2, with_head=False, programs=programs) for sides in GRIDS]
        sizes = [whole_sizes(grid) for grid in grids]
        each = [program_bytes(size, "fp16") + grids[0].held_layers * SCALAR_BYTES * max(len(one.tiles) for one in size)
                for size in sizes]
        assert max(each) + BESIDE_PROGRAMS <= code_bytes(grids[0])
        assert len({code_bytes(grid) for grid in grids}) == 1


def test_a_product_is_one_instruction_in_a_loop_over_rows():
    size = code_size(Gemm(1, 8, 6), COSTS, 4, 4)
    call = SCALAR_BYTES * -(-COSTS.latency("gemv_call") // COSTS.latency("descriptor"))
    assert (size.code, size.step) == (VECTOR_BYTES + call + LOOP_BYTES, 3 * DESCRIPTOR_BYTES)
    other = code_size(Gemm(5, 30, 7), COSTS, 4, 4)
    assert (other.code, other.kernel) == (size.code, size.kernel)


def test_the_fullest_pe_of_a_line_counts():
    """The root of all groups adds four streams and sends one."""
    few, most = (code_size(AllReduce(4, "x", groups=3), COSTS, width, 1) for width in (1, 15))
    assert most.code - few.code == 5 * (VECTOR_BYTES + DESCRIPTOR_BYTES)
    assert most.kernel != code_size(AllReduce(4, "y", groups=3), COSTS, 1, 15).kernel
    assert code_size(MeshGemm(2, 3, 2), COSTS, 3, 3).code > VECTOR_BYTES * 9    # its roles know the whole grid


def test_a_function_in_pieces_is_written_once_and_the_library_counted():
    short, long = (code_size(Local("silu_mul", n, form="vector"), COSTS, 1, 1) for n in (39, 500))
    assert short.code == long.code and not short.library
    assert code_size(Local("expsub", 9, 4), COSTS, 1, 1).library == {"lib_exp"}
    assert library_bytes("lib_exp", COSTS) == 4 * 35


def test_several_layers_share_one_code():
    config = load_config("llama3.1-8b")
    one, three = (Mapping(config, 300, 200, layers=layers, with_head=False).memory["code"] for layers in (1, 3))
    assert one < three <= one + 2 * 64
    assert Mapping(config, 300, 200, layers=0).memory["code"] < one
