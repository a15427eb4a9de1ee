"""Generation: a prompt in, text out, with the cycles of every token."""

from collections.abc import Callable
from dataclasses import dataclass, field

from wsekern.errors import InputError
from wsekern.inference.mapping import Mapping
from wsekern.inference.reference import Activations, ReferenceModel
from wsekern.inference.sampling import Sampler
from wsekern.inference.wafer import WaferModel
from wsekern.machine import Machine
from wsekern.workload.checkpoint import Checkpoint


@dataclass
class Generation:
    """Tokens that came out, and the cycles that they took."""

    prompt_tokens: list[int]
    tokens: list[int] = field(default_factory=list)
    prefill_cycles: int = 0
    token_cycles: list[int] = field(default_factory=list)
    cycles_by_part: dict[str, int] = field(default_factory=dict)
    breakdown: dict[str, float] = field(default_factory=dict)
    link_traversals: int = 0


def default_grid(checkpoint: Checkpoint, machine: Machine, precision: str, context: int, chunk: int) -> tuple[int, int]:
    """A grid for a small model: about eight residual elements per PE, or the smallest square that fits."""
    side = max(2, min(64, checkpoint.config.hidden // 8))
    mapping = Mapping(checkpoint.config, side, side, precision, context, chunk)
    if not mapping.fits(machine):
        side = mapping.smallest_grid(machine) or side
    return side, side


def check_length(checkpoint: Checkpoint, prompt: list[int], count: int) -> int:
    """Tokens that the cache must hold; refuse what the model was not made for."""
    if count < 1:
        raise InputError(f"tokens is {count}, expected at least 1")
    total = len(prompt) + count
    if total > checkpoint.config.max_context:
        raise InputError(f"the prompt has {len(prompt)} tokens and {count} are asked for, but {checkpoint.config.name} knows "
                         f"positions up to {checkpoint.config.max_context}: shorten the prompt or ask for fewer tokens")
    return total


def generate(checkpoint: Checkpoint, model: WaferModel, prompt: list[int], count: int, sampler: Sampler,
             on_token: Callable[[int], None] | None = None, on_chunk: Callable[[int], None] | None = None) -> Generation:
    """Run up to ``count`` tokens on the wafer. Stops at an end token.

    ``on_chunk`` sees how many tokens of the prompt have just been read, ``on_token`` each token as it comes: a caller that
    wants what an interrupt (Ctrl-C) leaves keeps the tokens that it has seen.
    """
    check_length(checkpoint, prompt, count)
    result, random = Generation(prompt), sampler.start()
    logits = model.prefill(prompt, on_chunk)
    result.prefill_cycles = last = model.engine.cycles
    while True:
        token = sampler.choose(logits, random)
        result.tokens.append(token)
        if on_token is not None:
            on_token(token)
        if token in checkpoint.eos_tokens or len(result.tokens) == count:
            break
        logits = model.decode(token)
        result.token_cycles.append(model.engine.cycles - last)
        last = model.engine.cycles
    result.cycles_by_part = dict(model.cycles_by_part)
    result.breakdown = dict(model.engine.breakdown)
    result.link_traversals = int(model.engine.link_traversals)
    return result


def reference_tokens(checkpoint: Checkpoint, prompt: list[int], count: int, sampler: Sampler,
                     activations: Activations | None = None) -> list[int]:
    """The same generation with the plain numpy reference."""
    model, random, tokens = ReferenceModel(checkpoint.config, checkpoint.weights, activations), sampler.start(), []
    logits = model.forward(prompt)[-1]
    while True:
        tokens.append(sampler.choose(logits, random))
        if tokens[-1] in checkpoint.eos_tokens or len(tokens) == count:
            return tokens
        logits = model.forward([tokens[-1]])[-1]
