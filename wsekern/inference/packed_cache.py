"""Keys and values that are kept as fp8: the steps that pack them, and the products that read them."""

from collections.abc import Mapping
from dataclasses import replace

from wsekern.errors import InputError
from wsekern.inference.steps import LayerStep, Steps, View, join, reshape, split
from wsekern.ops import Gemm, GemmTransposed
from wsekern.ops.local.packed_cache import CacheProduct, PackCache
from wsekern.ops.operation import Operation

CacheSizes = Mapping[str, tuple[int, int]]
"""Name of what can be kept as fp8, ``cache.*`` -> heads on a PE, and features of a head there."""
_READ = ("first", "window", "round", "pick", "split", "take")
"""Views that leave the words of a position together."""


def packed_cache_steps(sizes: CacheSizes, tokens: int, steps: Steps) -> Steps:
    """``steps`` of ``tokens`` tokens that keep words of fp8: what is appended is packed before, products unpack."""
    known, found, kept = dict(sizes), list[LayerStep | View](), list[View]()
    for step in steps:
        if isinstance(step, View) and step.kind == "append" and step.inputs[0] in sizes:
            kept.append(step)
            continue
        found += _appended(kept, sizes, tokens)
        kept = []
        read = [name for name in step.inputs if name in known]
        if not read:
            for name in step.outputs:
                known.pop(name, None)
        elif isinstance(step, View):
            if step.kind not in _READ:
                raise InputError(f"{step.kind} of {read[0]}: a cache of fp8 is read by positions")
            known |= dict.fromkeys(step.outputs, known[read[0]])
        else:
            step = replace(step, operation=_product(step.operation))
        found.append(step)
    return found + _appended(kept, sizes, tokens)


def _appended(views: list[View], sizes: CacheSizes, tokens: int) -> Steps:
    """What ``views`` append, packed: in one operation where all have as many features."""
    if len({sizes[view.inputs[0]][1] for view in views}) > 1:
        return [step for view in views for step in _appended([view], sizes, tokens)]
    if not views:
        return []
    caches, features = [view.inputs[0] for view in views], sizes[views[0].inputs[0]][1]
    heads = [sizes[name][0] for name in caches]
    names = [f"{name}.words" for name in caches]
    pack = PackCache(tokens * sum(heads), features)
    return [join([view.inputs[1] for view in views], "kept", 1), reshape("kept", tokens * sum(heads), features),
            LayerStep("attention", "append_pack", pack, ("kept",), "kept"),
            reshape("kept", tokens, sum(heads), features // 2), split("kept", names, heads, axis=1),
            *(replace(view, inputs=(view.inputs[0], name, *view.inputs[2:])) for view, name in zip(views, names, strict=True))]


def _product(operation: Operation) -> CacheProduct:
    if isinstance(operation, GemmTransposed):
        return CacheProduct(operation.m, operation.n, operation.k, transposed=True)
    if isinstance(operation, Gemm):
        return CacheProduct(operation.m, operation.k, operation.n)
    raise InputError(f"{operation} has no form for a cache in fp8: keep it in the precision")
