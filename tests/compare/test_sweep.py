"""Sweeps, crossovers, equal power and cost, and the datacentre, on real parts of both sides."""

import pytest

from wsekern.cluster import load_cluster
from wsekern.compare.beside import Beside
from wsekern.compare.datacentre import Budget, datacentre, parse_power
from wsekern.compare.side import copies_of
from wsekern.compare.sweep import Cell, crossovers, sweep
from wsekern.errors import InputError
from wsekern.machine import load_machine
from wsekern.workload import Request, load_config

LLAMA = load_config("llama3-8b")
WSE3 = load_machine("wse3")


@pytest.fixture(scope="module")
def cells():
    return sweep(LLAMA, WSE3, "h100x8", batches=(1, 8, 64), prompts=(512,), output=64)


def test_the_wafer_is_faster_for_one_user_and_gpus_catch_up(cells):
    one = cells[0]
    assert one.wafer.tokens_per_second_per_user > one.cluster.tokens_per_second_per_user
    ratios = [c.wafer.joules_per_token / c.cluster.joules_per_token for c in cells if c.wafer and c.cluster]
    assert len(ratios) >= 2
    for cell in cells:
        found = cell.to_dict()
        assert found["batch"] == cell.batch and set(found) >= {"wafer", "cluster", "notes"}
        assert (cell.wafer is None) == (found["wafer"] is None)


@pytest.mark.parametrize("mode", ["equal-power", "equal-cost"])
def test_equal_budgets(mode, cells):
    (cell,) = sweep(LLAMA, WSE3, "h100x1", batches=(16,), prompts=(512,), output=64, mode=mode)
    assert cell.copies[0] == 1 and cell.copies[1] > 1
    if mode == "equal-power":
        assert cell.cluster.watts == pytest.approx(cell.wafer.watts, rel=0.25)
    assert cell.cluster.requests_per_second == pytest.approx(16 / cell.cluster.request_seconds)
    assert cell.cluster.tokens_per_second == pytest.approx(64 * cell.cluster.requests_per_second)
    assert cell.cluster.joules_per_token == pytest.approx(cell.cluster.watts / cell.cluster.tokens_per_second)


@pytest.mark.parametrize(("mode", "unit"), [("equal-power", "watts"), ("equal-cost", "dollars an hour")])
def test_equal_budgets_say_at_which_batch_they_are_equal(mode, unit):
    (cell,) = sweep(LLAMA, WSE3, "h100x1", batches=(2,), prompts=(512,), output=64, mode=mode)
    assert cell.assumptions == (f"copies equalise the {unit}: the wafers' at the full batch, the GPUs' at batch 1",)
    assert cell.to_dict()["notes"] == [*cell.notes, *cell.assumptions]


def test_a_cell_without_copies_assumes_none(cells):
    assert all(cell.assumptions == () for cell in cells)
    (too_large,) = sweep(LLAMA, WSE3, "h100x1", batches=(1,), prompts=(10**6,), wafers=1, mode="equal-power")
    assert too_large.wafer is None and too_large.assumptions == ()
    assert too_large.copies == (1, 1)


def test_names_and_objects_give_the_same_cells(cells):
    assert sweep(LLAMA, WSE3, load_cluster("h100x8"), batches=(1, 8, 64), prompts=(512,), output=64) == cells


def fake(batch, wafer_cost, cluster_cost, side):
    from dataclasses import replace

    def make(cost):
        return replace(side, usd_per_hour=cost * side.tokens_per_second, watts=cost * side.tokens_per_second)

    return Cell(prompt=1, output=1, batch=batch, wafer=make(wafer_cost), copies=(1, 1),
                clusters=(Beside(name="h100x8", cluster=make(cluster_cost)),))


def test_crossover_is_interpolated(cells):
    side = cells[0].cluster
    found = crossovers([fake(1, 1.0, 4.0, side), fake(4, 1.0, 2.0, side), fake(16, 1.0, 0.5, side), fake(64, 1.0, 0.1, side)])
    assert [round(c.batch, 6) for c in found] == [8.0, 8.0]
    assert "from about 8 users" in found[0].sentence() and "per dollar" in found[0].sentence()
    assert crossovers([fake(1, 1.0, 2.0, side)])[0].always == "the wafers win throughout the sweep"
    assert "the GPUs win" in crossovers([fake(1, 3.0, 2.0, side)])[0].sentence()


def test_copies_add(cells):
    one = cells[0].cluster
    three = copies_of(one, 3)
    assert three.watts == pytest.approx(3 * one.watts)
    assert three.tokens_per_second == pytest.approx(3 * one.tokens_per_second)
    assert three.joules_per_token == pytest.approx(one.joules_per_token)


def test_bad_sweeps_are_refused():
    with pytest.raises(InputError, match="mode"):
        sweep(LLAMA, WSE3, "h100x1", mode="fair")
    with pytest.raises(InputError, match="at least one"):
        sweep(LLAMA, WSE3, "h100x1", batches=())


@pytest.mark.parametrize(("text", "watts"), [("750MW", 7.5e8), ("20 kW", 2e4), ("1.5GW", 1.5e9), ("5e6 W", 5e6), ("100w", 100)])
def test_power(text, watts):
    assert parse_power(text) == watts


@pytest.mark.parametrize("text", ["much", "750", "5e6", "-3MW", "0", "3 MJ", "1.2.3W", "1e400MW", "1e306GW"])
def test_bad_power(text):
    with pytest.raises(InputError, match="such as 750MW"):
        parse_power(text)


def test_datacentre_fills_the_budget():
    asked, large = Request(512, 64), Budget(parse_power("750MW"))
    found = datacentre(LLAMA, WSE3, "h100x8", large, request=asked, batches=(1, 16, 64))
    wafers, gpus, ideal = found.wafer, found.cluster, found.cluster_ideal
    assert ideal.system == "h100x8 (ideal)" and ideal.tokens_per_second > gpus.tokens_per_second
    assert datacentre(LLAMA, WSE3, "h100x8", large, engine_level="ideal", batches=(1,)).cluster_ideal is None
    for site in (wafers, gpus, ideal):
        assert site.systems * site.system_watts <= 750e6 / 1.25
        assert site.users == site.systems * site.users_per_system
        assert site.requests_per_second == pytest.approx(site.users / site.request_seconds)
        assert site.tokens_per_second == pytest.approx(64 * site.requests_per_second)
        assert any("PUE" in line for line in site.assumptions)
        assert site.to_dict()["systems"] == site.systems
    faster = Budget(750e6, least_tokens_per_second_per_user=gpus.tokens_per_second_per_user * 1.05)
    bounded = datacentre(LLAMA, WSE3, "h100x8", faster, request=asked, batches=(1, 16, 64)).cluster
    assert bounded is None or bounded.tokens_per_second < gpus.tokens_per_second


@pytest.mark.parametrize(("model", "budget", "side", "why"), [
    ("llama3-8b", Budget(1e3), "wafers", "rated at 23 kW"), ("llama3-8b", Budget(1e3), "gpus", "rated at 10.2 kW"),
    ("llama3-8b", Budget(1e6, 1e5), "gpus_ideal", "expected at least 100,000"),
    ("deepseek-v4-pro", Budget(1e6), "wafers", "compressed queries beside whole keys")])
def test_a_datacentre_says_why_a_side_has_no_site(model, budget, side, why):
    sites = datacentre(load_config(model), WSE3, "h100x8", budget, request=Request(512, 64), batches=(1, 16)).to_dict()
    assert sites[side] is None and why in sites["not_served"][side]
    assert {name for name in ("wafers", "gpus", "gpus_ideal") if sites[name] is None} == set(sites["not_served"])


@pytest.mark.parametrize(("overhead", "network"), [(0.9, 0.05), (1.25, 1.0), (1.25, -0.1)])
def test_a_budget_that_makes_power_is_refused(overhead, network):
    with pytest.raises(InputError, match="expected at least 1, and a share from 0 to 1"):
        Budget(1e6, overhead=overhead, network=network)
