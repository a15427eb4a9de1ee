"""Simulators in Python as hosts: SimPy, and cocotb with Icarus Verilog."""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


@pytest.mark.parametrize("every", [1, 3])
def test_simpy_takes_words_at_exact_cycles_and_holds_the_wafer_back(every):
    pytest.importorskip("simpy")
    import simpy_host

    words = [(7 * k) % 101 for k in range(60)]
    taken = simpy_host.run(words, every, cycles=60 * every + 20)
    ramp, hops = 2, 5
    assert taken == [(ramp + hops + ramp + every * k, word) for k, word in enumerate(words)]


def test_a_circuit_under_cocotb_sends_words_over_the_wafer(tmp_path):
    there = find_spec("cocotb") is not None and shutil.which("iverilog") is not None
    if not there and os.environ.get("WSEKERN_HOSTS") != "all":
        pytest.skip("needs cocotb (PyPI) and Icarus Verilog (Debian: iverilog)")
    from cocotb_tools.runner import get_runner

    runner = get_runner("icarus")
    runner.build(sources=[HERE / "cocotb_circuit.v"], hdl_toplevel="circuit", build_dir=tmp_path)
    results = runner.test(test_module="cocotb_host", hdl_toplevel="circuit", build_dir=tmp_path, test_dir=tmp_path,
                          extra_env={"PYTHONPATH": ":".join([str(HERE), *sys.path])})
    from cocotb_tools.check_results import get_results

    assert get_results(results) == (1, 0), "one test, none failed"
