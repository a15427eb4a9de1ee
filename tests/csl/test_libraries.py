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
