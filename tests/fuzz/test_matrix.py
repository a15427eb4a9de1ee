"""Every pair of valid values of every two options of each command: an answer without a hole, or a refusal in one sentence.

By hand: ``pytest -m matrix``; about 14,000 command lines in this process. ``WSEKERN_FUZZ=N`` takes about N of them, by chance.
"""

import os
from random import SystemRandom

import pytest

from tests.fuzz.command_lines import BEGINNINGS, VALUES, beginnings, checked, commands, good_values, matrix, options
from tests.fuzz.figures import keep_counts

SHARE = int(os.environ.get("WSEKERN_FUZZ", "0"))
LINES: dict[str, list[list[str]]] = {name: [] for name in beginnings()}
for line in matrix():
    LINES[" ".join(line[:2]) if " ".join(line[:2]) in LINES else line[0]].append(line)
ALL = sum(map(len, LINES.values()))


def test_beginnings_and_values_are_those_of_commands():
    assert set(BEGINNINGS) <= set(commands())
    known = {name for command in commands().values() for param in command.params for name in param.opts}
    assert set(VALUES) <= known
    varied = {option.opts[0] for name in beginnings() for option in options(commands()[name]) if len(good_values(option)) > 1}
    assert {"--batch", "--precision", "--grid"} <= varied


@pytest.mark.matrix
@pytest.mark.parametrize("name", LINES)
def test_pairs_of_valid_options(name: str):
    lines = LINES[name]
    if SHARE:
        lines = SystemRandom().sample(lines, min(len(lines), -(-len(lines) * SHARE // ALL)))
    faults, refused = [], 0
    for line in lines:
        try:
            refused += checked(line) is None
        except Exception as error:
            faults.append(f"{' '.join(line)}: {type(error).__name__}: {error}")
    keep_counts("pairs of valid options", len(lines), refused)
    print(f"\n{name}: {len(lines):,} command lines, {refused:,} refused, {len(faults)} faults")
    assert not faults, "\n".join(faults[:50])
