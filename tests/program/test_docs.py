"""The package's page runs as it is written."""

import doctest

import wsekern.program


def test_the_page_of_the_package_is_true():
    result = doctest.testmod(wsekern.program)
    assert result.attempted >= 10 and result.failed == 0
