"""What CSL asks of the machine: queues that colors share, queues that change their color, indices, many launched functions,
pointers to functions, ids of tasks that run time knows."""

import numpy as np
import pytest

ROW = """
param width: i16 = 2;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = width, .height = 1 });
layout {
  @set_rectangle(width, 1);
  for (@range(i16, width)) |x| {
    @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .x = x });
    for (@range(i16, COLORS)) |c| {
      @set_color_config(x, 0, @get_color(c), .{ .routes = if (x == 0) .{ .rx = .{ RAMP }, .tx = .{ EAST } }
                                                          else .{ .rx = .{ WEST }, .tx = .{ RAMP } } });
    }
  }
  @export_name("out", [*]u32, true);
  @export_name("compute", fn()void);
}
"""
HEAD = """
param memcpy_params: comptime_struct;
param x: i16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var out: [16]u32;
var out_ptr: [*]u32 = &out;
comptime {
  @export_symbol(out_ptr, "out");
  @export_symbol(compute);
}
"""


def row(code: str, colors: int) -> dict[str, str]:
    """Two PEs of one file, with colors from the first to the second."""
    return {"layout.csl": ROW.replace("COLORS", str(colors)), "pe.csl": HEAD + code}


def out_of(runtime, x: int = 0, count: int = 16, name: str = "out") -> list[int]:
    """What a PE has put into a symbol."""
    found = np.zeros(count, np.uint32)
    runtime.memcpy_d2h(found, runtime.get_id(name), x, 0, 1, 1, count, streaming=False)
    return found.tolist()


SHARE = """
const words = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{1} -> out[i] });
fn compute() void {
""" + "".join(f"""
  if (x == 0) {{
    @mov32(@get_dsd(fabout_dsd, .{{ .extent = 1, .fabric_color = @get_color({c}) }}), @as(u32, {10 + c}));
  }} else {{
    @mov32(@set_dsd_base_addr(words, &out[{10 - c}]), @get_dsd(fabin_dsd, .{{ .extent = 1, .fabric_color = @get_color({c}) }}));
  }}""" for c in range(11)) + """
  sys.unblock_cmd_stream();
}
"""


def test_more_colors_than_queues_share_them_on_wse2(run_csl):
    runtime = run_csl(row(SHARE, 11))
    assert out_of(runtime, 1, 11) == list(range(20, 9, -1))
    sender, receiver = (built.program for built in runtime.machine.made.programs) if len(
        runtime.machine.made.programs) > 1 else (runtime.machine.made.programs[0].program,) * 2
    assert len(sender.outputs) == 6 and "color=" in sender.text()
    assert receiver.late_queues()


QUEUE = """
const q = @get_output_queue(3);
const one = @get_dsd(fabout_dsd, .{ .extent = 4, .fabric_color = @get_color(0), .output_queue = q });
const other = @get_dsd(fabout_dsd, .{ .extent = 4, .fabric_color = @get_color(1), .output_queue = q });
const first = @get_dsd(fabin_dsd, .{ .extent = 4, .fabric_color = @get_color(0), .input_queue = @get_input_queue(2) });
const second = @get_dsd(fabin_dsd, .{ .extent = 4, .fabric_color = @get_color(1), .input_queue = @get_input_queue(3) });
const memory = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> out[i] });
const done_id = @get_local_task_id(9);
task done() void {
  if (x == 0) { @mov32(other, memory); } else { @mov32(@set_dsd_base_addr(memory, &out[4]), second); }
  sys.unblock_cmd_stream();
}
fn compute() void {
  if (x == 0) {
    for (@range(u32, 4)) |k| { out[k] = k + 1; }
    @mov32(one, memory, .{ .async = true, .activate = done });
  } else {
    @mov32(memory, first, .{ .async = true, .activate = done });
  }
}
comptime { @bind_local_task(done, done_id); }
"""


def test_an_output_queue_of_wse2_takes_the_words_of_two_colors_in_order(run_csl):
    assert out_of(run_csl(row(QUEUE, 2)), 1, 8) == [1, 2, 3, 4] * 2


FLUSH = """
const config = @import_module("<tile_config>");
const oq = @get_output_queue(2);
const iq = @get_input_queue(3);
const send = @get_dsd(fabout_dsd, .{ .extent = 3, .output_queue = oq });
const take = @get_dsd(fabin_dsd, .{ .extent = 3, .input_queue = iq });
const memory = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{5} -> out[i] });
const sent_id = @get_local_task_id(9);
const last_id = @get_local_task_id(10);
var color_next: u16 = 0;
task sent() void {
  if (x == 0) {
    color_next = 1;
    @queue_flush(oq);
  } else {
    config.input_queue_config.encode_input_queue(3, 1, false);
    @mov32(@set_dsd_base_addr(memory, &out[3]), take, .{ .async = true, .activate = last });
  }
}
fn empty() void {
  out[15] = config.queue_flush.get_pending();
  config.output_queue_config.encode_output_queue(2, color_next);
  config.queue_flush.exit(oq);
  @mov32(send, 7, .{ .async = true, .activate = last });
}
task last() void { sys.unblock_cmd_stream(); }
fn compute() void {
  if (x == 0) { @mov32(send, 5, .{ .async = true, .activate = sent }); }
  else { @mov32(memory, take, .{ .async = true, .activate = sent }); }
}
comptime {
  @bind_local_task(sent, sent_id);
  @bind_local_task(last, last_id);
  @initialize_queue(oq, .{ .color = @get_color(0) });
  @initialize_queue(iq, .{ .color = @get_color(0) });
  @set_empty_queue_handler(empty, oq);
}
"""


def test_a_queue_that_is_flushed_sends_on_another_color(run_csl):
    runtime = run_csl(row(FLUSH, 2), arch="wse3")
    assert out_of(runtime, 1, 8) == [5, 5, 5, 7, 7, 7, 0, 0]
    assert out_of(runtime, 0)[15] == 1 << 2


def test_wse2_has_no_flush(compile_csl):
    from wsekern.csl.source import CslError

    with pytest.raises(CslError, match="wse2 has no @set_empty_queue_handler"):
        compile_csl(row(FLUSH, 2))


INDEX = """
const send = @get_dsd(fabout_dsd, .{ .extent = 2, .fabric_color = @get_color(0), .output_queue = @get_output_queue(2),
                                     .wavelet_index_offset = true });
const take = @get_dsd(fabin_dsd, .{ .extent = 4, .fabric_color = @get_color(0), .input_queue = @get_input_queue(3) });
var halves = [2]u16 { 5, 6 };
const pair = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> halves[i] });
const memory = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> out[i] });
fn compute() void {
  if (x == 0) {
    @mov16(send, pair, .{ .index = 9 });
    out[0] = 3;
    @mov16(send, pair, .{ .index = @as(u16, out[0]) });
  } else { @mov32(memory, take); }
  sys.unblock_cmd_stream();
}
comptime {
  if (@is_arch("wse3")) {
    @initialize_queue(@get_output_queue(2), .{ .color = @get_color(0) });
    @initialize_queue(@get_input_queue(3), .{ .color = @get_color(0) });
  }
}
"""


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_all_words_of_an_operation_carry_its_index(run_csl, arch):
    assert out_of(run_csl(row(INDEX, 1), arch=arch), 1, 4) == [9 << 16 | 5, 9 << 16 | 6, 3 << 16 | 5, 3 << 16 | 6]


POINTERS = """
fn twice(a: i32) i32 { return a * 2; }
fn square(a: i32) i32 { return a * a; }
fn less(a: i32) i32 { return a - 1; }
const table = [3]*const fn(i32) i32 { &twice, &square, &less };
var held: *const fn(i32) i32 = &less;
fn chosen(k: i32) *const fn(i32) i32 { if (k == 0) { return &twice; } return &square; }
fn apply(f: *const fn(i32) i32, value: i32) i32 { return f.*(value); }
fn compute() void {
  for (@range(i32, 3)) |k| { out[k] = table[k](7); }
  out[3] = chosen(out[0] - 14)(5);
  out[4] = held(9);
  held = &square;
  out[5] = held(9);
  out[6] = apply(table[out[0] - 13], 6);
  sys.unblock_cmd_stream();
}
"""


def test_functions_are_called_through_pointers_that_run_time_knows(run_csl):
    assert out_of(run_csl(POINTERS), 0, 7) == [14, 49, 6, 10, 8, 81, 36]


IDS = """
const ids = [2]local_task_id { @get_local_task_id(9), @get_local_task_id(10) };
const send = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = @get_color(0), .output_queue = @get_output_queue(2) });
var which: i16 = 0;
task one() void { out[0] += 1; next(); }
task two() void { out[1] += 1; next(); }
fn next() void {
  which += 1;
  if (which == 3) { sys.unblock_cmd_stream(); return; }
  @block(ids[which & 1]);
  @mov32(send, 1, .{ .async = true, .activate = ids[which & 1] });
  @unblock(ids[which & 1]);
}
fn compute() void {
  if (x == 0) { @activate(ids[0]); } else { sys.unblock_cmd_stream(); }
}
comptime {
  @bind_local_task(one, ids[0]);
  @bind_local_task(two, ids[1]);
}
"""


def test_an_operation_starts_the_task_whose_id_a_variable_holds(run_csl):
    assert out_of(run_csl(row(IDS, 1)), 0, 2) == [2, 1]


BITS = """
var words = [3]u16 { 0, 0x0050, 0x8001 };
var counts: [9]u16;
var reals = [3]f32 { 2.75, -3.5, 1e6 };
var whole: [3]i16;
var back: [3]f32;
const of_words = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> words[i] });
const of_counts = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> counts[i] });
const of_reals = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> reals[i] });
const of_whole = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> whole[i] });
const of_back = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{3} -> back[i] });
fn compute() void {
  @clz(of_counts, of_words);
  @ctz(@increment_dsd_offset(of_counts, 3, u16), of_words);
  @popcnt(@increment_dsd_offset(of_counts, 6, u16), of_words);
  @fs2xp16(of_whole, of_reals);
  @xp162fs(of_back, of_whole);
  for (@range(i16, 9)) |k| { if (k < 8) { out[k] = @as(i32, counts[k]); } }
  for (@range(i16, 3)) |k| { floats[k] = back[k]; }
  floats[3] = @as(f32, @as(i32, counts[8]));
  sys.unblock_cmd_stream();
}
"""


def test_bits_are_counted_and_numbers_converted_element_by_element(run_csl):
    runtime = run_csl(BITS)
    assert out_of(runtime, 0, 8) == [16, 9, 0, 16, 4, 0, 0, 2]
    floats = np.array(out_of(runtime, 0, 8, "floats"), np.uint32).view(np.float32)
    np.testing.assert_array_equal(floats[:4], [2, -3, 32767, 2])


MORE = """
const four = @get_dsd(mem4d_dsd, .{ .tensor_access = |i, j|{2, 2} -> grid[j, i] });
const line = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> floats[i] });
var grid = [2, 2]f32 { 1.0, 2.0, 3.0, 4.0 };
const source = @get_dsr(dsr_src1, 2);
const extra = @get_dsr(xdsr, 0);
var scaled: f32 = 0.0;
fn compute() void {
  @load_to_dsr_xdsr_sr(source, extra, .{ 0 }, four);
  @fmovs(line, source);
  @fscales(&scaled, 3.0, -2);
  floats[4] = scaled;
  const first: u16 = @random16();
  if (first != @random16()) { floats[5] = 1.0; }
  sys.unblock_cmd_stream();
}
"""


def test_descriptors_of_several_dimensions_powers_of_two_and_random_bits(run_csl):
    floats = np.array(out_of(run_csl(MORE), 0, 8, "floats"), np.uint32).view(np.float32)
    np.testing.assert_array_equal(floats, [1, 3, 2, 4, 0.75, 1, 0, 0])


SAVED = """
var a = [4]f32 { 1.0, 2.0, 3.0, 4.0 };
const of_a = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> a[i] });
const sum = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> floats[i] });
const moves = @get_dsr(dsr_src1, 1);
const total = @get_dsr(dsr_dest, 1);
const before = @get_dsr(dsr_src0, 1);
fn compute() void {
  @load_to_dsr(total, of_a, .{ .save_address = true });
  @load_to_dsr(before, of_a, .{ .save_address = true });
  for (@range(i16, 2)) |k| { @fadds(total, before, 1.0); }
  @load_to_dsr(total, sum, .{ .save_address = false });
  @load_to_dsr(before, sum, .{ .save_address = false });
  @load_to_dsr(moves, of_a, .{ .save_address = true });
  for (@range(i16, 2)) |k| { @fadds(total, before, moves); }
  sys.unblock_cmd_stream();
}
"""


def test_a_dsr_moves_its_base_only_where_it_was_loaded_so(run_csl):
    floats = np.array(out_of(run_csl(SAVED), 0, 8, "floats"), np.uint32).view(np.float32)
    np.testing.assert_array_equal(floats, [2 + 4, 3 + 5, 0, 0, 0, 0, 0, 0])


SHORT = """
const send = @get_dsd(fabout_dsd, .{ .extent = 2, .fabric_color = @get_color(0), .output_queue = @get_output_queue(2) });
const take = @get_dsd(fabin_dsd, .{ .extent = 2, .fabric_color = @get_color(0), .input_queue = @get_input_queue(3) });
const memory = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{8} -> out[i] });
fn compute() void {
  if (x == 0) { @mov32(send, 4); } else { @mov32(memory, take); }
  sys.unblock_cmd_stream();
}
"""


def test_a_receiver_that_takes_fewer_words_than_memory_has_ends_the_operation(run_csl):
    assert out_of(run_csl(row(SHORT, 1)), 1, 4) == [4, 4, 0, 0]


def test_many_functions_are_launched_by_one_task(compile_csl):
    from wsekern.sdk.runtime import SdkRuntime

    names = [f"f{k}" for k in range(30)]
    layout = ROW.replace("COLORS", "0").replace('@export_name("compute", fn()void);', "".join(
        f'@export_name("{name}", fn(u32)void);' for name in names))
    code = HEAD.replace("  @export_symbol(compute);\n", "") + "".join(
        f"fn {name}(a: u32) void {{ out[0] = a + {k}; sys.unblock_cmd_stream(); }}\n" for k, name in enumerate(names))
    code += "comptime { " + " ".join(f"@export_symbol({name});" for name in names) + " }"
    runtime = SdkRuntime.of(compile_csl({"layout.csl": layout, "pe.csl": code}, arch="wse3"))
    for k in (0, 17, 29):
        runtime.launch(names[k], np.uint32(100))
        assert out_of(runtime, 1, 1) == [100 + k]


def test_a_copy_with_strides_reaches_some_pes_of_a_rectangle(run_csl):
    runtime = run_csl("fn compute() void { sys.unblock_cmd_stream(); }", {"width": 5})
    runtime.memcpy_h2d_stride(runtime.get_id("out"), np.arange(4, dtype=np.int32), 1, 0, 4, 1, 2, 3, 1, streaming=False)
    assert [out_of(runtime, x, 2) for x in range(5)] == [[0, 0], [0, 1], [0, 0], [0, 0], [2, 3]]
    with pytest.raises(ValueError, match="strides of 0 and 1 PEs"):
        runtime.memcpy_h2d_stride(runtime.get_id("out"), np.arange(2), 0, 0, 1, 1, 2, 0, 1)


WIDE = """
param memcpy_params: comptime_struct;
param x: i16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var in: [3]i64;
var out: [13]u64;
var in_ptr: [*]i64 = &in;
var out_ptr: [*]u64 = &out;
const big: u64 = 0x123456789abcdef0;
fn less(a: u64, b: i64) u64 { return a - @bitcast(u64, b); }
fn compute() void {
  const a: i64 = in[0];
  const b: i64 = in[1];
  const n: u16 = @as(u16, in[2]);
  const ua: u64 = @bitcast(u64, a);
  const ub: u64 = @bitcast(u64, b);
  out[0] = ua + ub;
  out[1] = less(ua, b);
  out[2] = ua * ub;
  out[3] = ua / ub;
  out[4] = @bitcast(u64, a / b);
  out[5] = @bitcast(u64, a % b);
  out[6] = ua << n;
  out[7] = ua >> n;
  out[8] = @bitcast(u64, a >> n);
  out[9] = (ua & ub) ^ (ua | big);
  if (ua < ub) { out[10] |= 1; }
  if (a < b) { out[10] |= 2; }
  if (a == b) { out[10] |= 4; }
  if (a >= b) { out[10] |= 8; }
  out[11] = @bitcast(u64, @as(i64, @as(i16, a)));
  out[12] = ~@as(u64, @as(u32, b));
  sys.unblock_cmd_stream();
}
comptime {
  @export_symbol(in_ptr, "in");
  @export_symbol(out_ptr, "out");
  @export_symbol(compute);
}
"""


def divided(a: int, b: int) -> int:
    """Toward zero."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


@pytest.mark.parametrize(("a", "b", "n"), [(-7, 2, 1), (2**63 - 1, -3, 33), (-(2**62) + 12345, 2**31 + 5, 32), (9, 9, 0),
                                           (0x7EDCBA9876543210, 0xFFFF, 63)])
def test_integers_of_64_bits_are_computed_with_at_run_time(compile_csl, a, b, n):
    from wsekern.sdk.runtime import SdkRuntime

    layout = ROW.replace("COLORS", "0").replace('"out", [*]u32', '"out", [*]u64').replace(
        '  @export_name("compute"', '  @export_name("in", [*]i64, true);\n  @export_name("compute"')
    runtime = SdkRuntime.of(compile_csl({"layout.csl": layout, "pe.csl": WIDE}, arch="wse3"))
    given = np.array([a, b, n], np.int64).view(np.uint32)
    runtime.memcpy_h2d(runtime.get_id("in"), given, 0, 0, 1, 1, 6, streaming=False)
    runtime.launch("compute")
    found = np.array(out_of(runtime, 0, 26), np.uint32).view(np.uint64).tolist()
    ua, ub, mask = a % 2**64, b % 2**64, 2**64 - 1
    low = (a & 0xFFFF ^ 0x8000) - 0x8000
    expected = [a + b, a - b, a * b, ua // ub, divided(a, b), a - divided(a, b) * b, ua << n, ua >> n, a >> n,
                (ua & ub) ^ (ua | 0x123456789ABCDEF0), (ua < ub) | (a < b) * 2 | (a == b) * 4 | (a >= b) * 8, low,
                ~(b & 0xFFFFFFFF)]
    assert found == [each & mask for each in expected]


EXCHANGE = """
param width: i16 = 2;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = width, .height = 1 });
layout {
  @set_rectangle(width, 1);
  const away = .{ .rx = .{ RAMP }, .tx = .{ EAST } };
  const come = .{ .rx = .{ WEST }, .tx = .{ RAMP } };
  const back = .{ .rx = .{ RAMP }, .tx = .{ WEST } };
  const last = .{ .rx = .{ EAST }, .tx = .{ RAMP } };
  for (@range(i16, 2)) |x| {
    @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .x = x });
    @set_color_config(x, 0, @get_color(3), .{ .routes = if (x == 0) away else come });
    @set_color_config(x, 0, @get_color(4), .{ .routes = if (x == 0) last else back });
  }
  @export_name("out", [*]u32, true);
  @export_name("compute", fn()void);
}
"""
EXCHANGING = """
const to = if (x == 0) @get_color(3) else @get_color(4);
const from = if (x == 0) @get_color(4) else @get_color(3);
const sends = @get_dsr(dsr_dest, 1);
const done_id = @get_local_task_id(10);
var given: [64]u32;
var taken: [64]u32;
const given_d = @get_dsd(mem1d_dsd, .{ .tensor_access = |k|{64} -> given[k] });
const taken_d = @get_dsd(mem1d_dsd, .{ .tensor_access = |k|{64} -> taken[k] });
const to_d = @get_dsd(fabout_dsd, .{ .extent = 64, .fabric_color = to, .output_queue = @get_output_queue(4) });
const from_d = @get_dsd(fabin_dsd, .{ .extent = 64, .fabric_color = from, .input_queue = @get_input_queue(4) });
task done() void {
  out[0] = taken[0];
  out[1] = taken[63];
  sys.unblock_cmd_stream();
}
fn compute() void {
  for (@range(u32, 64)) |k| { given[k] = 100 * @as(u32, x) + k; }
  @mov32(sends, given_d, .{ .async = true });
  @mov32(taken_d, from_d, .{ .async = true, .activate = done_id });
}
comptime {
  @load_to_dsr(sends, to_d, .{ .async = true, .ut_id = @get_ut_id(1) });
  @initialize_queue(@get_output_queue(4), .{ .color = to });
  @initialize_queue(@get_input_queue(4), .{ .color = from });
  @bind_local_task(done, done_id);
}
"""


def test_a_load_of_a_register_says_on_which_microthread_its_operations_run(run_csl):
    """Both queues have the same number, and so would both microthreads: PEs that send before they receive would stand still."""
    runtime = run_csl({"layout.csl": EXCHANGE, "pe.csl": HEAD + EXCHANGING}, arch="wse3")
    assert [out_of(runtime, x, 2) for x in (0, 1)] == [[100, 163], [0, 63]]


REGISTERS = """
const C = @get_color(0);
const routes = @bitcast(*u16, @as(u16, 2 * (0x7f20 + 0)));
fn switch_of(c: u16) *u16 { return @bitcast(*u16, 2 * (0x7f40 + c)); }
const iq = @get_input_queue(2);
const one = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{1} -> out[i] });
const tile_config = @import_module("<tile_config>");
fn compute() void {
  const found: u16 = routes.*;
  out[2] = @as(u32, found);
  out[3] = @as(u32, switch_of(0).*);
  out[4] = @as(u32, @bitcast(*u16, 2 * tile_config.color_config.get_color_config_addr(C)).*);
  if (x == 0) {
    routes.* = 0x202;                 // from the ramp to the east
    @mov32(@get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = C, .output_queue = @get_output_queue(2) }), @as(u32, 77));
  } else {
    routes.* = (found & 0xfc00) | 0x30;       // from the west to the ramp
    @mov32(one, @get_dsd(fabin_dsd, .{ .extent = 1, .fabric_color = C, .input_queue = iq }));
  }
  out[5] = @as(u32, routes.*);
  sys.unblock_cmd_stream();
}
comptime { @initialize_queue(iq, .{ .color = C }); }
"""


def test_registers_of_the_router_lie_at_their_addresses_on_wse2(run_csl):
    turned = ROW.replace("x == 0", "x == 1").replace("COLORS", "1")
    runtime = run_csl({"layout.csl": turned, "pe.csl": HEAD + REGISTERS})
    assert out_of(runtime, 0, 6)[2:] == [0x30, 0x555, 0x30, 0x202]
    assert out_of(runtime, 1, 6) == [77, 0, 0x202, 0x555, 0x202, 0x30]


HELD = """
const data = [8]u16 { 1, 2, 3, 4, 5, 6, 7, 8 };
var words: [8]u16 = data;
var wholes = [4]u32 { 10, 20, 30, 40 };
var got: [4]u16;
const from = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> words[i], .wavelet_index_offset = true });
const of_four = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{1} -> wholes[i], .wavelet_index_offset = true });
const to = @get_dsd(fabout_dsd, .{ .extent = 2, .fabric_color = @get_color(0), .output_queue = @get_output_queue(2),
                                   .wavelet_index_offset = true });
const in = @get_dsd(fabin_dsd, .{ .extent = 2, .fabric_color = @get_color(0), .input_queue = @get_input_queue(2) });
const two = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> out[i] });
const single = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{1} -> out[i + 2] });
const source = @get_dsr(dsr_src1, 2);
const target = @get_dsr(dsr_dest, 2);
fn compute() void {
  @load_to_dsr(source, from);
  @load_to_dsr(target, to);
  var k: u16 = 4;
  if (x == 0) {
    @mov16(target, source, .{ .index = k });
    @load_to_dsr(source, of_four);
    @mov32(single, source, .{ .index = k });
    @mov32(single, source, .{ .index = 2 });
  } else {
    @mov32(two, in);
  }
  sys.unblock_cmd_stream();
}
comptime { @initialize_queue(@get_input_queue(2), .{ .color = @get_color(0) }); }
"""


def test_an_index_counts_for_what_a_dsr_holds(run_csl):
    runtime = run_csl(row(HELD, 1))
    assert [hex(word) for word in out_of(runtime, 1, 2)] == ["0x40005", "0x40006"]
    assert out_of(runtime, 0, 3)[2] == 20
    once = run_csl(row(HELD.replace("    @mov32(single, source, .{ .index = 2 });\n", ""), 1))
    assert out_of(once, 0, 3)[2] == 30
