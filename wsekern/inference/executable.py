"""What of a description is timed but not executed: the wafer and the plain reference refuse it in the same words."""

from wsekern.errors import InputError
from wsekern.workload.config import ModelConfig


def check_executable(config: ModelConfig) -> None:
    """Refuse a model with weights or factors that the parts of its blocks do not know: it would run without them."""
    for block, _ in config.kinds:
        if block.extra or block.repeats or block.multipliers:
            what = ", ".join(name for name, _ in block.multipliers) or \
                ("layers that share their weights" if block.repeats else "further weights of layers")
            raise InputError(f"{config.name} cannot be executed yet: its description has {what}, which only its time takes "
                             "into account")
    if config.extra or config.extra_tables:
        raise InputError(f"{config.name} cannot be executed yet: its description has weights outside the layers beside "
                         "embedding, head and norms")
