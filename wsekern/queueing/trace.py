"""Requests of a real service, from a file: when each arrived, how long its prompt and its answer were.

Read are CSV and Parquet files with a column for each of the three, under the names of public traces (``NAMES``), and the JSON
lines of Mooncake. Where the names come from: Azure/AzurePublicDataset (TIMESTAMP, ContextTokens, GeneratedTokens; 2023 without
and 2024 with a time zone), HPMLL/BurstGPT (Timestamp in seconds, Request tokens, Response tokens), kvcache-ai/Mooncake (JSON
lines: timestamp in milliseconds, input_length, output_length), microsoft/vidur (arrived_at, num_prefill_tokens,
num_decode_tokens).
"""

import csv
import gzip
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from wsekern.errors import InputError, one_line
from wsekern.queueing.traffic import Traffic

NAMES = {
    "arrival": ("timestamp", "arrival", "arrivalseconds", "arrivaltime", "arrivedat"),
    "prompt": ("contexttokens", "requesttokens", "prompt", "prompttokens", "inputtokens", "inputlength", "numprefilltokens"),
    "output": ("generatedtokens", "responsetokens", "output", "outputtokens", "outputlength", "numdecodetokens"),
}
"""Names of the columns in small letters and digits alone: ``Request tokens`` and ``request_tokens`` are the same."""

LONGEST = 10**9
"""Tokens of a prompt or an answer that are taken for a mistake in the file."""

_ROWS = 1 << 16  # read at once, so that text never fills the memory


@dataclass(frozen=True, eq=False)
class Trace:
    """The requests of a file in order of arrival, the first at 0 s, and what was done to them."""

    traffic: Traffic
    rows: int
    """Requests in the file."""
    empty: int
    """Requests left out because they have no token in their prompt or in their answer."""
    sorted: bool
    """Whether rows had to be put in order of arrival."""

    def notes(self) -> list[str]:
        """What was done to the rows, a sentence each."""
        notes = []
        if self.empty:
            notes.append(f"{self.empty:,} of {self.rows:,} requests left out: no token in their prompt or in their answer")
        if self.sorted:
            notes.append("rows of the trace were not in order of arrival and have been sorted")
        return notes


def read_trace(path: str | os.PathLike[str], scale: float = 1.0) -> Trace:
    """The requests in ``path``: ``.csv``, ``.parquet`` or ``.jsonl``, text files also with ``.gz`` behind it.

    Arrivals are dates in ISO 8601 (without a time zone: UTC) or seconds; in JSON lines milliseconds. They follow each other
    ``scale`` times as fast as in the file. Requests without a token in prompt or answer are left out and counted; anything else
    that is no arrival or number of tokens is an :class:`InputError` that names the row, the first one below the header being 1.
    """
    kind = os.path.splitext(str(path).lower().removesuffix(".gz"))[1]
    if not np.isfinite(scale) or scale <= 0.0:
        raise InputError(f"the scale of the trace is {scale}, expected a number above 0")
    readers = {".csv": _read_csv, ".parquet": _read_parquet, ".jsonl": _read_json_lines}
    if kind not in readers:
        raise InputError(f"cannot read the trace {path}: expected a name that ends in .csv, .parquet or .jsonl")
    try:
        pieces = list(readers[kind](path))
    except OSError as error:
        raise InputError(f"cannot read the trace {path}: {error.strerror or one_line(error)}") from None
    except (UnicodeDecodeError, csv.Error, EOFError, zlib.error) as error:
        raise InputError(f"cannot read the trace {path}: {one_line(error)}") from None
    if not pieces:
        raise InputError(f"the trace {path} holds no requests")
    return _trace(path, scale, *(np.concatenate(column) for column in zip(*pieces, strict=True)))


def _trace(path: str | os.PathLike[str], scale: float, arrival: NDArray[np.float64], prompt: NDArray[np.int64],
           output: NDArray[np.int64]) -> Trace:
    """Put the requests in order and leave out the empty ones."""
    rows, whole = len(arrival), (prompt > 0) & (output > 0)
    arrival, prompt, output = arrival[whole], prompt[whole], output[whole]
    if not len(arrival):
        raise InputError(f"the trace {path} holds no request with a token in its prompt and in its answer")
    unordered = bool(np.any(np.diff(arrival) < 0))
    if unordered:
        order = np.argsort(arrival, kind="stable")
        arrival, prompt, output = arrival[order], prompt[order], output[order]
    return Trace(Traffic((arrival - arrival[0]) / scale, prompt, output), rows, rows - len(arrival), unordered)


_Columns = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]


def _read_csv(path: str | os.PathLike[str]) -> Iterator[_Columns]:
    with _open_text(path) as stream:
        lines = csv.reader(stream)
        header = next(lines, None)
        if not header:
            return
        places = _places(path, header)
        rows = (line for line in lines if line)  # blank lines are no rows
        first, origin = 1, None
        while block := list(islice(rows, _ROWS)):
            texts = _columns(path, block, places, first)
            if origin is None:
                origin = _origin(texts[0][0])
            yield (_arrivals(path, texts[0], first, origin), _tokens(path, "prompt", texts[1], first),
                   _tokens(path, "output", texts[2], first))
            first += len(block)


def _open_text(path: str | os.PathLike[str]) -> IO[str]:
    if str(path).lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return open(path, encoding="utf-8-sig", newline="")


def _places(path: str | os.PathLike[str], header: Iterable[str]) -> list[int]:
    """Where arrival, prompt and output stand in the ``header``."""
    names = [re.sub("[^a-z0-9]", "", name.lower()) for name in header]
    places = []
    for column, known in NAMES.items():
        found = [place for place, name in enumerate(names) if name in known]
        if len(found) != 1:
            raise InputError(f"the trace {path} has {len(found) or 'no'} columns for the {column} among "
                             f"{', '.join(header)[:200]!r}: expected one, such as TIMESTAMP, ContextTokens, GeneratedTokens")
        places += found
    return places


def _columns(path: str | os.PathLike[str], block: list[list[str]], places: list[int], first: int) -> list[list[str]]:
    """The three columns of some rows."""
    try:
        return [[row[place] for row in block] for place in places]
    except IndexError:
        row = next(index for index, row in enumerate(block) if len(row) <= max(places))
        raise InputError(f"row {first + row} of the trace {path} is too short: {','.join(block[row])[:80]!r}") from None


def _origin(text: str) -> datetime | None:
    """The date from which seconds are counted; None where the file counts seconds itself."""
    try:
        float(text)
    except ValueError:
        try:
            return datetime.fromisoformat(text.strip())
        except ValueError:
            return None
    return None


def _arrivals(path: str | os.PathLike[str], texts: Sequence[str], first: int, origin: datetime | None) -> NDArray[np.float64]:
    """Seconds of dates after ``origin``, or plain seconds."""
    def seconds(text: str) -> float:
        return float(text) if origin is None else (datetime.fromisoformat(text.strip()) - origin).total_seconds()

    try:
        values = np.fromiter(map(seconds, texts), np.float64, len(texts))
    except (ValueError, TypeError):  # a TypeError mixes dates with and without time zone
        values = np.array([_or_nan(seconds, text) for text in texts])
    return _finite(path, "arrival", values, texts, first, "a date such as 2023-11-16 18:17:03.97 or a number of seconds, as in "
                   "row 1")


def _or_nan(convert: Any, text: str) -> float:
    try:
        return convert(text)
    except (ValueError, TypeError):
        return np.nan


def _tokens(path: str | os.PathLike[str], column: str, texts: Sequence[str], first: int) -> NDArray[np.int64]:
    """Whole numbers; 4808.0 is one."""
    try:
        values = np.fromiter(map(float, texts), np.float64, len(texts))
    except (ValueError, TypeError):
        values = np.array([_or_nan(float, text) for text in texts])
    values[(values < 0) | (values > LONGEST) | (values != np.floor(values))] = np.nan
    return _finite(path, column, values, texts, first, f"a whole number of tokens from 0 to {LONGEST:,}").astype(np.int64)


def _finite(path: str | os.PathLike[str], column: str, values: NDArray[np.float64], given: Sequence[Any], first: int,
            expected: str) -> NDArray[np.float64]:
    """``values``, all of which must be finite; ``given`` is what stands in the file."""
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        text = str(given[int(bad[0])])[:40]
        raise InputError(f"the {column} in row {first + bad[0]} of the trace {path} is {text!r}, expected {expected}")
    return values


def _read_json_lines(path: str | os.PathLike[str]) -> Iterator[_Columns]:
    """Mooncake's lines, ``{"timestamp": 3052, "input_length": 7234, "output_length": 794, ...}``: milliseconds."""
    with _open_text(path) as stream:
        lines, first, keys = (line for line in stream if line.strip()), 1, None
        while block := list(islice(lines, _ROWS)):
            rows = [_json_object(path, line, first + index) for index, line in enumerate(block)]
            keys = keys or [list(rows[0])[place] for place in _places(path, rows[0])]
            columns = [[row.get(key) for row in rows] for key in keys]
            yield (_arrivals(path, columns[0], first, None) / 1e3, _tokens(path, "prompt", columns[1], first),
                   _tokens(path, "output", columns[2], first))
            first += len(block)


def _json_object(path: str | os.PathLike[str], line: str, row: int) -> dict[str, Any]:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise InputError(f"row {row} of the trace {path} is no JSON object: {line.strip()[:40]!r}")
    return data


def _read_parquet(path: str | os.PathLike[str]) -> Iterator[_Columns]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InputError(f"cannot read the trace {path}: Parquet wants pyarrow (pip install 'wsekern[parquet]')") from None
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            wanted = [names[place] for place in _places(path, names)]
            first, origin = 1, None
            for batch in file.iter_batches(_ROWS, columns=wanted):
                arrival, prompt, output = (batch.column(batch.schema.get_field_index(name)) for name in wanted)
                if pyarrow.types.is_string(arrival.type) or pyarrow.types.is_large_string(arrival.type):
                    texts = arrival.to_pylist()
                    origin = origin or _origin(texts[0] or "")
                    seconds = _arrivals(path, texts, first, origin)
                else:
                    seconds = _arrow_seconds(path, arrival, first)
                yield (seconds, _tokens(path, "prompt", prompt.to_pylist(), first),
                       _tokens(path, "output", output.to_pylist(), first))
                first += len(batch)
    except pyarrow.ArrowException as error:
        raise InputError(f"cannot read the trace {path}: {one_line(error)}") from None


def _arrow_seconds(path: str | os.PathLike[str], arrival: Any, first: int) -> NDArray[np.float64]:
    """Dates and numbers of a Parquet file as seconds."""
    values = arrival.to_numpy(zero_copy_only=False)
    if values.dtype.kind == "M":
        missing = np.isnat(values)
        values = values.astype("datetime64[ns]").astype(np.int64) / 1e9
        values[missing] = np.nan
    elif values.dtype.kind not in "iuf":
        values = np.full(len(values), np.nan)
    return _finite(path, "arrival", values.astype(np.float64), arrival, first, "a date or a number of seconds")
