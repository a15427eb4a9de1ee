"""Clients and options of published benchmarks, by what rows state."""

import pytest

from wsekern.validation.gpu import measurements, predict_row
from wsekern.validation.gpu_notes import is_asked_by_perf, is_recipe
from wsekern.validation.gpu_recipes import benchmark_of, run_date, scheduling_of
from wsekern.validation.gpu_rows import Refused, understand


@pytest.fixture(scope="module")
def rows():
    return [row for row in measurements() if row["metric"] == "ttft_mean"]


def first(rows, **stated):
    return next(row for row in rows if all(value in row[name] for name, value in stated.items()))


def test_recipes_ask_for_lengths_from_four_fifths_of_the_stated_ones(rows):
    row = first(rows, notes="InferenceX run", isl="8192", osl="1024")
    asked = benchmark_of(row, understand(row))
    assert (asked.prompt, asked.output, asked.rounds) == (8192, 1024, 10)
    assert asked.shares == pytest.approx((0.8, 0.8)) and asked.users == int(row["batch_or_concurrency"])


def test_equal_requests_stay_in_step_only_where_prompts_go_first(rows):
    together = first(rows, notes="sglang 0.5.1", model="Qwen3-32B")
    apart = first(rows, notes="trtllm 1.0.0rc3", model="Qwen3-32B")
    assert is_asked_by_perf(together) and not is_recipe(together)
    assert benchmark_of(together, understand(together)).shares == (1.0, 1.0)
    asked = benchmark_of(apart, understand(apart))
    assert asked.shares[1] < 1.0 and asked.means == pytest.approx((int(apart["isl"]), int(apart["osl"])), rel=0.01)


def test_options_are_those_of_the_recipe_at_the_date_of_the_run(rows):
    held = first(rows, notes="trtllm nan; InferenceX run 2025-10-29", isl="1024", osl="1024", parallelism="TP4")
    options = scheduling_of(held, understand(held))
    assert (options.step_tokens, options.whole, options.hold_steps, options.hold_share) == (16384, True, 20, 0.9)
    long = first(rows, notes="trtllm nan; InferenceX run 2025-10-29", isl="8192")
    assert scheduling_of(long, understand(long)).hold_steps == 0
    early = first(rows, notes="trtllm nan; InferenceX run 2025-11-02", model="DeepSeek-R1", isl="1024", gpu="H200")
    late = first(rows, notes="trtllm 1.2.0rc6.post2; InferenceX run 2026-01-29", model="DeepSeek-R1", isl="1024")
    assert scheduling_of(early, understand(early)).step_tokens < scheduling_of(late, understand(late)).step_tokens == 8192
    looks = first(rows, notes="sglang 0.5.9; InferenceX run 2026-03-25", gpu="B200", batch_or_concurrency="64")
    seldom = scheduling_of(looks, understand(looks))
    assert seldom.look_steps == 30 and seldom.captured_tokens == 0
    newer = first(rows, notes="sglang 0.5.10", gpu="B300")
    assert scheduling_of(newer, understand(newer)).captured_tokens >= 16384
    often = first(rows, notes="sglang 0.5.9; InferenceX run", gpu="H200")
    assert scheduling_of(often, understand(often)).look_steps == 1


def test_dates_are_read_from_the_notes():
    assert run_date({"notes": "vllm 0.15.1; InferenceX run 2026-02-25"}) == "2026-02-25"
    assert run_date({"notes": "sglang nightly-dev"}).startswith("2026")


def test_first_tokens_without_a_known_client_or_of_a_cold_engine_are_refused(rows):
    cold = first(rows, notes="sglang nan; InferenceX run 2025-11")
    with pytest.raises(Refused, match="did not warm the engine up"):
        predict_row(cold)
    unknown = {**first(rows, notes="InferenceX run 2026"), "notes": "vllm 0.12.0", "source": "a blog", "engine": "stock"}
    with pytest.raises(Refused, match="how users arrive is not stated"):
        predict_row(unknown)
