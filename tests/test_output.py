"""Files whole or not at all, JSON, and the formats of pictures."""

import io
import os
import resource
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.output import ProgressBar, check_target, picture_kind, to_json, write_file


def test_a_file_is_replaced_whole_and_keeps_no_neighbors(tmp_path):
    target = tmp_path / "a.json"
    write_file(target, "old")
    write_file(target, b"new")
    assert target.read_bytes() == b"new" and os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("path", [3, None, "a\0b"])
def test_what_names_no_file_is_refused(path):
    with pytest.raises(InputError, match="cannot write"):
        write_file(path, "text")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "a.json"
    write_file(target, "old")

    def fail(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(InputError, match=r"a\.json: No space left"):
        write_file(target, "new")
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["a.json"]


def test_a_disk_that_is_full_keeps_the_old_file(tmp_path):
    target = tmp_path / "a.json"
    write_file(target, "old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(InputError, match=r"cannot write .*a\.json: File too large"):
            write_file(target, "x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["a.json"]


def test_of_many_writers_at_once_one_is_read(tmp_path):
    target, texts = tmp_path / "a.json", [str(number) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        written = [pool.submit(write_file, target, text) for text in 5 * texts]
        while not all(one.done() for one in written):
            assert not target.exists() or target.read_text() in texts
    assert target.read_text() in texts and os.listdir(tmp_path) == ["a.json"]


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


ENDS = """
import dataclasses, sys, time
from wsekern.output import run_and_exit

def made():                 # Python takes what is raised in code that was text for something that nobody caught
    exec("import os, signal; os.kill(os.getpid(), signal.SIGINT); import time; time.sleep(9)")

class Named:
    def __set_name__(self, owner, name):
        made()

def bad():                  # Python 3.11 hands it on as a RuntimeError
    type("Owner", (), {"x": Named()})

def slow_end():
    sys.stdout.write("so far")
    made()

run_and_exit(globals()[sys.argv[1]])
"""


@pytest.mark.parametrize("name", ["made", "bad", "slow_end"])
def test_an_interrupt_ends_with_130_however_it_arrives(name):
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)    # jobs in the background are born deaf to it
    done = subprocess.run([sys.executable, "-c", ENDS, name], capture_output=True, text=True, timeout=60, preexec_fn=heed)
    assert done.returncode == 130 and done.stderr == "wsekern: interrupted\n"
    assert done.stdout == ("so far" if name == "slow_end" else "")


def test_a_closed_pipe_ends_with_141():
    program = "from wsekern.output import run_and_exit; run_and_exit(lambda: print('x' * 100000))"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        run.stdout.close()
        assert run.wait(60) == 141 and run.stderr.read() == b""


@pytest.mark.parametrize(("watched", "after", "told"), [(True, 0.0, True), (True, 60.0, False), (False, 0.0, False)])
def test_progress_is_for_who_watches_and_for_what_takes_long(monkeypatch, watched, after, told):
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: watched)
    monkeypatch.setattr(sys, "stderr", stream)
    with ProgressBar("on its way", 3, after) as advance:
        advance()
        advance(2)
    assert ("on its way" in stream.getvalue()) == told
