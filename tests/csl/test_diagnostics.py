"""Every diagnostic of the compiler has a program here that meets it; a new one without one fails."""

import ast
import re
from pathlib import Path

from tests.csl.conftest import HEAD, LAYOUT
from wsekern.csl import unit
from wsekern.csl.build import Options, build
from wsekern.csl.parser import parse
from wsekern.csl.source import CslError, Diagnostics, Source
from wsekern.errors import InputError

SOURCES = Path(parse.__code__.co_filename).parent
RAISERS = {"fail", "error", "warn", "_fail", "Diagnostic", "BadNumber", "Unsupported", "InputError", "_error"}
"""What makes a diagnostic of the text in its arguments."""

SYNTAX = r"""
const a = 1
const a = ;
const a = 12ab;
const a = 1 < 2 < 3;
const s = "\q";
const c = 'ab';
const c = '';
const c = 'é';
var a: [2][3]f32;
const d = .{ .a = 1, 2 };
const d = .{ .a = 1, .a = 2 };
const T = struct { a: i16, a: i16 };
const T = struct { 3: i16 };
const T = packed 3;
const a: []f32 = 1;
const a: comptime 3 = 1;
const x = |i, j|{3} -> A[i];
const x = a[];
const x = a.3;
const a;
hello;
var 3: i16;
fn f() void {
fn f() void 3
fn f() void { asm volatile (1); }
fn f() void { inline 3; }
inline const a = 1;
fn f() void { return 1 }
fn f() void { f(1; }
const x = a[1
const a = b +;
"""
"""A file a line."""

TOP = r"""
comptime { nothing(); }
comptime { const a = @random16(); }
fn e(d: mem1d_dsd) void {} fn pick() void { const f = if (in[0] > 1) &e else &e; f.*(s); } comptime { @export_symbol(pick); }
comptime { @comptime_assert(1 == 2, "no"); }
comptime { @comptime_assert(false); }
comptime { @assert(false); }
comptime { const a: i8 = 200; }
comptime { const a = 1 / 0; }
comptime { const a = 1.0 / 0.0; }
comptime { const a = 1 << @as(comptime_int, 5000); }
comptime { const n = -1; const a = 1 << n; }
comptime { const n = -1; const a = 1 >> n; }
comptime { const a = 1.5 % 2.0; }
comptime { const a = switch (3) { 1 => 2, 2 => 3 }; }
comptime { @nothing(); }
comptime { @addc16(1, 2, 3); }
comptime { const a = @import_comptime_value(comptime_struct, "missing.json"); }
comptime { const a = @import_comptime_value(comptime_struct, "torn.json"); }
comptime { const a = @import_comptime_value(comptime_struct, "odd.json"); }
comptime { const a = @import_comptime_value(i16, "list.json"); }
comptime { const a = @get_string_from_byte(300); }
const pk = packed struct { a: u3, b: bool }; comptime { const a = @zeros([2]pk); }
comptime { const a = @bitcast([2]u16, [2]i16 { 1, 2 }); }
comptime { @import_module(3); }
comptime { const a = @zeros(i16); }
comptime { const a = @constants(i16, 1); }
comptime { const a = @concat_structs(.{ .a = 1 }, .{ .a = 2 }); }
comptime { const a = @concat_structs(1, .{ .a = 2 }); }
comptime { const a = @get_int(1.5); }
comptime { const c = @get_color(24); }
comptime { const c = @get_color(1.5); }
comptime { const r = @range(f32, 3); }
comptime { const r = @range(i16, 0, 3, 0); }
comptime { const r = @range_start(3); }
comptime { const m = @import_module("missing.csl"); }
comptime { const m = @import_module("<mathe>"); }
comptime { const m = @import_module("<math>", 3); }
comptime { @as(i16); }
comptime { 3(); }
fn f() i16 { } comptime { const a = f(); }
fn f() i16 { return f(); } comptime { const a = f(); }
fn f(a: i16) void {} comptime { f(); }
comptime { const a: f32 = 1; }
comptime { const a = @as(i16, 1.0 / 0.0000001 * 1.0e308 * 1.0e308); }
comptime { const a: i16 = true; }
const S = struct { a: i32 }; const s = S { .b = 1 }; comptime { const t = s; }
const S = struct { a: i32, b: i32 }; const s = S { .b = 1 }; comptime { const t = s; }
comptime { const a = [3]i16 { 1, 2 }; }
comptime { const a = @bitcast(f32, 1); }
comptime { const a = @bitcast(f32, @as(u16, 1)); }
fn f(a: i16) void {} param g: fn (i32) void = f; comptime { const h = g; }
comptime { const d = @get_dsd(fabin_dsd, .{ .fabric_color = @get_color(1) }); }
comptime { const d = @get_dsd(fabin_dsd, .{ .extent = 3 }); }
comptime { const d = @get_dsd(fabin_dsd, .{ .extent = 3, .fabric_color = 1 }); }
comptime { const d = @get_dsd(fabin_dsd, 3); }
comptime { const d = @get_dsd(3, 4); }
comptime { const d = @get_dsd(mem1d_dsd, .{ .extent = 3 }); }
comptime { const d = @get_dsd(mem1d_dsd, .{ .extent = 3, .base_address = 4 }); }
comptime { const d = @get_dsd(mem1d_dsd, .{ .extent = 3.5, .base_address = &in }); }
comptime { const d = @get_dsd(mem1d_dsd, .{ .extent = 100000, .base_address = &in }); }
comptime { const d = @get_dsd(mem1d_dsd, .{ .extent = 3, .base_address = &in, .stride = 300 }); }
comptime { const d = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> 4[i] }); }
comptime { const d = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> in[i, i] }); }
comptime { const d = @get_dsd(mem4d_dsd, .{ .extent = .{ 3, 2 }, .stride = .{ 1 }, .base_address = &in }); }
comptime { const d = @get_dsd(mem1d_dsd, if (false) .{ .extent = 3 }); }
comptime { const d = |i|{3} -> in[i]; }
comptime { const a: 3 = 4; }
comptime { const a = @zeros([1.5]i16); }
comptime { if (3) {} }
comptime { const a = @field(3); }
comptime { const a = @field(.{ .a = 1 }, 3); }
comptime { const a = @field(.{ .a = 1 }, "b"); }
const m = @import_module("<math>"); comptime { const a = m.nothing; }
const E = enum(u16) { a, b }; comptime { const a = E.c; }
comptime { const a = !3; }
comptime { const a = &3; }
comptime { const a = true + false; }
comptime { const a = "a" + 1; }
comptime { const a = 1.5 & 2.5; }
comptime { const a = @as(i16, 1) + @as(f32, 1.0); }
comptime { const a = @get_color(1) < @get_color(2); }
comptime { const a = 1.5 << 2; }
comptime { const a = @as(i16, 1) << @as(i16, 2); }
comptime { const a = 3.*; }
comptime { const a = undefined; }
comptime { const a = @zeros([100000000]i16); }
comptime { const n: i16 = 3; n = 4; }
comptime { out[0] = 1; }
comptime { const a = .{ .b = 1 }; const c = a.d; }
comptime { const a = 3; const b = a.c; }
comptime { const a = 3; const b = a[0]; }
comptime { const a = in[0, 0]; }
const t = .{ 1, 2 }; comptime { const a = t[2]; }
const ar = [3]i16 { 1, 2, 3 }; comptime { const a = ar[3]; }
const ar = [3]i16 { 1, 2, 3 }; comptime { const a = ar[1.5]; }
comptime { const a = 1; const a = 2; }
comptime { export const a = 1; }
comptime { break; }
comptime { for (3) |i| {} }
const a = b; const b = a; comptime { const c = a; }
const a = 1; const a = 2;
var a = 3; comptime { const c = a; }
param missing: i16; comptime { const c = missing; }
export var e: i16; const m = @import_module("other.csl"); comptime { const c = m.e; e; }
extern var nothing: i16; comptime { const c = &nothing; }
export var e: i16; const m = @import_module("outer.csl"); comptime { const c = &m.e; }
color unvalued; comptime { const c = unvalued; }
comptime { var i: i32 = 0; while (true) { i += 1; if (i > 3000) { break; } } }
comptime { @set_rectangle(1, 1); }
comptime { @bind_local_task(compute, @get_local_task_id(9)); }
comptime { @bind_local_task(3, @get_local_task_id(9)); }
task t(a: i32) void {} comptime { @bind_local_task(t, @get_local_task_id(9)); }
const i = @get_local_task_id(9); task t() void {} task u() void {} comptime { @bind_local_task(t, i); @bind_local_task(u, i); }
task t() void {} comptime { @bind_local_task(t, 9); }
task t() void {} comptime { @bind_local_task(&t, @get_local_task_id(9)); }
task t() void {} comptime { @bind_local_task(t, @get_color(1)); }
task t() void {} comptime { @bind_data_task(t, @get_data_task_id(@get_color(1))); }
task t(a: u16, b: u16) void {} comptime { @bind_control_task(t, @get_control_task_id(9)); }
task t() void {} comptime { @bind_local_task(t, @get_data_task_id(@get_color(3))); }
comptime { @activate(3); }
comptime { @set_local_color_config(@get_color(1), .{}); @set_local_color_config(@get_color(1), .{}); }
comptime { @set_local_color_config(@get_color(1), .{ .wrong = 1 }); }
comptime { @set_local_color_config(@get_color(1), .{ .routes = 1.5 }); }
comptime { @set_local_color_config(@get_color(1), .{ .routes = .{ .rx = EAST }, .filter = .{ .kind = .{ .no = true } } }); }
const q = @get_input_queue(1); comptime { @initialize_queue(q, .{ .color = @get_color(1) }); @initialize_queue(q); }
comptime { @set_empty_queue_handler(compute, @get_output_queue(2)); }
comptime { @allocate_fifo(3); }
comptime { @load_to_dsr(3, 4); }
comptime { @load_to_dsr(@get_dsr(dsr_dest, 1), 4); }
comptime { @export_symbol(in); }
comptime { @export_symbol(out_ptr, "out"); }
comptime { @export_symbol(3); }
comptime { @export_symbol(3, "in2"); }
comptime { @export_symbol(compute, "other"); }
comptime { @add16(3, 4, 5); }
comptime { @map(3); }
comptime { @map(compute, 3); }
comptime { @map(3, in); }
comptime { const p = @ptrcast(*i32, 3); }
comptime { const a = @element_count(3); }
comptime { const a = @range_start(3); }
const layout_mod = @import_module("<layout>"); comptime { @get_rectangle(3); }
const m = @import_module("unknown_param.csl", .{ .nothing = 3 }); comptime { const c = m.a; }
fn f(a: anytype) void; comptime { f(3); }
comptime { const a = if (true) 1; const f: f32 = f; }
const bad = struct { a: i16 }; comptime { const p: *bad = 3; }
"""
"""Declarations behind the head of conftest.py, a program a line."""

BODY = r"""
const a: f32 = in[0];
out[8] = 1;
const a: i32 = 3; a = 4;
break;
continue :there;
task_();
@fadds(floats, 1.0, 2.0);
@fadds(1);
@fmov(1, 2);
if (in) { }
const a = in[0] + floats[0];
const a = if (in[0] > 1) 1 else 2.5;
var a = if (in[0] > 1) 1 else 2;
for (@range(comptime_int, 3)) |i| { out[i] = 1; }
return 3;
var n = 3; n += 1;
export var n: i16 = 3;
const n: i16 = 1; const n: i16 = 2;
const a = 3 << @as(u16, in[0]);
const w: i64 = in[0]; floats[0] = @as(f32, w);
@load_to_dsr_xdsr(@get_dsr(dsr_src1, 1), s);
@fscales(3, 1.0, 2);
const c = if (in[0] > 1) @get_color(3) else @get_color(4); @block(c);
const i = if (in[0] > 1) t9 else t10; @load_to_dsr(@get_dsr(dsr_src1, 1), s, .{ .async = true, .activate = i });
inline while (in[0] > 1) { }
inline for (in) |v| { out[0] = v; }
@activate(3);
@block(3);
@mov32(d, d, .{ .nothing = true });
@mov32(d, d, .{ .async = true });
@mov32(d, d, .{ .activate = t9, .unblock = t9 });
@mov32(d, d, .{ .activate = unbound });
@mov32(d, true);
const d = @increment_dsd_offset(3, 1, i32);
const d = @increment_dsd_offset(in[0], 1);
const e = @increment_dsd_offset(s, 1, i32);
const d = @get_dsd(mem4d_dsd, .{ .tensor_access = |i, j|{2, 2} -> in[i + j] }); const e = @set_dsd_length(d, 3);
const d = @get_dsd(mem4d_dsd, .{ .tensor_access = |i, j|{2, 2} -> in[i + j] }); const e = @set_dsd_stride(d, 3);
const e = @set_dsd_base_addr(d, 3);
@mov32(@get_dsr(dsr_dest, 3), 4);
@activate(@get_local_task_id(20));
@map(one, in);
@map(same, d, 3);
@map(3, d, d);
@map(one);
const a: comptime_int = @as(comptime_int, in[0]);
var p: *i32 = null;
out[0.5] = 1;
const a = in[@as(i16, 9)];
const p: [*]i32 = &in; out[0] = p[0, 0];
sim.fmt("{d} {d}", .{ 1 });
const a = one;  out[0] = a + 1;
fabin_only();
@mov32(d, s, .{ .async = true, .activate = @get_color(2) });
const a = value(); out[0] = a;
const a = inlined(); out[0] = a;
inline_forever();
var n: i32 = in[0]; n += 1; out[0] = comptime (n + 1);
const a = if (in[0] > 1) in[0] else floats[0];
const c = @get_local_task_id(in[0]);
const d = @get_dsd(mem1d_dsd);
@field(3).a = 1;
@field(in, 3)[0] = 1;
const d = @get_dsd(mem1d_dsd, .{ .base_address = @ptrcast([*]i32, &halves[1]), .extent = 2 }); @mov32(d, 3); halves[1] = 2;
comptime var c: i32 = 0; c = in[0];
@bind_local_task(tt, t9);
@set_dsr_base_addr(3, in_ptr);
var c: cb16 = @as(cb16, floats[0]);
const r = rec(in[0]); out[0] = r;
const t = @import_module("<types>"); out[0] = t.bit_size_of(type);
const s = @import_module("<string>"); const c = s.fmt("{d} {d}", .{ 1 });
@mov32(&out[0], 3, .{ .index = 2 });
const h = @bitcast([3]u16, in[0]);
var v: mem1d_dsd; @mov32(v, 3);
@mov32(d, differ[@as(u16, in[0])]);
var e = d; var p = &e; p = &e; @mov32(p.*, 1);
var e = d; var p = &e; p = &e; p.* = d;
@load_to_dsr_xdsr(@get_dsr(dsr_src1, 2), @get_dsr(xdsr, 0), inside); @mov32(d, @get_dsr(dsr_src1, 2));
"""
"""Statements of ``compute``."""
BEFORE = """
const sim = @import_module("<simprint>");
const d = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> in[i] });
const s = @get_dsd(fabin_dsd, .{ .extent = 4, .fabric_color = @get_color(1), .input_queue = @get_input_queue(1) });
const t10 = @get_local_task_id(10);
var halves: [8]i16;
const t9 = @get_local_task_id(9);
task task_() void {}
task tt() void {}
task unbound() void {}
const differ = [2]fabin_dsd { s, @get_dsd(fabin_dsd, .{ .extent = 4, .fabric_color = @get_color(2) }) };
const inside = @get_dsd(circbuf_dsd, .{ .base_address = &in[2], .extent = 3, .wraparound = 4 });
fn one() void {}
fn two() void {}
fn same(a: i32) i32 { return a; }
fn value() i32 { if (in[0] > 1) { return 3; } }
inline fn inlined() i32 { }
inline fn inline_forever() void { inline_forever(); }
fn fabin_only() i32 { return; }
fn rec(n: i32) i32 { if (n == 0) { return 1; } return n * rec(n - 1); }
comptime { @bind_local_task(tt, t9); }
"""
WSE3 = r"""
const o = @get_dsd(fabout_dsd, .{ .extent = 4, .output_queue = @get_output_queue(4) }); task go() void { @mov32(o, 3); }
task t() void { @block(@get_ut_id(2)); } comptime { @bind_local_task(t, @get_local_task_id(9)); }
const q = @get_input_queue(2); comptime { @initialize_queue(q); }
const q = @get_input_queue(0); comptime { @initialize_queue(q, .{ .color = @get_color(3) }); }
task t(a: u32) void {} comptime { @bind_data_task(t, @get_data_task_id(@get_color(3))); }
task t(a: u32) void {} comptime { @bind_data_task(t, @get_data_task_id(@get_input_queue(3))); }
task t() void {} comptime { @bind_local_task(t, @get_local_task_id(31)); }
task t() void {} comptime { @bind_local_task(t, @get_local_task_id(3)); }
"""
"""The same as TOP, for WSE-3."""
LAYOUTS = r"""
const a = 1;
layout { }
layout { @set_tile_code(0, 0, "pe.csl"); }
layout { @set_rectangle(0, 1); }
layout { @set_rectangle(1, 1); @set_rectangle(1, 1); }
layout { @set_rectangle(2, 1); @set_tile_code(0, 0, "pe.csl"); }
layout { @set_rectangle(1, 1); @set_tile_code(1, 0, "pe.csl"); }
layout { @set_rectangle(1, 1); @set_tile_code(0, 0, "pe.csl"); @set_tile_code(0, 0, "pe.csl"); }
layout { @set_rectangle(1, 1); @set_color_config(0, 0, 3, .{}); }
layout { @set_rectangle(1, 1); @set_color_config(0, 0, @get_color(1), .{}); @set_color_config(0, 0, @get_color(1), .{}); }
layout { @export_name("a", i16); @export_name("a", i16); }
layout { @set_rectangle(1, 1); @set_tile_code(0, 0, "pe.csl"); @set_color_config(0, 0, @get_color(1), .{ .nothing = 1 }); }
LAYOUT @set_color_config(0, 0, @get_color(1), .{ .routes = .{ .rx = EAST, .tx = RAMP }, .switches = NO }); }
layout { @set_rectangle(1, 1); @set_tile_code(0, 0, "none.csl"); }
const l = @import_module("<layout>"); layout { const x = l.get_x_coord(); }
"""
ONE = 'const NO = .{ .pop_mode = .{ .no = true } }; layout { @set_rectangle(1, 1); @set_tile_code(0, 0, "pe.csl");'
"""What LAYOUT stands for in LAYOUTS."""
OTHERS = {"other.csl": "export var e: i16;\n", "outer.csl": "extern var e: i32;\n", "unknown_param.csl": "const a = 1;\n",
          "torn.json": "{", "odd.json": '{"a:what": 1}', "list.json": "[1, null]"}

ELSEWHERE = {
    "no dialect .*: there are .*, and auto": "test_dialect.py",
    ".*: .* bytes are no CSL source; expected at most .*": "a file of 16 MB",
    ".*: byte .* is no UTF-8; expected a text file of CSL": "test_errors.py",
    "the flush of an input queue does nothing here: only output queues tell when they are empty": "test_others.py: a warning",
    "a stride of .* elements; a descriptor is said to have 8 bits for it, -128 to 127": "test_others.py: a warning",
}
"""Diagnostics that other tests meet, or that take too long."""
GUARDS = {
    "'.*' of floats", "expected a bool, found .*",
    "numbers beyond 64 bits that differ between the PEs of a program", "a direction that differs between the PEs of a program",
    "'wraparound' is missing, and the base address does not say how many elements there are", "a value of type .* at run time",
    "this pointer points to nothing", "an array of .* cannot be copied at run time; copy its elements",
    "a value is expected here, and this has none", "@map takes no FIFO",
    "a route is changed by code of a PE; the layout paints it with @set_color_config",
    "code of a PE binds a queue to another color; @initialize_queue says its first one",
    "functions inside each other need .* registers, a PE has 256",
    "this is known only at run time, and is needed while the program is compiled",
    "this is another kind of .* than the variable held at its declaration",
    "color .* finds no .* queue: all .* are bound to other colors",
    ".* queue .* has no color here, and every color is in use",
}
"""Those for which no short program is known: mostly behind checks that come before them. None may join without a reason."""


# ---- the texts of all diagnostics ----


def pattern(node: ast.expr) -> str | None:
    """A regular expression for the texts of an expression; None: it says nothing itself."""
    if isinstance(node, ast.Constant):
        return re.escape(node.value) if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(re.escape(part.value) if isinstance(part, ast.Constant) else ".*" for part in node.values)
    if isinstance(node, ast.BinOp):
        return f"{pattern(node.left) or '.*'}{pattern(node.right) or '.*'}"
    return f"(?:{pattern(node.body) or '.*'}|{pattern(node.orelse) or '.*'})" if isinstance(node, ast.IfExp) else None


def diagnostics() -> dict[str, str]:
    """Patterns of all diagnostics, and the file of each."""
    found = {}
    for path in sorted(SOURCES.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""
            texts = [pattern(each) for each in node.args[:2]] if name in RAISERS else []
            said = next((text for text in texts if text and re.search(r"\w", text.replace(".*", ""))), None)
            if said is not None:
                found[said] = path.name
    return found


# ---- what programs say ----


def said_by(folder: Path, files: dict[str, str], arch: str) -> list[str]:
    for name, text in {"layout.csl": LAYOUT, **OTHERS, **files}.items():
        (folder / name).write_text(text)
    try:
        return [each.message for each in build(folder / "layout.csl", {}, Options(arch=arch)).diagnostics.found]
    except CslError as error:
        return [each.message for each in error.diagnostics]
    except InputError as error:
        return [str(error)]


def programs() -> list[tuple[dict[str, str], str]]:
    compute = "fn compute() void { sys.unblock_cmd_stream(); }\n"
    found = [({"pe.csl": HEAD + compute + line}, "wse2") for line in TOP.strip().splitlines()]
    bound = " comptime { @bind_local_task(go, @get_local_task_id(9)); }"
    found += [({"pe.csl": HEAD + compute + line + bound * ("task go()" in line)}, "wse3") for line in WSE3.strip().splitlines()]
    found += [({"pe.csl": f"{HEAD}{BEFORE}fn compute() void {{ {line} sys.unblock_cmd_stream(); }}\n"}, "wse2")
              for line in BODY.strip().splitlines()]
    return found + [({"layout.csl": line.replace("LAYOUT", ONE), "pe.csl": "var a: i16 = 0;"}, "wse2")
                    for line in LAYOUTS.strip().splitlines()]


def all_said(folder: Path) -> dict[str, list[str]]:
    """Messages by the last line of the program that met them."""
    found = {}
    for line in [*SYNTAX.strip().splitlines(), f"const a = {'(' * 5000}1;"]:
        kept = Diagnostics()
        try:
            parse(Source("a.csl", line), kept)
            kept.check()
        except CslError as error:
            found[line] = [each.message for each in error.diagnostics]
    for k, (files, arch) in enumerate(programs()):
        place = folder / str(k)
        place.mkdir()
        text = files.get("layout.csl", files["pe.csl"]).splitlines()[-1]
        found[f"{arch}: {text}"] = said_by(place, files, arch)
    return found


def test_every_diagnostic_has_a_program(tmp_path, monkeypatch):
    monkeypatch.setattr(unit, "MAX_STEPS", 1000)
    monkeypatch.setattr(unit, "MAX_WHILE", 1000)
    found = all_said(tmp_path)
    silent = [program for program, messages in found.items() if not messages]
    assert not silent, f"{len(silent)} programs here are met by no diagnostic: {silent}"
    messages = {message for each in found.values() for message in each}
    without = {re.sub(r"\\(.)", r"\1", said) for said in diagnostics()
               if not any(re.search(said, message, re.DOTALL) for message in messages)}
    known = GUARDS | ELSEWHERE.keys()
    assert without == known, f"without a program: {sorted(without - known)}; no longer without: {sorted(known - without)}"
