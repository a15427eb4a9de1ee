"""Rows that time a kernel, beside the fitted kernels."""

import pytest

from wsekern.validation.gpu import measurements, predict_rows
from wsekern.validation.gpu_kernels import READINGS, is_fitted_kernel, predict_kernel
from wsekern.validation.gpu_rows import Refused

GEMM = {"metric": "gemm_latency", "gpu": "H100-SXM-80GB", "n_gpus": "1", "precision": "bfloat16", "notes": "", "value": "164",
        "unit": "us", "source": "aiconfigurator gemm_perf h100_sxm/vllm/0.24.0", "model": "microbench: GEMM 8192x8192",
        "batch_or_concurrency": "1024"}


def test_more_rows_take_longer_and_reach_higher_rates():
    group, few = predict_kernel(GEMM)
    _, many = predict_kernel({**GEMM, "batch_or_concurrency": "8192"})
    assert group == "kernel gemm latency" and few < many < 8 * few
    rate = {**GEMM, "metric": "gemm_tflops"}
    rates = [predict_kernel({**rate, "batch_or_concurrency": rows})[1] for rows in ("64", "1024", "8192")]
    assert rates == sorted(rates) and 2 * 8192 * 8192 * 1024 / few / 1e6 == pytest.approx(rates[1])


def test_kernels_of_the_fitted_tables_are_marked_and_near():
    rows = [row for row in measurements() if row["metric"] == "gemm_latency"]
    results = predict_rows(rows)
    assert all(is_fitted_kernel(row) for row in rows) and all(result.fitted for result in results)
    errors = sorted(abs(result.error) for result in results)
    assert errors[len(errors) // 2] < 0.1
    assert not is_fitted_kernel({**GEMM, "source": "PrincetonUniversity/LLMCompass"})


def test_an_exchange_of_experts_costs_more_for_more_tokens():
    row = {**GEMM, "metric": "ep_dispatch_plus_combine_latency", "n_gpus": "8", "batch_or_concurrency": "8"}
    group, few = predict_kernel(row)
    assert group == "kernel expert exchange" and few < predict_kernel({**row, "batch_or_concurrency": "128"})[1]
    with pytest.raises(Refused, match="several NVLink domains"):
        predict_kernel({**row, "n_gpus": "16"})


@pytest.mark.parametrize(("changes", "text"), [
    ({"metric": "pcie_bandwidth"}, "'pcie_bandwidth' is not predicted"), ({"precision": "fp64"}, "'fp64'"),
    ({"model": "microbench: GEMM"}, "shape that is not stated"), ({"batch_or_concurrency": "many"}, "rows of the GEMM"),
    ({"gpu": "V100"}, "not described"), ({"metric": "p2p_bandwidth"}, "between GPUs of a node"),
    ({"metric": "allreduce_busbw", "batch_or_concurrency": "-1"}, "expected a positive number")])
def test_other_kernels_are_refused_in_words(changes, text):
    with pytest.raises(Refused, match=text):
        predict_kernel({**GEMM, **changes})


def test_every_reading_gives_a_positive_number():
    for metric in READINGS:
        assert predict_kernel({**GEMM, "metric": metric})[1] > 0.0
