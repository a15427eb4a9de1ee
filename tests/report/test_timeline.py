"""Timelines: what Perfetto asks of a trace, and that they say what the command says."""

import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from wsekern.cli import cli
from wsekern.fabric import animate_heatmap
from wsekern.fabric.heatmap import MOST_FRAMES
from wsekern.report.timeline import GPUS, PES, counter, in_layers

CLOSE = 1e-3
"""Microseconds by which rounding may let a slice end after the one around it."""


def read(path: Path) -> list[dict[str, Any]]:
    """Events of a file whose structure holds: names first, slices of a track one in another or one after another, counters
    in order, pairs of crossings whole."""
    events = json.loads(path.read_text())["traceEvents"]
    named = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
    tracks: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    counts: dict[tuple[int, str], list[float]] = defaultdict(list)
    pairs: dict[int, list[str]] = defaultdict(list)
    for event in events:
        assert event["ph"] in "MXCbe" and isinstance(event["pid"], int)
        if event["ph"] == "X":
            tracks[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
        elif event["ph"] == "C":
            counts[event["pid"], event["name"]].append(event["ts"])
        elif event["ph"] in "be":
            pairs[event["id"]].append(event["ph"])
    assert set(tracks) <= named and all(found == ["b", "e"] for found in pairs.values())
    assert all(before < after for times in counts.values() for before, after in pairwise(times))
    for slices in tracks.values():
        around: list[float] = []
        for begin, end in slices:
            while around and around[-1] <= begin + CLOSE:
                around.pop()
            assert not around or end <= around[-1] + CLOSE
            around.append(end)
    return events


def test_both_sides_of_a_comparison_lie_on_one_clock(written):
    found = written("compare")
    events = read(found.timeline)
    names = {event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert names == {"wafer 1", found.data["cluster"]["name"]}
    first = max(event["ts"] + event["dur"] for event in events if event.get("cat") == "prompt")
    assert first == pytest.approx(1e6 * found.data["wafer"]["lone_time_to_first_token_seconds"], rel=1e-6)
    steps = [event for event in events if event.get("cat") == "pass"]
    assert [event["name"] for event in steps] == ["prompt", "token 2", "token 3", "token 4"]
    assert steps[1]["dur"] == pytest.approx(1e6 * found.data["cluster"]["lone_time_per_output_token_seconds"], rel=1e-6)
    kernels = sum(event["dur"] for event in events if event["pid"] == GPUS and event.get("tid") == 2 and event["ph"] == "X")
    assert kernels == pytest.approx(sum(event["dur"] for event in steps), rel=1e-6)


def test_a_token_on_the_wafers_is_told_down_to_operations(written):
    events = read(written("compare").timeline)
    stays = sum(event["dur"] for event in events if event.get("cat") == "token")
    inside = sum(event["dur"] for event in events if event.get("cat") == "operation")
    assert inside == pytest.approx(stays, rel=1e-6)
    assert {event["name"] for event in events if event.get("cat") == "layer"} == {f"layer {number}" for number in range(1, 33)}


def test_the_timeline_of_a_run_ends_with_its_last_cycle(written):
    found = written("run")
    events = read(found.timeline)
    clock, data = found.data["clock_hertz"], found.data
    last = max(event["ts"] + event["dur"] for event in events if event["ph"] == "X")
    assert last == pytest.approx(1e6 * sum(data["cycles_by_part"].values()) / clock, rel=1e-9)
    passes = [event for event in events if event.get("cat") == "pass"]
    assert len(passes) == data["output_tokens"] and passes[0]["dur"] == pytest.approx(1e6 * data["prefill_seconds"], rel=1e-9)
    operations = [event for event in events if event.get("cat") == "operation" and event["tid"] == 1]
    assert sum(event["args"]["link_traversals"] for event in operations) <= data["link_traversals"]
    assert {event["tid"] for event in events if event["pid"] == PES and event["ph"] == "X"} == {1, 2, 3, 4, 5, 6}


def test_a_counter_is_a_sum_over_time():
    changes = [(0.0, 1.0), (2.0, -1.0), (1.0, 2.0), (1.0, -0.5)]
    found = [(event["ts"], event["args"]["value"]) for event in counter("c", 1, changes)]
    assert found == [(0.0, 1.0), (1e6, 2.5), (2e6, 1.5)]


def test_layers_launch_every_kernel_as_often_as_it_is_counted():
    from wsekern.cluster import deploy
    from wsekern.cluster.kernel_list import decode_work, list_kernels
    from wsekern.workload import load_config

    deployment = deploy(load_config("gpt-oss-120b"), "h100x8", context=1024)
    kernels = list_kernels(deployment, decode_work(deployment, 1, 1000))
    sums: dict[int, float] = defaultdict(float)
    for kernel, launches in in_layers(kernels, deployment.model.layers):
        sums[id(kernel)] += launches
    assert sums == {id(kernel): kernel.count for kernel in kernels}


def test_link_use_is_animated(tmp_path):
    use = np.arange(MOST_FRAMES * 2 * 4 * 3, dtype=np.uint32).reshape(-1, 4, 3)
    frames = animate_heatmap(use[:3], tmp_path / "use.gif", ["one", "two", "three"])
    with Image.open(tmp_path / "use.gif") as picture:
        assert (picture.format, picture.n_frames) == ("GIF", frames) and frames == 3


def test_an_animation_wants_the_engine_that_moves_words(tmp_path):
    done = CliRunner().invoke(cli, ["run", "sample", "--prompt", "a", "--animation", str(tmp_path / "a.gif")])
    assert "--engine cycle" in str(done.exception)
