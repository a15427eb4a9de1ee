"""Files whole or not at all, JSON, and the formats of pictures."""

import os

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.output import check_target, picture_kind, to_json, write_file


def test_a_file_is_replaced_whole_and_keeps_no_neighbors(tmp_path):
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
