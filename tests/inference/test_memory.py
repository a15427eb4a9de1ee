"""Bytes of the fullest PE, each sum said once more from the parts of a layer, and what follows from them: how many positions,
users, layers and PEs there is room for."""

import math
from dataclasses import replace

import msgspec
import pytest

from wsekern.description import Quantity
from wsekern.inference.blocks.registry import feed_on_grid, mixers_on_grid
from wsekern.inference.mapping import MOST_SLOTS, BlockSizes, Mapping, most_that
from wsekern.inference.outer import embedding_places, head_matrix, outer_bytes
from wsekern.inference.packed import packed_memory
from wsekern.inference.programs import Programs
from wsekern.machine import Machine, load_machine
from wsekern.workload import ModelConfig, uniform
from wsekern.workload.decoder import Block, FeedForward, Mixture, Norm
from wsekern.workload.request import PRECISIONS


def shape(layers: int = 2, ffn: int = 48, **more) -> ModelConfig:
    sizes = {"heads": 4, "kv_heads": 2, "head_dim": 8, "hidden": 32, "vocab": 96, "max_context": 128}
    return uniform(name="tiny", layers=layers, ffn=ffn, **{**sizes, **more})


def with_parts(config: ModelConfig, **parts) -> ModelConfig:
    return replace(config, blocks=tuple(replace(block, **parts) for block in config.blocks))


def machine_of(sram: int) -> Machine:
    """A wafer whose PEs have so many bytes, and whose grids are at most 12 wide."""
    base = load_machine("wse3")
    core = msgspec.structs.replace(base.core, sram=Quantity(sram, "B", "made up"))
    fabric = msgspec.structs.replace(base.fabric, user_width=Quantity(12, "PEs", "x"), user_height=Quantity(15, "PEs", "x"))
    return msgspec.structs.replace(base, core=core, fabric=fabric)


MIXTURE = Mixture(experts=6, chosen=2, expert=FeedForward(width=80))
LAYER_NORM = Norm(kind="layer", bias=True)
BEHIND = {"after_mixer": Norm(), "after_feed": Norm()}
FOLDED = Programs(norms="folded")
GRIDS: dict[str, tuple[Mapping, int]] = {
    "plain": (Mapping(shape(), 4, 4), 2),
    "a long context, read in chunks": (Mapping(shape(), 4, 4, "fp32", context=400, chunk=3), 2),
    "wide": (Mapping(shape(ffn=480), 4, 3, "fp16_fp32", context=16, chunk=2), 2),
    "packed": (Mapping(shape(), 4, 4, context=40, chunk=2, weight_precision="int8"), 2),
    "packed, with experts": (Mapping(with_parts(shape(), feed=MIXTURE), 4, 4, "bf16", chunk=2, weight_precision="fp8"), 2),
    "layer norms": (Mapping(with_parts(shape(), before_mixer=LAYER_NORM, before_feed=LAYER_NORM), 4, 4), 4),
    "norms behind the parts": (Mapping(with_parts(shape(), **BEHIND), 4, 4), 4),
    "folded norms, but for those behind": (Mapping(with_parts(shape(), **BEHIND), 4, 4, programs=FOLDED), 2),
    "gains beside packed matrices": (Mapping(shape(), 4, 4, weight_precision="int8", programs=FOLDED), 2),
    "no norm": (Mapping(with_parts(shape(), before_mixer=None, before_feed=None), 4, 4), 0),
    "scaled": (Mapping(with_parts(shape(), scaled=True), 4, 4), 3),
    "no feed-forward part": (Mapping(with_parts(shape(), feed=None, before_feed=None), 4, 4, context=400), 1),
}
"""Grids, and how many vectors of the hidden size a block keeps on a PE: gains and biases of norms, a scale."""


@pytest.mark.parametrize("name", GRIDS)
def test_a_block_takes_what_its_parts_take(name: str):
    """Matrices in their formats, norms that are not folded into them, buffers of a chunk, and the room of vector forms that the
    buffers of the other part do not give."""
    grid, vectors = GRIDS[name]
    block, size, chunk = grid.config.blocks[0], PRECISIONS[grid.precision], grid.chunk
    mixers, feed = list(mixers_on_grid(grid, block)), feed_on_grid(grid, block)
    parts, found = [*mixers, *([feed] if feed else [])], BlockSizes.of(grid, block)
    packed = {part: packed_memory(grid, part.matrices()) for part in parts}
    plain = vectors * grid.hidden + sum(part.weights - packed[part][0] for part in parts)
    weights = size * plain + sum(each[1] for each in packed.values())
    assert found.weights == math.ceil(weights)
    assert (found.slot, found.state) == (sum(part.slot_bytes for part in parts), sum(part.state_bytes for part in parts))
    buffers = grid.hidden + sum(part.buffers + part.scores for part in parts)
    assert found.buffers == chunk * buffers + (grid.hidden if name == "layer norms" else 0)
    rooms = [0]
    for part in parts:
        others = sum(other.buffers for other in parts if (other is feed) != (part is feed))
        rooms.append(math.ceil(max(part.room(), packed[part][2]) - chunk * size * others))
    assert found.room == max(rooms)


def test_wafers_behind_the_first_have_experts_alone():
    first, second = (Mapping(with_parts(shape(), feed=MIXTURE), 4, 4, expert_wafers=2, expert_wafer=wafer) for wafer in (0, 1))
    experts, dense = Block(feed=MIXTURE), Mapping(shape(), 4, 4, expert_wafers=2, expert_wafer=1)
    assert BlockSizes.of(second, second.config.blocks[0]) == BlockSizes.of(second, experts)
    assert BlockSizes.of(dense, dense.config.blocks[0]) == BlockSizes(0, 0, 0, dense.hidden, 0)
    assert first.memory["kv_cache"] > 0 == second.memory["kv_cache"]
    assert second.memory["weights"] < first.memory["weights"]


@pytest.mark.parametrize(("layers", "users", "with_head", "shared"), [
    (None, 1, True, 0), (1, 1, False, 0), (2, 3, False, 16), (0, 1, True, 0), (3, 2, True, 0)])
def test_memory_is_that_of_all_layers_all_users_and_the_head(layers, users, with_head, shared):
    grid = Mapping(shape(layers=3), 4, 4, "fp16", context=41, users=users, layers=layers, with_head=with_head, shared=shared)
    alone = grid.single_layers[0]
    assert (alone.context, alone.shared, alone.layers, alone.users, alone.with_head) == (44, 0, 1, 1, False)
    one, held = BlockSizes.of(alone, grid.config.blocks[0]), 3 if layers is None else layers
    slots = 4 + users * 7 if shared else users * 11         # of 41 positions on 4 rows; 16 shared ones and 25 own ones
    head = packed_memory(grid, head_matrix(grid))[2] if with_head else 0
    assert grid.memory["weights"] == held * one.weights + (outer_bytes(grid) if with_head else 0)
    assert grid.memory["kv_cache"] == math.ceil(held * (one.slot * slots + one.state * users))
    assert grid.memory["buffers"] == 2 * (one.buffers + (embedding_places(grid)[1] if with_head else 0)) + max(
        one.room if held else 0, head)


def test_a_packed_head_takes_its_room():
    grid = Mapping(shape(vocab=4096), 4, 4, weight_precision="head=int4", layers=0)
    room = packed_memory(grid, head_matrix(grid))[2]
    assert room > 0 and grid.memory["buffers"] == 2 * (grid._sizes[0].buffers + embedding_places(grid)[1]) + room
    assert replace(grid, with_head=False).memory["buffers"] == 2 * grid._sizes[0].buffers


def two_kinds(first: int = 400, second: int = 48) -> ModelConfig:
    """A wide block that looks back over 8 positions, and a narrow one that looks back over all."""
    wide, narrow = shape(layers=1, ffn=first, windows=(8,)), shape(layers=1, ffn=second)
    return replace(narrow, blocks=(*wide.blocks, *narrow.blocks))


@pytest.mark.parametrize(("context", "fullest"), [(16, 0), (4096, 1)])
def test_the_fullest_layer_is_that_of_most_weights_and_cache_together(context, fullest):
    """The wide block has more weights; with many positions the cache of the other outweighs them."""
    grid = Mapping(two_kinds(), 4, 4, context=context, layers=1, with_head=False)
    wide, narrow = (BlockSizes.of(alone, alone.config.blocks[0]) for alone in grid.single_layers)
    each = [size.weights + math.ceil(size.slot * grid.all_slots + size.state) for size in (wide, narrow)]
    assert each[fullest] == max(each) and wide.weights > narrow.weights
    assert grid.memory["weights"] + grid.memory["kv_cache"] == each[fullest]
    assert grid.memory["buffers"] == 2 * max(wide.buffers, narrow.buffers) + max(wide.room, narrow.room)


def test_layers_of_several_kinds_lie_in_runs():
    """Three of five layers on a grid: the first three, or the last two."""
    wide, narrow = two_kinds().blocks
    grid = Mapping(replace(shape(), blocks=(narrow, wide, wide, narrow, narrow)), 4, 4, layers=3, with_head=False)
    one, other = (BlockSizes.of(alone, alone.config.blocks[0]) for alone in grid.single_layers)
    sizes = {True: one, False: other}       # in the order in which they stand in the model
    first, last = ([sizes[block == narrow] for block in blocks] for blocks in ((narrow, wide, wide), (narrow, narrow)))
    assert grid._regions == [tuple(sum(getattr(size, name) for size in run) for name in ("weights", "slot", "state"))
                             for run in (first, last)]
    assert Mapping(grid.config, 4, 4, layers=0, with_head=False).memory["weights"] == 0


@pytest.mark.parametrize("with_head", [True, False])
@pytest.mark.parametrize("config", [shape(), two_kinds(), shape(windows=(8, 8))], ids=["plain", "two kinds", "windows"])
def test_as_many_positions_and_users_as_there_is_room_for(config, with_head):
    machine = machine_of(26_000)
    grid = Mapping(config, 4, 4, context=40, with_head=with_head)
    most = grid.most_users(machine)
    assert 1 < most < 10_000
    assert replace(grid, users=most).fits(machine) and not replace(grid, users=most + 1).fits(machine)
    shared = replace(grid, shared=20)
    most = shared.most_users(machine)
    assert replace(shared, users=most).fits(machine) and not replace(shared, users=most + 1).fits(machine)
    slots = grid.most_slots(machine)
    weights, slot, state = max(grid._regions, key=lambda run: run[1])
    if not slot:
        assert slots == MOST_SLOTS
        return
    beside = sum(grid.memory.values()) - grid.memory["kv_cache"] - max(run[0] for run in grid._regions) + weights + state
    assert beside + slots * slot <= 26_000 < beside + (slots + 1) * slot


def test_layers_that_keep_nothing_hold_any_number_of_users():
    config = with_parts(shape(), feed=MIXTURE)
    grid = Mapping(config, 4, 4, expert_wafers=2, expert_wafer=1)
    assert grid.most_users(machine_of(48_000)) == grid.most_slots(machine_of(48_000)) == MOST_SLOTS


def test_a_grid_fits_up_to_the_last_byte_and_the_smallest_is_found():
    grid = Mapping(shape(), 4, 4)
    need = sum(grid.memory.values())
    for sram, fits in ((need - 1, False), (need, True)):
        assert grid.fits(machine_of(sram)) == fits
    grid.check(machine_of(need))
    for sram in (9_000, 11_000, 13_000, 16_000):
        found = grid.smallest_grid(machine_of(sram))
        sides = [side for side in range(1, 13) if grid.at(side, side).fits(machine_of(sram))]
        assert found == (min(sides) if sides else None)
    assert grid.smallest_grid(machine_of(1_000)) is None
    assert (grid.at(3, 5).width, grid.at(3, 5).height) == (3, 5)


@pytest.mark.parametrize("bound", [0, 1, 2, 3, 10, 33])
def test_the_largest_number_for_which_something_holds(bound):
    for last in range(-1, bound + 3):
        assert most_that(bound, lambda number, last=last: number <= last) == max(0, min(last, bound - 1))
