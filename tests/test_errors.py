"""Every status code of the C kernels has a name, a sentence and an exception."""

import pytest

from wsekern._common import status_table
from wsekern.errors import STATUS_EXCEPTIONS, SimulationError, WsekernError, raise_for_status


def test_every_status_has_text_and_exception():
    failures = {code for code in status_table() if code < 0}
    assert failures == set(STATUS_EXCEPTIONS)
    for code in failures:
        name, text = status_table()[code]
        assert name.startswith("WSK_ERR_") and text
        with pytest.raises(STATUS_EXCEPTIONS[code], match=text):
            raise_for_status(code, "detail")


def test_every_status_has_its_own_name_and_sentence():
    names, texts = zip(*status_table().values(), strict=True)
    assert len(set(names)) == len(names) and len(set(texts)) == len(texts)


def test_every_exception_is_one_that_the_command_line_explains():
    assert all(issubclass(kind, WsekernError | MemoryError | KeyboardInterrupt) for kind in STATUS_EXCEPTIONS.values())


def test_a_stopped_run_keeps_its_report():
    for code, kind in STATUS_EXCEPTIONS.items():
        if issubclass(kind, SimulationError):
            with pytest.raises(kind) as stop:
                raise_for_status(code, report={"pe": (1, 2)})
            assert stop.value.report == {"pe": (1, 2)}


def test_success_passes_through():
    assert raise_for_status(7) == 7
