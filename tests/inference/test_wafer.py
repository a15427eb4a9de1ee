"""The transformer on the wafer against the plain numpy reference."""

import dataclasses

import numpy as np
import pytest

from wsekern.errors import BudgetError, InputError
from wsekern.inference.layer import layer_steps, parts_on_grid
from wsekern.inference.mapping import Mapping
from wsekern.inference.outer import embedding_steps, head_steps
from wsekern.inference.reference import Activations, ReferenceModel
from wsekern.inference.wafer import WaferModel
from wsekern.machine import load_machine
from wsekern.ops import CycleEngine, FlowEngine

WSE3 = load_machine("wse3")
PROMPT = [3, 14, 15, 92, 65, 35, 89, 79, 32]
FAMILIES = {
    "grouped": {},
    "bias-norm-tied": dict(bias=True, qk_norm=True, tied=True),
    "many-heads-odd-sizes": dict(heads=8, kv_heads=8, head_dim=6, hidden=40, ffn=50, vocab=97, layers=1),
    "uneven": dict(heads=6, kv_heads=3, head_dim=10, hidden=33, ffn=29, vocab=93, bias=True),
    "every-bias": dict(every_bias=True, hidden=35, ffn=41),
    "windows": dict(windows=(0, 5)),
    "one-kv-head": dict(kv_heads=1, head_dim=16, qk_norm=True, layers=1),
}


def wafer_model(config, weights, grid=(4, 4), precision="fp32", context=24, chunk=4, **options) -> WaferModel:
    return WaferModel(config, weights, WSE3, Mapping(config, *grid, precision, context, chunk), **options)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("grid", [(3, 3), (5, 5), (8, 8), (16, 16), (4, 9), (11, 3)])
def test_logits_of_prefill_and_decode_match_the_reference(make_model, family, grid):
    config, weights = make_model(**FAMILIES[family])
    reference, wafer = ReferenceModel(config, weights), wafer_model(config, weights, grid)
    np.testing.assert_allclose(wafer.prefill(PROMPT), reference.forward(PROMPT)[-1], atol=1e-4)
    for token in (1, 5, 7):
        np.testing.assert_allclose(wafer.decode(token), reference.forward([token])[-1], atol=1e-4)


def test_chunk_length_does_not_matter(make_model):
    config, weights = make_model()
    whole = wafer_model(config, weights, chunk=9).prefill(PROMPT)
    read = []
    wafer_model(config, weights, chunk=4).prefill(PROMPT, read.append)
    assert read == [4, 4, 1]
    np.testing.assert_allclose(wafer_model(config, weights, chunk=1).prefill(PROMPT), whole, atol=1e-5)


@pytest.mark.parametrize(("precision", "bound"), [("fp32", 1e-5), ("fp16", 0.02), ("fp16_fp32", 0.02), ("bf16", 0.1)])
def test_the_logits_behind_every_token_of_a_chunk_are_those_of_tokens_one_by_one(make_model, precision, bound):
    config, weights = make_model()
    together, alone = (wafer_model(config, weights, precision=precision) for _ in range(2))
    found, each = list(together.read(PROMPT)), [alone.decode(token) for token in PROMPT]
    assert [len(chunk) for chunk in found] == [4, 4, 1] and together.length == len(PROMPT)
    np.testing.assert_allclose(np.concatenate(found), each, atol=bound)
    together.rewind(5)
    again = np.concatenate(list(together.read(PROMPT[5:])))
    np.testing.assert_allclose(again, each[5:], atol=bound)
    assert again.shape == (4, config.vocab)


def test_heads_are_computed_together_as_far_as_their_logits_find_room(make_model):
    config, weights = make_model(vocab=97)
    wafer, split = (wafer_model(config, weights, precision="fp16", chunk=9) for _ in range(2))
    assert wafer._heads_together > 9
    split._heads_together = 2
    np.testing.assert_array_equal(*(np.concatenate(list(model.read(PROMPT))) for model in (wafer, split)))


def test_a_sequence_that_was_cut_goes_on_as_if_the_rest_had_not_been(make_model):
    config, weights = make_model(windows=(0, 5))
    fresh, cut = (wafer_model(config, weights, precision="fp16") for _ in range(2))
    fresh.prefill(PROMPT[:4])
    cut.prefill(PROMPT[:4])
    cut.prefill([7, 7, 7, 7, 7])
    before = cut.engine.cycles
    cut.rewind(4)
    assert cut.length == 4 and cut.engine.cycles == before
    np.testing.assert_array_equal(cut.prefill(PROMPT[4:]), fresh.prefill(PROMPT[4:]))
    with pytest.raises(InputError, match=r"has 9 tokens: it cannot be cut to 10"):
        cut.rewind(10)


@pytest.mark.parametrize(("precision", "bound"), [("fp16", 0.1), ("fp16_fp32", 0.1), ("bf16", 0.5)])
def test_small_floats_stay_close(make_model, precision, bound):
    config, weights = make_model()
    expected = ReferenceModel(config, weights).forward(PROMPT)[-1]
    logits = wafer_model(config, weights, precision=precision).prefill(PROMPT)
    assert 0 < np.abs(logits - expected).max() < bound * np.abs(expected).max()


@pytest.mark.parametrize("precision", ["fp32", "fp16", "fp16_fp32", "bf16"])
@pytest.mark.parametrize("grid", [(4, 4), (4, 9), (5, 3), (1, 4)])
@pytest.mark.parametrize("family", ["bias-norm-tied", "many-heads-odd-sizes", "every-bias"])
def test_a_whole_model_is_the_same_on_the_cycle_engine(make_model, family, grid, precision):
    """Norms, rotations, softmax and SiLU instruction by instruction, reductions word by word, each where the last one ended."""
    config, weights = make_model(**FAMILIES[family])
    flow, cycle = (wafer_model(config, weights, grid, precision, engine=engine) for engine in (FlowEngine, CycleEngine))
    for model in (flow, cycle):
        model.logits = [model.prefill(PROMPT[:5]), model.decode(5)]
    for expected, found in zip(flow.logits, cycle.logits, strict=True):
        assert found.tobytes() == expected.tobytes()
    if grid in ((4, 4), (4, 9)):
        np.testing.assert_array_equal(cycle.engine.clock, flow.engine.clock)
    assert abs(cycle.engine.cycles - flow.engine.cycles) <= 0.0025 * flow.engine.cycles     # words of reductions meet


@pytest.mark.parametrize("family", ["many-heads-odd-sizes", "every-bias"])
def test_no_form_of_activations_adds_to_what_the_engines_differ_by(make_model, family):
    """Where words of reductions meet the clocks of the engines part, by as many cycles whatever the PEs do between."""
    config, weights = make_model(**FAMILIES[family])
    gaps = {}
    for form in ("scalar", "vector", "vector-fp32"):
        mapping = Mapping(config, 5, 3, "fp16_fp32", 24, 4, activations=form)
        flow, cycle = (WaferModel(config, weights, WSE3, mapping, engine=engine) for engine in (FlowEngine, CycleEngine))
        for model in (flow, cycle):
            model.prefill(PROMPT[:5])
        gaps[form] = cycle.engine.cycles - flow.engine.cycles
        if form == "scalar":
            assert 0 < gaps[form] <= 0.002 * flow.engine.cycles
    assert gaps["vector"] == gaps["vector-fp32"] == gaps["scalar"]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "fp16_fp32", "bf16"])
@pytest.mark.parametrize("form", ["scalar", "vector-fp32"])
def test_other_forms_of_activations_are_the_same_on_the_cycle_engine(make_model, form, precision):
    config, weights = make_model(**FAMILIES["bias-norm-tied"])
    mapping = Mapping(config, 4, 4, precision, 24, 4, activations=form)
    flow, cycle = (WaferModel(config, weights, WSE3, mapping, engine=engine) for engine in (FlowEngine, CycleEngine))
    for model in (flow, cycle):
        model.logits = [model.prefill(PROMPT[:5]), model.decode(5)]
    assert flow.logits[0].tobytes() == cycle.logits[0].tobytes() and flow.logits[1].tobytes() == cycle.logits[1].tobytes()
    np.testing.assert_array_equal(cycle.engine.clock, flow.engine.clock)


@pytest.mark.parametrize(("precision", "bound"), [("fp16", 2e-3), ("bf16", 2e-2)])
@pytest.mark.parametrize("form", ["vector", "vector-fp32"])
def test_the_reference_computes_the_functions_of_a_form(form, precision, bound):
    x = np.linspace(-20, 0, 401, dtype=np.float32)
    of_form, exact = Activations.of(form, precision), Activations.of("scalar", precision)
    for name in ("exp", "silu"):
        found, expected = getattr(of_form, name)(x), getattr(exact, name)(x)
        assert 0 < np.abs(found - expected).max() < bound * np.abs(expected).max()


def test_vector_forms_take_room_and_less_time(make_model):
    config, weights = make_model()
    cycles, buffers = {}, {}
    for form in ("scalar", "vector-fp32", "vector"):
        mapping = Mapping(config, 2, 2, "fp16", 64, 4, activations=form)
        model = WaferModel(config, weights, WSE3, mapping)
        model.prefill(PROMPT)
        cycles[form], buffers[form] = model.engine.cycles, mapping.memory["buffers"]
    assert cycles["scalar"] > cycles["vector-fp32"] > cycles["vector"]
    assert buffers["scalar"] < buffers["vector"] < buffers["vector-fp32"]
    with pytest.raises(InputError, match="no form 'quick' of local work: use one of scalar, vector, vector-fp32"):
        Mapping(config, 2, 2, activations="quick")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_threads_change_nothing(make_model, precision):
    config, weights = make_model()
    one = wafer_model(config, weights, precision=precision, threads=1)
    two = wafer_model(config, weights, precision=precision, threads=2)
    np.testing.assert_array_equal(one.prefill(PROMPT), two.prefill(PROMPT))
    np.testing.assert_array_equal(one.engine.clock, two.engine.clock)


@pytest.mark.parametrize("family", [{}, dict(every_bias=True)])
def test_time_without_values_is_the_time_with_values(make_model, family):
    config, weights = make_model(layers=1, **family)
    wafer = wafer_model(config, weights, chunk=1)
    wafer.prefill([3])
    mapping = wafer.mapping
    engine = FlowEngine(WSE3, mapping.width, mapping.height, profile="silicon", precision="fp32")
    for step in [*embedding_steps(mapping, [3]), *layer_steps(mapping, config.blocks[0], 1, 1), *head_steps(mapping)]:
        step.time(engine)
    np.testing.assert_array_equal(engine.clock, wafer.engine.clock)
    assert sum(wafer.cycles_by_part.values()) == engine.cycles == sum(engine.breakdown.values())


def test_biases_take_memory(make_model):
    config, _ = make_model(every_bias=True, hidden=36, ffn=48)
    plain = [dataclasses.replace(block, mixer=dataclasses.replace(block.mixer, biases=""),
                                 feed=dataclasses.replace(block.feed, bias=False)) for block in config.blocks]
    without = dataclasses.replace(config, blocks=tuple(plain))
    have, less = (Mapping(one, 4, 4, "fp32").memory["weights"] for one in (config, without))
    attention, _ = parts_on_grid(Mapping(config, 4, 4), config.blocks[0])
    biases = 9 + 2 * 12 + 9 + attention.q + 2 * attention.kv  # o, gate and up, down, q k v
    assert have - less == 4 * config.layers * biases


def test_reset_starts_again(make_model):
    config, weights = make_model()
    wafer = wafer_model(config, weights)
    first, cycles = wafer.prefill(PROMPT), wafer.engine.cycles
    wafer.reset()
    np.testing.assert_array_equal(wafer.prefill(PROMPT), first)
    assert wafer.engine.cycles == cycles


def test_prompt_longer_than_the_cache_is_refused(make_model):
    config, weights = make_model()
    with pytest.raises(InputError, match="25 tokens do not fit"):
        wafer_model(config, weights).prefill([1] * 25)


def test_grid_too_small_for_the_weights_is_refused(make_model):
    config, weights = make_model(hidden=256, ffn=512, vocab=96, heads=8, kv_heads=8, head_dim=32)
    with pytest.raises(BudgetError, match="smallest square grid"):
        wafer_model(config, weights, grid=(2, 2))


def test_weights_beyond_fp16_are_refused(make_model):
    config, weights = make_model()
    weights.block(0)["gate"][0, 0] = 1e6
    with pytest.raises(InputError, match="fp16"):
        wafer_model(config, weights, precision="fp16")
