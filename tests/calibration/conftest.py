"""What the shipped rows of each table are judged as, once for all tests of the folder."""

from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import pytest

from wsekern.validation import gpu


def shipped_rows(module: ModuleType) -> list[dict[str, str]]:
    """Rows of a table of :mod:`wsekern.validation`."""
    return gpu.measurements() if module is gpu else module.shipped_rows()


@pytest.fixture(scope="session")
def judged() -> Callable[[ModuleType], list[Any]]:
    """Module -> its results for the rows that are shipped; not to be changed."""
    return cache(lambda module: module.predict_rows(shipped_rows(module)))
