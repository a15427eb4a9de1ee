"""Activations of feed-forward parts, as steps of local work."""

from collections.abc import Sequence
from functools import partial

from wsekern.inference.blocks.shared import local_work
from wsekern.inference.grid import Grid
from wsekern.inference.steps import LayerStep, Steps, repeat, split
from wsekern.ops import Local
from wsekern.ops.local.vector import room_bytes
from wsekern.ops.operation import Axis
from wsekern.workload.decoder import FeedForward

FUNCTIONS = {"silu": "silu", "gelu": "gelu_erf", "gelu_tanh": "gelu", "quick_gelu": "quick_gelu", "relu": "relu",
             "relu2": "relu2"}
"""Activation of a description -> the local work that computes it, of one number; ``clamped_silu`` is of two."""
_step = partial(LayerStep, "ffn")


def missing_activation(feed: FeedForward) -> str:
    """The activation, where it has no steps; else empty."""
    there = feed.gated if feed.activation == "clamped_silu" else feed.activation in FUNCTIONS
    return "" if there else feed.activation


XIELU = ("xielu_positive", "xielu_negative", "xielu_beta")
"""Tiles (1, n) of a part whose activation is xIELU: its three numbers at every place."""


def xielu_steps(mapping: Grid, rows: int, n: int, x: str, output: str, tiles: Sequence[str]) -> Steps:
    """``output`` (rows, n) of ``x``: beta x, plus alpha x^2 above zero and another alpha (e^x - 1 - x) below; ``tiles``: names
    of :data:`XIELU`."""
    positive, negative, beta = "positive", "negative", "beta"
    steps: Steps = [repeat(tile, name, 0, rows) for tile, name in zip(tiles, (positive, negative, beta), strict=True)]

    def work(kind: str, result: str, *inputs: str) -> LayerStep:
        return _step(f"xielu_{kind}", Local(kind, n, rows, form=mapping.form), inputs, result)

    return [*steps, work("relu", "above", x), work("sub", "below", x, "above"), work("exp", output, "below"),
            work("sub", output, output, "below"), work("mul", output, output, negative), work("sub", output, output, negative),
            work("mul", x, x, beta), work("add", output, output, x), work("mul", "above", "above", "above"),
            work("mul", "above", "above", positive), work("add", output, output, "above")]


def activation_room(mapping: Grid, feed: FeedForward, elements: int) -> int:
    """Bytes that the activation of so many elements takes beside its tiles."""
    return room_bytes(_kind(feed), mapping.form, mapping.precision, elements)


def activation_steps(mapping: Grid, feed: FeedForward, rows: int, n: int, x: str, output: str, axis: Axis = "y") -> Steps:
    """``output`` (rows, n) of ``x``: (rows, 2 n) with the gate first where there is one, else (rows, n). PEs along ``axis``
    hold the same."""
    work = partial(Local, _kind(feed), factor=feed.limit or 1.0, form=mapping.form)
    if not feed.gated:
        return local_work(mapping, "ffn", work, rows, n, (x,), output, axis)
    halves = f"{x}.gate", f"{x}.up"
    return [split(x, halves, (n, n), axis=1), *local_work(mapping, "ffn", work, rows, n, halves, output, axis)]


def _kind(feed: FeedForward) -> str:
    """Local work that the activation is."""
    if feed.activation == "clamped_silu":
        return feed.activation
    return f"{FUNCTIONS[feed.activation]}_mul" if feed.gated else FUNCTIONS[feed.activation]
