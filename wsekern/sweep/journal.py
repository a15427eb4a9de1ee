"""The file of records while a sweep runs: one line of JSON for each point as soon as it is done.

What stands in it is never reckoned again. A line that an end of the process has cut is left out.
"""

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from wsekern.errors import InputError
from wsekern.output import write_file

BEGINNING = b'{"key": "'
"""Of each line."""


class Journal:
    """The records in ``path``, which one process writes at a time."""

    def __init__(self, path: Path) -> None:
        self.path, self.done = path, dict[str, dict[str, Any]]()
        self._file: BinaryIO | None = None

    def __enter__(self) -> "Journal":
        self._file = _opened(self.path)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise InputError(f"{self.path} is being written by another sweep: wait for it, or name another file") from None
        try:
            self._read(self._file)
        except BaseException:
            self._file.close()
            raise
        return self

    def _read(self, file: BinaryIO) -> None:
        """Take what is there, and cut a line that has no end."""
        content = file.read()
        whole = content.rfind(b"\n") + 1
        for number, line in enumerate(content[:whole].splitlines(), 1):
            try:
                record = json.loads(line)
                self.done[record["key"]] = record
            except (ValueError, KeyError, TypeError):
                raise InputError(f"{self.path}, line {number}, is no record of a sweep: name another file") from None
        cut = content[whole:]
        if cut and not cut.startswith(BEGINNING[:len(cut)]):
            raise InputError(f"{self.path} ends in what is no record of a sweep: name another file")
        if cut:
            file.truncate(whole)
        file.seek(whole)

    def append(self, record: dict[str, Any]) -> None:
        """Write one more record, for good whatever becomes of this process; one that is known is left out."""
        assert self._file is not None
        if record["key"] not in self.done:
            self.done[record["key"]] = record
            self._file.write(json.dumps(record, allow_nan=False).encode() + b"\n")
            self._file.flush()

    def finish(self, keys: list[str]) -> list[dict[str, Any]]:
        """The records of ``keys``, and the file with them in this order."""
        records = [self.done[key] for key in keys]
        write_file(self.path, "".join(json.dumps(record, allow_nan=False) + "\n" for record in records))
        return records

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is not None:
            if not self.done and os.path.exists(self.path):
                os.unlink(self.path)  # a start that came to nothing leaves nothing
            self._file.close()


def _opened(path: Path) -> BinaryIO:
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
