"""The training loop of the sample model: batches, schedule, held-out loss, checkpoints, progress lines."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import safetensors.torch
import torch
from tokenizers import Tokenizer
from torch import Tensor

from wsekern.output import write_file
from wsekern.sample.artifacts import EOS
from wsekern.sample.network import RESIDUAL_SCALE, Llama, Shape
from wsekern.sample.optimizer import Optimizer, schedule

_BATCH_TOKENS = 2048
_LENGTH = 256  # tokens of context for the first part of the training
_LONG_SHARE = 0.2  # the last fifth trains on the full context, so that late positions are seen
_REPORTS = 25  # held-out evaluations over the whole training


@dataclass(frozen=True)
class Plan:
    """What to do: where the model goes, how long, and the seed."""

    out: Path
    minutes: float
    steps: int | None
    seed: int
    threads: int
    compiled: bool


@dataclass
class Best:
    """The best model so far, always on disk."""

    folder: Path
    loss: float = field(default=math.inf)

    def offer(self, network: Llama, loss: float) -> None:
        """Write the weights (float16) if ``loss`` is the lowest yet."""
        if loss < self.loss:
            self.loss = loss
            data = safetensors.torch.save(float16_weights(network), metadata={"format": "pt"})
            write_file(self.folder / "model.safetensors", data)


def float16_weights(network: Llama) -> dict[str, Tensor]:
    """The weights to ship, with a residual stream `RESIDUAL_SCALE` times as large as in training.

    Every RMSNorm undoes the scale, so the text is the same, but the sums of squares inside the norms stay far below
    65504, the largest float16. The last norm's gain makes up for the scaled output matrix (the embedding).
    """

    def scaled(name: str, tensor: Tensor) -> Tensor:
        if name == "model.norm.weight":
            return tensor / RESIDUAL_SCALE
        writes_residual = name.endswith(("embed_tokens.weight", "o_proj.weight", "down_proj.weight"))
        return tensor * RESIDUAL_SCALE if writes_residual else tensor

    return {name: scaled(name, tensor).half().contiguous() for name, tensor in network.state_dict().items()}


def token_stream(tokenizer: Tokenizer, stories: list[str]) -> Tensor:
    """All stories as one row of token ids: start token, story, end token, and again."""
    end = tokenizer.token_to_id(EOS)
    encodings = tokenizer.encode_batch(stories)
    return torch.tensor([token for encoding in encodings for token in (*encoding.ids, end)])


def train(plan: Plan, shape: Shape, stream: Tensor, held_out: Tensor) -> int:
    """Train until the plan is done or Ctrl-C; returns the exit status. The best model is in ``plan.out``."""
    torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    network, best = Llama(shape), Best(plan.out)
    print(f"{sum(p.numel() for p in network.parameters()):,} parameters, {len(stream):,} tokens to train on")
    try:
        _run(plan, shape, network, stream, lambda: _evaluate(network, held_out, best))
        status = 0
    except KeyboardInterrupt:
        print("stopped")
        _evaluate(network, held_out, best)
        status = 130
    print(f"best held-out loss {best.loss:.4f} nats per token; model in {plan.out}")
    return status


def _run(plan: Plan, shape: Shape, network: Llama, stream: Tensor, evaluate: Callable[[], float]) -> None:
    optimizer = Optimizer(network)
    loss_of = torch.compile(network.loss, dynamic=False) if plan.compiled else network.loss
    begin, step, reported = time.monotonic(), 0, 0.0
    while (progress := _progress(plan, step, begin)) < 1:
        loss = loss_of(_batch(stream, shape.positions if progress > 1 - _LONG_SHARE else _LENGTH))
        optimizer.step(loss, schedule(progress))
        step += 1
        if progress >= reported:
            reported = progress + 1 / _REPORTS
            print(f"step {step}, {progress:4.0%}: loss {loss.item():.3f}, held-out {evaluate():.4f}", flush=True)
    print(f"step {step}, done: held-out {evaluate():.4f} after {(time.monotonic() - begin) / 60:.1f} minutes")


def _progress(plan: Plan, step: int, begin: float) -> float:
    """Share of the training that is done: by steps, which repeats exactly, or by the clock."""
    return step / plan.steps if plan.steps else (time.monotonic() - begin) / (60 * plan.minutes)


def _batch(stream: Tensor, length: int) -> Tensor:
    """Random windows [batch, length + 1] of the stream."""
    length = min(length, len(stream) - 1)
    starts = torch.randint(len(stream) - length, (max(1, _BATCH_TOKENS // length),))
    return torch.stack([stream[start : start + length + 1] for start in starts])


@torch.no_grad()
def _evaluate(network: Llama, held_out: Tensor, best: Best) -> float:
    """Mean loss over the held-out stream in windows; a better model is written to disk."""
    length = min(_LENGTH, len(held_out) - 1)
    windows = held_out[: (len(held_out) - 1) // length * length + 1].unfold(0, length + 1, length)
    losses = [network.loss(part).item() * len(part) for part in windows.split(16)]
    loss = sum(losses) / len(windows)
    best.offer(network, loss)
    return loss
