"""What programs of other authors do: pointers that change places, structs that hosts fill, payloads of known and unknown parts,
blocks of memory behind a pointer, longer arrays than a copy takes."""

import numpy as np
import pytest

from wsekern.csl.build import Options, build
from wsekern.sdk import artifact
from wsekern.sdk.runtime import MemcpyDataType, SdkRuntime

ONE = """
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
const shapes = @import_module("shapes.csl");
layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0) });
  @export_name("field", [*]f32, true);
  @export_name("triplets", [*]shapes.triplet, true);
  @export_name("words", [*]u32, true);
  @export_name("compute", fn()void);
}
"""
SHAPES = "const triplet = struct { i: u16, j: u16, x: f32 };"
PE = """
param memcpy_params: comptime_struct;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const ctrl = @import_module("<control>");
const times = @import_module("<debug>", .{ .buffer_size = 10 });
const shapes = @import_module("shapes.csl");
var one = @zeros([20]f32);
var other = @zeros([20]f32);
var field: [*]f32 = &one;
var next: [*]f32 = &other;
var triplets: [3]shapes.triplet;
var triplets_ptr: [*]shapes.triplet = &triplets;
var words: [4]u32;
var words_ptr: [*]u32 = &words;
fn compute() void {
  const inner = @get_dsd(mem4d_dsd, .{ .base_address = &next[6], .stride = .{ 1, 3 }, .extent = .{ 2, 3 } });
  var near = @get_dsd(mem4d_dsd, .{ .base_address = &field[6], .stride = .{ 1, 3 }, .extent = .{ 2, 3 } });
  @fmuls(inner, near, 2.0);
  near = @increment_dsd_offset(near, -5, f32);
  @fadds(inner, inner, near);
  const old = field;
  field = next;
  next = old;
  for (@range(u16, 3)) |k| {
    const each = triplets[k];
    field[each.i] += each.x * @as(f32, each.j);
  }
  const codes = [1]ctrl.opcode{ ctrl.opcode.SWITCH_ADV };
  const ignores = [1]bool{ true };
  words[0] = ctrl.encode_payload(1, codes, ignores, true, {});
  words[1] = ctrl.encode_payload(1, codes, ignores, words[2] == 7, {});
  times.trace_timestamp();
  sys.unblock_cmd_stream();
}
comptime {
  @export_symbol(field);
  @export_symbol(triplets_ptr, "triplets");
  @export_symbol(words_ptr, "words");
  @export_symbol(compute);
}
"""


def test_the_host_copies_to_and_from_where_a_pointer_leads_and_fills_structs(tmp_path):
    for name, text in (("layout.csl", ONE), ("shapes.csl", SHAPES), ("pe.csl", PE)):
        (tmp_path / name).write_text(text)
    artifact.write(tmp_path / "out", tmp_path / "layout.csl", build(tmp_path / "layout.csl", {}, Options(arch="wse3")), {})
    runtime = SdkRuntime(str(tmp_path / "out"))     # the folder is read as text: a descriptor's base comes at run time
    runtime.run()
    given = np.arange(24, dtype=np.float32)         # longer than the copy
    triplets = np.array([(0, 2, 1.5), (19, 1, -1), (7, 3, 10)], [("i", "u2"), ("j", "u2"), ("x", "f4")])
    runtime.memcpy_h2d(runtime.get_id("field"), given, 0, 0, 1, 1, 20)
    runtime.memcpy_h2d(runtime.get_id("triplets"), triplets.view(np.uint32), 0, 0, 1, 1, 6)
    runtime.launch("compute")
    found, words = np.zeros(20, np.float32), np.zeros(4, np.uint32)
    runtime.memcpy_d2h(found, runtime.get_id("field"), 0, 0, 1, 1, 20, data_type=MemcpyDataType.MEMCPY_32BIT)
    runtime.memcpy_d2h(words, runtime.get_id("words"), 0, 0, 1, 1, 4)
    places = np.array([6, 7, 8, 11, 12, 13])
    wanted = np.zeros(20, np.float32)
    wanted[places] = 2 * given[places] + given[places - 5]
    for i, j, x in triplets:
        wanted[i] += x * j
    np.testing.assert_array_equal(found, wanted)
    assert words.tolist()[:2] == [0x25 << 22 | 0x9249, 5 << 22]


FORKS = """
fn last(a: i32) i32 {
  if (a > 5) {
    return 1;
  } else if (a > 2) {
    return 2;
  } else {
    return 3;
  }
}
fn compute() void {
  for (@range(u16, 3)) |k| { out[k] = last(in[k]); }
  sys.unblock_cmd_stream();
}
"""


def test_a_program_whose_last_function_returns_in_all_branches_is_read_back(compile_csl, tmp_path):
    artifact.write(tmp_path / "out", tmp_path / "layout.csl", compile_csl(FORKS), {})
    runtime = SdkRuntime(str(tmp_path / "out"))
    runtime.memcpy_h2d(runtime.get_id("in"), np.array([7, 3, 1], np.int32), 0, 0, 1, 1, 3)
    runtime.launch("compute")
    found = np.zeros(3, np.int32)
    runtime.memcpy_d2h(found, runtime.get_id("out"), 0, 0, 1, 1, 3)
    assert found.tolist() == [1, 2, 3]


QUEUES = """
const nothing = @import_module("<empty>");
const first = @get_input_queue(2);
const second = @get_input_queue(3);
const out_queue = @get_output_queue(2);
const words = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = @get_color(0), .output_queue = out_queue });
task from_first(word: u32) void { out[0] = @as(i32, word); sys.unblock_cmd_stream(); }
task from_second(word: u32) void { out[1] = @as(i32, word); }
fn compute() void {
  if (x == 0) {
    @mov32(words, @as(u32, 7));
    sys.unblock_cmd_stream();
  }
}
comptime {
  @bind_data_task(from_first, @get_data_task_id(first));
  @bind_data_task(from_second, @get_data_task_id(second));
  if (x == 0) { @initialize_queue(out_queue, .{ .color = @get_color(0) }); }
  if (x > 0) { @initialize_queue(first, .{ .color = @get_color(0) }); }
  if (x > 1) { @initialize_queue(second, .{ .color = @get_color(1) }); }
  @set_local_color_config(@get_color(0), .{ .routes = if (x == 0) .{ .rx = .{ RAMP }, .tx = .{ EAST } }
                                                      else .{ .rx = .{ WEST }, .tx = .{ RAMP } } });
}
"""


def test_a_data_task_whose_queue_has_no_color_on_some_pes_takes_no_other_words(compile_csl, tmp_path):
    artifact.write(tmp_path / "out", tmp_path / "layout.csl", compile_csl(QUEUES, {"width": 2}, "wse3"), {})
    runtime = SdkRuntime(str(tmp_path / "out"))
    runtime.launch("compute")
    found = np.zeros(2, np.int32)
    runtime.memcpy_d2h(found, runtime.get_id("out"), 1, 0, 1, 1, 2)
    assert found.tolist() == [7, 0]


NONE = """
param size: u16 = 0;
var queue: [size]i32;
var queue_ptr: [*]i32 = &queue;
var at: u16 = 0;
const all = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{size} -> queue[i] });
fn push(value: i32) void {
  if (at == size) { out[0] = value; return; }
  queue[at] = value;
  at += 1;
}
fn compute() void {
  @mov32(all, 3);
  for (queue) |each| { out[1] += each; }
  push(5);
  sys.unblock_cmd_stream();
}
"""


def test_an_array_of_no_elements_is_written_by_code_that_never_runs(compile_csl, tmp_path):
    artifact.write(tmp_path / "out", tmp_path / "layout.csl", compile_csl(NONE), {})
    runtime = SdkRuntime(str(tmp_path / "out"))
    runtime.launch("compute")
    found = np.zeros(2, np.int32)
    runtime.memcpy_d2h(found, runtime.get_id("out"), 0, 0, 1, 1, 2)
    assert found.tolist() == [5, 0]


POLL = """
const poll_id = @get_local_task_id(9);
const rx = @get_input_queue(2);
const tx = @get_output_queue(2);
const words = @get_dsd(fabout_dsd, .{ .extent = 3, .fabric_color = @get_color(0), .output_queue = tx });
const given = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> in[i] });
var left: u16 = 3;
task word(value: u32) void { left -= 1; out[left] = @as(i32, value); }
task poll() void {
  if (x == 0 or left == 0) {
    sys.unblock_cmd_stream();
  } else {
    again();
  }
}
fn again() void { @activate(poll_id); }
fn compute() void {
  if (x == 0) { @mov32(words, given); }
  @activate(poll_id);
}
comptime {
  @bind_local_task(poll, poll_id);
  @bind_data_task(word, if (@is_arch("wse3")) @get_data_task_id(rx) else @get_data_task_id(@get_color(0)));
  if (@is_arch("wse3")) {
    @initialize_queue(rx, .{ .color = @get_color(0) });
    @initialize_queue(tx, .{ .color = @get_color(0) });
  }
  @set_local_color_config(@get_color(0), .{ .routes = if (x == 0) .{ .rx = .{ RAMP }, .tx = .{ EAST } }
                                                      else .{ .rx = .{ WEST }, .tx = .{ RAMP } } });
}
"""


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_a_task_that_starts_itself_until_words_have_come_lets_them_in(compile_csl, arch):
    runtime = SdkRuntime.of(compile_csl(POLL, {"width": 2}, arch))
    runtime.memcpy_h2d(runtime.get_id("in"), np.array([4, 5, 6], np.int32), 0, 0, 1, 1, 3)
    runtime.launch("compute")
    found = np.zeros(3, np.int32)
    runtime.memcpy_d2h(found, runtime.get_id("out"), 1, 0, 1, 1, 3)
    assert found.tolist() == [6, 5, 4]
