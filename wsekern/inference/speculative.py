"""Speculative decoding, executed: drafted tokens follow each other through the model, and those that it would choose are kept.

Every token that is checked takes the steps of a single token, with the cache that these have left: what a pass finds behind a
token that is kept are the very bits of plain decoding, and so are the tokens, drawn ones too where draws come from one seed.
Layers are executed on one grid after the other; in the time that is reported they lie on regions of that size, and a token
enters a region when the one before it has left.
"""

from collections import deque
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np

from wsekern.errors import BudgetError, InputError
from wsekern.inference.drafts import Drafter, FirstLayers, SavedDrafter, SmallModel
from wsekern.inference.layer import parts_on_grid
from wsekern.inference.mapping import Mapping
from wsekern.inference.step_times import time_handover
from wsekern.inference.wafer import Exit, WaferModel
from wsekern.machine import Machine
from wsekern.workload.speculation import check_drafted


@dataclass(kw_only=True)
class Speculated:
    """What drafts were worth. Cycles are those of tokens that follow each other through ``regions`` regions."""

    drafted: int
    """Tokens asked for in a pass; a drafter may propose fewer."""
    draft: str
    regions: int
    passes: int = 0
    tokens: int = 0
    """That passes yielded and that were kept."""
    proposed: int = 0
    judged: int = 0
    """Drafts all before which were accepted, up to the first that was not."""
    accepted: int = 0
    cycles: int = 0
    plain_cycles: int = 0
    """Of the same tokens, on the same regions, one after the other."""
    draft_cycles: int = 0
    """From a token to the one drafted behind it, at most."""
    slowest_cycles: int = 0
    """A token's on the slowest region, the head's among them."""

    @property
    def acceptance(self) -> float | None:
        """Share of the judged drafts that were accepted; None: none was judged."""
        return self.accepted / self.judged if self.judged else None

    def to_dict(self) -> dict[str, object]:
        """Plain data for JSON; keys carry units."""
        each = max(1, self.tokens)
        return {"drafted_tokens": self.drafted, "draft": self.draft, "regions": self.regions, "passes": self.passes,
                "proposed_tokens": self.proposed, "judged_tokens": self.judged, "accepted_tokens": self.accepted,
                "acceptance": self.acceptance, "tokens_per_pass": self.tokens / max(1, self.passes),
                "cycles_per_token": self.cycles / each, "plain_cycles_per_token": self.plain_cycles / each,
                "draft_step_cycles": self.draft_cycles, "slowest_region_cycles": self.slowest_cycles}


@dataclass
class Passage:
    """Cycles of one token: in its embedding and each layer, in the head, and in the head behind the layers of the draft."""

    parts: list[int] = field(default_factory=list)
    head: int = 0
    early: int = 0


class SavedCheck(msgspec.Struct, forbid_unknown_fields=True):
    """A token that was checked ahead, the logits (vocab,) behind it, and the cycles of its pass alone."""

    token: int
    logits: np.ndarray
    cycles: int


class SavedSpeculation(msgspec.Struct, forbid_unknown_fields=True):
    """A :class:`Speculator` between two tokens; ``drafter``: what a smaller model keeps."""

    text: list[int]
    checked: list[SavedCheck]
    found: Speculated
    drafter: SavedDrafter | None


class Speculator:
    """Decodes for :func:`wsekern.inference.generate.generate` as ``model`` does, with up to ``drafted`` tokens of ``drafter``
    checked in a pass through ``regions`` regions, which hand a token on in ``handover`` cycles."""

    def __init__(self, model: WaferModel, drafter: Drafter, drafted: int, regions: int, handover: int) -> None:
        check_drafted(drafted)
        if not model.can_rewind:
            raise InputError(f"{model.config.name} has recurrent layers, whose state cannot go back behind a token that is not "
                             "accepted: it cannot check drafts; run it without --speculate")
        for one in (model, *([drafter.model] if isinstance(drafter, SmallModel) else [])):
            check_windows(one, drafted)
        self.model, self.drafter, self._handover = model, drafter, handover
        self._layers = -(-model.config.layers // regions)  # of a region
        self.found = Speculated(drafted=drafted, draft=drafter.describe(), regions=-(-model.config.layers // self._layers))
        self._text: list[int] = []
        self._prompt = self._count = 0
        self._checked: deque[tuple[int, np.ndarray, int]] = deque()  # a token, what follows it, cycles of its pass alone

    @property
    def cycles(self) -> int:
        """Of all passes so far."""
        return self.found.cycles

    def start(self, prompt: list[int], count: int) -> None:
        """``prompt`` is read, and ``count`` tokens are wanted."""
        self._text, self._prompt, self._count = list(prompt), len(prompt), count

    def decode(self, token: int) -> np.ndarray:
        """Logits (vocab,) behind ``token``, which is the next of the text; those of a pass before if its draft was this."""
        self._text.append(token)
        if self._checked:
            self.found.judged += 1
            if self._checked[0][0] == token:
                self.found.accepted += 1
                return self._take()
            self._checked.clear()
        self.model.rewind(len(self._text) - 1)
        self._pass(token)
        return self._take()

    def saved(self) -> SavedSpeculation:
        """What :meth:`restore` goes on from, as data: between two tokens."""
        return SavedSpeculation(list(self._text), [SavedCheck(*one) for one in self._checked], replace(self.found),
                                self.drafter.saved())

    def restore(self, saved: SavedSpeculation) -> None:
        """Be where :meth:`saved` was, behind :meth:`start`; the model is restored apart."""
        same = (saved.found.drafted, saved.found.draft, saved.found.regions)
        if same != (self.found.drafted, self.found.draft, self.found.regions):
            raise InputError("saved with other drafts: " + ", ".join(map(str, same)))
        for name in vars(saved.found):
            setattr(self.found, name, getattr(saved.found, name))
        self._text = list(saved.text)
        self._checked = deque((one.token, one.logits, one.cycles) for one in saved.checked)
        self.drafter.restore(saved.drafter)

    def finish(self) -> Speculated:
        """Forget what was checked and is not wanted."""
        self._checked.clear()
        self.model.rewind(min(self.model.length, len(self._text)))
        return self.found

    def _take(self) -> np.ndarray:
        _, logits, alone = self._checked.popleft()
        self.found.tokens += 1
        self.found.plain_cycles += alone
        return logits

    def _pass(self, token: int) -> None:
        """Check ``token`` and those that are drafted behind it, no more than are still wanted."""
        most = min(self.found.drafted, self._count - (len(self._text) - self._prompt) - 1)
        if most > 0:
            self.drafter.start(self._text)
        checking, spaces, alone = True, [], []
        while checking:
            passage, logits = self._passage(token, early=len(self._checked) < most)
            alone.append(self._alone(passage))
            self._checked.append((token, logits, alone[-1]))
            following = self.drafter.next() if len(self._checked) <= most else None
            if following is not None:
                token = following
                spaces.append(self._space(passage))
            checking = following is not None
        self.found.passes += 1
        self.found.proposed += len(spaces)
        self.found.cycles += max(alone) + sum(spaces)

    def _passage(self, token: int, early: bool) -> tuple[Passage, np.ndarray]:
        """One token through all layers; ``early``: the drafter sees it behind its own."""
        passage, engine, last = Passage(), self.model.engine, self.model.engine.cycles
        drafter = self.drafter if early and isinstance(self.drafter, FirstLayers) else None

        def behind(passed: int, leave: Exit) -> None:
            nonlocal last
            passage.parts.append(engine.cycles - last)
            last = engine.cycles
            if drafter and passed == drafter.layers:
                drafter.see(leave())
                passage.early, last = engine.cycles - last, engine.cycles

        logits = self.model.decode(token, behind)
        passage.head = engine.cycles - last
        return passage, logits

    def _regions(self, passage: Passage) -> list[int]:
        """Cycles of each region, handing on included."""
        layers = passage.parts[1:]
        return [sum(layers[start:start + self._layers]) + self._handover for start in range(0, len(layers), self._layers)]

    def _alone(self, passage: Passage) -> int:
        """Cycles of a token from end to end."""
        return passage.parts[0] + sum(self._regions(passage)) + passage.head

    def _space(self, passage: Passage) -> int:
        """Cycles between a token and the one drafted behind it: until the slowest region is free, and until it is drafted."""
        drafted = self.drafter.cycles if isinstance(self.drafter, SmallModel) else 0
        if isinstance(self.drafter, FirstLayers):
            layers = self.drafter.layers
            drafted = sum(passage.parts[:1 + layers]) + -(-layers // self._layers) * self._handover + passage.early
        slowest = max(*self._regions(passage), passage.parts[0] + passage.head + passage.early)
        self.found.draft_cycles = max(self.found.draft_cycles, drafted)
        self.found.slowest_cycles = max(self.found.slowest_cycles, slowest)
        return max(slowest, drafted)


def speculator(model: WaferModel, machine: Machine, profile: str, drafter: Drafter, drafted: int,
               regions: int | None = None) -> Speculator:
    """``model`` on ``regions`` regions (default: one for each layer) of the size of its grid, beside one for its head and the
    draft's; :class:`BudgetError` where a wafer has no room for them."""
    mapping, layers = model.mapping, model.config.layers
    if regions is not None and not 1 <= regions <= layers:
        raise InputError(f"regions is {regions}, expected 1 to {layers}: {model.config.name} has {layers} layers")
    made = Speculator(model, drafter, drafted, regions or layers, round(time_handover(machine, mapping, 1, profile).cycles))
    check_room(mapping, machine, made.found.regions, drafter)
    return made


def check_windows(model: WaferModel, drafted: int) -> None:
    """Refuse so many drafts that layers which keep their window alone could write over what is looked back to when none of
    them is accepted."""
    mapping = model.mapping
    parts = [part for block, _ in model.config.kinds for part in parts_on_grid(mapping, block)]

    def goes(tokens: int) -> bool:
        return all(part.can_go_back(length + tokens, length) for part in parts for length in range(1, mapping.context - tokens))

    if not goes(drafted):
        most = next((tokens for tokens in range(drafted - 1, 0, -1) if goes(tokens)), 0)
        raise BudgetError(f"{model.config.name} has layers that keep their window alone, with room for {most} drafted tokens, "
                          f"not {drafted}: draft fewer, or use a larger --grid")


def check_room(mapping: Mapping, machine: Machine, regions: int, drafter: Drafter) -> None:
    """Refuse more regions than a wafer has room for, side by side and one above the other."""
    width, height = mapping.width, mapping.height
    there = (int(machine.fabric.user_width) // width) * (int(machine.fabric.user_height) // height)
    own = drafter.model.mapping if isinstance(drafter, SmallModel) else None
    need = regions + 1 + (-(-own.width // width) * -(-own.height // height) if own else 0)
    if need > there:
        raise BudgetError(f"{need} regions of {width}x{height} PEs (embedding, head and draft among them) do not fit a wafer "
                          f"of {machine.name}, which has room for {there}: use fewer with --regions, or a smaller --grid")
