"""Traces as their publishers write them, and traces that are refused."""

import builtins
import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from wsekern.errors import InputError
from wsekern.queueing.trace import read_trace

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
ROWS = ((0.0, 4808, 10), (0.052, 3180, 8), (86_400.5, 110, 27))
"""What every file of ``SPELLINGS`` holds."""
SPELLINGS = {
    "azure-2023.csv": HEADER + ("2023-11-16 18:17:03.9799600,4808,10\r\n2023-11-16 18:17:04.0319600,3180,8\r\n"
                                "2023-11-17 18:17:04.4799600,110,27"),
    "azure-2024.csv": HEADER + ("2024-05-12 00:00:00+00:00,4808,10\n2024-05-12 00:00:00.052000+00:00,3180,8\n"
                                "2024-05-13 00:00:00.500000+00:00,110,27\n"),
    "azure-2025.csv": "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens\n" + (
        "2024-10-15 00:00:00+00:00,1,4808,10\n2024-10-15 02:00:00.052+02:00,0,3180,8\n2024-10-16 00:00:00.5Z,0,110,27\n"),
    "burst.csv": "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n" + (
        '5,ChatGPT,4808,10,4818,"Conversation log"\n5.052,ChatGPT,3180,8,3188,API log\n86405.5,GPT-4,110,27,137,API log\n'),
    "mooncake.jsonl": ('{"timestamp": 0, "input_length": 4808, "output_length": 10, "hash_ids": [0]}\n'
                       '{"timestamp": 52, "input_length": 3180, "output_length": 8, "hash_ids": [0]}\n\n'
                       '{"timestamp": 86400500, "input_length": 110, "output_length": 27, "hash_ids": [0]}\n'),
    "vidur.csv": "arrived_at,num_prefill_tokens,num_decode_tokens\n7,4808.0,10\n\n7.052,3180,8\n86407.5,110,27\n",
    "excel.csv": "\ufeffarrival,prompt,output\n0,4808,10\n0.052,3180,8\n86400.5,110,27\n",
}


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, newline="")
    return path


def assert_holds_the_rows(trace, scale: float = 1.0) -> None:
    traffic = trace.traffic
    assert traffic.arrival_seconds == pytest.approx([scale * row[0] for row in ROWS], abs=1e-6)
    assert list(zip(traffic.prompt.tolist(), traffic.output.tolist(), strict=True)) == [row[1:] for row in ROWS]
    assert trace.rows == 3 and trace.notes() == [] and traffic.users is None


@pytest.mark.parametrize("name", SPELLINGS)
def test_public_traces_are_read_as_they_are_published(tmp_path, name):
    assert_holds_the_rows(read_trace(write(tmp_path, name, SPELLINGS[name])))


def test_a_packed_trace_is_unpacked(tmp_path):
    path = tmp_path / "trace.csv.gz"
    path.write_bytes(gzip.compress(SPELLINGS["azure-2024.csv"].encode()))
    assert_holds_the_rows(read_trace(path))


def test_a_trace_goes_faster_on_request(tmp_path):
    path = write(tmp_path, "trace.csv", SPELLINGS["azure-2023.csv"])
    assert_holds_the_rows(read_trace(path, scale=4.0), 0.25)
    for scale in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(InputError, match="above 0"):
            read_trace(path, scale)


FIRST = datetime(2024, 5, 12, 23, 59, 59, tzinfo=UTC)
MOMENTS = [FIRST + timedelta(seconds=row[0]) for row in ROWS]


@pytest.mark.parametrize("arrival", [
    pa.array(MOMENTS, pa.timestamp("us", "UTC")), pa.array([m.replace(tzinfo=None) for m in MOMENTS], pa.timestamp("ns")),
    pa.array([m.isoformat(" ") for m in MOMENTS]), pa.array([str(m) for m in MOMENTS], pa.large_string()),
    pa.array([row[0] for row in ROWS])], ids=["UTC", "naive", "text", "large text", "seconds"])
def test_parquet_holds_the_same_columns(tmp_path, arrival):
    table = pa.table({"TIMESTAMP": arrival, "Model": ["a", "b", "c"], "GeneratedTokens": [row[2] for row in ROWS],
                      "ContextTokens": pa.array([row[1] for row in ROWS], pa.int32())})
    parquet.write_table(table, tmp_path / "trace.parquet")
    assert_holds_the_rows(read_trace(tmp_path / "trace.parquet"))


@pytest.mark.parametrize(("arrival", "prompt", "words"), [
    ([0.0, None], [1, 2], ["arrival", "row 2"]), ([0.0, 1.0], [1, None], ["prompt", "row 2", "None"]),
    ([[1], [2]], [1, 2], ["arrival", "row 1"])])
def test_parquet_with_holes_is_refused(tmp_path, arrival, prompt, words):
    parquet.write_table(pa.table({"arrival": arrival, "prompt": prompt, "output": [1, 1]}), tmp_path / "trace.parquet")
    with pytest.raises(InputError) as refused:
        read_trace(tmp_path / "trace.parquet")
    assert all(word in str(refused.value) for word in words)


def test_what_is_no_parquet_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot read the trace"):
        read_trace(write(tmp_path, "trace.parquet", SPELLINGS["azure-2023.csv"]))


def test_without_pyarrow_parquet_says_what_to_install(tmp_path, monkeypatch):
    load = builtins.__import__

    def without_pyarrow(name, *rest):
        if name.startswith("pyarrow"):
            raise ModuleNotFoundError(name)
        return load(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_pyarrow)
    with pytest.raises(InputError, match=r"wsekern\[parquet\]"):
        read_trace(tmp_path / "trace.parquet")


def test_rows_out_of_order_are_sorted_and_empty_requests_left_out_and_both_are_told(tmp_path):
    trace = read_trace(write(tmp_path, "t.csv", HEADER + "9,1,1\n3,2,0\n4,0,5\n5,7,8\n5,6,6\n"))
    assert trace.traffic.arrival_seconds.tolist() == [0.0, 0.0, 4.0]
    assert trace.traffic.prompt.tolist() == [7, 6, 1]  # those that arrive together stay in their order
    assert trace.rows == 5 and trace.empty == 2 and trace.sorted
    left_out, in_order = trace.notes()
    assert "2 of 5 requests left out" in left_out and "sorted" in in_order


@pytest.mark.parametrize(("name", "text", "words"), [
    ("t.csv", "", ["holds no requests"]),
    ("t.csv", HEADER, ["holds no requests"]),
    ("t.jsonl", "\n", ["holds no requests"]),
    ("t.csv", HEADER + "0,0,4\n", ["no request with a token"]),
    ("t.csv", "a,b,c\n1,2,3\n", ["no columns for the arrival", "TIMESTAMP, ContextTokens, GeneratedTokens"]),
    ("t.csv", "arrival,prompt\n1,2\n", ["no columns for the output"]),
    ("t.csv", "arrival,timestamp,prompt,output\n1,1,2,3\n", ["2 columns for the arrival"]),
    ("t.csv", HEADER + "0,1,1\n1,x,1\n", ["prompt in row 2", "'x'"]),
    ("t.csv", HEADER + "0,1,1\n1,1,-4\n", ["output in row 2", "'-4'"]),
    ("t.csv", HEADER + "0,1,1\n1,1.5,4\n", ["prompt in row 2", "'1.5'"]),
    ("t.csv", HEADER + "0,1,1\n1,1,9999999999\n", ["output in row 2"]),
    ("t.csv", HEADER + "0,1,1\n\n1,1\n", ["row 2", "too short"]),
    ("t.csv", HEADER + "yesterday,1,1\n", ["arrival in row 1", "'yesterday'"]),
    ("t.csv", HEADER + "0,1,1\n2024-05-12,1,1\n", ["arrival in row 2"]),
    ("t.csv", HEADER + "2024-05-12,1,1\n2024-05-12 01:00:00Z,1,1\n", ["arrival in row 2"]),
    ("t.csv", HEADER + "inf,1,1\n", ["arrival in row 1"]),
    ("t.jsonl", '{"timestamp": 0, "input_length": 1, "output_length": 1}\n{"timestamp": 5}\n', ["prompt in row 2", "None"]),
    ("t.jsonl", '{"timestamp": 0, "input_length": 1, "output_length": 1}\n[]\n', ["row 2", "JSON object"]),
    ("t.jsonl", "what\n", ["row 1", "JSON object"]),
    ("t.txt", "", [".csv, .parquet or .jsonl"]),
    ("t.csv.gz", "not packed", ["cannot read"]),
])
def test_a_trace_that_makes_no_sense_is_refused_with_its_row(tmp_path, name, text, words):
    with pytest.raises(InputError) as refused:
        read_trace(write(tmp_path, name, text))
    assert all(word in str(refused.value) for word in words)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "latin.csv").write_bytes(HEADER.encode() + b"\xff\n")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(SPELLINGS["azure-2023.csv"].encode())[:-12])
    for name in ("missing.csv", "latin.csv", "cut.csv.gz", "missing.parquet"):
        with pytest.raises(InputError, match="cannot read the trace"):
            read_trace(tmp_path / name)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 200_000), st.integers(0, 10_000)), min_size=1, max_size=40))
def test_no_request_is_lost_or_made_up(tmp_path_factory, rows):
    rows = [*rows, (1.0, 1, 1)]
    text = "".join(f"{arrival!r},{prompt},{output}\n" for arrival, prompt, output in rows)
    trace = read_trace(write(tmp_path_factory.mktemp("trace"), "t.csv", HEADER + text))
    kept = sorted((arrival, prompt, output) for arrival, prompt, output in rows if prompt and output)
    assert trace.empty == len(rows) - len(kept) == trace.rows - len(trace.traffic)
    assert np.all(np.diff(trace.traffic.arrival_seconds) >= 0)
    again = zip(trace.traffic.arrival_seconds.tolist(), trace.traffic.prompt.tolist(), trace.traffic.output.tolist(),
                strict=True)
    assert sorted(again) == sorted((arrival - kept[0][0], prompt, output) for arrival, prompt, output in kept)


def test_the_first_requests_of_the_code_trace_have_long_prompts_and_short_answers():
    trace = read_trace(Path(__file__).parent / "data" / "azure-llm-code-2023-head.csv")
    traffic = trace.traffic
    assert trace.rows == 150 and (traffic.prompt[0], traffic.output[0]) == (4808, 10)
    assert traffic.prompt.mean() > 40 * traffic.output.mean()
