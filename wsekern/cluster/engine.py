"""Engine levels: what serving software adds to the kernels (``data/engines.toml``)."""

from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Annotated

import msgspec

from wsekern.cluster.scoped import Scoped
from wsekern.description import Quantity, Unit, check_units
from wsekern.errors import InputError

Seconds = Annotated[Quantity, Unit("s")]


class Engine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Cost of one generation of serving software, per layer, step, sequence and request.

    ``elementwise`` are small kernels of every layer, ``latent``, ``router`` and ``linear`` those that latent attention, a
    router and linear attention add; ``state_passes``: how often the kernels of a prompt move what a chunk of it has of a state
    through memory, 1 where one kernel keeps it on the chip.
    ``overlapped``: the host works while the GPU does; ``balanced``: prompts start on all data-parallel ranks together;
    ``side_stream``: shared experts run beside the routed ones, so that their launches hide;
    ``coarse_tiles``: what large tiles add to products of 8,192 in depth;
    ``year``: of an older generation than the newest;
    ``ragged``: of compiled programs, tokens that only fill up a bucket load no experts, and data-parallel ranks exchange
    none but their own;
    ``others``: levels that stand in for this one on machines whose kernels are not priced as a GPU's, by their mechanism;
    ``per_rank_prompt``: per doubling of the tensor-parallel ranks, which launch the kernels of prompts one by one and wait for
    the slowest; ``per_linear_prompt``: of a layer with linear attention.
    """

    title: str
    generation: str
    kernels: tuple[str, ...]
    graphs: bool
    autotune: bool
    chunked: bool
    overlapped: bool
    balanced: bool
    side_stream: bool
    fixed_scale: Annotated[Quantity, Unit("ratio")]
    elementwise: Annotated[Quantity, Unit("kernels/layer")]
    latent: Annotated[Quantity, Unit("kernels/layer")]
    router: Annotated[Quantity, Unit("kernels/layer")]
    linear: Annotated[Quantity, Unit("kernels/layer")]
    state_passes: Annotated[Quantity, Unit("passes", 1)]
    quantise: Annotated[Quantity, Unit("kernels/GEMM")]
    per_layer: Seconds
    per_step: Seconds
    per_sequence: Seconds
    per_request: Seconds
    per_logit: Annotated[Quantity, Unit("s/logit")]
    per_routed: Annotated[Quantity, Unit("s/layer")]
    per_routed_prompt: Annotated[Quantity, Unit("s/layer")]
    per_exchange: Annotated[Quantity, Unit("s/layer")]
    padded_rows: Annotated[Quantity, Unit("rows/expert")]
    coarse_tiles: Annotated[Quantity, Unit("s")]
    launch: Seconds
    staged_above: Annotated[Quantity, Unit("B")]
    per_rank_prompt: Annotated[Quantity, Unit("s/layer")]
    per_linear_prompt: Annotated[Quantity, Unit("s/layer")]
    year: str = ""
    ragged: bool = False
    others: tuple[tuple[str, str], ...] = ()

    def on(self, mechanism: str) -> "Engine":
        """This level on machines of another ``mechanism``: what the same product, or one of its time, is there."""
        return next((engine_levels()[level] for other, level in self.others if other == mechanism), self)


def _shipped() -> Mapping[str, Engine]:
    resource = files("wsekern.cluster") / "data" / "engines.toml"
    levels = msgspec.toml.decode(resource.read_text(), type=dict[str, Engine])
    for name, engine in levels.items():
        check_units(engine, f"{resource}: {name}")
    return MappingProxyType(levels)


engine_levels: Scoped[Mapping[str, Engine]] = Scoped("engine_levels", _shipped)
"""Every level in use by name, least cost first; ``engine_levels.replaced`` uses others inside a ``with`` block."""


def without_graphs(engine: Engine) -> Engine:
    """``engine`` with kernels that are not fused and launched one by one, at the cost that the level eager states; itself where
    it has no CUDA graphs, or launches next to nothing (ideal)."""
    plain = engine_levels()["eager"]
    if not engine.graphs or float(engine.fixed_scale) == 0.0:
        return engine
    return msgspec.structs.replace(
        engine,
        title=f"{engine.title}, eager",
        generation=f"{engine.generation}; without CUDA graphs, kernels launched one by one",
        graphs=False,
        elementwise=plain.elementwise,
        per_layer=plain.per_layer,
        launch=plain.launch,
    )


def without_chunks(engine: Engine) -> Engine:
    """``engine`` that reads a prompt whole, while decoding stands still; itself where it does so already."""
    if not engine.chunked:
        return engine
    return msgspec.structs.replace(
        engine,
        title=f"{engine.title}, whole prompts",
        generation=f"{engine.generation}; without chunked prefill",
        chunked=False,
    )


SETTINGS = {"eager": without_graphs, "unchunked": without_chunks}
"""What may follow the name of a level, as in stock-eager."""

PRODUCTS = {"trtllm": "tuned", "vllm": "stock", "sglang": "sglang"}
"""Level of a product's newest generation."""


def level_name(name: str) -> str:
    """``name`` with the level of a product in place of it: stock-eager for vllm-eager, tuned-2024 for trtllm-2024."""
    product, dash, rest = name.partition("-")
    return PRODUCTS.get(product, product) + dash + rest


def load_engine(level: str | Engine) -> Engine:
    """Level by name (ideal, tuned, stock, eager), by product, either followed by a setting (stock-eager, vllm-eager,
    stock-unchunked), or an engine of one's own."""
    if isinstance(level, Engine):
        return level
    levels = engine_levels()
    name = level_name(level)
    if name in levels:
        return levels[name]
    base, _, setting = name.rpartition("-")
    if base and setting in SETTINGS:
        return SETTINGS[setting](load_engine(base))
    raise InputError(
        f"engine level {level!r} is unknown; use one of {', '.join(levels)}, or one of them with a setting, such as stock-eager"
    )
