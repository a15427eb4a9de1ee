"""Fit what compiled programs reach on systolic arrays: ``python -m wsekern.calibration.systolic [--output FILE]``.

Uses the rows of ``machine-measurements.csv`` whose models :func:`wsekern.validation.machines.is_fitted` names, and prints what
``wsekern/cluster/data/systolic.toml`` should say, with the numbers of engine levels that ``engines.toml`` should. Numbers are drawn
towards those in use, and those of a family with few rows towards those of the TPU, so that a number no row decides stays.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np

from wsekern.calibration.minimise import settle
from wsekern.cluster.engine import Engine, engine_levels, load_engine
from wsekern.cluster.families.systolic import USUAL, Systolic, systolic
from wsekern.description import Quantity
from wsekern.errors import WsekernError
from wsekern.validation.machine_rows import understand
from wsekern.validation.machines import is_fitted, measurements, predict_row
from wsekern.validation.rows import read_value

Rows = Sequence[tuple[dict[str, str], float]]
"""Rows with what they measured."""

BOXES = {
    "kernel": (2e-7, 1e-3), "memory": (0.2, 0.95), "compute": (0.05, 0.95), "row": (1e-8, 2e-5), "cache": (0.1, 0.95),
    "attention": (0.02, 0.95), "route": (1e-7, 5e-3), "collective": (5e-7, 1e-3), "links": (0.1, 1.0),
}
"""Least and greatest value of each fitted number of a family."""

ENGINE = {"per_step": (1e-5, 1e-2), "per_sequence": (1e-7, 3e-4), "per_request": (1e-3, 0.5)}
"""The same of an engine level."""

PULL = 0.05
"""Weight of ln(number / number in use): a factor of e costs as much as 1 % of error."""

MOST = 0.7
"""|ln(predicted / measured)| from which on a row counts for less than in proportion."""

SOURCE = "fitted by wsekern.calibration.systolic on rows of machine-measurements.csv"


def fitted_rows(rows: Sequence[dict[str, str]]) -> dict[str, dict[str, list[tuple[dict[str, str], float]]]]:
    """Fitted rows that have a prediction, by family of machines and engine level."""
    found: dict[str, dict[str, list[tuple[dict[str, str], float]]]] = {}
    levels = {engine: name for name, engine in engine_levels().items()}
    for row in rows:
        try:
            case = understand(row)
            if not is_fitted(row) or case.cluster.gpu.mechanism != "systolic":
                continue
            predict_row(row)
            of = found.setdefault(case.cluster.gpu.family, {})
            of.setdefault(levels[case.deployment.engine], []).append((row, read_value(row)))
        except WsekernError:
            continue
    return found


@contextmanager
def using(family: str, numbers: Systolic, levels: Mapping[str, Engine]) -> Iterator[None]:
    """Replace the numbers of a family, and engine levels."""
    with systolic.replaced({**systolic(), family: numbers}), engine_levels.replaced({**engine_levels(), **levels}):
        yield


def changed(numbers: Systolic, values: Mapping[str, float], source: str) -> Systolic:
    """``numbers`` with others."""
    fields = {name: Quantity(value, getattr(numbers, name).unit, source, "B") for name, value in values.items()}
    return msgspec.structs.replace(numbers, **fields)


def engine_with(name: str, values: Mapping[str, float], source: str) -> Engine:
    """An engine level with others."""
    level = load_engine(name)
    fields = {key: Quantity(value, getattr(level, key).unit, source, "B") for key, value in values.items()}
    return msgspec.structs.replace(level, **fields)


def balance(rows: Sequence[dict[str, str]]) -> np.ndarray:
    """Weights of rows, 1 in the mean, so that every kind of figure (decoding, throughput, first token) counts alike."""
    groups = [predict_row(row)[0] for row in rows]
    counts = np.array([groups.count(group) for group in groups])
    return len(rows) / len(set(groups)) / counts


def fit(family: str, rows: Mapping[str, Rows], start: Systolic, own: bool) -> tuple[Systolic, dict[str, Engine]]:
    """Numbers of least mean |ln(predicted / measured)| of ``family``, and of the levels of ``rows`` where it has them of its
    ``own``."""
    levels = sorted(rows) if own else []
    places = [(None, name) for name in BOXES] + [(level, name) for level in levels for name in ENGINE]
    boxes = np.array([ENGINE[name] if level else BOXES[name] for level, name in places])
    first = [float(getattr(load_engine(level) if level else start, name)) for level, name in places]
    middle = np.clip(np.array(first), boxes[:, 0], boxes[:, 1])
    every = [row for of in rows.values() for row in of]
    weights, source = balance([row for row, _ in every]), f"{SOURCE}: {len(every)}"

    def parts(values: np.ndarray) -> tuple[Systolic, dict[str, Engine]]:
        given = {place: float(f"{value:.4g}") for place, value in zip(places, values, strict=True)}
        numbers = changed(start, {name: value for (level, name), value in given.items() if level is None}, source)
        engines = {of: engine_with(of, {name: value for (level, name), value in given.items() if level == of}, source)
                   for of in levels}
        return numbers, engines

    def misses(values: np.ndarray) -> np.ndarray:
        with using(family, *parts(values)):
            ratios = np.array([predict_row(row)[1] / measured for row, measured in every])
        found = np.log(ratios)
        return weights * np.sign(found) * MOST * np.log1p(np.abs(found) / MOST)

    return parts(settle(misses, middle, boxes[:, 0], boxes[:, 1], PULL))


def calibrate(rows: Sequence[dict[str, str]]) -> tuple[dict[str, Systolic], dict[str, Engine]]:
    """Every family with rows, the usual one first, from which the others start, with the engine levels that it sets."""
    found = fitted_rows(rows)
    families, engines = dict(systolic()), dict[str, Engine]()
    for family in sorted(found, key=lambda name: (name != USUAL, name)):
        with systolic.replaced(families), engine_levels.replaced({**engine_levels(), **engines}):
            families[family], levels = fit(family, found[family], families[USUAL], family == USUAL)
        engines.update(levels)
    return families, engines


HEAD = """\
# What compiled programs reach on systolic arrays (TPU, Trainium, Gaudi), by family of machines: every number with unit, source
# and confidence (A primary source, B one secondary source, C vendor marketing or recalled, I inferred).
# python -m wsekern.calibration.systolic writes this file.
#
# kernel: fixed time of one compiled operation. memory, compute: shares of the memory bandwidth, and of the peak by filled-up
# tiles. Attention: row is the time of each sequence of a step, whose pages are fetched one sequence after the other; cache and
# attention are shares as above. Experts: route is the time of routing and sorting in a layer, tile the rows of a tile of grouped
# products. Collectives: collective is the fixed time of one, links the share of the wires.
"""


def toml(families: Mapping[str, Systolic]) -> str:
    """The text of ``systolic.toml``."""
    lines = [HEAD.rstrip("\n")]
    for family, numbers in families.items():
        lines += ["", f"[{family}]"]
        lines += [f"{name} = {_quantity(getattr(numbers, name))}" for name in Systolic.__struct_fields__]
    return "\n".join(lines) + "\n"


def _quantity(quantity: Quantity) -> str:
    return (f'{{ value = {quantity.value:g}, unit = "{quantity.unit}", source = "{quantity.source}", '
            f'confidence = "{quantity.confidence}" }}')


def main() -> None:
    """Fit, and write or print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("data", nargs="?", help="own measurements, in place of those of the package")
    parser.add_argument("--output", help="file to write in place of systolic.toml; printed otherwise")
    options = parser.parse_args()
    families, engines = calibrate(measurements(options.data))
    if options.output:
        Path(options.output).write_text(toml(families))
    else:
        print(toml(families), end="")
    for name, engine in engines.items():
        for key in ENGINE:
            print(f"engines.toml: [{name}] {key} = {_quantity(getattr(engine, key))}")


if __name__ == "__main__":
    main()
