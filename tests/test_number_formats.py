"""Arrays of fp16 to and from float32 by the kernels, against numpy."""

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.number_formats import narrow, round_half, widen, widen_half


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
