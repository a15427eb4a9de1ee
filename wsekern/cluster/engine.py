"""Engine levels: what serving software adds to the kernels (``data/engines.toml``)."""

from functools import lru_cache
from importlib.resources import files
from typing import Annotated

import msgspec

from wsekern.description import Quantity, Unit, check_units
from wsekern.errors import InputError

Seconds = Annotated[Quantity, Unit("s")]


class Engine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Cost of one generation of serving software, per layer, step, sequence and request.

    ``overlapped``: the host works while the GPU does; ``balanced``: prompts start on all data-parallel ranks together.
    """

    title: str
    generation: str
    kernels: list[str]
    graphs: bool
    autotune: bool
    chunked: bool
    overlapped: bool
    balanced: bool
    fixed_scale: Annotated[Quantity, Unit("ratio")]
    elementwise: Annotated[Quantity, Unit("kernels/layer")]
    quantise: Annotated[Quantity, Unit("kernels/GEMM")]
    per_layer: Seconds
    per_step: Seconds
    per_sequence: Seconds
    per_request: Seconds
    per_logit: Annotated[Quantity, Unit("s/logit")]
    per_routed: Annotated[Quantity, Unit("s/layer")]
    per_routed_prompt: Annotated[Quantity, Unit("s/layer")]
    per_exchange: Annotated[Quantity, Unit("s/layer")]
    per_quantised_exchange: Annotated[Quantity, Unit("s/layer")]
    interference: Annotated[Quantity, Unit("ratio")]
    launch: Seconds
    staged_above: Annotated[Quantity, Unit("B")]


@lru_cache(maxsize=1)
def engine_levels() -> dict[str, Engine]:
    """Every level by name, least cost first."""
    resource = files("wsekern.cluster") / "data" / "engines.toml"
    levels = msgspec.toml.decode(resource.read_text(), type=dict[str, Engine])
    for name, engine in levels.items():
        check_units(engine, f"{resource}: {name}")
    return levels


def load_engine(level: "str | Engine") -> Engine:
    """Level by name (ideal, tuned, stock, eager) or an engine of one's own."""
    if isinstance(level, Engine):
        return level
    name = {"trtllm": "tuned", "vllm": "stock", "sglang": "sglang"}.get(level, level)
    if name not in engine_levels():
        raise InputError(f"engine level {level!r} is unknown; use one of {', '.join(engine_levels())}")
    return engine_levels()[name]
