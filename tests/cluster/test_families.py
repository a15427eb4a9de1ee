"""A GPU of a new family is one file: its family, whose kernels stand in, its names and its rack."""

import json
from importlib.resources import files

import pytest
from click.testing import CliRunner

from wsekern.cli import cli
from wsekern.cluster import bundled_clusters, bundled_gpus, load_cluster, load_gpu, predict
from wsekern.cluster.constants import constants
from wsekern.cluster.hardware import family_gpu, typical_families
from wsekern.cluster.parameters import Fits, fits, kernel_fit, small_kernel_seconds, system_family
from wsekern.errors import InputError
from wsekern.workload import load_config

LLAMA = load_config("llama3-8b")


def write_rubin(path, *extra, fallback='fallback = "blackwell"'):
    """A GPU of a family that the package does not know, with twice the memory bandwidth of a B200."""
    lines = (files("wsekern.cluster") / "data" / "machines" / "b200.toml").read_text().splitlines()
    own = {"name": 'name = "rubin"', "family": 'family = "feynman"', "kernels": "\n".join([fallback, *extra]),
           "typical": "", "small_kernel": "",
           "bandwidth": 'bandwidth = { value = 16e12, unit = "B/s", source = "a rumour", confidence = "I" }'}
    seen, text = set(), []
    for line in lines:
        key = line.split("=")[0].strip()
        text.append(own[key] if key in own and key not in seen else line)
        seen.add(key)
    path.write_text("\n".join(text) + "\n")
    return path


def test_a_gpu_of_a_new_family_is_one_file(tmp_path):
    own = write_rubin(tmp_path / "rubin.toml")
    result = CliRunner().invoke(cli, ["predict", "gpu", "llama3-8b", "--phase", "decode", "--gpu", str(own), "--gpus", "8",
                                      "--context", "4096", "--json", "-"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    known = predict(LLAMA, "b200x8", context=4096)
    assert found["confidence"] == "low" and found["gpus"] == 8
    assert known.roofline_seconds / 2 < found["seconds"] < known.seconds


def test_the_stated_family_stands_in(tmp_path):
    gpu = load_gpu(write_rubin(tmp_path / "rubin.toml"))
    assert family_gpu(gpu) is load_gpu("b200")
    for kernel in ("gemm", "decode_attention", "prefill_attention", "moe"):
        taken, lent = (kernel_fit(kernel, owner, ("vllm",), "bf16") for owner in (gpu, load_gpu("b200")))
        assert taken.parameters == lent.parameters and "taken from b200_sxm" in taken.evidence
    assert small_kernel_seconds(gpu, constants()) == small_kernel_seconds(load_gpu("b200"), constants())
    older = load_gpu(write_rubin(tmp_path / "older.toml", fallback='fallback = "ampere"'))
    assert "taken from a100_sxm" in kernel_fit("gemm", older, ("vllm",), "bf16").evidence


def test_the_file_may_state_its_own_smallest_kernel(tmp_path):
    line = 'small_kernel = { value = 1e-6, unit = "s", source = "measured here", confidence = "A" }'
    gpu = load_gpu(write_rubin(tmp_path / "rubin.toml", line))
    assert small_kernel_seconds(gpu, constants()) == 1e-6


@pytest.mark.parametrize("fallback", ["", 'fallback = "fermi"'])
def test_a_new_family_without_a_known_one_behind_it_is_refused(tmp_path, fallback):
    gpu = load_gpu(write_rubin(tmp_path / "rubin.toml", fallback=fallback))
    with pytest.raises(InputError, match=r"rubin: family 'feynman' .*fallback = one of ampere, blackwell, hopper"):
        kernel_fit("gemm", gpu, ("vllm",), "bf16")
    assert small_kernel_seconds(gpu, constants()) == constants().small_kernel.value


def test_partly_measured_gpus_take_the_rest_from_their_fallback(tmp_path):
    """Own kernels of another measurement come first, then those of the stated family."""
    gpu = load_gpu(write_rubin(tmp_path / "rubin.toml", 'kernels = "rubin"', fallback='fallback = "hopper"'))
    lent = next(entry for entry in fits().entries if (entry["family"], entry["kind"]) == ("gemm", "bfloat16"))
    with fits.replaced(Fits([*fits().entries, {**lent, "system": "rubin"}])):
        assert kernel_fit("gemm", gpu, ("vllm",), "bf16").evidence == "measured"
        assert "taken from h" in kernel_fit("decode_attention", gpu, ("vllm",), "bf16").evidence
        assert kernel_fit("gemm", load_gpu("h100"), ("vllm",), "bf16").evidence == "measured"


def test_every_bundled_family_has_kernels():
    assert typical_families() == ["ampere", "blackwell", "hopper"]
    for name in bundled_gpus():
        gpu = load_gpu(name)
        assert gpu.mechanism != "gpu" or family_gpu(gpu).kernels
        if gpu.kernels:
            assert system_family(gpu.kernels) == gpu.family
    assert family_gpu(load_gpu("l40s")) is load_gpu("h100")  # no Ada GPU was measured


def test_names_are_stated_once():
    names = [name for gpu in map(load_gpu, bundled_gpus()) for name in (gpu.name, *gpu.aliases)]
    racks = [name for gpu in map(load_gpu, bundled_gpus()) for name in gpu.racks]
    assert len(set(names)) == len(names) and len(set(racks)) == len(racks)
    for gpu in map(load_gpu, bundled_gpus()):
        assert all(load_gpu(alias.upper()) is gpu for alias in gpu.aliases)
        for rack in gpu.racks:
            cluster = load_cluster(rack)
            assert cluster.gpu is gpu and cluster.count == int(gpu.link.domain) and cluster.nodes == 1
            assert load_cluster(rack, 8).count == 8
    assert {"gb200-nvl72", "gb300-nvl72"} <= set(bundled_clusters()) and load_cluster("nvl72").gpu.name == "gb200"
