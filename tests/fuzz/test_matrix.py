"""Every pair of valid values of every two options of each command: an answer without a hole, or a refusal in one sentence.

By hand: ``pytest -m matrix``; about 14,000 command lines in this process. ``WSEKERN_FUZZ=N`` takes about N of them, by chance.
"""

import os
from random import SystemRandom

import pytest

from tests.fuzz.command_lines import PREFIXES, checked, commands, good_values, matrix, options
from tests.fuzz.figures import keep_counts

SHARE = int(os.environ.get("WSEKERN_FUZZ", "0"))
LINES: dict[str, list[list[str]]] = {name: [] for name in PREFIXES}
for line in matrix():
    LINES[" ".join(line[:2]) if " ".join(line[:2]) in PREFIXES else line[0]].append(line)
ALL = sum(map(len, LINES.values()))


def test_every_command_and_nearly_every_option_is_in_the_matrix():
    assert set(commands()) - set(PREFIXES) == {"sdk bash", "sdk shell"}     # they run what they are given
    without = {option.opts[0] for name in PREFIXES for option in options(commands()[name]) if not good_values(option)}
    assert without <= {"--plan", "--trace", "--text", "--data"}, "options that take files"


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
