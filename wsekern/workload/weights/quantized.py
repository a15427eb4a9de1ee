"""Quantised safetensors as if they held plain weights: tensors by their usual names, decoded to float32 when read.

Which format a tensor has is seen by the tensors beside it (its scales); ``quantization_config`` settles what they leave open.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from wsekern.errors import InputError
from wsekern.workload.json_files import read_object
from wsekern.workload.weights import quantized_formats as formats
from wsekern.workload.weights.tensors import FLOATS, FORMATS, Safetensors, Stored, finite

ACTIVATIONS = (".input_scale", ".input_global_scale", ".input_scale_ub", ".k_scale", ".v_scale", ".q_scale", ".output_scale",
               ".input_zero_point", ".activation_scale")
"""Ends of the names of tensors that quantise activations and caches: those are computed in float here, so they are left out."""

AT_ONCE = 1 << 20
"""Elements that are decoded at once, about."""


@dataclass(frozen=True)
class Packed:
    """A weight of ``shape`` (as its tensor would have it), made of ``parts``. ``decode`` gives some rows, of the transposed one
    if ``transposed``."""

    shape: tuple[int, ...]
    label: str
    parts: tuple[str, ...]
    decode: Callable[[slice], np.ndarray]
    transposed: bool = False


READ = ("", "fp8", "fbgemm_fp8", "modelopt", "compressed-tensors", "gptq", "awq", "mxfp4", "bitsandbytes")
"""Values of ``quant_method`` whose weights are read."""


def open_folder(path: Path) -> "Quantized":
    """The tensors of a Hugging Face folder, quantised or not."""
    config = read_object(path / "config.json")
    inner = config.get("text_config")
    found = [part.get(key) for part in (config, inner if isinstance(inner, dict) else {})
             for key in ("quantization_config", "compression_config")]
    settings = next((part for part in found if isinstance(part, dict)), {})
    method = str(settings.get("quant_method", ""))
    if method not in READ:
        raise InputError(f"{path}: weights quantised by {method[:40]} are not read; those of {', '.join(READ[1:])} are")
    return Quantized(Safetensors(path), settings)


class Quantized:
    """Tensors of ``stored`` by the names and shapes of the weights that they stand for; ``settings`` is quantization_config."""

    def __init__(self, stored: Safetensors, settings: Mapping[str, Any]):
        self.path, self._stored = stored.path, stored
        self._packed = _Finder(stored, settings).find()
        parts = {part for packed in self._packed.values() for part in packed.parts}
        kept = {name: tensor for name, tensor in stored.tensors.items()
                if name not in parts and not name.endswith(ACTIVATIONS)}
        file = {name: stored.tensors[packed.parts[0]].file for name, packed in self._packed.items()}
        self.tensors: dict[str, Stored] = kept | {
            name: Stored(packed.shape, packed.label, file[name]) for name, packed in self._packed.items()}

    def check(self, name: str) -> None:
        """Refuse a tensor that is stored in a form that is not read."""
        if name not in self._packed:
            self._stored.check(name)

    def read(self, name: str) -> np.ndarray:
        """Values of a weight, float32, decoded some rows at a time."""
        packed = self._packed.get(name)
        if packed is None:
            return self._stored.read(name)
        shape = (*packed.shape[:-2], packed.shape[-1], packed.shape[-2]) if packed.transposed else packed.shape
        count = math.prod(shape[:-1])
        values = np.empty((count, shape[-1]), np.float32)
        step = max(64, AT_ONCE // max(1, shape[-1]) // 64 * 64)
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, count, step):
                rows = slice(start, min(start + step, count))
                values[rows] = packed.decode(rows)
        values = values.reshape(shape)
        return finite(values.swapaxes(-1, -2) if packed.transposed else values, name, self.tensors[name].file)

    def rows(self, name: str, rows: Sequence[int]) -> np.ndarray:
        """Some rows of a matrix, float32."""
        return self._stored.rows(name, rows) if name not in self._packed else self.read(name)[np.asarray(rows)]


class _Finder:
    """Finds the weights that are stored in several tensors."""

    def __init__(self, stored: Safetensors, settings: Mapping[str, Any]):
        self._stored, self._settings = stored, settings
        self._method = str(settings.get("quant_method", ""))

    def find(self) -> dict[str, Packed]:
        """Name of a weight -> how it is stored."""
        ends: tuple[tuple[str, str, Callable[[str, str], Packed | None]], ...] = (
            (".qweight", ".weight", self._columns), (".weight_packed", ".weight", self._compressed),
            ("_blocks", "", self._mxfp4), (".weight", ".weight", self._beside), ("_proj", "_proj", self._experts))
        found: dict[str, Packed] = {}
        for name in self._stored.tensors:
            for end, plain, make in ends:
                if name.endswith(end):
                    base = name.removesuffix(end)
                    packed = make(name, base)
                    if packed is not None:
                        found[f"{base}{plain}"] = packed
                    break
        return found

    def _has(self, name: str) -> bool:
        return name in self._stored.tensors

    def _get(self, name: str, formats_of: Sequence[str] = tuple(FORMATS), axes: int | None = None) -> np.ndarray:
        """A stored part; :class:`InputError` where it is missing or of another form."""
        tensor = self._stored.tensors.get(name)
        if tensor is None:
            raise InputError(f"{self._stored.path}: tensor {name} is missing from the quantised weights")
        if tensor.format not in formats_of or (axes is not None and len(tensor.shape) != axes):
            raise self._wrong(name, f"{tensor.format} of shape {list(tensor.shape)}")
        return self._stored.stored(name)

    def _wrong(self, name: str, found: str) -> InputError:
        return InputError(f"{self._stored.path}: tensor {name} is {found}, which does not fit the other parts of its quantised "
                          f"weight{' (' + self._method + ')' if self._method else ''}")

    def _fits(self, name: str, holds: bool) -> None:
        if not holds:
            raise self._wrong(name, f"of shape {list(self._stored.tensors[name].shape)}")

    # -- FP8 and integers with scales of their own -----------------------------------------------------------------------
    def _beside(self, name: str, base: str) -> Packed | None:
        """A ``weight`` of few bits with its scales beside."""
        tensor = self._stored.tensors[name]
        if self._has(f"{name}.absmax"):
            return self._bitsandbytes(name)
        if tensor.format == "U8" and self._has(f"{base}.weight_scale_2"):
            overall = np.float32(self._get(f"{base}.weight_scale_2", FLOATS).reshape(-1)[0])
            return self._nvfp4(name, base, overall, (f"{base}.weight_scale_2",))
        if tensor.format == "I8" and self._has(f"{base}.SCB"):
            return self._scaled(name, f"{base}.SCB", divisor=127.0, more=(f"{base}.weight_format",))
        if tensor.format not in ("F8_E4M3", "F8_E5M2", "I8"):
            return None
        for end in ("_scale_inv", "_scale"):
            if self._has(f"{name}{end}"):
                zeros = f"{name}_zero_point"
                return self._scaled(name, f"{name}{end}", zeros=zeros if self._has(zeros) else "")
        return self._unscaled(name) if tensor.format != "I8" else None

    def _experts(self, name: str, base: str) -> Packed | None:
        """Weights of all experts in one tensor without ``.weight``."""
        tensor = self._stored.tensors[name]
        if tensor.format not in ("F8_E4M3", "F8_E5M2"):
            return None
        end = next((end for end in ("_scale_inv", "_scale") if self._has(f"{name}{end}")), None)
        return self._scaled(name, f"{name}{end}") if end else self._unscaled(name)

    def _unscaled(self, name: str) -> Packed:
        """An fp8 weight that is stored as it is."""
        values = self._stored.stored(name)
        flat = values.reshape(-1, values.shape[-1] if values.ndim else 1)
        return Packed(values.shape, "fp8", (name,), lambda rows: flat[rows].astype(np.float32))

    def _scaled(self, name: str, scale_name: str, zeros: str = "", divisor: float = 1.0, more: tuple[str, ...] = ()) -> Packed:
        """A weight whose blocks, groups, rows, or all of it have a scale; experts lie one behind the other."""
        values = self._get(name)
        scale = self._get(scale_name, (*FLOATS, "F8_E8M0")).astype(np.float32) / np.float32(divisor)
        self._fits(name, values.ndim in (2, 3) and values.size > 0)
        shape, experts = values.shape, math.prod(values.shape[:-2])
        if scale.size == 1:
            scale = scale.reshape(1, 1)
        elif scale.size in (experts, experts * shape[-2]) and (scale.ndim < values.ndim or scale.shape[-1] == 1):
            scale = np.repeat(scale.reshape(-1, 1), experts * shape[-2] // scale.size, axis=0)  # of each expert, or each row
        else:
            self._fits(scale_name, scale.ndim == values.ndim and (values.ndim == 2 or scale.shape[0] == experts))
        block = self._block(scale_name, shape, scale)
        whole = np.repeat(scale, block[0], axis=-2)[..., :shape[-2], :] if scale.ndim == 3 else scale
        if scale.ndim == 3:
            whole, block = whole.reshape(-1, scale.shape[-1]), (1, block[1])
        flat = values.reshape(-1, shape[-1])
        zero = self._get(zeros, ("I8", "U8", *FLOATS)).reshape(scale.shape) if zeros and scale.ndim == 2 else None
        parts = (name, scale_name, *((zeros,) if zeros else ()), *(part for part in more if self._has(part)))
        return Packed(shape, self._stored.tensors[name].format.lower(), parts,
                      partial(formats.scaled, flat, whole, block, zero))

    def _block(self, name: str, shape: tuple[int, ...], scale: np.ndarray) -> tuple[int, int]:
        """Rows and columns that share a scale."""
        stated = self._stated_block()
        sizes = stated or ((128, 128) if name.endswith("_inv") else (0, 0))
        block = []
        for size, count, usual in zip(shape[-2:], scale.shape[-2:], sizes, strict=True):
            if usual and -(-size // usual) == count:
                block.append(usual)
            else:
                self._fits(name, count > 0 and size % count == 0)
                block.append(size // count)  # one for all, for each, or for groups
        return block[0], block[1]

    def _group(self, name: str, inputs: int, groups: int) -> int:
        """Inputs that share a scale: as many as the configuration states, where that gives as many groups."""
        for stated in (self._settings.get("group_size"), *(weights.get("group_size") for weights in self._weights())):
            if type(stated) is int and stated > 0 and -(-inputs // stated) == groups:
                return stated
        self._fits(name, groups > 0 and inputs % groups == 0)
        return inputs // groups

    def _weights(self) -> list[dict[str, Any]]:
        """What compressed-tensors states of the weights of each of its groups of layers."""
        groups = self._settings.get("config_groups")
        groups = groups.values() if isinstance(groups, dict) else ()
        found = [group.get("weights") for group in groups if isinstance(group, dict)]
        return [weights for weights in found if isinstance(weights, dict)]

    def _stated_block(self) -> tuple[int, int] | None:
        """Sizes of blocks that the configuration states."""
        stated = [self._settings.get("weight_block_size"), *(weights.get("block_structure") for weights in self._weights())]
        return next(((first, second) for first, second in filter(_is_block, stated)), None)

    # -- four and eight bits in words ------------------------------------------------------------------------------------
    def _columns(self, name: str, base: str) -> Packed:
        """GPTQ or AWQ, both stored (inputs, outputs)."""
        words, scale = self._get(name, ("I32", "U32"), 2), self._get(f"{base}.scales", FLOATS, 2)
        zeros, groups = self._get(f"{base}.qzeros", ("I32", "U32"), 2), scale.shape[0]
        parts = (name, f"{base}.scales", f"{base}.qzeros")
        if self._method == "awq":
            self._fits(f"{base}.scales", scale.shape[1] == 8 * words.shape[1] and zeros.shape == (groups, words.shape[1])
                       and str(self._settings.get("version", "gemm")) == "gemm")
            inputs, outputs = words.shape[0], scale.shape[1]
            return Packed((outputs, inputs), "int4", parts,
                          partial(formats.awq, words, zeros, scale, self._group(f"{base}.scales", inputs, groups)),
                          transposed=True)
        return self._gptq(name, base, (words, zeros, scale), parts)

    def _gptq(self, name: str, base: str, arrays: tuple[np.ndarray, np.ndarray, np.ndarray], parts: tuple[str, ...]) -> Packed:
        (words, zeros, scale), bits = arrays, self._settings.get("bits", 4)
        self._fits(name, bits in (2, 4, 8) and words.shape[0] > 0)
        inputs, outputs = words.shape[0] * 32 // bits, words.shape[1]
        self._fits(f"{base}.qzeros", zeros.shape == (scale.shape[0], -(-outputs * bits // 32)) and scale.shape[1] == outputs)
        zeros = np.ascontiguousarray(zeros)
        order = f"{base}.g_idx"
        if self._has(order):
            groups, parts = self._get(order, ("I32", "I64"), 1), (*parts, order)
            self._fits(order, groups.shape == (inputs,) and groups.min() >= 0 and groups.max() < scale.shape[0])
        else:
            groups = np.arange(inputs) // self._group(f"{base}.scales", inputs, scale.shape[0])
        second = "gptq_v2" in (self._settings.get("checkpoint_format"), self._settings.get("format"))
        return Packed((outputs, inputs), f"int{bits}", parts,
                      partial(formats.gptq, words, zeros, scale, bits, groups, 0 if second else 1), transposed=True)

    def _compressed(self, name: str, base: str) -> Packed:
        """compressed-tensors: integers packed into words, or NVFP4."""
        if self._stored.tensors[name].format == "U8":
            divisor = self._get(f"{base}.weight_global_scale", FLOATS).reshape(-1)[0]
            with np.errstate(divide="ignore"):
                return self._nvfp4(name, base, np.float32(1) / np.float32(divisor), (f"{base}.weight_global_scale",))
        words, scale = self._get(name, ("I32",), 2), self._get(f"{base}.weight_scale", FLOATS, 2)
        stated = self._get(f"{base}.weight_shape", ("I64", "I32"))
        self._fits(f"{base}.weight_shape", stated.size == 2)
        outputs, inputs = (int(size) for size in stated.reshape(-1))
        bits = next((bits for bits in (4, 8, 2) if -(-inputs * bits // 32) == words.shape[1]), 0)
        self._fits(name, bits > 0 and words.shape[0] == outputs == scale.shape[0] and inputs > 0 and scale.shape[1] > 0)
        parts = [name, f"{base}.weight_scale", f"{base}.weight_shape"]
        zeros, order = f"{base}.weight_zero_point", f"{base}.weight_g_idx"
        packed_zeros = self._get(zeros, ("I32",), 2) if self._has(zeros) else None
        if packed_zeros is not None:
            self._fits(zeros, packed_zeros.shape == (-(-outputs * bits // 32), scale.shape[1]))
            parts.append(zeros)
        groups = np.arange(inputs) // self._group(f"{base}.weight_scale", inputs, scale.shape[1])
        if self._has(order):
            found = self._get(order, ("I32", "I64"), 1)
            parts.append(order)
            if found.size and found[0] >= 0:
                self._fits(order, found.shape == (inputs,) and found.min() >= 0 and found.max() < scale.shape[1])
                groups = found
        return Packed((outputs, inputs), f"int{bits}", tuple(parts),
                      partial(formats.packed_integers, words, scale, inputs, bits, packed_zeros, groups))

    # -- four-bit floats -------------------------------------------------------------------------------------------------
    def _mxfp4(self, name: str, base: str) -> Packed:
        """gpt-oss: (experts, outputs, groups, 16) bytes, which stand for (experts, inputs, outputs)."""
        blocks, scale = self._get(name, ("U8",), 4), self._get(f"{base}_scales", ("U8", "F8_E8M0"), 3)
        self._fits(f"{base}_scales", blocks.shape[:3] == scale.shape)
        experts, outputs, groups, size = blocks.shape
        flat, powers = blocks.reshape(-1, groups, size), scale.reshape(-1, groups).view(np.uint8)
        return Packed((experts, groups * size * 2, outputs), "mxfp4", (name, f"{base}_scales"),
                      partial(formats.mxfp4, flat, powers), transposed=True)

    def _nvfp4(self, name: str, base: str, overall: np.float32, more: tuple[str, ...]) -> Packed:
        packed, scale = self._get(name, ("U8",), 2), self._get(f"{base}.weight_scale", ("F8_E4M3", *FLOATS), 2)
        self._fits(f"{base}.weight_scale", scale.shape[0] == packed.shape[0] and scale.shape[1] > 0
                   and packed.shape[1] * 2 % scale.shape[1] == 0)
        return Packed((packed.shape[0], packed.shape[1] * 2), "nvfp4", (name, f"{base}.weight_scale", *more),
                      partial(formats.nvfp4, packed, scale, overall))

    def _bitsandbytes(self, name: str) -> Packed:
        state_name = next((state for state in (f"{name}.quant_state.bitsandbytes__{kind}" for kind in ("nf4", "fp4"))
                           if self._has(state)), f"{name}.quant_state.bitsandbytes__nf4")
        state = _json(self._get(state_name, ("U8",)), self._stored.path, state_name)
        packed, table = self._get(name, ("U8",)).reshape(-1), self._get(f"{name}.quant_map", FLOATS).astype(np.float32)
        shape, block = state.get("shape"), state.get("blocksize")
        largest, parts = self._largest(name, state)
        count = math.prod(shape) if isinstance(shape, list) and len(shape) == 2 and all(type(n) is int for n in shape) else -1
        self._fits(name, count > 0 and type(block) is int and block > 0 and packed.size == -(-count // 2) and table.size == 16
                   and largest.size == -(-count // block))
        columns = shape[1]
        return Packed(tuple(shape), "int4", (name, state_name, f"{name}.quant_map", *parts),
                      partial(formats.bitsandbytes, packed, largest, table, columns, block))

    def _largest(self, name: str, state: dict[str, Any]) -> tuple[np.ndarray, tuple[str, ...]]:
        """The magnitude of every block, which may be quantised itself (double quantisation)."""
        part = f"{name}.absmax"
        stored = self._get(part)
        if stored.dtype != np.uint8:
            return stored.astype(np.float32).reshape(-1), (part,)
        parts = (part, f"{name}.nested_absmax", f"{name}.nested_quant_map")
        outer, table = (self._get(other, FLOATS).astype(np.float32).reshape(-1) for other in parts[1:])
        size, offset = state.get("nested_blocksize"), state.get("nested_offset", 0.0)
        self._fits(part, type(size) is int and size > 0 and table.size == 256 and isinstance(offset, int | float)
                   and outer.size == -(-stored.size // size))
        flat = stored.reshape(-1)
        return table[flat] * outer[np.arange(flat.size) // size] + np.float32(offset), parts


def _is_block(stated: Any) -> bool:
    return isinstance(stated, list) and len(stated) == 2 and all(type(size) is int and size > 0 for size in stated)


def _json(values: np.ndarray, path: Path, name: str) -> dict[str, Any]:
    """An object that is stored as the bytes of its JSON."""
    try:
        found = json.loads(values.tobytes())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{path}: tensor {name} is not the JSON object that it should be")
    return found
