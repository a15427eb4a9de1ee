"""Power: every kind of time draws its own, more work never draws less, and nothing draws more than the meter allows."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.cluster import bundled_gpus, deploy, engine_levels, load_cluster, load_gpu, predict, serve
from wsekern.cluster.power import Activity, activity, cluster_watts, gpu_watts, levels, power_share
from wsekern.cluster.step import decode_step
from wsekern.cluster.work import StepTime
from wsekern.errors import InputError
from wsekern.workload import Request, load_config

MODELS = ("llama3-8b", "mixtral-8x7b", "deepseek-r1")


def shares():
    """Shares of the time that add up to at most one, and a rate."""
    part = st.floats(0.0, 1.0)
    return st.tuples(part, part, part, part, part).map(lambda cut: Activity(
        latency=cut[0], streaming=(1 - cut[0]) * cut[1], computing=(1 - cut[0]) * (1 - cut[1]) * cut[2], rate=cut[4] * cut[3]))


@pytest.mark.parametrize("name", bundled_gpus())
def test_levels_are_in_order_and_below_the_meter(name):
    stated = levels(load_gpu(name).power)
    assert 0.0 < stated[0] < stated[1] < stated[2] <= stated[3] <= 1.0


@given(st.sampled_from(bundled_gpus()), shares())
def test_a_gpu_draws_between_waiting_and_its_most(name, doing):
    cluster = load_cluster(name, 8)
    power = cluster.gpu.power
    watts = gpu_watts(cluster, doing)
    low, high = (float(power.tdp) * levels(power)[at] for at in (0, 3))
    assert low * (1 - 1e-9) <= watts <= high * (1 + 1e-9) <= float(power.tdp) * (1 + 1e-9)
    assert cluster_watts(cluster, 8, doing) <= cluster.power_max * (1 + 1e-9)


@given(shares(), st.floats(0.0, 1.0), st.sampled_from(["h100", "b200"]))
def test_time_that_waits_for_latencies_draws_less_than_streaming_and_more_than_waiting(doing, moved, name):
    cluster, less = load_cluster(name, 1), moved * doing.streaming
    rest = {"streaming": doing.streaming - less, "computing": doing.computing, "rate": doing.rate}
    slower, waiting = Activity(latency=doing.latency + less, **rest), Activity(latency=doing.latency, **rest)
    assert gpu_watts(cluster, waiting) <= gpu_watts(cluster, slower) + 1e-6 <= gpu_watts(cluster, doing) + 2e-6


@given(shares(), st.floats(0.0, 1.0))
def test_more_arithmetic_never_draws_less(doing, more):
    cluster = load_cluster("h100", 1)
    busier = Activity(latency=doing.latency, streaming=doing.streaming, computing=doing.computing, rate=doing.rate + more)
    assert gpu_watts(cluster, busier) >= gpu_watts(cluster, doing)


def test_what_a_step_does_is_parted_by_cause():
    step = StepTime(weights=2.0, kv=1.0, compute=1.0, fixed=1.0, all_reduce=1.0, engine=4.0, flops=100.0, idle=0.5)
    doing = activity([(1.0, step)], step.seconds, 50.0)
    assert (doing.latency, doing.streaming, doing.computing, doing.rate) == (0.2, 0.25, 0.1, 0.2)
    twice = activity([(2.0, step)], 2.0 * step.seconds, 50.0)
    assert twice == doing
    together = activity([(1.0, step), (1.0, step)], 6.0, 50.0)  # 12 s of kernels in 6 s: some were shared
    assert together.latency + together.streaming + together.computing == pytest.approx(11.0 / 12.0)
    assert together.rate == pytest.approx(200.0 / 12.0 / 50.0)


def test_unpacking_weights_draws_like_computing():
    """gpt-oss on H100 draws nearly all it may at a few percent of the peak: its weights are widened on the way."""
    model = load_config("gpt-oss-120b")
    parts = {gpu: activity([(1.0, step)], step.seconds, load_gpu(gpu).peak_flops("bf16"))
             for gpu in ("h100", "b200") for step in [decode_step(deploy(model, gpu, context=512, precision="mxfp4"), 16, 512)]}
    assert parts["h100"].computing > 4.0 * parts["b200"].computing and parts["h100"].streaming < parts["b200"].streaming
    dense = load_config("llama3-8b")
    for precision, unpacked in (("bf16", False), ("fp8", False), ("int8", True), ("int4", True), ("fp4", True)):
        step = decode_step(deploy(dense, "h100x1", context=512, precision=precision), 1, 512)
        assert (step.unpacking > 0.5 * step.weights) is unpacked, precision
        assert step.unpacking <= step.weights


def test_eight_gpus_for_few_users_draw_less_each_than_one():
    """Most of their time is fixed times of kernels and all-reduces, which is no streaming."""
    model = load_config("llama3-8b")
    alone, eight = (predict(model, f"h100x{n}", context=2048, batch=4, tp=n, engine_level="graph") for n in (1, 8))
    share = (eight.breakdown["fixed"] + eight.breakdown["all_reduce"]) / eight.seconds
    power = load_gpu("h100").power
    one, each = alone.watts - float(power.host), eight.watts / 8 - float(power.host)
    assert share > 0.5 and each < 0.9 * one and each < 0.9 * float(power.tdp) * float(power.low_fraction)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(MODELS), st.sampled_from(bundled_gpus()), st.sampled_from([1, 2, 4, 8]),
       st.sampled_from([*engine_levels()]), st.sampled_from([1, 16, 512, 4096]), st.sampled_from([16, 4096]),
       st.sampled_from(["bf16", "fp8", "fp4"]))
def test_no_prediction_draws_more_than_the_meter_or_less_than_waiting(model, gpu, tp, level, batch, prompt, precision):
    config, cluster = load_config(model), load_cluster(gpu, 8)
    power = cluster.gpu.power
    least = tp * (power.waiting * float(power.tdp) + float(power.host))
    most = tp * (float(power.tdp) + float(power.host))
    options = {"precision": precision, "engine_level": level, "tp": tp, "check_memory": False}
    served = serve(config, Request(prompt, 64, batch, "bf16"), cluster, **options)
    steps = [predict(config, cluster, phase=phase, context=prompt, batch=batch, **options) for phase in ("decode", "prefill")]
    for found in (served, *steps):
        assert least * (1 - 1e-9) <= found.watts <= most * (1 + 1e-9)
    assert served.joules_per_token == pytest.approx(served.watts / served.tokens_per_second)


def test_levels_out_of_order_are_refused():
    power = load_gpu("h100").power
    high = msgspec.structs.replace(power.high_fraction, value=1.2)
    with pytest.raises(InputError, match="none above 1"):
        msgspec.structs.replace(power, high_fraction=high)


def test_an_own_description_with_levels_out_of_order_is_refused(tmp_path):
    from importlib.resources import files

    text = (files("wsekern.cluster") / "data" / "machines" / "h100.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace("latency_fraction = { value = 0.55", "latency_fraction = { value = 0.95"))
    with pytest.raises(InputError, match="expected each at least the one before"):
        load_gpu(str(tmp_path / "mine.toml"))


def test_shares_are_added_by_level():
    assert power_share((0.2, 0.4, 0.6, 1.0), 0.5, 0.25, 0.0, 0.0) == pytest.approx(0.25 * 0.2 + 0.5 * 0.4 + 0.25 * 0.6)
    assert power_share((0.2, 0.4, 0.6, 1.0), 0.0, 0.0, 1.0, 0.0) == 1.0
    assert power_share((0.2, 0.4, 0.6, 1.0), 0.0, 1.0, 0.0, 1.0) == 1.0
