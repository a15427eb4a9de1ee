"""What is said about programs that are CSL and cannot be built."""

import pytest

from wsekern.csl.source import CslError
from wsekern.errors import InputError
from wsekern.sdk.cslc import cslc

GOOD = "fn compute() void { sys.unblock_cmd_stream(); }\n"


@pytest.mark.parametrize(("code", "said"), [
    (GOOD + "comptime { nothing(); }", "unknown name 'nothing'"),
    (GOOD + "comptime { @comptime_assert(1 == 2, \"no\"); }", "this does not hold: no"),
    (GOOD + "comptime { @bind_local_task(compute, @get_local_task_id(9)); }", "expected a task"),
    (GOOD + "task t(a: i32) void {}\ncomptime { @bind_local_task(t, @get_local_task_id(9)); }",
     "a local task takes no arguments"),
    (GOOD + "task t() void {}\ntask u() void {}\nconst i = @get_local_task_id(9);\n"
     "comptime { @bind_local_task(t, i); @bind_local_task(u, i); }", "is bound to 't' already"),
    (GOOD + "comptime { const c = @get_color(24); }", "24 is no color of wse2: they are 0 to 23"),
    (GOOD + "const a = b; const b = a; comptime { const c = a; }", "'a' depends on itself: a -> b -> a"),
    (GOOD + "comptime { const a: i8 = 200; }", "200 is not in the range of i8"),
    (GOOD + "comptime { @export_symbol(compute, \"other\"); }", "the layout has no @export_name for it"),
    (GOOD + "comptime { const m = @import_module(\"missing.csl\"); }", "no file missing.csl"),
    (GOOD + "comptime { const m = @import_module(\"<mathe>\"); }", "did you mean <math>?"),
    ("fn compute() void { const a: f32 = in[0]; }", "expected f32, found a value of type i32; @as(f32, ...) converts it"),
    ("fn compute() void { out[8] = 1; }", "index 8 is outside [8]i32"),
    ("fn compute() void { const a: i32 = 3; a = 4; }", "a constant cannot be assigned to"),
    ("fn compute() void { break; }", "no loop around this 'break'"),
    ("fn f(a: i32) i32 { return a; }\nfn compute() void { out[0] = f(); }", "'f' takes 1 arguments, found 0"),
    ("fn f(n: i32) i32 { if (n == 0) { return 1; } return n * f(n - 1); }\nfn compute() void { out[0] = f(in[0]); }",
     "calls itself, and not as the last thing that it does"),
    ("task t() void {}\nfn compute() void { t(); }", "is a task, which cannot be called: @activate it"),
    ("fn compute() void { @fadds(floats, 1.0, 2.0); }", "the destination is a DSD, a DSR or a pointer to a scalar"),
    ("fn compute() void { @fadds(1); }", "@fadds takes a destination and 2 sources"),
    ("fn compute() void { @fmov(1, 2); }", "unknown builtin @fmov; did you mean @fmovs?"),
    ("fn compute() void { if (in) { } }", "expected bool"),
    ("fn compute() void { const a = in[0] + floats[0]; }", "'+' of i32 and f32; @as(i32, ...) makes them alike"),
    ("fn f() i32 { }\nfn compute() void { out[0] = f(); }", "'f' can end without a value of type i32"),
    ("const S = struct { a: i32 };\nfn compute() void { const s = S { .b = 1 }; }", "has no field 'b'"),
])
def test_errors_of_meaning_say_what_and_where(compile_csl, code, said):
    with pytest.raises(CslError) as caught:
        compile_csl(code)
    assert said in str(caught.value) and "pe.csl:" in str(caught.value), str(caught.value)


@pytest.mark.parametrize(("layout", "said"), [
    ("layout { }", "the layout sets no rectangle"),
    ("const a = 1;", "a top file has one layout block, found 0"),
    ("layout { @set_rectangle(2, 1); @set_tile_code(0, 0, \"pe.csl\"); }", "PE (1, 0) has no program"),
    ("layout { @set_rectangle(1, 1); @set_tile_code(1, 0, \"pe.csl\"); }", "PE (1, 0) is outside the rectangle of 1 x 1 PEs"),
    ("layout { @set_rectangle(1, 1); @set_tile_code(0, 0, \"pe.csl\"); @set_tile_code(0, 0, \"pe.csl\"); }",
     "has a program already"),
    ("param n: i16; layout { @set_rectangle(n, 1); }", "the parameter 'n' has no value"),
])
def test_errors_of_layouts(compile_csl, layout, said):
    with pytest.raises(CslError) as caught:
        compile_csl({"layout.csl": layout, "pe.csl": "var a: i16 = 0;"})
    assert said in str(caught.value)


def test_files_that_are_no_source_are_refused(tmp_path):
    from wsekern.csl.source import Source
    (tmp_path / "binary.csl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is no UTF-8"):
        Source.read(tmp_path / "binary.csl")
    with pytest.raises(InputError, match=r"none\.csl: No such file"):
        Source.read(tmp_path / "none.csl")


@pytest.mark.parametrize(("arch", "kind", "number", "told"), [
    ("wse2", "input", 0, True), ("wse2", "input", 1, False), ("wse3", "input", 1, True), ("wse3", "output", 0, True),
    ("wse3", "output", 1, False), ("wse3", "input", 2, False)])
def test_queues_of_the_hosts_copies_are_told(compile_csl, arch, kind, number, told):
    code = f"""fn compute() void {{}}
comptime {{ @initialize_queue(@get_{kind}_queue({number}), .{{ .color = @get_color(3) }}); }}
"""
    found = [each.text() for each in compile_csl(code, arch=arch).diagnostics.warnings]
    assert any(f"{kind} queue {number} is reserved for the host's copies" in text for text in found) == told


def test_cslc_refuses_warnings_where_it_is_asked_to(compile_csl, tmp_path, capsys):
    compile_csl("fn compute() void {}\ncomptime { @initialize_queue(@get_input_queue(0), .{ .color = @get_color(3) }); }\n")
    command = [str(tmp_path / "layout.csl"), "--arch=wse3", "-o", str(tmp_path / "out")]
    assert cslc(command) == 0 and "reserved" in capsys.readouterr().err and (tmp_path / "out" / "out.json").is_file()
    assert cslc([*command[:-1], str(tmp_path / "other"), "--warnings-as-errors"]) == 1
    assert "--warnings-as-errors was asked for" in capsys.readouterr().err and not (tmp_path / "other").exists()


SEVERAL = """
fn half(a: i32) i32 {
  const b: i32 = 1.5;
  return missing / b;
}
fn compute() void {
  var n: i16 = 1.5;
  out[0] = n;
  out[1] = true;
  for (@range(i16, 3)) |i| { out[i] = nothing(i); }
  if (half(in[0]) > 1) { floats[0] = 1; } else { floats[0] = 2; floats[1] = in[0]; }
  sys.unblock_cmd_stream();
}
"""


def test_errors_of_statements_do_not_hide_each_other_nor_bring_about_others(compile_csl):
    with pytest.raises(CslError) as caught:
        compile_csl(SEVERAL)
    found = [each.message for each in caught.value.diagnostics]
    assert sorted(message.split(";")[0] for message in found) == sorted([
        "expected i16, found a value of type comptime_float", "expected i32, found a value of type bool",
        "unknown name 'nothing'", "expected f32, found a value of type i32",
        "expected i32, found a value of type comptime_float", "unknown name 'missing'"])


def test_the_command_line_shows_errors_line_by_line(tmp_path, capfd, monkeypatch):
    from wsekern.cli import main

    path = tmp_path / "a.csl"
    path.write_text("const a = 1\nconst b = ;\n")
    monkeypatch.setattr("sys.argv", ["wsekern", "csl", "check", str(path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert f"{path}:2:11: error: expected a value, found ';'\n    const b = ;\n              ^\n" in capfd.readouterr().err
