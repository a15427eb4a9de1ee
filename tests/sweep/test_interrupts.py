"""Sweeps that are interrupted at any time end as those that are not: every point once, and the same file."""

import json
import logging
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

SPEC = """
[inputs]
model = "qwen3-0.6b"
wafers = 1
output = 16
[grid]
prompt = { from = 16, to = 1024, count = 10, scale = "log" }
batch = [1, 4]
"gpu.price.per_hour" = { from = 1.0, to = 40.0, count = 5, scale = "log" }
"machine.system.price_per_hour" = { from = 10.0, to = 80.0, count = 5, scale = "log" }
"""
POINTS = 500
LONGEST = 600
"""Seconds that a run may take, on a machine with other work."""


def start(folder, out: str, *arguments: str) -> subprocess.Popen:
    """The command, in a process group of its own."""
    (folder / "s.toml").write_text(SPEC)
    return subprocess.Popen([sys.executable, "-m", "wsekern.cli", "sweep", "s.toml", "--out", out, *arguments], cwd=folder,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)


def lines(path) -> list[bytes]:
    """Whole lines of a file that may be being written."""
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def left_over(group: int) -> list[int]:
    """Processes of a group that are alive."""
    found = subprocess.run(["ps", "-eo", "pid,pgid,stat"], capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    return [int(pid) for pid, pgid, state in map(str.split, found) if int(pgid) == group and not state.startswith("Z")]


def wait_for(condition, what: str) -> None:
    """Until ``condition`` holds."""
    end = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The file of a sweep that nobody interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    process = start(folder, "p.jsonl", "--jobs", "2")
    assert process.wait(LONGEST) == 0, process.stderr.read()
    process.stderr.close()
    content = (folder / "p.jsonl").read_bytes()
    assert len({json.loads(line)["key"] for line in content.splitlines()}) == POINTS
    return content


@pytest.mark.by_hand
def test_ten_interrupts_lose_nothing(undisturbed, tmp_path):
    """SIGINT and SIGKILL by turns, each a few records after the start; nothing is done twice, and no process is left."""
    random, path = np.random.default_rng(5), tmp_path / "p.jsonl"
    for number in range(10):
        before = len(lines(path))
        process = start(tmp_path, "p.jsonl", "--jobs", "2")
        more = int(random.integers(1, 40))
        wait_for(lambda more=more, process=process, before=before: len(lines(path)) >= before + more
                 or process.poll() is not None, "no record came")
        if number % 2:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGINT)
        code = process.wait(LONGEST)
        said = process.stderr.read().decode()
        process.stderr.close()
        assert code in (130, -signal.SIGKILL, 0), said
        assert "Traceback" not in said
        wait_for(lambda group=process.pid: not left_over(group), "workers are left")
        keys = [json.loads(line)["key"] for line in lines(path)]
        assert len(keys) == len(set(keys))
    process = start(tmp_path, "p.jsonl", "--jobs", "2")
    assert process.wait(LONGEST) == 0, process.stderr.read()
    process.stderr.close()
    assert path.read_bytes() == undisturbed


@pytest.mark.by_hand
@pytest.mark.filterwarnings("ignore")  # of a worker that is killed
def test_killed_workers_of_dask_lose_nothing(undisturbed, tmp_path):
    """Workers are killed while the sweep goes on, then the sweep itself; what was done is kept."""
    distributed = pytest.importorskip("distributed")
    path = tmp_path / "p.jsonl"
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None,
                                  silence_logs=logging.CRITICAL) as cluster:
        for end in ("worker", "sweep", "worker", ""):
            before = len(lines(path))
            process = start(tmp_path, "p.jsonl", "--dask", cluster.scheduler_address)
            wait_for(lambda process=process, before=before: len(lines(path)) > before or process.poll() is not None,
                     "no record came")
            if end == "sweep":
                process.kill()
                process.wait(LONGEST)
            else:
                if end:
                    os.kill(cluster.workers[0].process.pid, signal.SIGKILL)
                assert process.wait(LONGEST) == 0, process.stderr.read()
            process.stderr.close()
    assert path.read_bytes() == undisturbed
