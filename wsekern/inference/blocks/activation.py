"""Activations of feed-forward parts, as steps of local work."""

from functools import partial

import numpy as np

from wsekern.inference.grid import Grid
from wsekern.inference.steps import LayerStep, Steps, repeat, split
from wsekern.number_formats import narrow
from wsekern.ops import Local
from wsekern.ops.local.vector import room_bytes
from wsekern.workload.decoder import FeedForward

ALPHA = 1.702
"""Slope of the sigmoid in the activation of gpt-oss and in the quick form of GELU."""
STEPS = ("silu", "relu", "relu2", "clamped_silu", "quick_gelu")
"""Activations that have steps."""
_step = partial(LayerStep, "ffn")


def one_tile(mapping: Grid) -> np.ndarray:
    """The number 1 (1, 1) on every PE, an operand of instructions: it takes no memory."""
    return np.broadcast_to(narrow(np.ones((1, 1), np.float32), mapping.precision, "one"), (mapping.height, mapping.width, 1, 1))


def activation_room(mapping: Grid, feed: FeedForward, elements: int) -> int:
    """Bytes that the activation of so many elements takes beside its tiles."""
    return 0 if feed.activation.startswith("relu") else room_bytes("silu_mul", mapping.form, mapping.precision, elements)


def activation_steps(mapping: Grid, feed: FeedForward, rows: int, n: int, x: str, output: str) -> Steps:
    """``output`` (rows, n) of ``x``: (rows, 2 n) with the gate first where there is one, else (rows, n). Reads ``weights.one``."""
    if not feed.gated:
        return _activated(mapping, feed.activation, rows, n, x, output)
    gate, up = f"{x}.gate", f"{x}.up"
    halves = split(x, (gate, up), (n, n), axis=1)
    if feed.activation == "silu":
        return [halves, _step("silu_mul", Local("silu_mul", n, rows, form=mapping.form), (gate, up), output)]
    if feed.activation == "clamped_silu":
        return [halves, *_clamped(mapping, feed.limit, rows, n, gate, up, output)]
    return [halves, *_activated(mapping, feed.activation, rows, n, gate, gate),
            _step("gate", Local("mul", n, rows, form=mapping.form), (gate, up), output)]


def _activated(mapping: Grid, activation: str, rows: int, n: int, x: str, output: str) -> Steps:
    """``output`` (rows, n): the activation of ``x``."""
    work = partial(Local, n=n, count=rows, form=mapping.form)
    if activation == "silu":
        return [_step("silu", work("silu"), (x,), output)]
    if activation == "quick_gelu":
        return [_step("slope", Local("scale", n, rows, factor=ALPHA), (x,), output), _step("silu", work("silu"), (output,), output),
                _step("slope", Local("scale", n, rows, factor=1 / ALPHA), (output,), output)]
    steps: Steps = [*_constant("zero", 0.0, rows, n), _step("relu", work("max"), (x, "zero"), output)]
    return [*steps, _step("square", work("mul"), (output, output), output)] if activation == "relu2" else steps


def _clamped(mapping: Grid, limit: float, rows: int, n: int, gate: str, up: str, output: str) -> Steps:
    """gate sigmoid(1.702 gate) (up + 1) with the gate at most ``limit`` and the other at most that in size; the smaller of two
    numbers is minus the larger of their opposites."""
    work, turn = partial(Local, n=n, count=rows, form=mapping.form), partial(Local, "scale", n, rows)
    return [*_constant("least", -limit, rows, n), *_constant("unit", 1.0, rows, n),
            _step("clamp_gate", turn(factor=-1.0), (gate,), gate), _step("clamp_gate", work("max"), (gate, "least"), gate),
            _step("slope", turn(factor=-ALPHA), (gate,), gate),
            _step("clamp_up", work("max"), (up, "least"), up), _step("clamp_up", turn(factor=-1.0), (up,), up),
            _step("clamp_up", work("max"), (up, "least"), up), _step("plus_one", work("sub"), ("unit", up), up),
            _step("slope", turn(factor=1 / ALPHA), (up,), up), _step("silu_mul", work("silu_mul"), (gate, up), output)]


def _constant(name: str, value: float, rows: int, n: int) -> Steps:
    """``name`` (rows, n): one number everywhere."""
    return [_step("constant", Local("scale", 1, 1, factor=value), ("weights.one",), name), repeat(name, name, 0, rows),
            repeat(name, name, 1, n)]
