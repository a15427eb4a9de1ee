"""A mixture of experts: every PE keeps pieces of some, and works on the pieces of those that a token chose.

The features of the experts of a block of lines (:class:`ExpertPlaces`), of all lines unless they are cut, go round its lines
one behind the other: a line has as many features of an expert as any other of its block, or one less. Experts lie along x, as
any feed-forward part; where they work on a projection of the residual stream, which lies along x, they lie along y.

Where lines are cut, the experts that a token chose fall on blocks unevenly. Every PE knows all that were chosen, and so how
many lie on the fullest block: all take their time for as many, with weights that are zero where a block has fewer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Literal

import numpy as np

from wsekern.formulas import largest, smallest
from wsekern.inference.blocks.activation import activation_room, activation_steps, missing_activation
from wsekern.inference.blocks.common import add_bias, added_once, all_reduce, feed_sum
from wsekern.inference.blocks.expert_biases import dealt_over_rows, lines_for, looked_up, own_places
from wsekern.inference.blocks.expert_crossing import arriving_steps, crossing_elements, leaving_steps, returning_steps
from wsekern.inference.blocks.expert_places import ExpertPlaces
from wsekern.inference.blocks.part import BlockWeights, PartOnGrid
from wsekern.inference.blocks.routing import routing_elements, routing_room, routing_steps, routing_tiles, scores_kept
from wsekern.inference.blocks.shared import shared_buffers
from wsekern.inference.grid import Grid
from wsekern.inference.packed import Matrices, Matrix
from wsekern.inference.steps import LayerStep, Steps, Values, deal, join, repeat, reshape, split, take
from wsekern.inference.weights import TileCutter
from wsekern.number_formats import NUMPY_DTYPES
from wsekern.ops import BatchedGemv, Gemm, Local
from wsekern.ops.local.largest import BITS
from wsekern.ops.local.packing import PackedLayout
from wsekern.workload.decoder import FeedForward, Mixture

_step = partial(LayerStep, "ffn")


@dataclass(frozen=True)
class MixtureOnGrid(PartOnGrid[Mixture]):
    """A mixture of experts on a grid."""

    label = "ffn"

    @property
    def readers(self) -> tuple[str, ...]:
        """Matrices of the router, of experts that read the residual stream itself, and of what stands beside them."""
        feeds = [("experts", self.part.expert)] if not self.part.latent else []
        feeds += [(name, beside) for name, beside, _ in self.beside]
        return ("router", "shared_router", "latent_in", *(half for name, feed in feeds for half in _halves(feed, name)))

    def missing(self) -> str:
        """What has no steps yet."""
        feeds = (self.part.expert, *(beside for _, beside, _ in self.beside))
        odd = next(filter(None, map(missing_activation, feeds)), "")
        found = {f"experts that compute {odd}": odd,
                 "the square root of a softplus as scores of experts": self.part.scores == "sqrt_softplus",
                 "biases of experts that work on a projection or on weighed inputs":
                     self.part.expert.bias and (self.part.latent or self.part.early)}
        return next((name for name, there in found.items() if there), "")

    def assumptions(self) -> list[str]:
        """Where experts lie, and how they are chosen."""
        part = self.part
        lines = "rows" if part.latent else "columns"
        spread = "every expert is spread over all columns of its region: no choice of experts is slower than another"
        if self.dealt:
            spread = (f"{part.experts} experts lie on {self.places.all_blocks} blocks of {lines}; where it is not known which "
                      f"ones tokens choose: {self.mapping.expert_law}; the fullest block then has {self.fullest(1):.3g} of the "
                      f"{part.chosen} of a token, and a layer takes as long as between the whole numbers beside it")
        return [spread,
                f"every PE chooses the {part.chosen} experts of a token itself, by rounds of "
                f"{'a pass' if self.mapping.precision in BITS else 'four passes'} over {part.experts} scores"]

    # -- sizes of the pieces ------------------------------------------------------------------------------------------
    @cached_property
    def across(self) -> Literal["x", "y"]:
        """The axis along which the features of an expert lie; what it reads and gives lies along the other one."""
        return "y" if self.part.latent else "x"

    @property
    def alike(self) -> Literal["x", "y"]:
        """The axis along which all PEs hold the same of an expert's features."""
        return "x" if self.part.latent else "y"

    @cached_property
    def places(self) -> ExpertPlaces:
        """Which lines of PEs hold which experts."""
        return ExpertPlaces.of(self.mapping, self.part)

    @property
    def dealt(self) -> bool:
        """Whether a PE has only some of the experts."""
        return self.places.all_blocks > 1

    @property
    def biased_apart(self) -> bool:
        """Whether biases of the chosen experts are added before the sum along x, in one column of each expert."""
        return self.dealt or self.mapping.columns == "feeds" or self.deals_biases

    @property
    def deals_biases(self) -> bool:
        """Whether biases of experts lie on one line each."""
        return self.part.expert.bias and self.mapping.programs.biases == "dealt"

    @property
    def most(self) -> int:
        """Experts of a token on one block at most."""
        return smallest(self.part.chosen, self.places.held)

    def fullest(self, tokens: int) -> float:
        """Experts of a token on the block that has most of them, the most of ``tokens`` tokens, as the law expects."""
        part = self.part
        return smallest(self.most, self.mapping.expert_law.fullest(part.chosen, part.experts, self.places.all_blocks, tokens))

    def load(self, tokens: int) -> int:
        """Experts of a token for which steps are listed."""
        if not self.dealt:
            return self.part.chosen
        return smallest(self.most, self.mapping.expert_load or math.ceil(self.fullest(tokens)))

    @cached_property
    def inputs(self) -> int:
        """Elements on a PE of what experts read and give."""
        return -(-self.part.latent // self.mapping.width) if self.part.latent else self.mapping.hidden

    @cached_property
    def width(self) -> int:
        """Features of one expert on the line that has most of them."""
        return self.places.features

    @cached_property
    def beside(self) -> list[tuple[str, FeedForward, int]]:
        """(name, part, its features in a column) of what every token takes, on the first wafer."""
        if self.mapping.expert_wafer:
            return []
        found = (("shared", self.part.shared), ("dense", self.part.dense))
        return [(name, part, -(-part.width // self.mapping.width)) for name, part in found if part is not None]

    @property
    def weights(self) -> int:
        """Elements of the router, of the experts as they go round the lines, and of what stands beside them; on another wafer
        than the first of the experts."""
        m, part, gates = self.mapping, self.part, _gates(self.part.expert)
        all_experts = self.places.elements
        elements = (0 if m.expert_wafer else routing_elements(m, part)) + all_experts * (gates + 1) * self.inputs
        elements += self._biases if part.expert.bias else 0
        elements += 2 * m.hidden * self.inputs if part.latent else 0
        for _, beside, width in self.beside:
            elements += (_gates(beside) + 1) * m.hidden * width + (_gates(beside) * width + m.hidden if beside.bias else 0)
        return elements + (m.hidden if part.shared_gate and self.beside else 0)

    @property
    def _biases(self) -> int:
        """Elements of the biases of experts, and where those are dealt to lines of two tables of places."""
        places, gates = self.places, _gates(self.part.expert)
        if not self.deals_biases:
            return gates * places.elements + places.held * self.inputs
        rows, columns = lines_for(places.held, self.mapping.height), lines_for(places.held, places.lines // places.blocks)
        return rows * gates * self.width + columns * self.inputs + 2 * places.held

    def matrices(self) -> Matrices:
        """Those of the experts, some of which have a feature less on the fullest line, and of the parts beside them."""
        m, gates, width, held = self.mapping, _gates(self.part.expert), self.width, self.places.held
        full = largest(0, self.places.elements - held * (width - 1))
        sizes = [(width, full), *([(width - 1, held - full)] if full < held else [])]
        found = {"experts_gate_up": tuple(Matrix(self.inputs, gates * one, count) for one, count in sizes),
                 "experts_down": tuple(Matrix(one, self.inputs, count) for one, count in sizes)}
        for name, beside, columns in self.beside:
            found[f"{name}_gate_up"] = (Matrix(m.hidden, _gates(beside) * columns),)
            found[f"{name}_down"] = (Matrix(columns, m.hidden),)
        return found

    def packed_inputs(self, name: str) -> tuple[str, np.ndarray | Sequence[np.ndarray]] | None:
        """What experts read, and their features; those of the parts beside them lie along x."""
        m, (kind, _, matrix) = self.mapping, name.partition("_")
        widths = {one: beside.width for one, beside, _ in self.beside}
        if kind not in ("experts", *widths) or matrix not in ("gate", "up", "down"):
            return None
        read = f"{kind}_down" if matrix == "down" else f"{kind}_gate_up"
        if kind in widths:
            return read, m.index_x(widths[kind]) if matrix == "down" else m.index_y(m.config.hidden)
        if matrix == "down":
            return read, [self.places.features_of(expert) for expert in range(self.part.experts)]
        outer = m.index_x(self.part.latent) if self.part.latent else m.index_y(m.config.hidden)
        return read, [outer] * self.part.experts

    @property
    def buffers(self) -> int:
        """Scores, and all inner vectors of the chosen experts and of what stands beside them."""
        chosen = self.most * self.width + sum(width for _, _, width in self.beside)
        latent, m = 2 * self.inputs if self.part.latent else 0, self.mapping
        crossing = crossing_elements(m, self.part) if m.expert_wafers > 1 else 0
        shared = largest(shared_buffers(m, m.chunk * self.most * self.width, self.alike),
                     *(shared_buffers(m, m.chunk * width, "y") for _, _, width in self.beside), 0)
        return self.part.experts + scores_kept(m, self.part) + 3 * chosen + latent + crossing + -(-shared // m.chunk)

    def room(self) -> int:
        """Bytes of the activation, or of the exponentials of the scores."""
        m, part = self.mapping, self.part
        return largest(activation_room(m, part.expert, m.chunk * self.most * self.width), routing_room(m, part))

    # -- work ---------------------------------------------------------------------------------------------------------
    def steps(self, tokens: int, slots: int) -> Steps:
        """Who is chosen, what they and the parts beside them make of ``h``, and the sum; on another wafer than the first what
        its experts make of what is given."""
        m, part = self.mapping, self.part
        if m.expert_wafer:
            steps = arriving_steps(m, part, tokens)
        else:
            steps = [*routing_steps(m, part, tokens, self.folded),
                     *(leaving_steps(m, part, tokens) if m.expert_wafers > 1 else [])]
        steps += [*self._deal(tokens), *self._inputs(tokens), *self._inner(tokens), *self._experts(tokens)]
        if part.latent:
            steps += [_step("latent_reduce", all_reduce(m, tokens * self.inputs, "y"), ("out",), "out"),
                      _step("latent_out", Gemm(tokens, self.inputs, m.hidden), ("out", "weights.latent_out"), "out")]
        for name, beside, width in self.beside:
            steps += self._beside(tokens, name, beside, width)
        biases = [step for name, beside, _ in self.beside if beside.bias
                  for step in add_bias(m, "ffn", f"{name}_down_bias", tokens, m.hidden, "out")]
        steps += biases if m.columns == "feeds" else []
        steps.append(_step("down_reduce", feed_sum(m, tokens * m.hidden), ("out",), "out"))
        steps += returning_steps(m, tokens) if m.expert_wafers > 1 and not m.expert_wafer else []
        return [*steps, *(self._down_biases(tokens) if part.expert.bias and not self.biased_apart else []),
                *(biases if m.columns != "feeds" else [])]

    def _deal(self, tokens: int) -> Steps:
        """Of the ``chosen`` experts those of a PE's own block, ``own`` (tokens * load), and ``own_shares`` (tokens, load) of
        them: looked up one after the other, counted for each block, the largest count taken."""
        if not self.dealt:
            return []
        part, blocks = self.part, self.places.all_blocks
        work = [_step("deal", Local("mov", part.chosen, tokens)) for _ in range(3)]
        return [deal("chosen", "weights.expert_slots", "own", "ranks", tokens, self.load(tokens), blocks),
                take("shares", "ranks", "own_shares", 1), *work, _step("deal", Local("rowmax", blocks, tokens))]

    @property
    def _chosen(self) -> tuple[str, str]:
        """Names of the chosen experts that a PE works on, and of their shares."""
        return ("own", "own_shares") if self.dealt else ("chosen", "shares")

    def _weigh(self, rows: int, n: int, x: str) -> Steps:
        """``x`` (rows, n), each row times its share."""
        shares = self._chosen[1]
        return [reshape(shares, rows, 1), repeat(shares, "share", 1, n),
                _step("weigh", Local("mul", n, rows, form=self.mapping.form), (x, "share"), x)]

    def _inputs(self, tokens: int) -> Steps:
        """``routed`` (tokens * load, inputs): what each chosen expert reads."""
        m, part, load = self.mapping, self.part, self.load(tokens)
        rows = tokens * load
        steps: Steps = [reshape("h", tokens, m.hidden, output="given")]
        if part.latent:
            steps = [_step("latent_in", Gemm(tokens, m.hidden, self.inputs), ("h", "weights.latent_in"), "given"),
                     _step("latent_in_reduce", all_reduce(m, tokens * self.inputs, "y"), ("given",), "given")]
        steps += [reshape("given", tokens, 1, self.inputs), repeat("given", "routed", 1, load),
                  reshape("routed", rows, self.inputs)]
        return [*steps, *(self._weigh(rows, self.inputs, "routed") if part.early else [])]

    def _inner(self, tokens: int) -> Steps:
        """``active`` (tokens * load, width), and of each part beside it ``active_<name>`` (tokens, width)."""
        m, part, rows, gates = self.mapping, self.part, tokens * self.load(tokens), _gates(self.part.expert)
        sums = [("gate_up", rows, gates * self.width)]
        steps: Steps = [take("weights.experts_gate_up", self._chosen[0], "chosen_gate_up", 0),
                        _step("gate_up", BatchedGemv(rows, self.inputs, gates * self.width), ("routed", "chosen_gate_up"),
                              "gate_up")]
        if self.deals_biases:
            steps += self._up_biases(rows, tokens)
        others = []
        for name, beside, width in self.beside:
            others.append((f"{name}_gate_up", tokens, _gates(beside) * width))
            steps.append(_step(*_product(*others[-1], m.hidden)))
        if part.shared_gate and self.beside:
            others.append(("shared_router", tokens, 1))
            steps.append(_step(*_product(*others[-1], m.hidden)))
        if part.latent:
            steps += [*_reduced(m, "gate_up", sums, "x"), *_reduced(m, "shared_gate_up", others, "y")]
        else:
            steps += _reduced(m, "gate_up", sums + others, "y")
        steps += self._active_experts(rows)
        return [*steps, *(step for one in self.beside for step in self._active_beside(tokens, *one))]

    def _active_experts(self, rows: int) -> Steps:
        part = self.part
        steps: Steps = []
        if part.expert.bias and not self.deals_biases:
            steps = self._up_biases(rows, 0)
        steps += activation_steps(self.mapping, part.expert, rows, self.width, "gate_up", "active", self.alike)
        return [*steps, *([] if part.early else self._weigh(rows, self.width, "active"))]

    def _up_biases(self, rows: int, tokens: int) -> Steps:
        """``gate_up`` plus the biases of the chosen experts, before its sum of ``tokens`` or behind it."""
        n, chosen = _gates(self.part.expert) * self.width, self._chosen[0]
        steps: Steps = [take("weights.experts_gate_up_bias", chosen, "bias", 0)]
        if self.deals_biases:
            steps = looked_up(chosen, "weights.experts_bias_rows", "bias_rows", "weights.experts_gate_up_bias", "bias",
                              self.load(tokens), tokens)
        return [*steps, _step("gate_up_bias", Local("add", n, rows, form=self.mapping.form), ("gate_up", "bias"), "gate_up")]

    def _active_beside(self, tokens: int, name: str, beside: FeedForward, width: int) -> Steps:
        x, gates = f"{name}_gate_up", _gates(beside)
        steps = add_bias(self.mapping, "ffn", f"{x}_bias", tokens, gates * width, x) if beside.bias else []
        return [*steps, *activation_steps(self.mapping, beside, tokens, width, x, f"active_{name}")]

    def _experts(self, tokens: int) -> Steps:
        """``out`` (tokens, inputs), to be summed: the chosen experts of a token are one product, their features behind each
        other."""
        load, (own, shares) = self.load(tokens), self._chosen
        inner = load * self.width
        steps: Steps = [take("weights.experts_down", own, "chosen_down", 0), reshape("active", tokens, inner),
                        reshape("chosen_down", tokens, inner, self.inputs),
                        _step("down", BatchedGemv(tokens, inner, self.inputs), ("active", "chosen_down"), "out"),
                        reshape(shares, tokens, load)]
        return [*steps, *(self._down_biases(tokens) if self.part.expert.bias and self.biased_apart else [])]

    def _down_biases(self, tokens: int) -> Steps:
        """``out`` plus the biases of the chosen experts by their shares: of all behind the sum along x, or before it of those
        of a block, which has them in its first column."""
        load, n, (own, shares) = self.load(tokens), self.inputs, self._chosen
        steps: Steps = [take("weights.experts_down_bias", own, "biases", 0)]
        if self.deals_biases:
            steps = looked_up(own, "weights.experts_bias_columns", "bias_columns", "weights.experts_down_bias", "biases", load,
                              tokens)
        return [*steps, reshape("biases", tokens, load, n),
                _step("down_biases", BatchedGemv(tokens, load, n), (shares, "biases"), "biases"),
                _step("down_bias", Local("add", n, tokens, form=self.mapping.form), ("out", "biases"), "out")]

    def _beside(self, tokens: int, name: str, beside: FeedForward, width: int) -> Steps:
        """``out`` plus the output of a part that every token takes, both to be summed along x."""
        m, x, steps = self.mapping, f"active_{name}", []
        if name == "shared" and self.part.shared_gate:
            sigmoid = Local("sigmoid", 1, tokens, form=m.form)
            steps = [_step("shared_sigmoid", sigmoid, ("shared_router",), "share"), repeat("share", "share", 1, width),
                     _step("shared_weigh", Local("mul", width, tokens, form=m.form), (x, "share"), x)]
        return [*steps, _step(f"{name}_down", Gemm(tokens, width, m.hidden), (x, f"weights.{name}_down"), x),
                _step(f"{name}_add", Local("add", m.hidden, tokens, form=m.form), ("out", x), "out")]

    # -- weights ------------------------------------------------------------------------------------------------------
    def tiles(self, weights: BlockWeights, where: str) -> Values:
        """Of the router as :func:`routing_tiles` says; ``experts_gate_up`` (experts, inputs, gates * width), ``experts_down``
        (experts, width, inputs) and their ``_bias``; ``<part>_gate_up`` (hidden, gates * width) and ``<part>_down`` of each
        part beside them; ``shared_router`` (hidden, 1) in every column; ``latent_in``, ``latent_out``."""
        m, part, w, cutter = self.mapping, self.part, self.own(weights), TileCutter(self.mapping, where)
        hidden = m.index_y(m.config.hidden)
        tiles = {**({} if m.expert_wafer else routing_tiles(m, part, w, cutter)), **self._expert_tiles(w, cutter)}
        for name, beside, _ in self.beside:
            columns = m.index_x(beside.width)
            ups = _halves(beside, name)
            tiles[f"{name}_gate_up"] = cutter.matrix([w[half] for half in ups], hidden, [columns] * len(ups),
                                                      name=f"{name}_gate_up")
            tiles[f"{name}_down"] = cutter.matrix([w[f"{name}_down"]], columns, [hidden], transposed=True, name=f"{name}_down")
            if beside.bias:
                biases = [w[f"{half}_bias"] for half in ups]
                tiles[f"{name}_gate_up_bias"] = cutter.along_x(biases, [columns] * len(ups))[:, :, None]
                tiles[f"{name}_down_bias"] = added_once(m, cutter.along_y(w[f"{name}_down_bias"], hidden)[:, :, None])
        if part.shared_gate and self.beside:
            tiles["shared_router"] = cutter.matrix([w["shared_router"]], hidden, [np.zeros((m.width, 1), int)])
        if part.latent:
            latent = m.index_x(part.latent)
            tiles["latent_in"] = cutter.matrix([w["latent_in"]], hidden, [latent])
            tiles["latent_out"] = cutter.matrix([w["latent_out"]], latent, [hidden], transposed=True)
        return {self.named(name): tile for name, tile in tiles.items()}

    def _expert_tiles(self, w: BlockWeights, cutter: TileCutter) -> Values:
        """Experts one by one, each with the lines of its own features; ``expert_slots`` (experts): which of them a PE has."""
        m, part, places = self.mapping, self.part, self.places
        turned = bool(part.latent)
        few = {"down_bias": lines_for(places.held, places.lines // places.blocks)} if self.deals_biases else {}
        tiles = {f"experts_{name}": np.zeros((m.height, m.width, few.get(name, places.held), *shape), dtype)
                 for name, (shape, dtype) in self._expert_shapes().items()}
        for expert in places.here:
            (begin, end), place = places.lines_of(expert), places.place_of(expert)
            for name, tile in self._tiles_of(expert, w, cutter).items():
                lines, at = slice(begin, end), place
                if name == "down_bias" and self.deals_biases:
                    at, line = divmod(place, end - begin)
                    lines = slice(begin + line, begin + line + 1)
                elif name == "down_bias" and self.biased_apart:
                    lines = slice(begin, begin + 1)
                where = (lines, slice(None), at) if turned else (slice(None), lines, at)
                tiles[f"experts_{name}"][where] = tile
        if self.deals_biases:
            tiles |= self._bias_tables()
            tiles["experts_gate_up_bias"] = dealt_over_rows(tiles["experts_gate_up_bias"])
        if self.dealt:
            slots = places.slots()[:, None] if turned else places.slots()
            tiles["expert_slots"] = np.broadcast_to(slots, (m.height, m.width, part.experts))
        return tiles

    def _bias_tables(self) -> Values:
        """Where a row, and where a column, has the bias of each expert of its block (held); -1: it has not."""
        m, places = self.mapping, self.places
        rows = np.array([own_places(places.held, row, m.height) for row in range(m.height)])
        columns = np.full((m.width, places.held), -1)
        for begin, end in pairwise(places.bounds):
            for column in range(begin, end):
                columns[column] = own_places(places.held, column - begin, end - begin)
        shape = (m.height, m.width, places.held)
        return {"experts_bias_rows": np.broadcast_to(rows[:, None], shape),
                "experts_bias_columns": np.broadcast_to(columns, shape)}

    def _expert_shapes(self) -> dict[str, tuple[tuple[int, ...], type]]:
        """Shape and type of the tile of an expert, of each of its weights."""
        m, features, dtype = self.mapping, _gates(self.part.expert) * self.width, NUMPY_DTYPES[self.mapping.precision]
        shapes: dict[str, tuple[int, ...]] = {"gate_up": (self.inputs, features), "down": (self.width, self.inputs)}
        forms = {name: m.form_of(f"experts_{name}") for name in shapes}
        found = {name: ((PackedLayout(form, *shape).words,), np.uint16) if form else (shape, dtype)
                 for (name, shape), form in zip(shapes.items(), forms.values(), strict=True)}
        biases = {"gate_up_bias": ((features,), dtype), "down_bias": ((self.inputs,), dtype)}
        return found | (biases if self.part.expert.bias else {})

    def _tiles_of(self, expert: int, w: BlockWeights, cutter: TileCutter) -> Values:
        """Tiles of an expert on its own lines; the bias behind it in one column, where only some columns have it."""
        m, turned, ups = self.mapping, bool(self.part.latent), _halves(self.part.expert, "experts")
        outer = m.index_x(self.part.latent) if turned else m.index_y(m.config.hidden)
        lines = self.places.features_of(expert)
        tiles: Values = {
            "gate_up": cutter.matrix([w[half][expert] for half in ups], outer, [lines] * len(ups), transposed=turned,
                                     name="experts_gate_up"),
            "down": cutter.matrix([w["experts_down"][expert]], lines, [outer], transposed=not turned, name="experts_down")}
        if self.part.expert.bias:
            bias = cutter.along_y(w["experts_down_bias"][expert], outer)
            tiles["gate_up_bias"] = cutter.along_x([w[f"{half}_bias"][expert] for half in ups], [lines] * len(ups))
            tiles["down_bias"] = bias[:, :1] if self.biased_apart else bias
        return tiles


def _gates(part: FeedForward) -> int:
    """Matrices of a feed-forward part that read its input."""
    return 2 if part.gated else 1


def _halves(part: FeedForward, name: str) -> list[str]:
    """Names of the matrices of a feed-forward part that read its input."""
    return [f"{name}_gate", f"{name}_up"] if part.gated else [f"{name}_up"]


def _product(name: str, rows: int, n: int, inner: int) -> tuple[str, Gemm, tuple[str, str], str]:
    """``name`` = ``h`` (rows, inner) times the weights of that name."""
    return name, Gemm(rows, inner, n), ("h", f"weights.{name}"), name


def _reduced(mapping: Grid, name: str, parts: list[tuple[str, int, int]], axis: Literal["x", "y"]) -> Steps:
    """The named values (rows, n) summed along ``axis``, all together."""
    if not parts:
        return []
    sizes, names = [rows * n for _, rows, n in parts], [part for part, _, _ in parts]
    reduce = _step(f"{name}_reduce", all_reduce(mapping, sum(sizes), axis), (name,), name)
    if len(parts) == 1:
        return [_step(f"{name}_reduce", all_reduce(mapping, sizes[0], axis), (names[0],), names[0])]
    return [*(reshape(part, size) for part, size in zip(names, sizes, strict=True)), join(names, name, 0), reduce,
            split(name, names, sizes, axis=0), *(reshape(*part) for part in parts)]
