"""The commands: build, run a folder, profile it."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from tests.csl.conftest import HEAD, LAYOUT
from wsekern.cli.csl import csl
from wsekern.errors import InputError

CODE = HEAD + """fn square(k: i16) void { out[k] = in[k] * in[k]; }
fn compute() void {
  for (@range(i16, 8)) |k| {
    square(k);
  }
  sys.unblock_cmd_stream();
}
"""


@pytest.fixture
def built(tmp_path, monkeypatch):
    """A folder with a program of two PEs, compiled to ``out``; it is the current one."""
    (tmp_path / "layout.csl").write_text(LAYOUT)
    (tmp_path / "pe.csl").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(csl, ["build", "layout.csl", "--arch=wse3", "--params=width:2", "-o", "out"])
    assert done.exit_code == 0, done.output
    return tmp_path


def test_a_folder_runs_with_arrays_in_and_out(built):
    numbers = np.arange(16, dtype=np.int32).reshape(1, 2, 8)
    np.save("in.npy", numbers)
    done = CliRunner().invoke(csl, ["run", "out", "--set", "in=in.npy", "--launch", "compute", "--get", "out=out.npy",
                                    "--trace", "trace.json", "--cycles", "50"])
    assert done.exit_code == 0 and "out: 2 x 1 PEs, idle at cycle" in done.output, done.output
    assert re.search(r"\(2 PEs x [\d,]+ cycles in [\d.]+ s of CPU, [\d.,]+ M PE-cycles/s\)", done.output)
    assert np.array_equal(np.load("out.npy"), numbers * numbers)
    events = json.loads((built / "trace.json").read_text())["traceEvents"]
    assert {event["name"] for event in events if event.get("cat") == "function"} == {"compute", "square"}


@pytest.mark.parametrize(("given", "said"), [
    (["run", "out", "--launch", "nothing"], "no exported symbol 'nothing': the program exports compute, floats, in, out"),
    (["run", "out", "--get", "compute=x.npy"], "compute is a function"),
    (["run", "out", "--get", "out"], "expected the name of an exported variable, '=' and a file"),
    (["run", "out", "--set", "in=layout.csl"], "is no file of an array"),
    (["run", "out", "--set", "in=wide.npy"], "32 elements of int32 for in: expected up to 8 of int32 for each of 2 x 1 PEs"),
    (["run", "."], "is no folder of a compiled program"),
])
def test_what_cannot_run_is_refused(built, given, said):
    np.save("wide.npy", np.zeros(32, np.int32))
    done = CliRunner().invoke(csl, given)
    assert isinstance(done.exception, InputError) and said in str(done.exception), (done.exception, done.output)


def test_a_profile_shows_what_lines_did(built):
    done = CliRunner().invoke(csl, ["profile", "--html", "page.html", "--json", "lines.json", "out", "--launch", "compute"])
    assert done.exit_code == 0, done.output
    lines = {line.split("  ")[-1].strip(): line.split() for line in done.output.splitlines() if "out[k] = in[k]" in line}
    ((source, cells),) = lines.items()
    assert source.startswith("fn square") and int(cells[0]) % 16 == 0 and int(cells[1].replace(",", "")) >= int(cells[0])
    page, data = (built / "page.html").read_text(), json.loads((built / "lines.json").read_text())
    assert "out[k] = in[k]" in page and "Where thread-cycles go" in page
    assert json.loads(re.search('id="data">(.*?)</script>', page, re.DOTALL)[1]) == data
    ((run,),) = data.values()
    assert run["pes"] == 2 and {row["times"] for row in run["lines"] if row["functions"] == ["square"]} >= {int(cells[0])}


def test_a_profile_on_standard_output_is_json_alone(built):
    words = [sys.executable, "-m", "wsekern", "csl", "profile", "--json", "-", "bash", "-c", "echo hello; cs_python run.py"]
    (built / "run.py").write_text("""from cerebras.sdk.runtime.sdkruntimepybind import SdkRuntime
runner = SdkRuntime("out")
runner.load()
runner.run()
runner.launch("compute", nonblock=False)
runner.stop()
""")
    done = subprocess.run(words, cwd=built, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["runs"] and "hello" in done.stderr


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00\x10\x00{'descr': (2**9\n\n\n"])
def test_a_file_that_is_no_array_is_refused(built, content):
    (built / "in.npy").write_bytes(content)
    done = CliRunner().invoke(csl, ["run", "out", "--set", "in=in.npy"])
    assert isinstance(done.exception, InputError) and "in.npy, the values of in, is no file of an array" in str(done.exception)
    (built / "out" / "arrays.npz").write_bytes(content)
    done = CliRunner().invoke(csl, ["run", "out"])
    assert isinstance(done.exception, InputError) and "is damaged" in str(done.exception)


@pytest.mark.parametrize(("given", "said"), [
    (["--get", "in=a.npy", "--get", "out=a.npy"], "--get and --get both name a.npy"),
    (["--get", "out=a.npy", "--trace", "a.npy"], "both name a.npy"),
    (["--set", "in=a.npy", "--get", "out=a.npy"], "--get names a.npy, which --set reads"),
    (["--get", "out=nowhere/a.npy"], "there is no folder nowhere"),
])
def test_files_that_would_be_lost_are_refused(built, given, said):
    np.save("a.npy", np.zeros(16, np.int32))
    done = CliRunner().invoke(csl, ["run", "out", *given])
    assert isinstance(done.exception, InputError) and said in str(done.exception), (done.exception, done.output)
