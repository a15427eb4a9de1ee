"""Wafers on Dask workers: the words and cycles of one process."""

import logging

import numpy as np
import pytest

from wsekern.errors import DeadlineError, InputError
from wsekern.fabric import Fabric, FabricPlan, Wafers

distributed = pytest.importorskip("distributed")
WIDTH, HEIGHT = 5, 4


@pytest.fixture(scope="module")
def client():
    """A scheduler and a worker in this process."""
    cluster = distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None,
                                       silence_logs=logging.ERROR)
    with cluster, distributed.Client(cluster) as one:
        yield one


def chain(latency: int, words: int) -> Wafers:
    """Three wafers, each with links to the next: words of color 5 pass all of them and leave a copy on every PE, those of color
    6 go from the first column of the second to the last one of the third."""
    plans = [FabricPlan(WIDTH, HEIGHT, "wse2", open_edges=True) for _ in range(3)]
    for number, plan in enumerate(plans):
        plan.paint(5, "WEST", "EAST RAMP" if number < 2 else "RAMP", width=WIDTH if number < 2 else 1, height=HEIGHT)
    plans[1].paint(6, "WEST", "EAST", width=WIDTH, height=HEIGHT)
    plans[1].paint(6, "RAMP", "EAST", height=HEIGHT)
    plans[2].paint(6, "WEST", "EAST", width=WIDTH, height=HEIGHT)
    plans[2].paint(6, "WEST", "RAMP", x=WIDTH - 1, height=HEIGHT)
    wafers = Wafers([Fabric(plan) for plan in plans])
    for number in range(2):
        wafers.link(number, "EAST", number + 1, "WEST", HEIGHT, latency=latency + number, words=words, frame=3)
    return wafers


def load(wafers: Wafers) -> Wafers:
    """Words of two colors on every row of the first wafer, of one on the second."""
    for y in range(HEIGHT):
        wafers.fabrics[0].inject(0, y, 5, list(range(20 + y)), port="WEST")
        wafers.fabrics[1].inject(0, y, 6, list(range(100, 107)))
    return wafers


def state(fabrics: list[Fabric]) -> list:
    """All that can be told of them."""
    return [(fabric.cycle, fabric.drain().tolist(), {key: np.asarray(value).tolist() for key, value in fabric.totals().items()})
            for fabric in fabrics]


@pytest.mark.parametrize(("latency", "words"), [(1, 1), (7, 2), (90, 4)])
def test_words_and_cycles_are_those_of_one_process(client, latency, words):
    from wsekern.fabric.spread import SpreadWafers

    for cycles in (None, 43):
        alone, spread = load(chain(latency, words)), SpreadWafers(load(chain(latency, words)), client)
        if cycles is None:
            assert spread.run_until_idle(9999) == alone.run_until_idle(9999)
        else:
            assert spread.step(cycles) == alone.step(cycles) and spread.step(9) == alone.step(9)
        found = state(spread.fabrics())
        assert found == state(alone.fabrics) and any(drained for _, drained, _ in found)


def test_what_cannot_be_spread_is_refused(client):
    from wsekern.fabric.spread import SpreadWafers

    wafers = load(chain(4, 1))
    wafers.step(3)
    with pytest.raises(InputError, match="before they run"):
        SpreadWafers(wafers, client)
    with pytest.raises(DeadlineError, match="3 wafers after 5 cycles"):
        SpreadWafers(load(chain(4, 1)), client).run_until_idle(5)
