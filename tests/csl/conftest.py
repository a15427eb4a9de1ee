"""CSL from text: compiled, and run by the SDK's runtime."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wsekern.csl.build import Build, Options, build

LAYOUT = """
param width: i16 = 1;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = width, .height = 1 });
layout {
  @set_rectangle(width, 1);
  for (@range(i16, width)) |x| {
    @set_tile_code(x, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(x), .x = x });
  }
  @export_name("in", [*]i32, true);
  @export_name("out", [*]i32, true);
  @export_name("floats", [*]f32, true);
  @export_name("compute", fn()void);
}
"""
"""A row of PEs of one file."""

HEAD = """
param memcpy_params: comptime_struct;
param x: i16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var in: [8]i32;
var out: [8]i32;
var floats: [8]f32;
var in_ptr: [*]i32 = &in;
var out_ptr: [*]i32 = &out;
var floats_ptr: [*]f32 = &floats;
comptime {
  @export_symbol(in_ptr, "in");
  @export_symbol(out_ptr, "out");
  @export_symbol(floats_ptr, "floats");
  @export_symbol(compute);
}
"""
"""What a PE's program begins with."""


@pytest.fixture
def compile_csl(tmp_path: Path) -> Callable[..., Build]:
    """``compile_csl(files, params, arch)``: a layout, ``layout.csl`` unless one is given, and its files."""
    def compiled(files: dict[str, str] | str, params: dict[str, int] | None = None, arch: str = "wse2") -> Build:
        given = {"pe.csl": HEAD + files} if isinstance(files, str) else files
        for name, text in {"layout.csl": LAYOUT, **given}.items():
            (tmp_path / name).write_text(text)
        return build(tmp_path / "layout.csl", params or {}, Options(arch=arch))

    return compiled


@pytest.fixture
def run_csl(compile_csl: Callable[..., Build]) -> Callable[..., Any]:
    """``run_csl(code, ...)``: the runtime of a program whose ``compute`` has run."""
    from wsekern.sdk.runtime import SdkRuntime

    def ran(files: dict[str, str] | str, params: dict[str, int] | None = None, arch: str = "wse2") -> SdkRuntime:
        runtime = SdkRuntime.of(compile_csl(files, params, arch))
        runtime.run()
        runtime.launch("compute")
        return runtime

    return ran
