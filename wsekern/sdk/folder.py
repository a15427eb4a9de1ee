"""Running the folder of a compilation without a host script: arrays in, functions, arrays out."""

import io
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsekern.errors import InputError
from wsekern.output import write_file
from wsekern.program.trace import trace
from wsekern.sdk.artifact import NO_ARRAY
from wsekern.sdk.runtime import MemcpyDataType, SdkRuntime


def run(folder: Path, launches: Iterable[str] = (), given: Iterable[str] = (), wanted: Iterable[str] = (),
        trace_path: str | os.PathLike[str] | None = None, cycles: int = 0) -> str:
    """Load, copy ``given`` (``name=file.npy``) to the PEs, launch functions one after the other, write ``wanted``; what
    happened, in words. Arrays are [height][width][elements] of the exported type. With ``trace_path``, the first ``cycles``
    of the first launch are traced."""
    runtime = SdkRuntime(folder)
    layout = runtime.machine.made.layout
    for name, path in map(named, given):
        _copy_in(runtime, name, _loaded(path, name))
    runtime.run()
    for k, name in enumerate(launches):
        runtime.begin(name)
        if trace_path is not None and k == 0:
            trace(runtime.machine.simulation, trace_path, cycles)
        runtime.settle()
    runtime.finish()
    for name, path in map(named, wanted):
        packed = io.BytesIO()
        np.save(packed, _copied_out(runtime, name), allow_pickle=False)
        write_file(path, packed.getvalue())
    functions = ", ".join(name for name, place in sorted(runtime.machine.exports.items())
                          if not next(iter(place.exports.values())).symbol)
    done = f"{folder}: {layout.width} x {layout.height} PEs, idle at cycle {runtime.machine.simulation.clock.max():,}"
    if runtime.speed.cycles:
        done += f" ({runtime.speed})"
    return done if tuple(launches) else f"{done}; functions that --launch starts: {functions or 'none'}"


def named(text: str) -> tuple[str, str]:
    """Name and file of ``name=file``."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise InputError(f"{text!r}: expected the name of an exported variable, '=' and a file, such as x=x.npy")
    return name, path


def _loaded(path: str, name: str) -> NDArray:
    try:
        with open(path, "rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except NO_ARRAY as error:
        raise InputError(f"{path}, the values of {name}, is no file of an array as numpy.save writes it ({error})") from None


def _element(runtime: SdkRuntime, name: str) -> tuple[np.dtype, int]:
    """Type and number of the elements that a PE has under a name."""
    runtime.get_id(name)
    export = next(iter(runtime.machine.exports[name].exports.values()))
    if not export.symbol:
        raise InputError(f"{name} is a function: --launch starts it")
    return np.dtype(export.element), export.elements


def _copy_in(runtime: SdkRuntime, name: str, values: NDArray) -> None:
    (kind, most), layout = _element(runtime, name), runtime.machine.made.layout
    pes = layout.width * layout.height
    if not np.can_cast(values.dtype, kind, "same_kind") or values.size % pes or values.size > pes * most:
        raise InputError(f"{values.size} elements of {values.dtype} for {name}: expected up to {most} of {kind} for each of "
                         f"{layout.width} x {layout.height} PEs")
    flat, count = np.ascontiguousarray(values, kind).reshape(-1), values.size // pes
    runtime.memcpy_h2d(runtime.get_id(name), flat, 0, 0, layout.width, layout.height, count, data_type=_width(kind))


def _copied_out(runtime: SdkRuntime, name: str) -> NDArray:
    (kind, count), layout = _element(runtime, name), runtime.machine.made.layout
    found = np.zeros((layout.height, layout.width, count), kind)
    runtime.memcpy_d2h(found, runtime.get_id(name), 0, 0, layout.width, layout.height, count, data_type=_width(kind))
    return found


def _width(kind: np.dtype) -> MemcpyDataType:
    return MemcpyDataType.MEMCPY_16BIT if kind.itemsize == 2 else MemcpyDataType.MEMCPY_32BIT
