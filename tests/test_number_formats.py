"""Arrays of fp16 and bf16 to and from float32, against numpy and ml_dtypes."""

import ml_dtypes
import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.number_formats import narrow, round_bf16, round_half, widen, widen_bf16, widen_half


def test_every_half_widens_exactly_and_comes_back():
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    numbers = every[~np.isnan(every)]
    wide = widen_half(numbers)
    assert wide.tobytes() == numbers.astype(np.float32).tobytes()
    back, finite = round_half(wide)
    assert back.tobytes() == numbers.tobytes() and not finite
    assert np.isnan(widen_half(every[np.isnan(every)])).all()


@pytest.mark.parametrize("count", [0, 1, 7, 8, 19])
def test_rounding_is_numpys_with_axes_in_memory_as_they_were(count):
    values = (np.random.default_rng(count).standard_normal((3, count, 2)) * 100).astype(np.float32)
    for array in (values, values.transpose(2, 0, 1), values[:, ::-1], values[:1]):
        half, finite = round_half(array)
        assert finite and half.tobytes() == array.astype(np.float16).tobytes()
        assert widen(half, "fp16").tobytes() == half.astype(np.float32).tobytes()
    assert round_half(values.T)[0].T.flags.c_contiguous


def test_values_beyond_fp16_are_refused():
    for place in (0, 8, 9):
        values = np.ones(10, np.float32)
        values[place] = 7e4
        with pytest.raises(InputError, match="w holds values beyond fp16"):
            narrow(values, "fp16", "w")


def test_every_bf16_widens_exactly_and_comes_back():
    words = np.arange(1 << 16, dtype=np.uint16)
    wide = widen_bf16(words)
    assert wide.tobytes() == words.view(ml_dtypes.bfloat16).astype(np.float32).tobytes()
    numbers = ~np.isnan(wide)
    assert np.array_equal(round_bf16(wide)[numbers], words[numbers]) and (round_bf16(wide)[~numbers] == 0x7FC0).all()


def test_bf16_is_rounded_to_the_nearest_even():
    low = np.random.default_rng(0).integers(0, 1 << 32, 20_000, np.uint32)
    ties = low[:5_000] & 0xFFFF0000 | 0x8000     # halfway between two
    for bits in (low, ties, ties + 1, ties - 1):
        values = bits.view(np.float32)
        values = values[~np.isnan(values)]
        assert np.array_equal(round_bf16(values), values.astype(ml_dtypes.bfloat16).view(np.uint16))


def test_arrays_narrow_and_widen_in_their_own_shape():
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert narrow(values, "fp32", "w") is values
    for precision, dtype in (("fp16", np.float16), ("bf16", np.uint16)):
        narrowed = narrow(values, precision, "w")
        assert narrowed.shape == (2, 3) and narrowed.dtype == dtype
        assert np.array_equal(widen(narrowed, precision), values)
    assert widen(values, "fp32").dtype == np.float32 and np.array_equal(widen(values, "fp32"), values)
