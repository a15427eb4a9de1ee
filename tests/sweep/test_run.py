"""Sweeps from start to end, interrupted, on processes and by Dask: the same records each once."""

import csv
import logging

import pytest
from pyarrow import parquet

from tests.sweep.small import INPUTS, priced
from wsekern.compare import compare
from wsekern.errors import InputError
from wsekern.machine import load_machine
from wsekern.sweep.journal import Journal
from wsekern.sweep.processes import record_of
from wsekern.sweep.record import FACTS, SIDES
from wsekern.sweep.run import run
from wsekern.sweep.spec import Spec, plan_of
from wsekern.workload import Request, load_config


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Six records, and the file that holds them."""
    path = tmp_path_factory.mktemp("sweep") / "points.jsonl"
    return run(priced(6), path), path.read_bytes()


def test_a_sweep_that_was_cut_goes_on(whole, tmp_path):
    records, content = whole
    path = tmp_path / "points.jsonl"
    lines = content.splitlines(keepends=True)
    path.write_bytes(lines[3] + lines[1] + lines[5][:40])   # in any order; the last one was being written
    started, done = [], []
    assert run(priced(6), path, on_start=started.append, on_record=lambda: done.append(1)) == records
    assert started == [2] and len(done) == 4 and path.read_bytes() == content


def test_a_table_holds_the_same_as_the_lines(whole, tmp_path):
    records, content = whole
    (tmp_path / "points.jsonl").write_bytes(content)
    for name in ("points.csv", "points.parquet"):
        assert run(priced(6), tmp_path / name) == records
    rows = parquet.read_table(tmp_path / "points.parquet").to_pylist()
    text = list(csv.DictReader((tmp_path / "points.csv").read_text().splitlines()))
    for record, row, line in zip(records, rows, text, strict=True):
        assert row["gpu.price.per_hour"] == record["inputs"]["gpu.price.per_hour"] == float(line["gpu.price.per_hour"])
        assert row["wafer.watts"] == record["wafer"]["watts"] == float(line["wafer.watts"])
        assert row["cluster.shares.compute"] == record["cluster"]["shares"]["compute"]
        assert row["hashes.machine"] == record["hashes"]["machine"] and row["version"] == record["version"]


def test_foreign_files_and_second_writers_are_refused(whole, tmp_path):
    path = tmp_path / "points.jsonl"
    path.write_bytes(whole[1])
    with pytest.raises(InputError, match="holds 4 points of other inputs"):
        run(priced(3), path)
    path.write_bytes(whole[1].replace(b'"version": "', b'"version": "old-').replace(b'"key": "', b'"key": "a'))
    with pytest.raises(InputError, match="by version old-"):
        run(priced(6), path)
    path.write_text("{}\n")
    with pytest.raises(InputError, match="line 1, is no record"):
        run(priced(6), path)
    path.write_text("a line of somebody else")
    with pytest.raises(InputError, match="ends in what is no record"):
        run(priced(6), path)
    assert path.read_text() == "a line of somebody else"
    path.write_bytes(b"")
    with Journal(path), pytest.raises(InputError, match="written by another sweep"):
        run(priced(6), path)
    with pytest.raises(InputError, match="expected a name that ends in"):
        run(priced(6), tmp_path / "points.txt")


def test_records_say_what_compare_says(whole):
    """But for the price, which is that of the point: tokens are paid in proportion."""
    data = compare(load_config("qwen3-0.6b"), Request(64, 16), load_machine("wse3"), 1, "h100x8").to_dict()
    for record in (whole[0][0], whole[0][4]):
        price = record["inputs"]["gpu.price.per_hour"]
        for side in SIDES:
            for name, value in record[side].items():
                said = data[side]["facts"][name] if name in FACTS else data[side][name]
                if side == "wafer" or not name.startswith("usd"):
                    assert said == value, (side, name)
        assert record["cluster"]["usd_per_hour"] == record["cluster"]["gpus"] * price
        for name in ("usd_per_million_tokens", "usd_per_request"):
            ratio = record["cluster"]["usd_per_hour"] / data["cluster"]["usd_per_hour"]
            assert record["cluster"][name] == pytest.approx(ratio * data["cluster"][name])


def test_processes_give_the_same_and_replace_one_that_ends(whole, tmp_path):
    from wsekern.sweep.processes import Processes

    plan, workers = priced(6), Processes(1)
    found, killed = [], False
    for record in workers.records([list(plan.points[:3]), list(plan.points[3:])]):
        found.append(record)
        if not killed:
            killed = True
            for worker in workers._workers.values():
                worker.process.kill()
    assert sorted(found, key=lambda one: one["key"]) == sorted(whole[0], key=lambda one: one["key"])


def test_dask_gives_the_same(whole, tmp_path):
    distributed = pytest.importorskip("distributed")
    path = tmp_path / "points.jsonl"
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None,
                                  silence_logs=logging.ERROR) as cluster:
        assert run(priced(6), path, dask=cluster) == whole[0]
    assert path.read_bytes() == whole[1]


def test_no_scheduler_is_a_sentence(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("wsekern.sweep.many.TIMEOUT", "50ms")
    with pytest.raises(InputError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"):
        run(priced(6), tmp_path / "points.jsonl", dask="tcp://127.0.0.1:1")


def test_another_clock_of_a_lone_wafer_is_placed_as_a_search_at_that_clock_places():
    """To the bit, although the search was at another clock."""
    plan = plan_of(Spec(inputs=INPUTS, grid={"machine.clock": [0.7e9, 1.3e9]}))
    for point in plan.points:
        machine = point.case.pairing.machine
        side = compare(load_config("qwen3-0.6b"), Request(64, 16), machine, 1, "h100x8").wafer
        record = record_of(point.inputs)["wafer"]
        assert {name: record[name] for name in side.figures()} == side.figures()
        cycles = side.facts["cycles_per_token"]
        assert side.lone_time_per_output_token_seconds * float(machine.clock) == pytest.approx(cycles)
