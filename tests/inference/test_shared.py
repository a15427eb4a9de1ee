"""Work that each PE of a line does a share of: the bits of redundant work, on both engines."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from wsekern.inference.blocks.feed_forward import FeedForwardOnGrid
from wsekern.inference.blocks.shared import WORTH, is_shared, local_work, shared_buffers
from wsekern.inference.grid import Grid
from wsekern.inference.mapping import Mapping
from wsekern.inference.programs import Programs
from wsekern.inference.steps import LayerStep, View
from wsekern.inference.wafer import WaferModel
from wsekern.machine import load_machine
from wsekern.number_formats import narrow
from wsekern.ops import AllGather, Local
from wsekern.ops.engines.both import BothEngines
from wsekern.ops.repeated import Repeated
from wsekern.workload import load_config

WSE3, SHARED = load_machine("wse3"), Programs(local="shared")


def grid(width: int, height: int, precision: str = "fp16", **more) -> Grid:
    return Grid(load_config("llama3-8b"), width, height, precision, **more)


def run(steps: list[LayerStep | View], engine: BothEngines, values: dict) -> np.ndarray:
    values = dict(values)
    for step in steps:
        if isinstance(step, LayerStep):
            step.run(engine, values)
        else:
            step.run(values)
    return Repeated.of(values["out"]).full()


@pytest.mark.parametrize("axis", ["x", "y"])
@pytest.mark.parametrize(("precision", "form"), [("fp16", "vector"), ("fp16", "scalar"), ("bf16", "vector-fp32"),
                                                 ("fp32", "vector")])
def test_shares_gathered_are_the_bits_of_redundant_work(precision, form, axis):
    """Zeros of either sign too; the last share is short."""
    (width, height), rng = {"x": (5, 2), "y": (2, 5)}[axis], np.random.default_rng(3)
    drawn = rng.normal(0, 4, (2, 2, 1, 2, 13) if axis == "x" else (2, 1, 2, 2, 13)).astype(np.float32)
    drawn[..., :3] = [0.0, -0.0, 3e4]
    values = {name: np.ascontiguousarray(np.broadcast_to(narrow(tile, precision, "x"), (height, width, 2, 13)))
              for name, tile in zip("ab", drawn, strict=True)}
    found = {}
    for programs in (Programs(), SHARED):
        m = grid(width, height, precision, programs=programs, activations=form)
        engine, work = BothEngines(WSE3, width, height, precision=precision), partial(Local, "silu_mul", form=form)
        steps = local_work(m, "ffn", work, 2, 13, "ab", "out", axis)
        found[programs] = run(steps, engine, values)
        assert engine.clock_difference == 0
        gathers = sum(isinstance(step, LayerStep) and isinstance(step.operation, AllGather) for step in steps)
        assert gathers == (programs is SHARED)
    assert found[SHARED].shape == found[Programs()].shape and found[SHARED].tobytes() == found[Programs()].tobytes()


def test_a_feed_forward_part_is_the_same_bits_and_quicker_with_calls():
    found, cycles = {}, {}
    config = load_config("llama3-8b")
    feed = replace(config.blocks[0].feed, width=150)
    for programs in (Programs(), SHARED):
        m = Grid(replace(config, hidden=18), 3, 6, programs=programs, activations="scalar", chunk=2)
        part, engine = FeedForwardOnGrid(m, feed), BothEngines(WSE3, 3, 6, precision="fp16")
        rng = np.random.default_rng(5)
        weights = {"gate": (18, 150), "up": (18, 150), "down": (150, 18)}
        values = part.tiles({name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in weights.items()}, "here")
        values["h"] = np.broadcast_to(rng.normal(0, 1, (6, 1, 2, 3)).astype(np.float16), (6, 3, 2, 3))
        found[programs], cycles[programs] = run(part.steps(2, 1), engine, values), engine.cycles
    assert found[SHARED].tobytes() == found[Programs()].tobytes() and cycles[SHARED] < cycles[Programs()] / 2


def test_little_work_is_not_shared():
    m = grid(4, 6, programs=SHARED)
    assert is_shared(m, 6 * WORTH, "y") and not is_shared(m, 6 * WORTH - 1, "y") and not is_shared(grid(4, 6), 600, "y")
    assert not is_shared(grid(4, 1, programs=SHARED), 600, "y") and is_shared(grid(4, 1, programs=SHARED), 600, "x")
    assert is_shared(grid(4, 6, programs=SHARED, activations="scalar"), 1, "y")
    assert shared_buffers(m, 25, "y") == 6 * 6 - 25 + 3 * 6 and shared_buffers(m, 23, "y") == 0


@pytest.mark.parametrize("form", ["vector", "scalar"])
def test_a_whole_model_gives_the_same_logits(make_model, form):
    config, weights = make_model(ffn=100)
    logits, cycles = [], []
    for programs in (Programs(), SHARED):
        mapping = Mapping(config, 3, 5, "fp16", 24, 8, activations=form, programs=programs)
        wafer = WaferModel(config, weights, WSE3, mapping)
        logits += [[wafer.prefill(list(range(20))), wafer.decode(7)]]
        cycles.append(wafer.engine.cycles)
    for one, other in zip(*logits, strict=True):
        assert one.tobytes() == other.tobytes()
    assert cycles[1] < cycles[0]
