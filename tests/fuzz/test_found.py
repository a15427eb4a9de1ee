"""What failed once, found by the inputs of this folder: each is refused in a sentence now, or does what it should."""

import json
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fuzz.command_lines import checked, outcome_of_process
from tests.fuzz.files import LAYOUT, PE, configs, tokenizer
from wsekern import tiles
from wsekern.csl.build import Options, build
from wsekern.csl.source import Source
from wsekern.description import load_description
from wsekern.errors import InputError
from wsekern.fabric import Fabric, FabricPlan, Route
from wsekern.fabric.simulation import saved_bytes, words_of
from wsekern.inference.kept_run import read_run
from wsekern.inference.predict import predict_layer
from wsekern.machine import Machine, load_machine
from wsekern.ops import AllReduce, FlowEngine
from wsekern.ops.engines.cycle import CycleEngine
from wsekern.ops.grid.gemm import MeshGemm
from wsekern.ops.lines.shift import Shift
from wsekern.ops.predict import predict_op
from wsekern.program import Layout, Program
from wsekern.queueing.trace import read_trace
from wsekern.workload.parsing.parse import parse_config
from wsekern.workload.text.text import refusing
from wsekern.workload.text.tokenizers import load_text

TILE = np.zeros((2, 3, 4), np.float32)


def config(kind: str, **changes: Any) -> Callable[[], Any]:
    found = next(each for each in configs() if each.get("model_type") == kind)
    return lambda: parse_config({**found, **changes}, "x", "config.json")


def program(write: Callable[[Program], Any]) -> Callable[[], Any]:
    """A program on one PE, written by ``write`` and checked."""

    def compiled() -> Any:
        made, layout = Program("p"), Layout("wse3", 1, 1)
        write(made)
        layout.set_program(made)
        return layout.compile()

    return compiled


def in_task(write: Callable[[Any, Any], Any]) -> Callable[[], Any]:
    """Code of a task with a symbol of four fp32."""

    def written(made: Program) -> None:
        symbol = made.array("x", "f32", 4)
        with made.task("main") as code:
            write(code, symbol)

    return program(written)


def a_simulation() -> Any:
    return program(lambda made: made.array("x", "f32", 4))()


FOUND: dict[str, Callable[[], Any]] = {
    "a list in a rope table": config("mistral4", rope_parameters={"rope_type": "yarn", "factor": 2.0, "beta_slow": [[]]}),
    "no layer in moe_layer_freq": config("deepseek_v32", moe_layer_freq=[]),
    **{f"{kind} without experts": config(kind, n_routed_experts=0) for kind in ("longcat_flash", "deepseek_v4", "nemotron_h")},
    "a machine that is a number": lambda: load_machine(3),
    "a clock that no float holds": lambda: predict_layer("llama3-8b", "decode", "wse3", 300, 1, clock=10**400),
    "a machine of a layout that is a number": lambda: Layout(3, 1, 1),
    "an engine of no width": lambda: FlowEngine("wse3", "x", 2),
    "a list as tile": lambda: FlowEngine("wse3", 3, 2).run(AllReduce(4, "x"), TILE.tolist()),
    "elements in words": lambda: AllReduce("4", "x"),
    "half an element": lambda: AllReduce(4.5, "x"),
    "groups None": lambda: AllReduce(4, "x", None),
    "relays in words": lambda: Shift(4, "x", "1"),
    "sizes of a product in words": lambda: MeshGemm("2", 2, 2),
    "an operation without a name": lambda: predict_op(3, "wse3", grid=(4, 4)),
    "a grid that is no pair": lambda: predict_op("broadcast", "wse3", grid=4, words=8),
    "words in words": lambda: predict_op("broadcast", "wse3", grid=(4, 4), words="8"),
    "threads in words": lambda: tiles.exp(TILE, threads="x"),
    "a factor in words": lambda: tiles.scale(TILE, "x"),
    "switches that are a number": lambda: FabricPlan(2, 2, "wse3").paint(0, "RAMP", "RAMP", switches=3),
    "a route of numbers": lambda: Route(3, 4),
    "the route of no color": lambda: FabricPlan(2, 2, "wse3").route_at("x", 0, 0),
    "programs that are a number": lambda: Layout("wse3", 1, 1).set_programs(3, np.zeros((1, 1), int)),
    "a program that is text": lambda: Layout("wse3", 1, 1).set_program("p"),
    "a symbol without a name": program(lambda made: made.array(None, "f32", 4)),
    "a symbol of half an element": program(lambda made: made.array("x", "f32", 4.5)),
    "a symbol of more than any memory": program(lambda made: made.array("x", "f32", 2**40, 1.0)),
    "first values in words": program(lambda made: made.array("x", "f32", 4, "y")),
    "first values of another number": program(lambda made: made.array("x", "f32", 4, [1, 2])),
    "a color in words": program(lambda made: made.fabin("3", 4, "f32")),
    "a task without a name": program(lambda made: made.function(None)),
    "a register of words": in_task(lambda code, x: code.let("u16", "x")),
    "an operand that is text": in_task(lambda code, x: code.fadds("y", x, x)),
    "an extent None": in_task(lambda code, x: code.fmovs(x, code.program.fabin(3, None, "fp32"))),
    "a time stamp into nothing": in_task(lambda code, x: code.timestamp(3)),
    "the place of no program": lambda: a_simulation().place_of("x", 0),
    "the place in a program that is not there": lambda: a_simulation().place_of(9, 0),
    "flags of another number of words": lambda: a_simulation().send(3, [1, 2], 0, 0, "RAMP", control=[True] * 5),
}
"""Each ended in an exception of Python's own, or in one that its caller cannot know, when it was found."""


@pytest.mark.parametrize("name", FOUND)
def test_what_failed_once_is_refused(name: str):
    with pytest.raises(InputError) as error:
        FOUND[name]()
    assert "\n" not in str(error.value)


def test_other_libraries_say_it_in_one_line(tmp_path: Path):
    (tmp_path / "trace.parquet").write_bytes(b"PAR1" + bytes(range(60)) + b"\x20\0\0\0PAR1")
    with pytest.raises(InputError) as error:
        read_trace(tmp_path / "trace.parquet")
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="it says: one two"), refusing("it says"):
        raise RuntimeError("one\n two")


@pytest.mark.parametrize("token", [":x", "<a:1>", "<a b>", "$A"])
def test_a_first_token_may_be_any_text(tmp_path: Path, token: str):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "Qwen2Tokenizer", "bos_token": token, "add_bos_token": True}))
    (tmp_path / "vocab.json").write_text(json.dumps(json.loads(tokenizer())["model"]["vocab"]))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    text = load_text(tmp_path, 300)
    assert text.encode("a") == [text.tokenizer.token_to_id(token), *text.encode("a", special=False)]


def test_a_compilation_leaves_the_recursion_limit_of_the_process_as_it_was(tmp_path: Path):
    before = sys.getrecursionlimit()
    for name, text in (("layout.csl", LAYOUT), ("pe.csl", PE)):
        (tmp_path / name).write_text(text)
    build(tmp_path / "layout.csl", {}, Options(arch="wse2"))
    assert sys.getrecursionlimit() == before


def test_a_template_with_a_token_that_the_file_lacks_is_refused(tmp_path):
    """The library meets it only where a text is encoded, and panics."""
    made = json.loads(tokenizer())
    made["post_processor"]["special_tokens"] = {}
    (tmp_path / "tokenizer.json").write_text(json.dumps(made))
    with pytest.raises(InputError, match="cannot be read as a tokenizer"):
        load_text(tmp_path, 1000)


@pytest.mark.parametrize("tile", [np.zeros((2, 4, 4), np.float32), np.zeros((2, 3, 5), np.float32), np.zeros(24, np.float64),
                                  [[1.0]], None, {}, 2.5])
@pytest.mark.parametrize("engine", [FlowEngine, CycleEngine])
def test_engines_refuse_tiles_of_another_shape(engine: type, tile: Any):
    with pytest.raises(InputError) as error:
        engine("wse3", 3, 2, "silicon", "fp32").run(AllReduce(4, "x"), tile)
    assert "\n" not in str(error.value)


def test_no_words_are_of_any_type():
    assert words_of(np.zeros((2, 0), complex)).shape == (2, 0)


def test_a_profile_of_a_folder_that_does_not_run_is_refused_once():
    assert checked(["csl", "profile", "../.."], outcome_of_process) is None


@pytest.mark.parametrize("read", [
    lambda path: load_description(path, Machine), Source.read, saved_bytes, lambda path: read_run(path, {})],
    ids=["TOML", "CSL", "state", "run"])
def test_devices_without_an_end_are_not_read(read: Callable[[str], Any]):
    with pytest.raises(InputError, match="/dev/full: it is a device"):
        read("/dev/full")


def test_names_that_no_file_has_are_refused():
    for name in ("half a pair \ud800.csl", "a NUL \0.csl"):
        with pytest.raises(InputError, match="no file has such a name"):
            build(name, options=Options(dialect="2.10"))


def test_whole_numbers_that_no_float_holds_are_refused(tmp_path: Path):
    text = (files("wsekern.machine") / "data" / "wse3.toml").read_text()
    (tmp_path / "machine.toml").write_text(text.replace("values = [", f"values = [{10**400}, ", 1))
    with pytest.raises(InputError, match=r"value is 1e400 or more, expected at most"):
        load_machine(tmp_path / "machine.toml")


def test_words_for_no_pes_are_none_whatever_their_type():
    fabric = Fabric(FabricPlan(2, 2, "wse3"))
    fabric.inject(np.zeros(0, "U3"), [], 0, [])
    assert fabric.in_flight == 0
