"""Serving software: each cost is zero where it does not apply, and together they are the engine's part of a step."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.cluster import deploy, engine_cost
from wsekern.cluster.engine import engine_levels
from wsekern.cluster.step import forward
from wsekern.cluster.work import Work
from wsekern.workload import load_config

MODELS = ("llama3-8b", "mixtral-8x7b", "gpt-oss-20b", "qwen3-next-80b-a3b")


def work_of(prefill, sampled=False):
    return Work(64.0 if prefill else 8.0, 8.0, 512.0, prefill, sampled)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(MODELS), st.sampled_from(list(engine_levels())), st.sampled_from(["bf16", "fp8", "mxfp4"]),
       st.sampled_from([1, 4]), st.booleans(), st.booleans())
def test_the_costs_are_the_engines_part_of_a_step(model, level, precision, copies, prefill, sampled):
    model = load_config(model)
    degrees = {"tp": 1, "dp": copies, "ep": copies if model.mixture else 1}
    deployment = deploy(model, "h200x4", context=512, precision=precision, engine_level=level, **degrees)
    work = work_of(prefill, sampled)
    step = forward(deployment, work)
    rest = (engine_cost.layers(deployment), engine_cost.exchanges(deployment, work), engine_cost.sampling(deployment, work),
            engine_cost.launches(deployment, step, work), engine_cost.routed_prompts(deployment, work),
            engine_cost.launched_prompts(deployment, work))
    host = step.engine - sum(rest)
    assert all(cost >= 0.0 for cost in rest)
    engine = deployment.engine
    assert host <= float(engine.per_step) + 8 * copies * float(engine.per_sequence) + 1e-9
    assert engine.overlapped or host == pytest.approx(float(engine.per_step) + 8 * copies * float(engine.per_sequence))


def test_each_cost_has_its_own_reason():
    dense, routed = load_config("llama3-8b"), load_config("qwen3-30b-a3b")
    split = {"tp": 1, "dp": 4, "ep": 4}
    wide = deploy(routed, "h200x4", context=512, precision="bf16", **split)
    narrow = deploy(routed, "h200x4", context=512, precision="fp8", **split)
    alone = deploy(dense, "h200x1", context=512)
    decode, prompt = work_of(False), work_of(True)
    assert engine_cost.exchanges(wide, decode) > 0.0 == engine_cost.exchanges(narrow, decode)
    assert engine_cost.padded_groups(narrow) > 0.0 == engine_cost.padded_groups(wide)
    assert engine_cost.exchanges(alone, decode) == engine_cost.padded_groups(alone) == 0.0
    assert engine_cost.coarse_tiles(wide, Work(16.0, 16.0, 512.0, False)) > 0.0 == engine_cost.coarse_tiles(narrow, decode)
    assert engine_cost.coarse_tiles(wide, decode) == 0.0, "32 tokens do not outnumber the 32 experts of a GPU"
    assert engine_cost.layers(wide) > float(wide.engine.per_layer) * routed.layers
    assert engine_cost.layers(alone) == float(alone.engine.per_layer) * dense.layers
    sglang = deploy(routed, "h200x4", context=512, engine_level="sglang", **split)
    assert engine_cost.routed_prompts(sglang, prompt) > 0.0 == engine_cost.routed_prompts(sglang, decode)
    eager = deploy(dense, "h200x1", context=512, engine_level="eager")
    assert engine_cost.launches(eager, forward(eager, decode), decode) > 0.0
    assert engine_cost.launches(alone, forward(alone, decode), decode) == 0.0


def test_sorting_logits_costs_more_on_a_slower_memory():
    model = load_config("qwen3-4b")
    assert model.sorted_sampling
    h100, l4 = (deploy(model, f"{gpu}x1", context=512) for gpu in ("h100", "l4"))
    few, many = Work(1.0, 1.0, 512.0, False, True), Work(64.0, 64.0, 512.0, False, True)
    assert engine_cost.sampling(l4, few) > engine_cost.sampling(h100, few) > 0.0
    assert engine_cost.sampling(h100, few) < engine_cost.sampling(h100, many) < 64 * engine_cost.sampling(h100, few)
    assert engine_cost.sampling(h100, work_of(False)) == 0.0
