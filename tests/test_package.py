"""What is installed: extensions, declarations, headers, data, stubs; and how quickly it imports."""

import os
import subprocess
import sys
from importlib.metadata import files
from pathlib import Path

import wsekern

SOURCE = Path(__file__).parents[1]


def installed() -> set[str]:
    """Names under the package folder, whether it is a wheel or an editable install."""
    names = {str(Path(*file.parts[1:])) for file in files("wsekern") if file.parts[0] == "wsekern"}
    root = Path(wsekern.__file__).parent
    return names | {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def place_of(source: Path) -> str:
    """Where under the package a file of src/X goes, without suffix: into wsekern/X; what all share (src/common) to the top."""
    return source.stem if source.parent.name == "common" else f"{source.parent.name}/{source.stem}"


def test_everything_is_in_the_package():
    names = installed()
    for source in (SOURCE / "src").glob("*/_*.pyx"):
        extension = place_of(source)
        assert any(name.startswith(f"{extension}.") and name.endswith(".so") for name in names), extension
        assert f"{extension}.pyi" in names, f"{extension} has no stub"
    for name in ("py.typed", "include/wsekern_status.h", "machine/data/wse3.toml", "workload/models/llama3-8b.json",
                 "workload/sample/fairy-tales/model.safetensors", "workload/sample/fairy-tales/tokenizer.json"):
        assert name in names


def test_declarations_of_what_is_installed_are_installed_and_no_others():
    public = {f"{place_of(path)}.pxd" for pattern in ("*/_*.pxd", "*/wsekern_*.pxd") for path in (SOURCE / "src").glob(pattern)}
    assert {name for name in installed() if name.endswith(".pxd")} == public
    for path in (SOURCE / "src").glob("*/wsekern_*.pxd"):
        assert f"include/{path.stem}.h" in installed(), f"{path.name} declares a header that is not installed"


def test_headers_are_found():
    assert (Path(wsekern.get_include()) / "wsekern_status.h").is_file()


def test_source_folder_without_extensions_says_what_to_do(tmp_path):
    (tmp_path / "wsekern").mkdir()
    (tmp_path / "wsekern" / "__init__.py").write_text((SOURCE / "wsekern" / "__init__.py").read_text())
    done = subprocess.run([sys.executable, "-S", "-c", "import sys; sys.path.insert(0, ''); import wsekern"], cwd=tmp_path,
                          capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "not compiled" in done.stderr and "pip install ." in done.stderr


def test_import_is_light():
    code = ("import sys, wsekern; heavy = {'numpy', 'rich', 'click', 'safetensors', 'tokenizers', 'matplotlib', 'torch', "
            "'msgspec'} & set(sys.modules); assert not heavy, heavy")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_simd_level_is_refused():
    environment = {**os.environ, "WSEKERN_SIMD": "mmx"}
    for code in ("import wsekern; wsekern.simd_level()", "import wsekern.tiles",
                 "from wsekern.fabric import Fabric, FabricPlan; Fabric(FabricPlan(1, 1))"):
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode != 0 and "base, avx2, avx512" in done.stderr
    command = [sys.executable, "-c", "from wsekern.cli import main; main()", "machines"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("wsekern: WSEKERN_SIMD='mmx'") and done.stderr.count("\n") == 1


def test_without_a_compiler_it_says_what_to_install(tmp_path):
    done = subprocess.run(["cmake", "-S", str(SOURCE), "-B", str(tmp_path), "-G", "Ninja", "-DWSEKERN_PYTHON=OFF"], check=False,
                          env={**os.environ, "CC": "no-such-compiler"}, capture_output=True, text=True)
    assert done.returncode != 0 and "no C compiler was found: install gcc or clang" in " ".join(done.stderr.split())
