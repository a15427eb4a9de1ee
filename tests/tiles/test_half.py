"""The number formats of common/wsekern_half.h against exact references."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from wsekern import tiles
from wsekern.tiles import _tiles

HALVES = np.arange(1 << 16, dtype=np.uint16)
SPECIALS = np.array([0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x0400, 0x8400, 0x3BFF, 0x3C00, 0xBC00, 0x3C01, 0x7BFF, 0xFBFF,
                     0x7C00, 0xFC00, 0x7E00, 0x0200, 0x1000, 0x9000, 0x1400, 0x4BFF, 0x6800], np.uint16)


def around(values: np.ndarray) -> np.ndarray:
    """Values, the midpoints between neighbors, and the fp32 next to each of them."""
    with np.errstate(all="ignore"):
        middle = ((values[:-1].astype(np.float64) + values[1:]) / 2).astype(np.float32)
        every = np.concatenate([values, middle, np.float32([65519.996, 65520, 65536, 3.4e38, 2.0**-25, 2.0**-26, 1e-45])])
        every = np.concatenate([every, np.nextafter(every, np.float32(np.inf)), np.nextafter(every, np.float32(-np.inf))])
    return np.concatenate([every, -every])


def same(got: np.ndarray, want: np.ndarray) -> None:
    """Equal bits, or both NaN."""
    different = (got.view(np.uint16) != want.view(np.uint16)) & ~(np.isnan(got) & np.isnan(want))
    assert not different.any(), (np.flatnonzero(different)[:5], got[different][:5], want[different][:5])


def exact_fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a * b + c of halves, correctly rounded: in float64, rounded to odd, then once to half."""
    with np.errstate(all="ignore"):
        a, b, c = (t.astype(np.float64) for t in (a, b, c))
        product = a * b
        total = product + c
        of_c = total - product
        error = (product - (total - of_c)) + (c - of_c)
        even = (total.view(np.int64) & 1) == 0
        odd = np.nextafter(total, np.where(error > 0, np.inf, -np.inf))
        return np.where(np.isfinite(total) & (error != 0) & even, odd, total).astype(np.float16)


def header_fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    out = np.empty(len(a), np.uint16)
    with np.errstate(invalid="ignore"):
        _tiles.half_fma(*(t.astype(np.float32) for t in (a, b, c)), out)
    return out.view(np.float16)


def kernel_fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """The same by the SIMD kernel: one multiply-add, on a grid of one PE with as many columns as there are triples."""
    return tiles.fma(a[None, None], b[None, None], c[None, None], "fp16")[0, 0]


def step_fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """The same by the step of products: a (rows, 1), b and c (rows, n), one row on each PE."""
    return tiles.gemm(a[:, None, None], b[:, None, None], "fp16", c[:, None, None])[:, 0, 0]


def test_every_half_widens_exactly():
    out = np.empty(HALVES.size, np.float32)
    _tiles.half_to_float(HALVES, out)
    want = HALVES.view(np.float16).astype(np.float32)
    assert ((out.view(np.uint32) == want.view(np.uint32)) | (np.isnan(out) & np.isnan(want))).all()


def test_rounding_to_half_on_and_next_to_every_midpoint():
    finite = HALVES[:0x7C00].view(np.float16).astype(np.float32)
    values = np.concatenate([around(finite), np.float32([np.inf, -np.inf, np.nan])])
    out = np.empty(values.size, np.uint16)
    _tiles.float_to_half(values, out)
    with np.errstate(over="ignore", under="ignore"):
        same(out.view(np.float16), values.astype(np.float16))


def test_bf16_both_ways():
    wide = np.empty(HALVES.size, np.float32)
    _tiles.bf16_to_float(HALVES, wide)
    want = HALVES.view(ml_dtypes.bfloat16).astype(np.float32)
    assert ((wide == want) | (np.isnan(wide) & np.isnan(want))).all()
    values = np.concatenate([around(wide[:0x7F80]), np.float32([np.inf, -np.inf])])
    out = np.empty(values.size, np.uint16)
    _tiles.float_to_bf16(values, out)
    with np.errstate(all="ignore"):
        assert (out == values.astype(ml_dtypes.bfloat16).view(np.uint16)).all()


def test_nans_are_quieted_and_keep_their_sign_and_leading_bits():
    """As the CPU's own conversions do."""
    halves = HALVES[(HALVES & 0x7FFF) > 0x7C00]
    wide = np.empty(halves.size, np.float32)
    _tiles.half_to_float(halves, wide)
    bits = halves.astype(np.uint32)
    assert (wide.view(np.uint32) == ((bits & 0x8000) << 16 | 0x7FC00000 | (bits & 0x3FF) << 13)).all()
    low = np.random.default_rng(7).integers(1, 1 << 23, 20_000, np.uint32)
    values = np.concatenate([low | 0x7F800000, low | 0xFF800000, np.uint32([0x7F800001, 0xFF800001, 0x7FFFFFFF])])
    back, short = np.empty(values.size, np.uint16), np.empty(values.size, np.uint16)
    _tiles.float_to_half(values.view(np.float32), back)
    assert (back == (values >> 16 & 0x8000 | 0x7E00 | values >> 13 & 0x3FF)).all()
    _tiles.float_to_bf16(values.view(np.float32), short)
    assert (short == (values >> 16 | 0x40)).all()


def test_fma_of_all_special_triples():
    a, b, c = (t.ravel() for t in np.meshgrid(SPECIALS, SPECIALS, SPECIALS))
    a, b, c = (t.view(np.float16) for t in (a, b, c))
    same(header_fma(a, b, c), exact_fma(a, b, c))
    same(kernel_fma(a, b, c), exact_fma(a, b, c))
    rows = [t.reshape(SPECIALS.size, SPECIALS.size, SPECIALS.size).swapaxes(0, 1).reshape(SPECIALS.size, -1) for t in (a, b, c)]
    same(step_fma(rows[0][:, :1], *rows[1:]), exact_fma(*rows))


def test_fma_of_random_triples():
    random = np.random.default_rng(5)
    a, b, c = random.integers(0, 1 << 16, (3, 300_000), dtype=np.uint16).view(np.float16)
    # Half of them with a sum near a midpoint: c of the size of a * b or 2^11 times it.
    with np.errstate(all="ignore"):
        near = (a.astype(np.float64) * b * 2.0 ** random.integers(-14, 15, a.size)).astype(np.float16)
    for addend in (c, near):
        want = exact_fma(a, b, addend)
        same(header_fma(a, b, addend), want)
        same(kernel_fma(a, b, addend), want)


@pytest.mark.parametrize("columns", [5, 16, 23, 64])
def test_step_of_products_on_random_triples(columns):
    random = np.random.default_rng(columns)
    a, b = (random.integers(0, 1 << 16, (3000, n), dtype=np.uint16).view(np.float16) for n in (1, columns))
    with np.errstate(all="ignore"):
        near = (a.astype(np.float64) * b * 2.0 ** random.integers(-14, 15, b.shape)).astype(np.float16)
    same(step_fma(a, b, near), exact_fma(a, b, near))


def test_exact_reference_is_exact():
    random = np.random.default_rng(6)
    for _ in range(2000):
        a, b, c = random.integers(0, 0x7C00, 3, dtype=np.uint16).view(np.float16)
        want = exact_fma(np.array([a]), np.array([b]), np.array([-c]))[0]
        value = Fraction(float(a)) * Fraction(float(b)) - Fraction(float(c))
        if np.isfinite(want):
            below, above = np.nextafter(want, np.float16(-np.inf)), np.nextafter(want, np.float16(np.inf))
            distance = abs(value - Fraction(float(want)))
            assert all(distance <= abs(value - Fraction(float(t))) for t in (below, above) if np.isfinite(t))
        else:
            assert abs(value) >= 65520
