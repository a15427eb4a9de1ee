"""An interrupt while the command line itself is imported: 130 and a word instead of a traceback."""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"wsekern: interrupted\n")
    os._exit(130)      # an exception may be swallowed where modules are imported; nothing is open yet


@contextlib.contextmanager
def leaving_quietly() -> Iterator[None]:
    """Inside, Ctrl-C ends the process: where it is heeded at all, and in the main thread, as others may not ask for signals."""
    try:
        before = signal.getsignal(signal.SIGINT)
        heeded = before is signal.default_int_handler and bool(signal.signal(signal.SIGINT, _leave))
    except ValueError:
        heeded = False
    try:
        yield
    finally:
        if heeded:
            signal.signal(signal.SIGINT, before)
