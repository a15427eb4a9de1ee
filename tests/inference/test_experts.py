"""Mixtures of experts on the wafer against the plain reference, on both engines."""

import dataclasses

import numpy as np
import pytest

from wsekern.inference.blocks.experts import MixtureOnGrid
from wsekern.inference.grid import Grid
from wsekern.inference.reference import Activations
from wsekern.inference.reference.mixture import ReferenceMixture
from wsekern.inference.steps import View
from wsekern.machine import load_machine
from wsekern.number_formats import narrow, widen
from wsekern.ops import CycleEngine, FlowEngine
from wsekern.workload import uniform
from wsekern.workload.decoder import FeedForward, Mixture

WSE3 = load_machine("wse3")
HIDDEN, TOKENS = 14, 5
SILU = FeedForward(width=11)
SIGMOID = dict(scores="sigmoid", normalized=True, scale=2.5, correction=True)
MIXTURES = {
    "mixtral": Mixture(experts=5, chosen=2, expert=SILU, normalized=True),
    "olmoe": Mixture(experts=9, chosen=3, expert=SILU),
    "qwen2": Mixture(experts=6, chosen=2, expert=SILU, shared=FeedForward(width=9), shared_gate=True),
    "gpt-oss": Mixture(experts=6, chosen=3, scores="softmax_chosen", router_bias=True,
                       expert=FeedForward(width=11, activation="clamped_silu", bias=True, limit=7.0)),
    "deepseek-v2": Mixture(experts=8, chosen=3, expert=SILU, shared=SILU, scale=1.5, groups=4, groups_chosen=2, group_best=1),
    "deepseek-v3": Mixture(experts=8, chosen=3, expert=SILU, shared=SILU, groups=4, groups_chosen=2, **SIGMOID),
    "glm": Mixture(experts=8, chosen=3, expert=SILU, shared=SILU, **SIGMOID | dict(normalized=False)),
    "llama4": Mixture(experts=4, chosen=1, expert=SILU, shared=SILU, scores="sigmoid", early=True),
    "ernie": Mixture(experts=6, chosen=2, expert=SILU, normalized=True, correction=True),
    "dense-beside": Mixture(experts=4, chosen=2, expert=SILU, dense=FeedForward(width=6, bias=True), shared=SILU),
    "nemotron": Mixture(experts=6, chosen=2, latent=9, expert=FeedForward(width=8, gated=False, activation="relu2"),
                        shared=FeedForward(width=10, gated=False, activation="relu2"), **SIGMOID),
}


def random_weights(part: Mixture, hidden: int = HIDDEN, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights of a mixture, at random."""
    random = np.random.default_rng(seed)
    experts, inner = (part.experts,), part.latent or hidden
    weights = {"router": (hidden, part.experts)}
    if part.router_bias:
        weights["router_bias"] = experts
    if part.correction:
        weights["correction"] = experts
    if part.shared_gate:
        weights["shared_router"] = (hidden, 1)
    if part.latent:
        weights |= {"latent_in": (hidden, inner), "latent_out": (inner, hidden)}
    for name, feed, many, size in (("experts", part.expert, experts, inner), ("shared", part.shared, (), hidden),
                                   ("dense", part.dense, (), hidden)):
        if feed is None:
            continue
        for half in ("gate", "up") if feed.gated else ("up",):
            weights |= {f"{name}_{half}": (*many, size, feed.width), f"{name}_{half}_bias": (*many, feed.width)}
        weights |= {f"{name}_down": (*many, feed.width, size), f"{name}_down_bias": (*many, size)}
        if not feed.bias:
            weights = {key: shape for key, shape in weights.items() if not (key.startswith(name) and key.endswith("_bias"))}
    return {name: random.standard_normal(shape).astype(np.float32) * np.float32(0.6) for name, shape in weights.items()}


def run_part(placed, weights, engine, h: np.ndarray) -> np.ndarray:
    """``out`` (tokens, hidden) of a part for ``h`` (tokens, hidden), read from the first column; all columns are alike."""
    m, precision = placed.mapping, placed.mapping.precision
    rows = m.index_y(m.config.hidden)
    pieces = np.where(rows >= 0, h[:, rows], 0).swapaxes(0, 1).astype(np.float32)
    values = {"h": np.ascontiguousarray(np.broadcast_to(narrow(pieces, precision, "h")[:, None],
                                                        (m.height, m.width, *pieces.shape[1:])))}
    values |= placed.tiles(weights, "layer 0")
    for step in placed.steps(len(h), 1):
        if isinstance(step, View):
            step.run(values)
        else:
            step.run(engine, values)
    out = values["out"].full()
    assert (out == out[:, :1]).all()
    return widen(out[:, 0], precision).swapaxes(0, 1).reshape(len(h), -1)[:, :m.config.hidden]


def placed_mixture(part: Mixture, width: int, height: int, precision: str, **options) -> MixtureOnGrid:
    model = uniform(layers=1, hidden=HIDDEN, heads=2, kv_heads=2, head_dim=4, ffn=8, vocab=16, max_context=64)
    return MixtureOnGrid(Grid(model, width, height, precision, **options), part)


def engines(precision: str, width: int, height: int) -> list:
    return [engine(WSE3, width, height, profile="silicon", precision=precision) for engine in (FlowEngine, CycleEngine)]


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("grid", [(4, 4), (3, 5), (9, 4)])
def test_a_mixture_is_the_plain_one_on_both_engines(name, grid):
    part, weights = MIXTURES[name], random_weights(MIXTURES[name])
    h = np.random.default_rng(1).standard_normal((TOKENS, HIDDEN)).astype(np.float32)
    placed, (flow, cycle) = placed_mixture(part, *grid, "fp32"), engines("fp32", *grid)
    found = run_part(placed, weights, flow, h)
    np.testing.assert_allclose(found, ReferenceMixture(part, Activations()).forward(h, weights, 0), rtol=1e-4, atol=1e-4)
    assert run_part(placed, weights, cycle, h).tobytes() == found.tobytes()
    if grid == (4, 4):
        np.testing.assert_array_equal(cycle.clock, flow.clock)
    assert abs(cycle.cycles - flow.cycles) <= 0.0025 * flow.cycles
    timed = FlowEngine(WSE3, *grid, profile="silicon", precision="fp32")
    for step in placed.steps(TOKENS, 1):
        step.time(timed)
    np.testing.assert_array_equal(timed.clock, flow.clock)
