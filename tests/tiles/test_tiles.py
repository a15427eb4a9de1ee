"""Kernels of wsekern.tiles against plain references, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern import tiles
from wsekern.errors import InputError
from wsekern.tiles import _tiles

PRECISIONS = st.sampled_from(tiles.PRECISIONS)
SIZES = st.integers(0, 20)


def from_float(values: np.ndarray, precision: str) -> np.ndarray:
    """float32 rounded to the storage type."""
    values = np.asarray(values, np.float32)
    if precision == "fp32":
        return values
    with np.errstate(all="ignore"):
        if precision != "bf16":
            return values.astype(np.float16)
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def to_float(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint16:
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32)


def make(seed: int, precision: str, *shape: int) -> np.ndarray:
    return from_float(np.random.default_rng(seed).standard_normal(shape), precision)


def same(got: np.ndarray, want: np.ndarray) -> None:
    assert got.shape == want.shape and got.dtype == want.dtype
    assert got.tobytes() == want.tobytes()


def plain_exp(x: np.ndarray) -> np.ndarray:
    """The sequence of tiles_functions.h in numpy."""
    f = np.float32
    with np.errstate(all="ignore"):
        x = np.maximum(f(-104), np.minimum(f(89), x.astype(f)))
        n = (x * f(1.44269504088896341) + f(2**23 * 1.5)) - f(2**23 * 1.5)
        r = (x - n * f(0.693359375)) - n * f(-2.12194440e-4)
        p = f(1.9875691500e-4)
        for c in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
            p = p * r + f(c)
        p = (p * (r * r) + r) + f(1)
        half = np.rint(n * f(0.5))
        return p * np.exp2(half) * np.exp2(n - half)


def plain_silu(x: np.ndarray) -> np.ndarray:
    return x / (np.float32(1) + plain_exp(np.float32(0) - x))


# -- products ----------------------------------------------------------------------------------------------------------
@settings(max_examples=150, deadline=None)
@given(PRECISIONS, st.integers(1, 3), st.integers(1, 3), SIZES, SIZES, st.integers(0, 70), st.booleans(), st.integers(0, 99))
def test_gemm_is_three_plain_loops(precision, height, width, m, k, n, accumulate, seed):
    x, w = make(seed, precision, height, width, m, k), make(seed + 1, precision, height, width, k, n)
    c = make(seed + 2, precision, height, width, m, n) if accumulate else None
    want = tiles.gemm_naive(x, w, precision, c)
    same(tiles.gemm(x, w, precision, c), want)
    same(tiles.gemm_transposed(x, np.swapaxes(w, 2, 3), precision, c), want)


@pytest.mark.parametrize("precision", tiles.PRECISIONS)
@pytest.mark.parametrize("size", [4, 8, 16, 32, 33, 64])
def test_gemm_of_square_tiles(precision, size):
    x, w, c = (make(seed, precision, 2, 3, size, size) for seed in range(3))
    same(tiles.gemm(x, w, precision, c), tiles.gemm_naive(x, w, precision, c))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 200), st.sampled_from([0xFFFF, 0x83FF, 0x9FFF, 0xFC00]),
       st.integers(0, 9))
def test_halves_of_any_bits_are_rounded_once(m, k, n, kept, seed):
    """Subnormal numbers, powers of two that cancel and lie halfway, infinities and what is no number among them."""
    random = np.random.default_rng(seed)
    x, w, c = ((random.integers(0, 1 << 16, shape, np.uint16) & np.uint16(kept)).view(np.float16)
               for shape in ((2, 1, m, k), (2, 1, k, n), (2, 1, m, n)))
    found, want = tiles.gemm(x, w, "fp16", c), tiles.gemm_naive(x, w, "fp16", c)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(want))
    same(np.where(np.isnan(found), 0, found.view(np.uint16)), np.where(np.isnan(want), 0, want.view(np.uint16)))


@pytest.mark.parametrize("precision", tiles.PRECISIONS)
def test_gemv_is_gemm_of_one_row(precision):
    x, w, y = make(1, precision, 3, 4, 9), make(2, precision, 3, 4, 9, 5), make(3, precision, 3, 4, 5)
    same(tiles.gemv(x, w, precision, y), tiles.gemm_naive(x[:, :, None], w, precision, y[:, :, None])[:, :, 0])
    for width in range(1, 20):
        x, w, y = make(4, precision, 1, width, 7), make(5, precision, 1, width, 7, 7), make(6, precision, 1, width, 7)
        same(tiles.gemv(x, w, precision, y), tiles.gemm_naive(x[:, :, None], w, precision, y[:, :, None])[:, :, 0])
    assert tiles.gemv(x[:, :, :0], w[:, :, :0], precision).shape == (1, 19, 7)


@settings(max_examples=60, deadline=None)
@given(PRECISIONS, st.integers(1, 7), st.integers(1, 9), st.integers(0, 9), st.integers(1, 18), st.integers(0, 99))
def test_mesh_gemm_is_one_product_in_cannon_order(precision, p, m, k, n, seed):
    x, w = make(seed, precision, p, p, m, k), make(seed + 1, precision, p, p, k, n)
    want = np.empty((p, p, m, n), x.dtype)
    for i in range(p):
        for j in range(p):
            order = [(i + j + r) % p for r in range(p)]
            left = np.concatenate([x[i, t] for t in order], axis=1)
            right = np.concatenate([w[t, j] for t in order], axis=0)
            want[i, j] = tiles.gemm_naive(left[None, None], right[None, None], precision)[0, 0]
    same(tiles.mesh_gemm(x, w, precision), want)


@settings(max_examples=40, deadline=None)
@given(PRECISIONS, st.integers(1, 6), st.integers(1, 5), st.integers(0, 7), st.integers(1, 18), st.integers(0, 99))
def test_mesh_gemm_transposed_is_a_chain_of_products(precision, p, m, k, n, seed):
    q, keys = make(seed, precision, p, p, m, k), make(seed + 1, precision, p, p, n, k)
    travels = "fp32" if precision == "fp16_fp32" else precision

    def chain(tile_of, columns):
        total = None
        for column in columns:
            own = tile_of(column)
            total = own if total is None else from_float(to_float(own) + to_float(total), travels)
        return total

    for i in range(p):
        for j in range(p):
            def product(x, i=i, j=j):
                tile = tiles.gemm_naive(q[None, None, i, x], np.swapaxes(keys[None, None, j, x], 2, 3), precision)[0, 0]
                return to_float(tile) if travels != precision else tile
            total = product(j)
            for side in (chain(product, range(j)), chain(product, range(p - 1, j, -1))):
                if side is not None:
                    total = from_float(to_float(total) + to_float(side), travels)
            want = from_float(total, precision) if travels != precision else total
            same(tiles.mesh_gemm_transposed(q, keys, precision)[i, j], want)


def test_products_are_the_matrix_products():
    x, w = make(1, "fp32", 4, 4, 3, 5), make(2, "fp32", 4, 4, 5, 2)
    whole = np.block(list(map(list, x))) @ np.block(list(map(list, w)))
    np.testing.assert_allclose(np.block(list(map(list, tiles.mesh_gemm(x, w)))), whole, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(tiles.gemm(x, w), x @ w, rtol=1e-4, atol=1e-5)


# -- element by element, row by row --------------------------------------------------------------------------------------
@settings(max_examples=60, deadline=None)
@given(PRECISIONS, st.integers(1, 3), st.integers(1, 3), st.integers(0, 40), st.integers(0, 99))
def test_elements(precision, height, width, n, seed):
    a, b, c = (make(seed + i, precision, height, width, n) for i in range(3))
    x, y, z = to_float(a), to_float(b), to_float(c)
    with np.errstate(all="ignore"):
        expected = {"add": x + y, "sub": x - y, "mul": x * y, "max": np.where(x > y, x, y), "silu_mul": plain_silu(x) * y}
        for kind, want in expected.items():
            same(tiles.local(kind, a, b, precision=precision), from_float(want, precision))
        expected = {"mov": x, "exp": plain_exp(x), "reciprocal": 1 / x, "silu": plain_silu(x)}
        for kind, want in expected.items():
            same(tiles.local(kind, a, precision=precision), from_float(want, precision))
        squares = to_float(from_float(x * x, precision))
        same(tiles.rsqrt(tiles.mul(a, a, precision), precision), from_float(1 / np.sqrt(squares), precision))
    same(tiles.scale(a, 0.3, precision), from_float(x * to_float(from_float(np.float32(0.3), precision)), precision))
    if precision in ("fp32", "fp16"):
        shape = (height, width * n, 1, 1)
        fma = tiles.gemm_naive(a.reshape(shape), b.reshape(shape), precision, c.reshape(shape))
        same(tiles.fma(a, b, c, precision), fma.reshape(a.shape))
    assert z.shape == a.shape


@settings(max_examples=60, deadline=None)
@given(PRECISIONS, st.integers(1, 3), st.integers(1, 3), st.integers(0, 4), st.one_of(st.integers(0, 40), st.just(600)),
       st.integers(0, 99))
def test_rows(precision, height, width, rows, n, seed):
    a, b = make(seed, precision, height, width, rows, n), make(seed + 1, precision, height, width, rows, n)
    x, y = to_float(a), to_float(b)
    total = np.zeros((height, width, rows), np.float32)
    for e in range(n):
        total = total + x[..., e]
    same(tiles.rowsum(a, precision), total)
    grid = (height, width * rows)
    chain = tiles.gemm_naive(x.reshape(*grid, 1, n), y.reshape(*grid, n, 1)).reshape(total.shape)
    same(tiles.dot(a, b, precision), chain)
    squares = tiles.gemm_naive(x.reshape(*grid, 1, n), x.reshape(*grid, n, 1)).reshape(total.shape)
    same(tiles.sumsq(a, precision), squares)
    if n:
        same(tiles.rowmax(a, precision), from_float(x.max(axis=-1), precision))
    largest = make(seed + 2, precision, height, width, rows)
    same(tiles.expsub(a, largest, precision), from_float(plain_exp(x - to_float(largest)[..., None]), precision))
    d = np.abs(make(seed + 3, "fp32", height, width, rows)) + np.float32(0.1)
    same(tiles.rowdiv(a, d, precision), from_float(x * (np.float32(1) / d)[..., None], precision))
    gain = make(seed + 4, precision, height, width, n)
    # The product of two fp32 is exact in float64, and 53 bits are enough to round the sum once more without harm.
    mean = d.astype(np.float64) * (np.float32(1) / np.float32(37)) + np.float32(1e-5)
    factor = np.float32(1) / np.sqrt(mean.astype(np.float32))
    same(tiles.rownorm(a, d, gain, precision, divisor=37, eps=1e-5),
         from_float(x * factor[..., None] * to_float(gain)[:, :, None], precision))


@settings(max_examples=40, deadline=None)
@given(PRECISIONS, st.integers(0, 3), st.integers(0, 3), st.integers(0, 20), st.integers(0, 99))
def test_rope(precision, rows, heads, pairs, seed):
    a = make(seed, precision, 2, 3, rows, heads, 2 * pairs)
    cosine, sine = make(seed + 1, precision, 2, 3, rows, pairs), make(seed + 2, precision, 2, 3, rows, pairs)
    first, second = to_float(a[..., :pairs]), to_float(a[..., pairs:])
    c, s = to_float(cosine)[:, :, :, None], to_float(sine)[:, :, :, None]

    def product(u, v):
        return to_float(from_float(u * v, precision))

    want = np.concatenate([product(first, c) - product(second, s), product(second, c) + product(first, s)], axis=-1)
    same(tiles.rope(a, cosine, sine, precision), from_float(want, precision))


def test_exp_is_within_two_ulp_and_ends_in_zero_and_infinity():
    x = np.linspace(-87, 88.7, 200_001, dtype=np.float32).reshape(1, 1, -1)
    exact = np.exp(x.astype(np.float64))
    assert (np.abs(tiles.exp(x) - exact) <= 2 * np.spacing(exact.astype(np.float32))).all()
    ends = np.float32([[[-np.inf, -1e30, -104, np.inf, 89, 0, np.nan]]])
    same(tiles.exp(ends)[..., :-1], np.float32([[[0, 0, 0, np.inf, np.inf, 1]]]))
    assert np.isnan(tiles.exp(ends)[..., -1])
    lowest = np.full((1, 1, 1, 1), -65504, np.float16)
    assert tiles.expsub(lowest, np.zeros((1, 1, 1), np.float16), "fp16") == 0


# -- views, threads, errors ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("precision", tiles.PRECISIONS)
def test_broadcast_views_are_grids(precision):
    x, w = make(1, precision, 1, 3, 2, 5), make(2, precision, 4, 1, 5, 6)
    wide, tall = np.broadcast_to(x, (4, 3, 2, 5)), np.broadcast_to(w, (4, 3, 5, 6))
    same(tiles.gemm(wide, tall, precision), tiles.gemm(wide.copy(), tall.copy(), precision))
    same(tiles.add(wide, wide, precision), tiles.add(wide.copy(), wide.copy(), precision))
    same(tiles.rowsum(wide[:, :, :, ::2], precision), tiles.rowsum(wide[:, :, :, ::2].copy(), precision))
    one = np.broadcast_to(x[..., :1], (4, 3, 2, 5))
    same(tiles.mul(one, wide, precision), tiles.mul(one.copy(), wide, precision))


def test_gemm_adds_in_place():
    x, w, c = make(1, "fp16", 2, 2, 3, 4), make(2, "fp16", 2, 2, 4, 5), make(3, "fp16", 2, 2, 3, 5)
    want, out = tiles.gemm(x, w, "fp16", c), np.empty_like(c)
    assert tiles.gemm(x, w, "fp16", c, out=out) is out
    same(out, want)
    tiles.gemm(x, w, "fp16", c, out=c)
    same(c, want)


def test_inputs_are_not_changed():
    x, w, c = make(1, "fp16", 2, 2, 3, 3), make(2, "fp16", 2, 2, 3, 3), make(3, "fp16", 2, 2, 3, 3)
    kept = [t.copy() for t in (x, w, c)]
    tiles.gemm(x, w, "fp16", c)
    for array, before in zip((x, w, c), kept, strict=True):
        same(array, before)


@pytest.mark.parametrize(("call", "says"), [
    (lambda a: tiles.gemm(a, a, "fp8"), "no precision 'fp8'"),
    (lambda a: tiles.gemm(a, a, "fp16"), "expected float16 for fp16"),
    (lambda a: tiles.gemm(a, a), "w has shape"),
    (lambda a: tiles.gemm(a[0], a), "expected 4"),
    (lambda a: tiles.gemm(a, a.swapaxes(2, 3), c=a), "c has shape"),
    (lambda a: tiles.gemm(a, a.swapaxes(2, 3), out=a), "out has shape"),
    (lambda a: tiles.mesh_gemm(a, a.swapaxes(2, 3)), "w has shape"),
    (lambda a: tiles.add(a, a[:1]), "b has shape"),
    (lambda a: tiles.local("sort", a), "no local work 'sort'"),
    (lambda a: tiles.rowmax(a[..., :0]), "at least one"),
    (lambda a: tiles.rowdiv(a, a), "d has shape"),
    (lambda a: tiles.rope(a[:, :, :, None, :3], a, a), "even number"),
    (lambda a: tiles.gemm(a, a.swapaxes(2, 3), threads=0), "threads is 0"),
])
def test_errors_say_what_is_accepted(call, says):
    with pytest.raises(InputError, match=says):
        call(make(1, "fp32", 2, 3, 4, 5))


@pytest.mark.parametrize("accumulate", [False, True])
def test_results_stored_past_the_caches_are_the_same(accumulate):
    """More than 20 MB of results: fp32 results whose rows are whole cache lines are not kept in the caches."""
    x, w = (tiles.mov(np.random.default_rng(seed).random((96, 96, 32, 32), dtype=np.float32)) for seed in (1, 2))
    start = tiles.mov(x) if accumulate else None
    whole = tiles.gemm(x, w, "fp32", c=start, threads=2)
    rows = [tiles.gemm(x[i:i + 1], w[i:i + 1], "fp32", c=None if start is None else start[i:i + 1]) for i in (0, 50, 95)]
    assert whole[[0, 50, 95]].tobytes() == np.concatenate(rows).tobytes()


@pytest.mark.parametrize("past_caches", [False, True])
def test_traffic_reads_and_writes_whole_grids(past_caches):
    a, b = (tiles.mov(make(seed, "fp32", 4, 4, 1024)).reshape(-1) for seed in (1, 2))
    out = tiles.mov(a.reshape(4, 4, 1024)).reshape(-1)
    _tiles.traffic(a, b, out, past_caches)
    same(out, a + b)
