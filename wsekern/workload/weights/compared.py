"""Which architectures tests compare with ``transformers``: tensors, logits and tokens of small random models."""

COMPARED = frozenset((
    "Apertus", "Arcee", "Bamba", "Bloom", "CodeGen", "Cohere", "Cohere2", "DeepseekV2", "DeepseekV3", "Dots1", "Ernie4_5",
    "Ernie4_5_Moe", "Exaone4", "Falcon", "GPT2", "GPTJ", "GPTNeoX", "Gemma", "Gemma2", "Gemma3", "Gemma4", "Glm", "Glm4",
    "Glm4Moe", "Glm4MoeLite", "GptOss", "Granite", "GraniteMoe", "GraniteMoeShared", "Helium", "HunYuanDenseV1", "Lfm2",
    "Llama", "Llama4", "Mamba2", "MiniMaxM2", "Ministral3", "Mistral", "Mixtral", "NanoChat", "Nemotron", "NemotronH",
    "OPT", "Olmo", "Olmo2", "Olmo3", "Olmoe", "Phi", "Phi3", "Phimoe", "Qwen2", "Qwen2Moe", "Qwen3", "Qwen3Moe",
    "Qwen3Next", "Qwen3_5", "Qwen3_5Moe", "SeedOss", "SmolLM3", "StableLm", "Starcoder2",
))
"""Names in ``transformers`` without what stands behind them."""

ENDS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
"""What stands behind the name of a class with an LM head; multimodal ones are read for their text part."""


def is_compared(architecture: str) -> bool:
    """Whether tests compare models of ``architecture`` with ``transformers``."""
    return any(architecture.removesuffix(end) in COMPARED for end in ENDS if architecture.endswith(end))
