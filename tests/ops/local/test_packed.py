"""Products with packed weights: every code, the rounding into each format, and products on both engines."""

from itertools import product

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import InputError
from wsekern.number_formats import round_bf16, widen_bf16
from wsekern.ops import FlowEngine
from wsekern.ops.engines.programs import run_on_cycle_engine
from wsekern.ops.local.packed import PackedProduct
from wsekern.ops.local.packed_cache import CacheProduct, PackCache
from wsekern.ops.local.packing import PACKINGS, PackedLayout, pack, packing, quantise, unpack, unpacked_weights

TYPES = ("fp16", "bf16")


def wide(tile: np.ndarray, type: str) -> np.ndarray:
    return widen_bf16(tile) if type == "bf16" else tile.astype(np.float32)


def meaning(name: str) -> np.ndarray:
    """What each code stands for, by the definition of the format."""
    codes = np.arange(1 << PACKINGS[name].bits, dtype=np.uint8)
    if name in ("fp8", "mxfp4"):
        return codes.view({"fp8": ml_dtypes.float8_e4m3fn, "mxfp4": ml_dtypes.float4_e2m1fn}[name]).astype(np.float32)
    return codes.astype(np.float32) - (1 << PACKINGS[name].bits - 1)


@pytest.mark.parametrize(("name", "type"), [*product(PACKINGS, TYPES)])
def test_every_code_is_unpacked_as_the_format_defines_it(name, type):
    form, defined = packing(name), meaning(name)
    codes = np.arange(len(defined), dtype=np.uint8).reshape(-1, 1)
    layout = PackedLayout(form, *codes.shape)
    scales = np.full((len(layout.groups), 1), 0x3C00 if type == "fp16" else 0x3F80, np.uint16)
    elements, found = unpack(form, type, pack(form, type, codes, scales), *codes.shape)
    there = np.isfinite(defined)                        # of fp8 but the two codes that are no number, which nothing packs
    found_values = (wide(elements, type)[:, 0] + form.zero(type)) * 2.0 ** -form.exponent(type)
    np.testing.assert_array_equal(found_values[there], defined[there])
    assert (wide(found, type) == 1).all() and there.sum() == len(defined) - 2 * (name == "fp8")


def test_instructions_for_an_element_are_as_stated():
    assert [packing(name).instructions("fp16") for name in PACKINGS] == [2.5, 1.0, 1.5, 2.25]
    assert [packing(name).instructions("bf16") for name in PACKINGS] == [3.5, 2.0, 2.5, 3.25]


@given(st.sampled_from(list(PACKINGS)), st.sampled_from(TYPES), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_weights_become_the_nearest_that_the_format_has(name, type, seed):
    form, random = packing(name), np.random.default_rng(seed)
    tile = (random.standard_normal((7, 9)) * 10.0 ** random.integers(-3, 1)).astype(np.float32)
    largest = np.abs(tile).max(-2, keepdims=True)
    codes, scales = quantise(form, type, tile, largest)
    elements, factors = unpack(form, type, pack(form, type, codes, scales), *tile.shape)
    scale = wide(factors, type) * 2.0 ** (form.exponent(type) + form.lift(type))
    levels = np.sort(meaning(name)[np.isfinite(meaning(name))])
    levels = levels[np.abs(levels) <= levels[-1]]
    found = (wide(elements, type) + form.zero(type)) * 2.0 ** -form.exponent(type)
    asked = np.clip(tile / scale, levels[0], levels[-1])
    nearest = np.abs(asked[..., None] - levels).min(-1)
    np.testing.assert_array_equal(np.abs(asked - found), nearest)
    if form.byte_scales:
        np.testing.assert_array_equal(scale, 2.0 ** (np.floor(np.log2(largest)) - 2))


def test_packed_weights_that_are_no_numbers_are_refused():
    for name in PACKINGS:
        with pytest.raises(InputError, match="no finite numbers"):
            quantise(packing(name), "fp16", np.full((1, 1), np.nan, np.float32), np.ones((1, 1), np.float32))
    with pytest.raises(InputError, match="beyond mxfp4 unpacked into fp16: use bf16"):
        quantise(packing("mxfp4"), "fp16", np.full((1, 1), 16, np.float32), np.full((1, 1), 16, np.float32))
    with pytest.raises(InputError, match="use one of fp8, int8, int4, mxfp4"):
        packing("int3")


def packed_tiles(operation: PackedProduct, type: str, seed: int, width: int, height: int) -> list[np.ndarray]:
    """Random rows and words (of scales that a format may have) on every PE."""
    random, layout = np.random.default_rng(seed), operation.layout
    x = random.standard_normal((height, width, operation.m, operation.parts * operation.k)).astype(np.float32)
    shape = height, width, operation.tiles_held
    tile = (0.1 * random.standard_normal((*shape, operation.k, operation.n))).astype(np.float32)
    pairs = [quantise(layout.packing, type, tile[..., row:row + rows, :],
                      np.abs(tile[..., row:row + rows, :]).max(-2, keepdims=True)) for row, rows in layout.groups]
    codes, scales = (np.concatenate(found, axis=-2) for found in zip(*pairs, strict=True))
    return [round_bf16(x) if type == "bf16" else x.astype(np.float16), pack(layout.packing, type, codes, scales)]


SHAPES = [(1, 5, 3, 1, False), (3, 40, 7, 1, False), (2, 70, 33, 1, False), (2, 6, 5, 3, True), (3, 33, 4, 1, True),
          (1, 3, 1, 2, True)]


@pytest.mark.parametrize(("name", "precision", "shape"), [
    *product(PACKINGS, ("fp16",), SHAPES), *product(PACKINGS, ("fp16_fp32", "bf16"), SHAPES[1::2])])
def test_products_are_the_same_on_both_engines_and_in_plain_numpy(name, precision, shape):
    m, k, n, parts, own = shape
    operation, by_row = (PackedProduct(m, k, n, name, parts, own, together) for together in (True, False))
    tiles = packed_tiles(operation, "bf16" if precision == "bf16" else "fp16", m + k, 2, 1)
    engine = FlowEngine("wse3", 2, 1, precision=precision)
    for one in (operation, by_row):
        engine.reset()
        values = engine.run(one, *tiles)
        cycle = run_on_cycle_engine(one, "wse3", 2, 1, "silicon", precision, *tiles)
        assert values.tobytes() == operation.reference(*tiles, engine.timing).tobytes() == cycle.values.tobytes()
        np.testing.assert_array_equal(engine.clock, cycle.clock)
    assert sum(operation.cycles(engine.timing)) <= sum(by_row.cycles(engine.timing))


@pytest.mark.parametrize("name", PACKINGS)
def test_a_product_is_that_of_the_unpacked_weights(name):
    operation = PackedProduct(2, 64, 6, name)
    x, words = packed_tiles(operation, "fp16", 5, 1, 1)
    weights = unpacked_weights(operation.layout.packing, "fp16", words[:, :, 0], 64, 6)
    found = FlowEngine("wse3", 1, 1, precision="fp16").run(operation, x, words)
    np.testing.assert_allclose(found, x.astype(np.float64) @ weights.astype(np.float64), rtol=6e-4, atol=1e-5)


def test_products_of_nothing_and_odd_formats():
    engine = FlowEngine("wse3", 2, 1, precision="fp16")
    for m, k, n in ((0, 3, 2), (2, 0, 2), (2, 3, 0)):
        operation = PackedProduct(m, k, n, "int8")
        x, words = np.ones((1, 2, m, k), np.float16), np.zeros((1, 2, 1, operation.layout.words), np.uint16)
        assert engine.run(operation, x, words).shape == operation.reference(x, words, engine.timing).shape == (1, 2, m, n)
    assert engine.cycles == 0
    with pytest.raises(InputError, match="not into fp32"):
        FlowEngine("wse3", 1, 1, precision="fp32").time(PackedProduct(1, 2, 2, "fp8"))


@pytest.mark.parametrize("type", TYPES)
def test_every_float_is_kept_as_the_nearest_fp8(type):
    """But for what lies next to a tie below 2^-6: numbers there are rounded twice."""
    every = np.arange(1 << 16, dtype=np.uint16).reshape(1, 1, -1, 2)
    x = every if type == "bf16" else every.view(np.float16)
    words = PackCache(1 << 15, 2).reference(x, FlowEngine("wse3", 1, 1, precision=type).timing)
    codes = np.stack([words[..., 0] >> 8, words[..., 0] & 0xFF], axis=-1).astype(np.uint8)
    values = wide(x, type)
    numbers = ~np.isnan(values)
    expected = np.clip(np.nan_to_num(values), -448, 448).astype(ml_dtypes.float8_e4m3fn).view(np.uint8)
    differ = (codes != expected) & numbers
    kept, nearest = (meaning("fp8")[found[differ]] for found in (codes, expected))
    assert 0 < differ.sum() <= 40 and (np.abs(values[differ]) < 2.0**-6).all()
    further = np.abs(kept - values[differ]) - np.abs(nearest - values[differ])
    assert (further <= {"fp16": 2.0**-16, "bf16": 2.0**-13}[type]).all()


@pytest.mark.parametrize("precision", ["fp16", "fp16_fp32", "bf16"])
def test_what_is_kept_in_fp8_is_the_same_on_both_engines(precision, random_tile):
    operation = PackCache(3, 6)
    x = random_tile(1, precision, 1, 2, 3, 6)
    engine = FlowEngine("wse3", 2, 1, precision=precision)
    words = engine.run(operation, x)
    cycle = run_on_cycle_engine(operation, "wse3", 2, 1, "silicon", precision, x)
    assert words.tobytes() == cycle.values.tobytes()
    np.testing.assert_array_equal(engine.clock, cycle.clock)


@pytest.mark.parametrize(("precision", "positions", "transposed"), [
    *product(("fp16", "fp16_fp32", "bf16"), (7, 400), (False, True))])
def test_products_with_a_cache_of_fp8_are_the_same_on_both_engines(precision, positions, transposed, random_tile):
    operation = CacheProduct(3, positions, 4, transposed)
    kept = PackCache(positions, 4).reference(random_tile(2, precision, 1, 2, positions, 4),
                                             FlowEngine("wse3", 2, 1, precision=precision).timing)
    x = random_tile(3, precision, 1, 2, 3, 4 if transposed else positions)
    engine = FlowEngine("wse3", 2, 1, precision=precision)
    values = engine.run(operation, x, kept)
    cycle = run_on_cycle_engine(operation, "wse3", 2, 1, "silicon", precision, x, kept)
    assert values.tobytes() == operation.reference(x, kept, engine.timing).tobytes() == cycle.values.tobytes()
    np.testing.assert_array_equal(engine.clock, cycle.clock)
