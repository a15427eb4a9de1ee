"""Files for people and machines: whole or not at all."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from wsekern.errors import InputError


def check_target(path: str | os.PathLike[str]) -> None:
    """Refuse a place where no file can be written, before the work whose result should go there."""
    target = Path(path)
    if not str(path) or os.path.isdir(target):
        raise InputError(f"cannot write {str(path)!r}: expected the name of a file")
    folder = target.parent
    if not os.path.isdir(folder):
        raise InputError(f"cannot write {target}: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"cannot write {target}: the folder {folder} is read-only for you")
    if os.path.exists(target) and not os.access(target, os.W_OK):
        raise InputError(f"cannot write {target}: it is read-only for you")


def picture_kind(path: str | os.PathLike[str]) -> str:
    """Format of a picture by its name's ending; PNG if it has none."""
    kind = Path(path).suffix.lstrip(".").lower() or "png"
    if kind not in ("png", "svg", "pdf"):
        raise InputError(f"cannot draw {path}: expected a name that ends in .png, .svg or .pdf")
    return kind


def write_file(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a whole file or nothing: a temporary file beside it takes its place when complete.

    What is no file (a device, a pipe) is written to as it is, and a link stays one.
    """
    target = Path(path)
    data = content.encode() if isinstance(content, str) else content
    try:
        if os.path.exists(target) and not os.path.isfile(target):
            with open(target, "wb") as stream:
                stream.write(data)
        else:
            _replace(Path(os.path.realpath(target)), data)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}") from None


def _replace(target: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".wsekern.")
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


def to_json(data: Any) -> str:
    """Indented JSON with a final newline; not-a-number is refused rather than written."""
    try:
        return json.dumps(data, indent=2, allow_nan=False, default=_plain) + "\n"
    except ValueError:
        raise InputError("the result holds a value that is not a finite number, which JSON cannot carry") from None


def _plain(value: Any) -> Any:
    """numpy scalars as Python numbers."""
    return value.item() if hasattr(value, "item") else str(value)
