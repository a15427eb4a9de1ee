"""``predict wafer``: a layer from what its operations take."""

import re

import pytest

from wsekern.errors import BudgetError, InputError
from wsekern.inference.predict import KTree, TileSizes, decode_steps, predict_layer, prefill_steps
from wsekern.ops import FlowEngine, MeshGemm, MeshGemmTransposed


def test_a_decode_layer_has_ten_all_reduces_with_alternating_axes():
    steps = [step for part in decode_steps(TileSizes(10, 35, 10)).values() for step in part if isinstance(step, KTree)]
    assert [step.axis for step in steps] == ["y", "y", "x", "y", "y", "y", "x", "y", "y", "x"]
    assert [step.elements for step in steps] == [1, 30, 10, 1, 1, 10, 10, 1, 70, 10]


def test_a_prefill_layer_has_eight_products_and_a_transposed_one():
    steps = [step for part in prefill_steps(TileSizes(9, 30, 9), 4).values() for step in part]
    assert sum(isinstance(step, MeshGemm) for step in steps) == 8
    assert sum(isinstance(step, MeshGemmTransposed) for step in steps) == 1


@pytest.mark.parametrize("phase", ["decode", "prefill"])
@pytest.mark.parametrize("mapping", ["waferllm", "ours"])
def test_causes_and_layers_add_up(phase, mapping):
    found = predict_layer("llama3-8b", phase, "wse3", 420, 4096, mapping=mapping, clock=1e9)
    assert sum(found["breakdown"].values()) == pytest.approx(found["cycles_per_layer"])
    assert found["cycles"] == 32 * found["cycles_per_layer"]
    assert found["seconds"] == pytest.approx(found["cycles"] / 1e9)
    assert found["tokens_per_second"] == pytest.approx((1 if phase == "decode" else 4096) / found["seconds"])
    assert found["head_cycles"] > 0
    assert sum(found["parts"].values()) == pytest.approx(found["cycles_per_layer"])


def test_larger_grids_decode_slower_and_prefill_faster_as_published():
    """OSDI'25, tables 3 and 4: LLaMA3-8B with 4K of context on WSE-2."""
    decode = [predict_layer("llama3-8b", "decode", "wse2", grid, 4096)["cycles_per_layer"] for grid in (420, 540, 660)]
    prefill = [predict_layer("llama3-8b", "prefill", "wse2", grid, 4096)["cycles_per_layer"] for grid in (480, 600, 720)]
    assert decode == sorted(decode) and prefill == sorted(prefill, reverse=True)


def test_more_sequences_take_longer_together_but_less_than_apart():
    one, four = (predict_layer("llama3-8b", "decode", "wse2", 420, 4096, batch=batch)["cycles"] for batch in (1, 4))
    assert one < four < 4 * one


def test_the_clock_scales_seconds_only():
    slow, fast = (predict_layer("llama2-13b", "decode", "wse2", 540, 2048, clock=clock) for clock in (0.85e9, 1.1e9))
    assert slow["cycles"] == fast["cycles"] and slow["seconds"] / fast["seconds"] == pytest.approx(1.1 / 0.85)


@pytest.mark.parametrize(("change", "words"), [
    ({"phase": "train"}, "train"), ({"mapping": "theirs"}, "waferllm"), ({"context": 0}, "context"), ({"batch": 0}, "batch"),
    ({"clock": -1.0}, "clock"), ({"grid": 0}, "0x0"), ({"grid": 900}, "900x900"), ({"profile": "gold"}, "gold"),
    ({"model": "no-such-model"}, "no-such-model"), ({"machine": "wse9"}, "wse9"), ({"precision": "fp8"}, "fp8"),
])
def test_bad_input_is_refused_in_one_sentence(change, words):
    sizes = {"model": "llama3-8b", "phase": "decode", "machine": "wse2", "grid": 420, "context": 4096} | change
    with pytest.raises(InputError) as caught:
        predict_layer(**sizes)
    assert words in str(caught.value)


def test_steps_of_the_released_kernels_have_no_values():
    engine = FlowEngine("wse2", 4, 4, precision="fp16")
    for step in (KTree(2, "y"), decode_steps(TileSizes(2, 2, 2))["silu"][0]):
        engine.time(step)
        with pytest.raises(InputError, match="no values"):
            engine.run(step)


def test_activations_are_a_choice_of_the_executed_mapping():
    layers = [predict_layer("llama3-8b", "decode", "wse3", 400, 4096, mapping="ours", activations=form)["cycles_per_layer"]
              for form in ("scalar", "vector-fp32", "vector", None)]
    assert layers[0] > layers[1] > layers[2] == layers[3]
    with pytest.raises(InputError, match="the published kernels have their own"):
        predict_layer("llama3-8b", "decode", "wse3", 400, 4096, activations="vector")


@pytest.mark.parametrize("mapping", ["waferllm", "ours"])
@pytest.mark.parametrize(("change", "words"), [
    ({"grid": 50}, ["50x50", "smallest square grid that fits is "]),
    ({"context": 10**9}, ["kv_cache", "no square grid of wse3 holds one"]),
    ({"batch": 10**9, "context": 10}, ["no square grid of wse3 holds one", "smaller batch"]),
    ({"batch": 30000, "context": 10}, ["no square grid of wse3 holds one"]),
    ({"phase": "prefill", "context": 10**9}, ["no square grid of wse3 holds one"]),
])
def test_a_layer_that_does_not_fit_is_refused_and_the_smallest_grid_that_fits_named(mapping, change, words):
    sizes = {"model": "llama3-8b", "phase": "decode", "machine": "wse3", "grid": 420, "context": 4096} | change
    with pytest.raises(BudgetError) as caught:
        predict_layer(mapping=mapping, **sizes)
    assert all(word in str(caught.value) for word in [*words, "a PE would need", "of 49,152 B"])
    smallest = re.search(r"fits is (\d+)x", str(caught.value))
    if smallest:
        side = int(smallest[1])
        assert predict_layer(mapping=mapping, **sizes | {"grid": side})["layers_per_grid"] >= 1
        with pytest.raises(BudgetError):
            predict_layer(mapping=mapping, **sizes | {"grid": side - 1})


def test_the_bytes_of_the_published_mapping_are_those_of_its_tiles():
    """Llama-3 8B on 420 x 420 PEs: tiles of 10 x 10 and 10 x 35, ten positions, one sequence, two bytes each."""
    found = predict_layer("llama3-8b", "decode", "wse2", 420, 4096)
    assert found["memory_bytes"] == {"weights": 2 * (4 * 100 + 3 * 350), "kv_cache": 2 * 2 * 100, "code": 8192,
                                     "buffers": 2 * (5 * 10 + 2 * 35 + 10)}
    assert (found["layers_per_grid"], found["grids"], found["wafers"]) == (12, 3, 2)
