"""A model placed once for a service, and the answers for any request on that placement.

A service has a limit of context, a range of users, and a mix of lengths by which placements are judged. Every placement of
the front holds at least the fewest users with full contexts; none of them is beaten by another in speed for one user, in users
held, in tokens/s of all users and in wafers at once.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from wsekern.errors import BudgetError, InputError
from wsekern.inference.mapping import most_that
from wsekern.machine import Machine
from wsekern.planning.binding import Binding, binding
from wsekern.planning.bound import Bound, bound
from wsekern.planning.layout import LEAST_INSIDE, Placement
from wsekern.planning.placement import place_service
from wsekern.workload.config import ModelConfig
from wsekern.workload.request import Request

MAX_CONTEXT = 10**7
"""Sanity limit of a context: beyond any model."""


@dataclass(frozen=True)
class Share:
    """Requests of ``prompt`` tokens in and ``output`` out, ``weight`` of all requests (of any sum)."""

    prompt: int
    output: int
    weight: float = 1.0

    @classmethod
    def parse(cls, text: str) -> "Share":
        """``1024/256``, or ``4096/512:0.3`` with a weight."""
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})(?::(\d{1,9}(?:\.\d{1,9})?|\.\d{1,9}))?", text.strip())
        weight = float(found[3]) if found and found[3] else 1.0
        if found is None or not int(found[1]) or not int(found[2]) or not weight:
            raise InputError(f"mix is {text[:60]!r}, expected tokens in and out, and a share where there are several, such as "
                             "1024/256 or 4096/512:0.3")
        return cls(int(found[1]), int(found[2]), weight)

    def __str__(self) -> str:
        return f"{self.prompt}/{self.output}" + ("" if self.weight == 1.0 else f":{self.weight:.9f}".rstrip("0").rstrip("."))


@dataclass(frozen=True)
class Service:
    """What a placement is made for: contexts of up to ``context`` tokens, ``fewest`` to ``most`` users at once, and requests of
    the lengths of ``mix``, which a placement should serve quickly."""

    context: int
    fewest: int = 1
    most: int = 1
    mix: tuple[Share, ...] = (Share(1024, 256),)

    def __post_init__(self) -> None:
        if not 2 <= self.context <= MAX_CONTEXT:
            raise InputError(f"context is {self.context!r}, expected 2 to {MAX_CONTEXT:,} tokens, prompt and answer together")
        if not 1 <= self.fewest <= self.most:
            raise InputError(f"users are {self.fewest}:{self.most}, expected two numbers of at least 1, the smaller one first")
        if not self.mix:
            raise InputError("the mix is empty: expected lengths such as 1024/256")
        for share in self.mix:
            if share.prompt + share.output > self.context:
                raise InputError(f"the mix has requests of {share.prompt:,} + {share.output:,} tokens, more than the context "
                                 f"of {self.context:,}: state a longer context or shorter requests")

    @property
    def requests(self) -> float:
        """Sum of the weights."""
        return sum(share.weight for share in self.mix)

    def longest(self, users: int, precision: str) -> Request:
        """The request that fills the context of so many users, with the longest answer of the mix."""
        output = min(max(share.output for share in self.mix), self.context - 1)
        return Request(self.context - output, output, users, precision)

    def load(self, users: int, precision: str) -> tuple[tuple[Request, float], ...]:
        """Requests of so many users, and the share of each."""
        return tuple((Request(share.prompt, share.output, users, precision), share.weight) for share in self.mix)

    def user_counts(self) -> tuple[int, ...]:
        """The fewest, the most, and the powers of two between them."""
        powers = (1 << power for power in range(self.most.bit_length()))
        return tuple(sorted({self.fewest, self.most, *(count for count in powers if self.fewest < count < self.most)}))


def largest_context(placement: Placement, users: int) -> int:
    """Tokens, prompt and answer, for which every one of ``users`` has room at once; 0: not even one token each."""
    return most_that(MAX_CONTEXT, lambda tokens: _holds(placement, tokens, users))


def users_held(placement: Placement, context: int, most: int) -> int:
    """Users with ``context`` tokens each for whom there is room at once, ``most`` at most."""
    return most_that(most + 1, lambda users: _holds(placement, context, users))


def _holds(placement: Placement, context: int, users: int) -> bool:
    """Whether every region has room for so many users with ``context`` tokens each."""
    return all(replace(mapping, context=context, users=users, shared=0).fits(placement.machine)
               for mapping in placement.mappings)


@dataclass(frozen=True)
class Offer:
    """One placement for a service, and what it gives."""

    service: Service
    placement: Placement

    def serving(self, share: Share, users: int) -> Placement:
        """The placement under requests of one length."""
        return self.placement.serving(Request(share.prompt, share.output, users, self.placement.request.precision))

    def token_seconds(self, users: int) -> float:
        """Mean time per output token of one of ``users``, over the output tokens of the mix."""
        tokens = sum(share.weight * share.output for share in self.service.mix)
        return sum(share.weight * share.output * self.serving(share, users).token_seconds()
                   for share in self.service.mix) / tokens

    def first_token_seconds(self, users: int) -> float:
        """Mean time to the first token of one of ``users``, over the requests of the mix."""
        return sum(share.weight * self.serving(share, users).first_token_seconds()
                   for share in self.service.mix) / self.service.requests

    def request_seconds(self, users: int) -> float:
        """Mean time of a whole request, over the requests of the mix."""
        return sum(share.weight * self.serving(share, users).request_seconds()
                   for share in self.service.mix) / self.service.requests

    def total_tokens_per_second(self, users: int) -> float:
        """Output tokens of all ``users`` together, prompts included in the time."""
        tokens = sum(share.weight * share.output for share in self.service.mix) / self.service.requests
        return users * tokens / self.request_seconds(users)

    def prompt_tokens_per_second(self, prompt: int) -> float:
        """How quickly a prompt of so many tokens is read where nothing else is served."""
        asked = self.placement.serving(Request(prompt, 1, 1, self.placement.request.precision))
        return prompt / asked.lone.time_to_first_token_seconds

    @cached_property
    def speed(self) -> float:
        """Tokens/s for a user who is alone."""
        return 1.0 / self.token_seconds(1)

    @cached_property
    def held(self) -> int:
        """Users with full contexts for whom there is room at once, up to the most of the service."""
        return users_held(self.placement, self.service.context, self.service.most)

    @cached_property
    def total(self) -> float:
        """Tokens/s of the most users of the service."""
        return self.total_tokens_per_second(self.service.most)

    @cached_property
    def bound(self) -> Bound:
        """At the middle of the answers of the first length of the mix."""
        share, placement = self.service.mix[0], self.placement
        mapping = placement.mapping
        return bound(placement.config, placement.machine, share.prompt + share.output // 2, placement.profile,
                     mapping.precision, mapping.weight_precision, mapping.cache_precision)

    @cached_property
    def share(self) -> float:
        """Of the bound that a lone user with requests of the first length gets."""
        return 1.0 / self.serving(self.service.mix[0], 1).token_seconds() / self.bound.tokens_per_second

    @cached_property
    def binding(self) -> Binding:
        """What a token's time goes to, and what holds it up."""
        return binding(self.serving(self.service.mix[0], 1), self.bound)

    def over_users(self) -> list[tuple[int, float, float]]:
        """(users, tokens/s for each, tokens/s in all) under the mix, for 1, 2, 4, ... users up to the most of the service."""
        counts = sorted({*self.service.user_counts(), *(1 << power for power in range(self.service.most.bit_length()))})
        return [(users, 1.0 / self.token_seconds(users), self.total_tokens_per_second(users)) for users in counts]

    def over_contexts(self) -> list[tuple[int, float, float]]:
        """(tokens in the cache, tokens/s for a lone user there, tokens/s of reading such a prompt), up to the context."""
        powers = (1 << power for power in range(7, self.service.context.bit_length()))
        contexts = sorted({self.service.context - 1, *(tokens for tokens in powers if tokens < self.service.context)})
        return [(tokens, self.speed_at(tokens), self.prompt_tokens_per_second(tokens)) for tokens in contexts]

    def speed_at(self, tokens: int) -> float:
        """Tokens/s for a lone user with so many tokens in the cache."""
        placement = self.placement
        asked = placement.serving(Request(tokens, 1, 1, placement.request.precision))
        return asked.line.kept / asked.pass_seconds()

    def contexts_for_users(self) -> list[tuple[int, int]]:
        """(users, the longest context for which all of them have room at once)."""
        return [(users, largest_context(self.placement, users)) for users, *_ in self.over_users()]

    def beats(self, other: "Offer") -> bool:
        """Whether it is as good in everything, and better in something."""
        mine, theirs = self._merits, other._merits
        return mine != theirs and all(one >= two for one, two in zip(mine, theirs, strict=True))

    @cached_property
    def _merits(self) -> tuple[float, ...]:
        return self.speed, self.held, self.total, -self.placement.wafers


@dataclass(frozen=True)
class ServicePlan:
    """Placements for a service, of which none beats another: the front, from the fewest wafers on, fastest first."""

    service: Service
    offers: tuple[Offer, ...]
    picked: int | None = None
    """Number of the offer, from 1 on, that a user has picked."""

    def __post_init__(self) -> None:
        if self.picked is not None and not 1 <= self.picked <= len(self.offers):
            raise InputError(f"pick is {self.picked}, but the front has {len(self.offers)} placements: leave it out to see "
                             "them")

    @property
    def chosen(self) -> Offer:
        """That which was picked, or on the fewest wafers that which serves the most users of the service soonest."""
        if self.picked is not None:
            return self.offers[self.picked - 1]
        return min(self.offers, key=lambda offer: (offer.placement.wafers, offer.request_seconds(self.service.most)))


def plan_service(config: ModelConfig, machine: Machine, service: Service, wafers: Sequence[int | None] = (None,),
                 precision: str = "fp16", profile: str = "silicon", on_step: Callable[[], None] = lambda: None,
                 **choices: Any) -> ServicePlan:
    """The front of placements of ``config`` on any of ``wafers`` (None: the fewest that hold the users). ``choices``: those of
    :func:`place_service`. ``on_step`` is called after each placement; there are as many as user counts times ``wafers``.

    :class:`BudgetError` where none of ``wafers`` holds the fewest users.
    """
    offers: dict[Any, Offer] = {}
    refusal: BudgetError | None = None
    for count in wafers:
        for users in service.user_counts():
            try:
                placement = place_service(config, service.load(users, precision), machine, context=service.context,
                                          users=users, wafers=count, inside=1.0 if users == service.fewest else LEAST_INSIDE,
                                          profile=profile, **choices)
            except BudgetError as error:
                refusal = refusal or error
            else:
                offers.setdefault(_where(placement), Offer(service, placement))
            on_step()
    offers = {where: offer for where, offer in offers.items() if offer.held >= service.fewest}
    if not offers and refusal is not None:
        raise refusal
    return ServicePlan(service, _front(offers.values()))


def _where(placement: Placement) -> tuple[Any, ...]:
    """What makes placements the same whatever they are asked."""
    return (placement.wafers, placement.expert_wafers, placement.shapes, placement.head, placement.head_wafers,
            placement.chunk, placement.programs)


def _front(offers: Iterable[Offer]) -> tuple[Offer, ...]:
    """Those that no other one beats."""
    found = list(offers)
    best = [offer for offer in found if not any(other.beats(offer) for other in found)]
    return tuple(sorted(best, key=lambda offer: (offer.placement.wafers, -offer.speed)))
