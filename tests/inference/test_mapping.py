"""The mapping: every element has exactly one place, padding is explicit, and 48 KB is 48 KB."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import BudgetError, InputError
from wsekern.inference.grid import cut_into_pieces, cut_into_tiles
from wsekern.inference.layer import layer_steps, parts_on_grid
from wsekern.inference.mapping import Mapping
from wsekern.machine import load_machine
from wsekern.ops import BatchedGemv
from wsekern.workload import ModelConfig, load_config, uniform
from wsekern.workload.decoder import FeedForward, Mixture, Norm


def shape(heads=4, kv_heads=2, head_dim=8, hidden=32, ffn=48, vocab=96, layers=2, **more) -> ModelConfig:
    return uniform(name="tiny", layers=layers, hidden=hidden, heads=heads, kv_heads=kv_heads, head_dim=head_dim, ffn=ffn,
                   vocab=vocab, max_context=128, **more)


def with_parts(config: ModelConfig, **parts) -> ModelConfig:
    """The same model with other parts in every block."""
    return replace(config, blocks=tuple(replace(block, **parts) for block in config.blocks))


@settings(max_examples=60, deadline=None)
@given(grid=st.integers(1, 40), kv_heads=st.integers(1, 12), group=st.integers(1, 4), pairs=st.integers(1, 12))
def test_every_head_element_has_one_place(grid, kv_heads, group, pairs):
    config = shape(heads=kv_heads * group, kv_heads=kv_heads, head_dim=2 * pairs)
    attention, _ = parts_on_grid(Mapping(config, grid, 3), config.blocks[0])
    for index, size in ((attention.q_index, attention.part.q_size), (attention.kv_index, attention.part.kv_size)):
        used = index[index >= 0]
        np.testing.assert_array_equal(np.sort(used), np.arange(size))
    # A head's queries, keys and rotary partners are in the same column.
    columns = {int(element): column for column, row in enumerate(attention.kv_index) for element in row.flat if element >= 0}
    half = pairs
    for element, column in columns.items():
        partner = element + half if element % (2 * pairs) < half else element - half
        assert columns[partner] == column


@settings(max_examples=40, deadline=None)
@given(width=st.integers(1, 9), height=st.integers(1, 9), inputs=st.integers(1, 20), outputs=st.integers(1, 20),
       transposed=st.booleans())
def test_tiles_hold_the_matrix(width, height, inputs, outputs, transposed):
    mapping = Mapping(shape(), width, height)
    matrix = np.arange(1, inputs * outputs + 1, dtype=np.float32).reshape(inputs, outputs)
    vector = np.arange(1, inputs + 1, dtype=np.float32)
    first, second = (mapping.index_x, mapping.index_y) if transposed else (mapping.index_y, mapping.index_x)
    rows, columns = first(inputs), second(outputs)
    tiles = cut_into_tiles([matrix], rows, [columns], transposed)
    pieces = cut_into_pieces(vector, rows)
    order = "jk,ijkn->in" if transposed else "ik,ijkn->jn"
    product = np.einsum(order, pieces, tiles).reshape(-1)
    np.testing.assert_array_equal(product[:outputs], vector @ matrix)
    assert not product[outputs:].any()


def test_too_small_a_grid_names_pe_bytes_and_the_smallest_that_fits():
    machine, config = load_machine("wse3"), load_config("qwen3-0.6b")
    with pytest.raises(BudgetError) as error:
        Mapping(config, 32, 32, "fp16").check(machine)
    message = str(error.value)
    assert "PE (0, 0)" in message and "49,152 B" in message and "weights" in message
    smallest = int(message.rsplit("fits is ", 1)[1].split("x")[0])
    Mapping(config, smallest, smallest, "fp16").check(machine)
    with pytest.raises(BudgetError):
        Mapping(config, smallest - 1, smallest - 1, "fp16").check(machine)


def test_a_context_that_is_the_cause_is_named_with_one_that_fits():
    mapping = Mapping(load_config("llama3-8b"), 400, 400, context=2_000_000)
    with pytest.raises(BudgetError, match="no square grid of wse3 fits, the largest") as caught:
        mapping.check(load_machine("wse3"))
    assert "for each of" not in str(caught.value)     # one user
    fitting = int(str(caught.value).rpartition("up to ")[2].split()[0].replace(",", ""))
    largest = Mapping(load_config("llama3-8b"), 755, 755, context=fitting)
    assert largest.fits(load_machine("wse3")) and not replace(largest, context=fitting + 1).fits(load_machine("wse3"))


def test_a_model_that_fits_nowhere_is_refused():
    with pytest.raises(BudgetError, match="no square grid of wse2 holds its weights: use a smaller model"):
        Mapping(load_config("llama3-70b"), 700, 700, "fp16").check(load_machine("wse2"))


@pytest.mark.parametrize("grid", [0, -4, 2.5])
def test_grid_must_be_a_positive_whole_number(grid):
    with pytest.raises(InputError, match="grid"):
        Mapping(shape(), grid, 4)


def test_grid_larger_than_the_wafer():
    with pytest.raises(InputError, match="750x994"):
        Mapping(shape(), 800, 800).check(load_machine("wse2"))


def test_unknown_precision():
    with pytest.raises(InputError, match="fp12"):
        Mapping(shape(), 4, 4, "fp12")


def test_memory_counts_every_tile():
    mapping = Mapping(shape(), 4, 4, "fp16", context=16, chunk=1)
    attention, _ = parts_on_grid(mapping, mapping.config.blocks[0])
    tiles = 2 * (8 * (attention.q + 2 * attention.kv) + attention.q * 8 + 3 * 8 * 12 + 2 * 8) + 2 * 8 * 24 + 8
    assert mapping.memory["weights"] == 2 * tiles
    assert mapping.memory["kv_cache"] == 2 * 2 * 2 * attention.kv * 4


def test_all_experts_take_room_and_only_the_chosen_ones_pass_through():
    mixture = Mixture(experts=6, chosen=2, expert=FeedForward(width=8))
    dense, moe = Mapping(shape(), 4, 4), Mapping(with_parts(shape(), feed=mixture), 4, 4)
    piece = 2  # 8 elements of an expert over 4 columns
    each_layer = moe.hidden * (2 + 3 * 6 * piece) - 3 * dense.hidden * 12  # 6 scores over 4 columns: 2 in one
    assert moe.memory["weights"] - dense.memory["weights"] == 2 * moe.config.layers * each_layer
    steps = layer_steps(moe, moe.config.blocks[0], 3, 1)
    gemms = {step.name: step.operation for step in steps if step.name in ("gate_up", "down")}
    assert gemms == {"gate_up": BatchedGemv(6, moe.hidden, 2 * piece), "down": BatchedGemv(3, 2 * piece, moe.hidden)}


def test_shared_tokens_are_kept_once():
    whole = Mapping(shape(), 100, 100, context=1000, users=8)
    shared = replace(whole, shared=400)
    assert whole.all_slots == 8 * 10 and shared.all_slots == 4 + 8 * 6
    assert shared.memory["kv_cache"] < whole.memory["kv_cache"] and replace(whole, shared=0).memory == whole.memory


def test_the_fullest_run_of_layers_decides():
    """Two layers on a grid, of a model whose third and fourth have experts: any other two need less."""
    mixture = Mixture(experts=6, chosen=2, expert=FeedForward(width=80))
    dense, moe = shape(layers=2).blocks, with_parts(shape(layers=2), feed=mixture).blocks
    mixed = replace(shape(), blocks=(*dense, *moe, *dense))
    assert Mapping(mixed, 4, 4, layers=2, with_head=False).memory["weights"] == \
        Mapping(replace(shape(), blocks=moe), 4, 4, with_head=False).memory["weights"]
    whole, parts = (Mapping(replace(shape(), blocks=blocks), 4, 4, with_head=False).memory["weights"]
                    for blocks in (mixed.blocks, (*moe, *dense)))
    assert whole == parts + Mapping(replace(shape(), blocks=dense), 4, 4, with_head=False).memory["weights"]
    room = [Mapping(one, 40, 40, layers=2, with_head=False).most_slots(load_machine("wse3"))
            for one in (mixed, replace(shape(), blocks=dense))]
    assert room[0] < room[1]


def test_windows_keep_as_much_for_any_context_and_users_are_counted_by_what_they_keep(make_model):
    """A chunk and what it looks back to, whatever lies before; a whole layer beside it grows."""
    machine = load_machine("wse3")
    for windows, grows in (((5, 5), False), ((0, 5), True)):
        config, _ = make_model(windows=windows)
        short, long = (Mapping(config, 4, 4, context=context) for context in (64, 4096))
        assert (long.memory["kv_cache"] > short.memory["kv_cache"]) == grows
        most = long.most_users(machine)
        assert replace(long, users=most).fits(machine) and not replace(long, users=most + 1).fits(machine)


def test_a_norm_with_biases_takes_its_gains_and_its_biases():
    norms = {bias: Norm(kind="layer", bias=bias) for bias in (False, True)}
    plain, biased = (Mapping(with_parts(shape(), before_mixer=norm, before_feed=norm), 4, 4, "fp32") for norm in norms.values())
    per_layer = 2 * 4 * biased.hidden       # two norms of fp32, on each PE the part of the hidden values that it has
    assert biased.memory["weights"] - plain.memory["weights"] == 2 * per_layer
