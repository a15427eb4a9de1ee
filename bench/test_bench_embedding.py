"""Speed of the C library under a C host, stepped cycle by cycle: 256x256 PEs, every row streaming.

Before the library there were capsules of the Python extension. Side by side on one core of an AMD EPYC (AVX2), the commit
before it made 5,270 steps in a second of processor time, and the library 8,400. Most of that came from whole vectors instead of
masked stores (``copy_words.h``), which Python's runs have too.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_a_c_host_steps_rows_that_stream(benchmark, tmp_path):
    if not shutil.which("cmake"):
        pytest.skip("cmake is not here")
    subprocess.run(["cmake", "-S", ROOT, "-B", tmp_path, "-DWSEKERN_PYTHON=OFF", "-DCMAKE_BUILD_TYPE=Release"], check=True)
    subprocess.run(["cmake", "--build", tmp_path, "--target", "wsekern_static"], check=True)
    library = next(tmp_path.rglob("libwsekern.a"))
    host = tmp_path / "host"
    include = [f"-I{ROOT / folder}" for folder in ("src/fabric", "src/common")]
    subprocess.run(["cc", "-O2", *include, ROOT / "bench/embedding_host.c", library, "-lpthread", "-lm", "-o", host],
                   check=True)
    rates = benchmark.pedantic(lambda: subprocess.run([host, "256"], check=True, capture_output=True, text=True).stdout.split(),
                               rounds=3)
    benchmark.extra_info.update(cycles_per_cpu_s=float(rates[0]), wavelet_hops_per_cpu_s=float(rates[1]), goal=1.4 * 5270)
