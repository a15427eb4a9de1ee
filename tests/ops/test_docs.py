"""The package's pages run as they are written."""

import doctest

import pytest

import wsekern.ops
import wsekern.ops.engines.regions
import wsekern.ops.local.functions
import wsekern.ops.local.padding
import wsekern.ops.local.rows


def test_the_page_of_the_package_is_true():
    result = doctest.testmod(wsekern.ops)
    assert result.attempted >= 5 and result.failed == 0


def test_the_page_of_local_work_is_true():
    result = doctest.testmod(wsekern.ops.local.rows)
    assert result.attempted >= 5 and result.failed == 0


def test_the_page_of_functions_is_true():
    result = doctest.testmod(wsekern.ops.local.functions)
    assert result.attempted == 1 and result.failed == 0


@pytest.mark.parametrize("module", [wsekern.ops.engines.regions, wsekern.ops.local.padding])
def test_the_pages_of_regions_and_of_padding_are_true(module):
    result = doctest.testmod(module)
    assert result.attempted >= 4 and result.failed == 0
