"""Where the weights of a described model lie in a checkpoint: every tensor is found, has the right shape, and is used."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from wsekern.errors import InputError
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Block, Mixture
from wsekern.workload.weights.names import BESIDE, Layout, Part, Table
from wsekern.workload.weights.shapes import OPTIONAL, Shapes, block_shapes, outer_shapes
from wsekern.workload.weights.tensors import TensorSource

AS_STORED = ("conv", "embedding", "positions", "q_norm", "k_norm")
"""Matrices that are used as a file has them: (channels, kernel), (tokens, width), (heads, width)."""


SKIPPED = {"OPTForCausalLM": 2}
"""Rows in front of a table of positions that no position takes."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """The ``weights`` that one tensor holds, or with ``stacked`` the tensors of all experts.

    ``logical``: shape of one tensor as (inputs, outputs); ``swapped``: it is stored the other way round. ``widths``: outputs of
    each weight, repeated ``groups`` times. ``skipped``: rows in front that are none. ``neighbors``: heads whose outputs are
    stored with those side by side that turn together (0: as they are).
    """

    weights: tuple[str, ...]
    tensors: tuple[str, ...]
    logical: tuple[int, ...]
    widths: tuple[int, ...]
    groups: int = 1
    stacked: bool = False
    swapped: bool = False
    skipped: int = 0
    neighbors: int = 0


@dataclass(frozen=True)
class Places:
    """Where the weights of all blocks lie, and those outside. ``notes``: what else is in the files."""

    blocks: list[list[Found]]
    outer: list[Found]
    notes: tuple[str, ...] = field(default=())


def find_places(source: TensorSource, config: ModelConfig, layout: Layout) -> Places:
    """Find every weight of ``config``; refuse missing tensors, other shapes, and tensors that nothing uses."""
    root, stack = _root(source, layout)
    blocks = [_Search(source, config, layout, block, f"{root}{stack}.{index}.").find()
              for index, block in enumerate(config.blocks)]
    outer = list(_outer(source, config, layout, root))
    used = {name for part in (*blocks, outer) for found in part for name in found.tensors}
    return Places(blocks, outer, _unused(source, used, rf"{re.escape(root)}{stack}\.(\d+)\.", config, layout))


def _root(source: TensorSource, layout: Layout) -> tuple[str, str]:
    """What stands in front of the list of blocks, and its name: with multimodal models, and without ``model.``, any prefix."""
    roots: dict[tuple[str, str], None] = {}
    for name in source.tensors:
        found = re.match(rf"(.*?\.|)({layout.blocks})\.0\.", name)
        if found and not re.search(BESIDE, found[1]):
            roots[found[1], found[2]] = None
    beside = [root for root in roots if any(f"{root[0]}{module}.weight" in source.tensors
                                           for module in layout.outer["embedding"])]
    return next(iter(beside or roots), ("model.", layout.blocks.split("|")[0]))


class _Search:
    """The search for the weights of one block, whose tensors begin with ``prefix``."""

    def __init__(self, source: TensorSource, config: ModelConfig, layout: Layout, block: Block, prefix: str):
        self._source, self._layout, self._block, self._prefix = source, layout, block, prefix
        self._table: Table = layout.table(config.architecture, getattr(block.mixer, "gate", False))
        self._shapes: Shapes = block_shapes(block, config.hidden)
        self._found: dict[str, Found] = {}  # by its first weight
        self._taken: set[str] = set()

    def find(self) -> list[Found]:
        """All of them."""
        for module, part in self._table.items():
            for end, tail in ((".weight", ""), ("", ""), (".bias", "_bias"), ("_bias", "_bias")):
                name = f"{self._prefix}{module}{end}"
                if _expert(name, 0) in self._source.tensors:
                    self._take(name, part, tail)
        for name in self._shapes:
            if name not in self._taken and name not in OPTIONAL:
                raise InputError(f"{self._source.path}: tensor {self._likely(name)} is missing from the weights")
        return list(self._found.values())

    def _take(self, name: str, part: Part, tail: str) -> None:
        """Note what a tensor holds, if the description has it and no other tensor is it."""
        for names in (part.names, *part.others):
            for mixer in ("", "beside."):
                weights = tuple(f"{mixer}{weight}{tail}" for weight in names)
                if not all(weight in self._shapes and weight not in self._taken for weight in weights):
                    continue
                self._taken |= set(weights)
                self._found[weights[0]] = self._place(name, weights, part)
                return

    def _place(self, name: str, weights: tuple[str, ...], part: Part) -> Found:
        shapes = [self._shapes[weight] for weight in weights]
        stacked = "{e}" in name
        tensors = tuple(_expert(name, index) for index in range(shapes[0][0])) if stacked else (name,)
        lead = shapes[0][1:-1] if stacked else shapes[0][:-1]
        widths = tuple(shape[-1] for shape in shapes)
        found = Found(weights=weights, tensors=tensors, logical=(*lead, sum(widths)), widths=widths, stacked=stacked,
                      groups=self._groups(part), swapped=_swapped(weights[0], lead, part.transposed),
                      neighbors=getattr(self._block.mixer, part.neighbors) if part.neighbors else 0)
        for tensor in tensors:
            check_shape(self._source, tensor, file_shape(found), self._layout)
        return found

    def _groups(self, part: Part) -> int:
        if part.groups == "pairs":
            assert isinstance(self._block.feed, Mixture)
            return self._block.feed.expert.width
        number = part.groups or "1"
        return int(number) if number.isdecimal() else getattr(self._block.mixer, part.groups)

    def _likely(self, weight: str) -> str:
        """Name of the tensor that a weight is mostly stored as."""
        plain = weight.removeprefix("beside.")
        for tail, end in (("_bias", ".bias"), ("", ".weight")):
            if not plain.endswith(tail):
                continue
            bare = plain.removesuffix(tail)
            for module, part in self._table.items():
                if bare in part.names or any(bare in names for names in part.others):
                    return _expert(f"{self._prefix}{module}{end}", 0)
        return f"{self._prefix}{plain}"


def _expert(name: str, index: int) -> str:
    """The tensor of one expert."""
    return name.replace("{e}", str(index))


def _swapped(weight: str, lead: tuple[int, ...], transposed: bool) -> bool:
    """Whether a matrix is stored (outputs, inputs). Biases of experts are (experts, outputs) in file and description."""
    return bool(lead) and not transposed and weight not in AS_STORED and not weight.endswith("_bias")


def file_shape(found: Found) -> tuple[int, ...]:
    """Shape of a tensor in the file."""
    *lead, inputs, outputs = (1, *found.logical) if len(found.logical) == 1 else found.logical
    shape = (*lead, outputs, inputs) if found.swapped else (*lead, inputs, outputs)
    return shape[1:] if len(found.logical) == 1 else shape


def check_shape(source: TensorSource, name: str, shape: tuple[int, ...], layout: Layout) -> None:
    """Refuse a tensor that is missing or of another shape; axes of one element do not count."""
    tensor = source.tensors.get(name)
    if tensor is None:
        raise InputError(f"{source.path}: tensor {name} is missing from the weights")
    if [size for size in tensor.shape if size != 1] != [size for size in shape if size != 1]:
        raise InputError(f"{tensor.file}: tensor {name} has shape {list(tensor.shape)}, but {layout.settings} asks for "
                         f"{list(shape)}")
    source.check(name)


def _outer(source: TensorSource, config: ModelConfig, layout: Layout, root: str) -> Iterator[Found]:
    """Weights outside the blocks. A stored head is the head, also of a tied model (as in ``transformers`` 5)."""
    shapes, tensors = outer_shapes(config), source.tensors
    heads = [name for name in tensors for module in layout.heads
             if _ends(name, f"{module}.weight") and not re.search(BESIDE, name)]
    table = (config.vocab, config.embedding_size or config.hidden)
    if heads or "head" in shapes:
        shapes["head"] = (table[1], table[0])
    for weight, shape in shapes.items():
        if weight == "head":
            name = heads[0] if heads else f"{layout.heads[0]}.weight"
        elif weight == "head_bias":
            name = heads[0].removesuffix("weight") + "bias" if heads else f"{layout.heads[0]}.bias"
        else:
            name = _outer_name(tensors, root, weight, layout)
            if weight == "embedding" and name not in tensors and config.tied_embeddings and heads:
                continue
        swapped = len(shape) > 1 and weight not in AS_STORED
        skipped = SKIPPED.get(config.architecture, 0) if weight == "positions" else 0
        if skipped and name in tensors:
            shape = (tensors[name].shape[0] - skipped, *shape[1:])
        check_shape(source, name, (shape[0] + skipped, *shape[1:]) if skipped else shape[::-1] if swapped else shape, layout)
        yield Found(weights=(weight,), tensors=(name,), logical=shape, widths=shape[-1:], swapped=swapped, skipped=skipped)


def _ends(name: str, module: str) -> bool:
    return name == module or name.endswith(f".{module}")


def _outer_name(tensors: Mapping[str, object], root: str, weight: str, layout: Layout) -> str:
    """The tensor that is there, or the one most likely."""
    plain = weight.removesuffix("_bias")
    end = "weight" if plain == weight else "bias"
    names = [f"{root}{module}.{end}" for module in layout.outer[plain]]
    return next((name for name in names if name in tensors), names[0])


def _unused(source: TensorSource, used: set[str], layer: str, config: ModelConfig, layout: Layout) -> tuple[str, ...]:
    """Refuse tensors that nothing uses; a note on those of parts that serve no text, and of layers that predict ahead."""
    left, beside, ahead = [], {}, 0
    for name in sorted(source.tensors.keys() - used):
        index = re.match(layer, name)
        part = re.search(BESIDE, name)
        if any(_ends(name, end) for end in layout.derived):
            continue
        if part:
            beside[part[2]] = beside.get(part[2], 0) + 1
        elif index and config.layers <= int(index[1]) < config.layers + config.draft_layers:
            ahead += 1
        else:
            left.append(name)
    if left:
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        raise InputError(f"{source.path}: the weights have {', '.join(left[:3])}{more}, which {layout.settings} does not "
                         "name: the model that they belong to would run without them")
    notes = [f"{count} tensors of {part}" for part, count in beside.items()]
    notes += [f"{ahead} tensors of layers that predict tokens ahead"] if ahead else []
    return (f"{source.path} also has {' and '.join(notes)}, which are not read",) if notes else ()
