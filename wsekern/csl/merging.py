"""One program for PEs whose code turned out the same, though they were compiled apart."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.csl.image import Part, Variable


def merged(parts: list[Any], alike: Callable[[Any, Any], bool], join: Callable[[Any, Any], Any]) -> list[Any]:
    """Parts with equal programs (but for their names) and exports, for which ``alike`` holds too, made one by ``join``."""
    found: list[Any] = []
    by_size: dict[Any, list[int]] = {}
    for part in parts:
        key = (len(part.program.code), tuple(part.program.symbols), len(part.sites))
        for k in by_size.setdefault(key, []):
            if _same(found[k], part) and alike(found[k], part):
                found[k] = join(found[k], part)
                break
        else:
            by_size[key].append(len(found))
            found.append(part)
    return found


def _same(one: Part, other: Part) -> bool:
    return (one.program.same_but_for_name(other.program) and one.exports == other.exports and one.sites == other.sites
            and [each[:3] for each in one.memory] == [each[:3] for each in other.memory])


def join_parts(one: Part, other: Part) -> dict[str, Any]:
    """Fields of a part for the PEs of both."""
    count = len(one.pes), len(other.pes)
    memory = [(*first[:3], np.concatenate([first[3], second[3]]))
              for first, second in zip(one.memory, other.memory, strict=True)]
    mine, theirs = _known(one), _known(other)
    numbers = {name: np.concatenate([_each(mine[name], count[0]), _each(theirs[name], count[1])])
               for name in mine.keys() & theirs.keys()
               if not (np.isscalar(mine[name]) and np.isscalar(theirs[name]) and mine[name] == theirs[name])}
    variables = [each for each in one.variables if each.value is None or (each.function and each in other.variables)
                 or (not each.function and each.name in theirs and each.name not in numbers)]
    return {"program": one.program, "pes": np.concatenate([one.pes, other.pes]), "exports": one.exports, "memory": memory,
            "sites": one.sites, "variables": variables, "numbers": numbers}


def _known(part: Part) -> dict[str, Any]:
    """Known numbers by name: of modules, not of functions."""
    values: list[Variable] = [each for each in part.variables if each.value is not None and not each.function]
    return {each.name: each.value for each in values} | part.numbers


def _each(value: Any, count: int) -> NDArray[Any]:
    return value if isinstance(value, np.ndarray) else np.full(count, value)
