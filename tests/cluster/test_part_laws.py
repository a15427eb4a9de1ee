"""Laws of models of any parts: latent, sparse, chunked and recurrent mixers, feed-forward parts with and without a gate."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.cluster import Cluster, load_gpu
from wsekern.cluster.constants import constants
from wsekern.cluster.engine import load_engine
from wsekern.cluster.layout import Deployment, Layout, cache_bytes, memory_of, weight_bytes
from wsekern.cluster.part_assumptions import KINDS, part_assumptions
from wsekern.cluster.parts import common_heads, parts_of
from wsekern.cluster.precision import PRECISIONS
from wsekern.cluster.step import decode_step, prefill_step
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Attention, Block, FeedForward, Indexer, LatentAttention, Mixture, Norm, Recurrent

SETTINGS = settings(max_examples=40, deadline=None)
SLACK = 1 + 1e-9

indexers = st.builds(Indexer, heads=st.sampled_from([4, 16, 64]), head_dim=st.sampled_from([32, 128]),
                     chosen=st.sampled_from([64, 2048]), query_rank=st.sampled_from([0, 512]), shared=st.booleans())
grouped = st.builds(Attention, heads=st.sampled_from([8, 16, 32]), kv_heads=st.sampled_from([1, 2, 8]),
                    head_dim=st.sampled_from([32, 128]), value_dim=st.sampled_from([0, 64]),
                    window=st.sampled_from([0, 128]), chunk=st.sampled_from([0, 256, 8192]), gate=st.booleans(),
                    values_are_keys=st.booleans(), cache_of=st.sampled_from([0, 0, 1, 2]),
                    q_rank=st.sampled_from([0, 256]), o_rank=st.sampled_from([0, 128]), o_groups=st.just(8),
                    compression=st.sampled_from([1, 1, 4, 128]), norm=st.sampled_from([None, Norm()]),
                    indexer=st.none() | indexers)
latent = st.builds(LatentAttention, heads=st.sampled_from([8, 64, 128]), q_rank=st.sampled_from([0, 512]),
                   kv_rank=st.sampled_from([128, 512]), nope_dim=st.sampled_from([64, 128]), rope_dim=st.just(64),
                   value_dim=st.sampled_from([64, 128]), indexer=st.none() | indexers)


@st.composite
def recurrents(draw):
    """Of any kind; those that only convolve keep no state."""
    kind, heads, size = draw(st.sampled_from(sorted(KINDS))), draw(st.sampled_from([8, 32])), draw(st.sampled_from([64, 128]))
    convolves = kind in ("gated_delta", "kimi_delta", "mamba", "mamba2", "short_convolution", "rg_lru")
    key = 0 if kind == "short_convolution" else 1 if kind == "rg_lru" else size
    inner = heads * size
    convolved = inner + 2 * heads * key if convolves else 0
    return Recurrent(kind=kind, key_heads=heads, key_dim=key, value_heads=heads, value_dim=size, kernel=4 if convolves else 0,
                     convolved=convolved, matrices=((0, 2 * inner + 2 * heads * key), (0, 2 * heads), (64, inner), (inner, 0)))


plain = st.builds(FeedForward, width=st.sampled_from([512, 4096]), gated=st.booleans())
mixtures = st.builds(Mixture, experts=st.sampled_from([8, 64]), chosen=st.sampled_from([1, 4]), expert=plain,
                     shared=st.none() | plain, dense=st.none() | plain, shared_gate=st.booleans(),
                     latent=st.sampled_from([0, 256]))
mixers, feeds = grouped | latent | recurrents(), plain | mixtures
blocks = st.builds(Block, mixer=mixers, feed=feeds) | st.builds(Block, mixer=mixers) | st.builds(Block, feed=feeds) | st.builds(
    Block, mixer=grouped, beside=recurrents(), feed=plain, extra=st.sampled_from([0, 1 << 20]))


def model_of(parts, hidden=2048):
    """A model of these blocks."""
    return ModelConfig(name="random", architecture="Random", hidden=hidden, vocab=32000, max_context=2**20, blocks=tuple(parts))


models = st.builds(model_of, st.lists(blocks, min_size=1, max_size=4), st.sampled_from([1024, 4096]))
cases = st.fixed_dictionaries({
    "gpu": st.sampled_from(["a100-80", "h100", "b200"]), "level": st.sampled_from(["ideal", "tuned", "stock", "sglang"]),
    "precision": st.sampled_from(["bf16", "fp8", "fp4", "mxfp4"]), "batch": st.sampled_from([1, 16, 200]),
    "layout": st.sampled_from([Layout(), Layout(tp=8), Layout(tp=2, dp=4, ep=8), Layout(tp=4, ep=4)]),
    "context": st.integers(1, 100_000), "prefill": st.booleans()})


def deployed(model, case):
    layout = case["layout"] if parts_of(model).mixtures else replace(case["layout"], ep=1)
    cluster, engine = Cluster(load_gpu(case["gpu"]), 8), load_engine(case["level"])
    return Deployment(model, cluster, layout, PRECISIONS[case["precision"]], engine)


def step(model, case, **changes):
    case = {**case, **changes}
    make = prefill_step if case["prefill"] else decode_step
    return make(deployed(model, case), 8 if case["prefill"] else case["batch"], case["context"])


@SETTINGS
@given(models, cases)
def test_less_work_is_never_slower(model, case):
    """Launches of tiny prompts hide behind the GPU beside the host's other work, and less of the one shows more of both."""
    base = step(model, case)
    assert step(replace(model, blocks=model.blocks[:-1]), case).seconds < base.seconds
    for changes in ({"context": max(1, case["context"] // 2)}, {"batch": max(1, case["batch"] // 2)}):
        less = step(model, case, **changes)
        assert less.device <= base.device * SLACK
        assert less.seconds <= base.seconds * SLACK or (case["prefill"] and load_engine(case["level"]).overlapped)


@SETTINGS
@given(models, cases)
def test_never_faster_than_the_roofline_and_additive(model, case):
    found = step(model, case)
    assert found.seconds >= found.roofline / SLACK
    assert sum(found.breakdown.values()) == pytest.approx(found.seconds)
    assert min(found.breakdown.values()) >= 0


@SETTINGS
@given(models, models, cases)
def test_blocks_add_up_in_any_order(first, second, case):
    """The GPU's time of all blocks is the sum of theirs; embedding and LM head count once."""
    first, second = replace(first, hidden=2048), replace(second, hidden=2048)
    both, none = replace(first, blocks=second.blocks + first.blocks), replace(first, blocks=())
    device = {name: step(model, {**case, "layout": Layout(tp=4)}).device
              for name, model in (("first", first), ("second", second), ("both", both), ("none", none))}
    assert device["both"] + device["none"] == pytest.approx(device["first"] + device["second"])


@SETTINGS
@given(models, cases)
def test_memory_is_never_negative_and_bounded(model, case):
    deployment = deployed(model, case)
    memory = memory_of(deployment, case["context"], case["batch"])
    assert min(memory.weights, memory.cache, memory.activations, memory.sequences) >= 0
    precision, context = PRECISIONS["bf16"], case["context"]
    experts, rest = weight_bytes(model, precision)
    assert experts + rest == pytest.approx(2.0 * model.parameters)
    tail = 16 * 2.0 * model.kv_elements_per_token  # pages are filled up
    tail += sum(count * 4.0 * (part.kv_size + part.value_size) * (context + 16)  # and compressed ones
                for part, count in parts_of(model).caches if isinstance(part, Attention) and part.compression > 1)
    state = sum(count * (4.0 * part.state + 2.0 * part.kernel * part.convolved) for part, count in parts_of(model).recurrents)
    assert cache_bytes(model, precision, context) <= 2.0 * model.kv_elements_per_token * context + tail + state
    assert cache_bytes(model, precision, context, 8) <= cache_bytes(model, precision, context) <= cache_bytes(
        model, precision, 2 * context)
    assert len(part_assumptions(model)) <= 3 * len(model.blocks) + 4


@SETTINGS
@given(latent.filter(lambda mixer: mixer.indexer) | grouped.filter(
    lambda mixer: mixer.indexer and not mixer.reach and mixer.kv_heads == 8), cases, st.sampled_from([65_536, 1_000_000]))
def test_indexers_pay_at_long_contexts_and_read_their_keys(mixer, case, context):
    """Against a cache that every token reads whole, of wide enough heads; keys of the indexer are read on every GPU."""
    indexer = replace(mixer.indexer, heads=16, head_dim=32, shared=False)
    mixer = replace(mixer, indexer=indexer, **({"compression": 1} if isinstance(mixer, Attention) else {}))
    case = {**case, "prefill": False, "context": context, "layout": Layout()}
    sparse, dense = (model_of([Block(mixer=part)] * 4) for part in (mixer, replace(mixer, indexer=None)))
    seconds = step(sparse, case).seconds
    if case["batch"] > 1:
        assert seconds <= step(dense, case).seconds * SLACK
    keys = 4 * case["batch"] * context * indexer.head_dim * constants().index_bytes.value
    assert seconds >= keys / float(load_gpu(case["gpu"]).memory.bandwidth)


@SETTINGS
@given(grouped, plain, cases)
def test_bounded_views_and_missing_gates_cost_no_more(mixer, feed, case):
    full = replace(mixer, window=0, chunk=0, indexer=None, compression=1)
    whole = step(model_of([Block(mixer=full)]), case).seconds
    for bound in ({"window": 128}, {"chunk": 256}, {"window": 1, "compression": 128}):
        found = step(model_of([Block(mixer=replace(full, **bound))]), case).seconds
        assert found <= whole * SLACK or case["context"] < 128 or (case["prefill"] and "compression" in bound)
    gated, ungated = (step(model_of([Block(feed=replace(feed, gated=gate))]), case) for gate in (True, False))
    assert ungated.device <= gated.device * SLACK and ungated.flops < gated.flops


def test_tensor_parallel_splits_whole_heads_of_every_layer():
    attention = Block(mixer=Attention(heads=40, kv_heads=8, head_dim=128))
    state = Block(mixer=Recurrent(kind="mamba2", key_heads=8, key_dim=128, value_heads=128, value_dim=80, matrices=()))
    assert common_heads(model_of([attention, state])) == 8
    assert common_heads(model_of([Block(feed=FeedForward(width=64))])) == 1
