"""The package's page runs as it is written."""

import doctest

import wsekern.cluster


def test_the_page_of_the_package_is_true():
    result = doctest.testmod(wsekern.cluster)
    assert result.attempted >= 5 and result.failed == 0
