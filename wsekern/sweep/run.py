"""A sweep from start to end, or from where it was left."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from wsekern.errors import InputError
from wsekern.output import check_target
from wsekern.sweep.batches import batches
from wsekern.sweep.inputs import data_hash, version
from wsekern.sweep.journal import Journal
from wsekern.sweep.processes import Processes, record_of
from wsekern.sweep.spec import Plan, Point
from wsekern.sweep.table import check_ending, write_table


def usable_cpus() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def journal_of(out: Path) -> Path:
    """Where records stand while the sweep runs: lines of JSON, beside the table that they become."""
    return out.with_suffix(".jsonl")


def run(plan: Plan, out: str | os.PathLike[str], *, jobs: int = 1, dask: Any = None,
        on_start: Callable[[int], None] = lambda done: None,
        on_record: Callable[[], None] = lambda: None) -> list[dict[str, Any]]:
    """The records of all points of ``plan``, in their order, and the file ``out`` with them (.jsonl, .parquet or .csv).

    Points run on ``jobs`` processes of this machine, or on the workers of a ``dask`` scheduler (its address). What the
    :func:`journal_of` ``out`` holds from a start before is not run again; ``on_start`` is told how many points that are, and
    ``on_record`` is called as each further one is done. :class:`InputError` if the file holds other points.
    """
    out = Path(out)
    check_ending(out)
    for path in (out, journal_of(out)):
        check_target(path)
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(journal_of(out)))
        _check_known(journal, plan)
        rest = [point for point in plan.points if point.key not in journal.done]
        asked = {point.key for point in rest}
        on_start(len(plan.points) - len(rest))
        for record in _records(stack, rest, jobs, dask):
            _check_asked(record, asked, journal)
            journal.append(record)
            on_record()
        records = journal.finish([point.key for point in plan.points])
    write_table(out, records)
    return records


def _records(stack: ExitStack, points: list[Point], jobs: int, dask: Any) -> Iterator[dict[str, Any]]:
    """Records as they are done, by whoever is asked to."""
    if dask is not None and points:
        from wsekern.sweep.many import Dask

        there = stack.enter_context(closing(Dask(dask)))
        return stack.enter_context(closing(there.records(batches(points, there.workers))))
    if jobs == 1 or len(points) < 2:
        return (record_of(point.inputs) for batch in batches(points, 1) for point in batch)
    return stack.enter_context(closing(Processes(jobs).records(batches(points, jobs))))


def _check_known(journal: Journal, plan: Plan) -> None:
    """Refuse a file with other points than those of ``plan``."""
    foreign = journal.done.keys() - {point.key for point in plan.points}
    if foreign:
        versions = {str(journal.done[key].get("version")) for key in foreign} - {version()}
        why = f"by version {', '.join(sorted(versions))}" if versions else "of other inputs, machines or data"
        raise InputError(f"{journal.path} holds {len(foreign):,} points {why}: name another file, or remove this one")


def _check_asked(record: dict[str, Any], asked: set[str], journal: Journal) -> None:
    """Refuse what a worker with another version, other data or another model by the same name says."""
    if record["key"] not in asked:
        raise InputError(f"a worker runs wsekern {record['version']} with data {record['hashes']['data']}, and this is "
                         f"{version()} with {data_hash()}: give it the same, models and machine files too; what is done is "
                         f"kept in {journal.path}")
