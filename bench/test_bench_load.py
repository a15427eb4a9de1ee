"""Speed of real load: an hour of a code-completion service through wafers and GPUs, event by event."""

import numpy as np

from wsekern.compare.load import run_load
from wsekern.compare.load_comparison import Load, compare_load, trace_load
from wsekern.compare.load_report import Slo
from wsekern.compare.load_sides import LoadSides
from wsekern.machine import load_machine
from wsekern.queueing import Traffic
from wsekern.workload import load_config

LLAMA = load_config("llama3-8b")
REQUESTS = 8819
"""Of AzureLLMInferenceTrace_code.csv, whose means and extremes the hour below has."""


def an_hour() -> Traffic:
    """Arrivals in bursts, long prompts, short answers."""
    random = np.random.default_rng(0)
    gaps = random.exponential(1.0, REQUESTS) * np.where(random.random(REQUESTS) < 0.9, 0.1, 3.0)
    prompt = np.clip(random.lognormal(7.2, 0.95, REQUESTS), 3, 7437).astype(np.int64)
    output = np.clip(random.lognormal(2.7, 1.0, REQUESTS), 6, 700).astype(np.int64)
    return Traffic(np.cumsum(gaps), prompt, output)


def sides() -> LoadSides:
    return LoadSides(config=LLAMA, machine=load_machine("wse3"), cluster="h100x8")


def rate(benchmark, requests: int) -> float:
    """Requests per second, 0 where nothing is timed."""
    return requests / benchmark.stats.stats.median if benchmark.stats else 0.0


def test_an_hour_on_both_sides_with_the_choice_of_what_serves_it(benchmark):
    """Placements and layouts are searched, and each that may be the right one is run."""
    load, slo = Load(an_hour(), "made up", {}), Slo(time_to_first_token_seconds=0.5, time_per_output_token_seconds=0.02)
    found = benchmark.pedantic(lambda: compare_load(LLAMA, load, sides().wafers_for, sides().gpus_for, slo), rounds=2)
    assert found.wafer.outcome.output_tokens == found.cluster.outcome.output_tokens
    benchmark.extra_info.update(goal="<= 10 s, better <= 3 s", requests_per_s=rate(benchmark, REQUESTS), engine="both")


def test_an_hour_on_placed_wafers(benchmark):
    """Only the events: chunks of prompts and output tokens through a line of regions."""
    traffic = an_hour()
    kind = next(iter(sides().wafers_for(traffic)))
    report = benchmark.pedantic(run_load, (kind, traffic, 1, Slo()), rounds=3, warmup_rounds=1)
    assert 0.0 < report.utilisation < 1.0
    benchmark.extra_info.update(goal="<= 1 s", requests_per_s=rate(benchmark, REQUESTS), engine="wafer")


def test_an_hour_on_gpus(benchmark):
    """Only the events: steps of the engine."""
    traffic = an_hour()
    kind = next(iter(sides().gpus_for(traffic)))
    report = benchmark.pedantic(run_load, (kind, traffic, 1, Slo()), rounds=3, warmup_rounds=1)
    assert 0.0 < report.utilisation < 1.0
    benchmark.extra_info.update(goal="<= 1 s", requests_per_s=rate(benchmark, REQUESTS), engine="GPUs")


def test_a_trace_is_read(benchmark, tmp_path):
    """Rows with dates, as Azure publishes them."""
    traffic = an_hour()
    dates = np.datetime64("2024-05-12T00:00:00", "us") + (1e6 * traffic.arrival_seconds).astype("timedelta64[us]")
    rows = zip(np.datetime_as_string(dates), traffic.prompt, traffic.output, strict=True)
    (tmp_path / "trace.csv").write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n"
                                        + "".join(f"{date}+00:00,{prompt},{output}\n" for date, prompt, output in rows))
    load = benchmark(trace_load, tmp_path / "trace.csv")
    assert np.array_equal(load.traffic.prompt, traffic.prompt)
    benchmark.extra_info.update(goal=">= 0.5 M rows/s", rows_per_s=rate(benchmark, REQUESTS))
