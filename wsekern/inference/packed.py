"""Packed matrices of a layer: their words on every PE, the bytes that they take, the products of the steps that read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from wsekern.errors import InputError
from wsekern.formulas import largest, opaque
from wsekern.inference.grid import Grid
from wsekern.inference.steps import LayerStep, Steps, View
from wsekern.ops import BatchedGemv, Gemm
from wsekern.ops.local.packed import PackedProduct
from wsekern.ops.local.packing import PIECE, PackedLayout, Packing, pack, packing, quantise, unpacked_weights
from wsekern.ops.operation import ELEMENT_TYPES, Operation


@dataclass(frozen=True)
class Matrix:
    """A matrix as a PE keeps it: ``inputs`` x ``outputs``, ``copies`` of that size."""

    inputs: int
    outputs: int
    copies: int = 1

    @property
    def elements(self) -> int:
        """Elements of all."""
        return self.copies * self.inputs * self.outputs

    def bytes(self, form: Packing) -> int:
        """Bytes of all, elements and scales, in 16-bit words."""
        return 2 * self.copies * _words(form, self.inputs, self.outputs)


@opaque
@lru_cache(maxsize=65536)
def _words(form: Packing, inputs: int, outputs: int) -> int:
    """16-bit words of a tile."""
    return PackedLayout(form, inputs, outputs).words


Matrices = Mapping[str, tuple[Matrix, ...]]
"""Name of a weight, as steps read it -> what a PE keeps of it; the first is the size that steps multiply by."""


# ---- values

def pack_tiles(form: Packing, precision: str, tiles: np.ndarray, line: int) -> np.ndarray:
    """Words (height, width, words) of float32 ``tiles`` (height, width, inputs, outputs) whose inputs lie along axis ``line``
    of PEs. Of formats with a scale for each output, all inputs of all PEs count."""
    type, layout = ELEMENT_TYPES[precision], PackedLayout(form, *tiles.shape[2:])
    codes, scales = np.empty(tiles.shape, np.uint8), np.empty((*tiles.shape[:2], len(layout.groups), layout.n), np.uint16)
    for group, (row, rows) in enumerate(layout.groups):
        part = tiles[:, :, row:row + rows]
        largest = np.abs(part).max(axis=(2,) if form.group else (line, 2), keepdims=True)
        found, kept = quantise(form, type, part, np.broadcast_to(largest, (*tiles.shape[:2], 1, layout.n)))
        codes[:, :, row:row + rows], scales[:, :, group] = found, kept[:, :, 0]
    return pack(form, type, codes, scales)


def kept_matrix(form: Packing, precision: str, matrix: np.ndarray, places: np.ndarray) -> np.ndarray:
    """``matrix`` (inputs, outputs) as PEs keep it, float32: its inputs at ``places`` (lines, inputs of a line), -1 padded."""
    type = ELEMENT_TYPES[precision]
    rows = np.concatenate([matrix, np.zeros((1, matrix.shape[1]), np.float32)])[places][:, None]
    words = pack_tiles(form, precision, rows, 0)
    out = np.zeros((matrix.shape[0] + 1, matrix.shape[1]), np.float32)
    out[places] = unpacked_weights(form, type, words, *rows.shape[2:])[:, 0]
    return out[:-1]


# ---- steps

def packed_steps(mapping: Grid, matrices: Matrices, steps: Steps) -> Steps:
    """``steps`` with products of packed matrices where those of ``matrices`` lie packed."""
    known = {name: (form, sizes[0]) for name, sizes in matrices.items() if (form := mapping.form_of(name))}
    return [found for step in steps for found in _packed(known, step)] if known else steps


def _packed(known: dict[str, tuple[Packing, Matrix]], step: LayerStep | View) -> Sequence[LayerStep | View]:
    """A step as it is where what it reads lies packed; ``known`` learns what it makes."""
    read = [name for name in step.inputs if name in known]
    if not read:
        for name in step.outputs:
            known.pop(name, None)
        return [step]
    if isinstance(step, View):
        if step.kind not in ("take", "reshape"):
            raise InputError(f"{step.kind} of {read[0]}: packed weights are taken whole")
        known[step.outputs[0]] = known[read[0]]
        return [step] if step.kind == "take" else []
    form, matrix = known[read[0]]
    return [replace(step, operation=_product(step.operation, form, matrix))]


def _product(operation: Operation, form: Packing, matrix: Matrix) -> PackedProduct:
    if isinstance(operation, Gemm) and (operation.k, operation.n) == (matrix.inputs, matrix.outputs):
        return PackedProduct(operation.m, operation.k, operation.n, form.name)
    if isinstance(operation, BatchedGemv) and operation.n == matrix.outputs and operation.k % matrix.inputs == 0:
        return PackedProduct(operation.m, matrix.inputs, operation.n, form.name, operation.k // matrix.inputs, own=True)
    raise InputError(f"{operation} has no form for weights in {form.name}: keep them in the precision")


# ---- memory

def packed_memory(mapping: Grid, matrices: Matrices) -> tuple[int, int, int]:
    """(elements that do not lie in the precision, their bytes, room that their products take for a chunk) of ``matrices``."""
    elements = size = room = 0
    for name, sizes in matrices.items():
        form = mapping.form_of(name)
        if form is None:
            continue
        elements += sum(matrix.elements for matrix in sizes)
        size += sum(matrix.bytes(form) for matrix in sizes)
        own = sizes[0].copies > 1
        rows = 1 if own else mapping.chunk
        room = largest(room, _room(rows, sizes[0].inputs, sizes[0].outputs, form.name, own, mapping.precision))
    return elements, size, room


@opaque
@lru_cache(maxsize=65536)
def _room(rows: int, inputs: int, outputs: int, form: str, own: bool, precision: str) -> int:
    """Bytes of room of a packed product; of rows with matrices of their own, of as many as are unpacked together at most."""
    if own:
        rows = max(1, PIECE // max(1, PackedLayout(packing(form), inputs, outputs).buffer))
    return PackedProduct(rows, inputs, outputs, form, own=own).room_bytes(precision)
