"""Comparisons as ``wsekern compare`` prints them, as tables."""

from functools import cache

from wsekern.compare import Comparison, Side, compare
from wsekern.compare.beside import Beside
from wsekern.docs.markdown import table
from wsekern.machine import load_machine
from wsekern.report.comparison import figure_lines
from wsekern.report.sides import in_cell
from wsekern.report.words import amount
from wsekern.workload import Request, load_config

MODELS = ("llama3-8b", "llama3-70b", "llama3.1-405b", "gpt-oss-120b")
CLUSTERS = ("h100x8", "h200x8", "b200x8", "gb200-nvl72", "mi355x8", "tpu7x-16")
REQUEST = Request(prompt=1024, output=256)
"""What ``wsekern compare`` asks by default: one user, 1,024 tokens in and 256 out, fp16 on the wafer."""
SEVERAL = ("llama3-70b", ("h200x8", "mi355x8", "tpu7x-16", "groq-lp30:512"))
"""Model and machines of the example with several."""


@cache
def comparison(model: str, *clusters: str) -> Comparison:
    """``wsekern compare MODEL --cluster CLUSTER,...``."""
    return compare(load_config(model), REQUEST, load_machine("wse3"), None, clusters)


def speeds_of_models() -> str:
    """Tokens per second for one user: a line a model, the wafers first, then each cluster with stock and ideal software."""
    return table(("model", "WSE-3", *CLUSTERS), [_speeds(model) for model in MODELS])


def _speeds(model: str) -> list[str]:
    found = comparison(model, *CLUSTERS)
    return [model, _wafer_speed(found.wafer), *map(_cluster_speeds, found.clusters)]


def _wafer_speed(side: Side | None) -> str:
    if side is None:
        return "cannot"
    count = side.facts["wafers"]
    return f"{amount(side.tokens_per_second_per_user)} on {count} wafer{'s' if count > 1 else ''}"


def _cluster_speeds(beside: Beside[Side]) -> str:
    """Stock and ideal software on the same cluster."""
    sides = [side for side in (beside.cluster, beside.cluster_ideal) if side is not None]
    return " / ".join(in_cell(side, lambda one: amount(one.tokens_per_second_per_user)) for side in sides) or "does not fit"


def comparison_of_one_model() -> str:
    """The figures of one comparison: a line a figure, a column a side."""
    return _figures(comparison("llama3-8b", "h100x8"))


def comparison_of_several() -> str:
    """The command with several machines, and its figures."""
    model, clusters = SEVERAL
    return f"```\nwsekern compare {model} --cluster {','.join(clusters)}\n```\n\n{_figures(comparison(model, *clusters))}"


def _figures(found: Comparison) -> str:
    sides, titles = found.sides(), found.titles()
    headings = [titles[name] if side is None else side.name for name, side in sides.items()]
    return table(("", *headings), [(name, *(in_cell(side, show) for side in sides.values()))
                                   for name, show in figure_lines(REQUEST.batch)])
