"""Files whole or not at all; numbers in words; bars; pages."""

import os

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.report import check_target, html_page, picture_kind, to_json, write_file
from wsekern.report.comparison import bar
from wsekern.report.words import amount, seconds, size


def test_a_file_is_replaced_whole_and_keeps_no_neighbours(tmp_path):
    target = tmp_path / "a.json"
    write_file(target, "old")
    write_file(target, b"new")
    assert target.read_bytes() == b"new" and os.listdir(tmp_path) == ["a.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "a.json"
    write_file(target, "old")

    def fail(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(InputError, match=r"a\.json: No space left"):
        write_file(target, "new")
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("path", ["", "{}", "{}/none/a.json", "{}/file/a.json"])
def test_a_place_for_no_file_is_refused(tmp_path, path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        check_target(path.format(tmp_path))


@pytest.mark.parametrize("closed", ["", "a.json"])
def test_a_read_only_folder_or_file_is_refused(tmp_path, monkeypatch, closed):
    """Root may write everywhere, so the answer of the system is given here."""
    (tmp_path / "a.json").write_text("")
    monkeypatch.setattr(os, "access", lambda path, mode: os.fspath(path) != os.fspath(tmp_path / closed))
    with pytest.raises(InputError, match="read-only for you"):
        check_target(tmp_path / "a.json")


def test_json_holds_finite_numbers_only():
    assert to_json({"a": np.float32(0.5), "b": np.int64(3)}) == '{\n  "a": 0.5,\n  "b": 3\n}\n'
    for bad in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="not a finite number"):
            to_json({"a": bad})


def test_pictures_by_their_ending():
    assert [picture_kind(f"x{end}") for end in (".PNG", ".svg", ".pdf", "")] == ["png", "svg", "pdf", "png"]
    with pytest.raises(InputError, match=r"\.png, \.svg or \.pdf"):
        picture_kind("x.docx")


def test_numbers_in_words():
    assert [seconds(value) for value in (2.5, 2.5e-3, 2.5e-6, 2.5e-9, 0.0)] == ["2.5 s", "2.5 ms", "2.5 us", "2.5 ns", "0 ns"]
    assert [amount(value) for value in (12345.6, 12.34, 0.01234)] == ["12,346", "12.3", "0.0123"]
    assert [size(value) for value in (4.4e10, 5e6, 999)] == ["44 GB", "5 MB", "999 B"]


def test_bars_are_as_long_as_their_share():
    assert [len(bar(share, 8)) for share in (0, 0.5, 1)] == [0, 4, 8]


def test_a_page_stands_alone_and_escapes():
    page = html_page("a < b", "a title")
    assert "<title>a title</title>" in page and "a &lt; b" in page and "src=" not in page
