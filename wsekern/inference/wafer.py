"""A transformer executed on a simulated wafer: every value on every PE, every clock, operation by operation."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wsekern.errors import InputError
from wsekern.inference.layer import Step, embedding_steps, head_steps, layer_steps
from wsekern.inference.mapping import Mapping, place, place_vector
from wsekern.machine import Machine
from wsekern.number_formats import narrow, widen
from wsekern.ops import FlowEngine
from wsekern.workload.checkpoint import LayerWeights, Weights
from wsekern.workload.config import ModelConfig
from wsekern.workload.rope import rotation

Tiles = np.ndarray
"""One tile per PE: (rows, columns, ...) in the engine's number format."""


@dataclass(frozen=True, kw_only=True)
class LayerTiles:
    """The weights of one layer on the grid; the size of a tile stands behind each name."""

    attention_norm: Tiles  # hidden, along y
    qkv: Tiles  # hidden x (q + 2 kv), y to x
    o: Tiles  # q x hidden, x to y
    ffn_norm: Tiles  # hidden, along y
    gate_up: Tiles  # hidden x 2 ffn, y to x
    down: Tiles  # ffn x hidden, x to y
    qkv_bias: Tiles | None = None  # q + 2 kv, along x
    o_bias: Tiles | None = None  # hidden, along y
    gate_up_bias: Tiles | None = None  # 2 ffn, along x
    down_bias: Tiles | None = None  # hidden, along y
    q_norm: Tiles | None = None  # features, along x
    k_norm: Tiles | None = None


class WaferModel:
    """A Llama-family model on a rectangle of a wafer, with its key-value cache."""

    def __init__(self, config: ModelConfig, weights: Weights, machine: Machine, mapping: Mapping,
                 profile: str = "silicon", threads: int = 1, engine: type[FlowEngine] = FlowEngine):
        mapping.check(machine)
        self.config, self.mapping = config, mapping
        self.engine = engine(machine, mapping.width, mapping.height, profile=profile, dtype=mapping.precision,
                                 threads=threads)
        self._layers = [self._place_layer(layer, index) for index, layer in enumerate(weights.layers)]
        hidden, vocab = mapping.index_y(config.hidden), mapping.index_x(config.vocab)
        self._norm = self._along_y(place_vector(weights.norm, hidden), "model.norm")
        self._head = self._cast(place(weights.head, hidden, vocab), "lm_head")
        self._embedding = (self._head if config.tied_embeddings else
                           self._cast(place(weights.embedding.T, hidden, vocab), "embed_tokens"))
        self.cycles_by_part: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        """Forget the sequence and set all clocks to zero."""
        m = self.mapping
        shape = (m.height, m.width, m.heads_per_column, m.slots, m.features)
        dtype = self._head.dtype
        self._cache = [(np.zeros(shape, dtype), np.zeros(shape, dtype)) for _ in self._layers]
        self.length = 0
        self.engine.reset()
        self.cycles_by_part.clear()

    def prefill(self, tokens: list[int], on_chunk: Callable[[int], None] | None = None) -> np.ndarray:
        """Feed a prompt in chunks (``on_chunk`` sees the length of each); return the logits (vocab,) after its last token."""
        for start in range(0, len(tokens), self.mapping.chunk):
            chunk = tokens[start:start + self.mapping.chunk]
            hidden = self._forward(chunk)
            if on_chunk is not None:
                on_chunk(len(chunk))
        return self._logits(hidden)

    def decode(self, token: int) -> np.ndarray:
        """Feed one token; return the logits (vocab,) that follow it."""
        return self._logits(self._forward([token]))

    # -- one forward pass ---------------------------------------------------------------------------------------------
    def _forward(self, tokens: list[int]) -> Tiles:
        """Residual stream (height, width, tokens, hidden) after the last layer."""
        if self.length + len(tokens) > self.mapping.context:
            raise InputError(f"{self.length + len(tokens)} tokens do not fit the KV cache of {self.mapping.context} tokens; "
                             "use a shorter prompt or a mapping with more context")
        x = self._embed(tokens)
        slots = -(-(self.length + len(tokens)) // self.mapping.height)
        for index, layer in enumerate(self._layers):
            steps = iter(layer_steps(self.mapping, len(tokens), slots))
            x = self._attention(steps, index, layer, x, slots)
            x = self._feed_forward(steps, layer, x)
        self.length += len(tokens)
        return x

    def _run(self, steps, name: str, *tiles: Tiles) -> Tiles:
        """Execute the next step, which must be ``name``: one list gives order and sizes for values and for time.

        A step without tiles (values that only move inside their PE) takes its time.
        """
        step: Step = next(steps)
        assert step.name == name, f"expected step {step.name}, got {name}"
        before = self.engine.cycles
        out = self.engine.run(step.operation, *tiles) if tiles else self.engine.time(step.operation)
        self.cycles_by_part[step.part] += self.engine.cycles - before
        return out

    def _embed(self, tokens: list[int]) -> Tiles:
        m = self.mapping
        steps = iter(embedding_steps(m, [token // m.vocab for token in tokens]))
        rows = [self._run(steps, "embed", self._embedding[:, :, :, token % m.vocab]) for token in tokens]
        return np.stack(rows, axis=2)

    def _biased(self, steps, name: str, x: Tiles, bias: Tiles | None) -> Tiles:
        """``x`` (height, width, tokens, elements) plus ``bias`` (height, width, 1, elements), where the model has it."""
        return x if bias is None else self._run(steps, name, x, np.broadcast_to(bias, x.shape))

    def _rms_norm(self, steps, x: Tiles, gain: Tiles) -> Tiles:
        squares = self._run(steps, "norm_reduce", self._run(steps, "norm_squares", x))
        return self._run(steps, "norm_scale", x, squares, gain)

    def _attention(self, steps, index: int, layer: LayerTiles, x: Tiles, slots: int) -> Tiles:
        m, tokens = self.mapping, x.shape[2]
        h = self._rms_norm(steps, x, layer.attention_norm)
        qkv = self._run(steps, "qkv_reduce", self._run(steps, "qkv", h, layer.qkv))
        qkv = self._biased(steps, "qkv_bias", qkv, layer.qkv_bias)
        q, k, v = np.split(qkv, [m.q, m.q + m.kv], axis=-1)
        q = self._split_heads(q, m.heads_per_column * m.group)
        k, v = self._split_heads(k, m.heads_per_column), self._split_heads(v, m.heads_per_column)
        if layer.q_norm is not None:
            q = self._head_norm(steps, "q", q, layer.q_norm)
            k = self._head_norm(steps, "k", k, layer.k_norm)
        turn = self._rotation(tokens)
        q, k = self._run(steps, "rope_q", q, *turn), self._run(steps, "rope_k", k, *turn)
        self._append(steps, index, k, v)
        attended = self._attend(steps, index, q, slots)
        out = self._run(steps, "o_reduce", self._run(steps, "o", attended, layer.o))
        out = self._biased(steps, "o_bias", out, layer.o_bias)
        return self._run(steps, "residual", x, out)

    def _attend(self, steps, index: int, q: Tiles, slots: int) -> Tiles:
        """Softmax(q k) v of the chunk: (height, width, tokens, heads, features) to (height, width, tokens, q elements)."""
        m, tokens = self.mapping, q.shape[2]
        rows = tokens * m.group
        keys, values = (cache[:, :, :, :slots] for cache in self._cache[index])
        q = q.reshape(m.height, m.width, tokens, m.heads_per_column, m.group, m.features)
        scores = [self._run(steps, f"scores_{head}", q[:, :, :, head].reshape(m.height, m.width, rows, m.features),
                            keys[:, :, head]) for head in range(m.heads_per_column)]
        scores = np.stack(scores, axis=2)
        if m.segment > 1:
            scores = self._run(steps, "scores_reduce", scores)
        flat = scores.reshape(m.height, m.width, m.heads_per_column * rows, slots)
        flat = self._run(steps, "mask", flat, self._mask(tokens, slots, self.config.window(index)))
        top = self._run(steps, "softmax_max_reduce", self._run(steps, "softmax_max", flat))
        weights = self._run(steps, "softmax_exp", flat, top)
        total = self._run(steps, "softmax_sum_reduce", self._run(steps, "softmax_sum", weights))
        weights = weights.reshape(scores.shape)
        out = np.stack([self._run(steps, f"values_{head}", weights[:, :, head], values[:, :, head])
                        for head in range(m.heads_per_column)], axis=2)
        out = self._run(steps, "values_reduce", out)
        out = self._run(steps, "softmax_divide", out.reshape(m.height, m.width, -1, m.features), total)
        out = out.reshape(m.height, m.width, m.heads_per_column, tokens, m.group, m.features)
        return out.swapaxes(2, 3).reshape(m.height, m.width, tokens, m.q)

    def _feed_forward(self, steps, layer: LayerTiles, x: Tiles) -> Tiles:
        h = self._rms_norm(steps, x, layer.ffn_norm)
        h = self._run(steps, "gate_up_reduce", self._run(steps, "gate_up", h, layer.gate_up))
        gate, up = np.split(self._biased(steps, "gate_up_bias", h, layer.gate_up_bias), 2, axis=-1)
        h = self._run(steps, "silu_mul", gate, up)
        out = self._run(steps, "down_reduce", self._run(steps, "down", h, layer.down))
        out = self._biased(steps, "down_bias", out, layer.down_bias)
        return self._run(steps, "residual", x, out)

    def _logits(self, x: Tiles) -> np.ndarray:
        """Logits (vocab,) of the last token, read from the first row of PEs by the host."""
        steps = iter(head_steps(self.mapping))
        h = self._rms_norm(steps, np.ascontiguousarray(x[:, :, -1:]), self._norm)
        logits = self._run(steps, "logits_reduce", self._run(steps, "logits", h, self._head))
        return widen(logits[0, :, 0].reshape(-1)[:self.config.vocab], self.mapping.precision)

    # -- parts of attention -------------------------------------------------------------------------------------------
    def _split_heads(self, x: Tiles, heads: int) -> Tiles:
        return np.ascontiguousarray(x).reshape(*x.shape[:3], heads, self.mapping.features)

    def _head_norm(self, steps, name: str, x: Tiles, gain: Tiles) -> Tiles:
        flat = x.reshape(*x.shape[:2], -1, x.shape[-1])
        squares = self._run(steps, f"{name}_norm_squares", flat)
        if self.mapping.segment > 1:
            squares = self._run(steps, f"{name}_norm_reduce", squares)
        return self._run(steps, f"{name}_norm_scale", flat, squares, gain).reshape(x.shape)

    def _rotation(self, tokens: int) -> tuple[Tiles, Tiles]:
        """Cosine and sine of the chunk, (height, width, tokens, features / 2): each column its own pairs."""
        pairs, height = self.mapping.pair_index, self.mapping.height
        turn = rotation(self.config, np.arange(self.length, self.length + tokens))
        columns = [np.where(pairs[:, None] >= 0, part[:, pairs].swapaxes(0, 1), 0).astype(np.float32) for part in turn]
        return tuple(np.broadcast_to(self._cast(part, "rope"), (height, *part.shape)) for part in columns)

    def _mask(self, tokens: int, slots: int, window: int) -> Tiles:
        """0 where a query may see a position, very negative elsewhere: (height, width, heads * tokens * group, slots).

        A query sees itself and what came before, ``window`` positions in all.
        """
        m = self.mapping
        position = np.arange(slots) * m.height + np.arange(m.height)[:, None]  # (row, slot)
        now = self.length + np.arange(tokens)[:, None]
        seen = (position[:, None] <= now) & (position[:, None] > now - window)  # (row, token, slot)
        lowest = -3e4 if m.precision.startswith("fp16") else -1e30
        mask = np.where(seen, np.float32(0), np.float32(lowest))
        mask = np.tile(np.repeat(mask, m.group, axis=1), (1, m.heads_per_column, 1))
        return np.broadcast_to(self._cast(mask, "mask")[:, None], (m.height, m.width, *mask.shape[1:]))

    def _append(self, steps, index: int, k: Tiles, v: Tiles) -> None:
        """Keep keys and values of the chunk: position t goes to slot t // height of row t mod height."""
        keys, values = self._cache[index]
        for token in range(k.shape[2]):
            slot, row = divmod(self.length + token, self.mapping.height)
            keys[row, :, :, slot], values[row, :, :, slot] = k[row, :, token], v[row, :, token]
        self._run(steps, "append")

    # -- placement ----------------------------------------------------------------------------------------------------
    def _cast(self, values: np.ndarray, what: str) -> np.ndarray:
        return narrow(values, self.mapping.precision, what)

    def _along_y(self, pieces: np.ndarray, what: str) -> Tiles:
        m = self.mapping
        return np.broadcast_to(self._cast(pieces, what)[:, None], (m.height, m.width, *pieces.shape[1:]))

    def _along_x(self, pieces: np.ndarray, what: str) -> Tiles:
        m = self.mapping
        return np.broadcast_to(self._cast(pieces, what)[None], (m.height, m.width, *pieces.shape[1:]))

    def _place_layer(self, w: LayerWeights, index: int) -> LayerTiles:
        m = self.mapping
        hidden, ffn = m.index_y(self.config.hidden), m.index_x(self.config.ffn)
        q, kv = m.q_index.reshape(m.width, -1), m.kv_index.reshape(m.width, -1)
        # Scores are divided by sqrt(head_dim) once and for all: in the query weights, or in the query norm.
        scale = np.float32(1 / np.sqrt(self.config.head_dim))
        early = np.float32(1) if w.q_norm is not None else scale
        where = f"layer {index}"
        tiles = np.concatenate([place(w.q * early, hidden, q), place(w.k, hidden, kv), place(w.v, hidden, kv)], axis=-1)
        extra: dict[str, Tiles] = {}
        hidden_bias = {"o_bias": w.o_bias, "down_bias": w.down_bias}
        extra |= {name: self._along_y(place_vector(bias, hidden)[:, None], where)
                  for name, bias in hidden_bias.items() if bias is not None}
        if w.gate_bias is not None:
            parts = [place_vector(w.gate_bias, ffn), place_vector(w.up_bias, ffn)]
            extra["gate_up_bias"] = self._along_x(np.concatenate(parts, axis=-1)[:, None], where)
        if w.q_bias is not None:
            parts = [place_vector(w.q_bias * early, q), place_vector(w.k_bias, kv), place_vector(w.v_bias, kv)]
            extra["qkv_bias"] = self._along_x(np.concatenate(parts, axis=-1)[:, None], where)
        if w.q_norm is not None:
            feature = np.where(m.kv_index[:, 0] >= 0, m.kv_index[:, 0] % self.config.head_dim, -1)
            extra["q_norm"] = self._along_x(place_vector(w.q_norm * scale, feature), where)
            extra["k_norm"] = self._along_x(place_vector(w.k_norm, feature), where)
        gate_up = np.concatenate([place(w.gate, hidden, ffn), place(w.up, hidden, ffn)], axis=-1)
        return LayerTiles(
            attention_norm=self._along_y(place_vector(w.attention_norm, hidden), where),
            qkv=self._cast(tiles, where), o=self._cast(place(w.o, q, hidden, transposed=True), where),
            ffn_norm=self._along_y(place_vector(w.ffn_norm, hidden), where),
            gate_up=self._cast(gate_up, where),
            down=self._cast(place(w.down, ffn, hidden, transposed=True), where), **extra)
