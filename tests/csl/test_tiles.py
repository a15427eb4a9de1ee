"""Layouts of many PEs: rounds of loops at once say the same as rounds one by one; one program for code that is the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.csl.conftest import HEAD
from wsekern.csl import together
from wsekern.csl.source import CslError
from wsekern.csl.tiles import rectangles

LAYOUT = """
param width: i16;
param height: i16;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = width, .height = height });
const colors = [2]color { @get_color(3), @get_color(4) };
fn far(a: i16, b: i16) i16 {
  var d: i16 = a - b;
  if (d < 0) { d = -d; }
  return d;
}
layout {
  @set_rectangle(width, height);
  for (@range(i16, height)) |y| {
    for (@range(i16, width)) |x, k| {
      const last = x == width - 1;
      var kind: i16 = 0;
      if (x % 3 == 1) { kind = 7; }
      @set_tile_code(x, y, if (y == 0) "top.csl" else "pe.csl", .{
        .memcpy_params = memcpy.get_params(x), .x = x, .kind = kind, .last = last, .far = far(x, y) + @as(i16, k),
        .c = colors[x & 1],
      });
      @set_color_config(x, y, colors[x & 1], .{ .routes = .{ .rx = .{ if (last) WEST else RAMP }, .tx = .{ RAMP, NORTH } } });
      if (x > 1 and !last) { @set_color_config(x, y, @get_color(5), .{ .routes = .{ .rx = .{ EAST }, .tx = .{ WEST } } }); }
    }
  }
  @export_name("in", [*]i32, true);
  @export_name("out", [*]i32, true);
  @export_name("floats", [*]f32, true);
  @export_name("compute", fn()void);
}
"""
CODE = """
param kind: i16;
param last: bool;
param far: i16;
param c: color;
fn compute() void {
  out[0] = @as(i32, x) + @as(i32, far) * 100;
  if (kind == 7) { out[1] = 1; }
  if (last) { out[2] = @as(i32, @get_int(c)); }
  sys.unblock_cmd_stream();
}
"""


def built(compile_csl, layout, width=7, height=3, code=CODE):
    files = {"layout.csl": layout, "pe.csl": HEAD + code, "top.csl": HEAD + code}
    return compile_csl(files, {"width": width, "height": height})


def told(made):
    """What every PE has: its program's text without the name, parameters that the program reads, routes."""
    found, layout = {}, made.layout
    for y in range(layout.height):
        for x in range(layout.width):
            program = layout.programs[layout.program_of[y, x]]
            numbers = layout.parameters[y, x, : len(program.parameters)].tolist()
            routes = [layout.fabric.route_at(color, x, y) for color in range(24)]
            found[x, y] = program.text().partition("\n")[2], numbers, routes
    return found


def test_rounds_at_once_say_what_rounds_one_by_one_do(compile_csl, monkeypatch):
    at_once = built(compile_csl, LAYOUT)
    monkeypatch.setattr(together, "FEWEST", 1 << 30)
    one_by_one = built(compile_csl, LAYOUT)
    assert told(at_once) == told(one_by_one)
    assert len(at_once.layout.programs) == len(one_by_one.layout.programs)


def test_rounds_at_once_make_blocks(compile_csl, monkeypatch):
    ran = []
    monkeypatch.setattr(together, "_parts", lambda layout, numbers, run, real=together._parts: (
        real(layout, numbers, run), ran.append(len(layout.tiles.blocks))))
    built(compile_csl, LAYOUT, 40, 2)
    assert len(ran) == 2 and ran[-1] < 40, "PEs of a row that are alike are said at once"


@pytest.mark.parametrize(("start", "loop"), [
    ("0", "(x < width) : (x += 1)"), ("0", "(x <= width - 1) : (x += 1)"),
    ("@as(i16, width - 1)", "(x >= 0) : (x -= 1)"), ("@as(i16, width - 1)", "(x > -1) : (x += -1)"),
])
def test_loops_that_count_are_done_at_once_too(compile_csl, monkeypatch, start, loop):
    layout = LAYOUT.replace("for (@range(i16, width)) |x, k| {", f"var x: i16 = {start}; while {loop} {{ const k = x;")
    layout = layout.replace("const last = x == width - 1;", "const last = x == width - 1; @comptime_assert(k == x);")
    monkeypatch.setattr(together, "FEWEST", 1 << 30)
    one_by_one = built(compile_csl, layout, 12)
    monkeypatch.setattr(together, "FEWEST", 4)
    ran = []
    monkeypatch.setattr(together, "_parts", lambda layout, numbers, run, real=together._parts: (
        real(layout, numbers, run), ran.append(len(numbers))))
    assert told(built(compile_csl, layout, 12)) == told(one_by_one) == told(built(compile_csl, LAYOUT, 12))
    assert ran.count(12) == 6, "three rows, and those of the loop that is no while"


@pytest.mark.parametrize(("loop", "said"), [
    ("(x < width) : (x += 0)", "has a program already"), ("(x < 300) : (x += 1)", r"PE \(7, 0\) is outside"),
    ("(x < width) : (width += 1)", "width"),
])
def test_loops_that_count_wrongly_are_told_as_before(compile_csl, loop, said):
    layout = ("param width: i16; param height: i16;\nlayout { @set_rectangle(width, height); var x: i16 = 0;\n"
              f"while {loop} {{ if (x < width) {{ @set_tile_code(x, 0, \"pe.csl\", .{{ .x = x }}); }} "
              "else { @set_tile_code(x, 0, \"pe.csl\", .{ .x = x }); } } }")
    with pytest.raises(CslError, match=said):
        built(compile_csl, layout)


def test_code_that_is_the_same_is_one_program(compile_csl):
    code = CODE.replace("if (kind == 7) { out[1] = 1; }", "const a = @zeros([@as(u16, kind) + 1]i16); out[1] = 3;")
    made = built(compile_csl, LAYOUT.replace('if (y == 0) "top.csl" else "pe.csl"', '"pe.csl"'), 8, 2, code)
    names = [part.program.text().partition("\n")[2] for part in made.programs]
    assert len(set(names)) == len(names)
    assert sum(len(part.pes) for part in made.programs) == 16


@pytest.mark.parametrize(("row", "said"), [
    ("@set_tile_code(x + 1, y, \"pe.csl\", .{});", r"PE \(12, 0\) is outside the rectangle of 12 x 3 PEs"),
    ("@set_tile_code(x / 2, y, \"pe.csl\", .{});", r"PE \(0, 0\) has a program already"),
    ("@comptime_assert(x != 5, \"five\");", "this does not hold: five"),
    ("total += x; @set_tile_code(x, y, \"pe.csl\", .{ .x = total });", r"PE \(0, 1\) has no program, nor have 23 others"),
])
def test_errors_in_loops_are_those_of_single_rounds(compile_csl, row, said):
    layout = ("param width: i16; param height: i16;\nlayout { @set_rectangle(width, height); var total: i16 = 0; const y = 0;\n"
              f"for (@range(i16, width)) |x| {{ {row} }} }}")
    with pytest.raises(CslError, match=said):
        built(compile_csl, layout, 12)


@settings(max_examples=60, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))))
def test_rectangles_cover_each_pe_once(mask):
    found = np.zeros(mask.shape, int)
    for x, y, width, height in rectangles(mask):
        found[y : y + height, x : x + width] += 1
    assert np.array_equal(found, mask)


@pytest.mark.parametrize("loop", ["var x: i64 = 0; while (x < 1 << 62) : (x += 1) {", "for (@range(i64, 1 << 62)) |x| {",
                                  "var x = 0; while (x < 1 << 90) : (x += 1) {"])
def test_loops_of_too_many_rounds_end_at_their_first_error(compile_csl, loop):
    layout = f"layout {{ @set_rectangle(2, 1); {loop} @comptime_assert(x < 3, \"three\"); }} }}"
    with pytest.raises(CslError, match="three"):
        compile_csl({"layout.csl": layout}, {})
