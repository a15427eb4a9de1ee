"""Constructs as a stranger combines them: a program each, on both generations; ``in`` is 1 to 8."""

import numpy as np
import pytest

from wsekern.sdk.runtime import SdkRuntime

STRUCTS = """
const point = struct { x: i32, y: i32, t: u16 };
const line = struct { a: point, b: point, tag: u8 };
const node = struct { key: i16, next: i16, val: [2]i32 };
var points: [4]point;
var one: line;
var copies: [4]point;
var pool = @constants([4]node, node { .key = 0, .next = -1, .val = [2]i32 { 0, 0 } });
fn made(a: i32, b: i32) point { return point { .x = a, .y = b, .t = 2 }; }
fn bump(p: *point) void { p.*.x += 1; p.y += 1; }
fn compute() void {
  for (@range(u16, 4)) |i| { points[i] = made(@as(i32, i), 2 * @as(i32, i)); }
  bump(&points[1]);
  one.a = points[1];
  one.b = .{ .x = 9, .y = 4, .t = 2 };
  const inner = &one.b;
  inner.*.t = 5;
  copies = points;
  out[0] = one.a.x * 10 + one.a.y;
  out[1] = one.b.x * 10 + @as(i32, one.b.t);
  out[2] = copies[3].y;
  var head: i16 = -1;
  for (@range(i16, 4)) |i| { pool[i].next = head; pool[i].val[1] = @as(i32, i) + 1; head = i; }
  while (head != -1) : (head = pool[head].next) { out[3] = out[3] * 10 + pool[head].val[1]; }
  sys.unblock_cmd_stream();
}
"""
VALUES = """
const kind = enum(u8) { red, green = 5, blue };
var state: kind = kind.green;
fn found(n: i32) i32 {
  const r = big: {
    if (n > 5) { break :big 6; }
    break :big n;
  };
  return r;
}
fn code(k: kind) i32 {
  const number = switch (k) { kind.red => 1, kind.green, kind.blue => if (in[0] == 1) 20 else in[1] };
  return number;
}
fn first() i32 {
  const size = known: { comptime var n = 3; n += 1; break :known n; };
  var many: [size]i32;
  many[size - 1] = 7;
  return many[3];
}
fn total() comptime_int { comptime var s = 0; inline for (sizes) |each| { s += each; } return s; }
const sizes = [2]u16 { 3, 5 };
fn compute() void {
  out[0] = found(in[7]);
  out[1] = found(in[3]);
  out[2] = code(state);
  out[3] = first();
  out[4] = comptime total();
  sys.unblock_cmd_stream();
}
"""
BITS = """
const pair = packed struct { low: u16, high: u16 };
const either = union { f: f32, w: u32, h: [2]u16 };
var both: either = .{ .f = 1.0 };
var words = [3]u16 { 1, 2, 3 };
fn parts(w: u32) pair { return @bitcast(pair, w); }
fn compute() void {
  const p = parts(@as(u32, in[4]) | @as(u32, in[5]) << 16);
  out[0] = @as(i32, p.low);
  out[1] = @as(i32, p.high);
  const h = @bitcast([2]u16, @as(u32, in[0]) * 0x30004);
  out[2] = @as(i32, h[0]) * 10 + @as(i32, h[1]);
  out[3] = @bitcast(i32, parts(0x12345));
  const address: u16 = @bitcast(u16, &words);
  @bitcast(*u16, address + 4).* += 6;
  out[5] = @as(i32, words[2]);
  both.w |= 3;
  out[4] = @as(i32, both.h[0]) + @as(i32, both.h[1]);
  sys.unblock_cmd_stream();
}
"""
FIELDS = """
const other = @import_module("other.csl");
const all = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> other.first[i] });
const given = @get_dsd(mem1d_dsd, .{ .base_address = &in, .extent = 3 });
var only: [3]i32;
var held: struct { u: i32, w: i32 } = .{ .u = 1, .w = 2 };
fn compute() void {
  @mov32(all, given);
  out[0] = other.of_first(1);
  @mov32(@set_dsd_base_addr(all, other.second), 7);
  out[1] = other.of_second(2);
  @mov32(@set_dsd_base_addr(given, only), 5);
  out[2] = only[0];
  @field(held, "w") = 9;
  @field(other, "count") = 4;
  out[3] = held.w;
  out[4] = other.of_count();
  sys.unblock_cmd_stream();
}
"""
OTHER = """
var first: [3]i32;
var second: [3]i32;
var count: i32 = 1;
fn of_first(i: i16) i32 { return first[i]; }
fn of_second(i: i16) i32 { return second[i]; }
fn of_count() i32 { return count; }
"""
DSDS = """
var grid = [3, 4]i32 { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
var ring = [3]i32 { 1, 2, 3 };
var halves: [3]i16;
const row = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> in[i] });
const target = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> out[i] });
const seven = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{5} -> out[i + 3] });
const cube = @get_dsd(mem4d_dsd, .{ .tensor_access = |i, j, k|{2, 2, 2} -> grid[i + 1, 2 * j + k] });
const around = @get_dsd(circbuf_dsd, .{ .base_address = &ring, .extent = 5 });
const source = @get_dsr(dsr_src1, 2);
const of_halves = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> halves[i] });
fn moved(d: mem1d_dsd, n: i16) mem1d_dsd { return @increment_dsd_offset(d, n, i32); }
fn compute() void {
  var choices = [2]mem1d_dsd { row, @increment_dsd_offset(row, 5, i32) };
  const n: u16 = @as(u16, in[1]);
  @mov32(target, choices[n - 1]);                 // 6 7 8
  choices[n - 2] = @set_dsd_stride(moved(row, 6), -2);
  @mov32(@set_dsd_length(target, n), choices[n - 2]);         // 7 5
  @load_to_dsr_xdsr(source, @get_dsr(xdsr, 0), around);
  @mov32(seven, source);                          // 1 2 3 1 2
  @mov32(@set_dsd_length(moved(target, 3), 3), cube);          // 5 6 7
  @xor16(of_halves, of_halves, -2);
  floats[0] = @as(f32, halves[2]);
  sys.unblock_cmd_stream();
}
"""
GENERIC = """
const numbers = @import_module("stack.csl", .{ .T = i32, .N = 4, .seen = seen });
const reals = @import_module("stack.csl", .{ .T = f32, .N = 2, .seen = seen });
const quiet = @import_module("stack.csl", .{ .T = i16, .N = 1, .seen = {} });
var sum: i32 = 0;
fn seen(v: i32) void { sum += v; }
fn factorial(comptime n: u16) u16 { var r: u16 = 1; for (@range(u16, n)) |i| { r *= (i + 1); } return r; }
fn squares(comptime n: u16) [n]i32 {
  var t = @zeros([n]i32);
  for (@range(u16, n)) |i| { t[i] = @as(i32, i * i); }
  return t;
}
const five = factorial(5);
const table = squares(4);
fn add(a: i32, b: i32) i32 { return a + b; }
fn times(a: i32, b: i32) i32 { return a * b; }
const operations = [2]*const fn(i32, i32) i32 { &add, &times };
fn compute() void {
  numbers.push(2);
  numbers.push(4);
  reals.push(2.5);
  quiet.push(3);
  out[0] = numbers.total();
  out[1] = @as(i32, reals.total() * 2.0);
  out[2] = sum;
  out[3] = @as(i32, five) + table[@as(u16, in[2])];
  out[4] = operations[@as(u16, in[0])](in[2], in[3]);
  sys.unblock_cmd_stream();
}
"""
STACK = """
param T: type;
param N: i16;
param seen;
var items = @zeros([N]T);
var n: i16 = 0;
fn push(v: T) void {
  @assert(n < N);
  items[n] = v;
  n += 1;
  if (!@is_same_type(@type_of(seen), void)) { seen(@as(i32, v)); }
}
fn total() T { var s: T = @as(T, 0); for (items) |each| { s += each; } return s; }
"""
WRITTEN = """
const known = @import_comptime_value(struct { a: i32, b: [2]i16, m: [2, 2]f32 }, "known.json");
const open = @import_comptime_value(comptime_struct, "open.json");
fn compute() void {
  out[0] = known.a + @as(i32, known.b[1]);
  out[1] = @as(i32, known.m[1, 1] * 2.0);
  out[2] = if (open.deep.on) @as(i32, open.n) else 0;
  @comptime_assert(@strlen(open.text) == 3);
  sys.unblock_cmd_stream();
}
"""
JSON = {"known.json": '{"a": 2, "b": [1, 3], "m": [[1, 2], [3, 4.5]]}',
        "open.json": '{"n:u16": 3, "deep": {"on:bool": true}, "text": "abc"}'}
PROGRAMS = {
    "written": (WRITTEN, JSON, [5, 9, 3]),
    "structs": (STRUCTS, {}, [23, 95, 6, 4321]), "values": (VALUES, {}, [6, 4, 20, 7, 8]),
    "bits": (BITS, {}, [5, 6, 43, 0x12345, 0x3F83, 9]), "fields": (FIELDS, {"other.csl": OTHER}, [2, 7, 5, 9, 4]),
    "dsds": (DSDS, {}, [7, 5, 8, 5, 6, 7, 1, 2]), "generic": (GENERIC, {"stack.csl": STACK}, [6, 5, 8, 129, 12]),
}


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_constructs_in_combination(compile_csl, tmp_path, name, arch):
    code, files, expected = PROGRAMS[name]
    for each, text in files.items():
        (tmp_path / each).write_text(text)
    runtime = SdkRuntime.of(compile_csl(code, arch=arch))
    runtime.memcpy_h2d(runtime.get_id("in"), np.arange(1, 9, dtype=np.int32), 0, 0, 1, 1, 8)
    runtime.launch("compute")
    found = np.zeros(8, np.int32)
    runtime.memcpy_d2h(found, runtime.get_id("out"), 0, 0, 1, 1, 8)
    assert found[: len(expected)].tolist() == expected


def test_a_configuration_that_a_generation_lacks_is_told_with_its_line(compile_csl):
    from wsekern.csl.source import CslError

    swap = """
fn compute() void { sys.unblock_cmd_stream(); }
comptime { @set_local_color_config(@get_color(2), .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ RAMP }, .color_swap_x = true } }); }
"""
    with pytest.raises(CslError, match=r"pe.csl:\d+:12: error: color 2 at \(0, 0\): wse3 has no color swap"):
        compile_csl(swap, arch="wse3")
