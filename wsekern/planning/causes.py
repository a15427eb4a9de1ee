"""Why a model does not fit a number of wafers, and what would."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from wsekern.inference.code import code_bytes
from wsekern.inference.grid import MAX_EXPERT_WAFERS, Grid
from wsekern.inference.mapping import Mapping, most_that
from wsekern.machine import Machine
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import PRECISIONS, Request

Fits = Callable[[Request, int], bool]
"""Whether a request fits a number of wafers."""


def why_not(config: ModelConfig, request: Request, machine: Machine, wafers: int | None, most: int, fits: Fits,
            roughly: bool = False) -> str:
    """The cause for which ``request`` does not fit ``wafers`` wafers (None: any number up to ``most``), and what would; of
    shorter requests ``roughly``: one half as long, a quarter, ..."""
    part = unplaceable_part(config, request.precision, machine)
    if part:
        return (f"{config.name} does not fit {machine.name}: {part}, and nothing but experts can be split over wafers: use a "
                "smaller model")
    count = most if wafers is None else wafers
    where = f"{config.name} does not fit {count} {_wafers(count)} of {machine.name}"
    if not fits(Request(1, 1, 1, request.precision), count):
        cause = f"its weights alone do not, {_weights(config, request.precision, machine)}"
    else:
        cause = f"its weights do, the cache and buffers of {_tokens(request)} do not; {_limits(request, count, fits, roughly)}"
    if wafers is None:
        return f"{where}, the most that are tried: {cause}"
    fewest = fewest_that(count + 1, most, lambda more: fits(request, more))
    return f"{where}: {cause}; {f'{fewest} {_wafers(fewest)} hold' if fewest else f'no number up to {most} holds'} this request"


def fewest_that(least: int, most: int, holds: Callable[[int], bool]) -> int:
    """The smallest number from ``least`` to ``most`` that ``holds``, as all above it do; 0 if ``most`` does not."""
    high, step = least, 1
    while high < most and not holds(high):
        least, high, step = high + 1, min(most, high + step), 2 * step
    if least > most or not holds(high):
        return 0
    while least < high:
        middle = (least + high) // 2
        least, high = (least, middle) if holds(middle) else (middle + 1, high)
    return high


def unplaceable_part(config: ModelConfig, precision: str, machine: Machine) -> str:
    """As :func:`too_large_part`, where as many wafers share a layer's experts as help."""
    part = too_large_part(config, precision, machine)
    wafers, most = 2, min(MAX_EXPERT_WAFERS, config.mixture.experts) if config.mixture else 1
    while part and wafers <= most:
        part = too_large_part(config, precision, machine, wafers)
        wafers *= 2
    return part


@lru_cache(maxsize=1024)
def too_large_part(config: ModelConfig, precision: str, machine: Machine, wafers: int = 1) -> str:
    """The part of a model that is too large whatever the request, for a whole wafer or, of experts, so many: a layer, or
    embedding and LM head; empty where none is. Bytes are those of a part's tiles on all PEs of a wafer, padded, with the
    buffers of one token."""
    sides = int(machine.fabric.user_width), int(machine.fabric.user_height)
    layer = Mapping(config, *sides, precision, context=1, layers=1, with_head=False, expert_wafers=wafers)
    head = Mapping(config, *sides, precision, context=1, layers=0)
    shared = f" on {wafers} wafers" if wafers > 1 else ""
    experts = f", with its {config.mixture.experts} experts{shared}," if config.mixture else ""
    for name, verb, part in ((f"one layer{experts}", "needs", layer), ("embedding and LM head", "need", head)):
        if not part.fits(machine):
            code = part.memory["code"]
            need = (sum(part.memory.values()) - code) * sides[0] * sides[1]
            return f"{name} {verb} {_gigabytes(need)}, a wafer has {_gigabytes(_room(machine, code))}"
    return ""


def _weights(config: ModelConfig, precision: str, machine: Machine) -> str:
    """What has to go into regions."""
    size, tables = PRECISIONS[precision], config.embedding_parameters * (1 if config.tied_embeddings else 2)
    layer = _gigabytes(size * (config.parameters - tables) / config.layers)
    code = code_bytes(Grid(config, 1, 1, precision, layers=1, with_head=False))
    return (f"{config.layers} layers of {layer} and {_gigabytes(size * tables)} of embedding and LM head in regions of "
            f"whole layers or their halves, with {_gigabytes(_room(machine, code))} on a wafer beside the code of its PEs")


def _room(machine: Machine, code: int) -> float:
    """Bytes of a wafer beside ``code`` bytes of its PEs."""
    return (float(machine.core.sram) - code) * int(machine.fabric.user_width) * int(machine.fabric.user_height)


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.3g} GB"


def _wafers(count: int) -> str:
    return "wafer" if count == 1 else "wafers"


def _users(count: int) -> str:
    return f"{count:,} {'user' if count == 1 else 'users'}"


def _tokens(request: Request) -> str:
    return f"{_users(request.batch)} x {request.context:,} tokens in {request.precision}"


def _shorter(request: Request, prompt: int) -> Request:
    """So many tokens of the prompt, of the shared ones first, and an answer of one."""
    prompt = max(1, prompt)
    return replace(request, prompt=prompt, output=1, shared=min(request.shared, prompt - 1))


def _limits(request: Request, count: int, fits: Fits, roughly: bool) -> str:
    """How many users of this length, and how many tokens of so many users, a number of wafers holds."""
    most = _half_that if roughly else most_that
    users = most(request.batch, lambda users: fits(replace(request, batch=users), count))
    tokens = most(request.context - 1, lambda prompt: fits(_shorter(request, prompt), count)) + 1
    parts = [f"{_users(users)} of this length"] * (users > 0)
    parts += [f"{_users(request.batch)} x {tokens:,} tokens"] * (tokens > 1)
    return f"{' or '.join(parts) if parts else 'not even one user of this length'} would fit"


def _half_that(bound: int, holds: Callable[[int], bool]) -> int:
    """A half, a quarter, ... of ``bound``, the first for which ``holds``; or 0."""
    return next((bound >> times for times in range(1, bound.bit_length()) if holds(bound >> times)), 0)
