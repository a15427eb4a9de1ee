"""The page of a run: the text, and what its tokens took."""

from collections.abc import Mapping
from typing import Any

from wsekern.compare import Execution
from wsekern.report.comparison import execution_view
from wsekern.report.html import Mark, Page, Part, Plot, Section, Series, Text, bars, curves, floor, parts_of
from wsekern.report.pages.predictions import CAUSES
from wsekern.report.pages.wafers import assumed_section
from wsekern.report.words import amount, seconds

PARTS = 6
"""Parts of a model that have a color of their own."""


def run_page(execution: Execution, prompt: str, data: Mapping[str, Any]) -> Page:
    """What the model wrote behind ``prompt``, and where the cycles went."""
    clock, steps = float(execution.machine.clock), execution.generation
    rate = clock / execution.cycles_per_token if execution.cycles_per_token else 0.0
    checked = {True: ", the same tokens as the plain reference", False: ", other tokens than the plain reference", None: ""}
    answer = (f"{len(steps.prompt_tokens)} tokens read in {seconds(steps.prefill_cycles / clock)}, {len(steps.tokens)} written"
              f"{f' at {amount(rate)} tokens/s' if rate else ''}{checked[execution.same_as_reference]}.")
    title = f"{data.get('model', 'model')} on {execution.mapping.width}x{execution.mapping.height} PEs of " \
            f"{execution.machine.title}"
    return Page(title, answer, [
        Section("Text", [Text(f"{prompt}{execution.text}", plain=True)]),
        Section("Where the cycles go", _cycles(execution)),
        Section("Tokens", [*_tokens(execution)]),
        Section("Memory of a PE", [_memory(execution)]),
        Section("All figures", parts_of(execution_view(execution, None))),
        assumed_section(execution.machine, clock)], data)


def _cycles(execution: Execution) -> list[Part]:
    """By part of the model and by cause."""
    parts, causes = execution.generation.cycles_by_part, execution.generation.breakdown
    whole = sum(parts.values()) or 1
    by_part = {name: [(name, float(cycles), number % PARTS)] for number, (name, cycles) in enumerate(parts.items())}
    return [
        bars("By part of the model", f"{whole:,.0f} cycles of the prompt and all tokens.", by_part, "cycles", "cycles",
             legend=(), header=("part", "cycles", "share"),
             rows=[(name, f"{cycles:,.0f}", f"{100 * cycles / whole:.1f} %") for name, cycles in parts.items()]),
        bars("By cause", "Along the PE that is done last.",
             {"cycles": [(cause, float(cycles), CAUSES.get(cause, 7)) for cause, cycles in causes.items() if cycles]}, "cycles",
             "cycles", header=("cause", "cycles"), rows=[(cause, f"{cycles:,.0f}") for cause, cycles in causes.items()])]


def _tokens(execution: Execution) -> list[Plot]:
    """Cycles of every token."""
    cycles = execution.generation.token_cycles
    if not cycles:
        return []
    points = [(number, float(taken), f"token {number}: {taken:,.0f} cycles") for number, taken in enumerate(cycles, 2)]
    return [curves("Cycles of each token", "Behind the first, which the prompt gives.", [Series("", points, 1)],
                   "token of the answer", "cycles", log=(False, False), header=("token", "cycles"),
                   rows=[(f"{number:,}", f"{taken:,.0f}") for number, taken, _ in points])]


def _memory(execution: Execution) -> Plot:
    """The grid, filled as far as the memory of a PE is in use."""
    mapping, sram = execution.mapping, int(execution.machine.core.sram)
    used = sum(mapping.memory.values())
    words = f"{mapping.width} x {mapping.height} PEs, {used:,} B of {sram:,} B in use on each"
    mark = Mark(0, 0, 0, 0, words, 0, f"{mapping.width} x {mapping.height} PEs", filled=min(1.0, used / sram))
    return floor("The grid", "Every PE holds a piece of every layer.", mapping.width, mapping.height,
                 [(0, 0, mapping.width, mapping.height, mark)],
                 header=("what", "bytes of a PE"), rows=[(name.replace("_", " "), f"{value:,}")
                                                         for name, value in mapping.memory.items()])
