"""A number of wafers that is asked for: where it makes one user slower, the comparison says so."""

import re
from dataclasses import replace

import pytest

from wsekern.cluster import load_cluster
from wsekern.compare.comparison import compare
from wsekern.compare.forced import with_note
from wsekern.compare.pairing import Pairing
from wsekern.machine import load_machine
from wsekern.workload import Request, load_config

LLAMA, WSE3, REQUEST = load_config("llama3-8b"), load_machine("wse3"), Request()


def said(wafers: int | None) -> list[str]:
    """Notes about the number of wafers."""
    comparison = compare(LLAMA, REQUEST, WSE3, wafers, "h100x8")
    return [note for note in comparison.wafer.assumptions if "were asked for" in note]


def test_more_wafers_that_answer_later_are_noted_with_both_times():
    (note,) = said(128)
    sides = {wafers: compare(LLAMA, REQUEST, WSE3, wafers, "h100x8").wafer for wafers in (128, 1)}
    times = [1e3 * (side.time_to_first_token_seconds + (REQUEST.output - 1) * side.time_per_output_token_seconds)
             for side in sides.values()]
    found = [float(number.replace(",", "")) for number in re.findall(r"([\d.,]+) ms", note)]
    assert found == pytest.approx(times, rel=1e-3) and found[0] > found[1]
    assert note.startswith("128 wafers") and "hold it (1)" in note


def test_the_fewest_wafers_and_quicker_ones_need_no_note():
    assert not said(None) and not said(1)
    side = Pairing(LLAMA, WSE3, load_cluster("h100x8")).wafer(REQUEST)
    half = replace(side.measure, time_per_output_token_seconds=side.time_per_output_token_seconds / 2)
    quicker = replace(side, measure=half, facts={"wafers": 2})
    assert with_note(quicker, side, WSE3) is quicker
