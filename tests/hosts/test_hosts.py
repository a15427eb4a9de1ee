"""Hosts as users write them, built against the installed library and run: each asserts its data, and its cycles where both
sides share a clock. With WSEKERN_HOSTS=all in the environment a missing tool is a failure, else a skip."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wsekern import _common
from wsekern.fabric import Fabric, FabricPlan

HERE = Path(__file__).parent
INSTALLED = Path(_common.__file__).parent


def missing(what: str) -> None:
    if os.environ.get("WSEKERN_HOSTS") == "all":
        pytest.fail(what)
    pytest.skip(what)


def run(*command: str | Path, at: Path) -> str:
    done = subprocess.run([*map(str, command)], cwd=at, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def have_systemc(at: Path) -> bool:
    (at / "probe.cpp").write_text("#include <systemc>\n")
    return subprocess.run(["c++", "-E", "probe.cpp", "-o", os.devnull], cwd=at, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the hosts are configured."""
    if not (INSTALLED / "lib").is_dir():
        missing("libwsekern is where wsekern is installed: `pip install .`")
    for tool in ("cmake", "ninja", "cc", "c++"):
        if not shutil.which(tool):
            missing(f"{tool} is not here")
    folder = tmp_path_factory.mktemp("hosts")
    place = run(sys.executable, "-P", "-m", "wsekern", "--cmake-dir", at=folder).strip()
    run("cmake", "-G", "Ninja", "-S", HERE, "-B", folder, f"-Dwsekern_DIR={place}", at=folder)
    return folder


@pytest.mark.parametrize("host", ["host_c", "host_cpp", "network", "astra"])
def test_a_host_in_c_and_cpp(build, host):
    run("cmake", "--build", build, "--target", host, at=build)
    run(build / host, at=build)


@pytest.mark.slow
def test_a_systemc_module_takes_tlm_writes_and_fills_a_fifo(build):
    if not have_systemc(build):
        missing("SystemC is not here: apt-get install libsystemc-dev")
    run("cmake", "--build", build, "--target", "systemc", at=build)
    run(build / "systemc", at=build)


@pytest.mark.slow
def test_a_verilog_design_drives_a_wafer_by_credits(build):
    if not shutil.which("verilator"):
        missing("verilator is not here: apt-get install verilator")
    run("cmake", "--build", build, "--target", "verilated", at=build)
    run(build / "verilated", at=build)


@pytest.mark.slow
def test_a_cython_consumer_built_by_scikit_build_core(tmp_path):
    if not (INSTALLED / "lib").is_dir():
        missing("libwsekern is where wsekern is installed: `pip install .`")
    for module in ("pip", "scikit_build_core", "cython_cmake"):
        if importlib.util.find_spec(module) is None:
            missing(f"{module} is not here: pip install .[test]")
    shutil.copytree(HERE / "cython", tmp_path / "source")
    run(sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "--no-index", "--target", "site",
        "./source", at=tmp_path)
    [module] = (tmp_path / "site").glob("consumer.*.so")
    spec = importlib.util.spec_from_file_location("consumer", module)
    consumer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(consumer)
    plan = FabricPlan(16, 1, "wse2")
    plan.paint(4, "RAMP", "EAST")
    plan.paint(4, "WEST", "EAST", x=1, width=14)
    plan.paint(4, "WEST", "RAMP", x=15)
    rules = plan.rules
    first = 2 * rules.ramp_latency + 15 * rules.hop_latency
    assert consumer.stream(Fabric(plan, "core").state, 0, 15, 4, 9) == (first, first + 8)


def test_every_declaration_can_be_cimported(tmp_path):
    """Each in a translation unit that has the installed headers alone."""
    if not (INSTALLED / "include").is_dir() or not shutil.which("cc"):
        missing("needs an installed wsekern and a C compiler")
    modules = [".".join(path.relative_to(INSTALLED.parent).with_suffix("").parts) for path in INSTALLED.rglob("*.pxd")]
    assert {"wsekern._common", "wsekern.fabric._routing", "wsekern.fabric.wsekern_fabric"} <= set(modules)
    (tmp_path / "all.pyx").write_text("".join(f"cimport {name}\n" for name in sorted(modules)))
    run(sys.executable, "-m", "cython", "-3", "-I", INSTALLED.parent, "all.pyx", at=tmp_path)
    python = run(sys.executable, "-c", "import sysconfig; print(sysconfig.get_path('include'))", at=tmp_path).strip()
    run("cc", "-fsyntax-only", f"-I{python}", f"-I{INSTALLED / 'include'}", "all.c", at=tmp_path)


@pytest.mark.slow
def test_the_library_alone_is_built_and_found_without_python(tmp_path):
    for tool in ("cmake", "ninja", "cc"):
        if not shutil.which(tool):
            missing(f"{tool} is not here")
    run("cmake", "-G", "Ninja", "-S", HERE.parents[1], "-B", "build", "-DWSEKERN_PYTHON=OFF",
        f"-DCMAKE_INSTALL_PREFIX={tmp_path}/usr", at=tmp_path)
    run("cmake", "--build", "build", at=tmp_path)
    run("cmake", "--install", "build", at=tmp_path)
    run("cmake", "-G", "Ninja", "-S", HERE, "-B", "hosts", f"-DCMAKE_PREFIX_PATH={tmp_path}/usr", at=tmp_path)
    run("cmake", "--build", "hosts", "--target", "host_c", at=tmp_path)
    run("hosts/host_c", at=tmp_path)
    if shutil.which("pkg-config"):
        [place] = (tmp_path / "usr").rglob("pkgconfig")
        flags = run("pkg-config", f"--with-path={place}", "--cflags", "--libs", "wsekern", at=tmp_path).split()
        run("cc", HERE / "host.c", *flags, "-o", "by_pkg_config", at=tmp_path)
        run("./by_pkg_config", at=tmp_path)
