"""Floor plans, bounds and levers of the page about planning."""

import io
from functools import cache

from wsekern.calibration import levers
from wsekern.docs.markdown import table
from wsekern.docs.pages import Picture
from wsekern.docs.picture import SETTINGS, labels_of, svg_text
from wsekern.machine import load_machine
from wsekern.planning.bound import bound
from wsekern.planning.layout import Placement
from wsekern.planning.service import Service, plan_service
from wsekern.report.floor import HEADER, floor_figure, floor_rows
from wsekern.report.plan import front_view
from wsekern.workload import load_config

SERVICE = "wsekern plan llama3-8b --context 8192 --users 1:8"
"""The command whose first lines are shown."""
DENSE, MIXTURE = "llama3-8b", "gpt-oss-120b"
BOUNDS = (("llama3-8b", ""), ("llama3-70b", ""), ("llama3.1-405b", ""), ("gpt-oss-120b", ""), ("gpt-oss-120b", "mxfp4"),
          ("qwen3-235b-a22b", ""))
"""Models and formats of their weights."""
CONTEXTS = (1, 8192)


@cache
def planned(model: str) -> Placement:
    """The placement that ``wsekern plan MODEL --users 1`` marks."""
    return plan_service(load_config(model), load_machine("wse3"), Service(8192)).chosen.placement


def service_front() -> str:
    """What :data:`SERVICE` prints first."""
    from rich.console import Console

    console = Console(width=80, record=True, file=io.StringIO())
    console.print(front_view(plan_service(load_config("llama3-8b"), load_machine("wse3"), Service(8192, 1, 8))))
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    return "\n".join(["```text", f"$ {SERVICE}", *(line for line in lines if line), "```"])


def floor_dense() -> str:
    """The floor plan of a dense model in words."""
    return table(HEADER, floor_rows(planned(DENSE)))


def floor_mixture() -> str:
    """The floor plan of a mixture in words."""
    return table(HEADER, floor_rows(planned(MIXTURE)))


def _draw(model: str) -> str:
    from matplotlib import rc_context

    with rc_context(SETTINGS):
        return svg_text(floor_figure(planned(model)))


PICTURES = [Picture(f"docs/floor-{model}.svg", lambda model=model: _draw(model), labels_of) for model in (DENSE, MIXTURE)]


def bounds() -> str:
    """Side of the best square, cycles of a layer and tokens/s of known models."""
    rows = []
    for model, weights in BOUNDS:
        found = [bound(load_config(model), load_machine("wse3"), context, weight_precision=weights) for context in CONTEXTS]
        part = found[0].parts[0]
        rows.append((f"{model}{f', weights in {weights}' if weights else ''}", f"{part.side:.0f}x{part.side:.0f}",
                     f"{part.cycles:,.0f}", *(f"{one.tokens_per_second:,.0f}" for one in found)))
    return table(("model, 16 bit but where it says", "PEs of a layer", "cycles of a layer",
                  *(f"tokens/s with {context:,} in the cache" for context in CONTEXTS)), rows)


def lever_table() -> str:
    """The lines of ``python -m wsekern.calibration.levers``."""
    return table(("lever", *levers.MODELS),
                 [(line.name, *map(levers.in_words, line.cells)) for line in levers.lines()])
