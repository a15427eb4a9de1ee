"""What people see: tables and bars on a terminal, a picture, an HTML page, JSON for machines."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from wsekern.compare import SHARES, Comparison, Execution, Side
from wsekern.errors import InputError

COLOURS = {"compute": "green", "memory": "blue", "communication": "magenta", "overhead": "yellow"}


def write_file(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a whole file or nothing: a temporary file beside it takes its place when complete."""
    target = Path(path)
    data = content.encode() if isinstance(content, str) else content
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(name, 0o666 & ~umask)
            os.replace(name, target)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}") from None


def to_json(data: Any) -> str:
    """Indented JSON with a final newline; not-a-number is refused rather than written."""
    return json.dumps(data, indent=2, allow_nan=False, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    """numpy scalars as Python numbers."""
    return value.item() if hasattr(value, "item") else str(value)


def seconds(value: float) -> str:
    """A duration with three digits and a fitting unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def amount(value: float) -> str:
    """A number with three digits: 1,234 or 12.3 or 0.0123."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def size(value: float) -> str:
    """A number of bytes."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value:.0f} B"


def bar(share: float, width: int = 24, colour: str = "cyan") -> Text:
    """A horizontal bar for a share of 1."""
    eighths = round(share * width * 8)
    return Text("█" * (eighths // 8) + (" ▏▎▍▌▋▊▉"[eighths % 8] if eighths % 8 else ""), style=colour)


def comparison_view(comparison: Comparison) -> RenderableType:
    """The whole comparison: figures, bars, reasons, assumptions."""
    request, sides = comparison.request, (comparison.wafer, comparison.cluster, comparison.cluster_ideal)
    title = (f"{comparison.model}: {request.prompt} tokens in, {request.output} out, {request.batch} user"
             f"{'s' if request.batch > 1 else ''}, {request.precision}")
    reasons = Text("\n".join(f"* {reason}" for reason in comparison.reasons()))
    assumptions = Text("\n".join(f"- {side.name}: {line}" for side in sides[:2] for line in side.assumptions), style="dim")
    return Group(_figures(title, sides), Text(""), _speed_bars(sides), Text(""), _share_bars(sides[:2]), Text(""),
                 reasons, Text(""), Text("Assumed", style="dim bold"), assumptions)


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
            table.add_row(f"  {name}", bar(side.shares[name], 40, COLOURS[name]), f"{100 * side.shares[name]:.0f} %")
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
    table.add_row("plain reference", "same tokens" if execution.same_as_reference else
                  "other tokens (expected where precision is below fp32)")
    return Group(text, Text(""), table)


def html_page(view: RenderableType, title: str) -> str:
    """A self-contained HTML page that shows ``view``."""
    console = Console(record=True, width=118, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    try:
        console.print(view)
        page = console.export_html(inline_styles=True)
    finally:
        console.file.close()
    return page.replace("<head>", f"<head>\n<title>{title}</title>", 1)


def comparison_plot(comparison: Comparison, path: str | os.PathLike[str]) -> None:
    """One picture (PNG, SVG or PDF by the file's ending): speed for one user, and where a token's time goes."""
    figure_class = _figure_class()
    figure = figure_class(figsize=(10, 4.5), layout="constrained")
    speed, why = figure.subplots(1, 2)
    sides = (comparison.wafer, comparison.cluster, comparison.cluster_ideal)
    names = [side.name.replace(" (", "\n(") for side in sides]
    bars = speed.bar(names, [side.tokens_per_second_per_user for side in sides], color=["#e07a1f", "#4c78a8", "#9ec3e6"])
    speed.bar_label(bars, [amount(side.tokens_per_second_per_user) for side in sides])
    speed.set_ylabel("tokens/s for each user")
    speed.set_title(f"{comparison.model}, {comparison.request.batch} user(s)")
    colours = {"compute": "#54a24b", "memory": "#4c78a8", "communication": "#b279a2", "overhead": "#eeca3b"}
    bottom = [0.0] * len(sides)
    for share in SHARES:
        values = [1e3 * side.time_per_output_token_seconds * side.shares[share] for side in sides]
        why.bar(names, values, bottom=bottom, label=share, color=colours[share])
        bottom = [low + value for low, value in zip(bottom, values, strict=True)]
    why.set_ylabel("time per output token (ms)")
    why.set_title("where the time goes")
    why.legend()
    save_figure(figure, path)


def _figure_class():
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("pictures need matplotlib, which is not installed: type `pip install 'wsekern[plot]'`") from None
    return Figure


def save_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a matplotlib figure whole or not at all."""
    import io

    kind = Path(path).suffix.lstrip(".").lower() or "png"
    if kind not in ("png", "svg", "pdf"):
        raise InputError(f"cannot draw {path}: expected a name that ends in .png, .svg or .pdf")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=120)
    write_file(path, buffer.getvalue())
