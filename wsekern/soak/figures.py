"""Figures of long runs and of tests by hand, kept in a file of which docs/reliability.md is written."""

import fcntl
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def keep(path: Path, part: str, figures: dict[str, Any], added: Sequence[str] = ()) -> None:
    """Put ``figures`` under ``part`` of a file, by name; numbers named in ``added`` are added to those that are there. Several
    counts may do so at once."""
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        text = file.read()
        known = json.loads(text) if text else {}
        table = known.setdefault(part, {})
        for name, row in figures.items():
            before = table.get(name, {})
            kept = {key: value for key, value in before.items() if key in added}
            table[name] = kept | {key: value + kept[key] if key in kept else value for key, value in row.items()}
        file.truncate(0)
        file.write(json.dumps(known, indent=1) + "\n")
