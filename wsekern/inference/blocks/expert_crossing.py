"""What passes between the wafers that share the experts of a layer.

The first wafer holds the rest of the layer. What experts read, the shares and the numbers of the experts chosen leave its first
column in one message, and go over the columns of every other wafer while it waits. Each wafer sums what its own experts make;
the sums of the others come back to the first column of the first wafer, are added there and go over its columns.
"""

from functools import partial

from wsekern.inference.blocks.common import add
from wsekern.inference.grid import Grid
from wsekern.inference.steps import LayerStep, Steps, as_bits, as_numbers, join, reshape, split
from wsekern.machine import Machine
from wsekern.ops import Broadcast, Local
from wsekern.workload.decoder import Mixture
from wsekern.workload.request import PRECISIONS

_step = partial(LayerStep, "ffn")
CROSSED = "crossed"
"""What leaves the first wafer, by this name on all of them."""


def returned(wafer: int) -> str:
    """Name on the first wafer of what comes back from another one."""
    return f"returned.{wafer}"


def crossing_elements(mapping: Grid, part: Mixture) -> int:
    """Elements on a PE, of each token, of the message to the other wafers."""
    return mapping.hidden + 2 * part.chosen


def leaving_steps(mapping: Grid, part: Mixture, tokens: int) -> Steps:
    """``crossed`` (elements): of ``h`` (tokens, hidden), ``shares`` and ``chosen``, as the other wafers spread it."""
    rows = tokens * part.chosen
    return [reshape("h", tokens * mapping.hidden, output="h_sent"), reshape("shares", rows, output="shares_sent"),
            as_bits("chosen", "h", "numbers"), join(["h_sent", "shares_sent", "numbers"], CROSSED, 0),
            _spread(mapping, part, tokens)]


def arriving_steps(mapping: Grid, part: Mixture, tokens: int) -> Steps:
    """On another wafer: ``h``, ``shares`` and ``chosen`` from ``crossed``, which its first column has."""
    rows = tokens * part.chosen
    return [_spread(mapping, part, tokens),
            split(CROSSED, ["h", "shares", "numbers"], [tokens * mapping.hidden, rows, rows], 0),
            as_numbers("numbers", "chosen"), reshape("h", tokens, mapping.hidden), reshape("shares", tokens, part.chosen)]


def returning_steps(mapping: Grid, tokens: int) -> Steps:
    """``out`` plus that of the other wafers, which the first column has by the names of :func:`returned`."""
    n, wafers = mapping.hidden, range(2, mapping.expert_wafers)
    sums: Steps = [_step("return_add", Local("add", n, tokens, form=mapping.form), (returned(1), returned(wafer)), returned(1))
                   for wafer in wafers]
    spread = Broadcast(tokens * n, "x")
    return [*sums, _step("return", spread, (returned(1),), "back"), reshape("back", tokens, n),
            add(mapping, "ffn", "return_sum", tokens, "out", "back")]


def crossing_seconds(mapping: Grid, part: Mixture, machine: Machine, tokens: int) -> float:
    """Time of ``tokens`` tokens in the links between the wafers of a layer, out and back: one message to each of the other
    wafers, at once, and one from each, which share the links of the first."""
    if mapping.expert_wafers == 1:
        return 0.0
    size, others = PRECISIONS[mapping.precision] * tokens, mapping.expert_wafers - 1
    sent = size * others * (2 * mapping.config.hidden + 2 * part.chosen)
    return machine.system.io_seconds(sent, 2)


def _spread(mapping: Grid, part: Mixture, tokens: int) -> LayerStep:
    return _step("cross", Broadcast(tokens * crossing_elements(mapping, part), "x"), (CROSSED,), CROSSED)
