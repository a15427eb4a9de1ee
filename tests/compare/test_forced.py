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


def said(wafers: int | None, words: str) -> list[str]:
    """Notes about the number of wafers."""
    comparison = compare(LLAMA, REQUEST, WSE3, wafers, "h100x8")
    return [note for note in comparison.wafer.assumptions if words in note]


def test_more_wafers_than_help_stay_empty_and_are_noted():
    (note,) = said(128, "stay empty")
    assert note.startswith("127 of 128 wafers stay empty")
    assert not said(128, "were asked for")


def test_more_wafers_that_answer_later_are_noted_with_both_times():
    side = Pairing(LLAMA, WSE3, load_cluster("h100x8")).wafer(REQUEST)
    twice = replace(side.measure, time_per_output_token_seconds=side.time_per_output_token_seconds * 2)
    slower = replace(side, measure=twice, facts={"wafers": 128})
    (note,) = set(with_note(slower, side, WSE3).assumptions) - set(side.assumptions)
    found = [float(number.replace(",", "")) for number in re.findall(r"([\d.,]+) ms", note)]
    assert found == pytest.approx([1e3 * slower.request_seconds, 1e3 * side.request_seconds], rel=1e-3)
    assert note.startswith("128 wafers") and "hold it (1)" in note


def test_the_fewest_wafers_and_quicker_ones_need_no_note():
    assert not said(None, "were asked for") and not said(1, "were asked for")
    side = Pairing(LLAMA, WSE3, load_cluster("h100x8")).wafer(REQUEST)
    half = replace(side.measure, time_per_output_token_seconds=side.time_per_output_token_seconds / 2)
    quicker = replace(side, measure=half, facts={"wafers": 2})
    assert with_note(quicker, side, WSE3) is quicker
