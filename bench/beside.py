"""Two builds side by side, in one run: python bench/beside.py OLD NEW [--only WORD] [--rounds 5] [--keep FILE.json]

OLD and NEW are source folders whose extensions were built in place. A process of each waits for work; they take turns, round by
round, with one thread and with two, so that what else the machine does meets all. Printed per case: the rate or time of both
(best round), the ratio of the medians, what two threads are over one (best rounds), and what was to be reached. One thread is
timed by processor time, more by the clock. In the same run the new build measures what this machine allows: bytes read and
multiply-adds a second. Cases are those of the benchmarks beside this file; the builds may be as old as commit 9a58329.

--keep docs/performance.json writes the figures and what bounds each case into that file (with --only, beside those of other
cases), from which ``python -m wsekern.docs``
renders docs/performance.md. Where a round of a case is long it has fewer, so that everything takes some eight minutes.
"""

import argparse
import dataclasses
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

HERE = Path(__file__).parent
PES, CACHED, CHUNK = 660, 4000, 64


def benchmarks(name: str, folder: Path = HERE) -> ModuleType:
    """A file of benchmarks, as a module."""
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fabric(make: str, size: int, cycles: int, clock: Callable[[], float] | None = None) -> Callable[[int], float]:
    """Wavelet-hops of ``cycles`` cycles by a second (of ``clock``, unless that of :func:`timed`), as a function of threads."""
    fabric = getattr(benchmarks("test_bench_fabric"), make)(size)
    saved = fabric.snapshot()
    before = int(fabric.totals()["hops"].sum())
    fabric.step(cycles)
    hops = int(fabric.totals()["hops"].sum()) - before

    def run(threads: int) -> float:
        fabric.restore(saved)
        fabric.state.threads = threads
        return hops / timed(lambda: fabric.step(cycles), threads, clock)

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
        seconds = timed(simulation.run, threads)
        return int(simulation.clock.sum()) / seconds

    return run


def cycle_layer(pes: int, groups: int) -> Callable[[int], float]:
    """Seconds of a decode layer in WaferLLM's shapes, wavelet by wavelet."""
    from wsekern.ops import CycleEngine

    layer = benchmarks("test_bench_engine", Path(os.environ["BENCH"])).DecodeLayer(pes, 7, 22, groups)

    def run(threads: int) -> float:
        engine = CycleEngine("wse2", pes, pes, "silicon", "fp16", threads)
        return timed(lambda: layer.run(engine), threads)

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
        return timed(lambda: model.prefill(list(range(CHUNK))) if prefill else model.decode(3), threads)

    return run


def judged() -> Callable[[int], float]:
    """Placements of Llama-3-8B judged a second."""
    some = benchmarks("judging").judging("llama3-8b")
    some()                                                              # the first make formulas

    def run(threads: int) -> float:
        counts: list[int] = []
        seconds = timed(lambda: counts.append(some()), threads)
        return sum(counts) / seconds

    return run


class Stopwatch:
    """Stands for the fixture of a benchmark: runs the work, and keeps how long it took, in processor time."""

    def __init__(self) -> None:
        self.extra_info: dict[str, Any] = {}
        self.times: list[float] = []

    def pedantic(self, work: Callable[..., Any], setup: Callable[[], Any] = lambda: None, rounds: int = 1,
                 warmup_rounds: int = 0) -> Any:
        """So many rounds of the work."""
        for number in range(rounds + warmup_rounds):
            setup()
            start = time.process_time()
            found = work()
            if number >= warmup_rounds:
                self.times.append(time.process_time() - start)
        return found

    @property
    def stats(self) -> SimpleNamespace:
        """Of the rounds."""
        return SimpleNamespace(stats=SimpleNamespace(median=statistics.median(self.times), min=min(self.times)))


def mesh_gemv(pes: int) -> Callable[[int], float]:
    """PE-cycles by a second of a MeshGEMV, every wavelet."""
    test = benchmarks("test_bench_engine", Path(os.environ["BENCH"])).test_meshgemv_wavelet_by_wavelet

    def run(threads: int) -> float:
        watch = Stopwatch()
        test(watch, pes, 7, 8)
        return float(watch.extra_info["pe_cycles_per_s"])

    return run


def first_clocks() -> Callable[[int], float]:
    """Seconds of the slowest operation's first clocks on 750 x 994 PEs."""
    test = benchmarks("test_bench_engine", Path(os.environ["BENCH"])).test_clocks_at_first
    names = next(mark.args[1] for mark in test.pytestmark if mark.name == "parametrize")

    def run(threads: int) -> float:
        slowest = 0.0
        for name in names:
            watch = Stopwatch()
            test(watch, name)
            slowest = max(slowest, watch.stats.stats.median)
        return slowest

    return run


def crowded(make: str, size: int, cycles: int) -> Callable[[int], float]:
    """As :func:`fabric`, by the clock, while every core has other work."""
    alone = fabric(make, size, cycles, time.perf_counter)

    def run(threads: int) -> float:
        others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
        try:
            return alone(threads)
        finally:
            for other in others:
                other.kill()
                other.wait()

    return run


def limit(name: str, function: str) -> Callable[[int], float]:
    """What this machine allows, as a benchmark measures it."""
    measure = getattr(benchmarks(name, Path(os.environ["BENCH"])), function)
    return lambda threads: measure(threads) if function == "memory_rate" else measure()


@dataclasses.dataclass(frozen=True)
class Case:
    """What makes a case, its unit (seconds are better when less, rates when more), what is to be reached (at least ``rate``, at
    most ``seconds``, ``ratio`` times the old build, ``two`` times one thread), and what bounds it."""

    make: Callable[[], Callable[[int], float]]
    unit: str = "hops/s"
    threads: tuple[int, ...] = (1, 2)
    rate: float = 0
    seconds: float = 0
    ratio: float = 0
    two: float = 0
    bound: str = ""
    moves: float = 0
    """Bytes that cannot but be read, once."""
    multiplies: float = 0
    """Multiply-adds that cannot but be done."""

    def goals(self, new: float, ratio: float, two: float) -> dict[str, bool]:
        """What is to be reached, and whether these figures do: of one thread, beside the old build, of two beside one."""
        told = f"two threads {self.two:g} times one" if self.two > 1 else f"two at most {1 / (self.two or 1):.2g} times as long"
        found = [(self.rate, f">= {self.rate / 1e6:,.0f} M {self.unit}", new >= self.rate),
                 (self.seconds, f"<= {1000 * self.seconds:.0f} ms", new <= self.seconds),
                 (self.ratio, f"{self.ratio:g} times the old build", ratio >= self.ratio), (self.two, told, two >= self.two)]
        return {words: met for asked, words, met in found if asked}


WIRES = "instructions: by callgrind 30 a hop (256x256, avx2), 42 % of them a strip's own loop over its blocks of 64 PEs; 0.3 " \
        "misses of the first-level cache a hop, 0.01 of one of 2 MB"
SPARSE = f"{WIRES}; of 21 rows a thread has 11, so that two are 1.91 times one at most"
MIXED = "misses of the second-level cache: by callgrind one in 100 instructions misses 2 MB on 256x256 PEs, where a lane in " \
        "use touches 1.5 KB a cycle"
ALONE = "cache misses of counters: by callgrind 1.4 a hop of the first level and 0.4 of one of 2 MB (256x256), beside 145 " \
        "instructions"
CORES = "the instructions of an event (issue, ramp, delivery); by perf no load of a PE's state takes more than 6 % of the " \
        "time, since memory of coming events is asked for early"
CASES: dict[str, Case] = {
    "dense rows 512": Case(lambda: fabric("broadcast_rows", 512, 60), rate=1000e6, two=1.8, bound=WIRES),
    "dense rows 1024": Case(lambda: fabric("broadcast_rows", 1024, 40), rate=1000e6, two=1.8, bound=WIRES),
    "mixed colors 512": Case(lambda: fabric("crossing_colors", 512, 20), rate=200e6, two=1.8, bound=MIXED),
    "scattered words 512": Case(lambda: fabric("scattered_words", 512, 40), rate=150e6, two=1.8, bound=ALONE),
    "sparse rows 512": Case(lambda: fabric("streaming_rows", 512, 400), two=1.8, bound=SPARSE),
    "dense rows 128, both cores busy with other work": Case(
        lambda: crowded("broadcast_rows", 128, 2000), two=1 / 1.3, bound="a thread that waits gives its core away"),
    "flow engine, 8B decode layer": Case(lambda: layer(False), "s", ratio=5, two=1.8, moves=436e6,
                                         bound="reading the weights and the cache once"),
    "flow engine, chunk of 64 tokens": Case(lambda: layer(True), "s", (2,), ratio=4, multiplies=64 * 218e6,
                                            bound="multiply-adds, and conversion of fp16"),
    "cycle engine, decode layer 96x96": Case(lambda: cycle_layer(96, 8), "s", bound=CORES),
    "cycle engine, decode layer 660x660": Case(lambda: cycle_layer(660, 22), "s", (2,), ratio=5, bound=CORES),
    "stencil 64x64": Case(lambda: example("stencil_7pt", (64, 64, 16, 2), ("u", 16), "run"), "PE-cycles/s", bound=CORES),
    "stencil 128x512": Case(lambda: example("stencil_7pt", (128, 512, 16, 2), ("u", 16), "run"), "PE-cycles/s", rate=14e6,
                            two=1.8, bound=CORES),
    "conjugate gradient 64x64": Case(lambda: example("conjugate_gradient", (64, 64, 16, 20, 1e-9), ("b", 16), "solve"),
                                     "PE-cycles/s", (1,), ratio=1, bound=CORES),
    "MeshGEMV 64x64, every wavelet": Case(lambda: mesh_gemv(64), "PE-cycles/s", (1,), ratio=1, bound=CORES),
    "placements judged, 8B": Case(judged, "placements/s", (1,), ratio=100,
                                  bound="streams of all-reduces that are new, word by word"),
    "first clocks of the slowest operation, 750x994": Case(first_clocks, "s", (1,), seconds=0.008,
                                                           bound="the interpreter, which plants a tree and writes its rows: "
                                                                 "2.5 us a PE of a line, half of the time by process clock"),
}
LIMITS: dict[str, Case] = {
    "bytes read a second": Case(lambda: limit("whole_token", "memory_rate"), "bytes/s"),
    "multiply-adds a second from registers, fp32": Case(lambda: limit("test_bench_tiles", "peak_macs_per_s"), "multiply-adds/s",
                                                        (1,)),
}
"""What the machine allows, measured in the same run."""


def timed(work: Callable[[], Any], threads: int, clock: Callable[[], float] | None = None) -> float:
    """Seconds of ``work`` by a ``clock``; unless told, on one thread of its processor time, so that other work of the machine
    counts less."""
    clock = clock or (time.process_time if threads == 1 else time.perf_counter)
    start = clock()
    work()
    return clock() - start


def serve() -> None:
    """Answers lines "NAME<tab>THREADS" with a figure, or with what is missing in this build."""
    made: dict[str, Callable[[int], float]] = {}
    for line in sys.stdin:
        name, threads = line.rstrip("\n").split("\t")
        try:
            if name not in made:
                made.clear()
                made[name] = (CASES | LIMITS)[name].make()
            answer = str(made[name](int(threads)))
        except (ImportError, AttributeError, FileNotFoundError) as error:
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


Figures = list[list[list[float | None]]]
"""By build, number of threads and round."""


def figures(name: str, case: Case, workers: list[subprocess.Popen[str]], rounds: int, most: float) -> Figures:
    """The figures of some rounds, in turn; the first only warms up where there is time for more."""
    found: Figures = [[[] for _ in case.threads] for _ in workers]
    start = time.perf_counter()
    for number in range(rounds + 1):
        for worker, by_threads in zip(workers, found, strict=True):
            for threads, so_far in zip(case.threads, by_threads, strict=True):
                figure = ask(worker, name, threads)
                if number == 1:
                    so_far.clear()
                so_far.append(figure)
        if time.perf_counter() - start > most:
            break
    return found


def row(name: str, case: Case, found: Figures, machine: dict[str, float]) -> dict[str, Any]:
    """Of a case: best figures and ratios of the medians, and whether they reach what is asked."""
    less = case.unit == "s"
    best = [[None if None in some else (min if less else max)(some) for some in side] for side in found]
    middle = [[None if None in some else statistics.median(some) for some in side] for side in found]

    def times(new: float | None, old: float | None) -> float | None:
        return None if new is None or old is None else old / new if less else new / old

    ratios = [times(new, old) for old, new in zip(*middle, strict=True)]
    two = times(best[1][1], best[1][0]) if case.threads == (1, 2) else None
    least = max(case.moves / machine["bytes read a second, 2 threads"],
                case.multiplies / (2 * machine["multiply-adds a second from registers, fp32, 1 thread"]))
    bound = f"{case.bound}: {1000 * least:.0f} ms on this machine" if least else case.bound
    return {"case": name, "unit": case.unit, "threads": list(case.threads), "old": best[0], "new": best[1], "ratio": ratios,
            "two_over_one": two, "goals": case.goals(best[1][0] or 0, ratios[-1] or 0, two or 0), "bound": bound}


def limits(worker: subprocess.Popen[str]) -> dict[str, float]:
    """By name and threads, the best of three."""
    return {f"{name}, {threads} thread{'s' * (threads > 1)}": max(ask(worker, name, threads) for _ in range(3))
            for name, case in LIMITS.items() for threads in case.threads}


def kept(path: Path) -> dict[str, Any]:
    """What stands in a file of figures, by command."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def keep(path: Path, name: str, found: Any) -> None:
    """Figures into a file of figures, beside those of other commands."""
    benchmarks("figures", HERE.parent / "wsekern" / "soak").put(path, name, found)       # whichever build is imported, if any


def machine_name() -> str:
    """The processor, and how many cores this process may use."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")] \
        if info.is_file() else []
    return f"{names[0] if names else platform.processor()}, {len(os.sched_getaffinity(0))} cores"


def show(found: dict[str, Any]) -> str:
    """A row of the printed table, a line for each number of threads."""
    def told(value: float | None) -> str:
        return "-" if value is None else f"{value:.3g}"

    goals = ", ".join(found["goals"])
    return "\n".join(
        f"| {found['case']} | {threads} | {told(old)} | {told(new)} {found['unit']} | {told(ratio)} | "
        f"{told(found['two_over_one']) if threads > 1 else ''} | {goals if threads == found['threads'][-1] else ''} |"
        for threads, old, new, ratio in zip(*(found[key] for key in ("threads", "old", "new", "ratio")), strict=True))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builds", nargs=2, type=Path, metavar="OLD NEW")
    parser.add_argument("--only", default="")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most", type=float, default=20, help="seconds after which a case has no further round")
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    workers = [start(build.resolve()) for build in given.builds]
    machine = limits(workers[1])
    for name, value in machine.items():
        print(f"{name}: {value:.3g}")
    print("\n| case | threads | old | new | ratio | two / one | goal |\n|---|---|---|---|---|---|---|")
    rows = []
    for name, case in CASES.items():
        if given.only in name:
            rows.append(row(name, case, figures(name, case, workers, given.rounds, given.most), machine))
            print(show(rows[-1]), flush=True)
    for worker in workers:
        worker.stdin.close()
        worker.wait()
    if given.keep:
        others = kept(given.keep).get("beside", {}).get("rows", []) if given.only else []
        by_name = {found["case"]: found for found in [*others, *rows]}
        keep(given.keep, "beside", {"machine": machine_name(), "limits": machine,
                                    "rows": [by_name[name] for name in CASES if name in by_name]})


if __name__ == "__main__":
    if sys.argv[-1] == "--serve":
        serve()
    else:
        main()
