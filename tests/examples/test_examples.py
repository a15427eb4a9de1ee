"""The example programs: each says what numpy says, on every machine and profile that it supports, and again after a reset."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from wsekern.errors import InputError
from wsekern.examples import EXAMPLES, FEATURES, TIERS, chosen
from wsekern.examples.__main__ import main
from wsekern.program import Fabric, Mem4d, Ring
from wsekern.program.instructions import Scalar, Vector

CASES = [(name, machine, profile) for name, item in EXAMPLES.items() for machine in item.machines
         for profile in ("vendor-simulator", "silicon")]


@pytest.mark.parametrize(("name", "machine", "profile"), CASES)
def test_a_program_computes_what_numpy_computes_and_repeats(name, machine, profile):
    outcome = EXAMPLES[name].run(machine, profile)
    assert outcome.correct, f"largest error {outcome.error}"
    assert outcome.got.size > 0 and np.any(np.asarray(outcome.expected) != 0)
    assert outcome.cycles > 0
    outcome.simulation.reset()
    np.testing.assert_array_equal(outcome.host(outcome.simulation), outcome.got)
    assert int(outcome.simulation.clock.max()) == outcome.cycles


def features_of(layout) -> set[str]:
    """Features that the programs and routes of a layout use, as far as they can be seen there."""
    code = [item for program in layout.programs for item in program.code]
    tasks = [task for program in layout.programs for task in program.tasks.values()]
    vectors = [item for item in code if isinstance(item, Vector)]
    held = [operand for program in layout.programs for operand in program.descriptors.values()]
    operands = held + [operand for item in vectors for operand in item.operands]
    operands += [item.target for item in code if isinstance(item, Scalar) and item.form in ("take", "give")]
    fabric = [operand for operand in operands if isinstance(operand, Fabric)]
    forms, kinds = {item.form for item in code if isinstance(item, Scalar)}, {task.kind for task in tasks}
    routes = [item.route for item in layout.fabric.painted if item.route]
    routes += [route for program in layout.programs for route in program.routes.values()]
    seen = {
        "streaming": layout.fabric.open_edges,
        "local tasks": "activate" in forms or any(item.activate or item.unblock for item in vectors),
        "data tasks": "data" in kinds, "control tasks": "control" in kinds,
        "block/unblock": bool({"block", "unblock", "block_queue", "unblock_queue"} & forms),
        "priorities": any(task.priority == "high" for task in tasks) or any(item.priority != "medium" for item in vectors),
        "asynchronous": any(item.microthread is not None for item in vectors),
        "microthread ids": any((item.microthread or 0) > 0 for item in vectors),
        "multicast": any(mask.bit_count() > 1 for route in routes for mask in route.tx),
        "mem4d": any(isinstance(operand, Mem4d) for operand in operands),
        "circular": any(isinstance(operand, Ring) for operand in operands),
        "FIFO": any(program.fifos for program in layout.programs), "explicit descriptors": bool(held),
        "saved addresses": any(getattr(operand, "save", False) for operand in held),
        "packed words": any(operand.elements_per_word == 2 for operand in fabric),
        "advance_switch": any(operand.advance_switch for operand in fabric),
        "switches": any(route.positions > 1 for route in routes), "filters": bool(layout.fabric.placed_filters),
        "teardown": "leave_teardown" in forms, "route rewrite": bool({"route", "position"} & forms),
        "color swap": any(route.swap_ew or route.swap_ns for route in routes), "time stamps": "time" in forms,
        "map": any(item.repeat > 1 for item in vectors) or any(
            isinstance(item, Scalar) and item.form == "branch" and item.cycles == 1 for item in code),
    }
    unseen = {"host copy", "regions", "index", "control words"}
    return unseen | {name for name, used in seen.items() if used}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_program_uses_the_features_that_it_is_said_to_show(name):
    item = EXAMPLES[name]
    assert set(item.features) <= features_of(item.run(item.machines[0], "silicon").simulation.layout)


def test_a_wrong_result_is_seen():
    outcome = EXAMPLES["gemv-scalar"].run("wse3", "silicon")
    for wrong in (outcome.got + 1, outcome.got[:, :, 1:], outcome.got * np.nan):
        assert not type(outcome)(**{**vars(outcome), "got": wrong}).correct


def test_every_tier_and_feature_is_covered():
    assert {item.tier for item in EXAMPLES.values()} == set(TIERS)
    assert {feature for item in EXAMPLES.values() for feature in item.features} == set(FEATURES)
    assert len(EXAMPLES) >= 24


def test_every_example_says_what_it_is():
    for item in EXAMPLES.values():
        assert item.summary.endswith("."), item.name


def test_examples_are_chosen_by_name_or_tier():
    assert [item.name for item in chosen(("gemv-scalar",))] == ["gemv-scalar"]
    assert {item.tier for item in chosen(("T0",))} == {"T0"}
    with pytest.raises(InputError, match="no example 'gemm'"):
        chosen(("gemm",))


@pytest.mark.parametrize(("name", "sizes"), [
    ("mesh-gemv", {"width": 1, "groups": 1}), ("mesh-gemv", {"width": 2, "groups": 1, "height": 1}),
    ("mesh-gemv", {"width": 6, "groups": 6}), ("mesh-gemv", {"width": 33, "groups": 4, "tile_rows": 2, "tile_columns": 8}),
    ("mesh-gemv", {"width": 7, "groups": 2, "tile_rows": 1, "tile_columns": 1, "repeats": 5}),
    ("game-of-life", {"width": 1, "height": 5}), ("game-of-life", {"width": 7, "height": 2, "generations": 9}),
    ("gemv-4x3", {"width": 7, "height": 2, "rows": 1, "columns": 9}), ("residual", {"width": 4, "height": 5}),
    ("gemv-streaming", {"width": 1, "height": 1, "vectors": 6}), ("gemv-checkerboard", {"size": 5, "columns": 1}),
    ("spmv", {"density": 0.9, "width": 3}), ("mandelbrot", {"width": 6, "height": 1, "most": 60}),
    ("wide-multiplication", {"limbs": 40}), ("fifo-pipeline", {"count": 1}), ("fifo-events", {"room": 1}),
])
def test_a_program_has_other_sizes_too(name, sizes):
    assert EXAMPLES[name].run("wse3", "silicon", **sizes).correct


def test_mesh_gemv_refuses_more_groups_than_columns():
    with pytest.raises(InputError, match="10 groups of 9 PEs: expected 1 to 9"):
        EXAMPLES["mesh-gemv"].run("wse3", "silicon", groups=10)


def run_main(*arguments: str):
    return subprocess.run([sys.executable, "-m", "wsekern.examples", *arguments], capture_output=True, text=True)


def test_the_command_prints_a_table_and_json():
    found = run_main("gemv-scalar", "T3", "--machine", "wse2", "--json", "-")
    data = json.loads(found.stdout)
    assert found.returncode == 0 and all(row["correct"] and row["cycles"] > 0 for row in data["examples"])
    assert "exact" in found.stderr and "gemv-scalar" in found.stderr


@pytest.mark.parametrize(("arguments", "message"), [
    (("gemm",), "no example 'gemm'"), (("microthreads", "--machine", "wse2"), "wse2 cannot run microthreads"),
    (("gemv-2x2", "--profile", "fast"), "fast"), (("--machine", "wse9"), "wse9")])
def test_the_command_refuses_what_it_cannot_run(arguments, message):
    found = run_main(*arguments)
    assert found.returncode == 2 and message in found.stderr and "Traceback" not in found.stderr


def test_the_command_says_when_a_result_is_wrong(monkeypatch, capsys):
    item = EXAMPLES["gemv-scalar"]

    def wrong(machine, profile):
        outcome = item.run(machine, profile)
        return replace(outcome, got=outcome.got + 1)

    monkeypatch.setitem(EXAMPLES, "gemv-scalar", replace(item, run=wrong))
    assert main.main(["gemv-scalar", "gemv-descriptors"], standalone_mode=False) == 1
    assert "WRONG: gemv-scalar" in capsys.readouterr().out
