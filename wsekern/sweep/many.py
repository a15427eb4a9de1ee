"""Workers on many machines, by Dask: any scheduler that ``distributed`` reaches, whatever has started it."""

import asyncio
from collections.abc import Iterator
from typing import Any

from wsekern.errors import InputError, SimulationError
from wsekern.sweep.processes import Inputs, record_of
from wsekern.sweep.spec import Point

TIMEOUT = 8.0
"""Seconds that a scheduler may take to answer."""


def records_of(inputs: list[Inputs]) -> list[dict[str, Any]]:
    """The records of a batch, as one task."""
    return [record_of(one) for one in inputs]


def need_dask() -> None:
    """Refuse where Dask is missing."""
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise InputError("--dask wants distributed (pip install 'wsekern[sweep]')") from None


async def _reach(address: str) -> None:
    """Connect once, or raise what is wrong."""
    from distributed.comm import connect

    (await connect(address, timeout=TIMEOUT)).abort()


def connected(address: Any, default: bool = False) -> Any:
    """A client of the scheduler at ``address``, such as tcp://host:8786 (or a cluster object of Dask); actors want the
    ``default`` client of this process."""
    need_dask()
    from distributed import Client

    try:
        if isinstance(address, str):
            asyncio.run(_reach(address))  # a Client that finds nobody leaves threads that complain for a minute
        return Client(address, timeout=TIMEOUT, set_as_default=default)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"no Dask scheduler answers at {address}: {error}") from None


class Dask:
    """The workers of the scheduler at ``address``, as in :func:`connected`."""

    def __init__(self, address: Any) -> None:
        self._client = connected(address)

    @property
    def workers(self) -> int:
        """Tasks that run at a time now."""
        return sum(self._client.nthreads().values()) or 1

    def records(self, batches: list[list[Point]]) -> Iterator[dict[str, Any]]:
        """The record of every point, as batches are done, whoever does them. A worker that ends is Dask's to replace."""
        from distributed import as_completed
        from distributed.scheduler import KilledWorker

        futures = [self._client.submit(records_of, [point.inputs for point in batch], pure=False, priority=-number)
                   for number, batch in enumerate(batches)]
        try:
            for future in as_completed(futures, loop=self._client.loop):
                yield from future.result()
                future.release()
        except KilledWorker as error:
            raise SimulationError(f"a batch of points has ended several workers of Dask: {error}; what is done is kept"
                                  ) from None
        finally:
            self._client.cancel(futures, force=True)

    def close(self) -> None:
        """Leave the scheduler, which goes on."""
        self._client.close()
