"""JSON files beside a model that are none."""

import pytest

from wsekern.errors import InputError
from wsekern.workload import json_files
from wsekern.workload.json_files import read_json
from wsekern.workload.text.text import refusing


def test_half_a_surrogate_pair_is_no_text(tmp_path):
    file = tmp_path / "config.json"
    file.write_bytes(rb'{"bos_token": "\ud800"}')
    with pytest.raises(InputError, match="not valid JSON"):
        read_json(file)
    file.write_bytes(rb'{"bos_token": "\ud83d\ude00"}')
    assert read_json(file) == {"bos_token": "\U0001f600"}


def test_a_file_without_end_is_not_read(monkeypatch):
    monkeypatch.setattr(json_files, "LARGEST", 1000)
    with pytest.raises(InputError, match="larger than 1,000 bytes"):
        read_json("/dev/zero")


def test_a_panic_of_the_library_is_refused_and_an_interrupt_is_not():
    class Panic(BaseException):
        pass

    with pytest.raises(InputError, match=r"^file: index out of bounds$"), refusing("file"):
        raise Panic("index out of bounds")
    with pytest.raises(KeyboardInterrupt), refusing("file"):
        raise KeyboardInterrupt
