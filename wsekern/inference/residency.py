"""Which layers' weights stay in memory: as many as there is room for; others are made anew from the checkpoint each pass."""

from collections.abc import Callable, Iterator

from wsekern.errors import InputError
from wsekern.inference.steps import Values
from wsekern.ops.repeated import Repeated


def bytes_of(values: Values) -> int:
    """Bytes that tiles take in memory: those that PEs hold in common once."""
    return sum(Repeated.of(tiles).tiles.nbytes for tiles in values.values())


class Layers:
    """The weights of ``count`` layers on the grid, layer by layer in each pass.

    ``make`` gives those of one layer. ``room``: bytes for all of them, None for no limit. Layers come in the same order in
    every pass, so that the first ones stay and the last ones, of which there is one at a time, are made whenever they are
    wanted: whichever else was kept would be thrown away just before it is wanted.
    """

    def __init__(self, make: Callable[[int], Values], count: int, room: int | None = None) -> None:
        self._make, self.count, self.room = make, count, room
        self._kept: list[Values] = []
        for index in range(count):
            tiles = make(index)
            if room is not None:
                room -= bytes_of(tiles)
                largest = max([bytes_of(tiles), *map(bytes_of, self._kept[:1])])
                if (index + 1 < count and room < largest) or room < 0:  # what is made next needs room beside these
                    break
            self._kept.append(tiles)

    @property
    def kept(self) -> int:
        """Layers that stay in memory."""
        return len(self._kept)

    def __iter__(self) -> Iterator[Values]:
        yield from self._kept
        for index in range(self.kept, self.count):
            yield self._make(index)


def room_for_layers(memory: int | None, outer: Values, caches: list[Values]) -> int | None:
    """Bytes of ``memory`` that are left for the weights of layers."""
    if memory is None:
        return None
    taken = bytes_of(outer) + sum(map(bytes_of, caches))
    if memory <= taken:
        raise InputError(f"a memory of {memory:,} bytes does not hold the embedding, the head and the cache, which take "
                         f"{taken:,}: give more, or a smaller context")
    return memory - taken
