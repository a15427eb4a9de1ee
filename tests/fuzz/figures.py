"""Figures that commands of the tests print, kept in a file of which docs/reliability.md is written.

``python tests/fuzz/figures.py FROM PART [PART ...]`` puts parts of another such file (``fuzz``, ``mutants``) into
docs/reliability.json: of a run that was made elsewhere, and went on from what stands there.
"""

import fcntl
import json
import os
import sys
from pathlib import Path
from typing import Any


def keep(path: Path, part: str, figures: dict[str, Any], added: tuple[str, ...] = ()) -> None:
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
            table[name] = {key: value + before.get(key, 0) if key in added else value for key, value in row.items()}
        file.truncate(0)
        file.write(json.dumps(known, indent=1) + "\n")


def keep_counts(name: str, inputs: int, refused: int) -> None:
    """Add inputs of an entrance to the file that WSEKERN_ADD names, if it does."""
    if "WSEKERN_ADD" in os.environ:
        keep(Path(os.environ["WSEKERN_ADD"]), "fuzz", {name: {"inputs": inputs, "refused": refused}}, ("inputs", "refused"))


if __name__ == "__main__":
    there = json.loads(Path(sys.argv[1]).read_text())
    for part in sys.argv[2:]:
        keep(Path(__file__).parents[2] / "docs" / "reliability.json", part, there[part])
