"""Wafers and GPUs on one front: tokens/s of a user against tokens per dollar and per joule."""

from collections.abc import Mapping
from math import inf

from wsekern.compare import Comparison, Side
from wsekern.compare.front import COSTS, front
from wsekern.compare.other_users import other_users
from wsekern.report.html import Part, Plot, Section, Series, Text, curves
from wsekern.report.words import amount
from wsekern.validation.gpu_mlperf import TASKS

SPEED = "tokens/s for each user"
WORTH = {"usd_per_million_tokens": ("per dollar", "output tokens for a dollar", 1e6),
         "joules_per_token": ("per watt", "output tokens/s for a watt", 1.0)}
"""Of each cost: its name, what a system gives for it, and how much of that for one unit of the cost."""
USUAL_TASK = "llama2-70b"
"""Whose objectives are drawn for models that have none in MLPerf."""


def speed_section(comparison: Comparison) -> Section:
    """A chart for each cost, with the objectives of MLPerf as lines."""
    found = other_users(comparison)
    words = ("The same systems under other numbers of users: the wafers with the regions that were placed for this request, "
             "the GPUs in the layout that answers soonest. Up and to the right is better; a large mark is on the Pareto front: "
             "no other point is better in both.")
    parts: list[Part] = [_front(comparison, found, cost) for cost in COSTS]
    return Section("Speed and cost", [Text(words), *parts])


def _front(comparison: Comparison, found: Mapping[tuple[str, int], Side], cost: str) -> Plot:
    short, long, factor = WORTH[cost]
    best, series, rows = set(front(found, cost)), [], []
    for color, name in enumerate(comparison.chosen()):
        points = sorted((users, side) for (other, users), side in found.items() if other == name)
        if not points:
            continue
        worth = {users: factor / spent if (spent := getattr(side, cost)) else inf for users, side in points}  # some are free
        marked = [(side.tokens_per_second_per_user, worth[users],
                   _words(side, users, short, worth[users], (name, users) in best)) for users, side in points]
        on_front = [(name, users) in best for users, _ in points]
        title = comparison.titles()[name]
        series.append(Series(title, marked, color))
        series.append(Series("", [point for point, kept in zip(marked, on_front, strict=True) if kept], color, joined=False,
                             style="best"))
        rows += [(title, f"{users:,}", amount(point[0]), amount(point[1]), "yes" if kept else "")
                 for (users, _), point, kept in zip(points, marked, on_front, strict=True)]
    series = [one for one in series if one.points]
    return curves(f"Tokens {short}", f"{SPEED} against {long}.", series, SPEED, long, guides=objectives(comparison.model),
                  header=("system", "users", SPEED, long, "on the front"), rows=rows)


def _words(side: Side, users: int, short: str, worth: float, best: bool) -> str:
    kept = ", on the front" if best else ""
    return (f"{side.name}, {users:,} user{'s' if users > 1 else ''}: {amount(side.tokens_per_second_per_user)} tokens/s each, "
            f"{amount(worth)} tokens {short}{kept}")


def objectives(model: str) -> list[tuple[str, float, str]]:
    """Speeds that the rules of MLPerf Inference ask for, as guides."""
    known = model if model in TASKS else USUAL_TASK
    return [("x", 1.0 / limit, f"MLPerf {scenario}{'' if known == model else f' ({known})'}: {1e3 * limit:.0f} ms a token")
            for scenario, limit in TASKS[known].limits.items()]
