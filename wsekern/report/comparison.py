"""A comparison and an execution on the terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wsekern.compare import SHARES, Comparison, Execution, Side
from wsekern.report.words import amount, seconds, size

COLORS = {"compute": "green", "memory": "blue", "communication": "magenta", "overhead": "yellow"}


def bar(share: float, width: int = 24, color: str = "cyan") -> Text:
    """A horizontal bar for a share of 1."""
    eighths = round(share * width * 8)
    return Text("█" * (eighths // 8) + (" ▏▎▍▌▋▊▉"[eighths % 8] if eighths % 8 else ""), style=color)


def comparison_view(comparison: Comparison) -> RenderableType:
    """The whole comparison: figures, bars, reasons, assumptions."""
    request, sides = comparison.request, (comparison.wafer, comparison.cluster, comparison.cluster_ideal)
    title = (f"{comparison.model}: {request.prompt} tokens in, {request.output} out, {request.batch} user"
             f"{'s' if request.batch > 1 else ''}, {request.precision}")
    reasons = Text("\n".join(f"* {reason}" for reason in comparison.reasons()))
    assumptions = Text("\n".join(f"- {side.name}: {line}" for side in sides[:2] for line in side.assumptions), style="dim")
    return Group(_figures(title, sides), Text(""), _speed_bars(sides), Text(""), _share_bars(sides[:2]), Text(""),
                 reasons, Text(""), Text("Assumed", style="dim bold"), assumptions, Text(""), _trust(comparison.cluster))


def _trust(side: Side) -> Text:
    """The measurements nearest to a prediction, and how far the model is from them."""
    lines = [f"- {point['what']}: the model is {100 * point['error']:+.0f} % off ({point['source']})"
             for point in side.facts["nearest"]]
    return Text("\n".join([f"Measured nearest to {side.name} (confidence {side.facts['confidence']})", *lines]), style="dim")


def _figures(title: str, sides: tuple[Side, ...]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for side in sides:
        table.add_column(side.name, justify="right")
    rows = (
        ("time to first token", lambda s: seconds(s.time_to_first_token_seconds)),
        ("time per output token", lambda s: seconds(s.time_per_output_token_seconds)),
        ("tokens/s for each user", lambda s: amount(s.tokens_per_second_per_user)),
        ("tokens/s in total", lambda s: amount(s.tokens_per_second)),
        ("power", lambda s: f"{s.watts / 1e3:.3g} kW"),
        ("energy per token", lambda s: f"{amount(s.joules_per_token)} J"),
        ("cost per million tokens", lambda s: f"{amount(s.usd_per_million_tokens)} USD"),
        ("memory used", lambda s: f"{size(s.memory_used_bytes)} of {size(s.memory_available_bytes)}"),
    )
    for name, show in rows:
        table.add_row(name, *(show(side) for side in sides))
    return table


def _speed_bars(sides: tuple[Side, ...]) -> Table:
    table = Table.grid(padding=(0, 1))
    fastest = max(side.tokens_per_second_per_user for side in sides)
    table.add_row(Text("tokens/s for each user", style="bold"))
    for side in sides:
        speed = side.tokens_per_second_per_user
        table.add_row(side.name, bar(speed / fastest, 40), amount(speed))
    return table


def _share_bars(sides: tuple[Side, ...]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_row(Text("why: share of a token's time", style="bold"))
    for side in sides:
        table.add_row(Text(side.name, style="underline"))
        for name in SHARES:
            table.add_row(f"  {name}", bar(side.shares[name], 40, COLORS[name]), f"{100 * side.shares[name]:.0f} %")
    return table


def execution_view(execution: Execution) -> RenderableType:
    """What the executed model wrote, and what it took."""
    data = execution.to_dict()
    text = Text.assemble((execution.prompt, "bold"), execution.text)
    table = Table.grid(padding=(0, 2))
    table.add_row("grid", f"{data['grid']} PEs of {execution.machine.title}, {data['precision']}")
    table.add_row("prompt", f"{data['prompt_tokens']} tokens in {data['prefill_cycles']:,} cycles")
    if data["tokens_per_second"]:
        table.add_row("answer", f"{data['output_tokens']} tokens, {data['cycles_per_token']:,.0f} cycles each = "
                                f"{data['tokens_per_second']:,.0f} tokens/s at {data['clock_hertz'] / 1e9:.2f} GHz")
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
    table.add_row("plain reference", "same tokens" if execution.same_as_reference else
                  "other tokens (expected where precision is below fp32)")
    return Group(text, Text(""), table)
