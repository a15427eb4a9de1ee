"""Comparisons as ``wsekern compare`` prints them, as tables."""

from functools import cache

from wsekern.compare import Comparison, compare
from wsekern.docs.markdown import table
from wsekern.errors import WsekernError
from wsekern.machine import load_machine
from wsekern.report.words import amount, seconds, size
from wsekern.workload import Request, load_config

MODELS = ("llama3-8b", "llama3-70b", "llama3.1-405b", "gpt-oss-120b")
CLUSTERS = ("h100x8", "h200x8", "b200x8", "gb200-nvl72")
REQUEST = Request(prompt=1024, output=256)
"""What ``wsekern compare`` asks by default: one user, 1,024 tokens in and 256 out, fp16."""


@cache
def comparison(model: str, cluster: str) -> Comparison | None:
    """``wsekern compare MODEL --cluster CLUSTER``; None where the model does not fit the GPUs."""
    try:
        return compare(load_config(model), REQUEST, load_machine("wse3"), None, cluster)
    except WsekernError:
        return None


def speeds_of_models() -> str:
    """Tokens per second for one user: a line a model, the wafers first, then each cluster with stock and ideal software."""
    return table(("model", "WSE-3", *CLUSTERS), [_speeds(model) for model in MODELS])


def _speeds(model: str) -> list[str]:
    found = [comparison(model, cluster) for cluster in CLUSTERS]
    wafer = next(one.wafer for one in found if one)
    count = wafer.facts["wafers"]
    cells = [model, f"{amount(wafer.tokens_per_second_per_user)} on {count} wafer{'s' if count > 1 else ''}"]
    for one in found:
        cells.append("does not fit" if one is None else " / ".join(
            amount(side.tokens_per_second_per_user) for side in (one.cluster, one.cluster_ideal)))
    return cells


def comparison_of_one_model() -> str:
    """The figures of one comparison: a line a figure, a column a side."""
    found = comparison("llama3-8b", "h100x8")
    assert found is not None, "the smallest model fits the default cluster"
    sides = (found.wafer, found.cluster, found.cluster_ideal)
    lines = (
        ("time to first token", lambda side: seconds(side.time_to_first_token_seconds)),
        ("time per output token", lambda side: seconds(side.time_per_output_token_seconds)),
        ("tokens/s for each user", lambda side: amount(side.tokens_per_second_per_user)),
        ("power", lambda side: f"{side.watts / 1e3:.3g} kW"),
        ("energy per token", lambda side: f"{amount(side.joules_per_token)} J"),
        ("cost per million tokens", lambda side: f"{amount(side.usd_per_million_tokens)} USD"),
        ("memory used", lambda side: f"{size(side.memory_used_bytes)} of {size(side.memory_available_bytes)}"),
    )
    return table(("", *(side.name for side in sides)), [(name, *map(show, sides)) for name, show in lines])
