"""Grids that differ in numbers alone: what depends on these numbers, by formulas that all of them share."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache, partial
from typing import Any

from wsekern.formulas import Formulas
from wsekern.inference.grid import Columns, Grid
from wsekern.inference.programs import Programs
from wsekern.ops.local.rows import Form
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Attention, Block
from wsekern.workload.popularity import ExpertLaw

_NUMBERS = ("width", "height", "context", "chunk", "expert_load")
_BLOCKS = ("position_blocks", "expert_blocks", "router_copies")
_ALIKE = tuple(one.name for one in fields(Grid) if one.name not in (*_NUMBERS, "programs"))
_PROGRAMS = tuple(one.name for one in fields(Programs) if one.name not in _BLOCKS)


class GridFormulas:
    """What ``function`` makes of a grid and of further whole numbers, by formulas in the numbers of the grid and these. Of the
    grid's programs it looks at what ``programs`` leaves of them alone."""

    def __init__(self, function: Callable[..., tuple[Any, ...]],
                 programs: Callable[[Programs], Programs] = lambda programs: programs) -> None:
        self.function, self.programs = function, programs
        self._known: dict[Hashable, Formulas] = {}
        self._of: dict[Grid, Formulas] = {}

    def of(self, grid: Grid) -> Formulas:
        """Those of all grids that differ from ``grid`` in numbers alone: sides, context, chunk, experts on the fullest block,
        blocks for positions and experts, copies of routers, then the further ones."""
        found = self._of.get(grid)
        if found is None:
            found = self._of[grid] = self._alike(grid)
        return found

    def _alike(self, grid: Grid) -> Formulas:
        programs = self.programs(grid.programs)
        alike = (*[getattr(grid, name) for name in _ALIKE], *[getattr(programs, name) for name in _PROGRAMS])
        if alike not in self._known:
            self._known[alike] = Formulas(partial(self._of_numbers, replace(grid, programs=programs)))
        return self._known[alike]

    def _of_numbers(self, grid: Grid, *numbers: int) -> tuple[Any, ...]:
        own, blocks, others = numbers[:len(_NUMBERS)], numbers[len(_NUMBERS):][:len(_BLOCKS)], \
            numbers[len(_NUMBERS) + len(_BLOCKS):]
        programs = replace(grid.programs, **dict[str, Any](zip(_BLOCKS, blocks, strict=True)))
        return self.function(replace(grid, programs=programs, **dict[str, Any](zip(_NUMBERS, own, strict=True))), *others)


@dataclass(frozen=True, eq=False)
class LayerKind:
    """Layers of one kind on grids that differ in their sides, context and chunk: ``grid`` is one with a single such layer and
    one user."""

    grid: Grid
    count: int
    """Layers of the model that are of this kind."""

    @property
    def block(self) -> Block:
        """What they are."""
        return self.grid.config.blocks[0]

    @cached_property
    def blocks(self) -> tuple[int, int, int]:
        """Blocks for positions and experts, and copies of routers."""
        programs = self.grid.programs
        return programs.position_blocks, programs.expert_blocks, programs.router_copies

    @cached_property
    def looks_back_over_all(self) -> bool:
        """Whether all mixers have the same steps for every context and chunk, but for the blocks into which short ones can be
        cut."""
        return all(type(mixer) is Attention and not mixer.reach and mixer.indexer is None and mixer.compression == 1
                   for mixer in self.block.mixers)


@lru_cache(maxsize=4096)
def layer_kinds(made: Callable[..., Grid], config: ModelConfig, programs: Programs, precision: str, activations: Form | None,
                weight_precision: str, cache_precision: str, expert_law: ExpertLaw, expert_wafers: int,
                expert_wafer: int, columns: Columns) -> tuple[LayerKind, ...]:
    """Of each kind of layer of ``config``, in the order of :attr:`ModelConfig.kinds`."""
    return tuple(LayerKind(_first_of(made(one, 1, 1, precision, context=1, layers=1, with_head=False, programs=programs,
                                          activations=activations, weight_precision=weight_precision,
                                          cache_precision=cache_precision, expert_law=expert_law,
                                          expert_wafers=expert_wafers, expert_wafer=expert_wafer, columns=columns)), count)
                 for one, (_, count) in zip(_single_blocks(config), config.kinds, strict=True))


@lru_cache(maxsize=4096)
def _first_of(grid: Grid) -> Grid:
    """Of equal grids the one that was there first: regions of more and of fewer layers share what is known of it."""
    return grid


@lru_cache(maxsize=1024)
def _single_blocks(config: ModelConfig) -> tuple[ModelConfig, ...]:
    """Models of one layer, of each kind of ``config``."""
    return tuple(replace(config, blocks=(block,)) for block, _ in config.kinds)
