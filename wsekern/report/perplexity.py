"""What arithmetic costs a model, as a table."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wsekern.inference.perplexity import STORED, Arithmetic, Score
from wsekern.inference.weight_formats import WEIGHT_FORMATS


def scores_view(title: str, scores: Sequence[Score]) -> RenderableType:
    """A row for each arithmetic, below the exact model, and what the names of weight formats mean."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("precision", "weights", "activations"):
        table.add_column(name)
    for name in ("perplexity", "change", "divergence", "cycles"):
        table.add_column(name, justify="right")
    table.add_row("exact fp32", STORED, "exact", f"{scores[0].exact_perplexity:,.3f}", "", "", "")
    for one in scores:
        data, how = one.to_dict(), one.arithmetic
        programs = f", {how.programs}" if how.programs != "default" else ""
        table.add_row(how.precision, _kept(how), f"{how.activations}{programs}", f"{one.perplexity:,.3f}",
                      f"{data['perplexity_above_exact']:+.4f}", f"{one.divergence:.1e}", f"{one.cycles_per_token:,.0f}")
    used = [name for name in WEIGHT_FORMATS if any(one.arithmetic.weights == name for one in scores)]
    meanings = [f"{name}: {WEIGHT_FORMATS[name].title}" for name in used]
    grids = ", ".join(dict.fromkeys(one.grid for one in scores))
    told = ["exact: the plain reference in numpy; change: from its perplexity; divergence: mean KL from its distributions, in "
            f"nats; cycles: of a token, on {grids} PEs",
            *(["kv fp8: keys and values, as e4m3 without a scale"] if any(one.arithmetic.cache for one in scores) else []),
            *meanings, *(["PEs unpack these weights (int4-64, and all in fp32, are rounded when they are placed)."]
                         if used else [])]
    return Group(table, Text("\n".join(told), style="dim"))


def _kept(how: Arithmetic) -> str:
    """Formats of weights and cache, where these have one."""
    if not how.cache:
        return how.weights
    return f"kv {how.cache}" if how.weights == STORED else f"{how.weights}, kv {how.cache}"
