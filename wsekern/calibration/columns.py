"""The columns ``fitted``, ``engine`` and ``not_comparable`` of the shipped measurements.

``python -m wsekern.calibration.columns`` writes them anew; run it after a change of a rule or of the rows. ``validate`` reads
the columns. The rules that fill them are here for wafers and cores (the rows on which their constants were set) and in
``wsekern.validation`` for GPUs (``gpu.fitted_by_rule``, ``gpu_notes``, ``gpu_suspects.by_measurements``): tables of users,
which lack the columns, are read by the same rules.
"""

import argparse
import csv
import gzip
import io
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from wsekern.output import run_and_exit, write_file
from wsekern.validation import gpu
from wsekern.validation.gpu_notes import is_kernel, level_by_words, library_by_words, reason_by_words
from wsekern.validation.gpu_suspects import by_measurements

Table = list[dict[str, str]]

WAFER_FITTED = frozenset(
    [f"W{n:04d}" for n in (*range(211, 231), *range(333, 345), *range(461, 490, 2), 460, 462, 464, 466, 470, 480)]
    + ["M0076", "M0077", "M0324", "M0326"])
"""Rows of ``wafer-validation.csv`` on which constants were set: MeshGEMM, MeshGEMV and Shift with P <= 80 on silicon; six Shift
rows of the vendor simulator; the fmuls rows of 1,028 elements; the multicast of 16 words to 1 and 16 receivers."""

CORE_FITTED = frozenset(f"M{n:04d}" for n in (
    429, 431, 458, 459, 460, 461, 464, 465, 466, 470, 471, 473, 474, 475, 476, 477, 478, 479, 480, 482, 484, 493, 495, 497,
    498, 504, 505, 507, 508, 509, 516, 524)) | {"M0076-core", "M0077-core", "M0482-mul", "AGMEM-tsc"}
"""Rows of ``core-validation.csv`` from which constants of the machine files were read: rates (M0497 and M0498 are M0476 and
M0470 in other units), set-ups, latencies of the pipeline, branches, a mapped tile, the data task."""

GPU_COLUMNS = ("fitted", "engine", "not_comparable")


def wafer_columns(rows: Table) -> Table:
    """Rows of ``wafer-validation.csv`` with their column."""
    return [{**row, "fitted": _yes(row["id"] in WAFER_FITTED)} for row in rows]


def core_columns(rows: Table) -> Table:
    """Rows of ``core-validation.csv`` with their column."""
    return [{**row, "fitted": _yes(row["id"] in CORE_FITTED)} for row in rows]


def gpu_columns(rows: Table) -> Table:
    """Rows of ``gpu-measurements.csv.gz`` with their columns; what stands there already has no part in it."""
    bare = [{name: value for name, value in row.items() if name not in GPU_COLUMNS} for row in rows]
    results, contradicted = gpu.predict_rows(bare), by_measurements(bare)
    return [{**row, "fitted": _yes(result.fitted), "engine": _engine(row),
             "not_comparable": (_is_predicted(row) and reason_by_words(row)) or contradicted.get(row["id"], "")}
            for row, result in zip(bare, results, strict=True)]


def _yes(answer: bool) -> str:
    return "yes" if answer else ""


def _is_predicted(row: dict[str, str]) -> bool:
    """Whether the metric of a row has predictions at all."""
    return row["metric"] == "allreduce_latency" or (row["metric"] in gpu.PREDICTED and not is_kernel(row))


def _engine(row: dict[str, str]) -> str:
    """Engine level of a run, or the library of an all-reduce; empty for what has no prediction."""
    if not _is_predicted(row):
        return ""
    return library_by_words(row) if row["metric"] == "allreduce_latency" else level_by_words(row)


TABLES: dict[str, Callable[[Table], Table]] = {
    "gpu-measurements.csv.gz": gpu_columns, "wafer-validation.csv": wafer_columns, "core-validation.csv": core_columns}
"""Shipped tables, and what fills their columns."""


def read_table(path: Path) -> Table:
    """Rows of a CSV file, plain or gzip."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def write_table(path: Path, rows: Table) -> None:
    """Write rows as CSV: the same rows give the same bytes, compressed too."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    content = text.getvalue().encode()
    write_file(path, gzip.compress(content, 9, mtime=0) if path.suffix == ".gz" else content)


def write_columns(folder: Path) -> None:
    """Fill the columns of all :data:`TABLES` in ``folder``."""
    for name, fill in TABLES.items():
        write_table(folder / name, fill(read_table(folder / name)))


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m wsekern.calibration.columns", description=__doc__)
    shipped = Path(str(files("wsekern.validation") / "data"))
    parser.add_argument("folder", type=Path, nargs="?", default=shipped, help="where the tables are (default: as shipped)")
    folder = parser.parse_args(arguments).folder
    missing = [name for name in TABLES if not (folder / name).is_file()]
    if missing:
        parser.error(f"{folder} lacks {', '.join(missing)}: expected the folder of the shipped tables, such as {shipped}")
    write_columns(folder)
    return 0


if __name__ == "__main__":
    run_and_exit(main)
