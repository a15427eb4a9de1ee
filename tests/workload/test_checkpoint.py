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
    np.testing.assert_array_equal(checkpoint.weights.head, tensors()["lm_head.weight"].T)
    assert (checkpoint.bos_token, checkpoint.eos_tokens) == (0, (1, 2))
    assert checkpoint.encode("w3") == [0, 3]


def test_generation_config_wins(folder):
    (folder / "generation_config.json").write_text('{"eos_token_id": 7}')
    assert load_checkpoint(folder).eos_tokens == (7,)


def test_shards_are_the_same_model(folder):
    whole = load_checkpoint(folder).weights
    (folder / "model.safetensors").unlink()
    names = sorted(tensors())
    where = {name: f"model-{i % 2}.safetensors" for i, name in enumerate(names)}
    for shard in set(where.values()):
        save_file({n: tensors()[n] for n in names if where[n] == shard}, folder / shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    np.testing.assert_array_equal(load_checkpoint(folder).weights.layers[0].down, whole.layers[0].down)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_small_floats_are_read_exactly(folder, dtype):
    save_file(tensors(dtype), folder / "model.safetensors")
    expected = tensors(dtype)["model.norm.weight"].astype(np.float32)
    np.testing.assert_array_equal(load_checkpoint(folder).weights.norm, expected)


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
    save_file({**good, "lm_head.weight": np.full((40, 16), np.nan, np.float32)}, folder / "model.safetensors")
    refuse(folder, "lm_head.weight", "finite")
    save_file({**good, "lm_head.weight": np.zeros((40, 16), np.int8)}, folder / "model.safetensors")
    refuse(folder, "lm_head.weight", "int8")


@pytest.mark.parametrize(("changes", "words"), [
    ({"architectures": ["GPT2LMHeadModel"]}, ["GPT2LMHeadModel", "LlamaForCausalLM"]),
    ({"architectures": ["MixtralForCausalLM"], "num_local_experts": 2}, ["cannot be executed"]),
    ({"hidden_size": -16}, ["hidden_size", "-16"]),
    ({"hidden_size": "big"}, ["hidden_size", "big"]),
    ({"num_hidden_layers": 0}, ["num_hidden_layers"]),
    ({"num_key_value_heads": 3}, ["multiple"]),
    ({"vocab_size": 30}, ["tokens"]),
    ({"eos_token_id": 400}, ["400"]),
    ({"sliding_window": 8}, ["sliding window"]),
])
def test_bad_config(folder, changes, words):
    change_config(folder, **changes)
    refuse(folder, *words)


def test_config_that_is_not_json(folder):
    (folder / "config.json").write_text("{")
    refuse(folder, "config.json", "JSON")
    (folder / "config.json").write_text("[]")
    refuse(folder, "config.json", "object")


def test_shard_outside_the_folder(folder):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../secret.safetensors"}}))
    refuse(folder, "leads out")
