"""Files that are nearly right are read, or refused in one sentence: nothing else comes out of any reader.

A few hundred inputs for each reader on every run; ``WSEKERN_FUZZ=100000 pytest tests/fuzz`` tries as many of each, by hand.
"""

import copy
import json
import os
import tempfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsekern.cluster import load_gpu
from wsekern.errors import WsekernError
from wsekern.machine import load_machine
from wsekern.program import Program
from wsekern.validation import gpu, wafer
from wsekern.workload.load import bundled_models, load_config
from wsekern.workload.parsing.parse import parse_config

EXAMPLES = int(os.environ.get("WSEKERN_FUZZ", "150"))

thorough = settings(max_examples=EXAMPLES, deadline=60_000, suppress_health_check=list(HealthCheck))

NASTY = st.one_of(
    st.sampled_from([None, True, False, 0, -1, 1, 2, 3, 7, 10**9, 10**10, 2**63, 2**64, 10**400, -0.0, 0.5, 1e-308, 1e308,
                     -1e308, float("nan"), float("inf"), "", "x", "\x00", "é", "1", "1e400", [], {}, [None], [[]], {"": None}]),
    st.integers(), st.floats(), st.text(max_size=8), st.lists(st.integers(), max_size=3))
"""Values of every JSON type, those at the ends of ranges among them."""


@st.composite
def changed_data(draw: st.DrawFn, data: Any, most: int = 3) -> Any:
    """``data`` (nested dicts and lists) with 1 to ``most`` values replaced, taken away or put under another key."""
    data = copy.deepcopy(data)
    for _ in range(draw(st.integers(1, most))):
        place = draw(st.sampled_from(_places(data)))
        holder = data
        for key in place[:-1]:
            holder = holder[key]
        kind = draw(st.sampled_from(["replace", "replace", "replace", "remove", "rename"]))
        value = holder.pop(place[-1])
        if kind == "replace":
            value = copy.deepcopy(draw(NASTY))
        if kind != "remove":
            key = place[-1] if kind == "replace" or isinstance(holder, list) else draw(st.text(max_size=6))
            holder.insert(key, value) if isinstance(holder, list) else holder.__setitem__(key, value)
        if not _places(data):
            break
    return data


def _places(data: Any, at: tuple = ()) -> list[tuple]:
    """Paths of all values inside ``data``."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path for key, value in items for path in ((*at, key), *_places(value, (*at, key)))]


PIECES = st.one_of(st.binary(min_size=1, max_size=6),
                   st.sampled_from([b"\x00", b"\n", b'"', b"[", b"]", b"{", b"}", b"=", b",", b"-", b"1e999", b"9" * 30, b"nan",
                                    b"[" * 200, b"\xff\xfe", b"\r", b";", b"#", b" " * 40]))


@st.composite
def changed_bytes(draw: st.DrawFn, text: bytes, most: int = 4) -> bytes:
    """``text`` with 1 to ``most`` pieces overwritten, put in, taken out or doubled."""
    for _ in range(draw(st.integers(1, most))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 40)))
        kind = draw(st.sampled_from(["overwrite", "insert", "remove", "double"]))
        piece = draw(PIECES) if kind in ("overwrite", "insert") else b"" if kind == "remove" else 2 * text[start:end]
        text = text[:start] + piece + text[start if kind == "insert" else end:]
    return text


def read_or_refused(read: Callable[[], Any]) -> Any:
    """What ``read`` gives; None where it refuses, which it does in one line."""
    try:
        return read()
    except WsekernError as error:
        assert str(error).strip() and "\n" not in str(error)
        return None


def in_file(content: bytes, name: str, read: Callable[[Path], Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        return read_or_refused(lambda: read(path))


CONFIGS = {name: json.loads((files("wsekern.workload") / "models" / f"{name}.json").read_text()) for name in bundled_models()}
CONFIGS |= {name: {"model_type": name, **row["keys"]} for name, row in json.loads(
    (files("wsekern.workload.parsing") / "class_defaults.json").read_text()).items()}


@thorough
@given(st.sampled_from(sorted(CONFIGS)).flatmap(lambda name: changed_data(CONFIGS[name])))
def test_configurations_of_models(data):
    config = read_or_refused(lambda: parse_config(data, "changed", "config.json"))
    if config is not None:
        assert config.parameters >= 0 and config.active_parameters >= 0 and config.kv_elements_per_token >= 0


@thorough
@given(st.sampled_from(sorted(CONFIGS)).flatmap(lambda name: changed_bytes(json.dumps(CONFIGS[name]).encode())))
def test_texts_of_configurations(text):
    in_file(text, "config.json", lambda path: load_config(path))


MACHINES = {name: (files("wsekern.machine") / "data" / f"{name}.toml").read_bytes() for name in ("wse1", "wse2", "wse3")}
GPUS = {name: (files("wsekern.cluster") / "data" / "machines" / f"{name}.toml").read_bytes() for name in ("h100", "b200")}


@thorough
@given(st.sampled_from(sorted(MACHINES)).flatmap(lambda name: changed_bytes(MACHINES[name])))
def test_descriptions_of_wafers(text):
    in_file(text, "wafer.toml", load_machine)


@thorough
@given(st.sampled_from(sorted(GPUS)).flatmap(lambda name: changed_bytes(GPUS[name])))
def test_descriptions_of_gpus(text):
    in_file(text, "gpu.toml", load_gpu)


def lines_of(name: str, count: int) -> bytes:
    folder = files("wsekern.validation") / "data"
    if name.endswith(".gz"):
        import gzip

        text = gzip.decompress((folder / name).read_bytes())
    else:
        text = (folder / name).read_bytes()
    lines = text.splitlines(keepends=True)
    return b"".join([lines[0], *lines[1::max(1, len(lines) // count)]][:count])


GPU_ROWS, WAFER_ROWS = lines_of("gpu-measurements.csv.gz", 12), lines_of("wafer-validation.csv", 12)


@thorough
@given(changed_bytes(GPU_ROWS))
def test_tables_of_gpu_measurements(text):
    in_file(text, "rows.csv", gpu.validate_rows)


@thorough
@given(changed_bytes(WAFER_ROWS))
def test_tables_of_wafer_measurements(text):
    in_file(text, "rows.csv", wafer.validate_rows)


def a_program() -> Program:
    program = Program("sum")
    a, b = program.array("a", "fp32", 8), program.array("b", "fp32", 8)
    with program.task("main", active=True) as t:
        t.fadds(a, a, b)
        t.fmovs(a, program.fabin(1, 8, "fp32"))
    return program


@thorough
@given(changed_bytes(a_program().text().encode()))
def test_texts_of_programs(text):
    read_or_refused(lambda: Program.parse(text.decode("utf-8", "replace")))
