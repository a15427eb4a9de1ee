"""Switches, control words, indices and routes of CSL programs, and random numbers."""

import numpy as np
import pytest

LAYOUT = """
param width: i16;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = width, .height = 1 });
const c = @get_color(3);
layout {
  @set_rectangle(width, 1);
  for (@range(i16, width)) |x| {
    @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .x = x, .width = width, .c = c });
    if (x == 0) {
      @set_color_config(x, 0, c, .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ EAST } } });
    } else if (x == width - 1) {
      @set_color_config(x, 0, c, .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP } } });
    } else {
      @set_color_config(x, 0, c, .{ .routes = .{ .rx = .{ WEST }, .tx = .{ RAMP, EAST } },
        .switches = .{ .pos1 = .{ .tx = EAST }, .pos2 = .{ .rx = RAMP }, .pop_mode = .{ .pop_on_advance = true } } });
    }
  }
  @export_name("out", [*]u32, true);
  @export_name("compute", fn()void);
}
"""
HEAD = """
param memcpy_params: comptime_struct;
param x: i16;
param width: i16;
param c: color;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const ctrl = @import_module("<control>");
const oq = @get_output_queue(2);
const iq = @get_input_queue(2);
var out: [8]u32;
var out_ptr: [*]u32 = &out;
const send = @get_dsd(fabout_dsd, .{ .fabric_color = c, .extent = 1, .output_queue = oq });
const order = @get_dsd(fabout_dsd, .{ .fabric_color = c, .extent = 1, .output_queue = oq, .control = true });
comptime {
  if (@is_arch("wse3")) {
    @initialize_queue(oq, .{ .color = c });
    @initialize_queue(iq, .{ .color = c });
  }
  @export_symbol(out_ptr, "out");
  @export_symbol(compute);
}
"""
TURNS = HEAD + """
const done_id = @get_local_task_id(9);
const advance = ctrl.encode_payload(1, [1]ctrl.opcode { ctrl.opcode.SWITCH_ADV }, [1]bool { true }, true, {});
task done() void {
  if (x < width - 1) {
    @mov32(send, @as(u32, x) + 10);
    @mov32(order, advance);
    @mov32(order, advance);
  }
  sys.unblock_cmd_stream();
}
fn compute() void {
  if (x == 0) { @activate(done_id); return; }
  const words = @get_dsd(fabin_dsd, .{ .fabric_color = c, .extent = @as(u16, x), .input_queue = iq });
  const target = @get_dsd(mem1d_dsd, .{ .base_address = &out, .extent = @as(u16, x) });
  @mov32(target, words, .{ .async = true, .activate = done });
}
comptime { @bind_local_task(done, done_id); }
"""
CONTROL = HEAD + """
task told(data: u16) void { out[0] = @as(u32, data); }
fn compute() void {
  if (x == 0) { @mov32(order, ctrl.encode_single_payload(ctrl.opcode.NOP, false, @get_control_task_id(40), 77)); }
  sys.unblock_cmd_stream();
}
comptime {
  @bind_control_task(told, @get_control_task_id(40));
  if (@is_arch("wse3")) @unblock(iq) else @unblock(c);
}
"""


def words(runtime, name, dtype=np.int32):
    held = np.zeros(8, dtype)
    runtime.memcpy_d2h(held, runtime.get_id(name), 0, 0, 1, 1, 8)
    return held


def ran(compile_csl, code, width, arch):
    from wsekern.sdk.runtime import SdkRuntime
    runtime = SdkRuntime.of(compile_csl({"layout.csl": LAYOUT, "pe.csl": code}, {"width": width}, arch))
    runtime.run()
    runtime.launch("compute")
    out = np.zeros(width * 8, np.uint32)
    runtime.memcpy_d2h(out, runtime.get_id("out"), 0, 0, width, 1, 8)
    return out.reshape(width, 8)


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_positions_build_on_each_other_and_a_switch_at_its_end_hands_commands_on(compile_csl, arch):
    out = ran(compile_csl, TURNS, 5, arch)  # the one after the other sends along the row, and does not hear itself
    assert [row[:k].tolist() for k, row in enumerate(out)] == [[10 + j for j in range(k)] for k in range(5)]
    assert not out[3, 3:].any()


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_a_control_task_starts_on_a_color_without_a_data_task(compile_csl, arch):
    assert ran(compile_csl, CONTROL, 2, arch)[1, 0] == 77


def test_an_index_moves_descriptors_by_16_bit_words(run_csl):
    code = """
    var wide: [8]f32;
    var narrow: [8]i16;
    const floats_at = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> floats[i], .wavelet_index_offset = true });
    const narrow_at = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> narrow[i], .wavelet_index_offset = true });
    fn compute() void {
      var k: u16 = 3;
      @fmovs(floats_at, 2.5, .{ .index = 2 * k });
      @mov16(narrow_at, @as(i16, 9), .{ .index = k });
      for (@range(i16, 8)) |i| { out[i] = @as(i32, narrow[i]); }
      sys.unblock_cmd_stream();
    }
    """
    runtime = run_csl(code)
    assert words(runtime, "floats", dtype=np.float32).tolist() == [0, 0, 0, 2.5, 2.5, 0, 0, 0]
    assert words(runtime, "out").tolist() == [0, 0, 0, 9, 9, 0, 0, 0]


def test_routes_that_change_keep_the_modes_of_a_local_configuration(compile_csl):
    made = compile_csl("""
    const config = @import_module("<tile_config/color_config>");
    const c = @get_color(6);
    fn compute() void {
      config.reset_routes(c, .{ .rx = RAMP, .tx = EAST });
      sys.unblock_cmd_stream();
    }
    comptime {
      @set_local_color_config(c, .{ .routes = .{ .rx = .{ WEST }, .tx = .{ EAST } },
        .switches = .{ .pos1 = .{ .rx = RAMP }, .ring_mode = true, .pop_mode = .{ .pop_on_advance = true } } });
    }
    """)
    route = next(iter(made.programs[0].program.routes.values()))
    assert route.ring and route.pop == 2


def test_random_numbers_are_those_of_the_documented_shift_register(run_csl):
    code = """
    const random = @import_module("<random>");
    fn compute() void {
      for (@range(i16, 40)) |k| { floats[k % 8] = random.random_f32(-1.0, 1.0); }
      sys.unblock_cmd_stream();
    }
    """
    state, taken = 0xDEADBEEF, []
    for _ in range(80):
        for _ in range(128):
            state = (state << 1 | ((state >> 22) ^ (state >> 17)) & 1) & 0xFFFFFFFF
        taken.append(state & 0xFFFF)
    units = [(taken[k + 1] << 16 | taken[k]) >> 8 for k in range(64, 80, 2)]
    expected = np.array([2 * each * 2.0 ** -24 - 1 for each in units])
    np.testing.assert_allclose(words(run_csl(code), "floats", dtype=np.float32), expected, atol=1e-6)


def test_a_switch_position_of_no_bits_is_not_there():
    from wsekern.csl import types as t
    from wsekern.csl.layout import positions_of
    from wsekern.csl.values import Value
    bits = {"pos1": 1 << 4, "pos2": 1 << 6, "pos3": 0}  # from the ramp; to the east; nothing
    found = positions_of({name: Value(t.U16, number) for name, number in bits.items()})
    assert [(each.rx, each.tx) for each in found] == [(["RAMP"], None), (["RAMP"], ["EAST"])]
