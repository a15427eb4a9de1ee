"""The largest numbers of rows: places as a stable sort gives them, on both engines, in the same cycles."""

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.number_formats import round_bf16
from wsekern.ops import FlowEngine
from wsekern.ops.engines.both import BothEngines
from wsekern.ops.local.largest import Largest


@pytest.mark.parametrize("precision", ["fp16", "bf16", "fp16_fp32"])
@pytest.mark.parametrize(("n", "chosen", "rows"), [(128, 8, 1), (9, 3, 4), (5, 5, 1), (1, 1, 2)])
def test_places_are_those_of_a_stable_sort(precision, n, chosen, rows):
    x = np.round(8 * np.random.default_rng(n).standard_normal((2, 3, rows, n))).astype(np.float32) / 4      # many are equal
    x[0, 0, 0, 0] = 0.0
    tile = round_bf16(x) if precision == "bf16" else x.astype(np.float16)
    found = BothEngines("wse3", 3, 2, precision=precision).run(Largest(n, chosen, rows), tile)
    np.testing.assert_array_equal(found, np.argsort(-x, axis=-1, kind="stable")[..., :chosen])


def test_numbers_that_are_left_out_are_chosen_last():
    x = np.array([-np.inf, 2.0, -np.inf, -3.0], np.float16).reshape(1, 1, 1, 4)
    for precision, tile in (("fp16", x), ("bf16", round_bf16(x.astype(np.float32)))):
        found = FlowEngine("wse3", 1, 1, precision=precision).run(Largest(4, 2), tile)
        assert found.tolist() == [[[[1, 3]]]]


def test_what_has_no_keys_is_refused():
    with pytest.raises(InputError, match="the 3 largest of 2 numbers: expected no more than there are"):
        Largest(2, 3)
    with pytest.raises(InputError, match="numbers of 16 bits, not of fp32"):
        FlowEngine("wse3", 1, 1, precision="fp32").run(Largest(2, 1), np.zeros((1, 1, 1, 2), np.float32))
