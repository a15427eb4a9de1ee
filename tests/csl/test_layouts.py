"""Layouts that a Python script makes: code regions, ports, ways between them, streams of the host."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsekern.errors import BudgetError, DeadlockError, InputError
from wsekern.sdk.layout import SdkLayout
from wsekern.sdk.platform import SdkTarget, get_platform
from wsekern.sdk.regions import (
    CodeRegion,
    Color,
    Edge,
    IntRectangle,
    IntVector,
    Route,
    RoutingPosition,
    get_edge_routing,
)
from wsekern.sdk.runtime import SdkRuntime
from wsekern.sdk.ways import Ways

STAGE = """
param size: u16;
param add: i32;
param rx: color;
param tx: color;
const in_queue = @get_input_queue(2);
const out_queue = @get_output_queue(3);
export var data: [size]i32;
export var extra = [2]i32 {0, 0};
const memory = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{size} -> data[i] });
const in = @get_dsd(fabin_dsd, .{ .extent = size, .fabric_color = rx, .input_queue = in_queue });
const out = @get_dsd(fabout_dsd, .{ .extent = size, .fabric_color = tx, .output_queue = out_queue });
const main_id = @get_local_task_id(8);
const work_id = @get_local_task_id(9);
task main() void { @mov32(memory, in, .{ .async = true, .activate = work }); }
task work() void {
  for (@range(u16, size)) |i| { data[i] += add + extra[1]; }
  @mov32(out, memory, .{ .async = true, .activate = main });
}
comptime {
  @bind_local_task(main, main_id);
  @bind_local_task(work, work_id);
  @activate(main_id);
  @initialize_queue(in_queue, .{ .color = rx });
  if (@is_arch("wse3")) { @initialize_queue(out_queue, .{ .color = tx }); }
}
"""
"""Takes words, adds a number, sends them on."""

RX, TX = RoutingPosition().set_output([Route.RAMP]), RoutingPosition().set_input(Route.RAMP)
SIZE = 4


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arch: str) -> SdkLayout:
    """A layout in a folder with the program."""
    (tmp_path / "stage.csl").write_text(STAGE)
    monkeypatch.chdir(tmp_path)
    return SdkLayout(get_platform("", None, SdkTarget(arch)))


@pytest.fixture(params=["wse2", "wse3"])
def arch(request: pytest.FixtureRequest) -> str:
    return request.param


def stage(layout: SdkLayout, name: str, add: int, edges: tuple[Edge, Edge] = (Edge.LEFT, Edge.RIGHT), height: int = 1,
          width: int = 1) -> tuple[CodeRegion, Any, Any]:
    """(region, input port, output port) of a stage."""
    region = layout.create_code_region("stage.csl", name, width, height)
    rx, tx = region.color("rx"), region.color("tx")
    region.set_param_all("size", SIZE)
    region.set_param_all("add", add)
    region.set_param_all(rx)
    region.set_param_all("tx", tx)
    return (region, region.create_input_port(rx, edges[0], [RX], SIZE),
            region.create_output_port(tx, edges[1], [TX], SIZE))


def through(layout: SdkLayout, first: Any, last: Any) -> Callable[[np.ndarray], np.ndarray]:
    """What comes out for what goes in."""
    one, other = layout.create_input_stream(first), layout.create_output_stream(last)
    runtime = SdkRuntime(layout.compile("out"), None, memcpy_required=False)
    runtime.load()
    runtime.run()

    def call(words: np.ndarray) -> np.ndarray:
        found = np.zeros_like(words)
        runtime.send(one, words, nonblock=True)
        runtime.receive(other, found, words.size, nonblock=False)
        return found

    call.runtime = runtime
    return call


def test_words_go_through_connected_regions_and_back(layout):
    one, first, middle = stage(layout, "one", 10)
    two, between, last = stage(layout, "two", 100, (Edge.TOP, Edge.BOTTOM))
    one.place(3, 2)
    two.place(1, 6)
    layout.connect(middle, between)
    call = through(layout, first, last)
    words = np.arange(SIZE, dtype=np.int32)
    assert call(words).tolist() == (words + 110).tolist()
    assert call(2 * words).tolist() == (2 * words + 110).tolist()      # long after the first
    assert call.runtime.read_symbol(3, 2, "data", "int32").tolist() == (2 * words + 10).tolist()
    call.runtime.stop()


def test_regions_beside_each_other_need_no_way(layout):
    one, first, middle = stage(layout, "one", 1)
    two, between, last = stage(layout, "two", 2)
    layout.hstack([one, two], IntVector(0, 0))
    layout.connect(middle, between)
    assert through(layout, first, last)(np.zeros(SIZE, np.int32)).tolist() == [3] * SIZE


def test_lanes_of_wide_ports_keep_their_order(layout):
    spread, first, lanes = stage(layout, "spread", 0, height=3)
    take, into, _ = stage(layout, "take", 5, (Edge.BOTTOM, Edge.TOP), width=3)
    spread.place(0, 4)
    take.place(5, 0)
    for y in range(3):
        spread.set_param(IntVector(0, y), "add", y)
    layout.connect(lanes, into)
    for y in range(3):
        layout.create_input_stream_from_loc(IntVector(0, 4 + y), first.color)
    runtime = SdkRuntime(layout.compile())
    for y in range(3):
        runtime.send(f"rx_0_{4 + y}", np.full(SIZE, 10 * y, np.int32))
    found = [runtime.read_symbol(5 + x, 0, "data", np.int32).tolist() for x in range(3)]
    assert found == [[5 + 11 * x] * SIZE for x in range(3)]


def test_initial_values_are_spread_over_a_region(layout):
    region, _, _ = stage(layout, "one", 0, height=2)
    region.set_symbol_all("extra", np.array([[0, 7], [0, 9]], np.int32), 2, 2)
    runtime = SdkRuntime(layout.compile())
    assert [runtime.read_symbol(0, y, "extra", np.int32).tolist() for y in (0, 1)] == [[0, 7], [0, 9]]


def test_edges_ranges_and_switches_are_painted(layout, arch):
    region = layout.create_code_region("stage.csl", "region", 3, 2)
    color = Color("c", 5)
    east = RoutingPosition().set_input([Route.WEST]).set_output([Route.RAMP, Route.EAST])
    end = RoutingPosition().set_input([Route.WEST]).set_output([Route.RAMP])
    region.paint_all(color, [end, east], [get_edge_routing(Edge.RIGHT, [end])])
    region.paint_range(IntRectangle(IntVector(0, 1), IntVector(2, 2)), color, [end])
    positions = {cell: route.positions for (cell, _), route in region.routes.items()}
    assert positions == {(0, 0): 2, (1, 0): 2, (2, 0): 1, (0, 1): 1, (1, 1): 1, (2, 1): 1}


def test_what_does_not_fit_is_refused(layout):
    one, first, middle = stage(layout, "one", 1)
    two, between, last = stage(layout, "two", 2, height=2)
    with pytest.raises(InputError, match="1 and 2 PEs"):
        layout.connect(middle, between)
    with pytest.raises(InputError, match="expected an output port"):
        layout.connect(first, middle)
    with pytest.raises(InputError, match="leads to one PE"):
        layout.create_output_stream(last)
    with pytest.raises(InputError, match="two code regions"):
        layout.create_code_region("stage.csl", "one", 1, 1)
    with pytest.raises(InputError, match="two ports are called one_rx"):
        one.create_output_port(first.color, Edge.TOP, [TX], SIZE)
    with pytest.raises(InputError, match="is not in the code region"):
        one.set_param(IntVector(1, 0), "size", 3)
    with pytest.raises(InputError, match="splits evenly"):
        two.set_symbol_all("extra", np.zeros(3), 1, 3)
    with pytest.raises(InputError, match="has no input"):
        one.paint_all(Color("c"), [RX])
    one.place(0, 0)
    two.place(0, 0)
    with pytest.raises(InputError, match="both lie on PE"):
        layout.compile()


def test_values_of_colors_that_clash_are_refused(layout):
    one, _, middle = stage(layout, "one", 1)
    _, between, _ = stage(layout, "two", 1)
    middle.color.value, between.color.value = 3, 4
    layout.connect(middle, between)
    with pytest.raises(InputError, match="words keep their color"):
        layout.compile()
    between.color.value = 3
    one.ports[0].color.value = 3
    with pytest.raises(InputError, match="both have the value 3"):
        layout.compile()


def test_words_that_never_come_are_told(layout):
    _, first, last = stage(layout, "one", 1)
    one, other = layout.create_input_stream(first), layout.create_output_stream(last)
    runtime = SdkRuntime(layout.compile())
    runtime.send(one, np.zeros(SIZE - 1, np.int32))
    task = runtime.receive(other, np.zeros(SIZE, np.int32), nonblock=True)
    assert not runtime.is_task_done(task)
    with pytest.raises(DeadlockError, match=f"0 of {SIZE} words came from the stream one_tx"):
        runtime.stop()
    with pytest.raises(InputError, match="no output stream 'one_rx': the layout has one_tx"):
        runtime.receive(one, np.zeros(SIZE, np.int32))


def test_a_way_that_is_not_free_is_refused():
    ways = Ways(3, 3, set())
    for cell in ((1, 0), (1, 1), (1, 2)):
        ways.used.setdefault(4, set()).add(cell)
    with pytest.raises(BudgetError, match="no way on color 4"):
        ways.connect(4, [((0, 0), "SOUTH", (2, 0), "SOUTH")], "connect")
    ways.connect(5, [((0, 0), "SOUTH", (2, 0), "SOUTH")], "connect")
    assert sorted(ways.routes) == [(0, 1, 5), (1, 1, 5), (2, 1, 5)]


def test_marks_in_scripts_run_the_host_script(tmp_path):
    (tmp_path / "run.py").write_text("import sys\nprint(sys.argv[1:])\nsys.exit(sys.argv[1] == '--bad')\n")
    (tmp_path / "commands.sh").write_text(
        "set -e\n%python_anything --arch=wse3 'a b'\necho then\n%python_anything --bad\necho no\n")
    command = [sys.executable, "-m", "wsekern.cli", "sdk", "bash", "commands.sh"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("['--arch=wse3', 'a b']\nthen\n['--bad']\n", 1)


def test_operations_with_an_index_and_tuples_by_index(run_csl):
    runtime = run_csl("""
const ids = .{ 8, 9 };
var k: u16 = 1;
const from = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> in[i], .wavelet_index_offset = true });
const to = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> out[i] });
fn compute() void {
  for (@range(i16, 8)) |i| { in[i] = @as(i32, i); }
  @mov32(to, from, .{ .index = 2 * k });
  out[2] = ids[1];
  sys.unblock_cmd_stream();
}
""")
    found = np.zeros(3, np.int32)
    runtime.memcpy_d2h(found, runtime.get_id("out"), 0, 0, 1, 1, 3)
    assert found.tolist() == [1, 2, 9]
