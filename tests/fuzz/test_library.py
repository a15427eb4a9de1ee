"""Bytes for the C library, changed as coverage says, under sanitizers: refused with a status, or something that can be stepped.

By hand, as the library is compiled anew for it: ``WSEKERN_FUZZ=200000 pytest -s tests/fuzz/test_library.py`` tries as many,
from other seeds each time, and says how many of them were refused and kept."""

import os
import random
import secrets
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fuzz.figures import keep_counts
from tests.fuzz.objects import layout, saved_fabric, saved_simulation
from wsekern.examples.life import life_layout
from wsekern.fabric import Fabric, FabricPlan, RangeFilter
from wsekern.fabric._host import plan_bytes
from wsekern.ops import AllReduce, Gather, Gemm, Gemv, KTreeAllReduce, Local, RingAllReduce, TwoPhaseReduce
from wsekern.ops.engines.programs import compile_operations
from wsekern.program import Layout
from wsekern.soak.authors import make_layout

SRC, HERE = Path(__file__).parents[2] / "src", Path(__file__).parent / "library"
INPUTS = int(os.environ.get("WSEKERN_FUZZ", "0"))
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library, watched, and what changes bytes."""
    folder = tmp_path_factory.mktemp("driver")
    sources = {room: [path for path in sorted((SRC / room).glob("*.c")) if "_avx" not in path.name]
               for room in ("fabric", "program")}
    sources["common"] = [SRC / "common" / f"{name}.c" for name in ("simd", "status", "team", "rounds")]
    rooms = [f"-I{SRC}", *(f"-I{SRC / room}" for room in ("fabric", "common", "program", "embed"))]
    command = [os.environ.get("CC", "cc"), "-std=gnu11", "-g1", "-O1", *SANITIZE, *rooms]
    quiet: dict[str, Any] = {"env": {**os.environ, "LD_PRELOAD": ""}, "check": True}
    try:
        for room, paths in sources.items():
            (folder / room).mkdir()
            subprocess.run([*command, "-fsanitize-coverage=trace-pc", "-c", *map(str, paths)], cwd=folder / room, **quiet)
    except FileNotFoundError:
        pytest.skip(f"{command[0]}: no C compiler here")
    subprocess.run([*command, str(HERE / "bytes.c"), *map(str, folder.glob("*/*.o")), "-lpthread", "-lm", "-o", "bytes"],
                   cwd=folder, **quiet)
    return folder / "bytes"


def fabrics() -> list[Fabric]:
    """With switches, filters, commands and open edges."""
    plan = FabricPlan(5, 3, "wse2", open_edges=True)
    plan.connect((0, 0), (2, 1, 3, 2), colors=[2])
    plan.paint(7, "W", "E RAMP", width=5, height=3)
    plan.filter(7, RangeFilter(2, 9), x=1)
    second = Fabric(plan, {2: "core", 7: "log"})
    second.inject(0, 0, 2, np.arange(6, dtype=np.uint32))
    second.inject(0, [0, 1, 2], 7, np.arange(12, dtype=np.uint32).reshape(3, 4), port="W")
    second.step(5)
    return [Fabric.from_bytes(saved_fabric()), second]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Plans, fabrics, programs and states."""
    folder, found = tmp_path_factory.mktemp("bytes"), []

    def write(name: str, data: bytes) -> None:
        found.append(folder / name)
        found[-1].write_bytes(data)

    for number, fabric in enumerate(fabrics()):
        write(f"{number}.fabric", fabric.to_bytes())
        write(f"{number}.plan", plan_bytes(fabric.state.plan))
    write("0.program", layout().to_bytes())
    write("0.state", saved_simulation())
    for number, (made, state) in enumerate(random_programs(), 1):
        write(f"{number}.program", made.to_bytes())
        write(f"{number}.state", state)
    return found


def random_programs() -> list[tuple[Layout, bytes]]:
    """Of the tests of programs, and an example whose tasks compute with registers, as they begin."""
    found = []
    for seed in range(16):
        made, entries = make_layout(random.Random(seed), "wse3" if seed < 10 else "wse2", "silicon", 2, 2)
        simulation = made.compile()
        for x, y, color, port in entries[:2]:
            simulation.send(color, np.arange(5, dtype=np.uint32), x, y, port)
        found.append((made, simulation.to_bytes()))
    made = life_layout("wse2", "silicon", 2, 2)
    simulation = made.compile()
    for name, value in (("alive", 1), ("generations", 3)):
        simulation.memcpy_h2d(name, np.full((2, 2, 1), value, np.uint32))
    simulation.launch("generation")
    return [*found, (made, simulation.to_bytes())]


def operations_on_lines() -> list[tuple[Layout, bytes]]:
    """Operations of the mesh on a line of PEs, of every number format: the clocks of these programs depend on no value."""
    found = []
    for operation, machine, precision, width, height in (
            (AllReduce(6, "x", 2), "wse3", "fp16", 5, 1), (AllReduce(5, "x"), "wse2", "fp32", 4, 1),
            (RingAllReduce(6, "y"), "wse3", "fp16", 1, 6), (Gather(3, "x"), "wse2", "fp32", 4, 1),
            (KTreeAllReduce(4, "x", (2, 2)), "wse3", "bf16", 9, 1), (TwoPhaseReduce(6, "x", 2), "wse3", "fp16", 6, 1),
            (Gemv(3, 4), "wse3", "fp16", 1, 1), (Gemm(2, 3, 4), "wse3", "bf16", 1, 1),
            (Gemm(2, 3, 4), "wse3", "fp16_fp32", 1, 1), (Local("silu", 6), "wse2", "fp16", 1, 1),
            (Local("sumsq", 6), "wse3", "fp32", 1, 1)):
        made = compile_operations([operation], machine, width, height, "silicon", precision, True).simulation
        found.append((made.layout, made.to_bytes()))
    return found


@pytest.mark.skipif(not INPUTS, reason="by hand: WSEKERN_FUZZ=N")
def test_bytes_are_refused_or_can_be_stepped(driver: Path, corpus: list[Path]):
    seed = secrets.randbelow(10**6)
    done = subprocess.run([str(driver), str(INPUTS), str(seed), *map(str, corpus)], capture_output=True, text=True,
                          env={**os.environ, "LD_PRELOAD": "", "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1"})
    assert done.returncode == 0, f"seed {seed}: {done.stderr[:3000]}"
    inputs, refused, kept = map(int, done.stdout.split())
    keep_counts("bytes for the C library", inputs, refused)
    print(f"\nseed {seed}: {inputs:,} inputs, {refused:,} refused, {kept:,} reached something new")
    assert inputs == INPUTS and refused > 0 and kept > len(corpus)
