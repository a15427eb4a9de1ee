"""The bound of a wafer's speed: its figures, what it grows and shrinks with, and that no placement passes it."""

from dataclasses import replace

import pytest

from wsekern.inference.mapping import Mapping
from wsekern.machine import load_machine
from wsekern.planning.bound import bound, stored_bytes
from wsekern.workload import load_config
from wsekern.workload.config import uniform

WSE3 = load_machine("wse3")


@pytest.mark.parametrize(("model", "weights", "speed", "cycles", "side"), [
    ("llama3-8b", "", 6_900, 3_330, 222), ("llama3-70b", "", 1_770, 5_250, 350), ("gpt-oss-120b", "", 4_900, 4_170, 396),
    ("gpt-oss-120b", "mxfp4", 7_200, 2_820, 205)])
def test_the_bound_of_known_models_without_a_context(model, weights, speed, cycles, side):
    found = bound(load_config(model), WSE3, 1, weight_precision=weights)
    near = 0.04 if found.parts[0].filled else 0.01      # the figures reserved 8 KB for programs, which are counted now
    assert found.tokens_per_second == pytest.approx(speed, rel=near)
    assert found.parts[0].cycles == pytest.approx(cycles, rel=near) and found.parts[0].side == pytest.approx(side, rel=near)


def test_the_best_square_is_the_best_one():
    part = bound(load_config("llama3-8b"), WSE3, 1).parts[0]
    assert not part.filled and part.sides == 5

    def cycles(side: float) -> float:
        return part.products / (4 * side**2) + 5 * 2 * side

    assert part.cycles == pytest.approx(cycles(part.side))
    assert all(cycles(part.side * factor) > part.cycles for factor in (0.9, 0.99, 1.01, 1.1))


def test_mixtures_count_the_chosen_experts_and_the_memory_of_all():
    mixture, dense = (bound(load_config(name), WSE3, 1).parts[0] for name in ("gpt-oss-120b", "llama3-8b"))
    assert mixture.filled and not dense.filled
    assert mixture.products < dense.products and mixture.pes > dense.pes
    config = load_config("gpt-oss-120b")
    assert mixture.products == pytest.approx(config.kinds[0][0].active_parameters(config.hidden), rel=0.01)


def test_windows_read_and_keep_only_what_they_reach():
    config = uniform(layers=2, hidden=1024, heads=16, kv_heads=4, head_dim=64, ffn=4096, vocab=1000, max_context=1 << 17,
                     windows=(0, 128))
    short, long = (bound(config, WSE3, context).parts for context in (100, 100_000))
    assert long[0].products > 2 * short[0].products
    assert long[1].products == pytest.approx(short[1].products, rel=0.05)


@pytest.mark.parametrize("model", ["llama3-8b", "gpt-oss-120b", "deepseek-v3", "qwen3-next-80b-a3b"])
def test_longer_contexts_are_never_quicker_and_fewer_bits_never_slower(model):
    config = load_config(model)
    speeds = [bound(config, WSE3, context).tokens_per_second for context in (1, 1000, 30_000)]
    assert speeds == sorted(speeds, reverse=True) and speeds[0] > speeds[-1]
    bits = [bound(config, WSE3, 1000, weight_precision=form).tokens_per_second for form in ("", "fp8", "mxfp4")]
    assert bits == sorted(bits)


def test_formats_of_classes_count_for_their_matrices():
    config = load_config("gpt-oss-120b")
    of_all, of_experts, of_none = (bound(config, WSE3, 1, weight_precision=text).parts[0].pes
                                   for text in ("mxfp4", "experts=mxfp4", "experts=fp16"))
    assert of_all < of_experts < of_none == bound(config, WSE3, 1).parts[0].pes


def test_formats_count_their_scales():
    assert [stored_bytes(name) for name in ("fp16", "fp32", "fp8", "int8")] == [2, 4, 1, 1]
    assert 8 * stored_bytes("mxfp4") == 4.25 and 8 * stored_bytes("int4") == 4.5


@pytest.mark.parametrize("side", [60, 120, 222, 400])
def test_no_region_of_any_size_passes_the_bound(side):
    from wsekern.inference.step_times import time_layers

    config = replace(load_config("llama3-8b"), name="one", blocks=load_config("llama3-8b").blocks[:1])
    mapping = Mapping(config, side, side, context=1, layers=1, with_head=False)
    assert time_layers(WSE3, mapping, 1, 1, "silicon").cycles > bound(config, WSE3, 1).parts[0].cycles
