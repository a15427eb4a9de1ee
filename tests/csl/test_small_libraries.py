"""Small libraries of documented functions: complex numbers, memory, stopwatches, text, types, operations by type."""

import numpy as np
import pytest

from wsekern.errors import WsekernError


def results(runtime, name: str = "out", dtype=np.int32, count: int = 8) -> list:
    held = np.zeros(count, dtype)
    runtime.memcpy_d2h(held, runtime.get_id(name), 0, 0, 1, 1, count)
    return held.tolist()


COMPLEX = """
const cx = @import_module("<complex>");
fn compute() void {
  for (@range(i16, 8)) |k| { floats[k] = @as(f32, k); }
  const a = cx.get_complex_64(floats[1], floats[2]);
  const b: cx.complex_64 = cx.get_complex(floats[3], floats[4]);
  const c = cx.multiply_complex(a, b);
  const d = cx.subtract_complex_64(cx.add_complex_64(a, b), cx.get_complex_64(1.0, 1.0));
  const half: cx.complex_32 = cx.get_complex_32(@as(f16, floats[5]), 0.5);
  const e = cx.multiply_complex_32(half, half);
  floats[0] = c.real;
  floats[1] = c.imag;
  floats[2] = d.real;
  floats[3] = d.imag;
  floats[4] = @as(f32, e.real);
  floats[5] = @as(f32, e.imag);
  sys.unblock_cmd_stream();
}
"""


def test_complex_numbers(run_csl):
    assert results(run_csl(COMPLEX), "floats", np.float32, 6) == [-5, 10, 3, 5, 24.75, 5]


MALLOC = """
const mem = @import_module("<malloc>", .{ .buffer_num_words = 16, .asserts_enabled = true });
const all = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> floats[i] });
fn compute() void {
  const halves = mem.malloc_u16(3);
  const wholes = mem.malloc(f32, 3);
  for (@range(u16, 3)) |k| {
    halves[k] = 7 + k;
    wholes[k] = @as(f32, k) + 0.5;
  }
  @fadds(all, all, @set_dsd_base_addr(all, wholes));
  out[0] = @as(i32, halves[0]) + 10 * @as(i32, halves[2]);
  out[1] = @as(i32, @bitcast(u32, wholes) - @bitcast(u32, halves));
  out[2] = @as(i32, mem.has_enough_words(6)) + 2 * @as(i32, mem.has_enough_words(7));
  out[3] = @as(i32, mem.has_enough_double_words(3)) + 2 * @as(i32, mem.has_enough_space(f32, 4));
  mem.free();
  out[4] = @as(i32, mem.has_enough_words(16));
  if (in[0] == 1) { const more = mem.malloc_i32(9); out[5] = more[0]; }
  sys.unblock_cmd_stream();
}
"""


def test_memory_handed_out_piece_by_piece(run_csl):
    runtime = run_csl(MALLOC)
    assert results(runtime)[:5] == [97, 8, 1, 1, 1]
    assert results(runtime, "floats", np.float32, 3) == [0.5, 1.5, 2.5]


def test_memory_that_is_used_up_is_told(compile_csl):
    from wsekern.sdk.runtime import SdkRuntime
    runtime = SdkRuntime.of(compile_csl(MALLOC))
    runtime.memcpy_h2d(runtime.get_id("in"), np.ones(1, np.int32), 0, 0, 1, 1, 1)
    with pytest.raises(WsekernError, match="does not hold"):
        runtime.launch("compute")
        runtime.stop()


TIMER = """
const timer = @import_module("<timer>", .{ .timerCount = 2 });
const time = @import_module("<time>");
var span: timer.timerType;
fn compute() void {
  time.enable_tsc();
  timer.start(0);
  timer.start(1);
  timer.stop(1);
  for (@range(i16, 20)) |k| { out[k % 8] += 1; }
  timer.stop(0);
  for (@range(i16, 2)) |which| {
    timer.elapsed(which, &span);
    out[which] = @as(i32, span[0]) + (@as(i32, span[1]) << 16);
    out[which + 2] = @as(i32, span[2]);
  }
  sys.unblock_cmd_stream();
}
"""


def test_stopwatches(run_csl):
    long, short, *rest = results(run_csl(TIMER))[:4]
    assert 0 < short < long < 4000 and rest == [0, 0]


TEXT = """
const string = @import_module("<string>");
const name = string.fmt("{d}_{X}_{b}_{s}_{{x}", .{ 12, @as(u16, 42), @as(u16, 5), "pe" });
comptime {
  @comptime_assert(@strlen(string.comptime_int_to_string(-120)) == 4);
  @comptime_print(name);
  @comptime_print(string.fmt("{f}", .{ 2 }));
}
fn compute() void { sys.unblock_cmd_stream(); }
"""


def test_text_while_the_program_is_compiled(compile_csl):
    said = [line.rpartition(": ")[2] for line in compile_csl(TEXT).said]
    assert [line.strip("\"") for line in said] == ["12_002A_0000000000000101_pe_{x}", "2.0"]


TYPES = """
const types = @import_module("<types>");
const pair = struct { a: i16, b: f32 };
fn compute() void {
  const one = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{1} -> out[i] });
  out[0] = types.byte_size_of(pair) + 100 * types.min_byte_align_of(pair);
  out[1] = types.bit_size_of(i8) + 100 * types.word_size_of(f32) + 1000 * types.word_size_of(u16);
  out[2] = if (types.bits_type_of(f32) == u32 and types.bits_type_of(f16) == u16) 1 else 0;
  out[3] = if (types.is_float(bf16) and types.is_float16(f16) and !types.is_float16(f32) and !types.is_float(i32)) 1 else 0;
  out[4] = if (types.is_unsigned_int(u8) and !types.is_unsigned_int(i8)
                  and types.is_signed(i64) and types.is_signed(f32)) 1 else 0;
  out[5] = if (types.is_numeric(u32) and !types.is_numeric(bool) and types.is_enabled_float(f16)) 1 else 0;
  out[6] = if (types.has_dsd_type(one) and !types.has_dsr_type(one) and types.is_dsr(dsr_dest)) 1 else 0;
  out[7] = if (types.is_enabled_float(bf16)) 1 else 0;
  sys.unblock_cmd_stream();
}
"""


def test_what_types_are(run_csl):
    assert results(run_csl(TYPES)) == [408, 1208, 1, 1, 1, 1, 1, 0]


BY_TYPE = """
const ops = @import_module("<dsd_ops>");
var halves = [4]f16 { 1.5, -2.0, 3.0, 4.0 };
var wholes = [4]i16 { 1, 2, -3, 4 };
var reals = [4]f32 { 1.0, 2.0, 3.0, -4.0 };
const h = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> halves[i] });
const w = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> wholes[i] });
const r = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> reals[i] });
const to = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> floats[i] });
fn compute() void {
  const done: bool = ops.add(f32, f16, r, r, h, .{});
  _ = ops.mul(f32, r, r, r, .{});
  _ = ops.convert(f32, i16, to, w, .{});
  _ = ops.sub(f32, to, to, r, .{});
  _ = ops.max(f32, to, to, r, .{});
  _ = ops.neg(f32, to, to, .{});
  _ = ops.abs(f32, to, to, .{});
  _ = ops.fmac(f32, f16, to, to, h, @as(f16, 2.0), .{});
  out[0] = @as(i32, done);
  sys.unblock_cmd_stream();
}
"""


def test_operations_by_the_types_of_elements(run_csl):
    code = BY_TYPE.replace("_ = ", "")
    runtime = run_csl(code)
    reals, halves = np.array([2.5, 0, 6, 0]) ** 2, np.array([1.5, -2, 3, 4])
    expected = np.abs(np.maximum(np.array([1, 2, -3, 4]) - reals, reals)) + 2 * halves
    assert results(runtime, "floats", np.float32, 4) == expected.tolist()
    assert results(runtime)[0] == 1
