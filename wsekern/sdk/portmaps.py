"""Port maps of scripts from before SDK 1.0: ``{ A[i=0:7][j=0:3] -> [PE[j // 2, 0] -> index[i, j % 2]] }`` says to which PE each
element of an array belongs, and at which place: places in order of their indices, the last one fastest."""

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from wsekern.errors import InputError

MAP = re.compile(r"^\{\s*(\w+)\s*((?:\[[^\]]*\]\s*)+)->\s*\[\s*PE\s*\[([^\]]*)\]\s*->\s*index\s*\[([^\]]*)\]\s*\]\s*;?\s*\}$")
DIMENSION = re.compile(r"^\s*(\w+)\s*=\s*(-?\d+)\s*:\s*(-?\d+)\s*$")
OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Div: operator.floordiv, ast.Mod: operator.mod}


class PortMap:
    """A map: the shape of the array, and where each of its elements goes."""

    def __init__(self, text: str) -> None:
        found = MAP.match(text.strip())
        if found is None:
            raise InputError(f"{text!r} is no port map such as {{ A[i=0:7] -> [PE[i, 0] -> index[0]] }}")
        bounds = []
        for each in re.split(r"[\],]", found[2].replace("[", "").rstrip().rstrip("]")):
            dimension = DIMENSION.match(each)
            if dimension is None or int(dimension[3]) < int(dimension[2]):
                raise InputError(f"{each.strip()!r} in {text!r} is no range such as i=0:7")
            bounds.append((dimension[1], int(dimension[2]), int(dimension[3]) + 1))
        self.shape = tuple(stop - start for _, start, stop in bounds)
        grids = np.indices(self.shape)
        names = {name: grid.ravel() + start for (name, start, _), grid in zip(bounds, grids, strict=True)}
        places = [_evaluate(each, names, text) for each in _split(found[3])]
        if len(places) != 2:
            raise InputError(f"{text!r}: PE[x, y] has two coordinates, found {len(places)}")
        self._sort(*places, [_evaluate(each, names, text) for each in _split(found[4])], text)

    def _sort(self, x: NDArray[Any], y: NDArray[Any], index: list[NDArray[Any]], text: str) -> None:
        self.x, self.y = int(x.min()), int(y.min())
        self.width, self.height = int(x.max()) - self.x + 1, int(y.max()) - self.y + 1
        count = np.bincount((y - self.y) * self.width + x - self.x, minlength=self.width * self.height)
        if (count != count[0]).any():
            raise InputError(f"{text!r} gives PEs of its rectangle {count.min()} to {count.max()} elements; a copy gives each "
                             "as many")
        self.length = int(count[0])
        self.order = np.lexsort([*reversed(index), x, y])
        """The element of the array for each place, rows of PEs from the north, PEs from the west, places in order."""

    def arguments(self) -> tuple[int, int, int, int, int]:
        """px, py, w, h and elements of a PE, as copies take them."""
        return self.x, self.y, self.width, self.height, self.length


def _split(text: str) -> list[str]:
    return [each.strip() for each in text.split(",")]


def _evaluate(text: str, names: dict[str, NDArray[Any]], whole: str) -> NDArray[Any]:
    """An expression of indices and numbers, for all elements."""
    def value(node: ast.expr) -> Any:
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -value(node.operand)
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return node.value
        if isinstance(node, ast.Name) and node.id in names:
            return names[node.id]
        raise InputError(f"{text!r} in {whole!r}: expected indices and numbers with + - * // %")

    try:
        tree = ast.parse(re.sub(r"\bmod\b", "%", text), mode="eval")
    except SyntaxError:
        raise InputError(f"{text!r} in {whole!r} is no expression") from None
    return np.broadcast_to(np.asarray(value(tree.body)), next(iter(names.values())).shape)


def convert_input_tensor(port_map: str, tensor: ArrayLike) -> tuple[int, int, int, int, int, NDArray[Any]]:
    """Where an array goes, and its elements in that order."""
    made, values = PortMap(port_map), np.asarray(tensor).ravel()
    if values.size != len(made.order):
        raise InputError(f"the map {port_map!r} is of {len(made.order)} elements, found {values.size}")
    return *made.arguments(), values[made.order]


def prepare_output_tensor(port_map: str, dtype: DTypeLike) -> tuple[int, int, int, int, int, NDArray[Any]]:
    """Where an array comes from, and room for its elements."""
    made = PortMap(port_map)
    return *made.arguments(), np.zeros(len(made.order), dtype)


def format_output_tensor(port_map: str, dtype: DTypeLike, data: ArrayLike) -> NDArray[Any]:
    """The array of elements that came."""
    made = PortMap(port_map)
    found = np.zeros(len(made.order), dtype)
    found[made.order] = np.asarray(data).ravel().view(dtype)
    return found.reshape(made.shape)
