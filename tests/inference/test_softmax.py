"""Programs of softmax and cache: relative to a bound, sums that ride, positions cut over blocks, slots that go round."""

from dataclasses import replace

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.inference.blocks.heads import HeadsOnGrid
from wsekern.inference.layer import empty_cache, layer_steps, layer_tiles, parts_on_grid
from wsekern.inference.mapping import Mapping
from wsekern.inference.programs import Programs
from wsekern.inference.reference import ReferenceModel
from wsekern.inference.step_times import time_layer
from wsekern.inference.wafer import WaferModel
from wsekern.machine import load_machine
from wsekern.ops import CycleEngine, FlowEngine
from wsekern.ops.local.softmax import SoftmaxFactor
from wsekern.workload import load_config
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Attention, Block, FeedForward, Norm, Rotary
from wsekern.workload.weights.weights import Weights, random_weights

WSE3 = load_machine("wse3")
PROMPT = [3, 14, 15, 92, 65, 35, 89, 79, 32]
PLAIN = Attention(heads=4, kv_heads=2, head_dim=10, rotary=Rotary(size=10))
LAYER = Norm(kind="layer", eps=1e-5, bias=True)
CASES = {
    "grouped": {}, "sinks": dict(sinks=True), "window": dict(window=3), "chunks-with-sinks": dict(chunk=4, sinks=True),
    "alibi": dict(alibi=0.4, rotary=None), "softcap": dict(softcap=3.0, scale=0.4), "late": dict(norm=Norm(), norm_late=True),
    "layer-norm-of-all-heads": dict(norm=LAYER, norm_whole=True), "gate": dict(gate=True, value_dim=7, biases="qkvo"),
    "values-are-keys": dict(values_are_keys=True, value_norm=Norm(gain=False), norm=Norm()), "one-head": dict(kv_heads=1),
    "temperature": dict(temperature=(0.5, 4, 1), clip=0.6), "gains-of-each-head": dict(norm=Norm(), norm_apart=True),
    "no-rotation": dict(rotary=None),
}
VARIANTS = {
    "riding": Programs(softmax_sum="riding"), "bound": Programs(softmax="bound"),
    "bound-riding": Programs(softmax="bound", softmax_sum="riding"), "blocks": Programs(position_blocks=2),
    "blocks-riding": Programs(position_blocks=3, softmax_sum="riding"),
    "bound-blocks": Programs(softmax="bound", position_blocks=3),
    "all": Programs(softmax="bound", softmax_sum="riding", position_blocks=2, norms="folded", local="shared"),
}


def model(case: str, hidden: int = 32, head_dim: int = 10) -> tuple[ModelConfig, Weights]:
    part = replace(PLAIN, head_dim=head_dim, rotary=Rotary(size=head_dim))
    block = Block(mixer=replace(part, **CASES[case]), feed=FeedForward(width=29), before_mixer=Norm(), before_feed=Norm())
    config = ModelConfig(name="tiny", architecture="", hidden=hidden, vocab=93, max_context=64, blocks=(block,))
    return config, random_weights(config)


def wafer(case: str, grid=(8, 4), precision="fp32", **options) -> WaferModel:
    config, weights = model(case)
    engine = options.pop("engine", FlowEngine)
    return WaferModel(config, weights, WSE3, Mapping(config, *grid, precision, 28, 4, **options), engine=engine)


@pytest.mark.parametrize("case", CASES)
def test_every_program_computes_what_the_reference_computes(case):
    expected = ReferenceModel(*model(case))
    logits = [expected.forward(PROMPT)[-1], *(expected.forward([token])[-1] for token in (1, 5, 7))]
    for number, programs in enumerate(list(VARIANTS.values())[len(case) % 2::2]):
        found = wafer(case, ((8, 4), (13, 3), (3, 5), (9, 1))[(len(case) + number) % 4], programs=programs)
        for one, other in zip([found.prefill(PROMPT), *map(found.decode, (1, 5, 7))], logits, strict=True):
            np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.mark.parametrize(("variant", "precision", "form", "case"), [
    ("riding", "fp16", "vector", "softcap"), ("bound", "fp16", "vector", "chunks-with-sinks"),
    ("bound", "bf16", "vector", "gate"), ("bound-riding", "bf16", "vector-fp32", "softcap"),
    ("blocks", "fp16_fp32", "scalar", "window"),
    ("blocks-riding", "fp32", "vector", "sinks"), ("all", "fp16", "vector", "chunks-with-sinks"),
    ("all", "fp16_fp32", "scalar", "grouped")])
def test_every_program_has_the_same_bits_and_clocks_on_both_engines(variant, precision, form, case):
    flow, cycle = (wafer(case, (8, 4), precision, programs=VARIANTS[variant], activations=form, engine=engine)
                   for engine in (FlowEngine, CycleEngine))
    assert flow.prefill(PROMPT[:5]).tobytes() == cycle.prefill(PROMPT[:5]).tobytes()
    assert flow.decode(7).tobytes() == cycle.decode(7).tobytes()
    np.testing.assert_array_equal(flow.engine.clock, cycle.engine.clock)


@pytest.mark.parametrize("case", ["window", "one-head"])
def test_keys_of_fewer_bits_lie_in_blocks_and_go_round_too(case):
    """As fp8; what bounds scores stays in the precision."""
    config, weights = model(case, head_dim=16)
    mapping = Mapping(config, 9, 2, "fp16", 28, 4, programs=VARIANTS["all"], cache_precision="fp8")
    part = parts_on_grid(mapping, config.blocks[0])[0]
    assert part.goes_round or part.blocks == 2
    flow, cycle = (WaferModel(config, weights, WSE3, mapping, engine=engine) for engine in (FlowEngine, CycleEngine))
    found, expected = flow.prefill(PROMPT), ReferenceModel(config, weights).forward(PROMPT)[-1]
    assert found.tobytes() == cycle.prefill(PROMPT).tobytes()
    np.testing.assert_array_equal(flow.engine.clock, cycle.engine.clock)
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()
    kept = sum(tile[0, 0].nbytes for tile in empty_cache(mapping, config.blocks[0]).values())
    assert 0 <= part.slot_bytes * mapping.slots + part.state_bytes - kept < part.kv + part.v


@pytest.mark.parametrize("case", CASES)
def test_what_a_program_keeps_is_counted(case):
    """Cache and weights, for the fullest PE; slots of blocks may end a little before those that are counted."""
    for programs in (Programs(), *VARIANTS.values()):
        config, weights = model(case)
        mapping = Mapping(config, 9, 3, context=50, chunk=2, programs=programs)
        part, block = parts_on_grid(mapping, config.blocks[0])[0], config.blocks[0]
        kept = sum(np.prod(shape) for shape in part.cache().values())
        assert 0 <= mapping.slots * part.slot + part.state - kept < part.kv + part.v
        assert part.blocks > 1 or mapping.slots * part.slot + part.state == kept
        tiles, steps = layer_tiles(mapping, block, weights.block(0), 0), layer_steps(mapping, block, 2, 9)
        assert sum(tile[0, 0].nbytes for tile in tiles.values()) == mapping._sizes[0].weights
        assert set(tiles) <= {name for step in steps for name in step.inputs}


def test_blocks_are_no_more_than_columns_and_rounds_of_positions():
    config, _ = model("grouped")
    part = parts_on_grid(Mapping(config, 9, 3, context=50, programs=Programs(position_blocks=8)), config.blocks[0])[0]
    assert (part.blocks, part.block, part.segment) == (4, 1, 4)
    config, _ = model("window")
    assert parts_on_grid(Mapping(config, 9, 4, context=50, programs=VARIANTS["blocks"]), config.blocks[0])[0].blocks == 1


def test_the_programs_are_quicker_where_they_should_be():
    """A riding sum saves a reduction, a bound another; blocks save exponentials of a long context and cost projections."""
    config, cycles = load_config("llama3-8b"), {}
    cases = {"plain": Programs(), "whole": replace(VARIANTS["all"], position_blocks=1), **VARIANTS}
    for name, programs in cases.items():
        mapping = Mapping(config, 377, 130, context=32768, layers=1, with_head=False, programs=programs)
        cycles[name] = [time_layer(WSE3, mapping, 1, slots, "silicon", config.blocks[0]).cycles for slots in (9, 252)]
    short, long = ({name: times[place] for name, times in cycles.items()} for place in (0, 1))
    assert short["bound-riding"] < short["riding"] < short["plain"] - 300 and short["bound"] < short["plain"]
    assert long["all"] < 0.85 * long["whole"] and short["all"] > short["whole"]


@pytest.mark.parametrize(("form", "precision"), [("vector", "fp16"), ("scalar", "bf16")])
@pytest.mark.parametrize("programs", [Programs(), VARIANTS["bound-blocks"]], ids=["plain", "bound-blocks"])
def test_shared_exponentials_are_the_same_bits(programs, form, precision):
    """Each column of a head takes some of them, on lines that end with columns of no head too."""
    for case, grid in (("one-head", (7, 1)), ("sinks", (13, 1))):
        one, other = (wafer(case, grid, precision, programs=replace(programs, local=local), activations=form)
                      for local in ("redundant", "shared"))
        assert parts_on_grid(other.mapping, other.config.blocks[0])[0].is_shared(4, 14)
        assert one.prefill(PROMPT).tobytes() == other.prefill(PROMPT).tobytes()
        assert one.decode(7).tobytes() == other.decode(7).tobytes() and one.engine.cycles != other.engine.cycles


@pytest.mark.parametrize(("case", "precision"), [("window", "fp16"), ("chunks-with-sinks", "bf16")])
@pytest.mark.parametrize("programs", [Programs(), VARIANTS["all"]], ids=["plain", "all"])
def test_slots_that_go_round_give_the_values_of_the_whole_cache(case, precision, programs, monkeypatch):
    ring = wafer(case, (9, 1), precision, programs=programs)
    part = parts_on_grid(ring.mapping, ring.config.blocks[0])[0]
    assert part.goes_round and ring._caches[0]["cache.keys"].shape[3] == part.kept_slots < ring.mapping.slots
    found = [ring.prefill(PROMPT), *(ring.decode(token) for token in range(1, 15))]
    monkeypatch.setattr(HeadsOnGrid, "kept_slots", property(lambda self: self.own_slots(self.mapping.slots)))
    whole = wafer(case, (9, 1), precision, programs=programs)
    assert whole._caches[0]["cache.keys"].shape[3] == part.own_slots(ring.mapping.slots)
    for one, other in zip(found, [whole.prefill(PROMPT), *(whole.decode(token) for token in range(1, 15))], strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("programs", [Programs(), VARIANTS["all"]], ids=["plain", "all"])
def test_a_window_goes_back_as_far_as_it_is_whole_and_says_where_it_is_not(programs):
    """And a bound that stays higher than it need be changes no bit."""
    cut, fresh = (wafer("window", (9, 1), "fp16", programs=programs) for _ in range(2))
    cut.prefill([*PROMPT, 7, 8, 9])
    cut.rewind(9)
    fresh.prefill(PROMPT)
    for token in (4, 5, 6):
        assert cut.decode(token).tobytes() == fresh.decode(token).tobytes()
    assert not cut.can_rewind_to(3)
    with pytest.raises(InputError, match="tiny has layers that keep their window alone, and wrote over what token 3 "):
        cut.rewind(3)
    cut.rewind(0)
    assert cut.prefill(PROMPT).tobytes() == wafer("window", (9, 1), "fp16", programs=programs).prefill(PROMPT).tobytes()


def loose(size: float, monkeypatch) -> tuple[np.ndarray, np.ndarray, float]:
    """Logits of the wafer and of the reference for queries and keys ``size`` times as large, which makes no key the best in all
    features; and how far, at most, the bound lies above the largest score of a query, in natural logarithms."""
    config, weights = model("no-rotation")
    for name in ("q", "k"):
        weights.block(0)[name][...] *= size
    gaps, original = [], SoftmaxFactor.reference

    def watched(self, own, bound, *rest):
        gaps.append(float((bound - own).min(axis=0).max()) * np.log(2))
        return original(self, own, bound, *rest)

    monkeypatch.setattr(SoftmaxFactor, "reference", watched)
    wafer = WaferModel(config, weights, WSE3, Mapping(config, 8, 4, "fp32", 28, 4, programs=VARIANTS["bound-riding"]))
    return wafer.prefill(PROMPT), ReferenceModel(config, weights).forward(PROMPT)[-1], max(gaps)


def test_a_bound_that_is_loose_by_more_than_60_changes_nothing(monkeypatch):
    found, expected, gap = loose(5.0, monkeypatch)
    assert 90 < gap < 125
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_a_bound_that_is_looser_than_fp32_reaches_is_refused(monkeypatch):
    """Rows far below the bound would count more than they should."""
    with pytest.raises(InputError, match="bound of a softmax lies further above its scores than fp32"):
        loose(12.0, monkeypatch)
