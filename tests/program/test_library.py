"""Programs and simulations of the C library, tested from C (``library``): no Python in it, its allocations counted and each
failing once; and what a host in C gets from the bytes of a layout is what Python gets."""

import os
import random
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz.test_library import operations_on_lines
from wsekern.errors import InputError
from wsekern.examples.stencil_7pt import stencil_layout
from wsekern.program import Layout, Program, Simulation
from wsekern.program._pe import COUNTERS
from wsekern.soak.authors import make_layout
from wsekern.soak.programs import MACHINES

SRC, HERE = Path(__file__).parents[2] / "src", Path(__file__).parent / "library"


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests and the library in one program. ``WSEKERN_TEST_SANITIZE`` names sanitizers to watch it (``.ci/sanitize``)."""
    out, watched = tmp_path_factory.mktemp("library") / "programs", os.environ.get("WSEKERN_TEST_SANITIZE")
    sources = [path for folder in ("fabric", "program") for path in sorted((SRC / folder).glob("*.c"))
               if "_avx" not in path.name]
    sources += [*(SRC / "common" / f"{name}.c" for name in ("simd", "status", "team", "rounds")), *sorted(HERE.glob("*.c"))]
    command = [os.environ.get("CC", "cc"), "-std=gnu11", "-g", "-DWSEKERN_TEST_ALLOC",
               *([f"-fsanitize={watched}", "-fno-sanitize-recover=all", "-O1"] if watched else ["-O0"]),
               *(f"-I{folder}" for folder in (SRC, SRC / "fabric", SRC / "common", SRC / "program")), *map(str, sources),
               "-lpthread", "-lm", "-o", str(out)]
    try:
        subprocess.run(command, check=True, env={**os.environ, "LD_PRELOAD": ""})
    except FileNotFoundError:
        pytest.skip(f"{command[0]}: no C compiler here")
    return out


def run(library: Path, *arguments: object) -> str:
    done = subprocess.run([str(library), *map(str, arguments)], capture_output=True, text=True,
                          env={**os.environ, "LD_PRELOAD": "", "ASAN_OPTIONS": "detect_leaks=1"})
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def stencil(width: int, height: int) -> tuple[Layout, np.ndarray]:
    """A bundled example, and values for its array ``u``."""
    u = np.random.default_rng(0).standard_normal((height, width, 4)).astype(np.float32)
    return stencil_layout("wse3", "vendor-simulator", width, height, 4, 2), u


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Programs as bytes, and a state of each: an example on three strips of rows, and random ones with words of the host."""
    folder, found = tmp_path_factory.mktemp("programs"), []
    layout, u = stencil(1, 130)
    simulations = [layout.compile()]
    simulations[0].memcpy_h2d("u", u)
    simulations[0].launch("run")
    for seed in range(24):
        rng = random.Random(seed)
        layout, entries = make_layout(rng, *rng.choice(MACHINES), rng.randrange(1, 4), rng.randrange(1, 4))
        simulations.append(layout.compile())
        for x, y, color, port in entries[:rng.randrange(4)]:
            words = np.array([rng.getrandbits(32) for _ in range(rng.randrange(12))], np.uint32)
            simulations[-1].send(color, words, x, y, port)
    for number, simulation in enumerate(simulations):
        saved = simulation._cores.save(simulation.fabric)
        for name, data in (("program", simulation.layout.to_bytes()), ("state", saved)):
            found.append(folder / f"{number}.{name}")
            found[-1].write_bytes(data)
    return found


@pytest.mark.parametrize(("what", "seeds", "programs"), [
    pytest.param("save", 40, 25, id="saved at any cycle, loaded in another process with other threads: the same end"),
    pytest.param("alter", 12, 25, id="altered and cut bytes are refused, and those with a new checksum crash nothing"),
    pytest.param("memory", 1, 5, id="every allocation fails once: a status, and nothing leaks"),
    pytest.param("abuse", 5, 25, id="anything for any argument: a status"),
    pytest.param("threads", 1, 25, id="three simulations of one program in three threads"),
    pytest.param("profile", 2, 25, id="who counts cycles changes nothing, and no thread is at two instructions at once"),
])
def test_the_c_library(library: Path, cases: list[Path], what: str, seeds: int, programs: int):
    run(library, what, seeds, *cases[:2 * programs])


def test_a_tape_does_to_all_lines_what_a_run_does_to_one(library: Path, tmp_path: Path):
    """And every allocation fails once."""
    found = []
    for number, (layout, state) in enumerate(operations_on_lines()):
        for name, data in (("program", layout.to_bytes()), ("state", state)):
            found.append(tmp_path / f"{number}.{name}")
            found[-1].write_bytes(data)
    run(library, "tape", 2, *found)


def played(library: Path, folder: Path, layout: Layout, inputs: dict[str, np.ndarray],
           function: str) -> tuple[list[str], bytes]:
    """What a host in C is told and finds, which writes ``inputs`` (height, width, elements) and launches a function."""
    written = bytearray()
    for name, values in inputs.items():
        for pe, row in enumerate(values.reshape(-1, values.shape[-1])):
            data, label = row.tobytes(), name.encode() + b"\0"
            written += struct.pack("<3I", pe, len(label), len(data)) + label + data
    files = [folder / name for name in ("program", "inputs", "out")]
    files[0].write_bytes(layout.to_bytes())
    files[1].write_bytes(written)
    lines = run(library, "play", files[0], files[1], function, files[2]).splitlines()
    return lines, files[2].read_bytes()


def seen(simulation: Simulation) -> bytes:
    """Counters and arrays of each PE, as the host in C writes them."""
    counters, found = simulation.counters(), b""
    assert tuple(counters) == COUNTERS
    for y, x in np.argwhere(simulation.layout.program_of >= 0):
        found += np.array([counters[name][y, x] for name in COUNTERS], np.int64).tobytes()
        for symbol in simulation.layout.programs[simulation.layout.program_of[y, x]].symbols:
            found += simulation.memcpy_d2h(symbol, x, y, 1, 1).tobytes()
    return found


def test_a_host_in_c_gets_memory_clocks_and_counters_of_an_example_as_python_does(library: Path, tmp_path: Path):
    layout, u = stencil(2, 70)
    simulation = layout.compile()
    simulation.memcpy_h2d("u", u)
    simulation.launch("run")
    end = simulation.run()
    lines, found = played(library, tmp_path, layout, {"u": u}, "run")
    assert (int(lines[0]), found) == (end, seen(simulation))
    assert lines[1].endswith("no thread waits")


def test_words_leave_for_a_host_in_c_in_the_cycles_in_which_they_leave_for_python(library: Path, tmp_path: Path):
    words, layout, program = 20, Layout("wse3", 1, 1, open_edges=True), Program("passes")
    with program.task("main", active=True) as code:
        code.mov32(program.fabout(4, words, "u32"), program.fabin(3, words, "u32"))
    layout.set_program(program)
    layout.set_route(3, "W", "RAMP")
    layout.set_route(4, "RAMP", "E")
    simulation = layout.compile()
    simulation.send(3, 1000 + np.arange(words), 0, 0)
    simulation.run()
    expected = [f"{row['cycle']} 0 {row['port']} {row['color']} {row['data']}" for row in simulation.receive()]
    (tmp_path / "program").write_bytes(layout.to_bytes())
    assert run(library, "stream", tmp_path / "program", words).splitlines() == expected and len(expected) == words


def test_python_and_c_have_one_sentence_for_a_deadlock(library: Path, tmp_path: Path):
    layout, program = Layout("wse3", 3, 1), Program("hopes")
    x = program.array("x", "f32", 4)
    with program.task("main", active=True) as code:
        code.fmovs(x, program.fabin(3, 4, "fp32"))
    layout.set_program(program, 0, 0, 2)
    layout.set_route(3, "E", "RAMP", 0, 0, 2)
    simulation = layout.compile()
    with pytest.raises(Exception, match="threads wait") as error:
        simulation.run()
    lines, _ = played(library, tmp_path, layout, {}, "")
    assert lines[1] == str(error.value)


def test_a_saved_simulation_fits_no_other_programs():
    first, second = (stencil_layout("wse3", "vendor-simulator", 2, 2, 6, steps).compile() for steps in (1, 2))
    before = second._cores.save(second.fabric)
    with pytest.raises(InputError, match="another plan"):
        second._cores.load(second.fabric, first._cores.save(first.fabric))
    assert second._cores.save(second.fabric) == before
