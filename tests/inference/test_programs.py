"""Choices of programs that belong to no part alone, and all of the default set together."""

import numpy as np
import pytest

from wsekern.inference.blocks.common import all_reduce, odd_groups
from wsekern.inference.grid import Grid
from wsekern.inference.mapping import Mapping
from wsekern.inference.programs import PROGRAM_SETS, Programs
from wsekern.inference.reference import ReferenceModel
from wsekern.inference.wafer import WaferModel
from wsekern.machine import load_machine
from wsekern.ops import FlowEngine
from wsekern.ops.engines.both import BothEngines
from wsekern.workload import load_config

WSE3, PROMPT = load_machine("wse3"), list(range(20))


@pytest.mark.parametrize("line", [2, 7, 16, 33, 64, 195, 392, 755])
def test_odd_groups_are_never_slower_than_the_root(line):
    """Sums of an even number of groups meet beside the middle of the line, and results go further."""
    cycles = {}
    for groups in ("root", "odd"):
        grid = Grid(load_config("llama3-8b"), line, 1, programs=Programs(groups=groups))
        engine, reduce = FlowEngine(WSE3, line, 1, "silicon", "fp16"), all_reduce(grid, 32, "x")
        engine.time(reduce)
        cycles[groups] = engine.cycles
    assert odd_groups(line) % 2 and abs(odd_groups(line) ** 2 - line) <= 2 * line
    assert cycles["odd"] <= cycles["root"]
    assert line not in (195, 392) or cycles["odd"] < 0.98 * cycles["root"]


def test_the_default_set_runs_a_whole_model_on_both_engines(make_model):
    config, weights = make_model(layers=1, ffn=120)
    mapping = Mapping(config, 4, 16, "fp16", 40, 17, programs=PROGRAM_SETS["default"].programs)
    wafer, reference = WaferModel(config, weights, WSE3, mapping, engine=BothEngines), ReferenceModel(config, weights)
    for found, tokens in ((wafer.prefill(PROMPT), PROMPT), (wafer.decode(7), [7])):
        expected = reference.forward(tokens)[-1]
        np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())
    assert wafer.engine.operations_by_wavelet > 20
