"""A comparison and an execution on the terminal."""

from collections.abc import Callable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wsekern.compare import SHARES, Comparison, Execution, Side
from wsekern.compare.front import fronts
from wsekern.inference.speculative import Speculated
from wsekern.report.sides import FRONT, SideTable, assumed, front_marks, in_cell
from wsekern.report.words import amount, seconds, size

COLORS = {"compute": "green", "memory": "blue", "communication": "magenta", "overhead": "yellow"}


def bar(share: float, width: int = 24, color: str = "cyan") -> Text:
    """A horizontal bar for a share of 1."""
    eighths = round(share * width * 8)
    return Text("█" * (eighths // 8) + (" ▏▎▍▌▋▊▉"[eighths % 8] if eighths % 8 else ""), style=color)


def comparison_view(comparison: Comparison) -> RenderableType:
    """The whole comparison: figures, bars, reasons, assumptions; of a side that cannot serve, why not."""
    several = len(comparison.clusters) > 1
    pair = {side.name: side for side in comparison.chosen().values() if side is not None}
    titles = comparison.titles()
    empty = [f"{titles[name]} cannot: {why}" for name, why in comparison.not_served.items()]
    reasons = Text("\n".join(f"* {sentence}" for sentence in (*empty, *comparison.reasons())))
    bars = [] if several else [Text(""), _share_bars(list(pair.values()))]  # several sides have their shares in the table
    trust = [part for one in comparison.clusters if one.cluster is not None for part in (Text(""), _trust(one.cluster))]
    return Group(figures_table(comparison), Text(""), _speed_bars(comparison.served()), *bars, Text(""), reasons, Text(""),
                 assumed(pair), *trust)


def load_in_words(comparison: Comparison) -> str:
    """The request and how many users send it."""
    request = comparison.request
    think = comparison.served()[0].measure.think_seconds
    users = f"{request.batch} user{'s' if request.batch > 1 else ''}"
    taking_turns = "each sends the next request when the answer is there" if not think else (
        f"each sends the next request {seconds(think)} after the answer")
    return f"{request.prompt} tokens in, {request.output} out, {users}; {taking_turns}"


def _trust(side: Side) -> Text:
    """The measurements nearest to a prediction, and how far the model is from them."""
    lines = [f"- {point['what']}: the model is {100 * point['error']:+.0f} % off ({point['source']})"
             for point in side.facts["nearest"]]
    return Text("\n".join([f"Measured nearest to {side.name} (confidence {side.facts['confidence']})", *lines]), style="dim")


CARRIED = "Totals, joules and dollars count whole requests: an output token carries its share of the prompt."
"""What stands behind every total."""

Line = tuple[str, Callable[[Side], str]]
"""Name of a figure, and how a side's is shown."""


def figure_lines(users: int) -> list[Line]:
    """Every figure of a comparison under ``users`` users, in the order in which they are shown."""
    alone: list[Line] = [
        ("first token, one user alone", lambda side: seconds(side.lone_time_to_first_token_seconds)),
        ("time per output token, one user alone", lambda side: seconds(side.lone_time_per_output_token_seconds)),
    ]
    loaded: list[Line] = [
        ("first token, under this load", lambda side: seconds(side.time_to_first_token_seconds)),
        ("time per output token, under this load", lambda side: seconds(side.time_per_output_token_seconds)),
        ("a whole request", lambda side: seconds(side.request_seconds)),
        ("tokens/s for each user", lambda side: amount(side.tokens_per_second_per_user)),
        ("requests/s in total", lambda side: amount(side.requests_per_second)),
        ("output tokens/s in total", lambda side: amount(side.tokens_per_second)),
        ("prompt tokens/s in total", lambda side: amount(side.prompt_tokens_per_second)),
        ("power", lambda side: f"{side.watts / 1e3:.3g} kW"),
        ("energy per output token", lambda side: f"{amount(side.joules_per_token)} J"),
        ("energy per request", lambda side: f"{amount(side.joules_per_request)} J"),
        ("cost per million output tokens", lambda side: f"{amount(side.usd_per_million_tokens)} USD"),
        ("cost per 1,000 requests", lambda side: f"{amount(1e3 * side.usd_per_request)} USD"),
        ("memory used", lambda side: f"{size(side.memory_used_bytes)} of {size(side.memory_available_bytes)}"),
    ]
    return [*alone, *loaded] if users > 1 else [(name.replace(", under this load", ""), show) for name, show in loaded]


def figures_table(comparison: Comparison) -> SideTable:
    """A column a side; beside several clusters ideal software, shares and the front are rows."""
    sides, titles = comparison.sides(), comparison.titles()
    rows = [(name, [in_cell(side, show) for side in sides.values()]) for name, show in figure_lines(comparison.request.batch)]
    caption = CARRIED
    if len(comparison.clusters) > 1:
        rows = [(name, [text.replace(" of ", "\nof ") for text in cells]) for name, cells in rows]
        rows += _rows_of_several(comparison)
        caption += f"\n{FRONT}"
    headings = [titles[name] if side is None else side.name for name, side in sides.items()]
    return SideTable(f"{comparison.model}: {load_in_words(comparison)}", headings, rows, caption)


def _rows_of_several(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """What one cluster has columns and bars for, then how sure the figures are, and who is on the front."""
    sides, marks = comparison.sides(), fronts(comparison.sides())
    ideal = {one.name: one.cluster_ideal for one in comparison.clusters}
    bound = [in_cell(ideal.get(name), lambda side: amount(side.tokens_per_second_per_user)) for name in sides]
    shares = [(f"a token's time: {share}", [in_cell(side, lambda side, share=share: f"{100 * side.shares[share]:.0f} %")
                                              for side in sides.values()]) for share in SHARES]
    sure = ["-" if side is None else side.facts.get("confidence", "-") for side in sides.values()]
    return [("tokens/s for each user, ideal software", bound), *shares, ("confidence", sure),
            ("on the Pareto front of", [front_marks(marks, name) for name in sides])]


def _speed_bars(sides: Sequence[Side]) -> Table:
    table = Table.grid(padding=(0, 1))
    for title, speed in (("tokens/s for each user", lambda side: side.tokens_per_second_per_user),
                         ("requests/s in total", lambda side: side.requests_per_second)):
        fastest = max(map(speed, sides))
        table.add_row(Text(title, style="bold"))
        for side in sides:
            shown = in_cell(side, lambda one, speed=speed: amount(speed(one))).replace("\n", " ")
            table.add_row(side.name, bar(speed(side) / fastest, 40), shown)
    return table


def _share_bars(sides: Sequence[Side]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_row(Text("why: share of a token's time", style="bold"))
    for side in sides:
        table.add_row(Text(side.name, style="underline"))
        for name in SHARES:
            table.add_row(f"  {name}", bar(side.shares[name], 40, COLORS[name]), f"{100 * side.shares[name]:.0f} %")
    return table


def _speculation_lines(found: Speculated, clock: float) -> list[tuple[str, str]]:
    """What drafts were worth, measured."""
    data, plain = found.to_dict(), found.plain_cycles / max(1, found.tokens)
    judged = (f"{found.accepted} of {found.judged} judged drafts accepted, {100 * found.acceptance:.0f} %"
              if found.acceptance is not None else "no draft was judged")
    regions = f"{found.regions} region{'s' if found.regions > 1 else ''}"
    passes = f"{found.passes} passes, {data['tokens_per_pass']:.2f} tokens each"
    lines = [("speculation", f"up to {found.drafted} tokens a pass, draft {found.draft}: {judged}; {passes}")]
    if found.tokens:
        lines.append(("without it", f"{plain:,.0f} cycles each = {clock / plain:,.0f} tokens/s, on the same {regions}; of these"
                                    f" the slowest takes {found.slowest_cycles:,}, a draft {found.draft_cycles:,}"))
    return lines


def execution_view(execution: Execution, opening: str | None) -> RenderableType:
    """What the executed model wrote behind ``opening``, and what it took; None: without the text, which was shown already."""
    data = execution.to_dict()
    text = [] if opening is None else [Text.assemble((opening, "bold"), execution.text), Text("")]
    table = Table.grid(padding=(0, 2))
    kept = {"weights": data["weight_precision"], "cache": data["cache_precision"]}
    packed = "".join(f", {name} {form}" for name, form in kept.items() if form != data["precision"])
    several = f"{execution.wafers} wafers with " if execution.wafers > 1 else ""
    table.add_row("grid", f"{several}{data['grid']} PEs of {execution.machine.title}, {data['precision']}{packed}")
    if execution.rounded is not None:
        share = f"{100 * execution.rounded:.0f} % of them rounded anew"
        told = share if execution.rounded else "as the checkpoint has them"
        table.add_row("packed weights", f"of the first layer: {told}")
    table.add_row("prompt", f"{data['prompt_tokens']} tokens in {data['prefill_cycles']:,} cycles")
    if data["tokens_per_second"]:
        table.add_row("answer", f"{data['output_tokens']} tokens, {data['cycles_per_token']:,.0f} cycles each = "
                                f"{data['tokens_per_second']:,.0f} tokens/s at {data['clock_hertz'] / 1e9:.2f} GHz")
    if execution.speculated is not None:
        for name, words in _speculation_lines(execution.speculated, data["clock_hertz"]):
            table.add_row(name, words)
    causes = {name: cycles for name, cycles in execution.generation.breakdown.items() if cycles}
    whole = sum(causes.values()) or 1
    table.add_row("cycles went to", ", ".join(f"{name} {100 * cycles / whole:.0f} %" for name, cycles in causes.items()))
    table.add_row("links crossed", f"{data['link_traversals']:,} times by wavelets")
    table.add_row("memory of a PE", f"{sum(execution.mapping.memory.values()):,} of {int(execution.machine.core.sram):,} B")
    if execution.both_engines is not None:
        both = execution.both_engines
        table.add_row("both engines", f"{both['operations_by_wavelet']:,} operations also wavelet by wavelet, "
                                      f"{both['local_work']:,} pieces of local work instruction by instruction: same values "
                                      f"bit for bit, clocks within {both['largest_clock_difference_cycles']} cycles")
    if execution.check is not None:
        check = execution.check
        table.add_row("plain reference", f"{'same' if check.same else 'other'} tokens ({check.tokens} checked), logits of the "
                                         f"prompt within {check.logit_difference:.2g}"
                                         f"{'' if check.same else ' (expected where precision is below fp32)'}")
    return Group(*text, table)
