"""Steps of a deployment as tables: what steps they tell, and how far."""

import numpy as np
import pytest

from wsekern.cluster import deploy
from wsekern.cluster.layout import memory_of
from wsekern.cluster.load import cache_tokens, engines_of, rank_tokens, step_costs, turn_costs
from wsekern.cluster.step import decode_step, prefill_step
from wsekern.workload import load_config

LLAMA, R1 = load_config("llama3-8b"), load_config("deepseek-r1")


def test_tables_tell_the_steps_of_the_request():
    deployment = deploy(LLAMA, "h100x8", context=1280, tp=4)
    costs = step_costs(deployment, 1024, 256)
    for sequences in costs.decode_grid[::3]:
        step = decode_step(deployment, sequences, 1152).seconds
        assert costs.decode_seconds(sequences, 1152) == pytest.approx(step, rel=0.001)
    for tokens in (128, 1024, 8192):
        assert costs.prompt_seconds(tokens, tokens / 2) == pytest.approx(prefill_step(deployment, 1, tokens).seconds)
    later = prefill_step(deployment, 1, 1024, 1024).seconds
    assert costs.prompt_seconds(1024, 1024 + 512) == pytest.approx(later, rel=0.02)  # launches hide behind more
    assert costs.request_seconds == float(deployment.engine.per_request)


@pytest.mark.parametrize("context", [16, 1000, 32768, 131072])
def test_tables_hold_for_other_contexts(context):
    """Of a trace whose mean request has 2,000 tokens."""
    deployment = deploy(LLAMA, "h100x1", context=2000, tp=1)
    costs = step_costs(deployment, 1900, 100)
    assert costs.decode_seconds(8, context) == pytest.approx(decode_step(deployment, 8, context).seconds, rel=0.06)


def test_prompts_beside_decoding_sequences_share_the_weights():
    deployment = deploy(LLAMA, "h100x1", context=1280, tp=1)
    costs = step_costs(deployment, 1024, 256)
    beside, alone = costs.prompt_seconds(1024, 512, 32), costs.prompt_seconds(1024, 512)
    weights = prefill_step(deployment, 1, 16).weights
    assert 0.0 < beside < alone - 0.8 * weights
    assert costs.prompt_seconds(16, 8, 32) < 0.1 * costs.prompt_seconds(16, 8)


def test_copies_of_a_dense_model_are_engines_and_ranks_that_share_experts_are_one():
    dense = deploy(LLAMA, "h100x8", context=1280, tp=1, dp=8)
    shared = deploy(R1, "h200x16", context=1280, tp=2, dp=8, ep=16, precision="fp8")
    assert (engines_of(dense), engines_of(shared)) == (8, 1)
    one, all_ranks = step_costs(dense, 1024, 256), step_costs(shared, 1024, 256)
    assert (one.step_tokens, all_ranks.step_tokens) == (8192, 8 * 8192)
    assert all_ranks.decode_seconds(64, 1152) == pytest.approx(decode_step(shared, 64, 1152).seconds, rel=0.02)
    # a prompt lies on one rank, and takes its time there
    assert all_ranks.prompt_seconds(1024, 512) == pytest.approx(prefill_step(shared, 1, 1024).seconds, rel=0.02)
    assert all_ranks.prompt_seconds(2 * 1024, 512) < 1.5 * all_ranks.prompt_seconds(1024, 512)


def test_the_busiest_rank_has_between_its_share_and_all():
    shared = deploy(R1, "h200x16", context=1280, tp=2, dp=8, ep=16, precision="fp8")
    tokens = [rank_tokens(shared, 1024.0 * prompts, 1024) for prompts in (1, 2, 8, 32, 64)]
    assert tokens == sorted(tokens) and tokens[0] == 1024
    assert all(share <= found for share, found in zip((128, 256, 1024, 4096, 8192), tokens, strict=True))
    assert tokens[2] > 2 * 1024 and tokens[-1] == 8192


def test_stages_of_a_pipeline_take_prompts_one_after_the_other():
    lone = deploy(LLAMA, "h100x4", context=1280, tp=1, pp=4)
    costs, whole = step_costs(lone, 1024, 256), prefill_step(lone, 1, 1024).seconds
    assert costs.prompt_seconds(1024, 512) == pytest.approx(whole / 4, rel=0.02)
    assert costs.outside_seconds(1024) + costs.prompt_seconds(1024, 512) == pytest.approx(
        whole + float(lone.engine.per_request), rel=0.02)


def test_the_cache_holds_what_the_memory_does():
    for deployment in (deploy(LLAMA, "h100x8", context=1280, tp=4), deploy(R1, "h200x8", context=1280, tp=8, precision="fp8")):
        fits = memory_of(deployment, 1280, 1).sequences
        assert fits <= cache_tokens(deployment, 1280) / 1280 < fits + 1
    assert cache_tokens(deploy(load_config("llama3-70b"), "h100x1", context=64, tp=1), 64) == 0


@pytest.mark.parametrize(("prompt", "output"), [(16, 64), (1024, 256), (30000, 500)])
def test_fewer_points_tell_nearly_the_same(prompt, output):
    deployment = deploy(LLAMA, "h100x1", context=prompt + output, tp=1)
    full, few = step_costs(deployment, prompt, output), turn_costs(deployment, prompt, output, 64)
    context = prompt + output / 2
    for sequences in (1, 5, 17, 64):
        assert few.decode_seconds(sequences, context) == pytest.approx(full.decode_seconds(sequences, context), rel=0.03)
    part = min(prompt, 8192)
    for beside in (0, 32):
        steps = [costs.decode_seconds(max(1, beside), context) + costs.prompt_seconds(part, prompt / 2, beside)
                 for costs in (few, full)]
        assert steps[0] == pytest.approx(steps[1], rel=0.03)


def test_prompts_that_are_never_cut_have_their_own_point():
    deployment = deploy(LLAMA, "h100x1", context=60000, tp=1, engine_level="stock-unchunked")
    costs = step_costs(deployment, 50000, 500)
    assert not costs.chunked and costs.prompt_grid[-1] >= 50000
    assert costs.prompt_seconds(50500, 25250) == pytest.approx(prefill_step(deployment, 1, 50500).seconds)
    assert np.all(np.diff(costs.together) > 0)
