"""The parts of a model that take time and memory: each kind once, with the number of blocks that have it.

What costs nothing that is counted here (rotary tables, norms, biases, activations, scales) does not tell kinds apart.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from math import gcd
from typing import NamedTuple

from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Attention, FeedForward, LatentAttention, Mixer, Mixture, Recurrent

Feed = FeedForward | Mixture


class Parts(NamedTuple):
    """Kinds of parts with their counts.

    ``mixers``: of a block, all that run side by side, but for how far they look back; ``caches``: attention over a cache;
    ``feeds``: feed-forward parts; ``extra``: weights of anything else in a block; ``layers``: a block of both a mixer and a
    feed-forward part counts 1, one that lacks either a half.
    """

    mixers: tuple[tuple[tuple[Mixer, ...], int], ...]
    caches: tuple[tuple[Attention | LatentAttention, int], ...]
    feeds: tuple[tuple[Feed, int], ...]
    extra: tuple[tuple[int, int], ...]
    layers: float

    @property
    def each_mixer(self) -> Iterable[tuple[Mixer, int]]:
        """Mixers one by one, but for how far they look back."""
        return ((mixer, count) for mixers, count in self.mixers for mixer in mixers)

    @property
    def recurrents(self) -> tuple[tuple[Recurrent, int], ...]:
        """Mixers that keep a state."""
        return tuple((mixer, count) for mixer, count in self.each_mixer if isinstance(mixer, Recurrent))

    @property
    def mixtures(self) -> tuple[tuple[Mixture, int], ...]:
        """Mixtures of experts."""
        return tuple((feed, count) for feed, count in self.feeds if isinstance(feed, Mixture))


    def weights(self, part: str, hidden: int) -> int:
        """Of all layers: those of ``attention``, ``recurrent`` mixers, ``shared`` experts or ``dense`` feed-forward parts."""
        if part in ("attention", "recurrent"):
            return sum(count * mixer.parameters(hidden) for mixer, count in self.each_mixer
                       if isinstance(mixer, Recurrent) == (part == "recurrent"))
        plain = [(feed, count) for feed, count in self.feeds if isinstance(feed, FeedForward)]
        beside = [(feed.shared if part == "shared" else feed.dense, count) for feed, count in self.mixtures]
        return sum(count * feed.parameters(hidden) for feed, count in (*beside, *(plain if part == "dense" else ())) if feed)


@lru_cache(maxsize=1024)
def parts_of(model: ModelConfig) -> Parts:
    """The parts of ``model``."""
    mixers: Counter[tuple[Mixer, ...]] = Counter()
    caches: Counter[Attention | LatentAttention] = Counter()
    feeds: Counter[Feed] = Counter()
    extra: Counter[int] = Counter()
    for block, count in model.kinds:
        plain = tuple(_plain_mixer(mixer) for mixer in block.mixers)
        if plain:
            mixers[tuple(_anywhere(mixer) for mixer in plain)] += count
        for mixer in plain:
            if not isinstance(mixer, Recurrent):
                caches[mixer] += count
        if block.feed is not None:
            feeds[_plain_feed(block.feed)] += count
        if block.extra:
            extra[block.extra] += count
    layers = 0.5 * (mixers.total() + feeds.total())
    return Parts(tuple(mixers.items()), tuple(caches.items()), tuple(feeds.items()), tuple(extra.items()), layers)


def _plain_mixer(mixer: Mixer) -> Mixer:
    """``mixer`` without what costs nothing."""
    if isinstance(mixer, Recurrent):
        return replace(mixer, norm=None, bias=False)
    if isinstance(mixer, LatentAttention):
        return replace(mixer, rotary=None, norm=None, scale=0.0, biases="")
    return replace(mixer, rotary=None, biases="", norm=None, norm_whole=False, norm_late=False, value_norm=None, scale=0.0,
                   softcap=0.0, sinks=False, alibi=False, temperature=None, clip=0.0)


def _anywhere(mixer: Mixer) -> Mixer:
    """``mixer`` but for how far it looks back."""
    if isinstance(mixer, Recurrent):
        return mixer
    if isinstance(mixer, LatentAttention):
        return replace(mixer, window=0)
    return replace(mixer, window=0, chunk=0, cache_of=min(1, mixer.cache_of))


def _plain_feed(feed: Feed) -> Feed:
    """``feed`` without what costs nothing."""
    if isinstance(feed, FeedForward):
        return _matrices(feed)
    return Mixture(experts=feed.experts, chosen=feed.chosen, expert=_matrices(feed.expert), latent=feed.latent,
                   shared=_matrices(feed.shared) if feed.shared else None, shared_gate=feed.shared_gate,
                   dense=_matrices(feed.dense) if feed.dense else None)


def _matrices(feed: FeedForward) -> FeedForward:
    return FeedForward(width=feed.width, gated=feed.gated)


@lru_cache(maxsize=1024)
def common_heads(model: ModelConfig) -> int:
    """The largest tensor-parallel degree that splits every layer into whole heads."""
    heads = [_heads(mixer) for mixer, _ in parts_of(model).each_mixer]
    return gcd(*heads) if heads else 1


def _heads(mixer: Mixer) -> int:
    """Heads of a mixer, or where a state has but one, the features that its channels share out."""
    if isinstance(mixer, Recurrent):
        return mixer.value_heads if mixer.value_heads > 1 else mixer.value_size
    return mixer.heads


@lru_cache(maxsize=1024)
def common_experts(model: ModelConfig) -> int:
    """What the degree of expert parallelism has to divide: the greatest common divisor of the experts of all layers, 0 without
    any."""
    return gcd(*(feed.experts for feed, _ in parts_of(model).mixtures))
