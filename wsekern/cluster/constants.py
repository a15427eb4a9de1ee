"""The hand-set constants of the GPU model, each with unit, source and confidence (``data/model.toml``).

What is fitted lies elsewhere: kernels in ``kernels.json``, serving software in ``engines.toml``, GPUs in ``machines/``.
"""

from importlib.resources import files
from typing import Annotated

import msgspec

from wsekern.cluster.scoped import Scoped
from wsekern.description import Quantity, Unit, load_description

Ratio = Annotated[Quantity, Unit("ratio", 0, 1)]
Seconds = Annotated[Quantity, Unit("s")]
Tokens = Annotated[Quantity, Unit("tokens", 1, whole=True)]
Doublings = Annotated[Quantity, Unit("doublings")]


class Constants(msgspec.Struct, frozen=True, eq=False, forbid_unknown_fields=True):
    """Every constant that is neither a GPU's, nor an engine's, nor a kernel's; ``model.toml`` says what each means.

    Compared by identity, so that caches keep two sets apart.
    """

    popularity_exponent: Annotated[Quantity, Unit("exponent")]
    small_kernel: Seconds
    small_kernel_bandwidth: Ratio
    unpacking_8_bit: Ratio
    unpacking_4_bit: Ratio
    expert_kernels: Annotated[Quantity, Unit("kernels/layer", 1)]
    linear_fixed: Seconds
    linear_chunk: Tokens
    linear_compute: Ratio
    host_copy_share: Ratio
    stage_latency: Seconds
    stage_bandwidth: Ratio
    wire_hop: Seconds
    sort_rows: Annotated[Quantity, Unit("rows", 1)]
    sort_streaming: Ratio
    sort_bandwidth: Annotated[Quantity, Unit("B/s", 1)]
    step_tokens: Tokens
    memory_share: Ratio
    activation_bytes: Annotated[Quantity, Unit("B")]
    state_bytes: Annotated[Quantity, Unit("B/element")]
    index_bytes: Annotated[Quantity, Unit("B/element")]
    index_scores: Annotated[Quantity, Unit("B/score")]
    index_walk: Annotated[Quantity, Unit("s/token")]
    sparse_heads: Annotated[Quantity, Unit("heads", 1)]
    page_tokens: Tokens
    spread_experts: Annotated[Quantity, Unit("experts", 1, whole=True)]
    power_saturation: Ratio
    waiting_power: Ratio
    latency_power: Ratio
    measured_ranks: Annotated[Quantity, Unit("GPUs", 1, whole=True)]
    another_gpu: Doublings
    another_family: Doublings
    another_kind: Doublings
    another_engine: Doublings
    other_family_least: Annotated[Quantity, Unit("ratio", 0, 1)]
    other_family_most: Annotated[Quantity, Unit("ratio", 1)]
    other_setting_least: Annotated[Quantity, Unit("ratio", 0, 1)]
    other_setting_most: Annotated[Quantity, Unit("ratio", 1)]
    benchmark_rounds: Annotated[Quantity, Unit("prompts/user", 1)]
    recipe_lengths: Ratio
    arrivals_in_most_steps: Annotated[Quantity, Unit("prompts/step")]
    scheduled_sequences: Annotated[Quantity, Unit("sequences", 1, whole=True)]
    drafted_speedup: Annotated[Quantity, Unit("ratio", 1)]


def _shipped() -> Constants:
    return load_description(str(files("wsekern.cluster") / "data" / "model.toml"), Constants)


constants: Scoped[Constants] = Scoped("constants", _shipped)
"""The constants in use: ``constants().power_saturation.value``; ``constants.replaced`` uses others inside a ``with`` block."""
