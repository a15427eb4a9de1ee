"""Files for people and machines, whole or not at all; and how commands end."""

import io
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from threading import Lock, Timer
from types import FrameType
from typing import Any, NoReturn

from wsekern.errors import InputError, WsekernError
from wsekern.interrupts import heeding, leave


class ProgressBar:
    """A progress bar on standard error, only where somebody watches; ``total`` None: how much there is to do is not known;
    ``after`` so many seconds, so that what is quick says nothing."""

    def __init__(self, title: str, total: int | None = None, after: float = 0.0):
        self._title, self._total, self._done = title, total, 0
        self._bar: Any = None
        self._lock, self._closed = Lock(), sys.stderr is None or not sys.stderr.isatty()
        self._timer = Timer(after, self._start) if after and not self._closed else None

    def __enter__(self) -> Callable[..., None]:
        if self._timer is None:
            self._start()
        else:
            self._timer.daemon = True
            self._timer.start()
        return self._advance

    def _start(self) -> None:
        with self._lock:
            if self._closed:
                return
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            timed = self._timer is not None and not self._total
            columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()) if timed else ()
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self._title, total=self._total, completed=self._done)
            self._bar.start()

    def _advance(self, steps: int = 1) -> None:
        self._done += steps
        if self._bar is not None:
            self._bar.advance(self._task, steps)

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._closed, bar, self._bar = True, self._bar, None
        if bar is not None:
            bar.stop()


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
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"cannot write to a {type(path).__name__}: expected the name of a file")
    target = Path(path)
    data = content.encode() if isinstance(content, str) else content
    try:
        if os.path.exists(target) and not os.path.isfile(target):
            with open(target, "wb") as stream:
                stream.write(data)
        else:
            _replace(Path(os.path.realpath(target)), data)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write {target}: {getattr(error, 'strerror', None) or error}") from None


def write_figure(path: str | os.PathLike[str], figure: Any, **options: Any) -> None:
    """Write a matplotlib figure, whole or not at all, in the format of its name's ending; ``options`` as of ``savefig``."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=picture_kind(path), **options)
    write_file(path, buffer.getvalue())


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


def run_and_exit(run: Callable[[], Any]) -> NoReturn:
    """Run a command and end the process: with the status that it gives, 0 where that is none, 2 and one sentence for anything
    that a user can put right, 130 after an interrupt, 141 where nobody reads its output any more."""
    seen: list[int] = []

    def heed(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    try:
        with heeding(heed):
            code = run()
            if sys.stdout is not None:
                sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except WsekernError as error:
        _refuse(str(error), error.in_lines)
    except BrokenPipeError:
        _forget_output()
        sys.exit(141)
    except OSError as error:
        _forget_output()
        _refuse(f"cannot read or write {error.filename or 'the output'}: {error.strerror or error}")
    except MemoryError as error:
        _refuse(f"not enough memory in this computer: {error or 'use a smaller model, grid or request'}")
    except (Exception, KeyboardInterrupt) as error:
        if not _is_interrupt(error):
            raise
        _say("interrupted")
        leave() if seen else sys.exit(130)


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether an interrupt is behind ``error``: Python hands some on as another error, as where a class is being made."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def clicked(command: Any) -> Any:
    """What a click command gives; what click itself refuses is refused as everything else."""
    from click import Abort, ClickException

    try:
        return command.main(standalone_mode=False)
    except ClickException as error:
        raise InputError(error.format_message()) from None
    except Abort:
        raise KeyboardInterrupt from None


def _refuse(sentence: str, in_lines: bool = False) -> NoReturn:
    """Say why nothing was done: in one line, or in those of the message."""
    if in_lines:
        print(sentence, file=sys.stderr)
    else:
        _say(" ".join(sentence.split()))
    sys.exit(2)


def _say(sentence: str) -> None:
    print(f"wsekern: {sentence}", file=sys.stderr)


def _forget_output() -> None:
    """stdout is closed: point it at /dev/null so that the final flush cannot raise."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
