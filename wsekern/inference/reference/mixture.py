"""A mixture of experts in plain numpy, float32: who is chosen, with which share, and what comes out."""

import numpy as np

from wsekern.inference.reference.feed_forward import ReferenceFeedForward
from wsekern.inference.reference.functions import Activations
from wsekern.inference.reference.part import BlockWeights, ReferencePart
from wsekern.workload.decoder import FeedForward, Mixture


class ReferenceMixture(ReferencePart):
    """A mixture of experts of one layer."""

    part: Mixture

    def forward(self, h: np.ndarray, weights: BlockWeights, start: int) -> np.ndarray:
        """The chosen experts' outputs by their shares, plus what all tokens take."""
        part = self.part
        chosen, shares = choose_experts(part, weights, h, self.functions)
        given = h @ weights["latent_in"] if part.latent else h
        out = np.zeros_like(given)
        expert_of = ReferenceFeedForward(part.expert, self.functions)
        for token, (experts, portions) in enumerate(zip(chosen, shares, strict=True)):
            for expert, share in zip(experts, portions, strict=True):
                own = {name: values[expert] for name, values in _named(weights, "experts_").items()}
                row = given[token:token + 1]
                out[token] += (expert_of.forward(row * share, own, start) if part.early else
                               expert_of.forward(row, own, start) * share)[0]
        out = out @ weights["latent_out"] if part.latent else out
        for name, beside in (("shared", part.shared), ("dense", part.dense)):
            if beside is not None:
                out = out + self._beside(name, beside, weights, h, start)
        return out

    def _beside(self, name: str, beside: FeedForward, weights: BlockWeights, h: np.ndarray, start: int) -> np.ndarray:
        """A feed-forward part that every token takes; the shared one may have a gate of its own."""
        out = ReferenceFeedForward(beside, self.functions).forward(h, _named(weights, f"{name}_"), start)
        return out * sigmoid(h @ weights["shared_router"]) if self.part.shared_gate and name == "shared" else out


def _named(weights: BlockWeights, prefix: str) -> BlockWeights:
    """Weights whose names start so, by the rest of their names."""
    return {name.removeprefix(prefix): values for name, values in weights.items() if name.startswith(prefix)}


def choose_experts(part: Mixture, weights: BlockWeights, x: np.ndarray,
                   functions: Activations) -> tuple[np.ndarray, np.ndarray]:
    """``chosen`` (tokens, chosen) int and ``shares`` (tokens, chosen): the best first, the lower index first of equal ones."""
    logits = x @ weights["router"]
    logits = logits + weights["router_bias"] if part.router_bias else logits
    scores = _scores(part, logits, functions)
    judged = scores + weights["correction"] if part.correction else scores
    chosen = _largest(_of_best_groups(part, judged), part.chosen)
    shares = np.take_along_axis(scores, chosen, axis=1)
    if part.scores == "sparse_mixer":
        shares = _sparse_mixer(scores, chosen, part.nearness, functions)
    elif part.scores == "softmax_chosen":
        shares = _softmax(shares, functions)
    elif part.normalized:
        shares = shares / shares.sum(axis=1, keepdims=True)
    return chosen, shares * np.float32(part.scale)


def _scores(part: Mixture, logits: np.ndarray, functions: Activations) -> np.ndarray:
    """Scores (tokens, experts) of ``logits``, by which experts are chosen and shares are given."""
    if part.scores in ("softmax_chosen", "sparse_mixer"):
        return logits
    if part.scores == "softmax":
        return _softmax(logits, functions)
    return sigmoid(logits) if part.scores == "sigmoid" else np.sqrt(np.logaddexp(np.float32(0), logits))


def _sparse_mixer(scores: np.ndarray, chosen: np.ndarray, nearness: float, functions: Activations) -> np.ndarray:
    """Share (tokens, chosen) of each, best first: the softmax over the scores left that are near it (arXiv 2409.12136)."""
    left, shares = scores.copy(), np.empty(chosen.shape, np.float32)
    for place in range(chosen.shape[1]):
        best = left.max(axis=1, keepdims=True)
        near = best - left <= np.float32(nearness) * np.maximum(np.abs(scores), best)
        shares[:, place] = 1 / functions.exp(np.where(near, left - best, -np.inf)).sum(axis=1)
        np.put_along_axis(left, chosen[:, place:place + 1], -np.inf, axis=1)
    return shares


def _of_best_groups(part: Mixture, scores: np.ndarray) -> np.ndarray:
    """``scores`` with those of experts outside the best groups at minus infinity."""
    if part.groups == 1:
        return scores
    grouped = scores.reshape(len(scores), part.groups, -1)
    judged = np.sort(grouped, axis=2)[:, :, -part.group_best:].sum(axis=2)
    seen = np.zeros(judged.shape, bool)
    np.put_along_axis(seen, _largest(judged, part.groups_chosen), True, axis=1)
    return np.where(seen[:, :, None], grouped, -np.inf).reshape(scores.shape)


def _largest(scores: np.ndarray, count: int) -> np.ndarray:
    """Indexes (tokens, count) of the largest scores, the lower index first of equal ones."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :count]


def _softmax(x: np.ndarray, functions: Activations) -> np.ndarray:
    shares = functions.exp(x - x.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x))."""
    with np.errstate(over="ignore"):  # far below zero exp(-x) is infinite, and the result 0 as it should be
        return 1 / (1 + np.exp(-x))
