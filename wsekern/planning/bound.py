"""How fast a wafer could answer: the bound that no placement passes.

A layer with N multiply-adds for a token, on A PEs, takes N / (rate A) cycles of products, and a way over the square of A PEs
for every sum that has to be complete before the next matrix can begin: half a side to the middle and half a side back. Fewer
PEs multiply longer, more PEs are farther apart; the best A is (2 N / (rate c hop))^(2/3) for c sides, or what the layer's
weights and one user's cache fill beside the code of its programs. No software, no crossings between wafers and no speculation
are in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from wsekern.inference.code import code_bytes
from wsekern.inference.formats import formats_of
from wsekern.inference.grid import Grid
from wsekern.inference.programs import program_set
from wsekern.machine import Machine
from wsekern.machine.timing import Timing
from wsekern.ops.local.packing import PACKINGS, packing
from wsekern.planning.regions import expert_weights
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Attention, Block, LatentAttention, Mixer, Mixture, Recurrent
from wsekern.workload.request import PRECISIONS


@dataclass(frozen=True, kw_only=True)
class PartBound:
    """``count`` alike layers, or the head: of each, what one token costs on the best square of PEs."""

    name: str
    count: int
    products: float
    """Multiply-adds."""
    sides: int
    """Sums that wait for each other, and so ways over the square."""
    pes: float
    """The best number, or that which the memory asks for."""
    filled: bool
    """Whether the memory asks for more PEs than would be best."""
    product_cycles: float
    hop_cycles: float

    @property
    def cycles(self) -> float:
        """Of one layer."""
        return self.product_cycles + self.hop_cycles

    @property
    def side(self) -> float:
        """PEs along a side of the square."""
        return self.pes ** 0.5


@dataclass(frozen=True)
class Bound:
    """What no placement passes for one token at a context."""

    parts: tuple[PartBound, ...]
    clock: float

    @property
    def cycles(self) -> float:
        """Of a token from end to end."""
        return sum(part.count * part.cycles for part in self.parts)

    @property
    def tokens_per_second(self) -> float:
        """For one user."""
        return self.clock / self.cycles

    def to_dict(self) -> dict[str, object]:
        """Plain data for JSON."""
        parts = [{"part": part.name, "count": part.count, "cycles": part.cycles, "side": part.side, "sides": part.sides,
                  "product_cycles": part.product_cycles, "hop_cycles": part.hop_cycles, "filled": part.filled}
                 for part in self.parts]
        return {"tokens_per_second": self.tokens_per_second, "cycles": self.cycles, "parts": parts}


@lru_cache(maxsize=256)
def bound(config: ModelConfig, machine: Machine, context: int, profile: str = "silicon", precision: str = "fp16",
          weight_precision: str = "", cache_precision: str = "") -> Bound:
    """The bound of ``config`` on any number of wafers for a token that sees ``context`` positions, itself included."""
    timing = Timing(machine, profile, precision)
    pace = float(timing.rate(timing.instruction("fma"))), timing.hop
    formats, cached = formats_of(weight_precision, precision), stored_bytes(cache_precision or precision)
    forms = {name: stored_bytes(formats.get(name, precision)) for name in ("attention", "feed", "experts", "rest")}
    layer = Grid(config, 1, 1, precision, layers=1, with_head=False, programs=program_set("default").programs)
    room = int(machine.core.sram) - code_bytes(layer)
    parts = []
    for block, count in config.kinds:
        held = sum(forms[name] * count for name, count in _weights(block, config.hidden))
        held += cached * sum(_kept(mixer, context) for mixer in block.mixers)
        work = block.active_parameters(config.hidden) + sum(_read(mixer, context) for mixer in block.mixers)
        parts.append(_part(_name(block), count, work, _sides(block), held / room, *pace))
    parts.append(_part("head", 1, config.head_parameters, 2, stored_bytes(precision) * config.head_parameters / room, *pace))
    return Bound(tuple(parts), float(machine.clock))


def stored_bytes(precision: str) -> float:
    """Bytes of a weight or cached element, scales of its group included (in 16 bits, of mxfp4 in 8)."""
    if precision in PACKINGS:
        form = packing(precision)
        scale = (8 if form.byte_scales else 16) / form.group if form.group else 0.0
        return (form.bits + scale) / 8
    return PRECISIONS[precision]


def _weights(block: Block, hidden: int) -> Iterator[tuple[str, int]]:
    """Class of matrices, as formats are stated, and how many weights it has."""
    feed = block.feed
    for mixer in block.mixers:
        yield ("rest" if isinstance(mixer, Recurrent) else "attention"), mixer.parameters(hidden)
    if isinstance(feed, Mixture):
        experts = expert_weights(block, hidden)
        beside = sum(part.parameters(hidden) for part in (feed.shared, feed.dense) if part is not None)
        yield from (("experts", experts), ("feed", beside), ("rest", feed.parameters(hidden) - experts - beside))
    elif feed is not None:
        yield "feed", feed.parameters(hidden)


def _part(name: str, count: int, products: float, sides: int, least: float, rate: float, hop: int) -> PartBound:
    best = (2 * products / (rate * sides * hop)) ** (2 / 3)
    pes = max(1.0, best, least)
    return PartBound(name=name, count=count, products=products, sides=sides, pes=pes, filled=least > best,
                     product_cycles=products / (rate * pes), hop_cycles=sides * hop * pes ** 0.5)


def _name(block: Block) -> str:
    """A kind of layer in words: what its parts are, and the window where it has one."""
    words = []
    for mixer in block.mixers:
        reach = 0 if isinstance(mixer, Recurrent) else mixer.reach
        kind = {Recurrent: getattr(mixer, "kind", ""), LatentAttention: "latent attention", Attention: "attention"}[type(mixer)]
        words.append(f"{kind} to {reach:,}" if reach else kind)
    if block.feed is not None:
        words.append("mixture" if isinstance(block.feed, Mixture) else "feed-forward")
    return " + ".join(words) or "nothing"


def _sides(block: Block) -> int:
    """Sums that wait for each other: of every matrix one, and of values weighted by the softmax one. Parts that run beside
    each other share theirs."""
    mixers = max((_mixer_sides(mixer) for mixer in block.mixers), default=0)
    feed = 0 if block.feed is None else 2
    if isinstance(block.feed, Mixture) and block.feed.latent:
        feed += 2
    return max(1, max(mixers, feed) if block.parallel else mixers + feed)


def _mixer_sides(mixer: Mixer) -> int:
    if isinstance(mixer, Recurrent):
        return 2
    if isinstance(mixer, LatentAttention):
        return 4 + bool(mixer.q_rank)  # queries, values of the latent space, their expansion, output
    return 3 + bool(mixer.q_rank) + bool(mixer.o_rank)


def _seen(mixer: Attention | LatentAttention, context: int) -> float:
    """Positions that a token reads."""
    near = min(context, mixer.reach or context)
    if isinstance(mixer, Attention) and mixer.compression > 1:
        near += (context - near) // mixer.compression
    return min(near, mixer.indexer.chosen) if mixer.indexer else near


def _read(mixer: Mixer, context: int) -> float:
    """Multiply-adds of a token with what is kept of the positions before it."""
    if isinstance(mixer, Recurrent):
        return 2.0 * mixer.state
    if isinstance(mixer, LatentAttention):
        return _seen(mixer, context) * mixer.heads * (mixer.latent + mixer.kv_rank)
    return _seen(mixer, context) * mixer.heads * (mixer.head_dim + (mixer.value_dim or mixer.head_dim))


def _kept(mixer: Mixer, context: int) -> float:
    """Elements that are kept of one user: of a window no more than it reaches."""
    if isinstance(mixer, Recurrent):
        return mixer.state
    reach = mixer.reach if not (isinstance(mixer, Attention) and mixer.compression > 1) else 0
    return mixer.cached * min(context, reach or context)
