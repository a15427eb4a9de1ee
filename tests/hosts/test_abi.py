"""The binary interface of libwsekern: the functions it shows and the sizes of its structs are those of src/embed."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import wsekern
from wsekern import _common

SRC = Path(__file__).parents[2] / "src"
LIBRARY = Path(_common.__file__).parent / "lib" / "libwsekern.so"
MAP = SRC / "embed" / "wsekern.map"
MOST_BYTES = 600_000

pytestmark = pytest.mark.skipif(not LIBRARY.is_file(), reason="libwsekern is where wsekern is installed")


def without_comments(header: Path) -> str:
    return re.sub(r"/\*.*?\*/", " ", header.read_text(), flags=re.DOTALL)


PUBLIC = {path.name: without_comments(path) for path in sorted(SRC.glob("*/wsekern_*.h"))}


def need(tool: str) -> str:
    found = shutil.which(tool)
    if not found:
        pytest.skip(f"{tool} is not here")
    return found


def versions() -> dict[str, str]:
    """The version that brought each function, by the map."""
    nodes = re.findall(r"(WSEKERN_\d+) \{(.*?)\}", MAP.read_text(), re.DOTALL)
    return {name: version for version, body in nodes for name in re.findall(r"^ +(wsk_\w+);$", body, re.MULTILINE)}


def test_every_function_of_the_headers_is_in_the_map():
    declared = {name for text in PUBLIC.values() for name in re.findall(r"^WSK_API [^;(]*?(wsk_\w+)\(", text, re.MULTILINE)}
    assert len(declared) > 50 and declared == set(versions()), "src/embed/wsekern.map names what the library shows"


def test_the_library_shows_the_map_and_nothing_else():
    listing = subprocess.run([need("nm"), "-D", "--defined-only", "--with-symbol-versions", LIBRARY], check=True,
                             capture_output=True, text=True).stdout
    shown = dict(line.split()[2].split("@@") for line in listing.splitlines() if line.split()[1] != "A")
    assert shown == versions()


def test_structs_have_the_sizes_of_the_list(tmp_path):
    structs = [name for text in PUBLIC.values() for name in re.findall(r"typedef struct (?:\w+ )?\{[^}]*\}\s*(\w+);", text)]
    lines = "".join(f'    printf("{name} %zu\\n", sizeof({name}));\n' for name in structs)
    (tmp_path / "sizes.c").write_text(f'#include <stdio.h>\n#include "wsekern.h"\nint main(void)\n{{\n{lines}}}\n')
    subprocess.run([need("cc"), f"-I{wsekern.get_include()}", "sizes.c", "-o", "sizes"], cwd=tmp_path, check=True)
    sizes = subprocess.run([tmp_path / "sizes"], check=True, capture_output=True, text=True).stdout
    assert sizes == (SRC / "embed" / "structs.txt").read_text()


def test_a_new_version_of_the_map_is_a_new_version_of_the_header():
    assert re.findall(r"define WSEKERN_ABI_VERSION (\d+)", PUBLIC["wsekern_status.h"]) == [str(len(set(versions().values())))]


def test_the_stripped_library_is_small(tmp_path, capsys):
    subprocess.run([need("strip"), "-o", tmp_path / "stripped.so", LIBRARY], check=True)
    size = os.path.getsize(tmp_path / "stripped.so")
    with capsys.disabled():
        print(f"\nlibwsekern: {size // 1000} kB stripped, {MOST_BYTES // 1000} kB at most")
    assert size <= MOST_BYTES
