"""How statements end, and what can be left."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from wsekern.csl.types import Type
from wsekern.csl.values import Value


class Flow(NamedTuple):
    """How a statement ended, where not by reaching the next one: "break", "continue", "return" with a label and value, or
    "gone": code behind it is never reached."""

    kind: str
    label: str = ""
    value: Value | None = None


GONE = Flow("gone")


class InOrder(Exception):
    """Rounds of a loop that were to be done at once have to follow each other."""


@dataclass(eq=False)
class Exit:
    """A loop, labelled block or expanded function that statements of code can leave."""

    kind: str
    label: str
    end: str = ""
    again: str = ""
    """Where ``continue`` goes on."""
    branches: int = 0
    """Branches of code around it."""
    result: Value | None = None
    type: Type | None = None
    used: bool = False
    types: list[Type] | None = None
    """Of the values that it is left with, where only these are wanted."""


@dataclass(frozen=True)
class Intrinsic:
    """A function of a library that is the compiler's: ``run(evaluator, call, arguments)``."""

    name: str
    run: Any
