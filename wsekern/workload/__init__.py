"""The workload: a transformer (Hugging Face configuration and weights) and a request."""

from wsekern.workload.config import ModelConfig, uniform
from wsekern.workload.load import bundled_models, load_config
from wsekern.workload.measure import Measure
from wsekern.workload.request import Request

__all__ = ["Measure", "ModelConfig", "Request", "bundled_models", "load_config", "uniform"]
