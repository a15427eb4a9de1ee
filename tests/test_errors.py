"""Every status code of the C kernels has a name, a sentence and an exception."""

import pytest

from wsekern._common import status_table
from wsekern.errors import STATUS_EXCEPTIONS, raise_for_status


def test_every_status_has_text_and_exception():
    failures = {code for code in status_table() if code < 0}
    assert failures == set(STATUS_EXCEPTIONS)
    for code in failures:
        name, text = status_table()[code]
        assert name.startswith("WSK_ERR_") and text
        with pytest.raises(STATUS_EXCEPTIONS[code], match=text):
            raise_for_status(code, "detail")


def test_success_passes_through():
    assert raise_for_status(7) == 7
