"""Stepping: programs stop where one says, and variables are read by their names in CSL; folders hold all that it takes."""

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.sdk.artifact import read, write
from wsekern.sdk.runtime import SdkRuntime
from wsekern.sdk.stepping import Stepper

CODE = """
const helper = @import_module("helper.csl", .{ .by = 10 });
const Pair = struct { first: i16, second: f32 };
var pair: Pair = .{ .first = -3, .second = 1.5 };
var table: [2, 3]i16 = [2, 3]i16 { 1, 2, 3, 4, 5, 6 };
const LENGTH: i16 = 4;
var flag: bool = false;
fn compute() void {
  var total: i32 = 0;
  for (@range(i16, LENGTH)) |i| {
    const square = @as(i32, i) * @as(i32, i) + @as(i32, x);
    total += square;
    out[i] = total;
    out[7] = @as(i32, table[1, i % 3]);
  }
  flag = total > 3;
  pair.second = helper.more(total);
  sys.unblock_cmd_stream();
}
"""
HELPER = """
param by: i32;
var calls: i32 = 0;
fn more(a: i32) f32 {
  calls += 1;
  const sum = a + by;
  return @as(f32, sum);
}
"""
LINE = 28  # of total += square, behind the head of conftest.py


@pytest.fixture
def folder(compile_csl, tmp_path):
    """The out folder of a program on two PEs."""
    from tests.csl.conftest import HEAD
    made = compile_csl({"pe.csl": HEAD + CODE, "helper.csl": HELPER}, {"width": 2})
    write(tmp_path / "out", tmp_path / "layout.csl", made, {"width": 2})
    return tmp_path / "out"


def test_a_folder_is_all_that_a_run_needs(folder, compile_csl):
    for source in folder.parent.glob("*.csl"):
        source.unlink()
    runtime = SdkRuntime(folder)
    runtime.launch("compute")
    out = np.zeros((1, 2, 8), np.int32)
    runtime.memcpy_d2h(out, runtime.get_id("out"), 0, 0, 2, 1, 8)
    assert out[0, :, :4].tolist() == [[0, 1, 5, 14], [1, 3, 8, 18]]


def test_a_folder_holds_what_was_compiled(compile_csl, folder):
    from tests.csl.conftest import HEAD
    made, found = compile_csl({"pe.csl": HEAD + CODE, "helper.csl": HELPER}, {"width": 2}), read(folder)
    assert [part.program for part in found.programs] == [part.program for part in made.programs]
    for one, other in zip(found.programs, made.programs, strict=True):
        assert (one.exports, one.sites, one.variables) == (other.exports, other.sites, other.variables)
    assert found.layout.fabric.painted == made.layout.fabric.painted
    assert np.array_equal(found.layout.parameters, made.layout.parameters) and found.taps == made.taps


def test_a_damaged_folder_is_refused(folder):
    (folder / "wsekern.json").write_text("{}")
    with pytest.raises(InputError, match="compile again"):
        read(folder)
    with pytest.raises(InputError, match=r"has no wsekern\.json; compile one"):
        read(folder.parent)


def test_variables_are_read_by_their_names_where_a_pe_stands(folder):
    view = Stepper(folder)
    view.launch("compute")
    assert view.run_to_line("pe.csl", LINE, 1, 0) == (1, 0)
    assert view.where(1, 0)["function"] == "compute" and view.where(1, 0)["source"].endswith(f"pe.csl:{LINE}")
    assert [view.read(1, 0, name) for name in ("i", "square", "total", "x", "LENGTH")] == [0, 1, 0, 1, 4]
    view.run_to_line("pe.csl", LINE, 1, 0)
    assert [view.read(1, 0, name) for name in ("i", "square", "total")] == [1, 2, 1]
    assert view.read(0, 0, "table").tolist() == [[1, 2, 3], [4, 5, 6]] and view.read(0, 0, "pair.first") == -3
    view.run_to_line("helper.csl", 6)
    assert view.where(0, 0)["function"] == "more" and view.read(0, 0, "a") == 14 and view.read(0, 0, "helper.calls") == 1
    view.run()
    assert view.where(0, 0) is None and view.read(0, 0, "pair.second") == 24 and view.read(0, 0, "flag")
    assert "i" not in view.names(0, 0) and "pair.second" in view.names(0, 0)


def test_a_stepper_says_what_is_not_there(folder):
    view = Stepper(folder)
    for act, said in ((lambda: view.read(0, 0, "nothing"), "has no variable 'nothing' where it is now; it has"),
                      (lambda: view.run_to_line("pe.csl", 1), r"no instruction comes from pe\.csl:1"),
                      (lambda: view.run_to_line("pe.csl", LINE), r"no PE comes to pe\.csl:\d+ any more"),
                      (lambda: view.run_to(-1), "-1 as a cycle"), (lambda: view.run_to(None), "None as a cycle"),
                      (lambda: Stepper(None), "a NoneType is no compiled program"),
                      (lambda: view.run_to_line("pe.csl", LINE, x=0), "None as y")):
        with pytest.raises(InputError, match=said):
            act()
    view.launch("compute")
    view.run_to(5)
    assert view.cycle == 5


def test_a_line_without_instructions_is_refused(folder):
    with pytest.raises(InputError, match=rf"no instruction comes from pe.csl:1; of this file they come from .*\b{LINE}\b"):
        Stepper(folder).run_to_line("pe.csl", 1)


def test_the_first_line_after_a_launch_is_seen(compile_csl):
    made = compile_csl("""
        var sum: i16 = 100;
        fn compute() void {
          sum += 7;
          sys.unblock_cmd_stream();
        }
    """, {"width": 1})
    view = Stepper(SdkRuntime.of(made))
    view.launch("compute")
    line = int(view.simulation.place_of(0, 0)["source"].rpartition(":")[2])
    assert view.run_to_line("pe.csl", line) == (0, 0) and view.cycle == 1
