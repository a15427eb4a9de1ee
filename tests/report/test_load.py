"""Tables and pictures of a load."""

import numpy as np
import pytest
from rich.console import Console

from wsekern.compare.load_comparison import Load, compare_load, poisson_load
from wsekern.compare.load_report import Slo
from wsekern.errors import InputError
from wsekern.queueing import Traffic
from wsekern.report import load_plot, load_view
from wsekern.report.pages import html_page
from wsekern.workload import load_config


@pytest.fixture
def compared(one_server):
    """A load on a quick and a slow server."""

    def compare(load=None, slo=None, systems=1, wafer=None):
        return compare_load(load_config("llama3-8b"), load or poisson_load(2.0, 300, 1000, 20),
                            wafer or (lambda traffic: [one_server("quick", 1e-5, 1e-3, assumptions=["it is quick"])]),
                            lambda traffic: [one_server("slow")], slo or Slo(), systems)

    return compare


def shown(comparison) -> str:
    console = Console(width=118, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(load_view(comparison))
    console.file.close()
    return console.export_text()


def test_the_table_shows_both_sides_and_ends_in_the_verdict(compared):
    text = shown(compared(slo=Slo(time_to_first_token_seconds=0.5, time_per_output_token_seconds=0.02)))
    for words in ("300 requests arriving at random, 2 a second, on average 1,000 tokens in and 20 out", "quick", "slow",
                  "first token, p99", "first token in 500 ms", "both in time", "requests/s in time",
                  "waiting for first token", "cost per million tokens", "quick keeps the objective", "it is quick"):
        assert words in text
    assert text.index("cost per million tokens") < text.index("slow misses the objective") < text.index("Assumed")


def test_without_an_objective_nothing_is_said_of_it(compared):
    text = shown(compared())
    assert "in time" not in text and "objective" not in text


def test_a_missing_side_is_named_with_the_reason(compared):
    def cannot(traffic):
        raise InputError("too large for it")

    text = shown(compared(wafer=cannot))
    assert "wafers cannot serve this load: too large for it" in text and "quick" not in text


def test_a_single_request_of_one_token_has_dashes(compared):
    text = shown(compared(Load(Traffic(np.zeros(1), np.ones(1, int), np.ones(1, int)), "made up", {})))
    assert text.count(" - ") >= 6 and "1 request made up" in text


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_picture_shows_what_users_waited_for_and_the_load_over_time(compared, tmp_path, ending):
    path = tmp_path / f"load.{ending}"
    load_plot(compared(slo=Slo(time_to_first_token_seconds=0.5)), path)
    assert path.stat().st_size > 8_000


def test_a_single_request_can_be_drawn(compared, tmp_path):
    load_plot(compared(Load(Traffic(np.zeros(1), np.ones(1, int), np.ones(1, int)), "made up", {})), tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 8_000


def test_a_page_holds_the_table(compared):
    assert "requests/s served" in html_page(load_view(compared()), "load")
