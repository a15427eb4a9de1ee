"""Activations of feed-forward parts, as steps of local work."""

import numpy as np

from wsekern.inference.grid import Grid
from wsekern.inference.steps import LayerStep, Steps, split
from wsekern.number_formats import narrow
from wsekern.ops import Local
from wsekern.ops.local.vector import room_bytes
from wsekern.workload.decoder import FeedForward

FUNCTION = {"silu": "silu", "gelu": "gelu_erf", "gelu_tanh": "gelu", "quick_gelu": "quick_gelu", "relu": "relu",
            "relu2": "relu2", "clamped_silu": "clamped_silu"}
"""Activation of a description -> its function among the local work."""


def missing_activation(feed: FeedForward) -> str:
    """The activation of ``feed`` where it has no steps, in words; else empty."""
    there = feed.activation in FUNCTION and (feed.gated or feed.activation != "clamped_silu")
    return "" if there else f"the activation {feed.activation}"


def one_tile(mapping: Grid) -> np.ndarray:
    """The number 1 (1, 1) on every PE, an operand of instructions: it takes no memory."""
    return np.broadcast_to(narrow(np.ones((1, 1), np.float32), mapping.precision, "one"), (mapping.height, mapping.width, 1, 1))


def _kind(feed: FeedForward) -> str:
    """Kind of local work; that of a gated part takes both vectors."""
    name = FUNCTION[feed.activation]
    return f"{name}_mul" if feed.gated and name != "clamped_silu" else name


def activation_room(mapping: Grid, feed: FeedForward, elements: int) -> int:
    """Bytes that the activation of so many elements takes beside its tiles."""
    return room_bytes(_kind(feed), mapping.form, mapping.precision, elements)


def activation_steps(mapping: Grid, feed: FeedForward, rows: int, n: int, x: str, output: str) -> Steps:
    """``output`` (rows, n) of ``x``: (rows, 2 n) with the gate first where there is one, else (rows, n)."""
    kind = _kind(feed)
    work = Local(kind, n, rows, factor=feed.limit or 1.0, form=mapping.form)
    if not feed.gated:
        return [LayerStep("ffn", kind, work, (x,), output)]
    gate, up = f"{x}.gate", f"{x}.up"
    return [split(x, (gate, up), (n, n), axis=1), LayerStep("ffn", kind, work, (gate, up), output)]
