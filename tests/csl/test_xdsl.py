"""CSL that xDSL's csl backend prints, for a kernel of ours in its dialect, compiles and runs."""

import io

import numpy as np
import pytest

pytest.importorskip("xdsl.dialects.csl")
pytestmark = pytest.mark.by_hand


def program():
    """A module for PEs: ``compute`` adds ``a * x`` to ``y`` of 8 elements, by a loop of scalars and by a DSD operation."""
    from xdsl.dialects import arith, builtin, csl, memref, scf
    from xdsl.ir import Block, Region

    vector = builtin.MemRefType(builtin.f32, [8])
    params = csl.ParamOp("memcpy_params", csl.ComptimeStructType())
    system = csl.ImportModuleConstOp("<memcpy/memcpy>", params)
    x, y, z = (csl.ZerosOp(vector) for _ in range(3))
    pointer = csl.PtrType.get(builtin.f32, is_single=False, is_const=False)
    pointers = [csl.AddressOfOp(each, pointer) for each in (x, y, z)]
    exports = [csl.SymbolExportOp(name, each.res) for name, each in zip(("x", "y", "z"), pointers, strict=True)]
    body = Block()
    low, high, step = (arith.ConstantOp(builtin.IntegerAttr(k, builtin.i16)) for k in (0, 8, 1))
    factor = arith.ConstantOp(builtin.FloatAttr(2.5, builtin.f32))
    inside = Block(arg_types=[builtin.i16])
    index = arith.IndexCastOp(inside.args[0], builtin.IndexType())
    left, right = memref.LoadOp.get(x, [index]), memref.LoadOp.get(y, [index])
    product = arith.MulfOp(left, factor)
    total = arith.AddfOp(right, product)
    inside.add_ops([index, left, right, product, total, memref.StoreOp.get(total, y, [index]), scf.YieldOp()])
    size = arith.ConstantOp(builtin.IntegerAttr(8, builtin.i16))
    descriptors = [csl.GetMemDsdOp.build(operands=[each, [size]], result_types=[csl.DsdType(csl.DsdKind.mem1d_dsd)])
                   for each in (z, x, y)]
    body.add_ops([low, high, step, factor, scf.ForOp(low, high, step, [], Region(inside)), size, *descriptors,
                  csl.FaddsOp.build(operands=[descriptors]),
                  csl.MemberCallOp("unblock_cmd_stream", None, system, []), csl.ReturnOp()])
    compute = csl.FuncOp("compute", ([], None), Region(body))
    return [params, system, x, y, z, *pointers, *exports, compute,
            csl.SymbolExportOp("compute", builtin.FunctionType.from_lists([], []))]


def layout():
    """One PE."""
    from xdsl.dialects import arith, builtin, csl

    zero, one = (arith.ConstantOp(builtin.IntegerAttr(k, builtin.i16)) for k in (0, 1))
    sizes = csl.ConstStructOp(("width", one), ("height", one))
    module = csl.ImportModuleConstOp("<memcpy/get_params>", sizes)
    given = csl.MemberCallOp("get_params", csl.ComptimeStructType(), module, [zero])
    params = csl.ConstStructOp(("memcpy_params", given))
    block = csl.LayoutOp([csl.SetRectangleOp.build(operands=[one, one]), given, params,
                          csl.SetTileCodeOp("pe.csl", zero, zero, params)])
    return [zero, one, sizes, module, block]


def printed():
    """(layout, program) as xDSL prints them."""
    from xdsl.backend.csl.print_csl import print_to_csl
    from xdsl.dialects import builtin, csl
    from xdsl.ir import Block, Region

    modules = [csl.CslModuleOp.build(properties={"kind": csl.ModuleKindAttr(kind), "sym_name": builtin.StringAttr(name)},
                                     regions=[Region(Block(ops))])
               for name, kind, ops in (("pe", csl.ModuleKind.PROGRAM, program()), ("layout", csl.ModuleKind.LAYOUT, layout()))]
    out = io.StringIO()
    print_to_csl(builtin.ModuleOp(modules), out)
    first, second = out.getvalue().split("// -----\n")
    return second, first


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_printed_csl_runs(tmp_path, arch):
    from wsekern.csl.build import Options, build
    from wsekern.sdk.runtime import SdkRuntime

    for name, text in zip(("layout.csl", "pe.csl"), printed(), strict=True):
        (tmp_path / name).write_text(text)
    runtime = SdkRuntime.of(build(tmp_path / "layout.csl", {}, Options(arch=arch)))
    x, y = np.arange(8, dtype=np.float32), np.linspace(-1, 1, 8, dtype=np.float32)
    for name, values in (("x", x), ("y", y)):
        runtime.memcpy_h2d(runtime.get_id(name), values, 0, 0, 1, 1, 8)
    runtime.launch("compute")
    found = {name: np.zeros(8, np.float32) for name in ("y", "z")}
    for name, values in found.items():
        runtime.memcpy_d2h(values, runtime.get_id(name), 0, 0, 1, 1, 8)
    expected = y + x * np.float32(2.5)
    assert np.array_equal(found["y"], expected) and np.array_equal(found["z"], x + expected)
