"""Drawn points: at random, from a Latin hypercube, or as the indices of Sobol and Morris want them (by SALib)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.errors import InputError
from wsekern.sweep.axes import Axis, Value, pick

METHODS = ("random", "latin-hypercube", "sobol", "morris")
"""Ways of drawing."""

LEVELS = 4
"""Of an input in Morris' trajectories, as SALib has them by default."""


@dataclass(frozen=True)
class Drawn:
    """``rows`` of inputs in the order of the design, repeated ones too; ``shares``, (rows, inputs), are where on its axis each
    value lies."""

    method: str
    axes: dict[str, Axis]
    shares: NDArray[np.float64]

    @property
    def rows(self) -> list[dict[str, Value]]:
        """Inputs of each row."""
        return [{name: pick(axis, float(share)) for (name, axis), share in zip(self.axes.items(), row, strict=True)}
                for row in self.shares]

    @property
    def problem(self) -> dict[str, Any]:
        """The inputs as SALib names them."""
        return problem(tuple(self.axes))


def problem(names: tuple[str, ...]) -> dict[str, Any]:
    """Inputs that go from 0 to 1, as SALib names them."""
    return {"num_vars": len(names), "names": list(names), "bounds": [[0.0, 1.0]] * len(names)}


def need_salib(what: str) -> None:
    """Refuse ``what`` where SALib is missing."""
    try:
        import SALib  # noqa: F401
    except ImportError:
        raise InputError(f"{what} wants SALib (pip install 'wsekern[sweep]')") from None


def row_count(method: str, axes: dict[str, Axis], count: int) -> int:
    """Rows that :func:`draw` gives."""
    return count * {"sobol": len(axes) + 2, "morris": len(axes) + 1}.get(method, 1)


def draw(method: str, axes: dict[str, Axis], count: int, seed: int) -> Drawn:
    """``count`` points, base samples or trajectories of ``axes`` by ``method``; the same for the same ``seed``."""
    return Drawn(method, axes, _SHARES[method](tuple(axes), count, seed))


def _random(names: tuple[str, ...], count: int, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random((count, len(names)))


def _latin_hypercube(names: tuple[str, ...], count: int, seed: int) -> NDArray[np.float64]:
    """Of every input one value in each of ``count`` equal parts of its axis."""
    random = np.random.default_rng(seed)
    parts = np.stack([random.permutation(count) for _ in names], axis=1)
    return (parts + random.random(parts.shape)) / count


def _sobol(names: tuple[str, ...], count: int, seed: int) -> NDArray[np.float64]:
    """Saltelli's: count (inputs + 2) rows."""
    need_salib("a sample by sobol")
    from SALib.sample import sobol

    if count & (count - 1):
        raise InputError(f"sample.count is {count}, expected a power of 2 for a sample by sobol, such as "
                         f"{1 << count.bit_length()}")
    return np.asarray(sobol.sample(problem(names), count, calc_second_order=False, seed=seed), np.float64)


def _morris(names: tuple[str, ...], count: int, seed: int) -> NDArray[np.float64]:
    """Trajectories: count (inputs + 1) rows."""
    need_salib("a sample by morris")
    from SALib.sample import morris

    return np.asarray(morris.sample(problem(names), count, num_levels=LEVELS, seed=seed), np.float64)


_SHARES = dict(zip(METHODS, (_random, _latin_hypercube, _sobol, _morris), strict=True))
