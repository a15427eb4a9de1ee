"""Loading of Hugging Face folders: shards, number formats, and everything that can be wrong with them."""

import json
import struct

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from wsekern.errors import InputError
from wsekern.workload.checkpoint import load_checkpoint

CONFIG = {"architectures": ["LlamaForCausalLM"], "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
          "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 40, "max_position_embeddings": 64,
          "tie_word_embeddings": False, "bos_token_id": 0, "eos_token_id": [1, 2]}


def tensors(dtype=np.float32):
    random = np.random.default_rng(0)
    shapes = {"model.embed_tokens.weight": (40, 16), "lm_head.weight": (40, 16), "model.norm.weight": (16,)}
    layer = {"self_attn.q_proj": (16, 16), "self_attn.k_proj": (8, 16), "self_attn.v_proj": (8, 16),
             "self_attn.o_proj": (16, 16), "mlp.gate_proj": (24, 16), "mlp.up_proj": (24, 16), "mlp.down_proj": (16, 24),
             "input_layernorm": (16,), "post_attention_layernorm": (16,)}
    shapes |= {f"model.layers.0.{name}.weight": shape for name, shape in layer.items()}
    return {name: random.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


@pytest.fixture
def folder(tmp_path):
    from tokenizers import Tokenizer, models

    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    save_file(tensors(), tmp_path / "model.safetensors")
    Tokenizer(models.WordLevel({f"w{i}": i for i in range(40)}, unk_token="w0")).save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def change_config(folder, **changes):
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))


def test_loads(folder):
    checkpoint = load_checkpoint(folder)
    assert checkpoint.config.kv_heads == 2 and checkpoint.config.parameters == sum(
        tensor.size for name, tensor in tensors().items() if "norm" not in name)
    np.testing.assert_array_equal(checkpoint.weights.outer["head"], tensors()["lm_head.weight"].T)
    assert checkpoint.eos_tokens == (1, 2)
    assert checkpoint.encode("w3") == [3]


def test_biases_are_read(folder):
    change_config(folder, attention_bias=True, mlp_bias=True)
    refuse(folder, "self_attn.q_proj.bias", "missing")
    sizes = {"self_attn.q": 16, "self_attn.k": 8, "self_attn.v": 8, "self_attn.o": 16, "mlp.gate": 24, "mlp.up": 24,
             "mlp.down": 16}
    biases = {f"model.layers.0.{name}_proj.bias": np.full(size, size, np.float32) for name, size in sizes.items()}
    save_file({**tensors(), **biases}, folder / "model.safetensors")
    layer = load_checkpoint(folder).weights.block(0)
    found = {name: values[0] for name, values in layer.items() if name.endswith("_bias")}
    assert found == dict(q_bias=16, k_bias=8, v_bias=8, o_bias=16, gate_bias=24, up_bias=24, down_bias=16)


def test_tensors_that_the_configuration_does_not_name_are_refused(folder):
    extra = {"model.layers.1.mlp.up_proj.weight": np.zeros((24, 16), np.float32),
             "model.layers.0.self_attn.q_proj.bias": np.zeros(16, np.float32)}
    for name, tensor in extra.items():
        save_file({**tensors(), name: tensor}, folder / "model.safetensors")
        refuse(folder, name, "does not name")
    derived = {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(2, np.float32)}
    save_file({**tensors(), **derived}, folder / "model.safetensors")
    assert load_checkpoint(folder).config.layers == 1


@pytest.mark.parametrize(("key", "told"), [("head_dim", "head_dim"), ("num_hidden_layers", "num_hidden_layers"),
                                           ("hidden_size", "head_dim"), ("vocab_size", "tensor model.")])
def test_sizes_that_the_weights_do_not_have_are_told_before_anything_is_made_of_them(folder, key, told):
    change_config(folder, **{key: 10**9})
    refuse(folder, told)


@pytest.mark.parametrize(("left_out", "head", "embedding"), [
    ("", "lm_head", "model.embed_tokens"), ("lm_head", "model.embed_tokens", "model.embed_tokens"),
    ("model.embed_tokens", "lm_head", "lm_head")])
def test_a_stored_head_is_the_head_of_a_tied_model_as_in_transformers(folder, left_out, head, embedding):
    change_config(folder, tie_word_embeddings=True)
    stored = {name: values for name, values in tensors().items() if name != f"{left_out}.weight"}
    save_file(stored, folder / "model.safetensors")
    weights = load_checkpoint(folder).weights
    np.testing.assert_array_equal(weights.outer["head"], stored[f"{head}.weight"].T)
    np.testing.assert_array_equal(weights.outer["embedding"], stored[f"{embedding}.weight"])
    np.testing.assert_array_equal(weights.embed([3, 3, 1]), stored[f"{embedding}.weight"][[3, 3, 1]])


def test_a_quantised_model_is_read_as_any_other(folder):
    change_config(folder, quantization_config={"quant_method": "fp8", "weight_block_size": [128, 128]})
    stored = {}
    for name, values in tensors().items():
        if values.ndim < 2 or "layers" not in name:
            stored[name] = values
        else:
            stored[name] = values.astype(ml_dtypes.float8_e4m3fn)
            stored[f"{name}_scale_inv"] = np.full((1, 1), 0.5, np.float32)
    save_file(stored, folder / "model.safetensors")
    checkpoint = load_checkpoint(folder)
    up = "model.layers.0.mlp.up_proj.weight"
    np.testing.assert_array_equal(checkpoint.weights.block(0)["up"], stored[up].astype(np.float32).T / 2)
    assert checkpoint.config.weight_format == "fp8"


def test_end_tokens_that_no_token_has_are_left_out(folder):
    change_config(folder, eos_token_id=[400, -1, 2])
    assert load_checkpoint(folder).eos_tokens == (2,)


def test_an_architecture_by_its_type(folder):
    change_config(folder, architectures=None, model_type="llama")
    assert load_checkpoint(folder).config.architecture == "LlamaForCausalLM"


def test_generation_config_wins(folder):
    (folder / "generation_config.json").write_text('{"eos_token_id": 7}')
    assert load_checkpoint(folder).eos_tokens == (7,)


def test_shards_are_the_same_model(folder):
    whole = load_checkpoint(folder).weights.block(0)
    (folder / "model.safetensors").unlink()
    names = sorted(tensors())
    where = {name: f"model-{i % 2}.safetensors" for i, name in enumerate(names)}
    for shard in set(where.values()):
        save_file({n: tensors()[n] for n in names if where[n] == shard}, folder / shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    np.testing.assert_array_equal(load_checkpoint(folder).weights.block(0)["down"], whole["down"])


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_small_floats_are_read_exactly(folder, dtype):
    save_file(tensors(dtype), folder / "model.safetensors")
    expected = tensors(dtype)["model.norm.weight"].astype(np.float32)
    np.testing.assert_array_equal(load_checkpoint(folder).weights.outer["norm"], expected)


def refuse(folder, *words):
    with pytest.raises(InputError) as error:
        load_checkpoint(folder)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_missing_folder(tmp_path):
    refuse(tmp_path / "nowhere", "nowhere", "config.json")


def test_missing_files(folder):
    (folder / "tokenizer.json").unlink()
    refuse(folder, "tokenizer.json")
    (folder / "model.safetensors").unlink()
    refuse(folder, "model.safetensors")


@pytest.mark.parametrize("keep", [0, 4, 200, -8])
def test_truncated_weights(folder, keep):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    refuse(folder, "model.safetensors", "cannot be read")


def test_header_that_lies(folder):
    header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 8]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    refuse(folder, "cannot be read")


def test_wrong_shape_missing_tensor_bad_values(folder):
    good = tensors()
    save_file({**good, "model.norm.weight": np.zeros(17, np.float32)}, folder / "model.safetensors")
    refuse(folder, "model.norm.weight", "[17]", "[16]")
    save_file({k: v for k, v in good.items() if k != "lm_head.weight"}, folder / "model.safetensors")
    refuse(folder, "lm_head.weight", "missing")
    save_file({**good, "lm_head.weight": np.zeros((40, 16), np.int8)}, folder / "model.safetensors")
    refuse(folder, "lm_head.weight", "I8")
    for bad in (np.full((40, 16), np.nan, np.float32), np.full((40, 16), 1e300)):
        save_file({**good, "lm_head.weight": bad}, folder / "model.safetensors")
        with pytest.raises(InputError, match=r"lm_head\.weight holds values that are not finite"):
            load_checkpoint(folder).weights.outer  # noqa: B018  read when asked for


@pytest.mark.parametrize(("changes", "words"), [
    ({"architectures": ["MixtralForCausalLM"], "num_local_experts": 2, "num_experts_per_tok": 2}, [
        "tensor model.layers.0.mlp.gate.weight is missing"]),
    ({"hidden_size": -16}, ["hidden_size", "-16"]),
    ({"hidden_size": "big"}, ["hidden_size", "big"]),
    ({"num_hidden_layers": 0}, ["num_hidden_layers"]),
    ({"num_key_value_heads": 3}, ["multiple"]),
    ({"vocab_size": 30}, ["tokens"]),
    ({"eos_token_id": "end"}, ["eos_token_id", "end"]),
    ({"eos_token_id": [True]}, ["eos_token_id"]),
    ({"architectures": 5}, ["architectures"]),
    ({"architectures": [["x"]]}, ["architectures"]),
    ({"architectures": None}, ["(none)"]),
    ({"hidden_size": 10**30}, ["hidden_size"]),
    ({"hidden_size": True}, ["hidden_size"]),
    ({"hidden_size": [10**300]}, ["hidden_size", "..."]),
    ({"rms_norm_eps": float("inf")}, ["rms_norm_eps"]),
    ({"rope_theta": "far"}, ["rope_theta"]),
    ({"rope_parameters": [1]}, ["rope_parameters"]),
    ({"rope_parameters": {"rope_theta": -1}}, ["rope_parameters", "rope_theta"]),
    ({"rope_scaling": {"rope_type": "linear"}}, ["linear", "factor"]),
    ({"rope_scaling": {"rope_type": "linear", "factor": 0}}, ["factor", "expected a number from"]),
    ({"rope_scaling": {"rope_type": "spiral"}}, ["spiral", "llama3"]),
    ({"rope_scaling": {"rope_type": ["linear"]}}, ["not supported"]),
    ({"rope_scaling": {"type": "llama3", "factor": 2.0}}, ["low_freq_factor"]),
    ({"head_dim": 5}, ["head_dim", "even"]),
    ({"partial_rotary_factor": 1.5}, ["partial_rotary_factor", "1"]),
    ({"tie_word_embeddings": "no"}, ["tie_word_embeddings"]),
    ({"quantization_config": {"quant_method": "aqlm"}}, ["aqlm"]),
    ({"text_config": 3, "attention_bias": "x"}, ["attention_bias"]),
])
def test_bad_config(folder, changes, words):
    change_config(folder, **changes)
    refuse(folder, *words)


def test_config_that_is_not_json(folder):
    (folder / "config.json").write_text("{")
    refuse(folder, "config.json", "JSON")
    (folder / "config.json").write_text("[]")
    refuse(folder, "config.json", "object")
    (folder / "config.json").write_bytes(b"\xff\xfe\x00")
    refuse(folder, "config.json", "JSON")
    (folder / "config.json").write_text("[" * 100_000)
    refuse(folder, "config.json", "JSON")


@pytest.mark.parametrize("text", ["{", "[]", '{"eos_token_id": "x"}'])
def test_broken_generation_config(folder, text):
    (folder / "generation_config.json").write_text(text)
    refuse(folder, str(folder))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 4}}',
                                  '{"weight_map": {"a": "gone.safetensors"}}', '{"weight_map": {}}'])
def test_broken_shard_index(folder, text):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(text)
    refuse(folder, str(folder))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"model": {"type": "BPE"}}'])
def test_broken_tokenizer(folder, text):
    (folder / "tokenizer.json").write_text(text)
    refuse(folder, "tokenizer.json", "cannot be read as a tokenizer")


def test_shard_outside_the_folder(folder):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../secret.safetensors"}}))
    refuse(folder, "leads out")
