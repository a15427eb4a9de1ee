"""Comparisons as ``wsekern compare`` prints them, as tables."""

from functools import cache

from wsekern.compare import Comparison, Side, compare
from wsekern.docs.markdown import table
from wsekern.machine import load_machine
from wsekern.report.comparison import figure_lines
from wsekern.report.words import amount
from wsekern.workload import Request, load_config

MODELS = ("llama3-8b", "llama3-70b", "llama3.1-405b", "gpt-oss-120b")
CLUSTERS = ("h100x8", "h200x8", "b200x8", "gb200-nvl72")
REQUEST = Request(prompt=1024, output=256)
"""What ``wsekern compare`` asks by default: one user, 1,024 tokens in and 256 out, fp16 on the wafer."""


@cache
def comparison(model: str, cluster: str) -> Comparison:
    """``wsekern compare MODEL --cluster CLUSTER``."""
    return compare(load_config(model), REQUEST, load_machine("wse3"), None, cluster)


def speeds_of_models() -> str:
    """Tokens per second for one user: a line a model, the wafers first, then each cluster with stock and ideal software."""
    return table(("model", "WSE-3", *CLUSTERS), [_speeds(model) for model in MODELS])


def _speeds(model: str) -> list[str]:
    found = [comparison(model, cluster) for cluster in CLUSTERS]
    return [model, _wafer_speed(found[0].wafer), *map(_gpu_speeds, found)]


def _wafer_speed(side: Side | None) -> str:
    if side is None:
        return "cannot"
    count = side.facts["wafers"]
    return f"{amount(side.tokens_per_second_per_user)} on {count} wafer{'s' if count > 1 else ''}"


def _gpu_speeds(found: Comparison) -> str:
    """Stock and ideal software on the same cluster."""
    sides = [side for side in (found.cluster, found.cluster_ideal) if side is not None]
    return " / ".join(amount(side.tokens_per_second_per_user) for side in sides) or "does not fit"


def comparison_of_one_model() -> str:
    """The figures of one comparison: a line a figure, a column a side."""
    found = comparison("llama3-8b", "h100x8")
    sides = found.served()
    lines = figure_lines(REQUEST.batch)
    return table(("", *(side.name for side in sides)), [(name, *map(show, sides)) for name, show in lines])
