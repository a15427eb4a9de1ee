"""Compiled systolic arrays and scheduled pipelines: padding, buckets, devices, lanes, tiers, and the laws of every machine."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wsekern.cluster import Cluster, bundled_gpus, load_cluster, load_gpu, predict
from wsekern.cluster.deploy import deploy
from wsekern.cluster.engine import load_engine
from wsekern.cluster.families import family_of
from wsekern.cluster.families.family import ExpertShape, filled
from wsekern.cluster.families.pipeline import streaming_rate
from wsekern.cluster.families.systolic import bucket
from wsekern.cluster.interconnect import topology_of, wired_seconds
from wsekern.cluster.layout import Deployment, Laid, Layout, cache_bytes, memory_of, weight_bytes
from wsekern.cluster.load import turn_costs
from wsekern.cluster.precision import PRECISIONS
from wsekern.cluster.step import decode_step, prefill_step
from wsekern.cluster.work import AttentionShape, Work
from wsekern.errors import BudgetError
from wsekern.workload import load_config

LLAMA, GEMMA, GPT_OSS, QWEN = (load_config(name) for name in ("llama3-8b", "gemma2-9b", "gpt-oss-120b", "qwen3-30b-a3b"))
COMPILED = [name for name in bundled_gpus() if load_gpu(name).mechanism != "gpu"]
SYSTOLIC = [name for name in COMPILED if load_gpu(name).mechanism == "systolic"]
BF16, FP8 = (2.0, "bf16", 2.0), (1.0, "fp8", 1.0)


def deployed(name, model=LLAMA, tp=1, count=None, level="stock", precision="bf16", **degrees):
    """``model`` on ``count`` chips of a machine."""
    layout = Layout(tp=tp, **degrees)
    return Deployment(model, Cluster(load_gpu(name), count or layout.gpus), layout, PRECISIONS[precision], load_engine(level))


def scaled(quantity, factor):
    return msgspec.structs.replace(quantity, value=quantity.value * factor)


def products(kernel):
    """Seconds of a kernel that streams nothing to speak of."""
    return kernel[1] + kernel[2]


@pytest.mark.parametrize("model, level", [(LLAMA, "stock"), (QWEN, "jax-padded")])
def test_a_step_takes_the_time_of_its_bucket(model, level):
    deployment = deployed("tpu7x", model, level=level)
    least = int(deployment.gpu.array.bucket)
    steps = {batch: decode_step(deployment, batch, 1) for batch in range(1, 4 * least + 2)}
    seconds = {batch: step.weights + step.compute + step.all_reduce for batch, step in steps.items()}  # all but attention
    steps = [batch for batch in range(2, 4 * least + 2) if seconds[batch] != pytest.approx(seconds[batch - 1], rel=1e-6)]
    assert steps == [least + 1, 2 * least + 1, 4 * least + 1]
    if model is QWEN:  # later engines let the tokens that fill up a bucket load no experts
        early, late = (decode_step(deployed("tpu7x", QWEN, level=of), 1, 1).weights for of in (level, "jax-vllm"))
        assert late < early and decode_step(deployed("tpu7x", QWEN), least, 1).weights == pytest.approx(early)
    assert [bucket(tokens, least) for tokens in (1, least, least + 1)] == [least, least, 2 * least]


def test_a_narrow_head_costs_as_much_as_the_array():
    work, peak_bound = Work(4096.0, 1.0, 0.0, prefill=True), {}
    for width in (64, 128, 256):
        shape = AttentionShape(heads=8, score=width, value=width, cached=2.0 * width * 8 * 2.0)
        flops = 2.0 * shape.pairs(4096, 0) * 8 * 2 * width
        for name in ("tpu-v5p", "tpu7x"):
            family = family_of(deployed(name))
            useful = products(family.prefill_attention(work, shape, 1.0, flops)) / flops
            peak_bound[name, width] = useful * load_gpu(name).peak_flops("bf16")
    v7, v5 = ([peak_bound[name, width] / peak_bound[name, 256] for width in (64, 128)] for name in ("tpu7x", "tpu-v5p"))
    assert v7 == pytest.approx([4.0, 2.0], rel=1e-3) and v5 == pytest.approx([2.0, 1.0], rel=1e-3)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(SYSTOLIC), st.integers(1, 5000), st.integers(1, 9000), st.integers(1, 9000))
def test_filling_up_never_helps_and_never_beats_the_peak(name, m, n, k):
    family, gpu = family_of(deployed(name)), load_gpu(name)
    for form in (BF16, FP8):
        seconds = products(family.gemm(form, m, n, k))
        plain = max(2.0 * m * n * k / gpu.peak_flops(form[1]), n * k * form[0] / float(gpu.memory.bandwidth))
        assert seconds >= plain
        edge, devices = float(gpu.array.columns), int(gpu.devices or 1)
        across, hidden = filled(n, edge * devices), LLAMA.hidden
        assume((n == hidden) == (across == hidden))     # which sides are cut among devices depends on it
        whole = family.gemm(form, filled(m, 8.0), across, filled(k, edge))
        assert seconds <= products(whole) * (1 + 1e-9)


def test_narrow_experts_cost_as_much_as_the_array():
    family = family_of(deployed("tpu7x", QWEN))
    narrow, wide = (family.experts(ExpertShape(2048, 2.0 * width, 3.0, FP8, (1e7, 128.0), (1e7, 128.0)))[0]
                    for width in (64, 256))
    assert products(narrow) == pytest.approx(products(wide), rel=0.05) and narrow[1] < wide[1]


def test_lanes_and_devices_take_capacity_from_a_cache():
    gpt, wide = (cache_bytes(model, PRECISIONS["bf16"], 4096) for model in (GPT_OSS, LLAMA))
    v6e, chip7x = load_gpu("tpu-v6e"), load_gpu("tpu7x")
    assert cache_bytes(GPT_OSS, PRECISIONS["bf16"], 4096, 1, Laid.on(v6e)) == pytest.approx(2 * gpt)  # heads of 64
    assert cache_bytes(LLAMA, PRECISIONS["bf16"], 4096, 1, Laid.on(v6e)) == wide
    tp8 = [cache_bytes(LLAMA, PRECISIONS["bf16"], 4096, 8, Laid.on(gpu)) for gpu in (v6e, chip7x)]
    assert tp8[1] == 2 * tp8[0]  # one of 8 heads a chip, which both devices hold
    halved = memory_of(deployed("tpu-v6e", GPT_OSS, 8, precision="mxfp4"), 4096, 1).cache
    assert halved == pytest.approx(2 * cache_bytes(GPT_OSS, PRECISIONS["bf16"], 4096, 8))


def test_layers_on_one_chip_still_sum_over_its_devices():
    alone, two = decode_step(deployed("tpu-v6e"), 1, 1024), decode_step(deployed("tpu7x"), 1, 1024)
    assert alone.all_reduce == 0.0 and two.all_reduce > 0.0


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(COMPILED), st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 7, 64]), st.integers(1, 20000),
       st.booleans(), st.sampled_from(["bf16", "fp8"]), st.floats(1.0, 4.0))
def test_no_machine_beats_its_roofline_and_better_ones_are_never_slower(name, tp, batch, context, prefill, precision, factor):
    deployment = deployed(name, tp=tp, precision=precision)
    step = (lambda of: prefill_step(of, 1, min(context, 4096))) if prefill else (lambda of: decode_step(of, batch, context))
    base, gpu = step(deployment), deployment.gpu
    assert base.seconds >= base.roofline * (1 - 1e-9)
    for part, rate in (("memory", "bandwidth"), ("link", "bandwidth"), ("peak", "bf16")):
        numbers = getattr(gpu, part)
        quicker = msgspec.structs.replace(numbers, **{rate: scaled(getattr(numbers, rate), factor)})
        better = msgspec.structs.replace(gpu, **{part: quicker})
        assert step(replace(deployment, cluster=Cluster(better, tp))).seconds <= base.seconds * (1 + 1e-9)


def test_collectives_of_machines_follow_their_wires():
    pod, slice4 = topology_of(load_gpu("tpu7x"), 64), topology_of(load_gpu("tpu7x"), 4)
    assert pod.shape == (4, 4, 4) and all(pod.wraps) and not any(slice4.wraps)
    assert topology_of(load_gpu("tpu-v5e"), 256).wraps == (True, True)
    assert topology_of(load_gpu("tpu-v5e"), 64).wraps == (False, False)  # no ring on a part of an axis
    gaudi = load_gpu("gaudi3")
    assert topology_of(gaudi, 2).rate == pytest.approx(float(gaudi.link.bandwidth) / 7)
    for name, ranks in (("tpu7x", 64), ("tpu-v5e", 16), ("gaudi3", 8), ("trainium3", 64), ("groq-lp30", 32)):
        cluster, message = Cluster(load_gpu(name), ranks), 1e8
        least = 2.0 * message * (ranks - 1) / ranks / float(cluster.gpu.link.bandwidth)
        assert wired_seconds(cluster, "all_reduce", ranks, message) >= least
    two = Cluster(gaudi, 16)
    assert wired_seconds(two, "all_reduce", 16, 1e6) > wired_seconds(two, "all_reduce", 8, 1e6)


def test_capacity_sets_the_chips_of_a_pipeline_and_ends_in_an_error():
    model = load_config("llama3-70b")
    chips = {name: deploy(model, f"{name}:576", context=1024, precision=precision).layout.gpus
             for name, precision in (("groq-lpu1", "int8"), ("groq-lp30", "fp8"))}
    least = {name: sum(weight_bytes(model, PRECISIONS["fp8"])) / float(load_gpu(name).memory.capacity) for name in chips}
    for name, count in chips.items():
        assert least[name] <= count <= 1.5 * least[name]
    with pytest.raises(BudgetError, match="use more"):
        predict(model, load_cluster("groq-lp30:64"), phase="decode", context=1024, precision="fp8")


def test_a_cliff_ends_the_sram_of_a_card_with_memory_behind_it():
    memory = msgspec.structs.replace(load_gpu("corsair").memory, program=None)
    full, over = (streaming_rate(memory, kept, 1.0) for kept in (2e9, 4e9))
    assert full == float(memory.bandwidth) and over == pytest.approx(4e9 / (2e9 / 150e12 + 2e9 / 400e9))
    few, many = (decode_step(deployed("corsair", tp=4, pp=pp), 1, 1024).seconds for pp in (1, 4))
    assert few > 5 * many  # 16 GB of weights on 8 GB and on 32 GB of SRAM


def test_a_token_takes_all_stages_and_a_full_pipeline_the_slowest():
    one, four = deployed("groq-lp30", tp=8, pp=4), deployed("groq-lp30", tp=8, pp=5)  # 32 layers: 8 each, 7 at most
    for deployment in (one, four):
        lone, full = (decode_step(deployment, batch, 512).seconds for batch in (1, deployment.layout.pp))
        assert lone == pytest.approx(full)  # stages that would stand empty are filled
    skew = [decode_step(deployment, 2 * deployment.layout.pp, 512).weights for deployment in (one, four)]
    assert skew[1] == pytest.approx(skew[0] * 7 / 6.4, rel=1e-2)


def test_other_machines_take_the_engine_of_their_kind():
    assert deployed("tpu7x", level="sglang").engine.title == "SGLang-JAX"
    assert deployed("groq-lp30", level="stock").engine == load_engine("static")
    assert deployed("h100", level="stock").engine == load_engine("stock")
    assert deployed("tpu7x", level="ideal").engine == load_engine("ideal")


def test_the_number_of_decoding_sequences_in_a_table_lies_on_both_sides_of_a_bucket():
    grid = list(turn_costs(deployed("tpu7x"), 1024, 256, 100).decode_grid)
    assert {32, 33, 64, 65, 100} <= set(grid) and max(grid) == 100
    assert 33 not in turn_costs(deployed("h100"), 1024, 256, 100).decode_grid


def test_ranks_without_tokens_exchange_none_where_an_engine_does_not_fill_them_up():
    layout = {"tp": 1, "dp": 4, "ep": 4}
    early, late = (deployed("tpu7x", QWEN, level=level, **layout) for level in ("jax-padded", "jax-vllm"))
    lone, every = (prefill_step(late, sequences, 2048).device for sequences in (1, 4))
    assert lone < 0.8 * every
    assert prefill_step(early, 1, 2048).device == prefill_step(early, 4, 2048).device
