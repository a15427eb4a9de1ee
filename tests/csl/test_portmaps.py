"""Port maps of older host scripts."""

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.sdk.portmaps import convert_input_tensor, format_output_tensor, prepare_output_tensor


@pytest.mark.parametrize("text", ["{ A[i=0:3][j=0:5] -> [PE[j // 2, i // 2 + 1] -> index[j % 2, i % 2]] }",
                                  "{A[i=0:3, j=0:5] -> [ PE[j//2, 1 + i//2] -> index[j mod 2, i mod 2] ]; }"])
def test_elements_go_to_their_pes_in_the_order_of_their_places_and_come_back(text):
    values = np.arange(24, dtype=np.float32).reshape(4, 6)
    x, y, width, height, length, data = convert_input_tensor(text, values)
    assert (x, y, width, height, length) == (0, 1, 3, 2, 4)
    for row in range(2):
        for column in range(3):
            tile = values[2 * row:2 * row + 2, 2 * column:2 * column + 2]
            np.testing.assert_array_equal(data.reshape(2, 3, 4)[row, column], tile.T.ravel())
    *_, room = prepare_output_tensor(text, np.float32)
    assert room.shape == data.shape
    np.testing.assert_array_equal(format_output_tensor(text, np.float32, data.view(np.uint32)), values)


@pytest.mark.parametrize("text, said", [
    ("A[i=0:3]", "is no port map"), ("{ A[i=3] -> [PE[i, 0] -> index[0]] }", "is no range"),
    ("{ A[i=0:3] -> [PE[i] -> index[0]] }", "two coordinates"),
    ("{ A[i=0:2] -> [PE[i // 2, 0] -> index[i]] }", "1 to 2 elements"),
    ("{ A[i=0:3] -> [PE[k, 0] -> index[i]] }", "expected indices"),
    ("{ A[i=0:3] -> [PE[i +, 0] -> index[i]] }", "no expression")])
def test_a_map_that_cannot_be_is_refused_with_its_text(text, said):
    with pytest.raises(InputError, match=said):
        convert_input_tensor(text, np.zeros(4))
