"""Fit what compiled machines reach: ``python -m wsekern.calibration.compiled [--output FOLDER]``.

Uses the rows of ``machine-measurements.csv`` whose models :func:`wsekern.validation.machines.is_fitted` names, and prints what
``systolic.toml`` and ``pipeline.toml`` of ``wsekern/cluster/data`` should say, with the numbers of engine levels that
``engines.toml`` should. Numbers are drawn towards where they start, and those of a family with few rows towards those of the
one that stands in for it, so that one no row decides stays.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from wsekern.calibration.minimise import settle
from wsekern.cluster.engine import Engine, engine_levels, load_engine
from wsekern.cluster.families.pipeline import USUAL as USUAL_PIPELINE
from wsekern.cluster.families.pipeline import pipeline
from wsekern.cluster.families.systolic import USUAL as USUAL_SYSTOLIC
from wsekern.cluster.families.systolic import systolic
from wsekern.cluster.scoped import Scoped
from wsekern.description import Quantity
from wsekern.errors import WsekernError
from wsekern.output import run_and_exit, write_file
from wsekern.validation.machine_rows import understand
from wsekern.validation.machines import is_fitted, measurements, predict_row
from wsekern.validation.rows import read_value

Rows = list[tuple[dict[str, str], float]]
"""Rows with what they measured."""

Box = tuple[float, float, float]
"""Start, least and greatest value of a fitted number."""


class Mechanism(NamedTuple):
    """Numbers of a kind of machines by family, the ``usual`` family, which others start from, and the fitted ones; ``levels``
    are those of engines that the usual family sets."""

    numbers: Scoped[Mapping[str, msgspec.Struct]]
    usual: str
    boxes: dict[str, Box]
    levels: dict[str, Box]


MECHANISMS = {
    "systolic": Mechanism(
        systolic, USUAL_SYSTOLIC,
        {"kernel": (4e-6, 2e-7, 1e-3), "memory": (0.8, 0.2, 0.95), "compute": (0.6, 0.05, 0.95), "row": (5e-7, 1e-8, 2e-5),
         "cache": (0.6, 0.1, 0.95), "attention": (0.4, 0.02, 0.95), "route": (2e-5, 1e-7, 5e-3),
         "collective": (5e-6, 5e-7, 1e-3), "links": (0.8, 0.1, 1.0)},
        {"per_step": (1e-3, 1e-5, 1e-2), "per_sequence": (1e-5, 1e-7, 3e-4), "per_request": (1e-2, 1e-3, 0.5)}),
    "pipeline": Mechanism(
        pipeline, USUAL_PIPELINE,
        {"stage": (1e-6, 1e-7, 1e-4), "cache": (0.6, 0.05, 0.95), "compute": (0.5, 0.02, 0.95)}, {}),
}
"""By the name that machines state."""

PULL = 0.05
"""Weight of ln(number / start): a factor of e costs as much as 5 % of error."""

MOST = 0.7
"""|ln(predicted / measured)| from which on a row counts for less than in proportion."""

SOURCE = "fitted by wsekern.calibration.compiled on rows of machine-measurements.csv"


def fitted_rows(rows: Sequence[dict[str, str]]) -> dict[tuple[str, str], dict[str, Rows]]:
    """Fitted rows that have a prediction: by mechanism and family of machines, then by engine level."""
    found: dict[tuple[str, str], dict[str, Rows]] = {}
    levels = {engine: name for name, engine in engine_levels().items()}
    for row in rows:
        try:
            case = understand(row)
            gpu = case.cluster.gpu
            if not is_fitted(row) or gpu.mechanism not in MECHANISMS:
                continue
            predict_row(row)
            of = found.setdefault((gpu.mechanism, gpu.family), {})
            of.setdefault(levels[case.deployment.engine], []).append((row, read_value(row)))
        except WsekernError:
            continue
    return found


def changed(numbers: msgspec.Struct, values: Mapping[str, float], source: str) -> msgspec.Struct:
    """``numbers`` of a family or of an engine level with others."""
    fields = {name: Quantity(value, getattr(numbers, name).unit, source, "B") for name, value in values.items()}
    return msgspec.structs.replace(numbers, **fields)


def balance(rows: Sequence[dict[str, str]]) -> np.ndarray:
    """Weights of rows, 1 in the mean, so that every kind of figure (decoding, throughput, first token) counts alike."""
    groups = [predict_row(row)[0] for row in rows]
    counts = np.array([groups.count(group) for group in groups])
    return len(rows) / len(set(groups)) / counts


class Fit:
    """The search for the numbers of one family, which start at those of ``start`` (:data:`MECHANISMS` where it is the usual
    one), and of the engine levels of its ``rows``."""

    def __init__(self, mechanism: Mechanism, family: str, rows: dict[str, Rows], start: msgspec.Struct) -> None:
        self.mechanism, self.family, self.first = mechanism, family, start
        own = family == mechanism.usual
        self.levels = sorted(rows) if own and mechanism.levels else []
        self.every = [row for of in rows.values() for row in of]
        self.places = [("", name) for name in mechanism.boxes] + [
            (level, name) for level in self.levels for name in mechanism.levels]
        self.boxes = np.array([(mechanism.levels if level else mechanism.boxes)[name] for level, name in self.places])
        self.start = self.boxes[:, 0] if own else np.array([float(getattr(start, name)) for _, name in self.places])
        self.weights, self.source = balance([row for row, _ in self.every]), f"{SOURCE}: {len(self.every)}"

    def run(self) -> tuple[msgspec.Struct, dict[str, Engine]]:
        """Numbers of least mean |ln(predicted / measured)|."""
        return self.parts(settle(self.misses, self.start, self.boxes[:, 1], self.boxes[:, 2], PULL))

    def misses(self, values: np.ndarray) -> np.ndarray:
        """ln(predicted / measured) of every row, weighted and bent."""
        with self.using(values):
            found = np.log([predict_row(row)[1] / measured for row, measured in self.every])
        return self.weights * np.sign(found) * MOST * np.log1p(np.abs(found) / MOST)

    def parts(self, values: np.ndarray) -> tuple[msgspec.Struct, dict[str, Engine]]:
        """The numbers of the family and of its engine levels."""
        given = {place: float(f"{value:.4g}") for place, value in zip(self.places, values, strict=True)}
        own = {name: value for (level, name), value in given.items() if not level}
        engines = {of: changed(load_engine(of), {name: value for (level, name), value in given.items() if level == of},
                               self.source) for of in self.levels}
        return changed(self.first, own, self.source), engines

    @contextmanager
    def using(self, values: np.ndarray) -> Iterator[None]:
        """Predict with ``values``."""
        numbers, levels = self.parts(values)
        known = {**self.mechanism.numbers(), self.family: numbers}
        with self.mechanism.numbers.replaced(known), engine_levels.replaced({**engine_levels(), **levels}):
            yield


def calibrate(rows: Sequence[dict[str, str]]) -> tuple[dict[str, dict[str, msgspec.Struct]], dict[str, Engine]]:
    """Numbers of every family with rows, by mechanism, and the engine levels that they set: usual families first, from which
    the others start."""
    fitted = {name: dict(mechanism.numbers()) for name, mechanism in MECHANISMS.items()}
    engines: dict[str, Engine] = {}
    found = fitted_rows(rows)
    for name, family in sorted(found, key=lambda place: (place[1] != MECHANISMS[place[0]].usual, place)):
        mechanism, numbers = MECHANISMS[name], fitted[name]
        with mechanism.numbers.replaced(numbers), engine_levels.replaced({**engine_levels(), **engines}):
            numbers[family], levels = Fit(mechanism, family, found[name, family], numbers[mechanism.usual]).run()
        engines.update(levels)
    return fitted, engines


def toml(name: str, families: Mapping[str, msgspec.Struct]) -> str:
    """The text of the file of a mechanism, with the words that stand above its tables."""
    shipped = (Path(__file__).parents[1] / "cluster" / "data" / f"{name}.toml").read_text()
    lines = [shipped[: shipped.index("\n[")].rstrip("\n")]
    for family, numbers in families.items():
        lines += ["", f"[{family}]"]
        lines += [f"{field} = {_quantity(getattr(numbers, field))}" for field in numbers.__struct_fields__]
    return "\n".join(lines) + "\n"


def _quantity(quantity: Quantity) -> str:
    return (f'{{ value = {quantity.value:g}, unit = "{quantity.unit}", source = "{quantity.source}", '
            f'confidence = "{quantity.confidence}" }}')


def main() -> None:
    """Fit, and write or print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("data", nargs="?", help="own measurements, in place of those of the package")
    parser.add_argument("--output", help="folder to write the files of mechanisms to; printed otherwise")
    options = parser.parse_args()
    fitted, engines = calibrate(measurements(options.data))
    for name, families in fitted.items():
        if options.output:
            write_file(Path(options.output) / f"{name}.toml", toml(name, families))
        else:
            print(f"{name}.toml:\n{toml(name, families)}")
    for level, engine in engines.items():
        for key in MECHANISMS["systolic"].levels:
            print(f"engines.toml: [{level}] {key} = {_quantity(getattr(engine, key))}")


if __name__ == "__main__":
    run_and_exit(main)
