"""Both sides of one request, or one of them with the reason why the other column is empty."""

import pytest

from wsekern.compare import Serving, compare
from wsekern.errors import BudgetError, InputError
from wsekern.machine import load_machine
from wsekern.report import comparison_plot, comparison_view
from wsekern.report.pages import html_page
from wsekern.workload import Request, load_config

WSE3 = load_machine("wse3")
LLAMA = load_config("llama3-8b")


def test_a_model_that_wafers_cannot_hold_still_shows_the_gpus(tmp_path):
    found = compare(load_config("deepseek-v4-pro"), Request(), WSE3, None, "gb200x72")
    assert found.wafer is None and "compressed queries beside whole keys" in found.not_served["wafer"]
    data = found.to_dict()
    assert data["wafer"] is None and data["wafer_better_by"] == {} and data["cluster"]["requests_per_second"] > 0
    assert len(data["reasons"]) == 1 and "largest part" in data["reasons"][0]
    page = html_page(comparison_view(found), "title")
    assert "wafers cannot" in page and "cannot be mapped onto a wafer yet" in page
    comparison_plot(found, tmp_path / "c.png")
    assert (tmp_path / "c.png").stat().st_size > 5000


def test_a_model_that_gpus_cannot_hold_still_shows_the_wafers(tmp_path):
    found = compare(load_config("llama3.1-405b"), Request(), WSE3, None, "h100x8")
    assert found.cluster is None and found.cluster_ideal is None and "weights take" in found.not_served["cluster"]
    assert found.wafer.requests_per_second > 0 and found.ratios() == {}
    assert "h100x8 cannot" in html_page(comparison_view(found), "title")
    comparison_plot(found, tmp_path / "c.svg")


def test_what_neither_side_can_serve_is_refused_with_both_reasons():
    with pytest.raises(InputError, match=r"compressed queries beside whole keys.*weights take"):
        compare(load_config("deepseek-v4-pro"), Request(), WSE3, None, "h100x1")


def test_a_number_of_wafers_or_a_layout_that_is_too_small_is_refused():
    with pytest.raises(BudgetError, match="does not fit 1 wafer"):
        compare(load_config("llama3-70b"), Request(), WSE3, 1, "h100x8")
    with pytest.raises(BudgetError, match="tp 1"):
        compare(load_config("llama3-70b"), Request(), WSE3, None, "h100x8", serving=Serving(tp=1))


def test_auto_takes_the_largest_usual_cluster_where_none_serves_and_says_what_is_missing():
    found = compare(LLAMA, Request(batch=64), WSE3, None, "auto")
    assert found.cluster.time_per_output_token_seconds <= compare(
        LLAMA, Request(batch=64), WSE3, None, "h100x8").cluster.time_per_output_token_seconds
    huge = Request(prompt=4_000_000, output=1, batch=512)
    with pytest.raises(InputError, match="gb200x72"):
        compare(LLAMA, huge, WSE3, None, "auto")


def test_a_verdict_counts_whole_requests():
    found = compare(LLAMA, Request(4096, 16, 64), WSE3, None, "h100x8")
    wafer, cluster, better = found.wafer, found.cluster, found.ratios()
    assert better["tokens_per_joule"] == pytest.approx(cluster.joules_per_request / wafer.joules_per_request)
    assert better["tokens_per_usd"] == pytest.approx(cluster.usd_per_request / wafer.usd_per_request)
    assert better["tokens_per_second"] == pytest.approx(wafer.requests_per_second / cluster.requests_per_second)
    assert better["request_seconds"] == pytest.approx(cluster.request_seconds / wafer.request_seconds)
    text = "\n".join(found.reasons())
    assert "whole request" in text and "per joule" in text and "times the requests of" in text


def test_the_table_says_which_first_token_is_which():
    page = html_page(comparison_view(compare(LLAMA, Request(batch=8), WSE3, None, "h100x8")), "title")
    text = " ".join(page.replace("│", " ").split())
    assert "first token, one user alone" in text and "first token, under this load" in text
    assert "one user alone" not in html_page(comparison_view(compare(LLAMA, Request(), WSE3, None, "h100x8")), "title")
