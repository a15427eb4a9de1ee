"""Records as a table: Parquet or CSV, a row a point, a column a figure."""

import csv
import io
from pathlib import Path
from typing import Any

from wsekern.errors import InputError
from wsekern.output import write_file
from wsekern.sweep.record import flat

ENDINGS = (".jsonl", ".parquet", ".csv")
"""What the name of a file of records may end in."""


def check_ending(path: Path) -> None:
    """Refuse a kind of file that is unknown, or that cannot be written here."""
    if path.suffix not in ENDINGS:
        raise InputError(f"cannot write {path}: expected a name that ends in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    if path.suffix == ".parquet":
        _arrow(path)


def _arrow(path: Path) -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InputError(f"cannot write {path}: Parquet wants pyarrow (pip install 'wsekern[sweep]')") from None
    return pyarrow, parquet


def write_table(path: Path, records: list[dict[str, Any]]) -> None:
    """Write ``records`` at ``path`` where that is Parquet or CSV; columns are those that any record has."""
    rows = [{name: _cell(value) for name, value in flat(record).items()} for record in records]
    names = list(dict.fromkeys(name for row in rows for name in row))
    if path.suffix == ".csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_file(path, text.getvalue())
    elif path.suffix == ".parquet":
        pyarrow, parquet = _arrow(path)
        columns = {name: _column([row.get(name) for row in rows]) for name in names}
        written = io.BytesIO()
        parquet.write_table(pyarrow.table(columns), written)
        write_file(path, written.getvalue())


def _cell(value: Any) -> Any:
    """A list, such as the bounds of a figure, as text."""
    return str(value) if isinstance(value, list | dict) else value


def _column(values: list[Any]) -> list[Any]:
    """Values of one type: those of an input that is a number in one point and a name in another are names."""
    kinds = {type(value) for value in values if value is not None}
    return values if kinds <= {int, float} or len(kinds) < 2 else [None if one is None else str(one) for one in values]
