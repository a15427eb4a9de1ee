"""JSON files of a model's folder, with errors in one sentence."""

import json
from pathlib import Path
from typing import Any

from wsekern.errors import InputError

LARGEST = 100_000_000
"""Bytes; no JSON file beside a model comes near."""


def read_json(path: Path) -> Any:
    """What the JSON file at ``path`` holds; :class:`InputError` if it cannot be read or is none."""
    try:
        with open(path, "rb") as file:
            stored = file.read(LARGEST + 1)
        if len(stored) > LARGEST:
            raise InputError(f"{path} is no configuration: it is larger than {LARGEST:,} bytes")
        data = json.loads(stored)
        if b"\\u" in stored:
            json.dumps(data, ensure_ascii=False).encode()  # half a surrogate pair is no text: nothing could show or encode it
        return data
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
