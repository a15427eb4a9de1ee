"""A model on several wafers: the values of one, and on Dask workers the clocks of one process too."""

import logging

import numpy as np
import pytest
from click.testing import CliRunner

from wsekern.cli import cli
from wsekern.errors import InputError
from wsekern.inference.execution import ENGINES
from wsekern.inference.many_wafers import LINKS, ManyWafers, cut, link_cycles
from wsekern.inference.mapping import Mapping
from wsekern.inference.wafer import WaferModel
from wsekern.machine import load_machine

WSE3 = load_machine("wse3")
PROMPT = list(range(1, 15))


def line(config, weights, wafers: int, **options) -> ManyWafers:
    """Grids of 4 x 4 PEs that read 4 tokens together."""
    return ManyWafers(config, weights, WSE3, [Mapping(one, 4, 4, "fp32", 24, 4) for one in cut(config, wafers)], **options)


@pytest.fixture
def model(make_model):
    """Three layers, the second one with a window."""
    return make_model(layers=3, windows=(0, 8, 0))


@pytest.mark.parametrize("engine", ["flow", "cycle"])
def test_values_are_those_of_one_wafer(model, engine):
    alone = WaferModel(*model, WSE3, Mapping(model[0], 4, 4, "fp32", 24, 4), engine=ENGINES[engine])
    logits = [alone.prefill(PROMPT), alone.decode(5), alone.decode(9)]
    for wafers in (1, 2, 3):
        many = line(*model, wafers, engine=ENGINES[engine])
        found = [many.prefill(PROMPT), many.decode(5), many.decode(9)]
        assert all(np.array_equal(one, other) for one, other in zip(logits, found, strict=True))
        work = many.cycles_by_part
        assert {part: work[part] for part in alone.cycles_by_part} == alone.cycles_by_part
        assert many.link_traversals == alone.link_traversals and (many.both_engines is None) == (engine == "flow")
        assert many.cycles == alone.cycles or wafers > 1


def test_clocks_are_those_of_wafers_that_work_behind_each_other(model):
    """A chunk begins on a wafer when it is there and the one before it has left."""
    (config, weights), mapping = model, Mapping(model[0], 4, 4, "fp32", 24, 4)
    many, alone = line(config, weights, 3), WaferModel(config, weights, WSE3, mapping)
    many.prefill(PROMPT[:4])
    alone.prefill(PROMPT[:4])
    assert many.cycles >= alone.cycles + 2 * link_cycles(WSE3, mapping, 4), "a lone chunk has all that way to go"
    alone.reset()
    alone.prefill(PROMPT)
    again = line(config, weights, 3)
    again.prefill(PROMPT)
    assert again.cycles < alone.cycles, "chunks are on several wafers at a time"
    before = again.cycles
    again.decode(3)
    assert again.cycles - before > 2 * link_cycles(WSE3, mapping, 1) + link_cycles(WSE3, mapping, 0)
    assert again.cycles_by_part[LINKS] > 0


def test_workers_give_the_values_and_clocks_of_one_process(model):
    distributed = pytest.importorskip("distributed")
    from wsekern.inference.spread import on_workers

    here = line(*model, 3)
    logits = [here.prefill(PROMPT), here.decode(5)]
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None,
                                  silence_logs=logging.ERROR) as cluster, distributed.Client(cluster) as client:
        there = line(*model, 3, make=on_workers(client))
        found = [there.prefill(PROMPT), there.decode(5)]
        assert all(np.array_equal(one, other) for one, other in zip(logits, found, strict=True))
        assert there.cycles == here.cycles and there.counts() == here.counts() and there.length == here.length
        with pytest.raises(InputError, match="25 tokens do not fit"):
            there.prefill([1] * 10)


def test_the_command_runs_a_model_on_two_wafers():
    once = ["run", "sample", "--prompt", "Once", "--tokens", "2"]
    done = CliRunner().invoke(cli, [*once, "--wafers", "2", "--check", "none"])
    assert done.exit_code == 0 and "2 wafers with" in done.output
    for more, said in (("--wafers 99", "expected 1 to"), ("--wafers 2 --speculate 2 --draft ngram", "go without"),
                       ("--wafers 2 --timeline t.json", "go without")):
        done = CliRunner().invoke(cli, [*once, *more.split()])
        assert isinstance(done.exception, InputError) and said in str(done.exception)
