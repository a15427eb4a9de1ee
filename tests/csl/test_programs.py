"""Programs of our own, compiled and run: what they leave in memory is what numpy says."""

import numpy as np
import pytest

INTEGERS = """
fn twice(a: i32) i32 { return a + a; }
fn gcd(a: i32, b: i32) i32 {
  var x: i32 = a;
  var y: i32 = b;
  while (y != 0) {
    const rest = x % y;
    x = y;
    y = rest;
  }
  return x;
}
const Mode = enum(u16) { slow, fast = 5, later };
fn compute() void {
  var total: i32 = 0;
  for (@range(i16, 10)) |i| {
    if (i == 3) { continue; }
    if (i == 8) { break; }
    total += @as(i32, i);
  }
  out[0] = total;
  out[1] = gcd(84, 36) + twice(7);
  out[2] = if (total > 20 and total < 30) 1 else 2;
  var mode = Mode.later;
  switch (mode) {
    Mode.slow, Mode.fast => { out[3] = 77; },
    else => { out[3] = @as(i32, @get_int(mode)); },
  }
  out[4] = @as(i32, @as(u8, 300 + 12));
  var bits: u16 = 0xff00;
  bits >>= 4;
  bits ^= 0x3;
  out[5] = @as(i32, bits);
  var low: i8 = 127;
  low += 1;
  out[6] = @as(i32, low);
  const numbers = [4]i32 { 3, 1, 4, 1 };
  var sum: i32 = 0;
  for (numbers) |value, k| { sum += value * @as(i32, k); }
  out[7] = sum;
  sys.unblock_cmd_stream();
}
"""


def words(runtime, name, count=8, dtype=np.int32, width=1):
    from wsekern.sdk.runtime import MemcpyOrder
    held = np.zeros(width * count, dtype)
    runtime.memcpy_d2h(held, runtime.get_id(name), 0, 0, width, 1, count, order=MemcpyOrder.ROW_MAJOR)
    return held.reshape(width, count)


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_integers_loops_switches_and_calls(run_csl, arch):
    total = sum(k for k in range(8) if k != 3)
    found = words(run_csl(INTEGERS, arch=arch), "out")[0]
    assert found.tolist() == [total, 12 + 14, 1, 1, 312 & 255, (0xFF00 >> 4) ^ 3, -128, 1 + 8 + 3]


def test_descriptors_move_over_the_columns_of_a_matrix(run_csl):
    code = """
    const M: i16 = 4;
    const N: i16 = 3;
    var A: [M, N]f32;
    var v: [N]f32;
    const y = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{M} -> floats[i] });
    fn compute() void {
      for (@range(i16, M)) |i| { for (@range(i16, N)) |j| { A[i, j] = @as(f32, i * N + j); } }
      for (@range(i16, N)) |j| { v[j] = @as(f32, j + 1); }
      var column = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{M} -> A[i, 0] });
      for (@range(i16, N)) |j| {
        @fmacs(y, y, column, v[j]);
        column = @increment_dsd_offset(column, 1, f32);
      }
      sys.unblock_cmd_stream();
    }
    """
    found = words(run_csl(code), "floats", dtype=np.float32)[0]
    assert found[:4].tolist() == (np.arange(12, dtype=np.float32).reshape(4, 3) @ np.array([1, 2, 3], np.float32)).tolist()


ROW = {
    "layout.csl": """
    param width: i16;
    const memcpy = @import_module("<memcpy/get_params>", .{ .width = width, .height = 1 });
    const c = @get_color(3);
    layout {
      @set_rectangle(width, 1);
      for (@range(i16, width)) |x| {
        @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .x = x, .width = width, .c = c });
        if (x == 0) {
          @set_color_config(x, 0, c, .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } } });
        } else {
          const tx = if (x == width - 1) .{ RAMP } else .{ RAMP, EAST };
          @set_color_config(x, 0, c, .{ .routes = .{ .rx = .{ WEST }, .tx = tx } });
        }
      }
      @export_name("out", [*]i32, true);
      @export_name("compute", fn()void);
    }
    """,
    "pe.csl": """
    param memcpy_params: comptime_struct;
    param x: i16;
    param width: i16;
    param c: color;
    const sys = @import_module("<memcpy/memcpy>", memcpy_params);
    const place = @import_module("<layout>");
    const oq = @get_output_queue(2);
    const iq = @get_input_queue(2);
    const done_id = @get_local_task_id(9);
    var out: [8]i32;
    var out_ptr: [*]i32 = &out;
    const out_dsd = @get_dsd(mem1d_dsd, .{ .base_address = &out, .extent = 4 });
    task done() void {
      out[5] = @as(i32, place.get_x_coord());
      out[6] = 100 + @as(i32, x) * 3;
      sys.unblock_cmd_stream();
    }
    fn compute() void {
      if (x == 0) {
        for (@range(i16, 4)) |i| { out[i] = @as(i32, i) + 7; }
        const send = @get_dsd(fabout_dsd, .{ .fabric_color = c, .extent = 4, .output_queue = oq });
        @mov32(send, out_dsd, .{ .async = true, .activate = done });
      } else {
        const receive = @get_dsd(fabin_dsd, .{ .fabric_color = c, .extent = 4, .input_queue = iq });
        @mov32(out_dsd, receive, .{ .async = true, .activate = done });
      }
    }
    comptime {
      @bind_local_task(done, done_id);
      if (@is_arch("wse3")) {
        @initialize_queue(oq, .{ .color = c });
        @initialize_queue(iq, .{ .color = c });
      }
      @export_symbol(out_ptr, "out");
      @export_symbol(compute);
    }
    """,
}


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_words_cross_a_row_and_pes_of_like_code_share_a_program(run_csl, arch):
    runtime = run_csl(ROW, {"width": 6}, arch)
    found = words(runtime, "out", width=6)
    assert found[:, :4].tolist() == [[7, 8, 9, 10]] * 6
    assert found[:, 5].tolist() == list(range(6)) and found[:, 6].tolist() == [100 + 3 * k for k in range(6)]
    assert len(runtime.machine.made.programs) == 2  # the sender, and all that receive: their x is a number of each PE


def test_text_that_pes_print_and_conditions_that_do_not_hold_reach_the_host(run_csl, capsys):
    from wsekern.errors import SimulationError
    code = """
    const prt = @import_module("<simprint>");
    fn compute() void {
      var k: i16 = 3;
      k += x;
      prt.fmt("PE {d} has {d}", .{ x, k });
      @assert(k < 5);
      sys.unblock_cmd_stream();
    }
    """
    run_csl(code, {"width": 2})
    assert capsys.readouterr().out.splitlines() == ["PE 0 has 3", "PE 1 has 4"]
    with pytest.raises(SimulationError, match=r"PE \(2, 0\), cycle \d+: .*pe\.csl:\d+:\d+, in compute: this does not hold"):
        run_csl(code, {"width": 3})


def test_a_map_calls_its_function_for_every_element(run_csl):
    code = """
    const math = @import_module("<math>");
    fn root(a: f32) f32 { return math.sqrt_f32(a); }
    const dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{8} -> floats[i] });
    fn compute() void {
      for (@range(i16, 8)) |i| { floats[i] = @as(f32, i * i); }
      @map(root, dsd, dsd);
      sys.unblock_cmd_stream();
    }
    """
    assert words(run_csl(code), "floats", dtype=np.float32)[0].tolist() == list(range(8))


def test_structs_generic_functions_and_comptime_values(run_csl):
    code = """
    const Pair = struct { a: i32, b: i32 };
    fn swapped(p: Pair) Pair { return Pair { .a = p.b, .b = p.a }; }
    fn largest(comptime T: type, a: T, b: T) T { return if (a > b) a else b; }
    fn table() [4]i32 {
      var t = @zeros([4]i32);
      var k: i16 = 0;
      while (k < 4) : (k += 1) { t[k] = @as(i32, k * k * k); }
      return t;
    }
    const cubes = table();
    fn compute() void {
      var p = Pair { .a = 3, .b = 9 };
      p = swapped(p);
      out[0] = p.a * 10 + p.b;
      out[1] = largest(i32, in[0], 4);
      out[2] = @as(i32, largest(i16, 2, 1));
      for (@range(i16, 4)) |i| { out[i + 3] = cubes[i]; }
      sys.unblock_cmd_stream();
    }
    """
    assert words(run_csl(code), "out")[0].tolist() == [93, 4, 2, 0, 1, 8, 27, 0]


def test_a_function_that_never_frees_the_command_stream_is_told_so(run_csl):
    from wsekern.errors import DeadlockError
    code = """
    const iq = @get_input_queue(2);
    fn compute() void {
      const words = @get_dsd(fabin_dsd, .{ .fabric_color = @get_color(5), .extent = 1, .input_queue = iq });
      const target = @get_dsd(mem1d_dsd, .{ .base_address = &out, .extent = 1 });
      @mov32(target, words, .{ .async = true });
    }
    """
    runtime = run_csl(code)
    with pytest.raises(DeadlockError, match=r"'compute' does not end: PE \(0, 0\) has not called unblock_cmd_stream.*color 5"):
        words(runtime, "out")


def test_a_sender_takes_all_that_memory_gives_it(run_csl):
    files = {**ROW, "pe.csl": ROW["pe.csl"].replace(".extent = 4, .output_queue", ".extent = 1, .output_queue")}
    assert words(run_csl(files, {"width": 3}), "out", width=3)[2, :4].tolist() == [7, 8, 9, 10]


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_a_scalar_that_is_destination_and_source_takes_every_element(run_csl, arch):
    code = """
    const values = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{5} -> floats[i] });
    var total: f32 = 100.0;
    var total_ptr = &total;
    fn add_to(sum: *f32) void { @fadds(sum, sum.*, values); }
    fn compute() void {
      for (@range(i16, 5)) |i| { floats[i] = @as(f32, if (i == 2) 9 else i); }
      var most: f32 = -1000.0;
      @fmaxs(&most, most, values);
      add_to(&total);
      @fadds(total_ptr, total, values);
      var other: f32 = 3.0;
      @fmaxs(&floats[7], other, values);
      floats[5] = most;
      floats[6] = total;
      sys.unblock_cmd_stream();
    }
    """
    found = words(run_csl(code, arch=arch), "floats", dtype=np.float32)[0]
    assert found[5:].tolist() == [9, 100 + 2 * (0 + 1 + 9 + 3 + 4), 4]


def test_more_functions_than_ids_of_tasks_are_all_begun_by_the_host(compile_csl):
    from wsekern.sdk.runtime import SdkRuntime
    layout = """
    const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
    layout {
      @set_rectangle(1, 1);
      @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0) });
      @export_name("out", [*]i32, true);
      NAMES
    }
    """
    head = """
    param memcpy_params: comptime_struct;
    const sys = @import_module("<memcpy/memcpy>", memcpy_params);
    var out: [2]i32;
    var out_ptr: [*]i32 = &out;
    comptime { @export_symbol(out_ptr, "out"); }
    """
    code = head + "".join(
        f"fn f{k}(a: i32) void {{ out[0] = out[0] * 3 + a + {k}; sys.unblock_cmd_stream(); }}\n"
        f"comptime {{ @export_symbol(f{k}); }}\n" for k in range(32))
    names = "".join(f'@export_name("f{k}", fn(i32)void);\n' for k in range(32))
    runtime = SdkRuntime.of(compile_csl({"layout.csl": layout.replace("NAMES", names), "pe.csl": code}))
    runtime.run()
    expected = 0
    for k in (31, 0, 17):
        runtime.launch(f"f{k}", 5)
        expected = expected * 3 + 5 + k
    assert words(runtime, "out", 2)[0, 0] == expected


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_an_operation_of_a_function_meets_what_its_callers_loaded(run_csl, arch):
    code = """
    const N: i16 = 2;
    var rows = [3 * N]f32 { 1.0, 2.0, 3.0, 4.0, 5.0, 6.0 };
    var weights = [3]f32 { 10.0, 100.0, 1000.0 };
    var pair = [N]f32 { 7.0, 8.0 };
    const to = @get_dsr(dsr_dest, 1);
    const plus = @get_dsr(dsr_src0, 1);
    const row = @get_dsr(dsr_src1, 1);
    const all_weights = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> weights[i] });
    var result = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{N} -> floats[i] });
    var one = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{N} -> rows[i] });
    const of_pair = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{N} -> pair[i] });
    fn twice() void { add(1.0); add(1.0); }
    fn add(weight: f32) void { @fmacs(to, plus, row, weight); }
    fn matrix() void {
      @load_to_dsr(to, result);
      @load_to_dsr(plus, result);
      @load_to_dsr(row, one, .{ .save_address = true });
      @map(step, all_weights);
    }
    fn step(weight: f32) void { @fmacs(to, plus, row, weight); }
    fn again() void {
      result = @increment_dsd_offset(result, N, f32);
      @load_to_dsr(to, result);
      @load_to_dsr(plus, result);
      @load_to_dsr(row, of_pair);
      twice();
    }
    fn compute() void {
      matrix();
      again();
      sys.unblock_cmd_stream();
    }
    """
    found = words(run_csl(code, arch=arch), "floats", dtype=np.float32)[0]
    assert found[:4].tolist() == [10 + 300 + 5000, 20 + 400 + 6000, 14, 16]


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_a_dsr_is_whatever_was_loaded_while_the_program_ran(run_csl, arch):
    code = """
    const N: i16 = 2;
    var a = [4]f32 { 1.0, 2.0, 3.0, 4.0 };
    const to = @get_dsr(dsr_dest, 1);
    const from = @get_dsr(dsr_src1, 1);
    const d = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{N} -> a[i] });
    const columns = @get_dsd(mem4d_dsd, .{ .tensor_access = |i,j|{1, N} -> a[2 * j + i] });
    var result = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{N} -> floats[i] });
    fn load(which: i32) void {
      if (which == 0) {
        @load_to_dsr(from, d);
      } else if (which == 1) {
        @load_to_dsr(from, d, .{ .save_address = true });
      } else {
        @load_to_dsr(from, columns);
      }
    }
    fn twice() void {
      for (@range(i16, 2)) |k| {
        @load_to_dsr(to, result);
        @fmovs(to, from);
      }
      result = @increment_dsd_offset(result, N, f32);
    }
    fn compute() void {
      for (@range(i32, 3)) |which| {
        load(which);
        twice();
      }
      sys.unblock_cmd_stream();
    }
    """
    found = words(run_csl(code, arch=arch), "floats", dtype=np.float32)[0]
    assert found[:6].tolist() == [1, 2, 3, 4, 1, 3]
