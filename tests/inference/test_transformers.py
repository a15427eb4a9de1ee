"""A folder that `transformers` wrote loads here and gives the same tokens and logits."""

import inspect

import numpy as np
import pytest
from packaging.version import Version

torch = pytest.importorskip("torch", reason="torch could not be installed (test extra)")
transformers = pytest.importorskip("transformers", reason="transformers could not be installed (test extra)")

from wsekern.compare import execute  # noqa: E402
from wsekern.inference.mapping import Mapping  # noqa: E402
from wsekern.inference.reference import ReferenceModel  # noqa: E402
from wsekern.inference.wafer import WaferModel  # noqa: E402
from wsekern.machine import load_machine  # noqa: E402
from wsekern.ops import FlowEngine  # noqa: E402
from wsekern.workload.checkpoint import load_checkpoint  # noqa: E402

SHAPE = dict(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=128, bos_token_id=0, eos_token_id=1)
LLAMA3_ROPE = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                   original_max_position_embeddings=32)
YARN_ROPE = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32)
CASES = {
    "llama-gqa-untied": ("Llama", dict(tie_word_embeddings=False)),
    "llama-gqa-tied": ("Llama", dict(tie_word_embeddings=True)),
    "llama3-rope": ("Llama", dict(rope=LLAMA3_ROPE)),
    "llama-yarn-rope": ("Llama", dict(rope=YARN_ROPE)),
    "llama-linear-rope": ("Llama", dict(rope=dict(rope_type="linear", factor=2.0))),
    "llama-dynamic-rope": ("Llama", dict(rope=dict(rope_type="dynamic", factor=2.0))),
    "llama-wide-heads": ("Llama", dict(head_dim=16)),
    "llama-biases-one-kv-head": ("Llama", dict(attention_bias=True, mlp_bias=True, num_key_value_heads=1)),
    "llama-odd-sizes-one-layer": ("Llama", dict(num_attention_heads=6, num_key_value_heads=3, hidden_size=36,
                                                num_hidden_layers=1, intermediate_size=53, vocab_size=101)),
    "mistral": ("Mistral", dict(sliding_window=None)),
    "mistral-window": ("Mistral", dict(sliding_window=8)),
    "qwen2-bias": ("Qwen2", dict(tie_word_embeddings=True)),
    "qwen2-window": ("Qwen2", dict(use_sliding_window=True, sliding_window=8, max_window_layers=1)),
    "qwen3-qk-norm": ("Qwen3", dict(head_dim=8)),
    "qwen3-qk-norm-biases": ("Qwen3", dict(head_dim=8, attention_bias=True)),
}
# Older releases compute these cases otherwise: YaRN from max_position_embeddings, and Qwen 2 without its window.
CHANGED_IN = {"llama-yarn-rope": "4.57", "qwen2-window": "4.57"}


def write_tokenizer(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocab = {"<s>": 0, "</s>": 1, **{chr(33 + i): 2 + i for i in range(90)}}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<s>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.save(str(folder / "tokenizer.json"))


def make_config(cls, rope=None, **settings):
    """A configuration; ``rope`` goes where this release of transformers keeps it."""
    if rope and "rope_parameters" in inspect.signature(cls).parameters:
        settings["rope_parameters"] = {**rope, "rope_theta": 10000.0}
    elif rope:
        settings["rope_scaling"] = rope
    return cls(**settings)


@pytest.fixture(params=CASES, scope="module")
def tiny(request, tmp_path_factory):
    """(folder, transformers model) of a tiny random model."""
    family, extra = CASES[request.param]
    if not hasattr(transformers, f"{family}Config"):
        pytest.skip(f"transformers {transformers.__version__} has no {family}")
    if Version(transformers.__version__) < Version(CHANGED_IN.get(request.param, "0")):
        pytest.skip(f"transformers {transformers.__version__} computes {request.param} otherwise")
    torch.manual_seed(1)
    config = make_config(getattr(transformers, f"{family}Config"), **{**SHAPE, **extra})
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:  # gains and biases differ from 1 and 0
                parameter.add_(0.1 * torch.randn_like(parameter))
            elif "proj" in name:  # larger than the default, so that attention is not uniform
                parameter.mul_(6)
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    write_tokenizer(folder)
    return folder, model


def greedy(forward, prompt, count):
    """Greedy continuation and the logits of every step."""
    tokens, logits = [], [forward(prompt)]
    for _ in range(count):
        tokens.append(int(np.argmax(logits[-1])))
        logits.append(forward([tokens[-1]]))
    return tokens, np.array(logits)


def transformers_greedy(model, prompt, count):
    """The same by ``generate``: its arguments, unlike those of ``forward``, are the same in every release.

    ``logits`` are those of the model, before anything that generation may do to them.
    """
    model.generation_config.eos_token_id = None  # or it would stop at an end token; a None in a call counts as not given
    ids = torch.tensor([prompt])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=count + 1, pad_token_id=0,
                         use_cache=True, output_logits=True, return_dict_in_generate=True)
    return out.sequences[0, len(prompt):-1].tolist(), torch.cat(out.logits).numpy()


def compare_greedily(config, weights, model, count, grid, engine=FlowEngine, **options):
    """``count`` tokens and their logits of reference and wafer are those of ``model``; ``options`` as in :class:`Mapping`."""
    prompt = [0, 17, 33, 50, 51, 7]
    expected, expected_logits = transformers_greedy(model, prompt, count)
    reference = ReferenceModel(config, weights)
    wafer = WaferModel(config, weights, load_machine("wse3"), Mapping(config, *grid, "fp32", 80, 4, **options), engine=engine)
    for forward in (lambda t: reference.forward(t)[-1], lambda t: wafer.decode(t[0]) if len(t) == 1 else wafer.prefill(t)):
        tokens, logits = greedy(forward, prompt, count)
        assert tokens == expected
        np.testing.assert_allclose(logits, expected_logits, atol=1e-4)


def test_reference_gives_the_tokens_of_transformers(tiny):
    folder, model = tiny
    checkpoint = load_checkpoint(folder)
    reference = ReferenceModel(checkpoint.config, checkpoint.weights)
    prompt = [0, 17, 33, 50, 51, 7]
    expected, expected_logits = transformers_greedy(model, prompt, 64)
    tokens, logits = greedy(lambda t: reference.forward(t)[-1], prompt, 64)
    assert len(tokens) == 64 and tokens == expected
    assert expected_logits.shape == logits.shape == (65, checkpoint.config.vocab)
    np.testing.assert_allclose(logits, expected_logits, atol=1e-4)


def test_text_becomes_the_tokens_of_transformers(tiny):
    folder, _ = tiny
    text = "A fox!"
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), bos_token="<s>")(text)
    assert load_checkpoint(folder).encode(text) == theirs["input_ids"]


def test_wafer_gives_the_tokens_of_transformers(tiny):
    """On the simulated wafer, in fp32, from text to tokens; it stops at an end token, transformers does not here."""
    folder, model = tiny
    checkpoint = load_checkpoint(folder)
    done = execute(checkpoint, load_machine("wse3"), "A fox, and a wolf!", 64, precision="fp32", grid=(5, 3),
                   check="every")
    tokens = done.generation.tokens
    expected, _ = transformers_greedy(model, checkpoint.encode("A fox, and a wolf!"), 64)
    assert done.same_as_reference and tokens == expected[:len(tokens)]
    assert len(tokens) == 64 or tokens[-1] in checkpoint.eos_tokens
