"""What Ctrl-C does to a command: a word and status 130, at whatever moment it comes."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

Handler = Callable[[int, FrameType | None], None]


def leave() -> NoReturn:
    """End the process, of which nothing is left to be done: Python's own end takes time, and may turn the status into another.

    Where an interrupt hits a class or a function that is made from text, Python remembers it as one that nobody caught.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(130)


def _leave_at_once(number: int, frame: FrameType | None) -> None:
    os.write(2, b"wsekern: interrupted\n")
    leave()      # an exception may be swallowed where modules are imported; nothing is open yet


@contextlib.contextmanager
def heeding(handler: Handler) -> Iterator[None]:
    """Inside, Ctrl-C calls ``handler``: where it is heeded at all, and in the main thread, as no other may ask for signals."""
    try:
        before = signal.getsignal(signal.SIGINT)
        heeded = before is signal.default_int_handler and bool(signal.signal(signal.SIGINT, handler))
    except ValueError:
        heeded = False
    try:
        yield
    finally:
        if heeded:
            signal.signal(signal.SIGINT, before)


def leaving_quietly() -> contextlib.AbstractContextManager[None]:
    """Inside, Ctrl-C ends the process: while modules are imported."""
    return heeding(_leave_at_once)
