"""Tensors of a folder of safetensors files: their names, shapes and stored formats, and their values one tensor at a time.

Files are mapped into memory, so that only the tensor that is read takes any. The layout is that of
https://github.com/huggingface/safetensors: eight bytes of header size, a JSON header, then the values.
"""

import json
import math
import mmap
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ml_dtypes
import numpy as np

from wsekern.errors import InputError
from wsekern.number_formats import widen_half
from wsekern.workload.json_files import read_json

FORMATS: dict[str, np.dtype] = {name: np.dtype(kind) for name, kind in {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16, "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2, "F8_E8M0": ml_dtypes.float8_e8m0fnu, "I64": np.int64, "I32": np.int32, "I16": np.int16,
    "I8": np.int8, "U64": np.uint64, "U32": np.uint32, "U16": np.uint16, "U8": np.uint8, "BOOL": np.bool_}.items()}
"""Names of number formats in safetensors headers."""

FLOATS = ("F64", "F32", "F16", "BF16")
"""Formats whose values are the weights, without a scale beside."""

LARGEST_HEADER = 100_000_000
"""Bytes; the limit of the safetensors library."""


@dataclass(frozen=True)
class Stored:
    """A tensor as it lies in a file; ``bytes`` from the start of the file."""

    shape: tuple[int, ...]
    format: str
    file: Path
    begin: int = 0
    end: int = 0


class TensorSource(Protocol):
    """Where the tensors of a model come from."""

    path: Path
    tensors: Mapping[str, Stored]

    def check(self, name: str) -> None:
        """Refuse a tensor that is stored in a form that is not read."""

    def read(self, name: str) -> np.ndarray:
        """Values of a tensor, float32; :class:`InputError` if it holds infinities."""

    def rows(self, name: str, rows: Sequence[int]) -> np.ndarray:
        """Some rows of a matrix, float32."""


class Safetensors:
    """The safetensors file, or the shards, of the folder ``path``."""

    def __init__(self, path: Path):
        self.path = path
        self.tensors: dict[str, Stored] = {}
        self._maps: dict[Path, mmap.mmap | bytes] = {}
        for name in find_files(path):
            file = path / name
            self._maps[file] = mapped(file, "safetensors")
            self.tensors |= _header(file, self._maps[file])

    def stored(self, name: str) -> np.ndarray:
        """The values as they are stored, not copied."""
        tensor = self.tensors[name]
        if tensor.format not in FORMATS:
            raise InputError(f"{tensor.file}: tensor {name} is stored as {tensor.format[:20]}, a format that is not read")
        values = np.frombuffer(self._maps[tensor.file], FORMATS[tensor.format], math.prod(tensor.shape), tensor.begin)
        return values.reshape(tensor.shape)

    def check(self, name: str) -> None:
        """Refuse a tensor that is not stored as floats."""
        tensor = self.tensors[name]
        if tensor.format not in FLOATS:
            raise InputError(f"{tensor.file}: tensor {name} is stored as {tensor.format[:20]}; expected F16, BF16 or F32")

    def read(self, name: str) -> np.ndarray:
        """Values of a tensor, float32; :class:`InputError` if it is not stored as floats or holds infinities."""
        return finite(as_float32(self._floats(name)), name, self.tensors[name].file)

    def rows(self, name: str, rows: Sequence[int]) -> np.ndarray:
        """Some rows of a matrix, float32."""
        return finite(as_float32(self._floats(name)[np.asarray(rows)]), name, self.tensors[name].file)

    def _floats(self, name: str) -> np.ndarray:
        self.check(name)
        return self.stored(name)


def as_float32(values: np.ndarray) -> np.ndarray:
    """``values`` in float32: themselves, if they are; what is too large becomes infinite."""
    if values.dtype == np.float16:
        return widen_half(values)
    with np.errstate(over="ignore"):
        return values.astype(np.float32, copy=False)


def finite(values: np.ndarray, name: str, file: Path) -> np.ndarray:
    """``values``, if there is no infinity among them."""
    if values.size and not (np.isfinite(values.min()) and np.isfinite(values.max())):
        raise InputError(f"{file}: tensor {name} holds values that are not finite")
    return values


def find_files(path: Path) -> list[str]:
    """Names of the safetensors files of a folder: the one file, those of its index, or numbered shards without an index."""
    index = path / "model.safetensors.index.json"
    if (path / "model.safetensors").is_file():
        return ["model.safetensors"]
    if index.is_file():
        return _shard_names(index)
    names = sorted(os.listdir(path)) if path.is_dir() else []
    shards = [found for name in names if (found := re.fullmatch(r"model-(\d{1,6})-of-(\d{1,6})\.safetensors", name))]
    if shards:
        count = int(shards[0][2])
        there = {int(found[1]) for found in shards}
        if len({found[2] for found in shards}) > 1 or there != set(range(1, count + 1)):
            raise InputError(f"{path} has {len(shards)} of {count} shards of the weights and no model.safetensors.index.json: "
                             "download the others")
        return [found[0] for found in shards]
    raise InputError(f"{path} has no model.safetensors (nor model.safetensors.index.json){_instead(names)}")


def _instead(names: list[str]) -> str:
    """What to do with the weights that a folder has in another layout."""
    if any(name.startswith("consolidated") for name in names):
        return ("; its consolidated.* files have Mistral's or Meta's own layout, which is not read: download the "
                "model.safetensors of the same repository")
    if any(name.endswith((".bin", ".pt", ".pth", ".ckpt")) for name in names):
        return ("; .bin and .pt files are pickles, which can run any code when they are read: save the model anew with "
                "`save_pretrained`, or download its safetensors")
    ggufs = [name for name in names if name.endswith(".gguf")]
    if ggufs:
        return f": give its {ggufs[0]} instead of the folder"
    return "; other checkpoint formats are not read"


def _shard_names(index: Path) -> list[str]:
    """Files that a shard index names, all of them in its own folder."""
    data = read_json(index)
    shards = data.get("weight_map") if isinstance(data, dict) else None
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise InputError(f"{index} is not a shard index: expected an object with a weight_map of file names")
    for name in shards.values():
        if Path(name).name != name:
            raise InputError(f"{index}: shard name {name[:80]!r} leads out of the folder")
    return sorted(set(shards.values()))


def mapped(file: Path, kind: str) -> "mmap.mmap | bytes":
    """The bytes of a file, mapped; ``kind`` is what it is to be, for errors."""
    try:
        with open(file, "rb") as handle:
            if not os.fstat(handle.fileno()).st_size:
                return b""
            return mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{file} cannot be read as {kind}: {why}") from None


def _unreadable(file: Path, why: str) -> InputError:
    return InputError(f"{file} cannot be read as safetensors: {why}")


def _header(file: Path, data: "mmap.mmap | bytes") -> dict[str, Stored]:
    """Tensors that the header of a file lists, every one of them within the file."""
    if len(data) < 8:
        raise _unreadable(file, "it is shorter than a header")
    size = int.from_bytes(data[:8], "little")
    if size > min(LARGEST_HEADER, len(data) - 8):
        raise _unreadable(file, f"its header of {size:,} bytes is longer than the file")
    try:
        header = json.loads(data[8:8 + size])
    except (ValueError, RecursionError) as error:
        raise _unreadable(file, f"its header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise _unreadable(file, "its header is not a JSON object")
    return {name: _entry(file, name, entry, 8 + size, len(data)) for name, entry in header.items() if name != "__metadata__"}


def _entry(file: Path, name: str, entry: Any, start: int, end: int) -> Stored:
    """One tensor of a header; values begin at byte ``start`` of a file of ``end`` bytes."""
    entry = entry if isinstance(entry, dict) else {}
    kind, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    sizes = [*shape, *offsets] if isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2 else [None]
    if not isinstance(kind, str) or not all(type(size) is int and 0 <= size <= 2**62 for size in sizes) or len(shape) > 8:
        raise _unreadable(file, f"its header has no dtype, shape and data_offsets for tensor {name[:80]!r}")
    begin, last = (start + offset for offset in offsets)
    expected = math.prod(shape) * FORMATS[kind].itemsize if kind in FORMATS else last - begin
    if not start <= begin <= last <= end or last - begin != expected:
        raise _unreadable(file, f"tensor {name[:80]!r} does not lie in the file as its header says: is the file complete?")
    return Stored(tuple(shape), kind, file, begin, last)
