"""Several machines beside the wafers: the same definitions for all, one front, and no machine twice."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsekern.cluster import Cluster, load_cluster
from wsekern.compare import Serving, compare, pairing
from wsekern.compare.beside import MOST_CLUSTERS, clusters_of
from wsekern.compare.datacentre import Budget, datacentre
from wsekern.compare.front import COSTS, front
from wsekern.compare.side import bounded, copies_of
from wsekern.compare.sweep import crossovers, sweep, sweep_fronts
from wsekern.compare.verdict import ranking
from wsekern.errors import BudgetError, InputError
from wsekern.machine import load_machine
from wsekern.report import comparison_plot, comparison_view, sweep_plot, sweep_view
from wsekern.report.pages import html_page
from wsekern.report.words import amount, seconds
from wsekern.workload import Request, load_config

WSE3 = load_machine("wse3")
LLAMA = load_config("llama3-8b")
NAMES = ("h100x8", "b200x8", "l4x1")


@pytest.fixture(scope="module")
def found():
    return compare(LLAMA, Request(), WSE3, None, NAMES)


def test_every_machine_has_the_figures_that_it_has_alone(found):
    assert list(found.sides()) == ["wafer", *NAMES]
    for number, beside in enumerate(found.clusters):
        alone = compare(LLAMA, Request(), WSE3, None, beside.name)
        assert (alone.wafer, alone.cluster, alone.cluster_ideal) == (found.wafer, beside.cluster, beside.cluster_ideal)
        assert found.ratios(number) == alone.ratios()


def test_wafers_are_served_once_whatever_the_number_of_machines(monkeypatch):
    calls, serve = [], pairing.wafer_side
    monkeypatch.setattr(pairing, "wafer_side", lambda *given: calls.append(1) or serve(*given))
    compare(LLAMA, Request(), WSE3, None, NAMES)
    assert len(calls) == 1


def test_a_machine_that_cannot_serve_says_so_and_the_others_answer(tmp_path):
    found = compare(load_config("deepseek-v4-pro"), Request(), WSE3, None, ["l4x1", "gb200x72"])
    assert found.clusters[0].cluster is None and "weights take" in found.not_served["l4x1"]
    data = found.to_dict()
    assert [one["name"] for one in data["clusters"]] == ["l4x1", "gb200x72"] and data["clusters"][0]["wafer_better_by"] == {}
    assert data["clusters"][1]["cluster"]["requests_per_second"] > 0 and set(data["not_served"]) == {"wafer", "l4x1"}
    page = html_page(comparison_view(found), "title")
    assert "l4x1 cannot" in page and "wafers cannot" in page and "Pareto front" in page
    comparison_plot(found, tmp_path / "c.svg")


def test_what_no_machine_can_serve_is_refused_with_every_reason():
    with pytest.raises(InputError, match=r"compressed queries.*h100x1.*weights take.*l4x1.*weights take"):
        compare(load_config("deepseek-v4-pro"), Request(), WSE3, None, ["h100x1", "l4x1"])


def test_a_layout_is_refused_where_it_fits_none_of_the_machines():
    found = compare(LLAMA, Request(), WSE3, None, ["h100x1", "h100x8"], serving=Serving(tp=8))
    assert found.cluster is None and found.clusters[1].cluster is not None
    with pytest.raises(InputError, match="h100x1"):
        compare(LLAMA, Request(), WSE3, None, ["h100x1", "h200x4"], serving=Serving(tp=8))
    with pytest.raises(BudgetError, match="h100x8"):
        compare(load_config("llama3-70b"), Request(), WSE3, None, ["h100x8", "h200x8"], serving=Serving(tp=1))


@pytest.mark.parametrize(("names", "words"), [
    (["h100x8", "abacus"], "no cluster 'abacus'"), (["h100x8", "8xh100"], "h100x8 is named twice"), ([], "names 0 machines"),
    (["gb200-nvl72", "gb200x72"], "gb200x72 is named twice"), (["h100x8", "auto"], "stands alone"),
    ([f"h100x{count}" for count in range(1, MOST_CLUSTERS + 2)], f"expected 1 to {MOST_CLUSTERS}")])
def test_bad_lists_are_refused(names, words):
    with pytest.raises(InputError, match=words):
        clusters_of(names)


def test_a_machine_of_ones_own_needs_a_name_of_its_own():
    own = Cluster(msgspec.structs.replace(load_cluster("h100x8").gpu, title="mine"), 8)
    with pytest.raises(InputError, match="h100x8 names two different machines"):
        clusters_of(["h100x8", own])
    assert clusters_of(own) == (own,)


systems = st.dictionaries(st.integers(), st.tuples(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)), max_size=12)


class System:
    """Two figures of a system."""

    def __init__(self, figures):
        self.tokens_per_second_per_user, self.usd_per_million_tokens = figures


@given(systems)
def test_no_system_beats_one_of_the_front_and_every_other_is_beaten(figures):
    kept = front({key: System(one) for key, one in figures.items()}, "usd_per_million_tokens")

    def beaten(key):
        speed, cost = figures[key]
        return any(other[0] >= speed and other[1] <= cost and other != figures[key] for other in figures.values())

    assert not any(beaten(key) for key in kept)
    for key in set(figures) - set(kept):
        assert beaten(key) or figures[key] in [figures[one] for one in kept]
    speeds = [figures[key][0] for key in kept]
    assert speeds == sorted(speeds, reverse=True) and len(set(speeds)) == len(kept)


def test_a_ranking_names_the_best_first_equals_as_the_same_and_what_was_not_measured_as_a_range():
    values = {"a": (3.0, 3.0, 3.0), "b": (1.0, 1.0, 1.0), "c": (1.001, 1.001, 1.001), "d": (1.2, 0.96, 3.6)}
    assert ranking("times, soonest", values) == "times, soonest first: b; c the same; d 0.96 to 3.6 times; a 3.0 times"
    assert ranking("requests, most", values, most=True) == (
        "requests, most first: a; d 0.32 to 1.2 times; c 0.33 times; b 0.33 times")


def test_the_figures_of_a_machine_that_was_not_measured_are_ranges(found):
    side = found.clusters[0].cluster
    assert side.bounds is None and side.ranges() == {}
    unsure = bounded(side, (0.8, 3.0))
    assert unsure.ranges()["request_seconds"] == pytest.approx([0.8 * side.request_seconds, 3.0 * side.request_seconds])
    assert unsure.ranges()["tokens_per_second"] == pytest.approx([side.tokens_per_second / 3.0, side.tokens_per_second / 0.8])
    assert copies_of(unsure, 3).ranges()["requests_per_second"] == pytest.approx(
        [3 * side.requests_per_second / 3.0, 3 * side.requests_per_second / 0.8])
    assert "watts" not in unsure.ranges() and unsure.spread("watts") == (side.watts,) * 3
    view = comparison_view(replace(found, clusters=(replace(found.clusters[0], cluster=unsure), *found.clusters[1:])))
    page = html_page(view, "title")
    assert f"to {seconds(3.0 * side.request_seconds)}" in page and f"to {amount(side.requests_per_second / 0.8)}" in page


def test_equal_budgets_are_those_of_the_largest_side(tmp_path):
    cells = sweep(LLAMA, WSE3, ["h100x1", "h100x8"], batches=(16,), prompts=(512,), output=64, mode="equal-power")
    (cell,) = cells
    one, eight = cell.clusters
    assert cell.copies[0] == 1 and cell.copies[1] > cell.copies[2] > 1
    for beside in (one, eight):
        assert beside.cluster.watts == pytest.approx(cell.wafer.watts, rel=0.35)
    assert "the clusters' at batch 1" in cell.assumptions[0]
    assert {crossing.gpus for crossing in crossovers(cells)} == {"h100x1", "h100x8"}
    assert {line["cost"] for line in sweep_fronts(cells)} == set(COSTS)
    page = html_page(sweep_view("llama3-8b", "equal-power", cells, crossovers(cells)), "title")
    assert "h100x1 (stock)" in page and "Pareto front" in page
    sweep_plot("llama3-8b", cells, tmp_path / "s.svg")
    assert [one["name"] for one in cell.to_dict()["clusters"]] == ["h100x1", "h100x8"]


def test_a_datacentre_is_filled_with_each_machine():
    budget, asked = Budget(1e5), Request(512, 64)
    found = datacentre(LLAMA, WSE3, ["h100x8", "gb200-nvl72"], budget, request=asked, batches=(16,))
    assert found.cluster == datacentre(LLAMA, WSE3, "h100x8", budget, request=asked, batches=(16,)).cluster
    assert "rated at" in found.not_served["gb200x72"] and found.to_dict()["clusters"][1]["cluster"] is None
