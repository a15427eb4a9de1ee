"""GGUF files: values of tensors, the configuration and tokenizer in their metadata, and what is wrong with bad ones."""

import contextlib

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import InputError
from wsekern.workload import load_config
from wsekern.workload.checkpoint import load_checkpoint
from wsekern.workload.gguf_config import config_keys
from wsekern.workload.text.gguf_text import gguf_text
from wsekern.workload.weights.gguf import GgufFile

HIDDEN, HEADS, KV, WIDTH, VOCAB = 32, 4, 2, 64, 40
SHAPES = {"attn_q": (HIDDEN, HIDDEN), "attn_k": (16, HIDDEN), "attn_v": (16, HIDDEN), "attn_output": (HIDDEN, HIDDEN),
          "ffn_gate": (WIDTH, HIDDEN), "ffn_up": (WIDTH, HIDDEN), "ffn_down": (HIDDEN, WIDTH), "attn_norm": (HIDDEN,),
          "ffn_norm": (HIDDEN,)}
WORDS = ["<s>", "</s>", *"abcdefghij", "ab", "cd", "abcd", "1", "2", "Ġ", "Ċ", "12", "!", "<|end|>"]


def values(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def write(path, architecture="llama", kind=None, tokenizer=True, extra=(), **keys):
    """A tiny model of one block. ``kind``: format of its matrices."""
    writer = gguf.GGUFWriter(path, architecture)
    given = {"block_count": 1, "context_length": 64, "embedding_length": HIDDEN, "feed_forward_length": WIDTH,
             "attention.head_count": HEADS, "attention.head_count_kv": KV, **keys}
    for key, value in given.items():
        (writer.add_float32 if isinstance(value, float) else writer.add_uint32)(f"{architecture}.{key}", value)
    writer.add_float32(f"{architecture}.attention.layer_norm_rms_epsilon", 1e-5)
    if tokenizer:
        tokens = WORDS + [f"[{index}]" for index in range(VOCAB - len(WORDS))]
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("smollm")
        writer.add_token_list(tokens)
        writer.add_token_types([3 if token[0] == "<" else 1 for token in tokens])
        writer.add_token_merges(["a b", "c d", "ab cd", "1 2"])
        writer.add_bos_token_id(0)
        writer.add_eos_token_id(1)
        writer.add_eot_token_id(WORDS.index("<|end|>"))
        writer.add_chat_template("{{ messages[0].content }}")
    blocks = {f"blk.0.{name}.weight": shape for name, shape in SHAPES.items()}
    for name, shape in {**blocks, "token_embd.weight": (VOCAB, HIDDEN), "output_norm.weight": (HIDDEN,), **dict(extra)}.items():
        tensor = values(shape)
        if kind is None or len(shape) == 1:
            writer.add_tensor(name, tensor)
        else:
            writer.add_tensor(name, gguf.quantize(tensor, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def neighbors(matrix, heads):
    """llama.cpp's order of the rows of each head: d and d + half side by side."""
    return matrix.reshape(heads, 2, -1, matrix.shape[-1]).swapaxes(1, 2).reshape(matrix.shape)


@pytest.mark.parametrize(("architecture", "permuted"), [("llama", True), ("qwen2", False)])
def test_shapes_and_the_order_of_queries_and_keys(tmp_path, architecture, permuted):
    biases = [(f"blk.0.attn_{name}.bias", (size,)) for name, size in (("q", 32), ("k", 16), ("v", 16))] if not permuted else []
    path = write(tmp_path / "m.gguf", architecture, extra=biases)
    weights = load_checkpoint(path).weights
    block = weights.block(0)
    order = neighbors if permuted else lambda matrix, heads: matrix
    np.testing.assert_array_equal(order(block["q"].T, HEADS), values((HIDDEN, HIDDEN)))
    np.testing.assert_array_equal(order(block["k"].T, KV), values((16, HIDDEN)))
    np.testing.assert_array_equal(block["down"], values((HIDDEN, WIDTH)).T)
    np.testing.assert_array_equal(weights.outer["head"], values((VOCAB, HIDDEN)).T)
    np.testing.assert_array_equal(weights.embed([4, 4]), values((VOCAB, HIDDEN))[[4, 4]])


@pytest.mark.parametrize("kind", [gguf.GGMLQuantizationType[name] for name in (
    "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")])
def test_values_are_those_of_the_gguf_package(tmp_path, kind):
    path = write(tmp_path / "m.gguf", kind=kind)
    tensor = values((WIDTH, HIDDEN))
    expected = gguf.dequantize(gguf.quantize(tensor, kind), kind)
    np.testing.assert_array_equal(load_checkpoint(path).weights.block(0)["up"].T, expected)
    assert abs(expected - tensor).max() < 0.5
    np.testing.assert_array_equal(load_checkpoint(path).weights.embed([3]),
                                  gguf.dequantize(gguf.quantize(values((VOCAB, HIDDEN)), kind), kind)[[3]])


def test_the_configuration(tiny):
    config = load_config(tiny)
    assert (config.hidden, config.layers, config.vocab, config.heads, config.kv_heads) == (HIDDEN, 1, VOCAB, HEADS, KV)
    assert config.name == "tiny" and config.tied_embeddings and config.architecture == "LlamaForCausalLM"
    assert config.blocks[0].before_mixer.eps == np.float32(1e-5)


def test_the_configuration_of_others(tmp_path):
    keys = config_keys(GgufFile(write(tmp_path / "m.gguf", "llama", expert_count=8, expert_used_count=2)))
    assert keys["architectures"] == ["MixtralForCausalLM"] and keys["num_local_experts"] == 8
    scaled = write(tmp_path / "s.gguf", "llama", extra=[("rope_freqs.weight", (4,))])
    scaling = config_keys(GgufFile(scaled))["rope_scaling"]
    assert scaling["rope_type"] == "longrope" and scaling["long_factor"] == values((4,)).tolist()
    partial = config_keys(GgufFile(write(tmp_path / "p.gguf", "phi2", **{"rope.dimension_count": 4})))
    assert partial["partial_rotary_factor"] == 0.5
    with pytest.raises(InputError, match="architecture 'rwkv7' are not read"):
        load_config(write(tmp_path / "r.gguf", "rwkv7"))


def test_text(tiny):
    checkpoint = load_checkpoint(tiny)
    ids = checkpoint.encode("abcd 12!\n<|end|>ab")
    assert [WORDS[token] for token in ids] == ["abcd", "Ġ", "1", "2", "!", "Ċ", "<|end|>", "ab"]  # digits one by one
    assert checkpoint.decode(ids) == "abcd 12!\nab"
    assert checkpoint.settings.eos_tokens == (1, WORDS.index("<|end|>"))
    assert checkpoint.text.special == {"bos_token": "<s>", "eos_token": "</s>"}
    assert checkpoint.chat.source == "{{ messages[0].content }}"


def sentencepiece(path, architecture="llama", **settings):
    writer = gguf.GGUFWriter(path, architecture)
    letters = sorted("▁helowrd")
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁hello", "lo", "llo", "ello", "hello", "el",
              "▁w", "or", "ld", "orld", "▁world", "  ", "he", "ll", *letters]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * 259 + [-float(index) for index in range(len(tokens) - 259)])
    writer.add_token_types([2, 3, 3, *[6] * 256, *[4 if token == "  " else 1 for token in tokens[259:]]])
    for name, index in (("bos", 1), ("eos", 2), ("unknown", 0)):
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", index)
    for name, value in settings.items():
        writer.add_bool(f"tokenizer.ggml.{name}", value)
    writer.add_tensor("x", np.zeros((1, 1), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("text", ["hello world", "hello  world", "é hello", "ehllo", "wor", ""])
def test_sentencepiece_as_transformers(tmp_path, text):
    transformers = pytest.importorskip("transformers")
    from wsekern.workload.text.gguf_text import gguf_text

    file = GgufFile(sentencepiece(tmp_path / "s.gguf"))
    tokens, scores = file.metadata["tokenizer.ggml.tokens"], file.metadata["tokenizer.ggml.scores"]
    tokens = ["▁▁" if token == "  " else token for token in tokens]  # as the converter stores them
    from transformers.tokenization_utils_base import generate_merges

    vocab = {token: index for index, token in enumerate(tokens)}
    merges = generate_merges(vocab, dict(zip(tokens, scores.tolist(), strict=True)))
    expected = transformers.LlamaTokenizer(vocab=vocab, merges=merges)
    ours = gguf_text(file, 400)
    ids = ours.encode(text)
    assert ids[1:] == expected(text, add_special_tokens=False).input_ids and ids[0] == 1
    assert ours.decode(ids) == expected.decode(ids, skip_special_tokens=True)


def test_merges_of_gemma_are_in_the_order_of_its_tokens(tmp_path):
    from wsekern.workload.text.gguf_text import gguf_text

    for architecture, expected in (("llama", ["hel", "lo"]), ("gemma2", ["he", "llo"])):
        writer = gguf.GGUFWriter(tmp_path / f"{architecture}.gguf", architecture)
        tokens = ["<unk>", *"helo", "he", "ll", "lo", "llo", "hel"]
        writer.add_tokenizer_model("llama")
        writer.add_token_list(tokens)
        writer.add_token_scores([0.0] * 5 + [-1.0, -9.0, -2.0, -8.0, -3.0])
        writer.add_bool("tokenizer.ggml.add_space_prefix", False)
        writer.add_tensor("x", np.zeros((1, 1), np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        text = gguf_text(GgufFile(tmp_path / f"{architecture}.gguf"), 99)
        assert text.tokenizer.encode("hello", add_special_tokens=False).tokens == expected


def test_what_stands_around_a_text(tmp_path):
    from wsekern.workload.text.gguf_text import gguf_text

    file = GgufFile(sentencepiece(tmp_path / "s.gguf", add_bos_token=False, add_eos_token=True, add_space_prefix=False))
    text = gguf_text(file, 400)
    assert text.encode("hello")[-1] == 2 and text.tokenizer.id_to_token(text.encode("hello")[0]) == "hello"


def test_what_is_no_language_model(tmp_path):
    with pytest.raises(InputError, match=r"token_embd\.weight is missing"):
        load_config(sentencepiece(tmp_path / "s.gguf"))
    with pytest.raises(InputError, match="comes without a tokenizer"):
        load_checkpoint(write(tmp_path / "t.gguf", tokenizer=False))
    (tmp_path / "x.gguf").write_bytes(b"GGUX" + bytes(100))
    with pytest.raises(InputError, match="does not begin with GGUF"):
        load_config(tmp_path / "x.gguf")


def test_tensors_that_the_configuration_does_not_name(tmp_path):
    with pytest.raises(InputError, match=r"blk\.1\.ffn_up\.weight"):
        load_checkpoint(write(tmp_path / "m.gguf", extra=[("blk.1.ffn_up.weight", (WIDTH, HIDDEN))]))
    with pytest.raises(InputError, match=r"blk\.0\.ffn_gate\.weight has shape .* its metadata asks"):
        load_checkpoint(write(tmp_path / "n.gguf", feed_forward_length=WIDTH + 32))


def test_a_file_that_ends_early_is_told(tiny, tmp_path):
    whole = tiny.read_bytes()
    for size in (0, 3, 8, 23, 30, 100, 900, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.gguf").write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"cut\.gguf"):
            GgufFile(tmp_path / "cut.gguf")


@pytest.mark.parametrize(("at", "number"), [(8, 2**63), (16, 2**60), (24, 2**62), (8, 10**6)])
def test_absurd_sizes_are_refused_before_anything_is_made_of_them(tiny, tmp_path, at, number):
    data = bytearray(tiny.read_bytes())
    data[at:at + 8] = int(number).to_bytes(8, "little")
    (tmp_path / "bad.gguf").write_bytes(data)
    with pytest.raises(InputError, match="is the file complete"):
        GgufFile(tmp_path / "bad.gguf")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2500), st.integers(0, 255)), min_size=1, max_size=4))
def test_whatever_the_bytes_are_one_sentence_says_so(tiny, changes):
    data = bytearray(tiny.read_bytes())
    for at, byte in changes:
        data[at] = byte
    bad = tiny.with_name("bad.gguf")
    bad.write_bytes(data)
    with contextlib.suppress(InputError):
        checkpoint = load_checkpoint(bad)
        checkpoint.weights.block(0)
        checkpoint.encode("abcd 12")


def test_the_halves_of_latent_attention_are_joined(tmp_path):
    """Keys are stored (heads, rank, features) and values (heads, features, rank); a model has them head by head."""
    shapes = {"blk.0.attn_k_b.weight": (3, 5, 4), "blk.0.attn_v_b.weight": (3, 6, 5)}
    file = GgufFile(write(tmp_path / "m.gguf", "deepseek2", extra=shapes.items()))
    joined = file.read("blk.0.attn_kv_b.weight").reshape(3, 10, 5)
    assert file.tensors["blk.0.attn_kv_b.weight"].shape == (30, 5) and "blk.0.attn_k_b.weight" not in file.tensors
    np.testing.assert_array_equal(joined[:, :4], values((3, 5, 4)).swapaxes(1, 2))
    np.testing.assert_array_equal(joined[:, 4:], values((3, 6, 5)))


def test_keys_that_one_architecture_has(tmp_path):
    keys = config_keys(GgufFile(write(tmp_path / "g.gguf", "gemma2", **{"attention.key_length": 8})))
    assert keys["query_pre_attn_scalar"] == keys["head_dim"] == 8
    keys = config_keys(GgufFile(write(tmp_path / "o.gguf", "olmo2", **{"attention.sliding_window": 16})))
    assert keys["architectures"] == ["Olmo3ForCausalLM"] and keys["sliding_window"] == 16
    keys = config_keys(GgufFile(write(tmp_path / "n.gguf", "glm4moe", nextn_predict_layers=1, block_count=2)))
    assert keys["num_hidden_layers"] == 1 and keys["num_nextn_predict_layers"] == 1
    keys = config_keys(GgufFile(write(tmp_path / "d.gguf", "deepseek2", **{
        "attention.key_length": 24, "attention.key_length_mla": 12, "rope.dimension_count": 4, "attention.value_length_mla": 6,
        "attention.kv_lora_rank": 20}, extra=[("blk.0.exp_probs_b.bias", (4,))])))
    assert keys["architectures"] == ["DeepseekV3ForCausalLM"]
    assert (keys["qk_nope_head_dim"], keys["qk_rope_head_dim"], keys["v_head_dim"]) == (8, 4, 6)


def test_a_model_in_several_files(tmp_path):
    first, second = (tmp_path / f"m-0000{part}-of-00002.gguf" for part in (1, 2))
    writer = gguf.GGUFWriter(first, "llama")
    other = gguf.GGUFWriter(second, "llama")
    writer.add_uint16("split.count", 2)
    writer.add_tensor("a.weight", values((2, 4)))
    other.add_tensor("b.weight", values((3, 4), 1))
    for part in (writer, other):
        part.write_header_to_file()
        part.write_kv_data_to_file()
        part.write_tensors_to_file()
        part.close()
    file = GgufFile(first)
    np.testing.assert_array_equal(file.read("a.weight"), values((2, 4)))
    np.testing.assert_array_equal(file.read("b.weight"), values((3, 4), 1))
    second.unlink()
    with pytest.raises(InputError, match=r"m-00002-of-00002\.gguf is not beside it"):
        GgufFile(first)
    with pytest.raises(InputError, match="give the first"):
        GgufFile(first.rename(tmp_path / "other.gguf"))


def test_value_heads_of_linear_attention_are_put_beside_their_key_head():
    from wsekern.workload.decoder import Recurrent
    from wsekern.workload.weights.gguf_names import gguf_layout

    mixer = Recurrent(kind="gated_delta", key_heads=2, key_dim=3, value_heads=6, value_dim=4, matrices=())
    heads = np.arange(6, dtype=np.float32)  # 0 1 2 read key head 0, 3 4 5 key head 1
    stored = heads.reshape(2, 3).T.ravel()  # 0 3 1 4 2 5
    features = np.repeat(stored, 4)
    restore = gguf_layout("qwen35").restore
    np.testing.assert_array_equal(restore("dt_bias", stored, mixer), heads)
    np.testing.assert_allclose(restore("decay", -np.exp(stored), mixer), heads, atol=1e-6)
    np.testing.assert_array_equal(restore("in_a", np.stack([stored, stored]), mixer), np.stack([heads, heads]))
    np.testing.assert_array_equal(restore("in_z", features[None], mixer), np.repeat(heads, 4)[None])
    np.testing.assert_array_equal(restore("o", features[:, None], mixer), np.repeat(heads, 4)[:, None])
    conv = np.concatenate([np.arange(100, 112), features])[:, None].astype(np.float32)
    np.testing.assert_array_equal(restore("conv", conv, mixer)[:, 0], [*range(100, 112), *np.repeat(heads, 4)])
    np.testing.assert_array_equal(gguf_layout("qwen3next").restore("dt_bias", stored, mixer), stored)
    np.testing.assert_array_equal(restore("q", stored, None), stored)


@pytest.mark.parametrize(("kind", "expected"), [("Q4_1", ("gguf", "int4")), ("Q8_0", ("gguf", "int8")), ("F16", ("", "fp16"))])
def test_how_most_weights_are_stored(tmp_path, kind, expected):
    config = load_config(write(tmp_path / "m.gguf", kind=gguf.GGMLQuantizationType[kind]))
    assert (config.quantization, config.weight_format) == expected


@pytest.mark.parametrize(("architecture", "key"), [
    ("llama", "embedding_length"), ("llama", "rope.dimension_count"), ("gemma2", "attention.key_length"),
    ("deepseek2", "attention.key_length_mla"), ("qwen3next", "ssm.inner_size")])
def test_sizes_that_others_are_reckoned_from_are_whole_numbers(tmp_path, architecture, key):
    path = write(tmp_path / "m.gguf", architecture, **{key: 0.5})
    with pytest.raises(InputError, match=f"{architecture}.{key} is 0.5, expected a whole number"):
        load_config(path)


@pytest.mark.parametrize(("key", "value"), [
    ("model", np.arange(3)), ("pre", np.arange(3)), ("scores", 3), ("scores", ["x"] * VOCAB), ("merges", ["a "])])
def test_tokenizer_of_wrong_types(tiny, key, value):
    file = GgufFile(tiny)
    file.metadata["tokenizer.ggml.model"] = "gpt2" if key in ("pre", "merges") else "llama"
    file.metadata[f"tokenizer.ggml.{key}"] = value
    with pytest.raises(InputError, match="tokenizer"):
        gguf_text(file, VOCAB)


def test_kinds_of_tokens_of_a_wrong_type_say_nothing(tiny):
    file = GgufFile(tiny)
    file.metadata["tokenizer.ggml.token_type"] = ["x"] * VOCAB
    assert gguf_text(file, VOCAB).encode("abcd") == [WORDS.index("abcd")]


def test_infinite_scales_are_refused_without_a_warning(tmp_path):
    path = write(tmp_path / "m.gguf", kind=gguf.GGMLQuantizationType.Q4_0)
    file = GgufFile(path)
    stored, data = file._stored["blk.0.ffn_up.weight"], bytearray(path.read_bytes())
    data[stored.begin:stored.begin + 2] = np.float16(np.inf).tobytes()
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"blk\.0\.ffn_up\.weight holds values that are not finite"):
        GgufFile(path).read("blk.0.ffn_up.weight")
