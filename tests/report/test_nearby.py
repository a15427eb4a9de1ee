"""Measurements of wafers that are most like what was asked."""

import pytest

from wsekern import load_config
from wsekern.report.nearby import nearby


@pytest.mark.parametrize(("model", "machine", "phase", "grid", "first"), [
    ("llama3-8b", "wse2", "decode", 660, "W0141: llama3-8b, decode on 660x660 PEs of WSE2: a layer 15,323 cycles (derived"),
    ("llama3-8b", "wse2", "prefill", 600, "W0143: llama3-8b, prefill on 600x600 PEs of WSE2: a layer 5,623,632 cycles"),
    ("llama3-70b", "wse3", "decode", None, "W0582: llama3.1-70b, decode on 4 wafers of WSE3: a lone user sees 450 tok/s/user"),
    ("llama3-8b", "wse3", "decode", None, "W0581: llama3.1-8b, decode on 1 wafer of WSE3: a lone user sees 1,800 tok/s/user"),
])
def test_the_nearest_row_comes_first(model: str, machine: str, phase: str, grid: int | None, first: str):
    found = nearby(load_config(model), machine, phase, grid)
    assert len(found) == 3 and found[0].startswith(first), found[0]


def test_every_row_can_be_told():
    assert any(": a token 530,145 cycles" in line for line in nearby(load_config("qwen3-0.6b"), "wse2", count=1000))
