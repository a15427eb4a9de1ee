"""Pictures of a deployment on GPUs: where a step's time goes, kernel by kernel, and a request's steps."""

from collections.abc import Sequence

from wsekern.cluster.kernel_list import Kernel, decode_work, list_kernels, prefill_work
from wsekern.cluster.layout import Deployment
from wsekern.report.html import Plot, Span, lanes
from wsekern.report.words import seconds
from wsekern.workload.request import Request

BLOCKS = {"mixer": 0, "feed-forward": 2, "other weights": 5, "ends": 1, "step": 7}
"""Colors of the blocks that kernels belong to."""
MOST_KERNELS = 24
"""Bars; the table has all."""


def decode_kernels(deployment: Deployment, request: Request, users: float = 1.0) -> list[Kernel]:
    """Of a step that gives a token to each of ``users``, halfway through the answers."""
    return list_kernels(deployment, decode_work(deployment, users, request.prompt + request.output / 2.0))


def prompt_kernels(deployment: Deployment, request: Request) -> list[Kernel]:
    """Of the step that reads the prompt of one user."""
    return list_kernels(deployment, prefill_work(deployment, request.unread, request.shared))


def kernels_plot(title: str, what: str, kernels: Sequence[Kernel]) -> Plot:
    """A bar for each kernel of a step, the longest first; ``what`` the step does."""
    whole = sum(kernel.seconds for kernel in kernels)
    sums: dict[tuple[str, str], list[float]] = {}
    for kernel in kernels:
        found = sums.setdefault((kernel.block, kernel.name), [0.0, 0.0])
        found[0] += kernel.count
        found[1] += kernel.seconds
    rows = sorted(((*key, *value) for key, value in sums.items()), key=lambda row: -row[3])
    spans = [Span(f"{block}: {name}", 0.0, 1e6 * taken, f"{block}, {name}: {count:,.0f} times, {seconds(taken)} together, "
                  f"{100 * taken / whole:.1f} % of the step", BLOCKS[block])
             for block, name, count, taken in rows[:MOST_KERNELS] if taken > 0.0]
    return lanes(title, f"{what} takes {seconds(whole)}; kernels of a name count together.", spans, "microseconds",
                 legend=[(color, "", block) for block, color in BLOCKS.items() if any(row[0] == block for row in rows)],
                 header=("block", "kernel", "launches", "time", "share"),
                 rows=[(block, name, f"{count:,.0f}", signed(taken), f"{100 * taken / whole:.1f} %")
                       for block, name, count, taken in rows])


def signed(value: float) -> str:
    """A duration that may be what is saved."""
    return seconds(value) if value >= 0.0 else f"-{seconds(-value)}"


def steps_plot(name: str, deployment: Deployment, request: Request, answer: int = 4) -> Plot:
    """A lone user's prompt and first tokens as steps of the GPUs, by what the time of each goes to."""
    steps = [("prompt", prompt_kernels(deployment, request))]
    steps += [(f"token {number + 1}", decode_kernels(deployment, request)) for number in range(1, answer)]
    spans, rows, now = [], [], 0.0
    for what, kernels in steps:
        begin = now
        for cause, lane in LANES.items():
            taken = sum(kernel.seconds for kernel in kernels if kernel.cause in cause)
            if taken > 0.0:
                spans.append(Span(lane, 1e3 * now, 1e3 * taken, f"{what}, {lane}: {seconds(taken)}", COLORS[lane]))
                now += taken
        rows.append((what, seconds(begin), seconds(now - begin)))
    return lanes(f"Through the steps of {name}",
                 f"The prompt is one step of {seconds(steps_seconds(steps[0][1]))}, each token one of "
                 f"{seconds(steps_seconds(steps[1][1]))}; all GPUs of a copy work on each, and what a step does of a kind is "
                 "drawn together.", sorted(spans, key=lambda span: list(COLORS).index(span.lane)),
                 "milliseconds since the prompt came", header=("step", "begins", "takes"), rows=rows)


def steps_seconds(kernels: Sequence[Kernel]) -> float:
    """Of a step."""
    return sum(kernel.seconds for kernel in kernels)


LANES = {("weights",): "weights", ("kv",): "cache", ("compute", "fixed"): "compute", ("all_reduce",): "links",
         ("engine",): "software"}
"""Lanes of causes."""
COLORS = {"weights": 0, "cache": 6, "compute": 2, "links": 3, "software": 7}
"""Of the lanes."""
