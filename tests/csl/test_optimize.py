"""What the code of functions becomes: maps of one instruction, loops, descriptors, calls; and that results stay the same."""

import numpy as np
import pytest

from wsekern.program.instructions import Scalar, Vector


def code_of(made):
    """Instructions of the only program."""
    (part,) = made.programs
    return part.program.code


def forms(made):
    return [item.form for item in code_of(made) if isinstance(item, Scalar)]


def vectors(made, name):
    return [item for item in code_of(made) if isinstance(item, Vector) and item.name == name]


def floats(runtime):
    found = np.zeros(8, np.float32)
    runtime.memcpy_d2h(found, runtime.get_id("floats"), 0, 0, 1, 1, 8)
    return found.tolist()


def words(runtime):
    found = np.zeros(8, np.int32)
    runtime.memcpy_d2h(found, runtime.get_id("out"), 0, 0, 1, 1, 8)
    return found.tolist()


DATA = """
var a: [6]f32 = [6]f32 { 1.0, 2.0, 3.0, 4.0, 5.0, 6.0 };
const b = [3]f32 { 10.0, 100.0, 1000.0 };
var length: u16 = 3;
const sum = @get_dsr(dsr_dest, 1);
const addend = @get_dsr(dsr_src0, 1);
const factor = @get_dsr(dsr_src1, 1);
const two = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> floats[i] });
var pair = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> a[i] });
var scalars = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> b[i] });
"""
LOADED = DATA + """
fn step(x: f32) void { @fmacs(sum, addend, factor, x); }
fn compute() void {
  @load_to_dsr(sum, two, .{ .save_address = %s });
  @load_to_dsr(addend, two, .{ .save_address = %s });
  @load_to_dsr(factor, pair, .{ .save_address = %s });
  @map(step, scalars);
  sys.unblock_cmd_stream();
}
"""


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
@pytest.mark.parametrize(("saves", "expected"), [
    (("false", "false", "true"), [5310.0, 6420.0, 0, 0, 0, 0]),
    (("true", "true", "false"), [10.0, 20.0, 100.0, 200.0, 1000.0, 2000.0]),
])
def test_a_map_of_one_instruction_is_that_instruction_repeated(run_csl, compile_csl, arch, saves, expected):
    code = LOADED % saves
    (made,) = vectors(compile_csl(code, arch=arch), "fmacs")
    assert (made.repeat, made.between, made.times) == (3, -1, None)
    assert floats(run_csl(code, arch=arch))[:6] == expected


def test_its_repeats_may_be_known_only_at_run_time(run_csl, compile_csl):
    code = DATA + """
fn step(x: f32) void { @fmacs(two, two, pair, x); pair = @increment_dsd_offset(pair, 2, f32); }
fn compute() void {
  scalars = @set_dsd_length(scalars, length);
  length = 2;
  @map(step, scalars);
  pair = @set_dsd_length(pair, 1);
  @fmovs(@get_dsd(mem1d_dsd, .{ .base_address = &floats, .offset = 2, .extent = 1 }), pair);
  sys.unblock_cmd_stream();
}
"""
    (made,) = vectors(compile_csl(code), "fmacs")
    assert made.times is not None
    assert floats(run_csl(code))[:2] == [5310.0, 6420.0]


def test_other_maps_are_loops(run_csl, compile_csl):
    code = DATA + """
fn step(x: f32) void { @fmacs(two, two, pair, x * 2.0); }
fn twice(x: f32) f32 { return x + x; }
fn compute() void {
  @map(step, scalars);
  @map(twice, pair, @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> floats[i + 2] }));
  sys.unblock_cmd_stream();
}
"""
    assert all(each.repeat == 1 and each.times is None for each in vectors(compile_csl(code), "fmacs"))
    assert floats(run_csl(code))[:4] == [2220.0, 4440.0, 2.0, 4.0]


def test_functions_stand_where_they_are_called(run_csl, compile_csl):
    code = """
fn small(a: i32) i32 { return a * 2; }
fn once(a: i32) i32 {
  var found: i32 = 0;
  for (@range(i16, 5)) |k| { if (k == 3) { return found + a; } found += small(@as(i32, k)); }
  return found;
}
fn compute() void { out[0] = small(7); out[1] = once(100); sys.unblock_cmd_stream(); }
"""
    assert "call" not in forms(compile_csl(code))
    assert words(run_csl(code))[:2] == [14, 106]


def test_memory_is_looked_at_once_and_what_does_not_change_before_a_loop(run_csl, compile_csl):
    code = """
var count: i32 = 5;
var total: i32 = 0;
fn compute() void {
  count += 1;
  for (@range(i32, 4)) |k| { total += count * 3; out[k] = total; }
  sys.unblock_cmd_stream();
}
"""
    made = compile_csl(code)
    loads = [item.target for item in code_of(made) if isinstance(item, Scalar) and item.form == "load"]
    assert loads.count("count") == 1
    back = max(k for k, item in enumerate(code_of(made)) if isinstance(item, Scalar) and item.form == "branch")
    start = next(k for k, item in enumerate(code_of(made)) if getattr(item, "name", None) == code_of(made)[back].target)
    assert not any((isinstance(item, Scalar) and item.form == "constant") or getattr(item, "op", "") == "mul"
                   for item in code_of(made)[start:back])
    assert words(run_csl(code))[:4] == [18, 36, 54, 72]


def test_pointers_and_other_functions_change_what_is_not_private(run_csl):
    code = """
var kept: i32 = 1;
var pointed: i32 = 2;
fn change(where: *i32) void {
  where.* += 10;
  kept += 1;
  for (@range(i16, 3)) |k| { kept += 1; where.* += 1; out[7] = @as(i32, k); out[6] = kept; out[5] = where.*; }
}
fn compute() void {
  const before = kept + pointed;
  change(&pointed);
  out[0] = before;
  out[1] = kept;
  out[2] = pointed;
  change(&pointed);
  out[3] = kept + pointed;
  sys.unblock_cmd_stream();
}
"""
    assert words(run_csl(code)) == [3, 5, 15, 37, 0, 28, 9, 2]


def test_descriptors_that_never_change_are_stated(compile_csl):
    code = DATA + """
fn compute() void {
  pair = @set_dsd_base_addr(pair, &floats);
  pair = @set_dsd_length(pair, 2);
  @load_to_dsr(factor, pair);
  @load_to_dsr(sum, two);
  @fmovs(sum, factor);
  sys.unblock_cmd_stream();
}
"""
    made = compile_csl(code)
    assert "set_extent" not in forms(made) and "set_stride" not in forms(made)
    assert forms(made).count("set_base") == 1


def test_calls_before_a_return_are_jumps(run_csl, compile_csl):
    code = """
var left: i32 = 6;
fn down() void { if (left > 0) { left -= 1; out[left] = left; other(); } else { finish(); } }
fn other() void { if (left > 3) { down(); } else { left -= 1; down(); } }
fn finish() void { out[7] = 1; sys.unblock_cmd_stream(); }
fn compute() void { down(); }
"""
    assert forms(compile_csl(code)).count("call") <= 1
    assert words(run_csl(code)) == [0, 1, 0, 3, 4, 5, 0, 1]
