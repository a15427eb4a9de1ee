"""What programs of other authors do: pointers that change places, structs that hosts fill, payloads of known and unknown parts,
blocks of memory behind a pointer, longer arrays than a copy takes."""

import numpy as np

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
