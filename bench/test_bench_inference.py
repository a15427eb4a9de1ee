"""One decode layer of a model in our own mapping, as ``wsekern run`` executes it. Results are asserted, times never."""

import dataclasses
import resource

import numpy as np
import pytest

from wsekern.inference.mapping import Mapping
from wsekern.inference.wafer import WaferModel
from wsekern.machine import load_machine
from wsekern.workload import load_config
from wsekern.workload.weights.weights import random_weights

PES, CACHED = 660, 4000


@pytest.mark.parametrize("precision", ["fp16", "fp16_fp32"])
def test_decode_layer_in_our_mapping(benchmark, precision):
    """Llama-3-8B's decode layer after 4,000 tokens on 660 x 660 PEs, with values; one word of vocabulary a column.

    Bound by exp and the short rows of the local work, then by the products. ``peak_bytes``: of the process, with the weights.
    """
    whole = load_config("llama3-8b")
    config = dataclasses.replace(whole, vocab=PES, blocks=whole.blocks[:1])
    mapping = Mapping(config, PES, PES, precision, context=CACHED + 8)
    model = WaferModel(config, random_weights(config), load_machine("wse3"), mapping, threads=2)
    model.length = CACHED
    logits = benchmark.pedantic(model.decode, (3,), warmup_rounds=1, rounds=3)
    assert np.isfinite(logits).all() and logits.shape == (PES,) and model.engine.cycles > 1000
    benchmark.extra_info.update(width=PES, height=PES, threads=2, dtype=precision, engine="flow", cached_tokens=CACHED,
                                peak_bytes=1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
                                goal="<= 2 s on two cores, <= 4 GB")
