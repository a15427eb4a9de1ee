"""Which experts a token takes, and with which shares: known on every PE, because every PE keeps a piece of every expert.

A column computes the scores of its experts; one sum along x gives all scores to all columns, or to those of a block that holds
a whole copy of the router (``programs.router_copies``). Then each PE does the same: rounds
of taking the largest score that is left, the lower index first of equal ones. Of scores in 16 bits a round is one pass over
keys of score and place (:class:`wsekern.ops.local.largest.Largest`). In fp32 it is four passes over the scores: the largest;
differences from it; those times a large number, plus the places counted down; the largest of these: the place.
"""

from functools import partial

import numpy as np

from wsekern.formulas import largest
from wsekern.inference.blocks.common import add_bias, all_reduce, columns_of_copy
from wsekern.inference.blocks.folding import read_steps
from wsekern.inference.grid import Grid
from wsekern.inference.steps import LayerStep, Steps, Values, find, first, keep, near, pick, repeat, reshape, stack, swap, take
from wsekern.inference.weights import TileCutter
from wsekern.ops import AllGather, Local
from wsekern.ops.local.largest import BITS, Largest, key_bytes
from wsekern.ops.local.shares import TopShares
from wsekern.ops.local.vector import room_bytes
from wsekern.workload.decoder import Mixture, Norm

_step = partial(LayerStep, "ffn")
GATHERED = 24
"""Columns of a copy of the router up to which scores are gathered: a gather goes from core to core, and has half the words of a
sum of zeros and scores."""


def routing_steps(mapping: Grid, part: Mixture, tokens: int, folded: Norm | None = None) -> Steps:
    """``chosen`` (tokens * chosen) numbers of experts, and their ``shares`` (tokens, chosen), from ``h`` (tokens, hidden),
    which is normed where it still lacks the norm ``folded``: the sum of its squares comes with the scores."""
    steps = [*_scores(mapping, part, tokens, folded), *_judged(mapping, part, tokens)]
    if part.groups > 1:
        steps += _best_groups(mapping, part, tokens)
    if part.scores == "sparse_mixer":
        names = [f"chosen_{round}" for round in range(part.chosen)]
        steps += _sparse_mixer(mapping, part, tokens, names)
        return [*steps, stack(names, "chosen", 1), reshape("chosen", tokens * part.chosen)]
    steps += _largest(mapping, "judged", part.experts, tokens, part.chosen, "chosen", "best")
    return [*steps, *_shares(mapping, part, tokens), reshape("chosen", tokens * part.chosen)]


def routing_room(mapping: Grid, part: Mixture) -> int:
    """Bytes of the keys of the scores of a token, or of the exponentials of a chunk's."""
    terms = part.experts if by_probability(part) or part.scores == "sparse_mixer" or _over_all(part) else part.chosen
    return largest(key_bytes(part.experts) if mapping.precision in BITS else 0,
                   room_bytes("expsub", mapping.form, mapping.precision, mapping.chunk * terms))


def _over_all(part: Mixture) -> bool:
    """Whether shares are exponentials over the sum of those of all scores."""
    return part.scores == "softmax" and not part.normalized


def routing_tiles(mapping: Grid, part: Mixture, weights: dict[str, np.ndarray], cutter: TileCutter) -> Values:
    """``router`` (hidden, experts of a column) and ``router_bias``; ``correction`` (1, experts) on every PE; ``router_places``:
    where a column's scores stand among all, -1 for those of other columns."""
    m, hidden, columns = mapping, mapping.index_y(mapping.config.hidden), _experts_at(mapping, part)
    tiles = {"router": cutter.matrix([weights["router"]], hidden, [columns]), "router_places": _places(m, part)}
    if part.router_bias:
        tiles["router_bias"] = cutter.along_x([weights["router_bias"]], [columns])[:, :, None]
    if part.correction:
        everywhere = np.tile(np.arange(part.experts), (m.width, 1))
        tiles["correction"] = cutter.along_x([weights["correction"]], [everywhere])[:, :, None]
    return tiles


def routing_elements(mapping: Grid, part: Mixture) -> int:
    """Elements of the weights on a PE."""
    column = experts_of_column(mapping, part)
    return mapping.hidden * column + (column if part.router_bias else 0) + (part.experts if part.correction else 0)


def experts_of_column(mapping: Grid, part: Mixture) -> int:
    """Experts whose scores one column computes, in the block with the fewest columns; an even number where scores are gathered,
    which fills their wavelets in 16 bits."""
    copy = columns_of_copy(mapping)
    column = -(-part.experts // (mapping.width % copy or copy))
    return 2 * -(-column // 2) if gathers(mapping) else column


def gathers(mapping: Grid) -> bool:
    """Whether the scores of the columns of a copy of the router are gathered side by side, not summed at their places."""
    return mapping.programs.router == "gathered" and 1 < columns_of_copy(mapping) <= GATHERED


def scores_kept(mapping: Grid, part: Mixture) -> int:
    """Elements of all scores of a token: of columns that gather them, those of columns with fewer experts too."""
    return columns_of_copy(mapping) * experts_of_column(mapping, part) if gathers(mapping) else part.experts


def by_probability(part: Mixture) -> bool:
    """Whether experts are chosen by the softmax of the scores itself, where the order of the scores would not do."""
    return part.scores == "softmax" and (part.correction or (part.groups > 1 and part.group_best > 1))


def _experts_at(mapping: Grid, part: Mixture) -> np.ndarray:
    """Expert of each score of a column (width, experts of a column); -1 where it has fewer."""
    column = experts_of_column(mapping, part)
    experts = column * _column_of_copy(mapping)[:, None] + np.arange(column)
    return np.where(experts < part.experts, experts, -1)


def _column_of_copy(mapping: Grid) -> np.ndarray:
    """Which of the columns of its copy of the router each column is (width,)."""
    return np.arange(mapping.width) % columns_of_copy(mapping)


def _places(mapping: Grid, part: Mixture) -> np.ndarray:
    """Which of its scores (height, width, experts) a column has of each expert; -1: none."""
    column = experts_of_column(mapping, part)
    place = np.arange(part.experts) - column * _column_of_copy(mapping)[:, None]
    places = np.where((place >= 0) & (place < column), place, -1)
    return np.broadcast_to(places, (mapping.height, *places.shape))


def _scores(mapping: Grid, part: Mixture, tokens: int, folded: Norm | None) -> Steps:
    """``all_scores`` (tokens, experts)."""
    column = experts_of_column(mapping, part)
    steps = read_steps(mapping, "ffn", "router", tokens, column, "weights.router", "scores", folded, with_input=True)
    if part.router_bias:
        steps += add_bias(mapping, "ffn", "router_bias", tokens, column, "scores")
    if part.scores == "sigmoid":
        sigmoid = Local("sigmoid", column, tokens, form=mapping.form)
        steps.append(_step("router_sigmoid", sigmoid, ("scores",), "scores"))
    copy = columns_of_copy(mapping)
    if gathers(mapping):
        gather = AllGather(tokens * column, "x", copy)
        return [*steps, reshape("scores", tokens * column), _step("router_gather", gather, ("scores",), "all_scores"),
                reshape("all_scores", copy, tokens, column), swap("all_scores", 0),
                reshape("all_scores", tokens, copy * column), first("all_scores", "all_scores", 1, part.experts)]
    gather = all_reduce(mapping, tokens * part.experts, "x", segment=copy if copy < mapping.width else 0)
    return [*steps, take("scores", "weights.router_places", "all_scores", 1),
            _step("place", Local("mov", part.experts, tokens)),
            *([_step("router_gather", gather, ("all_scores",), "all_scores")] if copy > 1 or mapping.width == 1 else [])]


def _judged(mapping: Grid, part: Mixture, tokens: int) -> Steps:
    """``judged`` (tokens, experts), by which experts are chosen; ``all_scores`` become probabilities where it takes them."""
    steps = softmax_steps(mapping, "all_scores", part.experts, tokens) if by_probability(part) else []
    if not part.correction:
        return [*steps, reshape("all_scores", tokens, part.experts, output="judged")]
    return [*steps, repeat("weights.correction", "bias", 0, tokens),
            _step("correct", Local("add", part.experts, tokens, form=mapping.form), ("all_scores", "bias"), "judged")]


def _largest(mapping: Grid, x: str, n: int, rows: int, count: int, places: str, best: str) -> Steps:
    """``places`` and ``best`` (rows, count): where the largest of the ``n`` numbers of each row stand, and these."""
    if mapping.precision in BITS:
        return [_step("choose", Largest(n, count, rows), (x,), places), take(x, places, best, 1)]
    steps: Steps = []
    names = [f"{places}_{round}" for round in range(count)]
    for round, name in enumerate(names):
        steps += [_step("choose", Local("rowmax", n, rows), (x,), f"{best}_{round}"),
                  find(x, f"{best}_{round}", name),
                  *(_step("find", Local(kind, n, rows)) for kind in ("sub", "fma", "rowmax"))]
    return [*steps, stack(names, places, 1), stack([f"{best}_{round}" for round in range(count)], best, 1)]


def _sparse_mixer(mapping: Grid, part: Mixture, tokens: int, names: list[str]) -> Steps:
    """``names`` (rows,), the experts chosen, and ``shares``: of each the softmax over the scores left that are near it."""
    steps: Steps = []
    for name in names:
        best = f"share_{name}"
        passes = [_step("near", Local(kind, part.experts, tokens)) for kind in ("sub", "sub", "fma", "mov")]
        steps += [_step("choose", Local("rowmax", part.experts, tokens), ("judged",), best),
                  near("judged", "all_scores", best, "near", part.nearness), *passes, find("judged", best, name),
                  *(_step("find", Local(kind, part.experts, tokens)) for kind in ("sub", "fma", "rowmax")),
                  reshape(best, tokens, 1), *softmax_steps(mapping, best, 1, tokens, ("near", part.experts)),
                  reshape(best, tokens)]
    return [*steps, stack([f"share_{name}" for name in names], "shares", 1), *_times_scale(part, tokens)]


def _best_groups(mapping: Grid, part: Mixture, tokens: int) -> Steps:
    """``judged`` with minus infinity for experts outside the best groups."""
    size, rows = part.experts // part.groups, tokens * part.groups
    members = [f"best_member_{round}" for round in range(part.group_best)]
    best = [f"best_group_{round}" for round in range(part.groups_chosen)]
    steps: Steps = [reshape("judged", rows, size, output="groups"),
                    *_largest(mapping, "groups", size, rows, part.group_best, "place", "member"),
                    pick("member", members, 1, range(part.group_best)),
                    reshape(members[0], tokens, part.groups, output="groups")]
    for member in members[1:]:
        steps += [reshape(member, tokens, part.groups, output="member"),
                  _step("judge_groups", Local("add", part.groups, tokens), ("groups", "member"), "groups")]
    return [*steps, *_largest(mapping, "groups", part.groups, tokens, part.groups_chosen, "group", "winner"),
            pick("group", best, 1, range(part.groups_chosen)),
            reshape("judged", tokens, part.groups, size), keep("judged", best), reshape("judged", tokens, part.experts),
            _step("leave_groups", Local("mov", part.experts, tokens))]


def _shares(mapping: Grid, part: Mixture, tokens: int) -> Steps:
    """``shares`` (tokens, chosen) of the ``best`` scores."""
    count, form = part.chosen, mapping.form
    if part.scores.startswith("softmax") and not by_probability(part):
        if _shared_at_once(mapping, part):
            steps = [_step("shares", TopShares(count, tokens, form), ("best",), "shares")]
            return [*steps, *_times_scale(part, tokens)]
        terms = ("all_scores", part.experts) if _over_all(part) else ("best", count)
        steps = softmax_steps(mapping, "best", count, tokens, terms)
        steps.append(reshape("best", tokens, count, output="shares"))
    else:
        steps = [take("all_scores", "chosen", "shares", 1) if part.correction else
                 reshape("best", tokens, count, output="shares")]
        if part.normalized:
            steps += [_step("weights_sum", Local("rowsum", count, tokens), ("shares",), "total"),
                      _step("weights_divide", Local("rowdiv", count, tokens, form=form), ("shares", "total"), "shares")]
    return [*steps, *_times_scale(part, tokens)]


def _shared_at_once(mapping: Grid, part: Mixture) -> bool:
    """Whether shares are made of the scores of those chosen alone, in 16 bits, and all at once where the programs say so."""
    alone = mapping.precision in BITS and mapping.form != "scalar" and not _over_all(part)
    return alone and mapping.programs.shares == "together"


def _times_scale(part: Mixture, tokens: int) -> Steps:
    """``shares`` times what all of them are multiplied by."""
    work = Local("scale", part.chosen, tokens, factor=part.scale)
    return [_step("weights_scale", work, ("shares",), "shares")] if part.scale != 1.0 else []


def softmax_steps(mapping: Grid, x: str, n: int, rows: int, over: tuple[str, int] | None = None) -> Steps:
    """``x`` (rows, n) = exp(x - top) over the sum of the exponentials of ``over`` (rows, m), of ``x`` itself unless given."""
    summed, m = over or (x, n)
    exp = partial(Local, "expsub", form=mapping.form)
    steps: Steps = [_step("weights_top", Local("rowmax", m, rows), (summed,), "top")]
    if summed == x:
        steps += [_step("weights_exp", exp(n=n, count=rows), (x, "top"), x), reshape(x, rows, n, output="terms")]
    else:
        steps += [_step("weights_exp", exp(n=n, count=rows), (x, "top"), x),
                  _step("weights_exp_all", exp(n=m, count=rows), (summed, "top"), "terms")]
    return [*steps, _step("weights_sum", Local("rowsum", m, rows), ("terms",), "total"),
            _step("weights_divide", Local("rowdiv", n, rows, form=mapping.form), (x, "total"), x)]
