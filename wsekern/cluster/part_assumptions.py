"""What the times of parts beyond plain grouped attention take for granted, in sentences."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from wsekern.cluster.constants import constants
from wsekern.cluster.mixers import SCANNED
from wsekern.cluster.parts import parts_of
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Attention, Indexer, LatentAttention, Recurrent

KINDS = {
    "gated_delta": "gated delta rule", "kimi_delta": "Kimi delta attention", "lightning": "lightning attention",
    "mamba2": "Mamba-2", "mamba": "Mamba", "short_convolution": "short convolution", "rg_lru": "RG-LRU", "rwkv": "RWKV",
}
"""Recurrent kinds in words."""


def part_assumptions(model: ModelConfig) -> list[str]:
    """A sentence for every kind of part that engines run in more than one way, or that no measured kernel stands for."""
    return [*_latent(model), *_chunks(model), *_indexers(model), *_compressed(model), *_shared(model),
            *_states(model), *_experts(model)]


def _latent(model: ModelConfig) -> Iterator[str]:
    widths: Counter[int] = Counter()
    for mixer, count in parts_of(model).caches:
        if isinstance(mixer, LatentAttention):
            widths[mixer.latent] += count
    for width, count in widths.items():
        yield (f"latent attention ({_layers(count)}): every GPU caches one vector of {width} elements a token for all heads; "
               "decoding reads it with the projections of keys and values absorbed into queries and outputs, prompts expand it")


def _chunks(model: ModelConfig) -> Iterator[str]:
    chunks: Counter[int] = Counter()
    for mixer, count in parts_of(model).caches:
        if isinstance(mixer, Attention) and mixer.chunk:
            chunks[mixer.chunk] += count
    for chunk, count in chunks.items():
        yield (f"chunked attention ({_layers(count)}): tokens of a prompt see half of their chunk of {chunk:,} on average; a "
               "decoding one is taken to see all of it, where the context is as long")


def _indexers(model: ModelConfig) -> Iterator[str]:
    reading: Counter[Indexer] = Counter()
    own: Counter[Indexer] = Counter()
    for mixer, count in parts_of(model).caches:
        if mixer.indexer is not None:
            indexer = replace(mixer.indexer, shared=False)
            reading[indexer] += count
            own[indexer] += 0 if mixer.indexer.shared else count
    for indexer, count in reading.items():
        key = indexer.head_dim * constants().index_bytes.value
        some = "an indexer" if own[indexer] == count else f"in {own[indexer]} of them an indexer"
        yield (f"sparse attention ({_layers(count)}): {some} of {indexer.heads} heads on every GPU reads the keys of all "
               f"tokens so far ({key:.0f} B each), attention the {indexer.chosen:,} chosen ones, as fast as if they lay side "
               "by side; its kernels are not measured, those of dense attention stand in")


def _compressed(model: ModelConfig) -> Iterator[str]:
    rates: Counter[int] = Counter()
    for mixer, count in parts_of(model).caches:
        if isinstance(mixer, Attention) and mixer.compression > 1:
            rates[mixer.compression] += count
    for rate, count in rates.items():
        yield (f"compressed attention ({_layers(count)}): beside those of its window a token reads one entry for every {rate} "
               "tokens so far; what compresses them is counted as other weights of the layer")


def _shared(model: ModelConfig) -> Iterator[str]:
    count = sum(count for mixer, count in parts_of(model).caches if isinstance(mixer, Attention) and mixer.cache_of)
    if count:
        yield f"{_layers(count)} read{'s' if count == 1 else ''} the cache of another, and store nothing"


def _states(model: ModelConfig) -> Iterator[str]:
    kinds: dict[str, list[tuple[Recurrent, int]]] = {}
    for recurrent, count in parts_of(model).recurrents:
        kinds.setdefault(recurrent.kind, []).append((recurrent, count))
    for kind, members in kinds.items():
        yield _state(kind, any(recurrent.state for recurrent, _ in members), sum(count for _, count in members))


def _state(kind: str, state: bool, count: int) -> str:
    known, name = constants(), KINDS.get(kind, kind)
    if not state:
        return f"{name} ({_layers(count)}): keeps the tokens that it convolves in 16 bit, read and written every step"
    chunks = (f"in prompts every {known.linear_chunk.value:g} tokens, whose products reach "
              f"{known.linear_compute.value:.0%} of the peak")
    prompts = "prompts are scanned with it on the chip" if kind in SCANNED else chunks
    measured = "" if kind == "gated_delta" else "; timed as the gated delta rule, which was measured"
    return (f"{name} ({_layers(count)}): a state of {known.state_bytes.value:g} B an element instead of a cache, read and "
            f"written every step; {prompts}{measured}")


def _experts(model: ModelConfig) -> Iterator[str]:
    widths = sorted({feed.latent for feed, _ in parts_of(model).mixtures if feed.latent})
    for width in widths:
        yield f"experts work on {width:,} elements, to which every GPU alike projects the hidden states of its tokens"


def _layers(count: int) -> str:
    return f"{count} layer{'s' if count > 1 else ''}"
