"""Shares of the experts chosen: a softmax, on both engines, in the same cycles."""

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.machine.timing import timing
from wsekern.number_formats import round_bf16, widen
from wsekern.ops import FlowEngine, Local
from wsekern.ops.engines.both import BothEngines
from wsekern.ops.local.shares import TopShares


@pytest.mark.parametrize("precision", ["fp16", "bf16", "fp16_fp32"])
@pytest.mark.parametrize(("n", "rows"), [(4, 1), (8, 1), (1, 2), (3, 3), (4, 30)])
def test_shares_are_a_softmax_on_both_engines(precision, n, rows):
    x = -np.sort(-6 * np.random.default_rng(n).standard_normal((2, 3, rows, n)).astype(np.float32), axis=-1)
    tile = round_bf16(x) if precision == "bf16" else x.astype(np.float16)
    engine = BothEngines("wse3", 3, 2, precision=precision)
    found = widen(engine.run(TopShares(n, rows), tile), precision)
    given = widen(tile, precision).astype(np.float64)
    terms = np.exp(given - given[..., :1])
    far, near = (0.02, 1e-4) if rows > 8 or precision == "bf16" else (6e-4, 4e-8)       # many rows: steps of 16 bits
    np.testing.assert_allclose(found, terms / terms.sum(-1, keepdims=True), rtol=far, atol=near)
    assert engine.clock_difference == 0


def test_few_rows_are_scalar_code_and_never_slower_than_the_parts():
    costs = timing("wse3", "silicon", "fp16")
    parts = [Local(kind, 4, 1, form="vector") for kind in ("rowmax", "expsub", "rowsum", "rowdiv")]
    assert sum(TopShares(4).cycles(costs)) < 0.5 * sum(sum(part.cycles(costs)) for part in parts)
    many = TopShares(4, 64)
    assert TopShares(4).by_scalars(costs) and not many.by_scalars(costs)
    assert sum(many.cycles(costs)) == sum(sum(part.cycles(costs)) for part in many.parts)


def test_scores_far_below_the_best_have_no_share_and_what_is_no_number_stays_none():
    x = np.array([[3.0, -60000.0, -np.inf], [np.nan, 1.0, 0.0]], np.float16).reshape(1, 1, 2, 3)
    found = FlowEngine("wse3", 1, 1, precision="fp16").run(TopShares(3, 2), x)[0, 0]
    assert found[0].tolist() == [1, 0, 0] and np.isnan(found[1]).all()
    with pytest.raises(InputError, match="n is 0"):
        TopShares(0)
