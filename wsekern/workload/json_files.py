"""JSON files of a model's folder, with errors in one sentence."""

import json
from pathlib import Path
from typing import Any

from wsekern.errors import InputError


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
