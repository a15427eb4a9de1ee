"""The routing of the tables: no row is lost, and the busiest rank has at least its share."""

import pytest

from wsekern.calibration.routing import in_tables
from wsekern.errors import InputError


def test_routing_of_the_tables():
    for tokens in (1, 4, 64, 300):
        rows, active = in_tables(tokens, 8, 128, 1)
        assert rows == tokens * 8 and min(8, tokens * 8) <= active <= 128
        rows, active = in_tables(tokens, 8, 128, 8)
        assert tokens <= rows <= 8 * tokens and active <= 16
    for wrong in ((0, 8, 128, 1), (1, 9, 8, 1), (1, 2, 9, 2)):
        with pytest.raises(InputError, match="cannot each take"):
            in_tables(*wrong)
