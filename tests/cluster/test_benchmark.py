"""Benchmarks run request by request: what they send, and what the options of an engine do to the first token."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.cluster.benchmark import MOST_USERS, Benchmark, Scheduling, run_benchmark
from wsekern.cluster.engine import load_engine
from wsekern.cluster.hardware import Cluster, load_gpu
from wsekern.cluster.layout import Deployment, Layout
from wsekern.cluster.precision import PRECISIONS
from wsekern.errors import InputError
from wsekern.workload import load_config


def deployed(model="llama3.1-70b", tp=4, dp=1, level="tuned-overlapped", gpu="b200", precision="fp8"):
    layout = Layout(tp=tp, dp=dp)
    return Deployment(load_config(model), Cluster(load_gpu(gpu), tp * dp), layout, PRECISIONS[precision], load_engine(level))


def first_token(deployment, benchmark, **options):
    return float(run_benchmark(deployment, benchmark, Scheduling(**options)).time_to_first_token.mean())


BENCHMARK = Benchmark(users=16, prompt=1024, output=1024, shortest=0.8, rounds=4)


def test_lengths_are_even_between_the_shortest_and_the_longest():
    sent = Benchmark(users=500, prompt=1000, output=200, shortest=0.8, shortest_output=0.5).traffic()
    assert (sent.prompt.min(), sent.prompt.max(), sent.output.min(), sent.output.max()) == (800, 1000, 100, 200)
    assert sent.prompt.mean() == pytest.approx(900, rel=0.01) and sent.output.mean() == pytest.approx(150, rel=0.01)
    assert len(sent) == 5000 and sent.users == 500 and not sent.arrival_seconds.any()


def test_users_are_shared_by_the_copies_of_a_dense_model():
    assert BENCHMARK.traffic(4).users == 4
    alone = first_token(deployed(), replace(BENCHMARK, users=4))
    assert first_token(deployed(dp=4), BENCHMARK) == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize(("values", "text"), [
    ({"users": 0}, "users of a benchmark is 0"), ({"output": 0}, "output of a benchmark is 0"), ({"shortest": 0.0}, "shortest"),
    ({"users": MOST_USERS + 1}, "at most")])
def test_impossible_benchmarks_are_refused(values, text):
    with pytest.raises(InputError, match=text):
        replace(BENCHMARK, **values)


def test_rare_looks_and_held_prompts_delay_the_first_token_and_graphs_hasten_it():
    plain = first_token(deployed(), BENCHMARK)
    assert first_token(deployed(), BENCHMARK, look_steps=30) > 1.5 * plain
    assert first_token(deployed(), BENCHMARK, hold_steps=20, hold_share=0.9, step_tokens=16384) > 1.5 * plain
    assert first_token(deployed(), BENCHMARK, captured_tokens=2048) < plain
    assert first_token(deployed(), BENCHMARK, ahead_steps=2) > plain > first_token(deployed(), BENCHMARK, ahead_steps=0)


def test_work_of_the_host_outside_the_steps_delays_its_user_only():
    at_once = run_benchmark(deployed(), BENCHMARK, Scheduling(layer_seconds=0.0))
    later = run_benchmark(deployed(), BENCHMARK, Scheduling(layer_seconds=1e-3))
    waited = later.time_to_first_token.mean() - at_once.time_to_first_token.mean()
    assert waited == pytest.approx(1e-3 * load_config("llama3.1-70b").layers, rel=0.2)
    assert later.time_per_output_token.mean() <= 1.02 * at_once.time_per_output_token.mean()


def test_a_cache_that_holds_few_makes_the_others_wait_for_answers():
    few = deployed("llama3.1-70b", tp=1, gpu="h100", precision="fp8")
    with pytest.raises(InputError, match="cache"):
        run_benchmark(few, Benchmark(users=4, prompt=131072, output=1024))


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["stock-overlapped", "tuned-overlapped", "sglang-overlapped"]), st.integers(1, 64),
       st.sampled_from([128, 1024, 4096]), st.sampled_from([64, 512]), st.floats(0.5, 1.0))
def test_users_in_the_system_are_the_rate_times_the_time_of_a_request(level, users, prompt, output, shortest):
    asked = Benchmark(users=users, prompt=prompt, output=output, shortest=shortest, rounds=3)
    found = run_benchmark(deployed(level=level), asked)
    assert found.requests_in_system == pytest.approx(found.requests_per_second * found.request_time.mean(), rel=1e-9)
    assert found.requests_in_system <= users * (1 + 1e-9)
    assert (found.time_to_first_token > 0).all() and (found.time_per_output_token > 0).all()
