"""Perplexity: against transformers, what each arithmetic costs, and weight formats by their definitions."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import InputError
from wsekern.inference import perplexity
from wsekern.inference.perplexity import Arithmetic, default_text, exact_logits, read_tokens, score
from wsekern.inference.weight_formats import WEIGHT_FORMATS, RoundedWeights, round_matrix
from wsekern.machine import load_machine
from wsekern.workload.checkpoint import load_checkpoint
from wsekern.workload.sample import sample_path

WSE3 = load_machine("wse3")


@pytest.fixture(scope="module")
def checkpoint():
    return load_checkpoint(sample_path())


@pytest.fixture(scope="module")
def text(checkpoint):
    tokens = read_tokens(checkpoint, default_text(), 24)
    return tokens, exact_logits(checkpoint, tokens)


def test_the_exact_perplexity_is_that_of_transformers(checkpoint, text):
    torch = pytest.importorskip("torch", reason="torch could not be installed (test extra)")
    transformers = pytest.importorskip("transformers", reason="transformers could not be installed (test extra)")
    ids = torch.tensor([text[0]])
    with torch.no_grad():
        loss = transformers.LlamaForCausalLM.from_pretrained(sample_path(), dtype=torch.float32)(ids, labels=ids).loss
    found = score(checkpoint, WSE3, *text, Arithmetic("fp32"), (16, 16))
    assert found.exact_nats == pytest.approx(float(loss), abs=1e-5) and found.nats == pytest.approx(float(loss), abs=1e-5)
    assert found.tokens == 23 and found.divergence < 1e-9 and found.arithmetic.activations == "vector"


def test_coarser_arithmetic_strays_further(checkpoint, text):
    names = [Arithmetic("fp16"), Arithmetic("bf16"), Arithmetic("fp16", "int8"), Arithmetic("fp16", "int4"),
             Arithmetic("fp16", "int4-64")]
    fp16, bf16, int8, int4, coarse = (score(checkpoint, WSE3, *text, name, (16, 16)).divergence for name in names)
    assert 0 < fp16 < bf16 < 1e-2 and fp16 < int8 < int4 < coarse < 1


MATRICES = st.tuples(st.integers(1, 70), st.integers(1, 4), st.integers(0, 2**32 - 1))


@settings(max_examples=40, deadline=None)
@given(MATRICES, st.sampled_from(sorted(WEIGHT_FORMATS)))
def test_rounding_keeps_what_a_format_holds_and_errs_by_half_a_step(shape, name):
    inputs, outputs, seed = shape
    matrix = np.random.default_rng(seed).standard_normal((2, inputs, outputs)).astype(np.float32)
    matrix[:, :, 0] = 0  # an output without weights
    rounded, group = round_matrix(matrix, name), WEIGHT_FORMATS[name].group or inputs
    assert rounded.dtype == np.float32 and not rounded[:, :, 0].any()
    np.testing.assert_allclose(round_matrix(rounded, name), rounded, rtol=1e-6)
    for start in range(0, inputs, group):
        part, out = matrix[:, start:start + group], rounded[:, start:start + group]
        largest = np.abs(part).max(-2, keepdims=True)
        step = {"int8": largest / 127, "fp8": np.maximum(np.abs(part) / 8, largest / 448 / 512),
                "mxfp4": np.maximum(largest, np.abs(part)) * 0.5}.get(name, largest / 7)
        assert (np.abs(out - part) <= step * 0.5 + 1e-6).all()
        assert len(np.unique(out[0, :, -1])) <= 2 ** WEIGHT_FORMATS[name].bits


def test_mxfp4_and_fp8_are_those_of_their_standards():
    values = np.linspace(-7, 7, 113, dtype=np.float32)
    block = np.append(values, np.float32(7))[:, None]
    tables = np.array([round_matrix(np.append(np.float32(4), [value] * 31)[:, None], "mxfp4")[1, 0] for value in values
                       if abs(value) < 8], np.float32)
    np.testing.assert_array_equal(tables, np.clip(values, -6, 6).astype(ml_dtypes.float4_e2m1fn).astype(np.float32))
    whole = round_matrix(block * 64, "fp8")  # the largest is 448: the scale is 1
    np.testing.assert_array_equal(whole, (block * 64).astype(ml_dtypes.float8_e4m3fn).astype(np.float32))


def test_only_the_matrices_of_layers_are_rounded(checkpoint):
    rounded, stored = RoundedWeights(checkpoint.weights, "int4"), checkpoint.weights
    assert len(rounded) == len(stored)
    before, after = stored.block(0), rounded.block(0)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"q", "k", "v", "o", "gate", "up", "down"}
    np.testing.assert_array_equal(rounded.outer["head"], stored.outer["head"])
    with pytest.raises(InputError, match="no weight format 'int3': use one of int8"):
        RoundedWeights(stored, "int3")


@pytest.mark.parametrize(("content", "count", "words"), [
    (None, 8, "cannot read"), (b"\xff\xfe", 8, "not text in UTF-8"), (b"", 8, "has one token"), (b"a fox", 1, "tokens is 1"),
    (b"a fox", 10**6, "which the model knows")])
def test_texts_that_cannot_be_scored(checkpoint, tmp_path, content, count, words):
    file = tmp_path / "text.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_tokens(checkpoint, file, count)


def test_a_text_without_end_is_not_read(checkpoint, monkeypatch):
    monkeypatch.setattr(perplexity, "LARGEST_TEXT", 1000)
    with pytest.raises(InputError, match="larger than 1,000 bytes"):
        read_tokens(checkpoint, "/dev/zero", 24)
