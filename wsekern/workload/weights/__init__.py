"""Weights in files: safetensors and GGUF, stored formats, and which tensors make which weight of a block."""
