"""Everything that takes inputs from outside, by name."""

from collections.abc import Callable
from random import Random
from typing import Any

from tests.fuzz import command_lines, files, forks, objects

ENTRANCES: dict[str, Callable[[Random], Any]] = {
    **files.ENTRANCES, **objects.ENTRANCES, "command lines": command_lines.try_command_line}
"""Each makes an input of a Random and hands it in: None where it is refused in a sentence; what it raises is a fault."""

BY_HAND: dict[str, Callable[[Random], Any]] = {
    "command lines in forks": forks.try_fork, "command lines as processes": command_lines.try_process}
"""As those, too slow for every run, or the same again."""

READY: dict[str, Callable[[], Any]] = {"plan files": files.plan_file, "command lines in forks": forks.prepare}
"""What an entrance keeps for all its inputs, where it takes long to make."""
