"""Sparse attention beside measured modules: ai-dynamo/aiconfigurator-core 0.12.0 (Apache-2.0), DeepSeek-V3.2, one layer.

The constants were fitted on modules of GLM-5 in the same tables, after these points had been seen: they show that the
heads of another model scale, and are no test of their own.
"""

from dataclasses import replace

import pytest

from wsekern.cluster import Cluster, load_gpu
from wsekern.cluster.engine import load_engine
from wsekern.cluster.layout import Deployment, Layout
from wsekern.cluster.mixers import look_back, projections
from wsekern.cluster.operators import Operators
from wsekern.cluster.precision import PRECISIONS
from wsekern.cluster.work import StepTime, Work
from wsekern.workload.config import ModelConfig
from wsekern.workload.decoder import Block, Indexer, LatentAttention

INDEXER = Indexer(heads=64, head_dim=128, chosen=2048, query_rank=1536)
MIXER = LatentAttention(heads=128, q_rank=1536, kv_rank=512, nope_dim=128, rope_dim=64, value_dim=128, indexer=INDEXER)


def seconds(mixer, gpu, level, heads, work, cache=1.0):
    """Of one attention module without its small kernels."""
    model = ModelConfig(name="one", architecture="DeepseekV32ForCausalLM", hidden=7168, vocab=1024, max_context=163840,
                        blocks=(Block(mixer=mixer),), quantization="fp8", weight_format="fp8")
    precision, layout = replace(PRECISIONS["fp8"], cache=cache), Layout(tp=128 // heads)
    ops, step = Operators(Deployment(model, Cluster(load_gpu(gpu), 16), layout, precision, load_engine(level))), StepTime()
    projections(ops, step, work, mixer)
    look_back(ops, step, work, mixer, 1)
    return step.device


@pytest.mark.parametrize(("gpu", "heads", "batch", "context", "measured"), [
    ("h200", 128, 1, 128, 135.0e-6), ("h200", 128, 1, 8192, 147.2e-6), ("h200", 128, 1, 131072, 199.7e-6),
    ("h200", 16, 1, 8192, 94.2e-6), ("h200", 16, 1, 131072, 155.2e-6), ("h200", 128, 64, 128, 205.9e-6),
])
def test_decoding_takes_what_sglang_measured(gpu, heads, batch, context, measured):
    found = seconds(MIXER, gpu, "sglang", heads, Work(batch, batch, context, False))
    assert found == pytest.approx(measured, rel=0.2)


@pytest.mark.parametrize(("heads", "sequences", "tokens", "measured"), [
    (128, 1, 4096, 6.31e-3), (16, 1, 4096, 3.16e-3), (128, 1, 16384, 28.72e-3), (16, 1, 16384, 14.91e-3),
    (8, 1, 16384, 14.19e-3),
])
def test_few_heads_of_a_prompt_take_the_time_of_64(heads, sequences, tokens, measured):
    found = seconds(MIXER, "h200", "stock", heads, Work(sequences * tokens, sequences, 0.0, True), cache=2.0)
    assert found == pytest.approx(measured, rel=0.3)


def test_a_layer_that_shares_a_choice_has_no_indexer_of_its_own():
    work, shared = Work(8, 8, 100_000, False), replace(MIXER, indexer=replace(INDEXER, shared=True))
    dense = replace(MIXER, indexer=None)
    own, chosen, whole = (seconds(mixer, "h200", "stock", 16, work) for mixer in (MIXER, shared, dense))
    assert chosen < own < whole
    short = Work(8, 8, 2048, False)  # all are chosen
    assert seconds(shared, "h200", "stock", 16, short) == seconds(dense, "h200", "stock", 16, short)
