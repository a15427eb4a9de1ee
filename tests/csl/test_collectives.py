"""<collectives_2d>: every operation with every root, the root known only while the program runs."""

import numpy as np
import pytest

LAYOUT = """
param width: u16;
param height: u16;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = width, .height = height });
const c2d = @import_module("<collectives_2d/params>");
layout {
  @set_rectangle(width, height);
  for (@range(u16, width)) |x| {
    for (@range(u16, height)) |y| {
      @set_tile_code(x, y, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .c2d_params = c2d.get_params(x, y, .{
        .x_colors = .{ @get_color(0), @get_color(1) },
        .x_entrypoints = .{ @get_local_task_id(10), @get_local_task_id(11) },
        .y_colors = .{ @get_color(4), @get_color(5) },
        .y_entrypoints = .{ @get_local_task_id(12), @get_local_task_id(13) } }) });
    }
  }
  @export_name("sent", [*]u32, true);
  @export_name("got", [*]u32, true);
  @export_name("floats", [*]f32, true);
  @export_name("sums", [*]f32, true);
  @export_name("run", fn(u16, u16, u16)void);
}
"""
PE = """
param memcpy_params: comptime_struct;
param c2d_params: comptime_struct;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const mpi_x = @import_module("<collectives_2d/pe>", .{ .dim_params = c2d_params.x });
const mpi_y = @import_module("<collectives_2d/pe>", .{ .dim_params = c2d_params.y, .queues = [2]u16 { 3, 5 } });
const done_id = @get_local_task_id(15);
const N = 3;
var sent: [16]u32;
var got: [16]u32;
var floats: [16]f32;
var sums: [16]f32;
var sent_ptr: [*]u32 = &sent;
var got_ptr: [*]u32 = &got;
var floats_ptr: [*]f32 = &floats;
var sums_ptr: [*]f32 = &sums;
task done() void { sys.unblock_cmd_stream(); }
fn run(what: u16, root: u16, along_y: u16) void {
  mpi_x.init();
  mpi_y.init();
  if (along_y == 1) {
    if (what == 0) { mpi_y.broadcast(root, if (mpi_y.pe_id == root) &sent else &got, N, done_id); }
    if (what == 1) { mpi_y.scatter(root, &sent, &got, N, done_id); }
    if (what == 2) { mpi_y.gather(root, &sent, &got, N, done_id); }
    if (what == 3) { mpi_y.reduce_fadds(root, &floats, &sums, N, done_id); }
  } else {
    if (what == 0) { mpi_x.broadcast(root, if (mpi_x.pe_id == root) &sent else &got, N, done_id); }
    if (what == 1) { mpi_x.scatter(root, &sent, &got, N, done_id); }
    if (what == 2) { mpi_x.gather(root, &sent, &got, N, done_id); }
    if (what == 3) { mpi_x.reduce_fadds(root, &floats, &sums, N, done_id); }
  }
}
comptime {
  @bind_local_task(done, done_id);
  @export_symbol(sent_ptr, "sent");
  @export_symbol(got_ptr, "got");
  @export_symbol(floats_ptr, "floats");
  @export_symbol(sums_ptr, "sums");
  @export_symbol(run);
}
"""
N = 3


def copied(runtime, name, width, height, dtype=np.uint32):
    held = np.zeros(width * height * 16, dtype)
    runtime.memcpy_d2h(held, runtime.get_id(name), 0, 0, width, height, 16)
    return held.reshape(height, width, 16)


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
@pytest.mark.parametrize("along_y", [0, 1])
def test_every_operation_with_every_root(compile_csl, arch, along_y):
    from wsekern.sdk.runtime import SdkRuntime
    width, height = (2, 5) if along_y else (5, 2)
    runtime = SdkRuntime.of(compile_csl({"layout.csl": LAYOUT, "pe.csl": PE}, {"width": width, "height": height}, arch))
    runtime.run()
    sent = np.arange(width * height * 16, dtype=np.uint32).reshape(height, width, 16)
    floats = (sent % 7 + 1).astype(np.float32)
    runtime.memcpy_h2d(runtime.get_id("sent"), sent, 0, 0, width, height, 16)
    runtime.memcpy_h2d(runtime.get_id("floats"), floats, 0, 0, width, height, 16)
    line = (lambda a: a.transpose(1, 0, 2)) if along_y else (lambda a: a)
    for root in (0, 4, 2, 1, 3):
        given = line(sent)
        runtime.launch("run", np.uint16(0), np.uint16(root), np.uint16(along_y))
        got = line(copied(runtime, "got", width, height))
        others = [k for k in range(5) if k != root]
        assert (got[:, others, :N] == given[:, root:root + 1, :N]).all()
        runtime.launch("run", np.uint16(1), np.uint16(root), np.uint16(along_y))
        got = line(copied(runtime, "got", width, height))
        assert (got[:, :, :N] == given[:, root, :5 * N].reshape(2, 5, N)).all()
        runtime.launch("run", np.uint16(2), np.uint16(root), np.uint16(along_y))
        got = line(copied(runtime, "got", width, height))
        assert (got[:, root, :5 * N] == given[:, :, :N].reshape(2, 5 * N)).all()
        runtime.launch("run", np.uint16(3), np.uint16(root), np.uint16(along_y))
        sums = line(copied(runtime, "sums", width, height, np.float32))
        assert (sums[:, root, :N] == line(floats)[:, :, :N].sum(1)).all()


def test_a_row_of_one_pe_is_done_at_once(compile_csl):
    from wsekern.sdk.runtime import SdkRuntime
    runtime = SdkRuntime.of(compile_csl({"layout.csl": LAYOUT, "pe.csl": PE}, {"width": 1, "height": 2}))
    runtime.run()
    runtime.memcpy_h2d(runtime.get_id("sent"), np.arange(32, dtype=np.uint32), 0, 0, 1, 2, 16)
    runtime.launch("run", np.uint16(1), np.uint16(0), np.uint16(0))
    assert copied(runtime, "got", 1, 2)[:, 0, :N].tolist() == [[0, 1, 2], [16, 17, 18]]


def test_a_row_or_column_gets_the_same_words(compile_csl):
    from wsekern.sdk.runtime import MemcpyOrder, SdkRuntime
    runtime = SdkRuntime.of(compile_csl({"layout.csl": LAYOUT, "pe.csl": PE}, {"width": 4, "height": 3}))
    runtime.run()
    rows, columns = np.arange(6, dtype=np.uint32).reshape(3, 1, 2), np.arange(8, dtype=np.uint32).reshape(1, 4, 2) + 50
    runtime.memcpy_h2d_rowbcast(runtime.get_id("sent"), rows.ravel(), 0, 0, 4, 3, 2)
    assert (copied(runtime, "sent", 4, 3)[:, :, :2] == rows).all()
    runtime.memcpy_h2d_colbcast(runtime.get_id("sent"), columns.T.ravel(), 0, 0, 4, 3, 2, order=MemcpyOrder.COL_MAJOR)
    assert (copied(runtime, "sent", 4, 3)[:, :, :2] == columns).all()
