"""PEs whose comptime functions decide differently share a program: memory, routes and cycles of programs of their own."""

import numpy as np
import pytest

from wsekern.csl import calls
from wsekern.sdk.runtime import MemcpyOrder

CODE = """
fn weights(k: i16) [4]f32 {
  var found = @zeros([4]f32);
  if (k % 3 == 0) { found[0] = -0.0; } else { found[@as(u16, k % 3)] = 1.5; }
  if (k > 3) { found[3] = 0.25 / @as(f32, 3.0); }
  return found;
}
fn rows(k: i16) u16 {
  if (k < 2) { return 1; }
  return 2;
}
fn side(k: i16) bool {
  if (k == 0) { return true; }
  return false;
}
const table = weights(x);
const count = rows(x);
const first = side(x);
const plenty = [8]f32 { 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0 };
fn compute() void {
  const source = @get_dsd(mem4d_dsd, .{ .tensor_access = |i, j|{count, 4} -> table[j] });
  const more = @get_dsd(mem4d_dsd, .{ .tensor_access = |i, j|{count, 4} -> plenty[4 * i + j] });
  const target = @get_dsd(mem4d_dsd, .{ .tensor_access = |i, j|{count, 4} -> floats[4 * i + j] });
  @fadds(target, more, source);
  out[0] = @as(i32, count);
  if (first) { out[1] = 1; }
  sys.unblock_cmd_stream();
}
"""
ROUTES = """
const directions = @import_module("<directions>");
fn bits(k: i16) u16 {
  if (k == 0) { return directions.RX_RAMP | directions.TX_EAST; }
  if (k % 2 == 1) { return directions.RX_WEST | directions.TX_RAMP; }
  return directions.RX_WEST | directions.TX_RAMP | directions.TX_EAST;
}
const c = @get_color(5);
fn compute() void { sys.unblock_cmd_stream(); }
comptime { @set_local_color_config(c, .{ .routes = bits(x) }); }
"""
WIDTH = 8


@pytest.fixture
def alone(monkeypatch):
    """Turn sharing off."""
    def refuse(unit, arguments, split, run):
        raise split
    return lambda: monkeypatch.setattr(calls, "apart", refuse)


def told(runtime):
    floats, out = np.zeros(8 * WIDTH, np.float32), np.zeros(8 * WIDTH, np.int32)
    for name, array in (("floats", floats), ("out", out)):
        runtime.memcpy_d2h(array, runtime.get_id(name), 0, 0, WIDTH, 1, 8, order=MemcpyOrder.ROW_MAJOR)
    return floats.view(np.uint32).tolist(), out.tolist()


def test_tables_and_extents_of_each_pe_in_one_program(run_csl, alone):
    shared = run_csl(CODE, {"width": WIDTH})
    assert [len(part.pes) for part in shared.machine.made.programs] == [1, WIDTH - 1], "only a branch of code splits"
    alone()
    apart = run_csl(CODE, {"width": WIDTH})
    assert len(apart.machine.made.programs) > 2
    assert told(shared) == told(apart)
    assert shared.machine.simulation.cycle == apart.machine.simulation.cycle


def test_routes_of_each_pe_in_one_program(compile_csl, alone):
    shared = compile_csl(ROUTES, {"width": WIDTH})
    assert len(shared.programs) == 1
    alone()
    apart = compile_csl(ROUTES, {"width": WIDTH})
    routes = [[made.layout.fabric.route_at(5, x, 0) for x in range(WIDTH)] for made in (shared, apart)]
    assert routes[0] == routes[1] and len(set(map(str, routes[0]))) == 3


def test_a_function_that_does_something_splits(compile_csl):
    made = compile_csl("""
fn bind(k: i16) u16 {
  if (k < 4) { @set_local_color_config(@get_color(5), .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } } }); return 1; }
  return 2;
}
fn compute() void { sys.unblock_cmd_stream(); }
comptime { _ = bind(x); }
""", {"width": WIDTH})
    assert sorted(5 in part.colors for part in made.programs) == [False, True]
    assert sorted(len(part.pes) for part in made.programs) == [4, 4]
