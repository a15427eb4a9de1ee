"""What stands outside the layers: embedding and LM head, their steps, weights and memory."""

import math
from typing import Literal

import numpy as np

from wsekern.errors import InputError
from wsekern.inference.blocks.common import PLACES, add_bias, all_reduce, norm_steps, norm_tiles, places_y
from wsekern.inference.blocks.folding import folded, gain_in_rows, gain_tile, read_steps, unscaled_steps, with_gain
from wsekern.inference.grid import Grid
from wsekern.inference.packed import Matrices, Matrix, packed_memory, packed_steps
from wsekern.inference.steps import LayerStep, Steps, Values, last, pick, reshape, stack, window
from wsekern.inference.weights import TileCutter
from wsekern.ops import Broadcast, Gemm, Local
from wsekern.workload.request import PRECISIONS


def outer_elements(mapping: Grid) -> int:
    """Elements of embedding, LM head, positions, norms and biases on the fullest PE."""
    config, hidden = mapping.config, mapping.hidden
    width, vocab = embedding_places(mapping)
    found = (1 if config.tied_embeddings else 2) * width * vocab + hidden + (2 * width * hidden if config.embedding_size else 0)
    found += hidden * positions_per_column(mapping) + (vocab if config.head_bias else 0)
    for norm in (config.embedding_norm, config.final_norm):
        found += hidden * (norm.bias + (norm.kind == "layer")) if norm else 0
    return found + (hidden if config.embedding_norm else 0)


def head_matrix(mapping: Grid) -> Matrices:
    """The LM head, which can lie packed."""
    return {"model.head": (Matrix(*embedding_places(mapping)),)}


def outer_bytes(mapping: Grid) -> int:
    """Bytes of :func:`outer_elements`, the LM head as it is kept; a tied embedding lies beside a packed one."""
    packed, size, _ = packed_memory(mapping, head_matrix(mapping))
    shared = packed if mapping.config.tied_embeddings else 0
    return math.ceil(PRECISIONS[mapping.precision] * (outer_elements(mapping) - packed + shared)) + size


def embedding_places(mapping: Grid) -> tuple[int, int]:
    """Elements of an embedding and tokens of the vocabulary on a PE: embeddings lie along y and the vocabulary along x, or the
    other way round where a projection stands between embeddings and the residual stream."""
    config = mapping.config
    if config.embedding_size:
        return -(-config.embedding_size // mapping.width), -(-config.vocab // mapping.height)
    return mapping.hidden, mapping.vocab


def positions_per_column(mapping: Grid) -> int:
    """Learned positions that a column keeps."""
    return -(-mapping.config.learned_positions // mapping.width)


def outer_tiles(mapping: Grid, outer: dict[str, np.ndarray]) -> Values:
    """``model.head`` and ``model.embedding`` (hidden, vocab), ``model.positions`` (hidden, positions), norms (hidden) along y,
    and ``model.head_bias`` (1, vocab) along x."""
    config, cutter = mapping.config, TileCutter(mapping, "model")
    hidden, turned = mapping.index_y(config.hidden), bool(config.embedding_size)
    width = mapping.index_x(config.embedding_size) if turned else hidden
    vocab = mapping.index_y(config.vocab) if turned else mapping.index_x(config.vocab)
    norm, tiles = folded(mapping, config.final_norm), {}
    if norm:
        gain = outer["norm"] if norm.gain else None
        if _gain_in_rows(mapping):
            outer = with_gain(outer, ["project_out" if turned else "head"], gain)
        else:
            tiles = gain_tile(TileCutter(mapping, "model.norm"), gain, "model.norm")
    tiles["model.head"] = TileCutter(mapping, "lm_head").matrix([outer["head"]], width, [vocab], transposed=turned,
                                                                  name="model.head")
    if turned:
        tiles["model.project_in"] = cutter.matrix([outer["project_in"]], width, [hidden], transposed=True)
        tiles["model.project_out"] = cutter.matrix([outer["project_out"]], hidden, [width])
    if config.final_norm and not norm:
        tiles |= norm_tiles(TileCutter(mapping, "model.norm"), config.final_norm, outer, "norm", "model.norm")
    if config.embedding_norm:
        tiles |= norm_tiles(cutter, config.embedding_norm, outer, "embedding_norm", "model.embedding_norm")
    if config.learned_positions:
        positions = mapping.index_x(config.learned_positions)
        positions = np.where(positions < len(outer["positions"]), positions, -1)  # OPT counts two rows that none reads
        tiles["model.positions"] = cutter.matrix([outer["positions"].T], hidden, [positions])
    if config.head_bias:
        tiles["model.head_bias"] = (cutter.along_y(outer["head_bias"], vocab) if turned else
                                    cutter.along_x([outer["head_bias"]], [vocab]))[:, :, None]
    alike = config.tied_embeddings and not mapping.form_of("model.head")
    tiles["model.embedding"] = (tiles["model.head"] if alike else
                                TileCutter(mapping, "embed_tokens").matrix([outer["embedding"].T], width, [vocab],
                                                                           transposed=turned))
    return tiles | outer_tables(mapping)


def _gain_in_rows(mapping: Grid) -> bool:
    """Whether the gain of the final norm is multiplied into the matrix behind it: not where that is the embedding too."""
    return gain_in_rows(mapping) and (bool(mapping.config.embedding_size) or not mapping.config.tied_embeddings)


def outer_tables(mapping: Grid) -> Values:
    """What layer norms outside the layers read."""
    norms = (mapping.config.embedding_norm, mapping.config.final_norm)
    return {PLACES: places_y(mapping)} if any(norm and norm.kind == "layer" for norm in norms) else {}


def embedding_steps(mapping: Grid, tokens: list[int], start: int = 0) -> Steps:
    """Fetch one embedding per token, and one per position from ``start`` on where they are learned: the column that keeps it
    sends its pieces along the rows. Leaves ``x``."""
    config, (width, vocab) = mapping.config, embedding_places(mapping)
    steps = _fetch(mapping, "model.embedding", "embedded", tokens, width, vocab, "x", "y" if config.embedding_size else "x")
    if config.embedding_scale != 1.0:
        scale = Local("scale", width, len(tokens), factor=config.embedding_scale)
        steps.append(LayerStep("embedding", "scale", scale, ("x",), "x"))
    if config.embedding_size:
        work, reduce = Gemm(len(tokens), width, mapping.hidden), all_reduce(mapping, len(tokens) * mapping.hidden, "x")
        steps += [LayerStep("embedding", "project_in", work, ("x", "model.project_in"), "x"),
                  LayerStep("embedding", "project_reduce", reduce, ("x",), "x")]
    if config.learned_positions:
        positions = list(range(start, start + len(tokens)))
        known = min(config.learned_positions, config.max_context)
        if start + len(tokens) > known:
            raise InputError(f"{start + len(tokens)} tokens are more than the {known} positions that {config.name} has "
                             "learned; use a shorter prompt or ask for fewer tokens")
        add, per_column = Local("add", mapping.hidden, len(tokens), form=mapping.form), positions_per_column(mapping)
        steps += [*_fetch(mapping, "model.positions", "placed", positions, mapping.hidden, per_column, "placed", "x"),
                  LayerStep("embedding", "positions", add, ("x", "placed"), "x")]
    if config.embedding_norm:
        steps += norm_steps(mapping, config.embedding_norm, "embedding", len(tokens), "model.embedding_norm", "x", "x")
    return steps


def _fetch(mapping: Grid, table: str, name: str, rows: list[int], width: int, per_line: int, output: str,
           axis: Literal["x", "y"]) -> Steps:
    """``output`` (rows, width): so many rows of a table that lie along ``axis``, ``per_line`` on a PE."""
    names = [f"{name}_{index}" for index in range(len(rows))]
    fetch = [LayerStep("embedding", "embed", Broadcast(width, axis, root=row // per_line), (part,), part)
             for part, row in zip(names, rows, strict=True)]
    return [pick(table, names, 1, [row % per_line for row in rows]), *fetch, stack(names, output, 0)]


def head_steps(mapping: Grid, start: int | None = None, count: int = 1) -> Steps:
    """Final norm and LM head of ``count`` tokens of ``x`` from ``start`` on; default: of the last one. Leaves ``logits``
    (count, vocab) along x, or along y where a projection stands in front of the head."""
    config, (width, vocab) = mapping.config, embedding_places(mapping)
    norm = config.final_norm
    late = folded(mapping, norm)
    if late:
        normed = unscaled_steps(mapping, "head", count, "" if _gain_in_rows(mapping) else "model.norm")
    else:
        normed = (norm_steps(mapping, norm, "head", count, "model.norm") if norm else
                  [reshape("x", count, mapping.hidden, output="h")])
    steps = [last("x", "x", 0) if start is None else window("x", "x", 0, start, count), *normed]
    if config.embedding_size:
        steps += read_steps(mapping, "head", "project_out", count, width, "model.project_out", "h", late)
        steps += [LayerStep("head", "logits", Gemm(count, width, vocab), ("h", "model.head"), "logits"),
                  LayerStep("head", "logits_reduce", all_reduce(mapping, count * vocab, "x"), ("logits",), "logits")]
    else:
        steps += read_steps(mapping, "head", "logits", count, vocab, "model.head", "logits", late)
    if config.head_bias:
        steps += add_bias(mapping, "head", "head_bias", count, vocab, "logits", "model")
    if config.logits_scale != 1.0:
        scale = Local("scale", vocab, count, factor=config.logits_scale)
        steps.append(LayerStep("head", "scale", scale, ("logits",), "logits"))
    if config.logits_softcap:
        cap = Local("softcap", vocab, count, factor=config.logits_softcap, form=mapping.form)
        steps.append(LayerStep("head", "softcap", cap, ("logits",), "logits"))
    return packed_steps(mapping, head_matrix(mapping), steps)
