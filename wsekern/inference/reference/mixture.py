"""A mixture of experts in plain numpy, float32: who is chosen, with which share, and what comes out."""

import numpy as np

from wsekern.inference.reference.feed_forward import Activations, feed_forward
from wsekern.workload.decoder import FeedForward, Mixture

Weights = dict[str, np.ndarray]


def mixture(part: Mixture, weights: Weights, x: np.ndarray, activations: Activations) -> np.ndarray:
    """What the mixture makes of ``x`` (tokens, hidden): the chosen experts' outputs by their shares, plus what all tokens take."""
    chosen, shares = choose_experts(part, weights, x, activations)
    given = x @ weights["latent_in"] if part.latent else x
    out = np.zeros_like(given)
    for token, (experts, portions) in enumerate(zip(chosen, shares, strict=True)):
        for expert, share in zip(experts, portions, strict=True):
            own = {name.removeprefix("experts_"): values[expert] for name, values in weights.items()
                   if name.startswith("experts_")}
            row = given[token:token + 1]
            out[token] += (feed_forward(part.expert, own, row * share, activations) if part.early else
                           feed_forward(part.expert, own, row, activations) * share)[0]
    out = out @ weights["latent_out"] if part.latent else out
    for name, beside in (("shared", part.shared), ("dense", part.dense)):
        if beside is not None:
            out = out + _beside(part, name, beside, weights, x, activations)
    return out


def choose_experts(part: Mixture, weights: Weights, x: np.ndarray, activations: Activations) -> tuple[np.ndarray, np.ndarray]:
    """``chosen`` (tokens, chosen) int and ``shares`` (tokens, chosen): the best first, the lower index first of equal ones."""
    logits = x @ weights["router"]
    logits = logits + weights["router_bias"] if part.router_bias else logits
    scores = _scores(part, logits, activations)
    judged = scores + weights["correction"] if part.correction else scores
    chosen = _largest(_of_best_groups(part, judged), part.chosen)
    shares = np.take_along_axis(scores, chosen, axis=1)
    if part.scores == "softmax_chosen":
        shares = _softmax(shares, activations)
    elif part.normalized:
        shares = shares / shares.sum(axis=1, keepdims=True)
    return chosen, shares * np.float32(part.scale)


def _scores(part: Mixture, logits: np.ndarray, activations: Activations) -> np.ndarray:
    """Scores (tokens, experts) of ``logits``, by which experts are chosen and shares are given."""
    if part.scores == "softmax_chosen":
        return logits
    if part.scores == "softmax":
        return _softmax(logits, activations)
    return sigmoid(logits) if part.scores == "sigmoid" else np.sqrt(np.logaddexp(np.float32(0), logits))


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


def _softmax(x: np.ndarray, activations: Activations) -> np.ndarray:
    shares = activations.exp(x - x.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x))."""
    with np.errstate(over="ignore"):  # far below zero exp(-x) is infinite, and the result 0 as it should be
        return 1 / (1 + np.exp(-x))


def _beside(part: Mixture, name: str, beside: FeedForward, weights: Weights, x: np.ndarray,
            activations: Activations) -> np.ndarray:
    """A feed-forward part that every token takes; the shared one may have a gate of its own."""
    own = {key.removeprefix(f"{name}_"): values for key, values in weights.items() if key.startswith(f"{name}_")}
    out = feed_forward(beside, own, x, activations)
    return out * sigmoid(x @ weights["shared_router"]) if part.shared_gate and name == "shared" else out
