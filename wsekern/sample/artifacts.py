"""The files of a Hugging Face model folder: tokenizer, configuration, and writing them without half files."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsekern.errors import InputError
from wsekern.output import write_file

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from wsekern.sample.network import Shape

BOS, EOS = "<|bos|>", "<|eos|>"  # token ids 0 and 1
_SMALLEST_VOCAB = 272  # 256 bytes and two special tokens, rounded up to a multiple of 16


def train_tokenizer(stories: list[str], vocab: int) -> "Tokenizer":
    """Byte-level BPE of ``vocab`` tokens ; encoding puts the start token first, as Llama's does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if vocab % 16 or vocab < _SMALLEST_VOCAB:
        raise InputError(f"--vocab {vocab}: a multiple of 16, at least {_SMALLEST_VOCAB}, is needed")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=[BOS, EOS], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(stories, trainer)
    if tokenizer.get_vocab_size() < vocab:
        raise InputError(f"--text: too little text for {vocab} tokens; give more books or a smaller --vocab")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return tokenizer


def configuration(shape: "Shape") -> dict[str, Any]:
    """The config.json of a `network.Shape`, in Hugging Face's words."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocab,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "max_position_embeddings": shape.positions,
        "rope_theta": shape.rope_theta,
        "rms_norm_eps": shape.norm_eps,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "torch_dtype": "float16",
    }


def write_side_files(out: Path, tokenizer: "Tokenizer", config: dict[str, Any]) -> None:
    """Write everything but the weights."""
    out.mkdir(parents=True, exist_ok=True)
    side_files: dict[str, Any] = {
        "config.json": config,
        "generation_config.json": {"bos_token_id": 0, "eos_token_id": 1, "do_sample": False},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": BOS,
            "eos_token": EOS,
            "model_max_length": config["max_position_embeddings"],
            "clean_up_tokenization_spaces": False,
        },
    }
    for name, content in side_files.items():
        write_file(out / name, (json.dumps(content, indent=2) + "\n").encode())
    write_file(out / "tokenizer.json", tokenizer.to_str(pretty=False).encode())


