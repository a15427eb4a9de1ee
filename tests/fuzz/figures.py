"""Figures that commands of the tests print, kept in a file of which docs/reliability.md is written.

``python tests/fuzz/figures.py FROM PART [PART ...]`` puts parts of another such file (``fuzz``, ``mutants``) into
docs/reliability.json: of a run that was made elsewhere, and went on from what stands there.
"""

import json
import os
import sys
from pathlib import Path

from wsekern.soak.figures import keep


def keep_counts(name: str, inputs: int, refused: int) -> None:
    """Add inputs of an entrance to the file that WSEKERN_ADD names, if it does."""
    if "WSEKERN_ADD" in os.environ:
        keep(Path(os.environ["WSEKERN_ADD"]), "fuzz", {name: {"inputs": inputs, "refused": refused}}, ("inputs", "refused"))


if __name__ == "__main__":
    there = json.loads(Path(sys.argv[1]).read_text())
    for part in sys.argv[2:]:
        keep(Path(__file__).parents[2] / "docs" / "reliability.json", part, there[part])
