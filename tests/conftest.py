"""What tests of several rooms share. Rooms are imported where a test asks for them: the sanitizers build only some."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from wsekern.compare.load import Kind
    from wsekern.queueing import Outcome, Traffic


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Deal the tests to all cores where all of them are asked for, neighbors to the same core, unless the user says how.
    Some of them run in this process, where their output and a debugger are at hand."""
    whole = list(config.args) == config.getini("testpaths") and not config.option.usepdb
    untold = getattr(config.option, "numprocesses", 0) is None and not hasattr(config, "workerinput")  # pytest-xdist is there
    if whole and untold:
        config.option.numprocesses, config.option.dist = "auto", "worksteal"


BY_HAND = ("by_hand", "matrix")
"""Markers of what runs for minutes, and only where it is asked for."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is run by hand, unless it is asked for (``-m matrix``, ``-m by_hand``)."""
    unasked = [name for name in BY_HAND if name not in config.option.markexpr]
    left = {item for item in items for name in unasked if item.get_closest_marker(name)}
    items[:] = [item for item in items if item not in left]
    config.hook.pytest_deselected(items=left)


# Child processes of the tests import the installed package, as users do, never the uncompiled folder beside them.
os.environ["PYTHONSAFEPATH"] = "1"


@dataclass(frozen=True)
class OneServer:
    """A system that is known by hand: one request at a time, first come first served, ``prompt_seconds`` for each token of its
    prompt and then ``output_seconds`` for each of its answer."""

    name: str = "one server"
    prompt_seconds: float = 1e-4
    output_seconds: float = 1e-2
    usd_per_hour: float = 3.6
    idle_watts: float = 100.0
    busy_watts: float = 500.0

    def simulate(self, traffic: "Traffic") -> "Outcome":
        """Lindley's recursion: a request starts when it is there and the one before is answered."""
        from wsekern.queueing import Outcome

        service = self.prompt_seconds * traffic.prompt + self.output_seconds * traffic.output
        work = np.cumsum(service)
        finish = work + np.maximum.accumulate(traffic.arrival_seconds - (work - service))
        first = finish - self.output_seconds * (traffic.output - 1)
        return Outcome(traffic, traffic.arrival_seconds, first, finish, busy_seconds=float(service.sum()),
                       prompt_tokens=int(traffic.prompt.sum()), output_tokens=int(traffic.output.sum()))

    def watts(self, outcome: "Outcome") -> float:
        """Between idle and busy power, by the share of the time that the server works."""
        return self.idle_watts + outcome.busy_seconds / outcome.seconds * (self.busy_watts - self.idle_watts)


@pytest.fixture(scope="session")
def one_server() -> Callable[..., "Kind"]:
    """Makes a kind of such a server from the fields of :class:`OneServer`, and what it assumes."""
    from wsekern.compare.load import Kind

    return lambda *fields, assumptions=(), **named: Kind(OneServer(*fields, **named), {}, list(assumptions))
