"""What programs of more authors do: imports named from the top, more receivers than queues, narrow operations on wide arrays,
seeds of @random16, colors that are swapped where words come in."""

import numpy as np
import pytest


def words(runtime, y=0, name="out", count=8):
    held = np.zeros(count, np.uint32)
    runtime.memcpy_d2h(held, runtime.get_id(name), 0, y, 1, 1, count, streaming=False)
    return held.tolist()


def test_a_module_names_files_from_the_folder_of_the_layout(compile_csl, tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "one.csl").write_text(
        'const other = @import_module("parts/other.csl");\nfn number() i32 { return other.n; }')
    (tmp_path / "parts" / "other.csl").write_text("const n: i32 = 7;")
    made = compile_csl('const one = @import_module("parts/one.csl");\n'
                       "fn compute() void { out[0] = one.number(); sys.unblock_cmd_stream(); }")
    assert "7" in made.programs[0].program.text()


WIDE = """
var wide = @zeros([12]u32);
var narrow = [4]u16 { 3, 6, 9, 1 };
const third = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> wide[3 * i] });
const square = @get_dsd(mem4d_dsd, .{ .tensor_access = |i, j|{2, 2} -> wide[6 * i + 3 * j + 2] });
const source = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> narrow[i] });
fn compute() void {
  @add16(third, source, 10);
  @add16(@increment_dsd_offset(third, 1, u32), source, 20);
  @mov16(square, source);
  for (@range(i16, 8)) |k| { out[k] = @as(i32, wide[k]); }
  sys.unblock_cmd_stream();
}
"""


def test_a_stride_is_one_of_the_array_whatever_the_operation_takes_of_it(run_csl):
    assert words(run_csl(WIDE)) == [13, 23, 3, 16, 26, 6, 19, 29]


SEED = """
const random = @import_module("<random>");
fn compute() void {
  random.set_global_prng_seed(1);
  const first = @random16();
  out[0] = @as(i32, first) - @as(i32, @random16());
  random.set_global_prng_seed(1);
  out[1] = @as(i32, first) - @as(i32, @random16());
  sys.unblock_cmd_stream();
}
"""


def test_a_seed_is_that_of_the_generator_of_all_random_bits(run_csl):
    differs, again = words(run_csl(SEED))[:2]
    assert differs and not again


COLORS = 11
HEAD = """
param memcpy_params: comptime_struct;
param y: i16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var out: [16]u32;
var out_ptr: [*]u32 = &out;
comptime { @export_symbol(out_ptr, "out"); @export_symbol(compute); }
"""
LAYOUT = """
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 2 });
layout {
  @set_rectangle(1, 2);
  for (@range(i16, 2)) |y| { @set_tile_code(0, y, "pe.csl", .{ .memcpy_params = memcpy.get_params(0), .y = y }); }
  PAINT
  @export_name("out", [*]u32, true);
  @export_name("compute", fn()void);
}
"""
RECEIVE = "".join(f"""
task take{c}() void {{
  @mov32(@set_dsd_base_addr(words, &out[{c}]), @get_dsd(fabin_dsd, .{{ .extent = 2, .fabric_color = @get_color({c}) }}),
    .{{ .async = true, .activate = {f'take{c + 1}' if c + 1 < COLORS else 'last'} }});
}}
comptime {{ @bind_local_task(take{c}, @get_local_task_id({c + 11})); }}""" for c in range(COLORS)) + """
const words = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{2} -> out[i] });
task last() void { sys.unblock_cmd_stream(); }
comptime { @bind_local_task(last, @get_local_task_id(24)); }
fn compute() void { if (y == 0) { send(); sys.unblock_cmd_stream(); } else { @activate(@get_local_task_id(11)); } }
fn send() void {
""" + "".join(f"""
  @mov32(@get_dsd(fabout_dsd, .{{ .extent = 2, .fabric_color = @get_color({c}) }}), @as(u32, {10 + c}));"""
    for c in range(COLORS)) + "\n}"


def test_asynchronous_receivers_beyond_the_queues_share_one_and_take_turns(run_csl):
    paint = "".join(f"@set_color_config(0, 0, @get_color({c}), .{{ .routes = .{{ .rx = .{{ RAMP }}, .tx = .{{ SOUTH }} }} }});"
                    f"@set_color_config(0, 1, @get_color({c}), .{{ .routes = .{{ .rx = .{{ NORTH }}, .tx = .{{ RAMP }} }} }});"
                    for c in range(COLORS))
    runtime = run_csl({"layout.csl": LAYOUT.replace("PAINT", paint), "pe.csl": HEAD + RECEIVE})
    assert words(runtime, 1, count=12) == [*range(10, 21), 20]


TURN = """
const up = @get_color(4);
const down = @get_color(5);
const send = @get_dsd(fabout_dsd, .{ .extent = 2, .fabric_color = up, .output_queue = @get_output_queue(2) });
var taken: u16 = 0;
task take(word: u32) void {
  out[taken] = word;
  taken += 1;
  if (y == 1 and taken == 2) { @mov32(send, @as(u32, 2)); }
  if (taken == 4) { sys.unblock_cmd_stream(); }
}
fn compute() void { if (y == 0) { @mov32(send, @as(u32, 1)); } }
comptime { @bind_data_task(take, @get_data_task_id(down)); }
"""


@pytest.mark.parametrize("both", [True, False])
def test_a_color_is_swapped_where_a_word_comes_in(run_csl, both):
    """The first row turns words of one color back as the other: those from below, and its own where both axes are swapped."""
    axes = ".color_swap_y = true, .color_swap_x = true" if both else ".color_swap_y = true"
    own = "up" if both else "down"
    paint = "".join(f"@set_color_config(0, 0, {color}, .{{ .routes = .{{ .rx = .{{ RAMP, SOUTH }}, .tx = .{{ RAMP, SOUTH }}, "
                    f"{axes} }} }});" for color in ("@get_color(4)", "@get_color(5)")) + """
  @set_color_config(0, 1, @get_color(4), .{ .routes = .{ .rx = .{ RAMP }, .tx = .{ NORTH } } });
  @set_color_config(0, 1, @get_color(5), .{ .routes = .{ .rx = .{ NORTH }, .tx = .{ RAMP } } });"""
    code = HEAD + TURN.replace(".fabric_color = up,", f".fabric_color = if (y == 0) {own} else up,")
    runtime = run_csl({"layout.csl": LAYOUT.replace("PAINT", paint), "pe.csl": code})
    for y in (0, 1):
        assert words(runtime, y, count=4) == [1, 1, 2, 2]


def test_the_oldest_dialect_adds_the_color_of_launches_itself(run_csl, tmp_path):
    paint = ".LAUNCH = @get_color(9), "
    head = HEAD.replace('"<memcpy/memcpy>", memcpy_params',
                        f'"<memcpy_multi/memcpy>", @concat_structs(memcpy_params, .{{ {paint} .data_type = f32 }})')
    code = head + "fn compute() void { out[0] = 5; sys.unblock_cmd_stream(); }"
    assert words(run_csl({"layout.csl": LAYOUT.replace("PAINT", ""), "pe.csl": code}))[0] == 5


def test_a_subscript_may_step_further_than_a_stated_stride_and_says_so(compile_csl):
    far = "var far = @zeros([4, 200]u32);\nconst column = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> far[i, 3] });"
    made = compile_csl(f"{far}\nfn compute() void {{ @mov32(column, 5); sys.unblock_cmd_stream(); }}")
    assert ["a stride of 200 elements" in each.text() for each in made.diagnostics.warnings] == [True]
    assert "stride=200" in made.programs[0].program.text()


def test_an_input_queue_may_be_flushed_which_does_nothing(compile_csl):
    made = compile_csl("""const q = @get_input_queue(3);
comptime { @initialize_queue(q, .{ .color = @get_color(2) }); }
fn compute() void { @queue_flush(q); sys.unblock_cmd_stream(); }""", arch="wse3")
    assert "flush of an input queue" in made.diagnostics.warnings[0].text()
