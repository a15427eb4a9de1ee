"""Bytes of a PE that are not for weights, cache and buffers: the runtime, a stack, and the programs of what lies there.

All layers of a region run one code: a kernel for each kind of operation, and of each step the descriptors of its tiles. It is
counted from the programs of the operations (:mod:`wsekern.ops.engines.code`); of the grid it depends on little more than
whether heads and experts are spread over columns, so that two small grids stand for all.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from wsekern.errors import InputError
from wsekern.inference.grid import Columns, Grid
from wsekern.inference.layer import arriving_steps, mixer_steps, other_steps
from wsekern.inference.outer import embedding_steps, head_steps
from wsekern.inference.programs import Programs
from wsekern.inference.steps import LayerStep, Steps
from wsekern.machine.timing import Timing, timing
from wsekern.ops.engines.code import CodeSize, code_size, library_bytes
from wsekern.ops.local.rows import Form
from wsekern.program.program import SCALAR_BYTES
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Block, Mixture

RUNTIME_BYTES = 4176
"""What the vendor's runtime takes of a PE (FABRICA link test: 22,488 words of 16 bits are left of 48 KB)."""
STACK_BYTES = 128
"""Assumed: eight return addresses, as many as the core model keeps, with three registers each."""
BESIDE_PROGRAMS = RUNTIME_BYTES + STACK_BYTES
"""Bytes of a PE that not even a region without layers has."""
SIDES = ((755, 48), (24, 24))
"""Grids that stand for all: one where a head has several columns, and one where a column has several."""
TOKENS = 2
"""Tokens at once: with two there are all the loops that there are with more."""


def code_bytes(grid: Grid) -> int:
    """Bytes of a PE of ``grid`` that are not for weights, cache and buffers; of programs the most that any grid takes."""
    programs, layer = _most(_one_of_each(grid.config), grid.columns, grid.precision, grid.form, grid.programs,
                            grid.weight_precision, grid.cache_precision, grid.held_layers > 0, grid.with_head,
                            grid.expert_wafers > 1)
    return BESIDE_PROGRAMS + programs + grid.held_layers * layer


@lru_cache(maxsize=1024)
def _one_of_each(config: ModelConfig) -> ModelConfig:
    """A model with one layer of each kind: it has the same programs."""
    return replace(config, blocks=tuple(block for block, _ in config.kinds))


@dataclass(frozen=True)
class ProgramSizes:
    """Bytes of the programs of some steps: of kernels, and of each kind of step its call and the descriptors of its tiles; the
    functions of the software library that they call, and the names of their tiles."""

    kernels: dict[Hashable, int]
    steps: dict[Hashable, int]
    library: frozenset[str]
    tiles: frozenset[str]

    @classmethod
    def of(cls, grid: Grid, listed: Steps) -> "ProgramSizes":
        """Of steps on ``grid``."""
        costs, kernels, steps = _costs(grid.precision), dict[Hashable, int](), dict[Hashable, int]()
        library, tiles = set[str](), set[str]()
        for step in listed:
            if not isinstance(step, LayerStep):
                continue
            size = code_size(step.operation, costs, grid.width, grid.height)
            _raise_to(kernels, size.kernel, size.code - size.instructions)
            _raise_to(kernels, size.shared, size.instructions)
            _raise_to(steps, _kind(step, size), SCALAR_BYTES + size.step)
            library |= size.library
            tiles.update(name for name in step.inputs if name.startswith(("weights.", "cache.")))
        return cls(kernels, steps, frozenset(library), frozenset(tiles))


def layer_sizes(grid: Grid, block: Block) -> tuple[ProgramSizes, ...]:
    """Of the mixers of a layer, and of all else: each for all grids whose programs differ in the other's choices alone."""
    of_mixers = grid.programs.of_mixers
    of_others = grid.programs.of_others if isinstance(block.feed, Mixture) else of_mixers.of_others
    return _mixer_sizes(replace(grid, programs=of_mixers), block), _other_sizes(replace(grid, programs=of_others), block)


@lru_cache(maxsize=1024)
def _mixer_sizes(grid: Grid, block: Block) -> ProgramSizes:
    return ProgramSizes.of(grid, mixer_steps(grid, block, TOKENS, max(1, grid.slots)))


@lru_cache(maxsize=1024)
def _other_sizes(grid: Grid, block: Block) -> ProgramSizes:
    arriving = arriving_steps(grid, block, TOKENS) if grid.columns != "whole" else []
    return ProgramSizes.of(grid, [*other_steps(grid, block, TOKENS), *arriving])


def program_bytes(sizes: Sequence[ProgramSizes], precision: str) -> int:
    """Bytes of programs that serve for any of some steps; without the addresses of tiles."""
    kernels, steps = {}, {}
    for one in sizes:
        for known, found in ((kernels, one.kernels), (steps, one.steps)):
            for key, size in found.items():
                _raise_to(known, key, size)
    library = frozenset[str]().union(*(one.library for one in sizes))
    return (sum(kernels.values()) + sum(steps.values()) +
            sum(library_bytes(function, _costs(precision)) for function in library))


def _costs(precision: str) -> Timing:
    """Programs are counted as those of one machine."""
    return timing("wse3", "silicon", precision)


def _kind(step: LayerStep, size: CodeSize) -> Hashable:
    """What steps of a loop over heads, experts or rounds have alike."""
    return step.part, step.name.rstrip("0123456789"), size.kernel


def _raise_to(sizes: dict[Hashable, int], key: Hashable, size: int) -> None:
    sizes[key] = max(size, sizes.get(key, 0))


@lru_cache(maxsize=1024)
def _most(config: ModelConfig, columns: Columns, precision: str, form: Form, programs: Programs, weight_precision: str,
          cache_precision: str, with_layers: bool, with_head: bool, on_wafers: bool) -> tuple[int, int]:
    """The most bytes of programs on any grid, and of the addresses of one layer's tiles: of those that stand for all, those on
    which the model lies."""
    found, tiles, refused = list[ProgramSizes](), 0, None
    for width, height in SIDES:
        grid = Grid(config, width, height, precision, context=1024, chunk=TOKENS, layers=int(with_layers), with_head=with_head,
                    activations=form, programs=programs, weight_precision=weight_precision, cache_precision=cache_precision,
                    expert_wafers=1 + on_wafers, columns=columns)
        try:
            lists = [layer_sizes(grid, block) for block, _ in config.kinds] if with_layers else []
            lists += [(ProgramSizes.of(grid, [*embedding_steps(grid, [0] * TOKENS), *head_steps(grid)]),)] if with_head else []
        except InputError as error:
            refused = error
            continue
        found += [size for sizes in lists for size in sizes]
        tiles = max([tiles, *(len(frozenset().union(*(size.tiles for size in sizes))) for sizes in lists)])
    if refused and not found:
        raise refused
    return program_bytes(found, precision), SCALAR_BYTES * tiles
