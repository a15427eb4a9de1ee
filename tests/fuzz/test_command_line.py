"""Command lines that are nearly right answer or are refused: exit code 0 with JSON that has no hole, or 2 with one sentence.

A few hundred on every run; ``WSEKERN_FUZZ=20000 pytest tests/fuzz`` tries as many, by hand.
"""

import contextlib
import io
import json
import math
import os
import sys
import time
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsekern.cli import main

EXAMPLES = int(os.environ.get("WSEKERN_FUZZ", "100"))
SECONDS = 60
"""Longer than this, a command hangs."""

COMMANDS = {
    "compare llama3-8b": {"--wafer": ["wse2", "wse3"], "--wafers": ["auto", "2"], "--cluster": ["h100x8", "auto", "a100-80x4"],
                          "--prompt": ["16", "1024"], "--output": ["1", "256"], "--batch": ["1", "64"],
                          "--precision": ["fp16", "bf16"], "--profile": ["silicon"], "--engine-level": ["stock", "ideal"],
                          "--batches": ["1,64"], "--prompts": ["16,1024"], "--equal": ["power", "cost"], "--power": ["1MW"],
                          "--min-speed": ["10"]},
    "predict op": {"": ["broadcast", "reduce", "allreduce", "ktree", "gemv", "shift", "transpose"],
                   "--machine": ["wse2", "wse3"], "--grid": ["8x1", "8x8", "1x16"], "--words": ["16", "1"],
                   "--tile": ["4x4", "4x4x4"], "--groups": ["2"],
                   "--relays": ["1"], "--dtype": ["fp16", "fp32"], "--profile": ["silicon", "vendor-simulator"],
                   "--engine": ["flow"]},
    "predict gpu llama3-8b": {"--phase": ["decode", "prefill"], "--gpu": ["h100", "a100-80"], "--gpus": ["1", "8"],
                              "--tp": ["1", "4"], "--pp": ["1", "2"], "--dp": ["1", "2"], "--ep": ["1"],
                              "--context": ["16", "4096"], "--batch": ["1", "32"],
                              "--precision": ["bf16", "fp8"], "--engine-level": ["stock", "eager"]},
    "predict gpu mixtral-8x7b": {"--phase": ["decode"], "--gpu": ["b200"], "--gpus": ["8"], "--tp": ["2"], "--dp": ["4"],
                                 "--ep": ["8"], "--context": ["128"], "--batch": ["64"], "--precision": ["fp4"]},
    "predict wafer llama3-8b": {"--phase": ["decode", "prefill"], "--machine": ["wse2", "wse3"], "--grid": ["420x420"],
                                "--context": ["128", "2048"], "--batch": ["1", "4"], "--clock": ["1.1e9"],
                                "--mapping": ["waferllm", "ours"], "--precision": ["fp16"]},
    "plan sample": {"--context": ["256", "2000"], "--users": ["1", "1:4"], "--mix": ["100/20", "50/50:0.5"],
                    "--wafers": ["auto", "1", "1:2"], "--precision": ["fp16", "bf16"], "--program-set": ["default", "2024-08"],
                    "--machine": ["wse2", "wse3"], "--profile": ["silicon"]},
    "machines": {"": ["wse2", "h100", "gb200"]},
}
"""Commands, and for each option values that make sense."""

NASTY = st.one_of(st.sampled_from([
    "", " ", "0", "-1", "1.5", "1e9", "1e400", "nan", "inf", "-inf", "9" * 30, "1" * 5000, "h100x" + "9" * 5000,
    "x", "xx", "8x", "x8", "0x0", "1x1", "-1x4", "1,2", ",", "1,,2", "auto", "é", "\x1b[31m", "[bold]", "None", "true", "../..",
    "/dev/null", "wse9", "1e400MW", "1 kW", "--json"]),
    st.integers(-3, 10**10).map(str), st.text(max_size=6))


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    name = draw(st.sampled_from(sorted(COMMANDS)))
    options = COMMANDS[name]
    chosen = draw(st.lists(st.sampled_from(sorted(options)), unique=True, max_size=6))
    needed = {"predict op": ["", "--grid"], "predict gpu llama3-8b": ["--phase", "--gpu", "--context"],
              "predict gpu mixtral-8x7b": ["--phase", "--gpu", "--gpus", "--context"],
              "predict wafer llama3-8b": ["--phase", "--grid", "--context"]}.get(name, [])
    arguments = name.split()
    for option in dict.fromkeys([*needed, *chosen]):
        value = draw(NASTY if draw(st.integers(0, 5)) == 0 else st.sampled_from(options[option]))
        arguments += [option, value] if option else [value]
    return arguments


def holes(data: Any) -> bool:
    """Whether numbers in ``data`` are not finite."""
    items = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return (isinstance(data, float) and not math.isfinite(data)) or any(map(holes, items))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(command_lines())
def test_command_lines_answer_or_are_refused_in_one_sentence(arguments):
    out, err, began = io.StringIO(), io.StringIO(), time.perf_counter()
    with (patch.object(sys, "argv", ["wsekern", *arguments, "--json", "-"]), contextlib.redirect_stdout(out),
          contextlib.redirect_stderr(err)):
        code = None
        try:
            main()
        except SystemExit as end:
            code = end.code
    assert time.perf_counter() - began < SECONDS
    assert code in (0, 2)
    if code == 2:
        assert out.getvalue() == "" and err.getvalue().startswith("wsekern: ") and err.getvalue().count("\n") == 1
    else:
        assert err.getvalue() == "" and not holes(json.loads(out.getvalue()))
