"""Files for people and machines: whole or not at all."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from wsekern.errors import InputError


def write_file(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a whole file or nothing: a temporary file beside it takes its place when complete."""
    target = Path(path)
    data = content.encode() if isinstance(content, str) else content
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(name, 0o666 & ~umask)
            os.replace(name, target)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}") from None


def to_json(data: Any) -> str:
    """Indented JSON with a final newline; not-a-number is refused rather than written."""
    return json.dumps(data, indent=2, allow_nan=False, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    """numpy scalars as Python numbers."""
    return value.item() if hasattr(value, "item") else str(value)
