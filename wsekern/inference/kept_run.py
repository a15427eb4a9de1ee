"""Runs of models in files: what has been reached is kept while it goes on, and another process goes on from there.

A file is in the safetensors format: arrays of the caches and clocks, and one of bytes with the rest as JSON, which run it is of
and a digest of everything among it.
"""

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

import wsekern
from wsekern.errors import InputError, check_source
from wsekern.inference.generate import SavedRun
from wsekern.output import write_file

SHARE = 0.05
"""Of the time of a run that goes into keeping it, where no interval is asked for."""


@dataclass
class Keeping:
    """Where a run is kept (``save``), at most every so many ``seconds``, and which one goes on (``resume``), if any.

    ``seconds`` None: as often as takes :data:`SHARE` of the time; 0: behind every token. ``identity``: what the run is of, by
    names; a run whose own differs is refused.
    """

    save: str | os.PathLike[str] | None = None
    resume: str | os.PathLike[str] | None = None
    seconds: float | None = None
    identity: Mapping[str, str] = field(default_factory=dict)
    _ready: float = 0.0  # when the next one is due
    _found: SavedRun | None = None

    def open(self, identity: Mapping[str, str]) -> None:
        """Say what the run is of, before anything runs, and read the one to go on from."""
        self.identity = {"wsekern": wsekern.__version__, **identity}
        if self.resume is not None:
            self._found = read_run(self.resume, self.identity)

    def found(self) -> SavedRun | None:
        """The run to go on from."""
        return self._found

    def keep(self, reached: Callable[[], SavedRun], last: bool) -> None:
        """Write what is reached where it is time to."""
        began = time.monotonic()
        if self.save is None or not (last or began >= self._ready):
            return
        write_run(self.save, reached(), self.identity)
        done = time.monotonic()
        self._ready = done + ((done - began) / SHARE if self.seconds is None else self.seconds)


class _Told(msgspec.Struct, forbid_unknown_fields=True):
    """What a file holds beside arrays."""

    identity: dict[str, str]
    run: msgspec.Raw
    digest: str
    format: Literal["wsekern-run-1"] = "wsekern-run-1"


def write_run(path: str | os.PathLike[str], run: SavedRun, identity: Mapping[str, str]) -> None:
    """Write a run and what it is of, whole or not at all."""
    from safetensors.numpy import save

    arrays: dict[str, np.ndarray] = {}

    def put(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            arrays[str(len(arrays))] = np.ascontiguousarray(value)
            return len(arrays) - 1
        if isinstance(value, np.generic):
            return value.item()
        raise NotImplementedError(f"{type(value).__name__} in a run")

    told = _Told(dict(identity), msgspec.Raw(msgspec.json.encode(run, enc_hook=put)), "")
    told.digest = _digest(told, arrays)
    write_file(path, save({"told": np.frombuffer(msgspec.json.encode(told), np.uint8), **arrays}))


def read_run(path: str | os.PathLike[str], identity: Mapping[str, str]) -> SavedRun:
    """The run in a file; :class:`InputError` where it is cut, altered, of another format, or of another run."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    def get(kind: type, value: Any) -> Any:
        if kind is np.ndarray:
            return arrays[str(value)]
        raise NotImplementedError(f"{kind.__name__} in a run")

    check_source(path)
    try:
        arrays = load(Path(path).read_bytes())
        told = msgspec.json.decode(arrays.pop("told").tobytes(), type=_Told)
        if told.digest != _digest(told, arrays):
            raise InputError(f"cannot resume {path}: it was altered since it was written")
        _check_same(path, told.identity, identity)
        return msgspec.json.decode(told.run, type=SavedRun, dec_hook=get)
    except OSError as error:
        raise InputError(f"cannot resume {path}: {error.strerror}") from None
    except (SafetensorError, msgspec.ValidationError, msgspec.DecodeError, KeyError) as error:
        raise InputError(f"cannot resume {path}: it was cut, or is no file that --save wrote ({error})") from None


def _digest(told: _Told, arrays: Mapping[str, np.ndarray]) -> str:
    """Of all but the digest itself."""
    found = hashlib.blake2b(msgspec.json.encode([told.format, told.identity, told.run]), digest_size=32)
    for name in sorted(arrays):
        found.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        found.update(arrays[name].reshape(-1).view(np.uint8))
    return found.hexdigest()


def _check_same(path: str | os.PathLike[str], saved: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuse a run that is of something else."""
    for name in [*now, *saved]:
        if saved.get(name) != now.get(name):
            raise InputError(f"cannot resume {path}: it was saved with {name} {_short(saved.get(name))}, and this run has "
                             f"{_short(now.get(name))}: give the same, or start anew without --resume")


def _short(text: str | None) -> str:
    return "none" if text is None else text if len(text) <= 60 else f"{text[:57]}..."
