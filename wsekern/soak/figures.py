"""Figures of long runs, of tests by hand and of benchmarks, kept in files of which docs/reliability.md and
docs/performance.md are written."""

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def _changed(path: Path) -> Iterator[dict[str, Any]]:
    """What stands in a file, to be changed by one at a time and written back."""
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        text = file.read()
        known: dict[str, Any] = json.loads(text) if text else {}
        yield known
        file.truncate(0)
        file.write(json.dumps(known, indent=1) + "\n")


def put(path: Path, part: str, figures: Any) -> None:
    """Figures under ``part`` of a file, in place of what stood there."""
    with _changed(path) as known:
        known[part] = figures


def keep(path: Path, part: str, figures: dict[str, Any], added: Sequence[str] = ()) -> None:
    """Put ``figures`` under ``part`` of a file, by name; numbers named in ``added`` are added to those that are there. Several
    counts may do so at once."""
    with _changed(path) as known:
        table = known.setdefault(part, {})
        for name, row in figures.items():
            before = table.get(name, {})
            kept = {key: value for key, value in before.items() if key in added}
            table[name] = kept | {key: value + kept[key] if key in kept else value for key, value in row.items()}
