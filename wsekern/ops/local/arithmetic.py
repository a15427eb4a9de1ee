"""The arithmetic of vector instructions in numpy: every step of a recipe, rounded once, on arrays of any shape.

Values are those of the cores (``src/program/pe_math.h``) bit for bit; bf16 is kept as its 16-bit patterns.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache

import numpy as np

from wsekern import tiles
from wsekern.number_formats import NUMPY_DTYPES, round_bf16, widen_bf16
from wsekern.ops.local.recipe import Recipe, Source, Step
from wsekern.program.operands import ElementType
from wsekern.tiles import exp, reciprocal


def evaluate(recipe: Recipe, *inputs: np.ndarray | float) -> np.ndarray:
    """``out`` of ``recipe`` for ``x`` (and ``y``), arrays of the stored type and one shape; of numbers instead, a float32."""
    if not isinstance(inputs[0], np.ndarray):
        given = [store(recipe.stored, np.full(1, number, np.float32)) for number in inputs]
        return load(recipe.stored, evaluate(recipe, *given))[0]
    memory = {name: np.ascontiguousarray(array) for name, array in zip(recipe.inputs, inputs, strict=True)}
    _run_all(recipe, recipe.steps, memory)
    return memory["out"]


def first_factor(recipe: Recipe, x: np.ndarray) -> np.ndarray:
    """What a function that ends with a product with ``y`` multiplies it by, in the type that steps compute in."""
    memory = {"x": np.ascontiguousarray(x)}
    _run_all(recipe, recipe.steps[:-1], memory)
    return memory["t"]


@lru_cache(maxsize=1024)
def nearest(type: ElementType, number: float) -> float:
    """``number`` rounded to a float type."""
    if type == "bf16":
        return float(widen_bf16(round_bf16(np.full(1, number, np.float32)))[0])
    return float(NUMPY_DTYPES[type](number))


def store(type: ElementType, values: np.ndarray) -> np.ndarray:
    """float32 or float64 rounded once to ``type``; float64 to bf16 by way of float32, as fmachs does it."""
    return round_bf16(values.astype(np.float32)) if type == "bf16" else values.astype(NUMPY_DTYPES[type])


def load(type: ElementType, values: np.ndarray) -> np.ndarray:
    """Elements of ``type`` as float32."""
    return widen_bf16(values) if type == "bf16" else values.astype(np.float32, copy=False)


def _run_all(recipe: Recipe, steps: Iterable[Step], memory: dict[str, np.ndarray]) -> None:
    with np.errstate(all="ignore"):
        for step in steps:
            _run(recipe, step, memory)


def _run(recipe: Recipe, step: Step, memory: dict[str, np.ndarray]) -> None:
    shape = memory["x"].shape
    base = step.target.partition(".")[0]
    if step.on_bits:
        if base not in memory:
            memory[base] = np.zeros(shape, {"u16": np.uint16, **NUMPY_DTYPES}[recipe.type_of(base)])
        bits = [_bits(memory, source) for source in step.sources]
        _bits(memory, step.target)[...] = _INTEGER[step.operation](*bits)
        return
    values = [_float(recipe, memory, source) for source in step.sources]
    if step.operation in _LIBRARY:
        memory[base] = store(recipe.type_of(base), _LIBRARY[step.operation](np.broadcast_to(values[-1], shape)))
        return
    if step.operation == "fma" and recipe.type_of(base) == "fp32":
        memory[base] = _fma_fp32(*(value if value.shape == shape else np.full(shape, value) for value in values))
        return
    found = _FLOAT[step.operation](*values)
    memory[base] = store(recipe.type_of(base), found if found.shape == shape else np.broadcast_to(found, shape))


def _bits(memory: dict[str, np.ndarray], source: Source) -> np.ndarray:
    """A view of the 16 bits that a name means, or a constant."""
    if not isinstance(source, str):
        return np.uint16(source)
    base, _, part = source.partition(".")
    words = memory[base].view(np.uint16)
    if memory[base].itemsize == 2:
        return words
    return words[..., part == "top"::2]


def _float(recipe: Recipe, memory: dict[str, np.ndarray], source: Source) -> np.ndarray:
    if isinstance(source, str):
        return load(recipe.type_of(source), memory[source])
    return np.float32(nearest(recipe.work, source))


def fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a + b * c of float32 as float64 that rounds to float32 and below as the exact result does: the product is exact, the sum
    rounded to odd. As float32 where it is no finite number."""
    product = np.multiply(b, c, dtype=np.float64)
    total = np.add(product, a, dtype=np.float64)
    part = total - product
    error = (product - (total - part)) + (a - part)
    words = np.atleast_1d(total).view(np.int64)
    towards = np.where((error > 0) == (total > 0), 1, -1)
    odd = (np.isfinite(total) & (error != 0) & np.isfinite(error)).reshape(words.shape) & (words & 1 == 0)
    return np.where(odd, words + np.reshape(towards, words.shape), words).view(np.float64).reshape(np.shape(total))


def _fma_fp32(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a + b * c of float32, rounded once to float32."""
    return tiles.fma(_as_tile(b), _as_tile(c), _as_tile(a)).reshape(a.shape)


def _as_tile(a: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(a).reshape(1, 1, -1)


_FLOAT: dict[str, Callable[..., np.ndarray]] = {
    "mov": lambda a: a, "neg": np.negative, "abs": np.abs, "add": np.add, "sub": np.subtract, "mul": np.multiply,
    "max": lambda a, b: np.where(a > b, a, b), "fma": fma,
}
_LIBRARY: dict[str, Callable[..., np.ndarray]] = {
    "lib_exp": lambda a: exp(_as_tile(a)).reshape(a.shape), "lib_div": lambda a: reciprocal(_as_tile(a)).reshape(a.shape),
}
"""Calls of the software library; of divisions those of 1."""
_INTEGER: dict[str, Callable[..., np.ndarray]] = {
    "add16": np.add, "sub16": np.subtract, "and16": np.bitwise_and, "or16": np.bitwise_or, "sll16": np.left_shift,
    "slr16": np.right_shift,
}
