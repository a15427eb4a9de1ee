"""Real load on the command line."""

import json
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from wsekern.compare.load_sides import LoadSides

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
TRACE = Path(__file__).parents[1] / "queueing" / "data" / "azure-llm-code-2023-head.csv"


@pytest.fixture
def by_hand(monkeypatch, one_server):
    """Replace wafers and GPUs by servers that are known by hand."""
    monkeypatch.setattr(LoadSides, "wafers_for", lambda self, traffic: [one_server("quick", 1e-5, 1e-3)])
    monkeypatch.setattr(LoadSides, "gpus_for", lambda self, traffic: [one_server("slow")])


@pytest.mark.usefixtures("by_hand")
def test_a_rate_is_served_by_both_sides_and_written_as_json(wsekern):
    code, out, err = wsekern("compare", "llama3-8b", "--rate", "2", "--prompt", "500", "--output", "20", "--requests", "300",
                             "--seed", "7", "--slo-ttft", "0.5", "--json", "-")
    data = json.loads(out)
    assert code == 0 and err == ""
    assert data["load"] == {"requests_per_second": 2.0, "seed": 7, "requests": 300, "prompt_tokens": 500.0,
                            "output_tokens": 20.0, "notes": []}
    assert data["slo"] == {"time_to_first_token_seconds": 0.5, "time_per_output_token_seconds": None, "share": 0.99}
    assert (data["wafer"]["name"], data["cluster"]["name"]) == ("quick", "slow") and data["systems_needed"] == {}
    for side in ("wafer", "cluster"):
        assert {"p50", "p90", "p99"} <= set(data[side]["time_to_first_token_seconds"])
    again = json.loads(wsekern("compare", "llama3-8b", "--rate", "2", "--prompt", "500", "--output", "20", "--requests", "300",
                               "--seed", "7", "--slo-ttft", "0.5", "--json", "-")[1])
    other = json.loads(wsekern("compare", "llama3-8b", "--rate", "2", "--prompt", "500", "--output", "20", "--requests", "300",
                               "--json", "-")[1])
    assert again == data and other["wafer"]["request_seconds"] != data["wafer"]["request_seconds"]


@pytest.mark.usefixtures("by_hand")
def test_a_trace_is_shown_drawn_and_written(wsekern, tmp_path):
    plot, page = tmp_path / "load.svg", tmp_path / "load.html"
    code, out, _ = wsekern("compare", "llama3-8b", "--trace", str(TRACE), "--trace-scale", "2", "--requests", "100",
                           "--plot", str(plot), "--html", str(page))
    assert code == 0 and "100 requests of azure-llm-code-2023-head.csv, 2 times as fast" in out
    assert "first 100 of 150 requests" in out and "requests/s served" in page.read_text() and plot.stat().st_size > 10_000


@pytest.mark.usefixtures("by_hand")
def test_auto_counts_the_systems_that_keep_the_objective(wsekern):
    arguments = ("compare", "llama3-8b", "--rate", "40", "--prompt", "1000", "--output", "20", "--requests", "500",
                 "--slo-ttft", "0.5", "--slo-share", "0.9")
    code, out, _ = wsekern(*arguments, "--systems", "auto", "--json", "-")
    data = json.loads(out)
    needed = data["systems_needed"]["cluster"]["systems"]
    assert code == 0 and needed == data["cluster"]["systems"] > data["wafer"]["systems"] > 1
    less = json.loads(wsekern(*arguments, "--systems", str(needed - 1), "--json", "-")[1])
    assert less["cluster"]["share_within_slo"]["both"] < 0.9 <= data["cluster"]["share_within_slo"]["both"]
    code, out, _ = wsekern(*arguments, "--systems", "auto")
    assert f"{needed} systems (slow) are enough, {needed - 1} are not" in " ".join(out.split())


@pytest.mark.usefixtures("by_hand")
@pytest.mark.parametrize(("arguments", "words"), [
    (["--rate", "2"], ["MODEL"]),
    (["llama3-8b", "--rate", "2", "--trace", "x.csv"], ["--rate", "--trace"]),
    (["llama3-8b", "--rate", "2", "--batches", "1,2"], ["--batches"]),
    (["llama3-8b", "--rate", "2", "--prompts", "1,2"], ["--prompts"]),
    (["llama3-8b", "--rate", "2", "--equal", "power"], ["--equal"]),
    (["llama3-8b", "--rate", "2", "--power", "1MW"], ["--power"]),
    (["llama3-8b", "--rate", "2", "--think", "1"], ["--think"]),
    (["llama3-8b", "--rate", "2", "--speculate", "3", "--acceptance", "0.7"], ["--speculate"]),
    (["llama3-8b", "--rate", "2", "--shared-prefix", "0.5"], ["--shared-prefix"]),
    (["llama3-8b", "--rate", "2", "--prefill-cluster", "h100x8"], ["--prefill-cluster"]),
    (["llama3-8b", "--rate", "0"], ["rate", "more than 0"]),
    (["llama3-8b", "--rate", "nan"], ["rate"]),
    (["llama3-8b", "--rate", "1", "--trace-scale", "2"], ["--trace-scale", "--trace"]),
    (["llama3-8b", "--rate", "1", "--prompt", "9000"], ["8,192"]),
    (["llama3-8b", "--trace", str(TRACE), "--seed", "2"], ["--seed", "--rate"]),
    (["llama3-8b", "--trace", str(TRACE), "--prompt", "2", "--output", "3"], ["--prompt", "--output", "--rate"]),
    (["llama3-8b", "--trace", "nowhere.csv"], ["nowhere.csv"]),
    (["llama3-8b", "--trace", str(TRACE), "--trace-scale", "0"], ["trace-scale"]),
    (["llama3-8b", "--slo-ttft", "1"], ["--slo-ttft goes", "--rate or --trace"]),
    (["llama3-8b", "--requests", "10", "--systems", "2"], ["--requests and --systems go"]),
    (["llama3-8b", "--rate", "1", "--slo-share", "0.9"], ["--slo-ttft"]),
    (["llama3-8b", "--rate", "1", "--slo-ttft", "1", "--slo-share", "1.5"], ["1.5"]),
    (["llama3-8b", "--rate", "1", "--slo-ttft", "0"], ["slo-ttft"]),
    (["llama3-8b", "--rate", "1", "--systems", "auto"], ["--slo-ttft or --slo-tpot"]),
    (["llama3-8b", "--rate", "1", "--systems", "0"], ["systems", "4,096"]),
    (["llama3-8b", "--rate", "1", "--systems", "many"], ["many"]),
    (["llama3-8b", "--rate", "1", "--requests", "5", "--systems", "6"], ["systems", "number of requests"]),
    (["llama3-8b", "--rate", "1", "--engine-level", "magic"], ["magic"]),
    (["llama3-8b", "--rate", "1", "--cluster", "abacusx8"], ["abacus"]),
    (["llama3-8b", "--rate", "1", "--profile", "wood"], ["wood"]),
    (["llama3-8b", "--rate", "1", "--gpu-precision", "fp3"], ["fp3"]),
    (["llama3-8b", "--rate", "1", "--precision", "fp3"], ["fp3"]),
])
def test_bad_input_is_one_sentence(wsekern, arguments, words):
    code, out, err = wsekern("compare", *arguments)
    assert code == 2 and out == "" and err.startswith("wsekern: ") and err.count("\n") == 1
    assert all(word in err for word in words)


@pytest.mark.usefixtures("by_hand")
def test_a_bad_row_of_a_trace_is_named(wsekern, tmp_path):
    (tmp_path / "t.csv").write_text(HEADER + "0,10,10\n1,ten,10\n")
    code, _, err = wsekern("compare", "llama3-8b", "--trace", str(tmp_path / "t.csv"))
    assert code == 2 and "row 2" in err and "'ten'" in err


def test_a_number_of_wafers_that_is_too_small_is_refused(wsekern):
    code, out, err = wsekern("compare", "llama3-70b", "--rate", "1", "--requests", "10", "--wafers", "3")
    assert code == 2 and out == "" and "3 wafers" in err and err.count("\n") == 1


def test_real_wafers_and_gpus_serve_a_trace(wsekern):
    code, out, _ = wsekern("compare", "llama3-8b", "--trace", str(TRACE), "--slo-ttft", "1", "--json", "-")
    data = json.loads(out)
    assert code == 0 and data["not_served"] == {}
    for side in ("wafer", "cluster"):
        figures = data[side]
        assert figures["requests"] == 150 and 0.0 < figures["utilisation"] < 1.0 and figures["watts"] > 1000
        assert figures["requests_in_system"]["mean"] == pytest.approx(
            figures["requests_per_second"] * figures["request_seconds"]["mean"])
        assert figures["joules_per_token"] == pytest.approx(figures["watts"] / figures["tokens_per_second"])
        assert figures["share_within_slo"]["both"] > 0.5


def test_an_interrupt_ends_at_once_and_cleanly():
    command = ["compare", "llama3-8b", "--rate", "30", "--requests", "3000000"]     # half a minute, were it let to end
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)      # jobs in the background are born deaf to it
    run = subprocess.Popen([sys.executable, "-m", "wsekern.cli", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           text=True, preexec_fn=listen)
    time.sleep(4)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=10)
    assert run.returncode == 130 and "Traceback" not in err and "interrupted" in err
