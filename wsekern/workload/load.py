"""Where model shapes come from: the bundled ones, a Hugging Face ``config.json``, or a folder that holds one."""

import json
import os
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

from wsekern.errors import InputError
from wsekern.workload.config import ModelConfig
from wsekern.workload.parse import parse_config


def bundled_models() -> list[str]:
    """Names of the model shapes shipped with the package."""
    folder = files("wsekern.workload") / "models"
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))


def load_config(model: str | os.PathLike[str]) -> ModelConfig:
    """Shape of ``model``: a bundled name, a ``config.json``, or a folder that holds one."""
    if str(model) in bundled_models():
        resource = files("wsekern.workload") / "models" / f"{model}.json"
        return parse_config(json.loads(resource.read_text()), str(model), str(resource))
    path = Path(model)
    if os.path.isdir(path):
        path = path / "config.json"
    if not os.path.exists(path):  # unlike Path's, false for names that no file can have
        near = get_close_matches(str(model), bundled_models())
        raise InputError(f"no model {str(model)!r}: it is neither a folder or file with a Hugging Face config.json nor one of "
                         f"the {len(bundled_models())} that `wsekern machines` lists"
                         + (f"; did you mean {' or '.join(near)}?" if near else ""))
    data = read_json(path)
    name = path.parent.name if path.name == "config.json" else path.stem
    return parse_config(data, name or "model", str(path))


def read_json(path: Path) -> Any:
    """What the JSON file at ``path`` holds; :class:`InputError` if it cannot be read or is none."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON: {error}") from None


def read_object(path: Path) -> dict[str, Any]:
    """The object in the JSON file at ``path``; empty where there is no such file."""
    if not path.is_file():
        return {}
    data = read_json(path)
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected a JSON object")
    return data
