"""A GGUF file: its metadata, and its tensors one at a time, as float32.

The layout is that of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The header is read here, every size checked
against the file before anything is made of it; values are dequantised by the ``gguf`` package.
"""

import math
import mmap
import os
import re
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path
from struct import Struct
from typing import Any

import numpy as np

from wsekern.errors import InputError
from wsekern.workload.weights.tensors import Stored, finite, mapped

NUMBERS = {0: "u1", 1: "i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "u1", 10: "<u8", 11: "<i8", 12: "<f8"}
"""Types of metadata values that are one number; 7 is a truth value, 8 a string, 9 an array."""

AT_ONCE = 1 << 17
"""Bytes of a tensor that are dequantised at once, about: what they take beside the result is some tens of times as much."""

LONGEST_NAME, MOST_AXES = 65_535, 4
"""Limits of the format on names of metadata, and on the axes of a tensor."""


def is_gguf(path: Path) -> bool:
    """Whether ``path`` is a file that is called, or begins like, a GGUF file."""
    if not os.path.isfile(path):
        return False
    if path.suffix.lower() == ".gguf":
        return True
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"GGUF"
    except OSError:
        return False


class GgufFile:
    """The file ``path``: ``metadata`` by key, and ``tensors`` by name, whose shapes are (rows, columns) as numpy has them.

    Of a model in several files, ``path`` is the first; the others lie beside it.
    """

    def __init__(self, path: Path):
        self.path = path
        self._data: dict[Path, mmap.mmap | bytes] = {}
        self.metadata, self._stored = self._open(path)
        for part in _other_parts(path, self.metadata):
            self._stored |= self._open(part)[1]
        self.tensors, self._halves = _joined(self._stored)

    def _open(self, path: Path) -> tuple[dict[str, Any], dict[str, Stored]]:
        """Metadata and tensors of one file."""
        self._data[path] = mapped(path, "GGUF")
        header = _Header(path, self._data[path])
        metadata = header.metadata()
        return metadata, header.tensors(metadata.get("general.alignment", 32))

    @cached_property
    def architecture(self) -> str:
        """``general.architecture``, in front of the keys of the configuration."""
        found = self.metadata.get("general.architecture")
        if not isinstance(found, str):
            raise InputError(f"{self.path} does not say general.architecture: it is no language model")
        return found

    def check(self, name: str) -> None:
        """Refuse a tensor whose format the ``gguf`` package cannot read."""
        for part in self._halves.get(name, (name,)):
            if not _is_read(self._stored[part].format):
                raise InputError(f"{self.path}: tensor {part} is stored as {self._stored[part].format}, which is not read")

    def read(self, name: str) -> np.ndarray:
        """Values of a tensor, float32."""
        if name in self._halves:
            keys, values = (self.read(part) for part in self._halves[name])
            return np.concatenate([keys.swapaxes(1, 2), values], axis=1).reshape(self.tensors[name].shape)
        tensor = self._stored[name]
        rows = self._rows(tensor)
        values = self._floats(tensor, rows).reshape(tensor.shape)
        return finite(values, name, self.path)

    def rows(self, name: str, rows: Sequence[int]) -> np.ndarray:
        """Some rows of a matrix, float32."""
        tensor = self._stored[name]
        return finite(self._floats(tensor, self._rows(tensor)[np.asarray(rows)]), name, self.path)

    def _rows(self, tensor: Stored) -> np.ndarray:
        """The bytes of a tensor, row by row, not copied."""
        count = math.prod(tensor.shape[:-1])
        values = np.frombuffer(self._data[tensor.file], np.uint8, tensor.end - tensor.begin, tensor.begin)
        return values.reshape(count, values.size // count if count else 0)

    def _floats(self, tensor: Stored, rows: np.ndarray) -> np.ndarray:
        """``rows`` dequantised, some at a time."""
        from gguf import GGMLQuantizationType, dequantize

        kind = GGMLQuantizationType[tensor.format]
        if kind is GGMLQuantizationType.F32:
            return rows.view(np.float32)
        values = np.empty((len(rows), tensor.shape[-1]), np.float32)
        step = max(1, AT_ONCE // max(1, rows.shape[1]))
        with np.errstate(all="ignore"):  # infinite scales: the caller refuses what comes of them
            for start in range(0, len(rows), step):
                some = rows[start:start + step]  # as one row: in one go
                values[start:start + step] = dequantize(some.reshape(1, -1), kind).reshape(len(some), -1)
        return values


def _other_parts(path: Path, metadata: dict[str, Any]) -> list[Path]:
    """The second and later files of a model that is split into several."""
    count = metadata.get("split.count", 1)
    if type(count) is not int or count <= 1:
        return []
    name = re.fullmatch(r"(.*-)(\d{5})-of-(\d{5})(\.gguf)", path.name)
    if name is None or int(name[3]) != count or int(name[2]) != 1:
        raise InputError(f"{path} is part of a model in {count} files: give the first, whose name ends in "
                         f"-00001-of-{count:05}.gguf")
    parts = [path.with_name(f"{name[1]}{index:05}-of-{name[3]}{name[4]}") for index in range(2, count + 1)]
    for part in parts:
        if not part.is_file():
            raise InputError(f"{path} is the first of {count} files of a model, but {part.name} is not beside it")
    return parts


def _joined(stored: dict[str, Stored]) -> tuple[dict[str, Stored], dict[str, tuple[str, str]]]:
    """``stored`` with the two halves of latent attention's expansion as one, as the models have it, and what they are made of.

    Keys are (heads, rank, features), values (heads, features, rank); joined, each head's keys are followed by its values.
    """
    tensors, halves = dict(stored), {}
    for keys in [name for name in stored if name.endswith(".attn_k_b.weight")]:
        values, whole = (keys.replace("attn_k_b", name) for name in ("attn_v_b", "attn_kv_b"))
        first, second = stored[keys].shape, stored[values].shape if values in stored else ()
        if len(first) == len(second) == 3 and (first[0], first[1]) == (second[0], second[2]) and whole not in stored:
            tensors[whole] = Stored((first[0] * (first[2] + second[1]), first[1]), stored[keys].format, tensors.pop(keys).file)
            del tensors[values]
            halves[whole] = keys, values
    return tensors, halves


def _formats() -> dict[int, tuple[str, int, int]]:
    """Number of a format -> its name, elements of a block, and bytes of it."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    return {int(kind): (kind.name, *GGML_QUANT_SIZES[kind]) for kind in GGMLQuantizationType}


@cache
def _is_read(label: str) -> bool:
    """Whether the ``gguf`` package dequantises a format."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

    kind = GGMLQuantizationType[label]
    try:
        dequantize(np.zeros((1, GGML_QUANT_SIZES[kind][1]), np.uint8), kind)
    except NotImplementedError:
        return False
    return True


class _Header:
    """Reads a header from its first byte on; the end of the file ends everything that claims to be longer."""

    def __init__(self, path: Path, data: "mmap.mmap | bytes"):
        self._path, self._data, self._at = path, data, 0
        if self._bytes(4) != b"GGUF":
            raise InputError(f"{path} is not a GGUF file: it does not begin with GGUF")
        version = self._number("<u4")
        if version not in (2, 3):
            raise self._wrong(f"it has version {version}, expected 2 or 3 (in little-endian order)")
        self._tensors, self._pairs = self._count("<u8", 24), self._count("<u8", 13)

    def metadata(self) -> dict[str, Any]:
        """The pairs of key and value."""
        found: dict[str, Any] = {}
        for _ in range(self._pairs):
            key = self._text()
            found[key] = self._value(self._number("<u4"), key)
        return found

    def tensors(self, alignment: Any) -> dict[str, Stored]:
        """What the header says of each tensor, once the metadata are read."""
        if type(alignment) is not int or not 0 < alignment <= 1 << 20 or alignment % 8:
            raise self._wrong(f"general.alignment is {str(alignment)[:40]}, expected a multiple of 8")
        listed = []
        for _ in range(self._tensors):
            name, axes = self._text(), self._number("<u4")
            if not 0 < axes <= MOST_AXES:
                raise self._wrong(f"tensor {name[:80]!r} has {axes} axes, expected 1 to {MOST_AXES}")
            shape = tuple(self._number("<u8") for _ in range(axes))[::-1]
            listed.append((name, shape, self._number("<u4"), self._number("<u8")))
        start, formats = -(-self._at // alignment) * alignment, _formats()
        return {name: self._stored(name, shape, kind, start + offset, formats) for name, shape, kind, offset in listed}

    def _stored(self, name: str, shape: tuple[int, ...], kind: int, begin: int, formats: dict[int, tuple]) -> Stored:
        if kind not in formats:
            raise self._wrong(f"tensor {name[:80]!r} is stored in format {kind}, which the gguf package does not know")
        label, block, size = formats[kind]
        elements = math.prod(shape)
        if shape[-1] % block:
            raise self._wrong(f"tensor {name[:80]!r} has rows of {shape[-1]} elements, not a multiple of {block} ({label})")
        if not elements:
            raise self._wrong(f"tensor {name[:80]!r} has no elements")
        end = begin + elements // block * size
        if end > len(self._data):
            raise self._wrong(f"tensor {name[:80]!r} does not lie in the file as its header says: is the file complete?")
        return Stored(shape, label, self._path, begin, end)

    def _value(self, kind: int, key: str, depth: int = 0) -> Any:
        """One value; an array of numbers is a numpy array, one of strings a list."""
        if kind in NUMBERS:
            value = self._number(NUMBERS[kind])
            return bool(value) if kind == 7 else value
        if kind == 8:
            return self._text(limit=len(self._data))
        if kind != 9 or depth > 1:
            raise self._wrong(f"key {key[:80]!r} has a value of type {kind}, which the format does not know")
        inner = self._number("<u4")
        if inner in NUMBERS:
            kind_of = np.dtype(NUMBERS[inner])
            count = self._count("<u8", kind_of.itemsize)
            return np.frombuffer(self._bytes(count * kind_of.itemsize), kind_of)
        count = self._count("<u8", 8)
        return self._texts(count) if inner == 8 else [self._value(inner, key, depth + 1) for _ in range(count)]

    def _number(self, kind: str) -> Any:
        size = np.dtype(kind).itemsize
        return np.frombuffer(self._bytes(size), kind)[0].item()

    def _count(self, kind: str, least: int) -> int:
        """How many things follow, each of ``least`` bytes or more."""
        count = self._number(kind)
        if count * least > len(self._data) - self._at:
            raise self._wrong(f"{count:,} entries are said to follow, more than it has room for: is the file complete?")
        return count

    def _text(self, limit: int = LONGEST_NAME) -> str:
        size = self._count("<u8", 1)
        if size > limit:
            raise self._wrong(f"a name of {size:,} bytes is longer than the format allows")
        return self._bytes(size).decode("utf-8", "replace")

    def _texts(self, count: int) -> list[str]:
        """Many strings, such as the tokens of a vocabulary."""
        data, at, end, found = self._data, self._at, len(self._data), []
        size_at = Struct("<Q").unpack_from
        for _ in range(count):
            start = at + 8
            at = start + size_at(data, at)[0] if start <= end else end + 1
            if at > end:
                raise self._wrong("it ends within its header: is the file complete?")
            found.append(data[start:at].decode("utf-8", "replace"))
        self._at = at
        return found

    def _bytes(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise self._wrong("it ends within its header: is the file complete?")
        found = self._data[self._at:end]
        self._at = end
        return found

    def _wrong(self, why: str) -> InputError:
        return InputError(f"{self._path} cannot be read as GGUF: {why}")
