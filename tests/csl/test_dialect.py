"""Dialects and what they change, the appliance's client, broadcasts of the host, routes and queues that only some PEs have."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from wsekern.csl.dialect import chosen, detect
from wsekern.errors import InputError

PARAMS = '@import_module("<memcpy/get_params>", .{ .width = 1, .height = 1, .MEMCPYD2H_1 = out_id });'


@pytest.mark.parametrize(("text", "name"), [
    ("param p: comptime_struct;", "1.x"),
    ("// comptime_struct\nparam p;", "2.10"),
    ('const m = @import_module("<memcpy_multi/memcpy>", p);', "0.x"),
    ("comptime { @bind_task(t, c); }", "0.x"),
    (f"const out_id: color = @get_color(3);\nconst m = {PARAMS}", "1.x"),
    (f"param out_id: i16;\nconst m = {PARAMS}", "2.10"),
    ("param n: i16;", "2.10"),
])
def test_detected(tmp_path: Path, text: str, name: str) -> None:
    """The oldest sign decides; comments are none."""
    (tmp_path / "pe.csl").write_text(text)
    (tmp_path / "layout.csl").write_text('layout { @set_tile_code(0, 0, "pe.csl", .{}); }')
    found = detect(tmp_path / "layout.csl")
    assert found.name == name
    assert name in found.text()
    assert chosen("0.x", tmp_path / "layout.csl").name == "0.x"


def test_unknown_dialect(tmp_path: Path) -> None:
    """Another name is refused with those that there are."""
    with pytest.raises(InputError, match=r"no dialect '3': there are 0.x, 1.x, 2.10, and auto"):
        chosen("3", tmp_path / "layout.csl")


SENDER = """
const channel = @get_color(2);
const out_queue = @get_output_queue(2);
const in_queue = @get_input_queue(3);
var halves = [4]u16 { 1, 2, 3, 4 };
var got: [4]u32;
const source = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> halves[i] });
const sink = @get_dsd(fabout_dsd, .{ .extent = 4, .fabric_color = channel, .output_queue = out_queue });
const arriving = @get_dsd(fabin_dsd, .{ .extent = WORDS, .fabric_color = channel, .input_queue = in_queue });
const kept = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{WORDS} -> got[i] });
fn compute() void {
  @mov16(sink, source);
  @mov32(kept, arriving);
  for (@range(i16, WORDS)) |i| { out[i] = @as(i32, got[i]); }
  sys.unblock_cmd_stream();
}
comptime {
  @set_local_color_config(channel, .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ RAMP } } });
  @initialize_queue(out_queue, .{ .color = channel });
  @initialize_queue(in_queue, .{ .color = channel });
}
"""


@pytest.mark.parametrize(("declared", "expected"), [("memcpy_params: comptime_struct", [1, 2, 3, 4]),
                                                    ("memcpy_params", [1 | 2 << 16, 3 | 4 << 16])])
def test_packing(run_csl, declared: str, expected: list[int]) -> None:
    """Before 2.10 a word holds one 16-bit element, from then on two."""
    from tests.csl.conftest import HEAD
    head = HEAD.replace("memcpy_params: comptime_struct", declared)
    runtime = run_csl({"pe.csl": head + SENDER.replace("WORDS", str(len(expected)))})
    found = np.zeros(len(expected), np.uint32)
    runtime.memcpy_d2h(found, runtime.get_id("out"), 0, 0, 1, 1, len(expected))
    assert found.tolist() == expected


def test_broadcast(compile_csl) -> None:
    """Rows of PEs, or columns, get the same."""
    from wsekern.sdk.runtime import SdkRuntime
    runtime = SdkRuntime.of(compile_csl("fn compute() void { sys.unblock_cmd_stream(); }", {"width": 3}))
    name, found = runtime.get_id("in"), np.zeros(6, np.uint32)
    runtime.memcpy_h2d_rowbcast(name, np.array([7, 8], np.uint32), 0, 0, 3, 1, 2)
    runtime.memcpy_d2h(found, name, 0, 0, 3, 1, 2)
    assert found.tolist() == [7, 8] * 3
    runtime.memcpy_h2d_colbcast(name, np.arange(6, dtype=np.uint32), 0, 0, 3, 1, 2)
    runtime.memcpy_d2h(found, name, 0, 0, 3, 1, 2)
    assert found.tolist() == list(range(6))


SOME = """
const queue = @get_input_queue(2);
var place: [1]u32;
const arriving = @get_dsd(fabin_dsd, .{ .extent = 1, .input_queue = queue });
const kept = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{1} -> place[i] });
fn compute() void {
  if (out[7] == 1) { @mov32(kept, arriving); }
  out[0] = 5;
  sys.unblock_cmd_stream();
}
"""


def test_queue_by_condition(run_csl, compile_csl) -> None:
    """Code that is not meant to run may name a queue that a condition leaves without a color; without one it is an error."""
    from wsekern.csl.source import CslError
    runtime = run_csl(SOME + "comptime { if (x == 9) { @initialize_queue(queue, .{ .color = @get_color(4) }); } }")
    found = np.zeros(1, np.uint32)
    runtime.memcpy_d2h(found, runtime.get_id("out"), 0, 0, 1, 1, 1)
    assert found.tolist() == [5]
    with pytest.raises(CslError, match="input queue 2 has no color: @initialize_queue gives it one"):
        compile_csl(SOME)


DSR = """
const channel = @get_color(2);
const routes = @import_module("<tile_config>").color_config;
const bits = @import_module("<directions>");
const out_queue = @get_output_queue(2);
const in_queue = @get_input_queue(3);
const register = @get_dsr(dsr_src1, 3);
var three: [3]u32;
const source = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> in[i] });
const sink = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = channel, .output_queue = out_queue });
const arriving = @get_dsd(fabin_dsd, .{ .extent = 3, .fabric_color = channel, .input_queue = in_queue });
const kept = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> out[i] });
fn make(first: i16) mem1d_dsd { return @increment_dsd_offset(source, first, i32); }
fn compute() void {
  routes.reset_routes(channel, .{ .rx = RAMP, .tx = [1]direction{ RAMP } });
  for (@range(i16, 3)) |i| { in[i] = @as(i32, i) + 4; }
  @load_to_dsr(register, make(0));
  @mov32(sink, register);
  @mov32(kept, arriving);
  out[3] = @as(i32, bits.dirToRxBits(EAST) | bits.TX_RAMP);
  sys.unblock_cmd_stream();
}
comptime {
  @initialize_queue(out_queue, .{ .color = channel });
  @initialize_queue(in_queue, .{ .color = channel });
}
"""


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_memory_in_register_says_how_long(run_csl, arch: str) -> None:
    """A sender takes all that the memory in a DSR gives, over a color that only the running program routes."""
    runtime = run_csl(DSR, arch=arch)
    found = np.zeros(4, np.uint32)
    runtime.memcpy_d2h(found, runtime.get_id("out"), 0, 0, 1, 1, 4)
    assert found.tolist() == [4, 5, 6, 1 << 1 | 1 << 9]


CLIENT = """
import numpy as np
from cerebras.appliance import logger
from cerebras.appliance.pb.sdk.sdk_common_pb2 import MemcpyDataType, MemcpyOrder
from cerebras.sdk.client import SdkCompiler, SdkLauncher, SdkRuntime, sdk_utils
with SdkCompiler(disable_version_check=True) as compiler:
    made = compiler.compile("src", "layout.csl", "--arch=wse3 --fabric-dims=8,3 --fabric-offsets=4,1 -o out --memcpy", "made")
with SdkRuntime(made, simulator=True) as runner:
    runner.launch("compute", nonblock=False)
    found = np.zeros(1, np.uint32)
    runner.memcpy_d2h(found, runner.get_id("out"), 0, 0, 1, 1, 1, streaming=False, order=MemcpyOrder.ROW_MAJOR,
                      data_type=MemcpyDataType.MEMCPY_32BIT, nonblock=False)
    print("found", found[0])
with SdkLauncher(made, simulator=True) as launcher:
    launcher.stage("more.txt")
    print(launcher.run("cat more.txt; ls -d out/out.json; echo [%CMADDR%]"))
    launcher.download_artifact("out/out.json", "copied.json")
"""


def test_client(tmp_path: Path) -> None:
    """Compiler, runtime and launcher of the appliance, as a script uses them."""
    from tests.csl.conftest import HEAD, LAYOUT
    from wsekern.sdk.shell import tools
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "layout.csl").write_text(LAYOUT)
    (tmp_path / "src" / "pe.csl").write_text(HEAD + """const print = @import_module("<simprint>");
fn compute() void { out[0] = 42; print.fmt("PE({d},0): {d}", .{ x, out[0] }); sys.unblock_cmd_stream(); }""")
    (tmp_path / "more.txt").write_text("more\n")
    (tmp_path / "run.py").write_text(CLIENT)
    with tools() as environment:
        done = subprocess.run(["bash", "-c", "python run.py"], cwd=tmp_path, env=environment, capture_output=True, text=True,
                              check=False)
    assert done.returncode == 0, done.stderr
    assert "dialect 1.x" in done.stdout
    assert "found 42" in done.stdout
    assert "more\nout/out.json\n[]" in done.stdout
    assert (tmp_path / "copied.json").is_file()
    assert len(list(tmp_path.glob("wsjob-*.json"))) == 3 and list((tmp_path / "simfab_traces").iterdir()) == []
    said, cycles = (tmp_path / "sim.log").read_text().splitlines()
    assert said.startswith("@") and said.endswith(" PE(0,0): 42")
    assert cycles == f"cycles={json.loads((tmp_path / 'sim_stats.json').read_text())['cycle_count']}"
