"""Workers on this machine: processes that answer batches of points and hand on every record as soon as it is there."""

import contextlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from wsekern.errors import SimulationError
from wsekern.garbage import forget, seldom_collected
from wsekern.sweep.axes import Value
from wsekern.sweep.inputs import case_of
from wsekern.sweep.record import answer
from wsekern.sweep.spec import Point

PATIENCE = 3
"""Workers that may end one after the other without a record between them."""

MODELS = 3
"""Models of which a process keeps layouts and times: those of a model take up to some hundred megabytes."""

Inputs = dict[str, Value]

_kept: set[str] = set()


def record_of(inputs: Inputs) -> dict[str, Any]:
    """The record of a point by its inputs."""
    model = str(inputs.get("model"))
    if model not in _kept and len(_kept) >= MODELS:
        forget()
        _kept.clear()
    _kept.add(model)
    with seldom_collected():
        return answer(case_of(inputs))


def _serve(connection: Connection) -> None:
    """What a worker does: batches in, records out, until nobody listens."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    with contextlib.suppress(EOFError, OSError), seldom_collected():
        while True:
            for inputs in connection.recv():
                connection.send(_attempted(inputs))


def _attempted(inputs: Inputs) -> Any:
    """A record, or what went wrong where nothing should."""
    try:
        return record_of(inputs)
    except Exception as error:
        return error


def _model_of(batch: list[Point]) -> str:
    return str(batch[0].inputs.get("model"))


@dataclass
class _Worker:
    process: BaseProcess
    running: deque[Point] = field(default_factory=deque)
    model: str = ""  # of the points that are running


class Processes:
    """``jobs`` processes; :meth:`records` may be left at any time, and all of them end."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._context = multiprocessing.get_context("spawn")  # a fork would copy threads' locks
        self._workers: dict[Connection, _Worker] = {}

    def records(self, batches: list[list[Point]]) -> Iterator[dict[str, Any]]:
        """The record of every point, in the order in which they are done. A worker that ends (for want of memory, say) is
        replaced, and its points go on."""
        waiting, failed = list(batches), 0
        try:
            for _ in range(min(self._jobs, len(batches))):
                self._start(self._taken(waiting))
            while self._workers:
                for connection in wait(list(self._workers)):
                    worker = self._workers[connection]
                    try:
                        found = connection.recv()
                    except (EOFError, OSError):
                        failed += 1
                        self._replace(connection, failed)
                        continue
                    if isinstance(found, Exception):
                        raise found
                    failed = 0
                    worker.running.popleft()
                    if not worker.running:
                        self._next(connection, waiting)
                    yield found
        finally:
            self._end()

    def _start(self, batch: list[Point]) -> None:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(there,), daemon=True)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # it is inherited: a start is not interrupted
        try:
            process.start()
            self._workers[here] = _Worker(process)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        there.close()
        self._give(here, batch)

    def _give(self, connection: Connection, batch: list[Point]) -> None:
        self._workers[connection].running, self._workers[connection].model = deque(batch), _model_of(batch)
        with contextlib.suppress(OSError):  # of one that has ended, the next reading says so
            connection.send([point.inputs for point in batch])

    def _taken(self, waiting: list[list[Point]], done: str = "") -> list[Point]:
        """The batch that goes best to a worker: of the model that it has ``done``, else of one at which no other is."""
        elsewhere = {worker.model for worker in self._workers.values()}
        models = [_model_of(batch) for batch in waiting]
        return waiting.pop(min(range(len(waiting)), key=lambda at: (models[at] != done, models[at] in elsewhere)))

    def _next(self, connection: Connection, waiting: list[list[Point]]) -> None:
        """The next batch for a worker that is done, or its end."""
        if waiting:
            self._give(connection, self._taken(waiting, self._workers[connection].model))
        else:
            worker = self._workers.pop(connection)
            connection.close()
            worker.process.join()

    def _replace(self, connection: Connection, failed: int) -> None:
        """Another worker for what one has left that ended by itself."""
        worker = self._workers.pop(connection)
        connection.close()
        worker.process.join()
        if failed >= PATIENCE:
            raise SimulationError(f"workers end by themselves (exit code {worker.process.exitcode}), most likely for want of "
                                  "memory: what is done is kept; start again with fewer --jobs")
        self._start(list(worker.running))

    def _end(self) -> None:
        for connection, worker in self._workers.items():
            worker.process.kill()
            worker.process.join()
            connection.close()
        self._workers.clear()
