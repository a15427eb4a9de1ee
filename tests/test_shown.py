"""Public objects at a prompt and in a notebook: one short line, and a table."""

import importlib
import pkgutil
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pytest

import wsekern
from wsekern.cluster import load_cluster
from wsekern.compare import Serving, compare
from wsekern.examples import EXAMPLES
from wsekern.fabric import Fabric, FabricPlan, Word
from wsekern.fabric.wafers import Wafers
from wsekern.machine import Timing, load_machine
from wsekern.ops import Broadcast, FlowEngine, best_reduce
from wsekern.program import Layout, Program
from wsekern.shown import LINE, Shown
from wsekern.workload import Request, load_config


def some_objects():
    """One of each kind that users meet, all of them shown otherwise by many lines or by nothing."""
    machine, model = load_machine("wse3"), load_config("llama3-8b")
    comparison = compare(model, Request(1024, 256), machine, None, "h100x8")
    program, layout, plan = Program("adder"), Layout("wse3", 3, 2), FabricPlan(8, 1)
    with program.function("work"):
        pass
    layout.set_program(program)
    plan.paint(0, rx="RAMP", tx="EAST")
    cluster = load_cluster("h100x8")
    connection = FabricPlan(8, 1).connect((0, 0), (7, 0), colors=[2])
    return [machine, machine.core, machine.fabric, machine.system, machine.profiles["silicon"], model, comparison,
            comparison.wafer, cluster, cluster.gpu, program, layout, layout.compile(), plan, Fabric(plan),
            Wafers([Fabric(plan)]), FlowEngine(machine, 4, 2), Request(8, 4), Serving(), Broadcast(4, "x"), plan.rules,
            Fabric(plan).port(0, 0, 0), Word(9, 0, 0, 1, 4, False, False, 7), connection, EXAMPLES["gemv-scalar"],
            Timing(machine, "silicon", "fp16"),
            best_reduce(64, 64, machine)]


def test_objects_are_one_short_line_and_a_table():
    for thing in some_objects():
        line, page = repr(thing), thing._repr_html_()
        assert line.startswith(f"{type(thing).__name__}(") and "\n" not in line and "<" not in line, line
        assert len(line) <= LINE + 10, line
        assert page.startswith("<table>") and page.count("<tr>") == page.count("</tr>") >= 2 and len(page) < 10_000


def test_what_is_shown_is_what_is_held():
    machine = load_machine("wse3")
    assert f"clock={float(machine.clock):.6g} Hz" in repr(machine)
    assert f"<td style='text-align:left'>{machine.title}</td>" in machine._repr_html_()


def test_texts_cannot_write_html():
    @dataclass(repr=False)
    class Note(Shown):
        text: str
        values: np.ndarray
        many: tuple[str, ...] = ("<b>", "&")

    page = Note("<script>", np.zeros((2, 3)))._repr_html_()
    assert "<script>" not in page and "&lt;script&gt;" in page and "&lt;b&gt;<br>&amp;" in page
    assert "array(2, 3) float64" in page


def public_classes():
    """Every class that a package names in ``__all__``; exceptions and numbered names look well as they are."""
    for room in pkgutil.walk_packages(wsekern.__path__, "wsekern."):
        names = getattr(importlib.import_module(room.name), "__all__", ()) if room.ispkg else ()
        kinds = (getattr(importlib.import_module(room.name), name) for name in names)
        yield from (kind for kind in kinds if isinstance(kind, type) and not issubclass(kind, (BaseException, Enum)))


PUBLIC = sorted(set(public_classes()), key=str)


@pytest.mark.parametrize("kind", PUBLIC, ids=str)
def test_every_public_class_has_a_table(kind):
    assert callable(kind._repr_html_)


@pytest.mark.parametrize("kind", [kind for kind in PUBLIC if issubclass(kind, Shown)], ids=str)
def test_no_dataclass_writes_a_line_of_its_own(kind):
    """``@dataclass`` without ``repr=False`` would."""
    assert kind.__repr__ is Shown.__repr__
