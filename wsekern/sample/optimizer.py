"""Muon for the matrices inside the layers, AdamW for the embedding and the norms; both follow one schedule.

Muon (Keller Jordan, 2024) replaces the momentum matrix by the nearest matrix with all singular values near one; a
small transformer then needs about two thirds of AdamW's tokens for the same loss. PyTorch's own version computes in
bfloat16, which few CPUs multiply fast; this one stays in float32.
"""

import math
from collections import defaultdict

import torch
from torch import Tensor, nn

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # coefficients and five steps as published with Muon
_NEWTON_SCHULZ_STEPS = 5


def orthogonal(matrices: Tensor) -> Tensor:
    """Push all singular values of each of the matrices [count, rows, columns] towards one."""
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonal(matrices.mT).mT
    a, b, c = _NEWTON_SCHULZ
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


class Muon:
    """Momentum with orthogonal updates; matrices of one shape are handled in one batch."""

    def __init__(self, matrices: list[nn.Parameter], rate: float, decay: float, momentum: float = 0.95):
        self.rate, self.decay, self.momentum = rate, decay, momentum
        groups: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
        for matrix in matrices:
            groups[matrix.shape].append(matrix)
        self.groups = [(group, torch.zeros(len(group), *shape)) for shape, group in groups.items()]

    @torch.no_grad()
    def step(self, scale: float) -> None:
        """Take one step at ``scale`` times the peak rate."""
        rate = self.rate * scale
        for group, velocity in self.groups:
            gradient = torch.stack([matrix.grad for matrix in group])
            velocity.lerp_(gradient, 1 - self.momentum)
            update = orthogonal(gradient.lerp(velocity, self.momentum))
            stretch = math.sqrt(max(1.0, update.shape[1] / update.shape[2]))
            for matrix, change in zip(group, update, strict=True):
                matrix.mul_(1 - rate * self.decay).add_(change, alpha=-rate * stretch)


class Optimizer:
    """Both optimizers for one network."""

    def __init__(self, network: nn.Module, muon_rate: float = 0.02, adam_rate: float = 0.004, decay: float = 0.1):
        inner = [p for name, p in network.named_parameters() if p.ndim == 2 and "embed" not in name]
        outer = [p for name, p in network.named_parameters() if p.ndim != 2 or "embed" in name]
        self.network = network
        self.adam_rate = adam_rate
        self.muon = Muon(inner, muon_rate, decay)
        self.adam = torch.optim.AdamW(outer, lr=adam_rate, betas=(0.9, 0.97), weight_decay=0.0)

    def step(self, loss: Tensor, scale: float) -> None:
        """Differentiate ``loss`` and step at ``scale`` (0..1) times the peak rates."""
        self.network.zero_grad(set_to_none=True)
        loss.backward()
        for group in self.adam.param_groups:
            group["lr"] = self.adam_rate * scale
        self.adam.step()
        self.muon.step(scale)


def schedule(progress: float, warm_up: float = 0.02) -> float:
    """Share of the peak rate at ``progress`` (0..1): linear warm-up, then a cosine down to zero."""
    if progress < warm_up:
        return progress / warm_up
    return 0.5 * (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up)))
