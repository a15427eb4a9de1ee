"""The package's pages run as they are written."""

import doctest

import wsekern.ops
import wsekern.ops.local.rows


def test_the_page_of_the_package_is_true():
    result = doctest.testmod(wsekern.ops)
    assert result.attempted >= 5 and result.failed == 0


def test_the_page_of_local_work_is_true():
    result = doctest.testmod(wsekern.ops.local.rows)
    assert result.attempted >= 5 and result.failed == 0
