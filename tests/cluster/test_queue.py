"""First tokens under load, and what benchmarks that start at once measure."""

import pytest

from wsekern.cluster import deploy, steady_state
from wsekern.cluster.engine import load_engine
from wsekern.cluster.step import decode_step
from wsekern.validation.gpu import predict_row
from wsekern.validation.gpu_notes import INFERENCEX
from wsekern.validation.gpu_rows import understand
from wsekern.workload import load_config


def test_first_tokens_wait_longer_with_more_users():
    def first(batch):
        state = steady_state(deploy(load_config("llama3-8b"), "h100x1", context=4096, tp=1), 4096, 256, batch)
        return state.measure.time_to_first_token_seconds

    times = [first(batch) for batch in (1, 2, 8, 32, 128)]
    assert times == sorted(times)


def test_hidden_hosts_show_only_where_they_are_slower_than_the_gpu():
    def step(model, context):
        return decode_step(deploy(model, "b200x1", context=context, tp=1, precision="fp8", engine_level=hidden), 8, context)

    plain, hidden = load_engine("stock"), load_engine("stock-overlapped")
    large = step(load_config("llama3-70b"), 1000)
    assert large.engine == pytest.approx(float(hidden.per_layer) * 80)
    small = load_config("llama3.2-1b")
    host = float(plain.per_step) + 8 * float(plain.per_sequence)
    tiny = step(small, 10)
    assert tiny.engine == pytest.approx(float(hidden.per_layer) * small.layers + max(0.0, host - tiny.device))


def test_only_a_known_way_of_arriving_is_compared():
    row = {"id": "x", "gpu": "H100-SXM-80GB", "n_gpus": "8", "model": "Llama-3.1-70B", "precision": "fp8", "parallelism": "TP8",
           "isl": "1024", "osl": "1024", "batch_or_concurrency": "16", "metric": "ttft_mean", "value": "120", "unit": "ms",
           "source": "a table", "notes": "vllm 0.12.0"}
    with pytest.raises(Exception, match="how users arrive is not stated"):
        predict_row(row)
    known = {**row, "notes": "vllm nan; " + INFERENCEX + " 2025-10-29"}
    group, predicted = predict_row(known)
    assert group == "first token under load dense (stock-overlapped)" and 50 < predicted < 500
    assert understand(known).precision.cache == 1.0 and understand(row).precision.cache == 2.0
