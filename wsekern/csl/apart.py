"""Functions of the compiler that decide by numbers which differ between the PEs of a program: run once for each group of PEs
that decides alike, and the results put together, so that the PEs can go on sharing their program."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.csl import types as t
from wsekern.csl.values import Split, Value, Varying, by_pe

PURE = frozenset({"as", "bitcast", "type_of", "is_same_type", "element_type", "element_count", "dimensions", "rank", "zeros",
                  "constants", "has_field", "field", "concat_structs", "strcat", "strlen", "get_array", "get_int", "is_arch",
                  "is_comptime", "fp16", "range", "range_start", "range_stop", "range_step", "comptime_assert", "get_color",
                  "get_local_task_id", "get_data_task_id", "get_control_task_id", "get_input_queue", "get_output_queue",
                  "__scalar", "__has_type", "__about_type"})
"""Builtins that give a value and do nothing else."""


class Together(Exception):
    """A function cannot be run for some PEs alone: it does something, or its results cannot be put together."""


def apart(unit: Any, arguments: list[Value], split: Split, run: Callable[[list[Value]], Value]) -> Value:
    """The result of ``run(arguments)``, a function of the compiler that ended in ``split``: of every PE its own. Raises
    ``split`` where that cannot be."""
    parts: list[tuple[NDArray[np.bool_], Value]] = []
    waiting = [split.groups == k for k in np.unique(split.groups)]
    if not any(varying_of(each.data) for each in arguments):
        raise split
    outer, unit.apart = unit.apart, True
    try:
        while waiting:
            mask = waiting.pop()
            try:
                parts.append((mask, run([Value(each.type, changed(each.data, _of_group(mask))) for each in arguments])))
            except Split as again:
                inside = np.unique(again.groups[mask])
                if len(inside) < 2:  # something other than the arguments decides
                    raise Together from None
                waiting += [mask & (again.groups == k) for k in inside]
        return Value(parts[0][1].type, _joined([(mask, each.data) for mask, each in parts], [each for _, each in parts]))
    except (Together, OverflowError):
        raise split from None
    finally:
        unit.apart = outer


def _of_group(mask: NDArray[np.bool_]) -> Callable[[Varying], Any]:
    """What makes a number of every PE one that outside of a group is as at its first PE."""
    first = int(mask.argmax())
    return lambda varying: by_pe(np.where(mask, varying.each, varying.each[first]))


def changed(data: Any, change: Callable[[Varying], Any]) -> Any:
    """Data of a value with all numbers that differ between PEs replaced."""
    if isinstance(data, Varying):
        return change(data)
    if isinstance(data, dict):
        return {name: Value(each.type, changed(each.data, change)) for name, each in data.items()}
    return [changed(each, change) for each in data] if isinstance(data, list) else data


def varying_of(data: Any) -> list[Varying]:
    """The numbers of a value's data that differ between PEs."""
    found: list[Varying] = []
    changed(data, lambda varying: found.append(varying))
    return found


def groups_by(varying: list[Varying]) -> NDArray[np.int64]:
    """Group number of each PE: groups are those of PEs that have all numbers in common."""
    bits = [each.each.astype(np.float64).view(np.int64) if each.each.dtype.kind == "f" else each.each.astype(np.int64)
            for each in varying]
    return np.unique(np.stack(bits), axis=1, return_inverse=True)[1].reshape(-1)


def _joined(parts: list[tuple[NDArray[np.bool_], Any]], values: list[Value] | None = None) -> Any:
    """Data of groups of PEs as one. Raises :class:`Together` where they differ in anything but numbers."""
    if values is not None and any(each.type != values[0].type for each in values):
        raise Together
    first = parts[0][1]
    found = [data for _, data in parts]
    if all(isinstance(each, (bool, int, float, Varying, np.number)) for each in found):
        return _numbers(parts)
    if all(isinstance(each, dict) for each in found):
        if any(each.keys() != first.keys() for each in found):
            raise Together
        return {name: Value(first[name].type, _joined([(mask, each[name].data) for mask, each in parts],
                                                      [each[name] for each in found])) for name in first}
    if all(isinstance(each, (list, np.ndarray)) for each in found):
        return _arrays(parts)
    if any(type(each) is not type(first) or (each is not first and not _same(each, first)) for each in found):
        raise Together
    return first


def _same(one: Any, other: Any) -> bool:
    return isinstance(one, (bytes, t.Type)) and one == other


def _arrays(parts: list[tuple[NDArray[np.bool_], Any]]) -> Any:
    first = parts[0][1]
    if any(len(each) != len(first) for _, each in parts):
        raise Together
    if all(isinstance(each, np.ndarray) and each.tobytes() == first.tobytes() for _, each in parts):
        return first
    plain = [(mask, each.tolist() if isinstance(each, np.ndarray) else each) for mask, each in parts]
    return [_joined([(mask, each[k]) for mask, each in plain]) for k in range(len(first))]


def _numbers(parts: list[tuple[NDArray[np.bool_], Any]]) -> Any:
    held = [np.asarray(data.each if isinstance(data, Varying) else data) for _, data in parts]
    kinds = {each.dtype.kind for each in held}
    if len(kinds) > 1 or not kinds <= set("bif"):
        raise Together
    each = np.empty(len(parts[0][0]), {"b": bool, "i": np.int64, "f": np.float64}[kinds.pop()])
    for (mask, _), numbers in zip(parts, held, strict=True):
        each[mask] = numbers[mask] if numbers.ndim else numbers
    return by_pe(each)
