"""One worked request: how every figure of a comparison follows from two times, in numbers that ``wsekern compare`` prints."""

from functools import cache

from wsekern.compare import Comparison, Side, compare
from wsekern.docs.markdown import table
from wsekern.machine import load_machine
from wsekern.report.comparison import figure_lines
from wsekern.workload import Request, load_config

MODEL, CLUSTER = "llama3-8b", "h100x8"
REQUEST = Request(prompt=1024, output=256, batch=64)
COMMAND = f"wsekern compare {MODEL} --cluster {CLUSTER} --batch {REQUEST.batch}"
"""What prints the numbers."""


@cache
def worked_comparison() -> Comparison:
    """The comparison of :data:`COMMAND`."""
    return compare(load_config(MODEL), REQUEST, load_machine("wse3"), None, CLUSTER)


def worked_request() -> str:
    """The command, its figures, and the arithmetic from the two times under load to all totals, a line a figure."""
    sides = worked_comparison().served()
    shown = [(name, *map(show, sides)) for name, show in figure_lines(REQUEST.batch)]
    figures = table(("what the command prints", *(side.name for side in sides)), shown)
    pair = sides[:2]
    sums = table(("by hand", *(side.name for side in pair)), zip(_LINES, *(_arithmetic(side) for side in pair), strict=True))
    return f"```\n{COMMAND}\n```\n\n{figures}\n\nThe same from the two times under this load:\n\n{sums}"


_LINES = (
    "a whole request: TTFT + (output - 1) TPOT",
    "requests/s: users / request",
    "output tokens/s: requests/s x output",
    "prompt tokens/s: requests/s x prompt",
    "J per request: watts / (requests/s)",
    "J per output token: J per request / output",
    "USD per 1,000 requests: 1,000 x USD per hour / 3,600 / (requests/s)",
)


def _arithmetic(side: Side) -> list[str]:
    """The figures of :data:`_LINES` of one side, as they are worked out."""
    first, token = side.time_to_first_token_seconds, side.time_per_output_token_seconds
    rate, users, output, prompt = side.requests_per_second, REQUEST.batch, REQUEST.output, REQUEST.prompt
    return [
        f"{1e3 * first:.1f} ms + {output - 1} x {1e3 * token:.3f} ms = {1e3 * side.request_seconds:.1f} ms",
        f"{users} / {side.request_seconds:.4f} s = {rate:.2f}",
        f"{rate:.2f} x {output} = {side.tokens_per_second:,.0f}",
        f"{rate:.2f} x {prompt:,} = {side.prompt_tokens_per_second:,.0f}",
        f"{side.watts:,.0f} / {rate:.2f} = {side.joules_per_request:.1f}",
        f"{side.joules_per_request:.1f} / {output} = {side.joules_per_token:.3f}",
        f"1,000 x {side.usd_per_hour:.2f} / 3,600 / {rate:.2f} = {1e3 * side.usd_per_request:.4f}",
    ]
