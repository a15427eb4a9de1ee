"""How ``wsekern run`` is looked at afterwards: a page, a timeline, an animation of the links."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from wsekern.cli.options import HTML, TIMELINE, Target, write_page
from wsekern.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from wsekern.compare import Execution
    from wsekern.ops import Operation
    from wsekern.report.html import Page

_ANIMATION = click.option("--animation", "animation_path", metavar="FILE.gif", type=Target(),
                          help="With --engine cycle: what every operation sends over the links of each PE, as a GIF.")


def watch_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, which hands them to :func:`watching_of`."""
    for option in (_ANIMATION, TIMELINE, HTML):
        command = option(command)
    return command


@dataclass
class Watching:
    """What a user wants to see of a run, and what is kept of it on the way."""

    html: str | None
    timeline: str | None
    animation: str | None
    frames: "list[tuple[str, np.ndarray]]" = field(default_factory=list)

    def arguments(self) -> dict[str, Any]:
        """Of :func:`wsekern.inference.execution.execute`."""
        return {"logged": self.timeline is not None, "on_links": self._see if self.animation else None}

    def _see(self, operation: "Operation", use: "np.ndarray") -> None:
        self.frames.append((operation.label, use))

    def show(self, executed: "Execution", text: str, data: dict[str, Any]) -> None:
        """Write what was asked for."""
        write_page(self.html, lambda: _page(executed, text, data))
        if self.timeline:
            from wsekern.report.run_timeline import run_events
            from wsekern.report.timeline import write_timeline

            write_timeline(self.timeline, run_events(executed))
        if self.animation:
            import numpy as np

            from wsekern.fabric import animate_heatmap

            titles = [f"operation {number}: {label}" for number, (label, _) in enumerate(self.frames, 1)]
            animate_heatmap(np.stack([use for _, use in self.frames]), self.animation, titles)


def watching_of(given: dict[str, Any], engine: str) -> Watching:
    """What is asked for among ``given`` parameters, which are taken out."""
    html, timeline, animation = (given.pop(name) for name in ("html_path", "timeline_path", "animation_path"))
    if animation is not None and engine != "cycle":
        raise InputError("--animation goes with --engine cycle: only that engine moves words over links")
    if animation is not None and not animation.lower().endswith(".gif"):
        raise InputError(f"cannot write {animation}: an animation is a GIF, expected a name that ends in .gif")
    return Watching(html, timeline, animation)


def _page(executed: "Execution", text: str, data: dict[str, Any]) -> "Page":
    from wsekern.report.pages import run_page

    return run_page(executed, text, data)
