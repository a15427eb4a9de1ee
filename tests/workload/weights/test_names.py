"""Every tensor that ``transformers`` saves is a weight of the description, and the model of both has the same logits."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsekern.errors import InputError
from wsekern.inference.reference.model import ReferenceModel
from wsekern.workload import load_config
from wsekern.workload.weights.compared import COMPARED, is_compared
from wsekern.workload.weights.quantized import open_folder
from wsekern.workload.weights.tensors import Safetensors
from wsekern.workload.weights.weights import StoredWeights

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

SIZES = {"vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1,
         "eos_token_id": 2}
LOCAL = {**SIZES, "num_local_experts": 4, "num_experts_per_tok": 2}
EXPERTS = {**SIZES, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
SHARED = {**SIZES, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "n_shared_experts": 1,
          "first_k_dense_replace": 1}
LATENT = {**SHARED, "q_lora_rank": 12, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 6,
          "num_key_value_heads": 4, "n_group": 2, "topk_group": 1, "head_dim": 4}
DELTA = {**EXPERTS, "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8,
         "linear_value_head_dim": 6, "linear_conv_kernel_dim": 4, "layer_types": ["linear_attention", "full_attention"],
         "shared_expert_intermediate_size": 24}
GPT = {"vocab_size": 96, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
PLAIN = {key: value for key, value in SIZES.items() if key not in ("head_dim", "num_key_value_heads")}

MODELS = {
    **dict.fromkeys(("Llama", "Mistral", "Ministral3", "Qwen2", "Qwen3", "SmolLM3", "Granite", "Olmo", "Olmo2", "Olmo3",
                     "Gemma", "Gemma2", "Gemma3", "Cohere", "Cohere2", "Glm", "Glm4", "Phi", "Phi3", "Starcoder2", "StableLm",
                     "Exaone4",
                     "SeedOss", "Ernie4_5", "HunYuanDenseV1", "Arcee", "Nemotron", "Helium"), SIZES),
    "GPT2": GPT, "GPTJ": {**GPT, "rotary_dim": 4}, "GPTNeoX": PLAIN, "OPT": {**PLAIN, "ffn_dim": 48, "word_embed_proj_dim": 32},
    "Falcon": {"vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_kv_heads": 2,
               "new_decoder_architecture": True, "ffn_hidden_size": 64},
    "Bloom": {"vocab_size": 96, "hidden_size": 32, "n_layer": 2, "n_head": 4},
    **dict.fromkeys(("Mixtral", "GptOss", "GraniteMoe", "Phimoe", "MiniMaxM2"), LOCAL),
    "Olmoe": {**SIZES, "num_experts": 4, "num_experts_per_tok": 2}, "Qwen3Moe": EXPERTS, "Dots1": SHARED,
    "Glm4Moe": {**SHARED, "use_qk_norm": True}, "Qwen2Moe": {**EXPERTS, "shared_expert_intermediate_size": 24},
    "GraniteMoeShared": {**LOCAL, "shared_intermediate_size": 24},
    "Llama4": {**LOCAL, "intermediate_size_mlp": 40, "interleave_moe_layer_step": 2},
    "Ernie4_5_Moe": {**SIZES, "moe_num_experts": 4, "moe_k": 2, "moe_layer_start_index": 1, "moe_num_shared_experts": 1,
                     "moe_intermediate_size": 24},
    "DeepseekV2": LATENT, "DeepseekV3": LATENT, "Glm4MoeLite": LATENT,
    "DeepseekV32": {**LATENT, "index_n_heads": 2, "index_head_dim": 8, "index_topk": 4},
    "Qwen3Next": DELTA, "Qwen3_5": DELTA, "Qwen3_5Moe": DELTA,
    "Mamba2": {**SIZES, "num_heads": 4, "head_dim": 16, "state_size": 8, "n_groups": 2, "expand": 2},
    "NemotronH": {**SHARED, "layers_block_type": ["mamba", "attention", "mlp", "moe"], "num_hidden_layers": 4,
                  "mamba_num_heads": 4, "mamba_head_dim": 8, "ssm_state_size": 8, "n_groups": 2,
                  "moe_shared_expert_intermediate_size": 20},
}
"""Name in ``transformers`` -> settings of a tiny model."""


def save(name, folder):
    """A tiny random model of a class, saved; returns it."""
    config = getattr(transformers, f"{name}TextConfig", None) or getattr(transformers, f"{name}Config")
    model_class = getattr(transformers, f"{name}ForCausalLM", None) or getattr(transformers, f"{name}LMHeadModel")
    torch.manual_seed(0)
    model = model_class(config(**MODELS[name]))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2)
    model.save_pretrained(folder)
    return model


def open_weights(folder):
    return StoredWeights(open_folder(folder), load_config(folder))


UNLIKE = {"DeepseekV32": "the chosen tokens"}
"""Classes whose logits are not those of transformers yet, and what differs."""


@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_is_used_and_every_weight_found(name, tmp_path):
    model = save(name, tmp_path).eval()
    weights = open_weights(tmp_path)
    source = Safetensors(tmp_path)
    read = sum(values.size for index in range(len(weights)) for values in weights.block(index).values())
    read += sum(values.size for key, values in weights.outer.items())
    stored = sum(np.prod(tensor.shape) for tensor in source.tensors.values())
    tied = not any("lm_head.weight" in tensor or "embed_out.weight" in tensor for tensor in source.tensors)
    skipped = 2 * 32 if name == "OPT" else 0
    assert read == stored + (96 * 32 if tied else 0) - skipped
    assert weights.notes == ()
    if name not in UNLIKE:
        tokens = [5, 9, 33, 7, 61, 2, 90, 14]
        with torch.no_grad():
            expected = model(torch.tensor([tokens])).logits[0].numpy()
        found = ReferenceModel(load_config(tmp_path), weights).forward(tokens)
        np.testing.assert_allclose(found, expected, atol=1e-4 * max(1.0, abs(expected).max()))


def test_the_list_of_compared_architectures_is_what_tests_compare():
    from tests.inference import test_families, test_transformers_hybrids, test_transformers_mixtures

    cases = {**test_families.FAMILIES, **test_transformers_mixtures.CASES, **test_transformers_hybrids.CASES}
    compared = {*MODELS, *(family.removesuffix("Text") for family, _ in cases.values())}
    assert compared - UNLIKE.keys() == COMPARED
    assert is_compared("GPT2LMHeadModel") and is_compared("Gemma3ForConditionalGeneration") and not is_compared("Qwen3Model")


def rename(folder, names):
    """Give the tensors of a saved model other names; a name of None leaves the tensor out."""
    from safetensors.numpy import load_file, save_file

    kept = {names(name): values for name, values in load_file(folder / "model.safetensors").items()}
    kept.pop(None, None)
    save_file(kept, folder / "model.safetensors")


@pytest.mark.parametrize("change", [
    lambda name: name.removeprefix("model."), lambda name: f"language_model.{name}",
    lambda name: name.replace("model.", "model.language_model."), lambda name: name.replace("model.", "any.{thing}.")])
def test_any_prefix_in_front_of_the_decoder(tmp_path, change):
    save("Llama", tmp_path)
    expected = open_weights(tmp_path)
    rename(tmp_path, change)
    found = open_weights(tmp_path)
    for name, values in {**expected.block(1), **expected.outer}.items():
        np.testing.assert_array_equal({**found.block(1), **found.outer}[name], values)


def test_what_is_not_read_is_named(tmp_path):
    from safetensors.numpy import load_file, save_file

    save("Llama", tmp_path)
    file = tmp_path / "model.safetensors"
    one = np.ones((2, 2), np.float32)
    beside = {f"model.vision_tower.encoder.layers.{index}.self_attn.q_proj.weight": one for index in range(3)}
    save_file({**load_file(file), **beside, "mtp.fc.weight": one, "model.layers.0.self_attn.rotary_emb.inv_freq": one}, file)
    (note,) = open_weights(tmp_path).notes
    assert "3 tensors of vision_tower and 1 tensors of mtp" in note
    save_file({**load_file(file), "model.layers.2.mlp.up_proj.weight": one}, file)
    with pytest.raises(InputError, match=r"model\.layers\.2\.mlp\.up_proj\.weight, which config.json does not name"):
        open_weights(tmp_path)


def test_shards_need_no_index_but_all_of_them(tmp_path):
    save("Llama", tmp_path)
    file = tmp_path / "model.safetensors"
    file.rename(tmp_path / "model-00001-of-00001.safetensors")
    assert len(open_weights(tmp_path)) == 2
    (tmp_path / "model-00001-of-00001.safetensors").rename(tmp_path / "model-00002-of-00003.safetensors")
    with pytest.raises(InputError, match="1 of 3 shards"):
        open_weights(tmp_path)


@pytest.mark.parametrize(("name", "told"), [
    ("pytorch_model.bin", "can run any code"), ("consolidated.safetensors", "own layout"), ("x.gguf", "give its x.gguf"),
    ("model.h5", "other checkpoint formats")])
def test_other_layouts_are_refused_with_what_to_do(tmp_path, name, told):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=told):
        Safetensors(tmp_path)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 3000))
def test_whatever_the_bytes_are_one_sentence_says_so(tmp_path_factory, changes, cut):
    from safetensors.numpy import save

    data = bytearray(save({"model.a.weight": np.ones((3, 4), np.float32), "b": np.ones(5, np.float16)}))
    for at, byte in changes:
        data[at % len(data)] = byte
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "model.safetensors").write_bytes(data[:cut])
    with contextlib.suppress(InputError):
        source = Safetensors(folder)
        for name in source.tensors:
            source.read(name)
