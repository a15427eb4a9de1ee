"""Two builds side by side, in one run: python bench/beside.py OLD NEW [--only WORD] [--rounds 5] [--json FILE]

OLD and NEW are source folders whose extensions were built in place. A process of each waits for work; they take turns, round by
round, so that what else the machine does meets both. Printed per case: the rate or time of both (best round), and the ratio of
the medians. Cases are those of the benchmarks beside this file; the builds may be as old as commit 9a58329.
"""

import argparse
import dataclasses
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent
PES, CACHED, CHUNK = 660, 4000, 64


def benchmarks(name: str, folder: Path = HERE) -> ModuleType:
    """A file of benchmarks, as a module."""
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fabric(make: str, size: int, cycles: int) -> Callable[[int], float]:
    """Wavelet-hops of ``cycles`` cycles by a second, as a function of threads."""
    fabric = getattr(benchmarks("test_bench_fabric"), make)(size)
    saved = fabric.snapshot()
    before = int(fabric.totals()["hops"].sum())
    fabric.step(cycles)
    hops = int(fabric.totals()["hops"].sum()) - before

    def run(threads: int) -> float:
        fabric.restore(saved)
        fabric.state.threads = threads
        return hops / timed(lambda: fabric.step(cycles))

    return run


def example(name: str, size: tuple[int, ...], array: tuple[str, int], entry: str) -> Callable[[int], float]:
    """Active PE-cycles by a second of an example program, its input ``array`` (name, elements) drawn at random."""
    import numpy as np

    try:
        module = importlib.import_module(f"wsekern.examples.{name}")
    except ImportError:                                                 # commit 9a58329 had these elsewhere
        module = importlib.import_module(f"wsekern.program.examples.{name}")
    layout = getattr(module, f"{name.removesuffix('_7pt')}_layout")("wse3", "vendor-simulator", *size)
    made: dict[int, Any] = {}
    values = np.random.default_rng(0).standard_normal((size[1], size[0], array[1])).astype(np.float32)

    def run(threads: int) -> float:
        if threads not in made:
            made[threads] = layout.compile(threads)
        simulation = made[threads]
        simulation.reset()
        simulation.memcpy_h2d(array[0], values)
        simulation.launch(entry)
        seconds = timed(simulation.run)
        return int(simulation.clock.sum()) / seconds

    return run


def cycle_layer(pes: int, groups: int) -> Callable[[int], float]:
    """Seconds of a decode layer in WaferLLM's shapes, wavelet by wavelet."""
    from wsekern.ops import CycleEngine

    layer = benchmarks("test_bench_engine", Path(os.environ["BENCH"])).DecodeLayer(pes, 7, 22, groups)

    def run(threads: int) -> float:
        engine = CycleEngine("wse2", pes, pes, "silicon", "fp16", threads)
        return timed(lambda: layer.run(engine))

    return run


def layer(prefill: bool) -> Callable[[int], float]:
    """Seconds of Llama-3-8B's first layer with values, in our mapping: a token behind 4,000, or a chunk of a prompt."""
    from wsekern.inference.mapping import Mapping
    from wsekern.inference.wafer import WaferModel
    from wsekern.machine import load_machine

    old = benchmarks("test_bench_inference", Path(os.environ["BENCH"])).one_layer
    try:
        from wsekern.workload import load_config
        from wsekern.workload.weights.weights import random_weights
        whole = load_config("llama3-8b")
        config = dataclasses.replace(whole, vocab=PES, blocks=whole.blocks[:1])
        weights = random_weights(config)
    except ImportError:                                                 # commit 9a58329 had these elsewhere
        from wsekern.workload.config import load_config
        config = dataclasses.replace(load_config("llama3-8b"), vocab=PES, layers=1)
        weights = old(config)
    mapping = Mapping(config, PES, PES, "fp16", context=CACHED + CHUNK, chunk=CHUNK)
    model = WaferModel(config, weights, load_machine("wse3"), mapping, threads=1)

    def run(threads: int) -> float:
        model.engine.threads = threads
        model.length = 1024 if prefill else CACHED
        return timed(lambda: model.prefill(list(range(CHUNK))) if prefill else model.decode(3))

    return run


CASES: dict[str, tuple[Callable[[], Callable[[int], float]], tuple[int, ...], str]] = {
    "dense rows 512": (lambda: fabric("broadcast_rows", 512, 60), (1, 2), "hops/s"),
    "dense rows 1024": (lambda: fabric("broadcast_rows", 1024, 40), (1, 2), "hops/s"),
    "mixed colors 512": (lambda: fabric("crossing_colors", 512, 20), (1, 2), "hops/s"),
    "scattered words 512": (lambda: fabric("scattered_words", 512, 40), (1, 2), "hops/s"),
    "sparse rows 512": (lambda: fabric("streaming_rows", 512, 400), (1, 2), "hops/s"),
    "flow engine, 8B decode layer": (lambda: layer(False), (1, 2), "s"),
    "cycle engine, decode layer 96x96": (lambda: cycle_layer(96, 8), (1, 2), "s"),
    "flow engine, chunk of 64 tokens": (lambda: layer(True), (2,), "s"),
    "cycle engine, decode layer 660x660": (lambda: cycle_layer(660, 22), (2,), "s"),
    "stencil 64x64": (lambda: example("stencil_7pt", (64, 64, 16, 2), ("u", 16), "run"), (1, 2), "PE-cycles/s"),
    "stencil 128x512": (lambda: example("stencil_7pt", (128, 512, 16, 2), ("u", 16), "run"), (1, 2), "PE-cycles/s"),
    "conjugate gradient 64x64": (lambda: example("conjugate_gradient", (64, 64, 16, 20, 1e-9), ("b", 16), "solve"), (1, 2),
                                 "PE-cycles/s"),
}
"""Name: what makes the case, threads, unit. Those in seconds are better when less."""


def timed(work: Callable[[], Any]) -> float:
    """Seconds of ``work``."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def serve() -> None:
    """Answers lines "NAME<tab>THREADS" with a figure, or with what is missing in this build."""
    made: dict[str, Callable[[int], float]] = {}
    for line in sys.stdin:
        name, threads = line.rstrip("\n").split("\t")
        try:
            if name not in made:
                made.clear()
                made[name] = CASES[name][0]()
            answer = str(made[name](int(threads)))
        except (ImportError, AttributeError) as error:
            answer = f"not in this build: {error}"
        print("=", answer, flush=True)


def start(build: Path) -> subprocess.Popen[str]:
    """A process that imports ``build`` and waits for work."""
    environment = {**os.environ, "PYTHONPATH": str(build), "BENCH": str(build / "bench")}
    return subprocess.Popen([sys.executable, "-P", str(HERE / "beside.py"), "--serve"], env=environment, cwd="/", text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def ask(worker: subprocess.Popen[str], name: str, threads: int) -> float | None:
    """A worker's figure."""
    worker.stdin.write(f"{name}\t{threads}\n")
    worker.stdin.flush()
    for line in worker.stdout:
        if line.startswith("= "):
            return None if line.startswith("= not") else float(line[2:])
    raise SystemExit(f"a build ended in {name}: see above")


def row(name: str, threads: int, workers: list[subprocess.Popen[str]], rounds: int) -> dict[str, Any]:
    """Figures of both builds, in turn."""
    found = [[ask(worker, name, threads) for worker in workers] for _ in range(rounds + 1)][1:]     # the first warms up
    unit, best = CASES[name][2], min if CASES[name][2] == "s" else max
    sides = [None if None in side else (best(side), statistics.median(side)) for side in zip(*found, strict=True)]
    old, new = sides
    ratio = None if not (old and new) else old[1] / new[1] if unit == "s" else new[1] / old[1]
    return {"case": name, "threads": threads, "unit": unit, "old": old and old[0], "new": new and new[0], "ratio": ratio}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builds", nargs=2, type=Path, metavar="OLD NEW")
    parser.add_argument("--only", default="")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    workers = [start(build.resolve()) for build in given.builds]
    rows = []
    print("| case | threads | old | new | ratio |\n|---|---|---|---|---|")
    for name, (_, counts, _unit) in CASES.items():
        for threads in counts if given.only in name else ():
            rows.append(found := row(name, threads, workers, given.rounds))
            old, new, ratio = (("-" if found[key] is None else f"{found[key]:.3g}") for key in ("old", "new", "ratio"))
            print(f"| {name} | {threads} | {old} {found['unit']} | {new} {found['unit']} | {ratio} |", flush=True)
    for worker in workers:
        worker.stdin.close()
        worker.wait()
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[-1] == "--serve":
        serve()
    else:
        main()
