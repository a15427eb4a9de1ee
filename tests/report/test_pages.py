"""The pages of commands: their numbers are those of the JSON, their charts add up, and a file carries all."""

import json
import re
from html import unescape

import pytest

from wsekern.cluster import deploy
from wsekern.cluster.kernel_list import decode_work, list_kernels, prefill_work
from wsekern.cluster.step import decode_step, prefill_step
from wsekern.compare import Serving, compare
from wsekern.errors import InputError
from wsekern.machine import load_machine
from wsekern.planning.journey import Journey
from wsekern.planning.placement import place_model
from wsekern.report.comparison import figure_lines
from wsekern.report.html import render
from wsekern.report.pages import comparison_page
from wsekern.workload import Request, load_config

MOST_BYTES = 1_500_000
"""A page that is sent to somebody."""


def tables(page: str) -> list[list[list[str]]]:
    """Cells of every table."""
    return [[[unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
             for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)]
            for table in re.findall(r"<table>(.*?)</table>", page, re.DOTALL)]


@pytest.mark.parametrize("name", ["compare", "several", "gpu", "run"])
def test_the_data_in_a_page_is_that_of_json(written, name):
    found = written(name)
    text = found.page.read_text()
    assert json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1]) == found.data
    assert len(text.encode()) < MOST_BYTES and "<h2" in text and 'class="chart"' in text


def test_figures_on_the_page_are_those_of_json(written):
    found = written("compare")
    rows = {row[0]: row[1:] for table in tables(found.page.read_text()) for row in table if row}
    wafer, cluster = found.data["wafer"], found.data["cluster"]
    for name, key in (("tokens/s for each user", "tokens_per_second_per_user"), ("requests/s in total", "requests_per_second"),
                      ("output tokens/s in total", "tokens_per_second")):
        shown = [float(cell.replace(",", "")) for cell in rows[name][:2]]
        assert shown == pytest.approx([wafer[key], cluster[key]], rel=6e-3)
    assert {name for name, _ in figure_lines(1)} <= set(rows)
    assert all(f"<li>{reason}</li>" in found.page.read_text() for reason in found.data["reasons"])


def test_parts_of_a_token_add_up_to_the_figures_of_json(written):
    """Operations of the wafers to a lone user's token, kernels of the GPUs likewise, as the tables of the page have them."""
    found = written("compare")
    text = found.page.read_text()
    cycles = next(table[1:] for table in tables(text) if table[0][-1:] == ["words over links"])
    clock = float(load_machine("wse3").clock)
    whole = sum(float(row[2].replace(",", "")) for row in cycles)
    assert whole / clock == pytest.approx(found.data["wafer"]["lone_time_per_output_token_seconds"], rel=1e-4)
    summary = re.search(r"A step that gives a lone user one token takes ([\d.]+) ms", text)
    assert summary and float(summary[1]) == pytest.approx(
        1e3 * found.data["cluster"]["lone_time_per_output_token_seconds"], rel=6e-3)


@pytest.mark.parametrize(("model", "cluster"), [("llama3-8b", "h100x8"), ("gpt-oss-120b", "h100x8"), ("deepseek-v3", "h200x8")])
def test_kernels_add_up_to_their_step(model, cluster):
    deployment = deploy(load_config(model), cluster, context=2048)
    for work, step in ((decode_work(deployment, 3, 1000), decode_step(deployment, 3, 1000)),
                       (prefill_work(deployment, 512, 64), prefill_step(deployment, 1, 512, 64))):
        kernels = list_kernels(deployment, work)
        assert sum(kernel.seconds for kernel in kernels) == pytest.approx(step.seconds, rel=1e-9)
        assert all(kernel.seconds > 0.0 for kernel in kernels if kernel.block != "step")


@pytest.mark.parametrize(("model", "request_"), [("llama3-8b", Request(256, 32, 4)), ("gpt-oss-20b", Request(256, 32))])
def test_a_journey_takes_as_long_as_the_prediction_says(model, request_):
    journey = Journey(place_model(load_config(model), request_, load_machine("wse3")))
    lone = journey.lone.lone
    assert journey.first_token_seconds == pytest.approx(lone.time_to_first_token_seconds, rel=1e-9)
    assert journey.token_seconds == pytest.approx(lone.time_per_output_token_seconds, rel=1e-9)
    assert sum(one.cycles for one in journey.operation_cycles()) == pytest.approx(journey.lone.decode().cycles, rel=1e-9)
    ends: dict[int, float] = {}
    for visit in journey.visits():  # no two in a region at once, and none before it has come
        if not visit.crossing:
            assert visit.start >= ends.get(visit.stop, 0.0) - 1e-12
            ends[visit.stop] = visit.start + visit.seconds


def test_a_page_of_one_side_alone():
    """What wafers cannot hold leaves the other side's charts, and the reason."""
    config = load_config("llama3-8b")
    comparison = compare(config, Request(1024, 64), load_machine("wse3"), None, "h100x8", serving=Serving(kv_precision="fp8"))
    page = comparison_page(comparison, comparison.to_dict())
    titles = [section.title for section in page.sections]
    assert comparison.wafer is None and "Floor plan" not in titles and "Where a token's time goes" in titles
    assert "wafers cannot" in page.answer and "<figure" in render(page)


def test_a_timeline_follows_one_request(tmp_path):
    from click.testing import CliRunner

    from wsekern.cli import cli

    done = CliRunner().invoke(cli, ["compare", "llama3-8b", "--batches", "1,2", "--timeline", str(tmp_path / "t.json")])
    assert isinstance(done.exception, InputError) and "--timeline follows one request" in str(done.exception)
