"""Which matrices of a layer lie packed in 8 or 4 bits, and in which format.

Matrices of three classes can: those of attention, of feed-forward parts that every token takes, and of experts. Norms, biases,
routers and other small matrices stay in the precision, and so do embedding and LM head: a checkpoint of few bits mostly keeps
them as they were, and a row of the embedding is sent as it lies. The head is a class too, for those who ask for it.
"""

from functools import lru_cache

from wsekern.errors import InputError
from wsekern.ops.local.packed import PACKED_PRECISIONS
from wsekern.ops.local.packing import PACKINGS, Packing, packing

CLASSES = {"qkv": "attention", "o": "attention", "gate_up": "feed", "down": "feed", "shared_gate_up": "feed",
           "shared_down": "feed", "dense_gate_up": "feed", "dense_down": "feed", "experts_gate_up": "experts",
           "experts_down": "experts", "head": "head"}
"""Name of a matrix, as steps read it -> its class."""


@lru_cache(maxsize=256)
def formats_of(text: str, precision: str) -> dict[str, str]:
    """Class of matrices -> the format that it lies in, as ``weight_precision`` says: a format for all matrices of layers, or
    some classes with theirs, ``experts=mxfp4,head=fp8``. Empty, or ``precision`` itself: none."""
    if text in ("", precision):
        return {}
    known = sorted(set(CLASSES.values()))
    items = [item.partition("=")[::2] for item in text.split(",")] if "=" in text else \
        [(name, text) for name in known if name != "head"]
    found = dict(items)
    if len(found) < len(items):
        raise InputError(f"weight_precision is {text!r}, which names a class of matrices twice: give each one format")
    for name, form in found.items():
        if name not in known:
            raise InputError(f"weight_precision names {name!r}: matrices are those of {', '.join(known)}")
        if form != precision and form not in PACKINGS:
            raise InputError(f"weight_precision is {text!r}: PEs keep weights in {precision} or in "
                             f"{', '.join(PACKINGS)}, of all matrices or by class (experts=mxfp4)")
    if precision not in PACKED_PRECISIONS:
        raise InputError(f"weight_precision is {text!r} with precision {precision}: cores unpack weights into "
                         f"{', '.join(PACKED_PRECISIONS)}")
    return {name: form for name, form in found.items() if form != precision}


def form_of(name: str, text: str, precision: str) -> Packing | None:
    """Format in which the matrix ``name`` lies; None: the precision."""
    form = formats_of(text, precision).get(CLASSES.get(name.rpartition(".")[2], ""), "")
    return packing(form) if form else None


def check_cache(text: str, precision: str) -> None:
    """Refuse a ``cache_precision`` in which PEs keep no cache."""
    if text in ("", precision):
        return
    if text != "fp8":
        raise InputError(f"cache_precision is {text!r}: PEs keep the cache in {precision} or in fp8, which needs no scale "
                         "(that of a position would be a maximum over all columns of its head)")
    if precision not in PACKED_PRECISIONS:
        raise InputError(f"cache_precision is fp8 with precision {precision}: cores unpack it into "
                         f"{', '.join(PACKED_PRECISIONS)}")
