"""Libraries that programs import: what words they make and leave on the fabric, beside plain Python."""

import numpy as np
import pytest

TEARDOWN = """
const switches = @import_module("<memcpy/memcpy_switches>");
const tile_config = @import_module("<tile_config>");
const C: color = @get_color(4);
const iq = @get_input_queue(2);
const oq = @get_output_queue(2);
const done_id = @get_local_task_id(9);
const turn_id = @get_local_task_id(10);
const exit_id = @get_local_task_id(11);
const to = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = C, .output_queue = oq });
const command = @get_dsd(fabout_dsd, .{ .extent = 1, .fabric_color = C, .output_queue = oq, .control = true });
const from = @get_dsd(fabin_dsd, .{ .extent = 2, .fabric_color = C, .input_queue = iq });
const values = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> out[i] });
var data = [1]i32 { 7 };
var teardown = [1]u32 { switches.ctrl(switches.teardown_cmd_1()) };
const word = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{1} -> data[i] });
const closing = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{1} -> teardown[i] });
fn compute() void {
  if (x == 0) { @mov32(to, word, .{ .async = true, .activate = turn_id }); }
  else { @mov32(values, from, .{ .async = true, .activate = done_id }); }
}
task turn() void { @mov32(command, closing, .{ .async = true }); }
fn torn() void { @activate(exit_id); }
task leave() void {
  tile_config.teardown.exit(C);
  if (x == 0) { data[0] = 8; @mov32(to, word, .{ .async = true, .activate = done_id }); }
}
task done() void { sys.unblock_cmd_stream(); }
comptime {
  @bind_local_task(done, done_id);
  @bind_local_task(turn, turn_id);
  @bind_local_task(leave, exit_id);
  @set_teardown_handler(torn, C);
  @set_local_color_config(C, .{ .routes = if (x == 0) .{ .rx = .{ RAMP }, .tx = .{ EAST } }
                                          else .{ .rx = .{ WEST }, .tx = .{ RAMP } } });
  if (@is_arch("wse3")) { @initialize_queue(oq, .{ .color = C }); }
  @initialize_queue(iq, .{ .color = C });
}
"""


def words(runtime, name, count, dtype=np.int32, width=1, height=1):
    from wsekern.sdk.runtime import MemcpyOrder
    held = np.zeros(height * width * count, dtype)
    runtime.memcpy_d2h(held, runtime.get_id(name), 0, 0, width, height, count, order=MemcpyOrder.ROW_MAJOR)
    return held.reshape(height, width, count)


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_a_teardown_of_memcpy_switches_closes_a_color_and_is_no_word_of_its_receiver(run_csl, arch):
    assert words(run_csl(TEARDOWN, {"width": 2}, arch), "out", 2, width=2)[0, 1].tolist() == [7, 8]


TALLY_LAYOUT = """
param width: i16;
param height: i16;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = width, .height = height });
const tally = @import_module("<kernels/tally/layout>", .{
  .kernel_width = width, .kernel_height = height, .phase2_tally = 5 * @as(u32, width) * @as(u32, height),
  .colors = [3]color { @get_color(12), @get_color(13), @get_color(14) }, .output_color = @get_color(8) });
layout {
  @set_rectangle(width, height);
  for (@range(i16, width)) |x| {
    for (@range(i16, height)) |y| {
      @set_tile_code(x, y, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .tally_params = tally.get_params(x, y) });
    }
  }
  @export_name("total", [*]u32, true);
  @export_name("compute", fn()void);
}
"""
TALLY_PE = """
param memcpy_params: comptime_struct;
param tally_params: comptime_struct;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const done_id = @get_local_task_id(16);
const more_id = @get_local_task_id(17);
const tally = @import_module("<kernels/tally/pe>", @concat_structs(tally_params, .{
  .input_queues = [2]u16 { 2, 3 }, .output_queues = [2]u16 { 4, 5 }, .callback = done_id }));
var total = @zeros([2]u32);
var total_ptr: [*]u32 = &total;
var left: u16 = 3;
task done() void {
  total[0] = tally.local_tally;
  total[1] += 1;
}
task more() void {
  tally.bump_tally(1);
  left -= 1;
  if (left > 0) { @activate(more_id); }
}
fn compute() void {
  tally.bump_tally(2);
  tally.signal_completion();
  @activate(more_id);
  sys.unblock_cmd_stream();
}
comptime {
  @bind_local_task(done, done_id);
  @bind_local_task(more, more_id);
  @export_symbol(total_ptr, "total");
  @export_symbol(compute);
}
"""


@pytest.mark.parametrize(("arch", "width", "height"), [("wse2", 3, 2), ("wse2", 1, 3), ("wse3", 4, 1), ("wse3", 2, 3)])
def test_a_tally_ends_once_with_what_all_pes_counted(run_csl, arch, width, height):
    """What get_params gives goes in by fields (SDK 1), or on one-row grids here as one parameter (SDK 2.10)."""
    code = TALLY_PE
    if height == 1:
        code = code.replace("@concat_structs(tally_params, .{", ".{ .tally_params = tally_params,")
        code = code.replace("done_id }));", "done_id });")
    files = {"layout.csl": TALLY_LAYOUT, "pe.csl": code}
    found = words(run_csl(files, {"width": width, "height": height}, arch), "total", 2, np.uint32, width, height)
    expected = np.zeros_like(found)
    expected[0, -1] = 5 * width * height, 1
    assert found.tolist() == expected.tolist()


FFT_LAYOUT = """
param n: u16;
param pes: i16;
param half: i16;
const element: type = if (half == 1) f16 else f32;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = pes, .height = pes });
const fft = @import_module("<kernels/fft/fft3d_layout>", .{ .width = pes, .memcpy = memcpy });
layout {
  @set_rectangle(pes, pes);
  fft.FFT_kernel(pes, n, element);
}
"""


def transformed(runtime, values, dtype, pes, launch, *arguments):
    """The [n, n, n] complex numbers that PEs have after a launch, given these."""
    from wsekern.sdk.runtime import MemcpyDataType, MemcpyOrder
    n, t = len(values), len(values) // pes
    how = {"data_type": MemcpyDataType.MEMCPY_16BIT if dtype == np.float16 else MemcpyDataType.MEMCPY_32BIT,
           "order": MemcpyOrder.ROW_MAJOR}
    width = np.uint16 if dtype == np.float16 else np.uint32
    angle = np.pi * np.arange(n // 2) / (n // 2)
    factors = np.stack([np.cos(angle), np.sin(angle)], -1).astype(dtype).reshape(-1)
    runtime.memcpy_h2d(runtime.get_id("twiddle_array"), np.tile(factors.view(width).astype(np.uint32), pes * pes),
                       0, 0, pes, pes, n, **how)
    blocks = values.reshape(pes, t, pes, t, n).transpose(0, 2, 4, 1, 3)     # PE's row, column; z, y, x
    parts = np.stack([blocks.real, blocks.imag], -1).astype(dtype).reshape(-1)
    runtime.memcpy_h2d(runtime.get_id("X"), parts.view(width).astype(np.uint32), 0, 0, pes, pes, 2 * t * t * n, **how)
    runtime.launch(launch, *[np.int16(each) for each in arguments])
    found = np.zeros(parts.size, np.uint32)
    runtime.memcpy_d2h(found, runtime.get_id("X"), 0, 0, pes, pes, 2 * t * t * n, **how)
    result = found.astype(width).view(dtype).astype(np.float64).reshape(pes, pes, n, t, t, 2)
    return (result[..., 0] + 1j * result[..., 1]).transpose(0, 3, 1, 4, 2).reshape(n, n, n)


@pytest.mark.parametrize(("arch", "half", "pes"), [("wse2", 0, 2), ("wse3", 1, 2)])
def test_a_transform_of_three_dimensions_is_that_of_numpy(compile_csl, arch, half, pes):
    from wsekern.sdk.runtime import SdkRuntime
    n, dtype = 4, np.float16 if half else np.float32
    tolerance = 1e-2 if half else 1e-5
    rng = np.random.default_rng(3)
    values = rng.random((n, n, n)) + 1j * rng.random((n, n, n))
    runtime = SdkRuntime.of(compile_csl({"layout.csl": FFT_LAYOUT}, {"n": n, "pes": pes, "half": half}, arch))
    runtime.run()
    for norm, name in enumerate(("backward", "ortho", "forward")):
        for inverse, plain in ((0, np.fft.fftn), (1, np.fft.ifftn)):
            found = transformed(runtime, values, dtype, pes, "csfftExecC2C", norm, inverse)
            reference = plain(values, norm=name)
            assert np.abs(found - reference).max() < tolerance * np.abs(reference).max()
    real = transformed(runtime, values.real, dtype, pes, "csfftExecR2C", 0)
    assert np.abs(real - np.fft.fftn(values.real)).max() < tolerance * np.abs(real).max()
    back = transformed(runtime, values.real, dtype, pes, "csfftExecC2R", 0)
    assert np.abs(back - np.fft.ifftn(values.real)).max() < tolerance * np.abs(back).max()
