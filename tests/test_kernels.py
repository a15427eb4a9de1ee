"""How the kernels in src are layered: includes, cimports and calls go downward only, among folders and among files."""

import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"

FOLDERS = {"common": set(), "fabric": {"common"}, "tiles": {"common"}, "ops": {"common"}, "queueing": set(),
           "planning": {"common", "queueing"}, "program": {"common", "fabric", "tiles"},
           "embed": {"common", "fabric", "program"}}
"""What the kernels of each folder may use beside their own; the program drives the fabric, and its arithmetic is the tiles';
candidates for a placement are judged by the steady state of their line. The library of ``embed`` is what needs no Python of
these, without an extension."""

FABRIC_LAYERS = (
    {"clock", "text", "bytes"},
    {"fail", "plan", "simple", "lone_read", "ways"},
    {"switch", "connect"},
    {"queue", "ramp", "deliver"},
    {"flight"},
    {"lone", "depart", "arrive"},
    {"depart_plain", "read", "rewrite", "report", "save_plan", "save_lanes"},
    {"host"},
    {"event", "state", "step", "step_avx2", "step_avx512", "save_strips", "cycle", "registers"},
    {"run", "save", "link"},
)
"""The C files of src/fabric, lowest first: each calls functions of lower layers only."""

DEFINITION = re.compile(r"^(?P<kind>[a-z][\w *]*[ *])(?P<name>[a-z]\w*)\([^;{}]*\)\s*\{", re.MULTILINE)
PROTOTYPE = re.compile(r"^[^\s#{}][^;{}]*\);", re.MULTILINE)

Sources = Mapping[str, str]
Graph = dict[str, set[str]]


def sources_of(*suffixes: str) -> dict[str, str]:
    """Texts without comments, by path under src."""
    return {str(path.relative_to(SRC)): without_comments(path.read_text(), path.suffix)
            for path in sorted(SRC.rglob("*")) if path.suffix in suffixes}


def without_comments(text: str, suffix: str) -> str:
    if suffix in (".c", ".h"):
        return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)
    return re.sub(r'""".*?"""|#[^\n]*', " ", text, flags=re.DOTALL)


def beside(path: str, name: str, known: Sources) -> str | None:
    """The file of src that ``name`` means in ``path``: beside it, under src, or a header whose folder is searched."""
    places = (f"{Path(path).parent}/{name}", name, *(f"{folder}/{name}" for folder in ("common", "fabric")))
    return next((place for place in places if place in known), None)


def includes(sources: Sources) -> Graph:
    graph: Graph = {}
    for path, text in sources.items():
        names = re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.MULTILINE)
        graph[path] = {found for name in names if (found := beside(path, name, sources))}
    return graph


def calls(sources: Sources) -> Graph:
    """Which C files name a function that another one defines for all."""
    defined = {match["name"]: path for path, text in sources.items() if path.endswith(".c")
               for match in DEFINITION.finditer(text) if not match["kind"].startswith("static")}
    graph: Graph = {}
    for path, text in sources.items():
        if path.endswith(".h"):
            text = PROTOTYPE.sub("", text)
        graph[path] = {defined[name] for name in set(re.findall(r"\w+", text)) if defined.get(name, path) != path}
    return graph


def cimports(sources: Sources) -> Graph:
    """Which Cython files take names of which others; a ``.pyx`` and the ``.pxd`` of its name are one module."""
    graph: Graph = {}
    for path, text in sources.items():
        uses = graph.setdefault(module_of(path), set())
        names = re.findall(r"^from\s+(wsekern[\w.]*)\s+cimport\b", text, re.MULTILINE)
        names += re.findall(r"^cimport\s+(wsekern[\w.]*)", text, re.MULTILINE)
        for name in names:
            place = name.removeprefix("wsekern.").replace(".", "/")
            uses.add(place if "/" in place else f"common/{place}")
        uses |= {f"{Path(path).parent}/{Path(name).stem}" for name in re.findall(r'^include\s+"([^"]+)"', text, re.MULTILINE)}
    return graph


def module_of(path: str) -> str:
    return str(Path(path).with_suffix(""))


def circle(graph: Graph) -> list[str]:
    """Files that use each other in a circle, or none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def upward(graph: Graph) -> Iterator[str]:
    """What goes from one folder to another that it may not use."""
    for path, uses in graph.items():
        for used in uses:
            here, there = path.split("/")[0], used.split("/")[0]
            if here != there and there not in FOLDERS[here]:
                yield f"{path} uses {used}"


def upward_calls(graph: Graph) -> Iterator[str]:
    """What goes from one C file of src/fabric to another that is not in a lower layer."""
    layer = {f"fabric/{name}.c": number for number, names in enumerate(FABRIC_LAYERS) for name in names}
    for path, uses in graph.items():
        for used in uses & set(layer):
            if path.startswith("fabric/") and layer.get(path, -1) <= layer[used]:
                yield f"{path} calls {used}"


C, CYTHON = sources_of(".c", ".h"), sources_of(".pyx", ".pxd", ".pxi")


@pytest.mark.parametrize("graph", [includes(C), calls(C), cimports(CYTHON)], ids=["includes", "calls", "cimports"])
def test_no_circle_and_nothing_upward_among_folders(graph):
    assert sum(map(len, graph.values())) > 10, "the sources were not understood"
    assert circle(graph) == []
    assert list(upward(graph)) == []


def test_the_files_of_the_fabric_call_lower_layers_only():
    layered = [f"fabric/{name}.c" for names in FABRIC_LAYERS for name in names]
    assert sorted(layered) == sorted(path for path in C if path.startswith("fabric/") and path.endswith(".c"))
    assert list(upward_calls(calls(C))) == []


@pytest.mark.parametrize("path, call, complaint", [
    ("fabric/queue.c", "wsk_depart_row(f, s, y);", "fabric/queue.c calls fabric/depart_plain.c"),
    ("fabric/depart.c", "wsk_go_alone(f, row, k);", "fabric/depart.c calls fabric/lone.c"),
    ("fabric/fabric_internal.h", "static inline int f(void) { return wsk_fail(0); }",
     "fabric/fabric_internal.h calls fabric/fail.c"),
])
def test_a_call_upward_is_noticed(path, call, complaint):
    assert complaint in upward_calls(calls({**C, path: f"{C[path]}\n{call}\n"}))


def test_a_circle_and_a_folder_upward_are_noticed():
    changed = {**C, "fabric/fail.c": C["fabric/fail.c"] + "\nint x(void) { return wsk_fabric_explain(0); }\n"}
    assert set(circle(calls(changed))) >= {"fabric/fail.c", "fabric/report.c"}
    assert circle(includes({**C, "fabric/copy_words.h": '#include "fabric_internal.h"\n',
                            "fabric/fabric_internal.h": '#include "copy_words.h"\n'}))
    changed = {**CYTHON, "fabric/run.pxd": CYTHON["fabric/run.pxd"] + "\nfrom wsekern.program._pe cimport Cores\n"}
    assert list(upward(cimports(changed))) == ["fabric/run uses program/_pe"]


def test_every_header_is_declared_to_cython_once():
    seen: dict[str, list[str]] = {}
    for path, text in CYTHON.items():
        for header in re.findall(r'^cdef extern from "([\w./]+)"', text, re.MULTILINE):
            seen.setdefault(header, []).append(path)
    assert {"wsekern_fabric.h", "fabric_internal.h", "wsekern_status.h"} <= set(seen)
    assert {header: paths for header, paths in seen.items() if len(paths) > 1} == {}


@pytest.mark.parametrize("folder", sorted(FOLDERS.keys() - {"embed"}))
def test_a_folder_serves_the_package_of_its_name(folder):
    package = "wsekern" if folder == "common" else f"wsekern.{folder}"
    served = re.findall(r"wsekern_extension\((\S+)\s+(\w+)", (SRC / folder / "CMakeLists.txt").read_text())
    assert {name for _, name in served} == {path.stem for path in (SRC / folder).glob("*.pyx")}
    assert {place for place, _ in served} == {package}
    assert (SRC / folder / "README.md").read_text().startswith(f"# {folder}\n"), "each folder says what lives in it"
