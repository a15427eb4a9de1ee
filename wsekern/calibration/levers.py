"""What each program of a layer, and each format of its weights, is worth: tokens/s of a lone user, placed anew each time.

``python -m wsekern.calibration.levers [MODEL ...]`` prints a line for the programs of August 2024, one with vector functions,
one for each further program switched on beside those, one for all of them, one for each format of weights and cache beside
all, and one for drafted tokens, whose acceptance is an assumption. Every line is a placement that
:func:`wsekern.planning.placement.place_model` searched for 1,024 tokens in and 256 out. What makes no model quicker or slower,
and formats that PEs cannot keep, have no line.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

from wsekern.errors import InputError
from wsekern.inference.programs import PLAIN, PROGRAM_SETS, ProgramSet
from wsekern.machine import load_machine
from wsekern.output import run_and_exit
from wsekern.planning.bound import bound
from wsekern.planning.layout import Placement
from wsekern.planning.placement import place_model
from wsekern.workload import Request, load_config
from wsekern.workload.speculation import Draft, Speculation

MODELS = ("llama3-8b", "llama3-70b", "gpt-oss-120b")
REQUEST = Request(1024, 256)

VECTOR = ProgramSet(PLAIN, None, blocks_searched=False)
"""Nothing folded, shared or cut, functions in vector instructions."""
LEVERS: dict[str, ProgramSet] = {
    "norms folded into the next product": replace(VECTOR, programs=replace(PLAIN, norms="folded")),
    "a bound instead of the maximum of the scores": replace(VECTOR, programs=replace(PLAIN, softmax="bound")),
    "the sum of the softmax rides with the values": replace(VECTOR, programs=replace(PLAIN, softmax_sum="riding")),
    "activations shared and gathered": replace(VECTOR, programs=replace(PLAIN, local="shared")),
    "shares of experts together": replace(VECTOR, programs=replace(PLAIN, shares="together")),
    "rows of a product together": replace(VECTOR, programs=replace(PLAIN, products="together")),
    "reductions in the levels that are quickest": replace(VECTOR, programs=replace(PLAIN, groups="quickest")),
    "blocks of heads and experts, copies of routers": replace(VECTOR, blocks_searched=True),
}
"""What is switched on one by one beside vector functions."""

DRAFTS = Speculation(4, 0.7, Draft("layers", 1))
"""Drafted tokens of the last line, which stands beside the bound of tokens one by one: its share may be above 1."""

FORMATS = (("fp8", ""), ("int8", ""), ("mxfp4", ""), ("int4", ""), ("", "fp8"))
"""(weights, cache) that are tried beside all programs."""


@dataclass(frozen=True)
class Line:
    """Tokens/s, wafers and share of the bound of each model; None where it cannot be placed so."""

    name: str
    cells: tuple[tuple[float, int, float] | None, ...]

    @property
    def speeds(self) -> tuple[float | None, ...]:
        """Tokens/s of each model."""
        return tuple(cell and cell[0] for cell in self.cells)


def lines(models: tuple[str, ...] = MODELS) -> Iterator[Line]:
    """The lines of the table, in order."""
    yield _line("programs of 2024-08", models, PROGRAM_SETS["2024-08"])
    base = _line("vector exp, SiLU, reciprocal", models, VECTOR)
    yield base
    for name, programs in LEVERS.items():
        line = _line(name, models, programs)
        if line.speeds != base.speeds:
            yield line
    yield _line("all of them: the default set", models, PROGRAM_SETS["default"])
    for weights, cached in FORMATS:
        words = [f"weights in {weights}"] * bool(weights) + [f"cache in {cached}"] * bool(cached)
        line = _line(f"all, and {', '.join(words)}", models, PROGRAM_SETS["default"], weights, cached)
        if any(line.cells):
            yield line
    name = f"all, and {DRAFTS.drafted} drafts of one layer, {DRAFTS.acceptance:g} accepted (beside the bound without drafts)"
    yield _line(name, models, PROGRAM_SETS["default"], speculation=DRAFTS)


def _line(name: str, models: tuple[str, ...], programs: ProgramSet, weights: str = "", cached: str = "",
          speculation: Speculation | None = None) -> Line:
    return Line(name, tuple(_cell(model, programs, weights, cached, speculation) for model in models))


@cache
def _cell(model: str, programs: ProgramSet, weights: str, cached: str,
          speculation: Speculation | None) -> tuple[float, int, float] | None:
    try:
        placement = place_model(load_config(model), REQUEST, load_machine("wse3"), programs=programs, weight_precision=weights,
                                cache_precision=cached, speculation=speculation)
    except InputError:
        return None
    return 1.0 / placement.token_seconds(), placement.wafers, share_of_bound(placement)


def share_of_bound(placement: Placement) -> float:
    """Of the bound of a token in the middle of the answer that a lone user gets."""
    mapping, request = placement.mapping, placement.request
    limit = bound(placement.config, placement.machine, request.prompt + request.output // 2, placement.profile,
                  mapping.precision, mapping.weight_precision, mapping.cache_precision)
    return 1.0 / placement.lone.time_per_output_token_seconds / limit.tokens_per_second


def in_words(cell: tuple[float, int, float] | None) -> str:
    """One cell: tokens/s, wafers, share of the bound."""
    if cell is None:
        return "-"
    speed, wafers, share = cell
    return f"{speed:,.0f} on {wafers} ({share:.2f})"


def main(arguments: list[str] | None = None, show: Callable[[str], None] = print) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m wsekern.calibration.levers", description=__doc__)
    parser.add_argument("models", nargs="*", default=list(MODELS), metavar="MODEL", help="bundled shapes or folders")
    models = tuple(parser.parse_args(arguments).models)
    show(f"tokens/s of one user, {REQUEST.prompt:,} in and {REQUEST.output} out, on so many wafers (share of the bound)")
    width = max(map(len, LEVERS))
    show(" ".join([" " * width, *(f"{model:>20}" for model in models)]))
    for line in lines(models):
        show(" ".join([f"{line.name:{width}}", *(f"{in_words(cell):>20}" for cell in line.cells)]))
    return 0


if __name__ == "__main__":
    run_and_exit(main)
