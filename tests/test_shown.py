"""Public objects at a prompt and in a notebook: one short line, and a table."""

import importlib
import pkgutil
from dataclasses import dataclass

import numpy as np
import pytest

import wsekern
from wsekern.cluster import load_cluster
from wsekern.compare import Serving, compare
from wsekern.fabric import Fabric, FabricPlan
from wsekern.fabric.wafers import Wafers
from wsekern.machine import load_machine
from wsekern.ops import Broadcast, FlowEngine
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
    return [machine, machine.core, machine.fabric, machine.system, machine.profiles["silicon"], model, comparison,
            comparison.wafer, cluster, cluster.gpu, program, layout, layout.compile(), plan, Fabric(plan),
            Wafers([Fabric(plan)]), FlowEngine(machine, 4, 2), Request(8, 4), Serving(), Broadcast(4, "x")]


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
    """Every class that a room of the package names in ``__all__``."""
    for room in pkgutil.iter_modules(wsekern.__path__):
        if room.ispkg:
            module = importlib.import_module(f"wsekern.{room.name}")
            yield from (thing for name in getattr(module, "__all__", ()) if isinstance(thing := getattr(module, name), type))


@pytest.mark.parametrize("kind", sorted({kind for kind in public_classes() if issubclass(kind, Shown)}, key=str), ids=str)
def test_no_dataclass_writes_a_line_of_its_own(kind):
    """``@dataclass`` without ``repr=False`` would."""
    assert kind.__repr__ is Shown.__repr__
