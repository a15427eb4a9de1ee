"""What is to be true or false is one of these, everywhere: no text, no number, no None passes for it."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from wsekern import cluster, fabric, ops, program, tiles
from wsekern.compare import Serving
from wsekern.errors import InputError
from wsekern.ops.predict import predict_op
from wsekern.workload import load_config
from wsekern.workload.config import uniform
from wsekern.workload.text.chat import ChatTemplate


def plan() -> fabric.FabricPlan:
    made = fabric.FabricPlan(2, 1, "wse3", open_edges=True)
    made.paint(0, "RAMP", "E")
    made.paint(0, "W", "RAMP", x=1)
    return made


def code(write: Callable[[Any, Any], Any], flag: Any) -> Any:
    """A program with an instruction."""
    made = program.Program("p")
    x = made.array("x", "f32", 4)
    with made.task("main") as main:
        write(main, x)(flag)
    layout = program.Layout("wse3", 1, 1)
    layout.set_program(made)
    return layout.compile()


def llama() -> Any:
    return load_config("llama3-8b")


ONES = np.ones((2, 2, 2, 2), np.float32)
SIZES = {"layers": 1, "hidden": 8, "heads": 1, "kv_heads": 1, "head_dim": 8, "ffn": 8, "vocab": 8, "max_context": 8}
FLAGS: dict[str, Callable[[Any], Any]] = {
    "strict of a fabric": lambda flag: fabric.Fabric(plan(), strict=flag),
    "open edges": lambda flag: fabric.FabricPlan(2, 2, open_edges=flag),
    "reserved colors": lambda flag: fabric.FabricPlan(2, 2, allow_reserved=flag),
    "rules": lambda flag: fabric.FabricPlan(2, 2, color_swap=flag),
    "a route": lambda flag: fabric.Route((16,), (2,), ring=flag),
    "ring mode": lambda flag: plan().paint(1, "RAMP", "E", ring_mode=flag),
    "teardown of a route": lambda flag: plan().paint(1, "RAMP", "E", teardown=flag),
    "a filter": lambda flag: fabric.CounterFilter(4, 2, count_control=flag),
    "a command": lambda flag: fabric.control_payload([1], ignore_in_core=flag),
    "words": lambda flag: fabric.Fabric(plan()).inject(0, 0, 0, [1], control=flag),
    "words that turn switches": lambda flag: fabric.Fabric(plan()).inject(0, 0, 0, [1], advance=flag),
    "an offer": lambda flag: fabric.Fabric(plan()).offer(0, 0, 0, 1, control=flag),
    "a push": lambda flag: fabric.Fabric(plan()).push(0, 0, 0, 1, control=flag),
    "a push to a port": lambda flag: fabric.Fabric(plan()).port(0, 0, 0).push(1, False, flag),
    "an offer to a port": lambda flag: fabric.Fabric(plan()).port(0, 0, 0).offer(1, flag),
    "a teardown": lambda flag: fabric.Fabric(plan()).teardown(0, 0, 0, flag),
    "a link": lambda flag: fabric.Link("E", "W", 1, latency=1, words=1).put(0, 0, 0, 1, control=flag),
    "banks": lambda flag: program.Layout("wse3", 1, 1, banks=flag),
    "open edges of a layout": lambda flag: program.Layout("wse3", 1, 1, open_edges=flag),
    "strict of a simulation": lambda flag: program.Layout("wse3", 1, 1).compile(strict=flag),
    "watching memory": lambda flag: program.Layout("wse3", 1, 1).compile(watch_memory=flag),
    "quiet": lambda flag: program.Layout("wse3", 1, 1).compile().run(quiet=flag),
    "an active task": lambda flag: program.Program("p").task("t", active=flag),
    "a blocked task": lambda flag: program.Program("p").data_task("t", 1, blocked=flag),
    "words of a descriptor": lambda flag: code(lambda main, x: lambda flag: main.fmovs(
        main.program.fabout(1, 4, "f32", control=flag), x), flag),
    "a descriptor of memory": lambda flag: code(lambda main, x: lambda flag: main.fmovs(
        x, program.Mem("x", 4, save=flag)), flag),
    "an instruction": lambda flag: code(lambda main, x: lambda flag: main.fadds(x, x, x, terminate=flag), flag),
    "asynchronous": lambda flag: code(lambda main, x: lambda flag: main.fmovs(
        x, main.program.fabin(1, 4, "f32"), asynchronous=flag), flag),
    "a product of tiles": lambda flag: tiles.mesh_gemm(ONES, ONES, skewed=flag),
    "a product on the mesh": lambda flag: ops.MeshGemm(2, 2, 2, skewed=flag),
    "a local product": lambda flag: ops.Gemm(2, 2, 2, together=flag),
    "a ring": lambda flag: ops.RingAllReduce(8, "x", overlapped=flag),
    "a shift on a ring": lambda flag: ops.RingShift(8, "x", overlapped=flag),
    "even tiles": lambda flag: ops.split_matrix(np.ones((4, 4)), 2, 2, even=flag),
    "a conflict": lambda flag: predict_op("vector-fmuls", "wse3", words=8, conflict=flag),
    "memory of GPUs": lambda flag: cluster.predict(llama(), "h100x8", check_memory=flag),
    "a choice of the user": lambda flag: Serving(chunked_prefill=flag),
    "a model": lambda flag: uniform(**SIZES, qk_norm=flag),
    "the head of a model": lambda flag: uniform(**SIZES, tied_embeddings=flag),
    "biases of a model": lambda flag: uniform(**SIZES, mlp_bias=flag),
    "a chat": lambda flag: ChatTemplate(source="x", where="here").render([], continued=flag),
}
"""What takes a flag, by name."""


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("wrong", ["False", 2, None, []])
def test_what_is_no_flag_is_refused(name: str, wrong: Any):
    with pytest.raises(InputError, match=r"expected (True or False|one flag)|give one, or") as error:
        FLAGS[name](wrong)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [name for name in FLAGS if name not in ("a chat", "asynchronous")])
@pytest.mark.parametrize("right", [False, np.False_])
def test_false_is_a_flag_of_python_or_numpy(name: str, right: Any):
    FLAGS[name](right)


def test_marks_of_words_are_flags_or_ones_and_zeros():
    made = fabric.Fabric(plan())
    for marks in ([True, False], [1, 0], np.array([1, 0], np.uint8), np.array([True, False])):
        made.inject(0, 0, 0, [1, 2], control=marks)
    for marks in ([2, 0], [-1, 0], [0.5, 0], ["x", ""]):
        with pytest.raises(InputError, match="expected True or False"):
            made.inject(0, 0, 0, [1, 2], control=marks)


def public(module: Any) -> dict[str, Any]:
    """Functions and classes of a package, by name, and methods of the classes."""
    found = {name: getattr(module, name) for name in module.__all__}
    methods = {f"{name}.{inner}": method for name, item in found.items() if inspect.isclass(item)
               for inner, method in inspect.getmembers(item, inspect.isfunction) if not inner.startswith("_")}
    return {name: item for name, item in {**found, **methods}.items() if inspect.isfunction(item) or inspect.isclass(item)}


TRIED = {"control", "advance", "strict", "open_edges", "allow_reserved", "ring_mode", "teardown", "frozen", "count_data",
         "count_control", "ring", "swap_ew", "swap_ns", "switch_replaces_both", "color_swap", "banks", "watch_memory", "quiet",
         "active", "blocked", "advance_switch", "same_index", "save", "skewed", "overlapped", "together", "even",
         "check_memory", "ignore_in_core", "sampled", "bounded"}
"""Names of flags that are checked above, or as fields of the same record."""
OF_RESULTS = {"Word", "Gpu"}
"""Records that are given or read from files, and not taken."""


@pytest.mark.parametrize("module", [fabric, program, ops, tiles, cluster], ids=lambda module: module.__name__)
def test_every_flag_of_the_public_interface_is_known_here(module: Any):
    for name, item in public(module).items():
        try:
            parameters = inspect.signature(item).parameters
        except (ValueError, TypeError):
            continue
        flags = {each for each, parameter in parameters.items() if isinstance(parameter.default, bool)}
        assert name in OF_RESULTS or flags <= TRIED, f"{name} of {module.__name__} takes {flags - TRIED} unchecked"
