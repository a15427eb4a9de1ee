"""Where which precision is used: weights, activations and cache apart."""

from dataclasses import dataclass, replace
from functools import lru_cache

from wsekern.errors import InputError
from wsekern.shown import Tabled

PARTS = {"attention": "attention", "recurrent": "recurrent mixers", "shared": "shared experts", "dense": "feed-forward parts"}
"""Parts of a model that a checkpoint may store otherwise than the rest, in words."""

Format = tuple[float, str, float]
"""Bytes per weight, arithmetic, bytes per activation."""


@dataclass(frozen=True, kw_only=True)
class Precision(Tabled):
    """Bytes per weight, the arithmetic of the tensor cores, and bytes per cached element.

    ``other`` are the weights outside the experts (attention, LM head) where a checkpoint keeps them wider; ``kept`` are parts
    (:data:`PARTS`) in a format of their own. ``lacking`` is the arithmetic that the checkpoint was made for and the GPU has not
    (:meth:`on`).
    """

    name: str
    weight: float
    arithmetic: str
    activation: float
    cache: float = 2.0
    other_weight: float | None = None
    other_arithmetic: str | None = None
    kept: tuple[tuple[str, Format], ...] = ()
    lacking: str | None = None

    def on(self, arithmetics: frozenset[str]) -> "Precision":
        """This precision on a GPU whose tensor cores compute in ``arithmetics``: weights made for another one stay as narrow as
        they are, and kernels unpack them to bf16. Caches are only stored, so that they stay as they are too."""
        return _on(self, arithmetics)

    @property
    def routed_inside(self) -> bool:
        """Whether the kernels of the experts route tokens themselves (those for MXFP4 do), with nothing left to the engine."""
        return self.name == "mxfp4"

    @property
    def in_words(self) -> str:
        """Bytes of weights and cached elements, and the arithmetic."""
        apart: dict[Format, list[str]] = {}
        for part, form in self.kept:
            apart.setdefault(form, []).append(PARTS[part])
        kept = "".join(f" ({', '.join(names)} {weight:g} B, {how})" for (weight, how, _), names in apart.items())
        return f"weights {self.weight:g} B, arithmetic {self.arithmetic}{kept}, cache {self.cache:g} B per element"

    def part(self, experts: bool) -> Format:
        """(bytes per weight, arithmetic, bytes per activation) of the experts, or of the rest."""
        if experts or self.other_weight is None:
            return self.weight, self.arithmetic, self.activation
        return self.other_weight, self.other_arithmetic or "bf16", 2.0


@lru_cache(maxsize=1024)
def _on(precision: Precision, arithmetics: frozenset[str]) -> Precision:
    """:meth:`Precision.on`, once for each pair."""
    changed = precision
    if precision.arithmetic not in arithmetics:
        changed = replace(changed, arithmetic="bf16", activation=2.0, lacking=precision.arithmetic)
    if precision.other_arithmetic is not None and precision.other_arithmetic not in arithmetics:
        changed = replace(changed, other_arithmetic="bf16", lacking=precision.other_arithmetic)
    kept = tuple((part, form if form[1] in arithmetics else (form[0], "bf16", 2.0)) for part, form in precision.kept)
    if kept != precision.kept:
        changed = replace(changed, kept=kept)
    return changed


PRECISIONS = {
    p.name: p
    for p in (
        Precision(name="fp32", weight=4.0, arithmetic="bf16", activation=4.0, cache=4.0),
        Precision(name="fp16", weight=2.0, arithmetic="fp16", activation=2.0),
        Precision(name="bf16", weight=2.0, arithmetic="bf16", activation=2.0),
        Precision(name="fp8", weight=1.0, arithmetic="fp8", activation=1.0),
        Precision(name="int8", weight=1.0, arithmetic="bf16", activation=2.0),
        Precision(name="int4", weight=0.5625, arithmetic="bf16", activation=2.0),
        Precision(name="fp4wo", weight=0.5625, arithmetic="bf16", activation=2.0),
        Precision(name="fp4", weight=0.5625, arithmetic="fp4", activation=0.5625, cache=1.0),
        Precision(name="mxfp4", weight=0.53125, arithmetic="bf16", activation=2.0, other_weight=2.0, other_arithmetic="bf16"),
    )
}
"""Usual choices. int8, int4 and fp4wo are weight-only; fp4 is NVFP4 with block scales, fp4wo its weights beside 16-bit
activations; mxfp4 keeps all but the experts in bf16."""


def precision_of(name: "str | Precision") -> Precision:
    """A precision by name; fp16_fp32 is fp16 here, since tensor cores add in fp32 anyway."""
    if isinstance(name, Precision):
        return name
    key = {"fp16_fp32": "fp16", "bfloat16": "bf16", "float16": "fp16", "nvfp4": "fp4"}.get(name, name)
    if key not in PRECISIONS:
        raise InputError(f"precision {name!r} is unknown for a GPU; use one of {', '.join(PRECISIONS)}")
    return PRECISIONS[key]
