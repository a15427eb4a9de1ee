"""Examples once more in CSL, the vendor's language: same inputs, same answers, and clocks beside those of their Python twins.

Their sources are in the folder ``csl``, one folder an example; ``python -m wsekern.examples --csl`` runs them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsekern.csl.build import Options, build
from wsekern.errors import InputError
from wsekern.examples.registry import EXAMPLES, Outcome
from wsekern.sdk.runtime import MemcpyDataType, SdkRuntime

PROFILE = "vendor-simulator"
"""Timing with which CSL runs, and so the twins too."""


class Pes:
    """The PEs of a program as its host sees them: arrays of shape (height, width, elements) in and out by name."""

    def __init__(self, runtime: SdkRuntime) -> None:
        self.runtime = runtime

    def put(self, name: str, values: NDArray[Any], x: int = 0, y: int = 0) -> None:
        """Copy to the rectangle of PEs from (x, y) on."""
        height, width, count = values.shape
        kind = MemcpyDataType.MEMCPY_16BIT if values.dtype.itemsize == 2 else MemcpyDataType.MEMCPY_32BIT
        words = values.astype(np.uint32) if values.dtype.itemsize == 2 else values
        self.runtime.memcpy_h2d(self.runtime.get_id(name), words.reshape(-1), x, y, width, height, count, data_type=kind)

    def get(self, name: str, dtype: Any, count: int, x: int = 0, y: int = 0, width: int = 1, height: int = 1) -> NDArray[Any]:
        """Copy from a rectangle of PEs."""
        found = np.zeros(height * width * count, dtype)
        self.runtime.memcpy_d2h(found, self.runtime.get_id(name), x, y, width, height, count)
        return found.reshape(height, width, count)

    def run(self, function: str) -> None:
        """Launch a function, and wait for its end."""
        self.runtime.launch(function)


@dataclass(frozen=True)
class Twin:
    """A program in CSL: its name is that of the example in Python and of the folder, ``params`` are those of its layout."""

    name: str
    params: dict[str, int]
    host: Callable[..., NDArray[Any]]

    @property
    def machines(self) -> tuple[str, ...]:
        """Those of the example in Python."""
        return EXAMPLES[self.name].machines

    @property
    def summary(self) -> str:
        """What it does."""
        return EXAMPLES[self.name].summary

    def run(self, machine: str) -> "Pair":
        """Both programs."""
        if machine not in self.machines:
            raise InputError(f"{machine} cannot run {self.name}: use {self.machines[0]}")
        with as_file(files("wsekern.examples") / "csl" / self.name) as folder:
            runtime = SdkRuntime.of(build(Path(folder) / "layout.csl", self.params, Options(arch=machine, dialect="2.10")))
        runtime.run()
        got, simulation = self.host(Pes(runtime), **self.params), runtime.machine.simulation
        python = EXAMPLES[self.name].run(machine, PROFILE)
        return Pair(self, python, Outcome(int(simulation.clock.max()), got, python.expected, simulation, python.tolerance,
                                          python.host))


@dataclass(frozen=True)
class Pair:
    """What both programs of a twin gave."""

    twin: Twin
    python: Outcome
    csl: Outcome

    @cached_property
    def same(self) -> bool:
        """Whether the values of both are the same bit for bit."""
        return bool(np.array_equal(self.python.got, self.csl.got))


TWINS: dict[str, Twin] = {}
"""Every example that is there in CSL too."""


def twin(name: str, **params: int) -> Callable[[Any], Any]:
    """Register the host of an example's twin: it gets the PEs and the parameters."""
    def register(host: Callable[..., NDArray[Any]]) -> Callable[..., NDArray[Any]]:
        TWINS[name] = Twin(name, params, host)
        return host

    return register


@twin("map-lengths", count=12)
def _map_lengths(pes: Pes, count: int) -> NDArray[Any]:
    vectors = np.random.default_rng(2).standard_normal((2, 1, 1, count), np.float32)
    pes.put("a", vectors[0])
    pes.put("b", vectors[1])
    pes.run("compute")
    return pes.get("length", np.float32, count)


def _system(pes: Pes, rng: np.random.Generator, width: int, height: int, rows: int, columns: int) -> NDArray[Any]:
    """Puts a matrix and a vector of tiles; the right side of each row of PEs."""
    A = rng.standard_normal((height, width, columns, rows), np.float32)
    x, b = rng.standard_normal((1, width, columns), np.float32), rng.standard_normal((height, 1, rows), np.float32)
    pes.put("A", A.reshape(height, width, -1))
    pes.put("x", x)
    return b


def _product(pes: Pes, width: int, height: int, rows: int, columns: int) -> NDArray[Any]:
    b = _system(pes, np.random.default_rng(5), width, height, rows, columns)
    pes.put("y", np.pad(b, ((0, 0), (0, width - 1), (0, 0))))
    pes.run("start")
    return pes.get("y", np.float32, rows, width - 1, 0, 1, height)[:, 0]


twin("gemv-2x2", width=2, height=2, rows=4, columns=4)(_product)
twin("gemv-4x3", width=4, height=3, rows=4, columns=4)(_product)


@twin("residual", width=2, height=2, rows=4, columns=5)
def _residual(pes: Pes, width: int, height: int, rows: int, columns: int) -> NDArray[Any]:
    b = _system(pes, np.random.default_rng(6), width, height, rows, columns)
    pes.put("b", b, width - 1)
    pes.run("start")
    return pes.get("norm", np.float32, 1, width - 1, height - 1).reshape(1)


@twin("stencil-7pt", width=6, height=5, depth=10, steps=3)
def _stencil(pes: Pes, width: int, height: int, depth: int, steps: int) -> NDArray[Any]:
    pes.put("u", np.random.default_rng(height).standard_normal((height, width, depth)).astype(np.float32))
    pes.run("run")
    return pes.get("v" if steps % 2 else "u", np.float32, depth, 0, 0, width, height)


_SIDES = ((0, 1), (2, 1), (1, 2), (1, 0))
"""Where the neighbors in the west, east, south and north of the middle PE lie."""


@twin("switch-ring", words=5)
def _switch_ring(pes: Pes, words: int) -> NDArray[Any]:
    pes.put("data", np.random.default_rng(3).standard_normal(words * 7, np.float32).reshape(1, 1, -1), 1, 1)
    pes.run("run")
    return np.concatenate([pes.get("taken", np.float32, blocks * words, x, y)[0, 0]
                           for blocks, (x, y) in zip((3, 2, 1, 1), _SIDES, strict=True)])


@twin("switch-entry-points", words=4)
def _switch_entry_points(pes: Pes, words: int) -> NDArray[Any]:
    rng = np.random.default_rng(4)
    values, factors = rng.integers(0, 1000, 4 * words, np.uint32), rng.integers(1, 1000, 4, np.uint16)
    pes.put("data", values.reshape(1, 1, -1), 1, 1)
    pes.put("weights", factors.reshape(1, 1, -1), 1, 1)
    pes.run("run")
    return np.array([pes.get("result", np.uint32, 1, x, y)[0, 0, 0] for x, y in _SIDES])


@twin("color-swap", width=5, words=8)
def _color_swap(pes: Pes, width: int, words: int) -> NDArray[Any]:
    pes.put("data", np.random.default_rng(8).standard_normal((1, width, words), np.float32))
    pes.run("run")
    return pes.get("taken", np.float32, words, 1, 0, width - 1)
