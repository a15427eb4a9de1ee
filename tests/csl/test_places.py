"""Instructions know their lines of CSL: in listings, in reports of waits, in traces."""

import json

import pytest

from wsekern.errors import DeadlockError
from wsekern.program import Program
from wsekern.program.trace import trace

WAITS = """
const queue = @get_input_queue(2);
const words = @get_dsd(fabin_dsd, .{ .extent = 4, .fabric_color = @get_color(1), .input_queue = queue });
const numbers = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> in[i] });
fn listen() void {
  @mov32(numbers, words);
}
fn compute() void {
  out[0] = 5;
  listen();
  sys.unblock_cmd_stream();
}
comptime {
  if (@is_arch("wse3")) { @initialize_queue(queue, .{ .color = @get_color(1) }); }
  @set_local_color_config(@get_color(1), .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP } } });
}
"""
LINE = 22  # of @mov32, behind the head of conftest.py


def test_listings_carry_functions_and_lines_and_are_read_back(compile_csl):
    program = compile_csl(WAITS).programs[0].program
    assert f'pe.csl" {LINE} listen' in program.text()
    found = Program.parse(program.text())
    assert found == program and found.origins == program.origins


def test_a_wait_says_the_function_and_the_line(run_csl):
    runtime = run_csl(WAITS)
    with pytest.raises(DeadlockError, match=rf"PE \(0, 0\), program pe, function listen, \S*pe\.csl:{LINE} \("):
        runtime.launch("compute")
    report = runtime.machine.simulation.wait_report()
    assert "function listen, main thread" in report and f"pe.csl:{LINE}: mov32" in report


def test_traces_show_functions(compile_csl, tmp_path):
    made = compile_csl(WAITS)
    simulation = made.layout.compile(taps=made.taps)
    simulation.launch("launch")
    trace(simulation, tmp_path / "trace.json", 60)
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    functions = [event["name"] for event in events if event.get("cat") == "function"]
    assert functions == ["compute", "listen"]
    assert any(f"pe.csl:{LINE}" in event["args"].get("source", "") for event in events if event.get("cat") == "instruction")
