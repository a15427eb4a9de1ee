"""The measured points that predictions name: ``python -m wsekern.calibration.points`` writes
``wsekern/cluster/data/points.json`` anew from the measurements that the package ships."""

import argparse
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from wsekern.cluster.evidence import coordinates
from wsekern.output import run_and_exit, write_file
from wsekern.validation import gpu as validation
from wsekern.validation import machines
from wsekern.validation.gpu_rows import GUESSED, Case, read_rows, understand
from wsekern.validation.machine_rows import understand as machine_case
from wsekern.validation.rows import Row

POINTS = 600
"""Points that are shipped at most."""


def build_points() -> list[dict[str, Any]]:
    """Points of NVIDIA's servers, and of other machines."""
    return [*server_points(), *machine_points()]


def machine_points() -> list[dict[str, Any]]:
    """Every predicted decode row of other machines, and of other phases one for each family, precision, engine and class of
    models that those lack; each with the date of its run."""
    rows, kept, seen = machines.measurements(), [], set()
    found = [(row, result) for row, result in zip(rows, machines.predict_rows(rows), strict=True) if result.error is not None]
    found.sort(key=lambda pair: not pair[1].group.endswith("decode"))  # stable: decode first
    for row, result in found:
        case, decode = machine_case(row), result.group.endswith("decode")
        phase = "decode" if decode else "prefill" if "first" in result.group or "prefill" in result.group else "throughput"
        point = _point(result, case, phase, f"{row['model']} on {case.cluster.name}, batch {case.batch:g}, "
                       f"{case.prompt} tokens in, {case.output} out, {row['date']}")
        kind = (phase == "prefill", *(point[name] for name in ("family", "precision", "engine", "moe")))
        if decode or kind not in seen:
            kept.append(point)
        seen.add(kind)
    return kept


def _point(result: Row, case: Case, phase: str, what: str) -> dict[str, Any]:
    """A measured row as predictions name it."""
    context = case.prompt + (case.output / 2 if phase != "prefill" else 0)
    place = coordinates(case.model, case.precision, case.layout.gpus, case.batch or 1.0, context)
    gpu = case.cluster.gpu
    return {
        "id": result.id,
        "phase": phase,
        "gpu": gpu.name,
        "family": gpu.family,
        "moe": bool(case.model.mixture),
        "precision": case.precision.name,
        "engine": case.deployment.engine.title,
        "coordinates": [round(x, 2) for x in place],
        "what": what,
        "source": result.source[:60],
        "error": round(result.error or 0.0, 3),
    }


def server_points() -> list[dict[str, Any]]:
    """Every predicted decode and prefill row of the shipped measurements, thinned evenly to :data:`POINTS`, and beyond them one
    for each pair of a GPU and a precision that would be missing."""
    rows = read_rows(Path(str(files("wsekern.validation") / "data" / "gpu-measurements.csv.gz")))
    named = {row["id"]: row for row in rows}
    points = []
    for result in validation.predict_rows(rows):
        phase = result.group.split()[0]
        if result.error is None or phase not in ("decode", "prefill"):
            continue
        row = named[result.id]
        case = understand(row)
        if case.model.architecture == GUESSED:
            continue
        context = case.prompt + (case.output / 2 if phase == "decode" else 0)
        what = f"{row['model']} on {case.cluster.name}, batch {case.batch or 1:g}, context {context:g}"
        points.append(_point(result, case, phase, what))
    decode = [point for point in points if point["phase"] == "decode"]
    rest = [point for point in points if point["phase"] != "decode"]
    step = max(1, -(-len(decode) // (POINTS - len(rest))))
    decode.sort(key=lambda point: (point["gpu"], point["coordinates"], point["id"]))
    kept = decode[::step] + rest
    pairs = {(point["gpu"], point["precision"]) for point in kept}
    missing = {(point["gpu"], point["precision"]): point for point in decode if (point["gpu"], point["precision"]) not in pairs}
    return kept + list(missing.values())


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    shipped = Path(str(files("wsekern.cluster") / "data" / "points.json"))
    parser = argparse.ArgumentParser(prog="python -m wsekern.calibration.points", description=__doc__)
    parser.add_argument("--output", type=Path, default=shipped, help="JSON file to write (default: the one that is shipped)")
    options = parser.parse_args(arguments)
    write_file(options.output, "[" + ",\n".join(json.dumps(point) for point in build_points()) + "]\n")
    return 0


if __name__ == "__main__":
    run_and_exit(main)
