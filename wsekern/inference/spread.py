"""The wafers of a run on Dask workers: chunks and tokens pass between them, with the values and clocks of one process."""

from typing import Any

from wsekern.errors import InputError, SimulationError
from wsekern.inference.many_wafers import Maker, Recipe, SomeWeights, Stage, Words


class _Answer:
    """What a worker will have handed on; :class:`SimulationError` where it is gone."""

    def __init__(self, future: Any) -> None:
        self._future = future

    def result(self) -> Any:
        try:
            return self._future.result()
        except InputError:
            raise
        except (OSError, ValueError) as error:
            raise SimulationError(f"a Dask worker has ended with the wafer that it stepped: {error}") from None


class _There:
    """A wafer on a worker."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def pass_on(self, words: Words) -> _Answer:
        return _Answer(self._actor.pass_on(words))

    def counts(self) -> _Answer:
        return _Answer(self._actor.counts())


def on_workers(client: Any) -> Maker:
    """Sets wafers up on the workers of a Dask ``client``, by turns; their weights are sent there."""
    workers = sorted(client.nthreads())
    if not workers:
        raise InputError("no Dask worker is there to step a wafer: start one with `dask worker`")

    def make(recipe: Recipe, weights: SomeWeights) -> _There:
        where = [workers[recipe.place % len(workers)]]
        sent = client.scatter(weights.in_memory(), workers=where, hash=False)
        return _There(client.submit(Stage, recipe, sent, actor=True, pure=False, workers=where).result())

    return make
