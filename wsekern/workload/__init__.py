"""The workload: a transformer (Hugging Face configuration and weights) and a request."""

from wsekern.workload.config import ModelConfig, bundled_models, load_config

__all__ = ["ModelConfig", "bundled_models", "load_config"]
